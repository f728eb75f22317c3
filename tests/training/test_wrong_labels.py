"""Learning from wrong labels: the noise, whom a model trusts, the losses against slow loops, and exact resume."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.data import Relabelled, Resident, noisy_labels
from augwise.errors import UserError
from augwise.training.batches import ResidentReader
from augwise.training.config import EvaluateConfig, TrainConfig
from augwise.training.doubtful import Doubtful, trusted_rows
from augwise.training.learn_config import LearnConfig
from augwise.training.learners import another
from augwise.training.objectives.dividemix import DivideMix, DivideMixSettings, clean_posterior
from augwise.training.objectives.farther import Farther
from augwise.training.objectives.mixmatch import Pairs, draw_mix, guess, mix, mixmatch_loss, ramp, sharpen
from augwise.training.objectives.pes import PES, PESSettings
from augwise.training.train import train
from reference.training_toys import network, source

CONFIG = TrainConfig(
    epochs=4,
    batch_size=8,
    lr=0.05,
    crop_padding=1,
    flip=False,
    precision="fp32",
    device="cpu",
    quiet=True,
    tensorboard=False,
    learn=LearnConfig(objective="dividemix", noise=0.4, early_epochs=1, ramp_epochs=2),
)
DATA = {"source": source(70, seed=1), "test": source(40, seed=2)}


def run(config: TrainConfig, model: nn.Module | None = None, **parts):
    return train(config, **{**DATA, "model": model or network(), **parts})


def learning(**changes) -> TrainConfig:
    return replace(CONFIG, out=None, learn=replace(CONFIG.learn, **changes))


# the noise


def test_symmetric_noise_draws_any_class_alike():
    labels = np.arange(20_000) % 10
    names = [str(c) for c in range(10)]
    noisy = noisy_labels(labels, names, 0.5, "symmetric", seed=3)
    assert abs((noisy != labels).mean() - 0.45) < 0.01  # a tenth of what is drawn anew is right by chance
    table = np.histogram2d(labels, noisy, bins=10)[0] / 2000
    assert abs(table[~np.eye(10, dtype=bool)] - 0.05).max() < 5 * math.sqrt(0.05 * 0.95 / 2000)
    assert np.array_equal(noisy, noisy_labels(labels, names, 0.5, "symmetric", 3))
    assert not np.array_equal(noisy, noisy_labels(labels, names, 0.5, "symmetric", 4))
    more = noisy_labels(labels, names, 0.8, "symmetric", 3)
    assert np.array_equal(more[noisy != labels], noisy[noisy != labels])  # a higher rate adds to a lower one
    assert np.array_equal(noisy_labels(labels, names, 0.0, "symmetric", 3), labels)
    torch.manual_seed(0)
    assert np.array_equal(noisy, noisy_labels(labels, names, 0.5, "symmetric", 3))


def test_asymmetric_noise_confuses_what_looks_alike():
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    labels = np.arange(1000) % 10
    noisy = noisy_labels(labels, names, 0.4, "asymmetric", 0)
    to = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}
    for c, name in enumerate(names):
        got = noisy[labels == c]
        assert (got == names.index(to.get(name, name))).sum() == (40 if name in to else 100)
        assert (got == c).sum() == (60 if name in to else 100)
    others = noisy_labels(np.arange(40) % 4, list("abcd"), 0.5, "asymmetric", 0)
    assert set(zip((np.arange(40) % 4).tolist(), others.tolist(), strict=True)) == {
        *((c, c) for c in range(4)),
        *((c, (c + 1) % 4) for c in range(4)),
    }


def test_maps_still_find_relabelled_images(tmp_path):
    inner = DATA["source"]
    noisy = Relabelled(inner, noisy_labels(inner.labels, inner.class_names, 0.5, "symmetric", 0))
    store = aw.estimate(None, inner, tmp_path / "maps", aw.HarrisCorners(), progress=False)
    attached = store.attach(noisy)
    mine = store.attach(inner)
    assert all(np.array_equal(attached.read(i), mine.read(i)) for i in range(70))
    assert torch.equal(noisy[5][0], inner[5][0])
    assert noisy[5][1] == noisy.labels[5]


def test_both_labels_are_left_with_the_run(tmp_path):
    result = run(replace(CONFIG, out=tmp_path, epochs=1, learn=LearnConfig(noise=0.4)))
    with np.load(tmp_path / "labels.npz") as found:
        given, true = found["given"], found["true"]
    assert np.array_equal(true, DATA["source"].labels)
    assert np.array_equal(given, noisy_labels(true, DATA["source"].class_names, 0.4, "symmetric", 0))
    assert result["data"]["wrong_labels"] == pytest.approx((given != true).mean())
    with pytest.raises(UserError, match=r"config\.learn\.noise: 0\.4 there, 0\.5 now"):
        run(replace(CONFIG, out=tmp_path, epochs=1, learn=LearnConfig(noise=0.5)))


# whom to trust


def test_the_posterior_is_that_of_a_mixture_of_two_gaussians():
    mixture = pytest.importorskip("sklearn.mixture")
    torch.manual_seed(1)
    losses = torch.cat([torch.randn(300) * 0.1 + 0.4, torch.randn(200) * 0.4 + 2.5]).abs()
    ours = clean_posterior(losses)
    scaled = ((losses - losses.min()) / (losses.max() - losses.min())).double().numpy().reshape(-1, 1)
    theirs = mixture.GaussianMixture(2, max_iter=500, tol=1e-9, reg_covar=5e-4, random_state=0).fit(scaled)
    expected = theirs.predict_proba(scaled)[:, theirs.means_.argmin()]
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-3)
    assert bool((ours[:300] > 0.5).all())
    assert int((ours[300:] < 0.5).sum()) > 190
    # By hand: both densities at a point, weighed.
    share, mean, variance = theirs.weights_, theirs.means_[:, 0], theirs.covariances_[:, 0, 0]
    density = share * np.exp(-0.5 * (scaled[7] - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    assert float(ours[7]) == pytest.approx(density[mean.argmin()] / density.sum(), abs=2e-3)


def test_equal_losses_leave_nothing_to_doubt():
    assert clean_posterior(torch.full((5,), 2.0)).tolist() == [1.0] * 5


def test_neither_part_is_smaller_than_a_batch():
    score = np.array([0.9, 0.1, 0.8, 0.3, 0.7, 0.2])
    inside, outside = trusted_rows(score > 0.5, score, 2)
    assert inside.tolist() == [0, 2, 4]
    assert outside.tolist() == [1, 3, 5]
    inside, outside = trusted_rows(score > 0.85, score, 3)
    assert inside.tolist() == [0, 2, 4]
    assert outside.tolist() == [1, 2, 3, 4, 5]
    inside, outside = trusted_rows(score > 0.0, score, 2)
    assert inside.tolist() == [0, 1, 2, 3, 4, 5]
    assert outside.tolist() == [1, 5]


# the losses


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in row)
    return [math.exp(v) / total for v in row]


def test_sharpening_and_guessing():
    p = torch.tensor([[0.5, 0.3, 0.2]])
    total = 0.5**2 + 0.3**2 + 0.2**2
    torch.testing.assert_close(sharpen(p, 0.5), torch.tensor([[0.25 / total, 0.09 / total, 0.04 / total]]))
    a, b = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4)
    guessed = guess([a, b], 0.5)
    assert not guessed.requires_grad
    for i in range(3):
        mean = [(x + y) / 2 for x, y in zip(softmax(a[i].tolist()), softmax(b[i].tolist()), strict=True)]
        powers = [m**2 for m in mean]
        assert guessed[i].tolist() == pytest.approx([v / sum(powers) for v in powers], rel=1e-5)


def test_the_ramp():
    assert [ramp(e, 2, 4) for e in (0, 2, 3, 4, 6, 9)] == [0, 0, 0.25, 0.5, 1, 1]
    assert ramp(0, 0, 0) == 1


def test_shares_of_mixing_are_of_the_larger_half():
    torch.manual_seed(0)
    drawn = [float(draw_mix(8, 4.0, torch.zeros(1))[0]) for _ in range(500)]
    assert min(drawn) >= 0.5
    expected = np.maximum(beta := np.random.default_rng(0).beta(4, 4, 20000), 1 - beta).mean()
    assert np.mean(drawn) == pytest.approx(expected, abs=0.02)


class Seen(nn.Module):
    """A linear network that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.shown = nn.Linear(3 * 64, 3), []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(images.detach().clone())
        return self.head(images.flatten(1))


def some_pairs(n: int = 4) -> Pairs:
    torch.manual_seed(5)
    parts = [aw.Batch.of(torch.rand(n, 3, 8, 8), torch.arange(n) % 3, None, torch.arange(n) + 9 * i) for i in range(4)]
    return Pairs(*(part._replace(images=part.images.as_subclass(Tensor)) for part in parts))


@pytest.mark.parametrize("weighted", [False, True])
def test_mixmatch_is_a_slow_loop(weighted: bool):
    model, pairs = Seen(), some_pairs()
    trusted, guessed = torch.rand(4, 3).softmax(1), torch.rand(4, 3).softmax(1)
    weights = torch.tensor([0.5, 1.0, 2.0]) if weighted else None
    torch.manual_seed(8)
    parts = mixmatch_loss(model, pairs, trusted, guessed, 4.0, weights)
    torch.manual_seed(8)
    share, partner = draw_mix(16, 4.0, torch.zeros(1))
    lam, images = float(share), torch.cat([p.images for p in pairs])
    targets = torch.cat([trusted, trusted, guessed, guessed])
    entropy = error = 0.0
    for i in range(16):
        j = int(partner[i])
        picture = lam * images[i] + (1 - lam) * images[j]
        torch.testing.assert_close(model.shown[0][i], picture)
        target = (lam * targets[i] + (1 - lam) * targets[j]).tolist()
        p = softmax(model.head(picture.flatten()).tolist())
        for c in range(3):
            if i < 8:
                entropy -= target[c] * math.log(p[c]) * (1 if weights is None else float(weights[c])) / 8
            else:
                error += (p[c] - target[c]) ** 2 / (8 * 3)
    assert float(parts.trusted.detach()) == pytest.approx(entropy, rel=1e-5)
    assert float(parts.others.detach()) == pytest.approx(error, rel=1e-5)
    assert float(parts.farther) == 0


class Brighter:
    """Stands where LP-A3 stands: x + 0.25, and notes what it was to keep."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def move(self, images: Tensor, labels: Tensor):
        self.kept.append(labels)
        return images + 0.25, {"lpa3_distance": torch.tensor(1.0)}

    def batch_norms(self):
        from contextlib import nullcontext

        return nullcontext()


def test_lpa3_takes_the_places_of_the_doubtful_in_the_same_mixture():
    model, pairs, brighter = Seen(), some_pairs(), Brighter()
    trusted, guessed = torch.rand(4, 3).softmax(1), torch.rand(4, 3).softmax(1)
    torch.manual_seed(8)
    parts = mixmatch_loss(model, pairs, trusted, guessed, 4.0, None, brighter)  # pyright: ignore[reportArgumentType]
    torch.manual_seed(8)
    share, partner = draw_mix(16, 4.0, torch.zeros(1))
    images = torch.cat([p.images + (0.25 if k > 1 else 0) for k, p in enumerate(pairs)])
    again = mix(images, torch.cat([trusted, trusted, guessed, guessed]), share, partner)
    torch.testing.assert_close(model.shown[1], again.images[8:])
    expected = (model.head(again.images[8:].flatten(1)).softmax(1) - again.targets[8:]).square().mean()
    torch.testing.assert_close(parts.farther, expected)
    assert torch.equal(brighter.kept[0], torch.cat([guessed, guessed]).argmax(1))
    assert parts.measures == {"lpa3_distance": torch.tensor(1.0)}


def test_what_lpa3_moves_leaves_no_trace_in_the_statistics_of_the_mixture():
    normalize, pairs = aw.Normalize([0.5] * 3, [0.25] * 3), some_pairs()
    trusted, guessed = torch.rand(4, 3).softmax(1), torch.rand(4, 3).softmax(1)
    nets = [network(dropout=0) for _ in range(2)]
    farther = Farther(nets[0], LearnConfig(lpa3=True), 70, 3, normalize)
    for net, part in zip(nets, (farther, None), strict=True):
        torch.manual_seed(8)
        mixmatch_loss(net, pairs, trusted, guessed, 4.0, None, part)
    assert all(torch.equal(a, b) for a, b in zip(*(net.state_dict().values() for net in nets), strict=True))
    assert farther.auxiliary is not None
    assert int(farther.auxiliary.layers[0].num_batches_tracked) == 1


def doubtful(labels: np.ndarray | None = None) -> Doubtful:
    inner = DATA["source"]
    given = inner if labels is None else Relabelled(inner, labels)
    reader = ResidentReader(Resident.load(given, progress=False))
    last = aw.Normalize([0.5] * 3, [0.25] * 3)
    return Doubtful(reader, reader, [aw.RandomCrop((8, 8), padding=1)], [], last, seed=0, batch_size=8)


def lpa3_error(head: nn.Module, images: Tensor, targets: list[list[float]], partner: Tensor, lam: float) -> float:
    """What `Brighter` adds: the last half of the mixture once more, u and u2 brighter."""
    brighter, error, half = images.clone(), 0.0, len(images) // 2
    brighter[half:] += 0.25
    for i in range(half, 2 * half):
        j = int(partner[i])
        p = softmax(head((lam * brighter[i] + (1 - lam) * brighter[j]).flatten()).tolist())
        wanted = [lam * t + (1 - lam) * o for t, o in zip(targets[i], targets[j], strict=True)]
        error += sum((q - t) ** 2 for q, t in zip(p, wanted, strict=True)) / (half * len(p))
    return error


@pytest.mark.parametrize("farther", [False, True])
def test_dividemix_loss_is_a_slow_loop(farther: bool):
    torch.manual_seed(2)
    nets = {"a": Seen(), "b": Seen()}
    optimizers = {name: torch.optim.SGD(net.parameters(), 0.1) for name, net in nets.items()}
    settings = DivideMixSettings(warmup=1, weight=3.0, ramp=4, temperature=0.5, alpha=4.0)
    moves: dict = {"a": Brighter()} if farther else {}  # b has none of its own, and a's loss asks for none of b's
    objective = DivideMix(nets, optimizers, doubtful(), settings, 0.0, moves)
    next(objective.phases(3))  # half way up the ramp
    objective.posterior = {name: torch.rand(70).double() for name in nets}
    pairs = some_pairs()
    torch.manual_seed(8)
    step = objective._learn("a", "b")(nets["a"], pairs)
    shown = nets["a"].shown[-2 if farther else -1]
    torch.manual_seed(8)
    share, partner = draw_mix(16, 4.0, torch.zeros(1))

    def predicted(name: str, view: int, i: int) -> list[float]:
        return softmax(nets[name].head(pairs[view].images[i].flatten()).tolist())

    targets = []
    for i in range(4):  # trusted labels, refined by the network itself, as far as the other one doubts them
        w = float(objective.posterior["b"][int(pairs.x.indices[i])])
        own = [(p + q) / 2 for p, q in zip(predicted("a", 0, i), predicted("a", 1, i), strict=True)]
        mixed = [w * float(c == int(pairs.x.labels[i])) + (1 - w) * own[c] for c in range(3)]
        targets.append([m**2 / sum(v**2 for v in mixed) for m in mixed])
    for i in range(4):  # guessed by both
        all_four = [predicted(n, view, i) for n in ("a", "b") for view in (2, 3)]
        mean = [sum(p[c] for p in all_four) / 4 for c in range(3)]
        targets.append([m**2 / sum(v**2 for v in mean) for m in mean])
    targets = [*targets[:4], *targets[:4], *targets[4:], *targets[4:]]
    lam, entropy, error, mean = float(share), 0.0, 0.0, [0.0] * 3
    for i in range(16):
        j = int(partner[i])
        p = softmax(nets["a"].head(shown[i].flatten()).tolist())
        for c in range(3):
            t = lam * targets[i][c] + (1 - lam) * targets[j][c]
            entropy -= t * math.log(p[c]) / 8 if i < 8 else 0
            error += (p[c] - t) ** 2 / 24 if i >= 8 else 0
            mean[c] += p[c] / 16
    regular = sum(math.log(1 / 3 / m) / 3 for m in mean)
    if farther:
        images = torch.cat([part.images for part in pairs])
        error += lpa3_error(nets["a"].head, images, targets, partner, lam)
    assert float(step.loss.detach()) == pytest.approx(entropy + 3.0 * 0.5 * error + regular, rel=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_dividemix_warms_up_by_cross_entropy_less_entropy(penalty: float):
    nets = {"a": Seen(), "b": Seen()}
    optimizers = {name: torch.optim.SGD(net.parameters(), 0.1) for name, net in nets.items()}
    objective = DivideMix(nets, optimizers, doubtful(), DivideMixSettings(warmup=1, penalty=penalty), 0.2)
    batch = some_pairs().x
    step = next(objective.phases(0)).loss(nets["a"], batch)  # pyright: ignore[reportArgumentType]
    logits = nets["a"].head(batch.images.flatten(1))
    entropy = torch.distributions.Categorical(logits=logits).entropy().mean()
    expected = nn.functional.cross_entropy(logits, torch.arange(4) % 3, label_smoothing=0.2)
    torch.testing.assert_close(step.loss, expected - penalty * entropy)


def test_dividemix_leaves_the_other_network_as_it_is():
    nets = {"a": network(seed=0).train(), "b": network(seed=1).train()}
    optimizers = {name: torch.optim.SGD(net.parameters(), 0.1) for name, net in nets.items()}
    objective = DivideMix(nets, optimizers, doubtful(), DivideMixSettings(warmup=1))
    before = {name: value.clone() for name, value in nets["b"].state_dict().items()}
    losses = []
    for _ in range(2):
        torch.manual_seed(8)
        nets["a"].load_state_dict(network(seed=0).state_dict())
        nets["b"].train()
        torch.manual_seed(8)
        step = objective._learn("a", "b")(nets["a"], some_pairs())
        step.loss.backward()
        losses.append(float(step.loss.detach()))
    assert losses[0] == losses[1]
    assert all(torch.equal(nets["b"].state_dict()[name], value) for name, value in before.items())
    assert all(p.grad is None for p in nets["b"].parameters())


def test_where_too_few_are_trusted_the_other_network_says_who_comes_nearest():
    nets = {"a": Seen(), "b": Seen()}
    optimizers = {name: torch.optim.SGD(net.parameters(), 0.1) for name, net in nets.items()}
    objective = DivideMix(nets, optimizers, doubtful(), DivideMixSettings(warmup=1, clean=0.999))
    torch.manual_seed(1)
    objective.posterior = {name: torch.rand(70).double() * 0.9 for name in nets}
    objective.divided = 1  # as after a resume
    for phase, other in zip(objective.phases(1), ("b", "a"), strict=True):
        (pairs,) = phase.batches(0)
        best = objective.posterior[other].argsort(descending=True)[:8]
        assert sorted(pairs.x.indices.tolist()) == sorted(best.tolist())


def test_dividemix_trains_each_by_what_the_other_trusts():
    nets = {"a": network(seed=0), "b": network(seed=1)}
    optimizers = {name: torch.optim.SGD(net.parameters(), 0.1) for name, net in nets.items()}
    objective = DivideMix(nets, optimizers, doubtful(), DivideMixSettings(warmup=1))
    assert [(p.model, p.steps) for p in objective.phases(0)] == [("a", 8), ("b", 8)]
    phases = list(objective.phases(1))
    for phase, other in zip(phases, ("b", "a"), strict=True):
        expected = clean_posterior(objective.data.losses(nets[other]))
        trusted = set(np.flatnonzero(expected.numpy() > 0.5).tolist())
        steps = list(phase.batches(0))
        assert phase.steps == len(steps) == len(trusted) // 8
        assert {int(i) for pairs in steps for i in pairs.x.indices} <= trusted
        assert not {int(i) for pairs in steps for i in pairs.u.indices} & trusted
        for pairs in steps:
            assert torch.equal(pairs.x.indices, pairs.x2.indices)
            assert not torch.equal(pairs.x.images, pairs.x2.images)
    for name in nets:  # in the middle of an epoch nothing is judged anew
        nets[name][6].weight.data.zero_()
    before = {name: value.clone() for name, value in objective.posterior.items()}
    list(objective.phases(1))
    assert all(torch.equal(before[name], value) for name, value in objective.posterior.items())


def test_pes_renews_the_last_layer_and_trusts_what_it_agrees_with():
    model = network(dropout=0)
    settings = PESSettings(stop=1, refine=2, refine_lr=0.03)
    objective = PES(model, torch.optim.SGD(model.parameters(), 0.1), doubtful(), settings)
    (plain,) = objective.phases(0)
    assert (plain.optimizer, plain.steps) == ("optimizer", 8)
    old, rest = model[6].weight.detach().clone(), model[0].weight.detach().clone()
    phases = objective.phases(1)
    refine = next(phases)
    assert (refine.optimizer, refine.steps) == ("refine", 16)
    assert not torch.equal(model[6].weight, old)
    assert torch.equal(model[0].weight, rest)
    assert objective.optimizers["refine"].param_groups[0]["lr"] == 0.03
    held = {id(p) for g in objective.optimizers["refine"].param_groups for p in g["params"]}
    assert held == {id(p) for p in model[6].parameters()}
    renewed = model[6].weight.detach().clone()
    learn = next(phases)
    assert learn.optimizer == "optimizer"
    probabilities, labels = objective.data.predictions(model, 1)
    agrees = probabilities.argmax(1) == labels
    assert torch.equal(objective.agrees, agrees)
    assert torch.equal(objective.score, probabilities[torch.arange(70), labels])
    assert 8 <= int(agrees.sum()) < 62
    seen = {int(i) for pairs in learn.batches(0) for i in pairs.x.indices}
    assert seen <= set(agrees.nonzero()[:, 0].tolist())
    counts = [int(((labels == c) & agrees).sum()) for c in range(3)]
    average = sum(counts) / sum(c > 0 for c in counts)
    assert objective.class_weights.tolist() == pytest.approx([average / c if c else 0.0 for c in counts])
    list(objective.phases(1))
    assert torch.equal(model[6].weight, renewed)  # once


@pytest.mark.parametrize("farther", [False, True])
def test_pes_loss_is_a_slow_loop(farther: bool):
    torch.manual_seed(2)
    model, pairs, moves = Seen(), some_pairs(), Brighter() if farther else None
    settings = PESSettings(stop=1, weight=3.0, ramp=4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    objective = PES(model, optimizer, doubtful(), settings, 0.2, moves)  # pyright: ignore[reportArgumentType]
    batch = pairs.x
    plain = next(objective.phases(0)).loss(model, batch)
    logits = model.head(batch.images.flatten(1))
    torch.testing.assert_close(plain.loss, nn.functional.cross_entropy(logits, batch.labels, label_smoothing=0.2))
    learn = next(objective.phases(3))  # half way up the ramp
    weights = [0.5, 1.0, 2.0]
    objective.class_weights = torch.tensor(weights)
    torch.manual_seed(8)
    step = learn.loss(model, pairs)  # pyright: ignore[reportArgumentType]
    torch.manual_seed(8)
    share, partner = draw_mix(16, 4.0, torch.zeros(1))
    lam, images = float(share), torch.cat([part.images for part in pairs])
    targets = [[float(c == int(label)) for c in range(3)] for label in batch.labels]  # labels that are trusted stay
    for i in range(4):
        own = [softmax(model.head(part.images[i].flatten()).tolist()) for part in pairs[2:]]
        mean = [(p + q) / 2 for p, q in zip(*own, strict=True)]
        targets.append([m**2 / sum(v**2 for v in mean) for m in mean])
    targets = [*targets[:4], *targets[:4], *targets[4:], *targets[4:]]
    entropy = error = 0.0
    for i in range(16):
        j = int(partner[i])
        p = softmax(model.head((lam * images[i] + (1 - lam) * images[j]).flatten()).tolist())
        for c in range(3):
            t = lam * targets[i][c] + (1 - lam) * targets[j][c]
            entropy -= weights[c] * t * math.log(p[c]) / 8 if i < 8 else 0
            error += (p[c] - t) ** 2 / 24 if i >= 8 else 0
    if farther:
        error += lpa3_error(model.head, images, targets, partner, lam)
    assert float(step.loss.detach()) == pytest.approx(entropy + 3.0 * 0.5 * error, rel=1e-5)
    assert float(step.measures["trusted_share"]) == pytest.approx(float(objective.agrees.float().mean()))


def test_predictions_are_the_mean_of_two_views():
    data, model = doubtful(), network(dropout=0)
    one, labels = data.predictions(model, 3, views=1)
    two, _ = data.predictions(model, 3)
    assert torch.equal(labels, torch.from_numpy(DATA["source"].labels))
    assert not torch.equal(one, two)
    torch.testing.assert_close(two.sum(1), torch.ones(70))
    assert torch.equal(two, data.predictions(model, 3)[0])


def test_losses_are_those_of_every_image_as_it_is():
    data, model = doubtful(), network().eval()
    images = torch.stack([DATA["source"][i][0] for i in range(70)])
    with torch.no_grad():
        logits = model(aw.Normalize([0.5] * 3, [0.25] * 3)(images))
    expected = nn.functional.cross_entropy(logits, torch.from_numpy(DATA["source"].labels), reduction="none")
    torch.testing.assert_close(data.losses(model), expected)


# whole runs


def test_they_learn_from_labels_of_which_many_are_wrong():
    easy = source(300, seed=4)
    test = source(150, seed=5)
    config = replace(CONFIG, epochs=12, batch_size=16, lr=0.1, out=None, crop_padding=0)
    found = {}
    for objective in ("supervised", "dividemix", "pes"):
        learn = LearnConfig(noise=0.6)
        if objective != "supervised":
            learn = LearnConfig(objective=objective, noise=0.6, early_epochs=4, ramp_epochs=8)
        result = run(replace(config, learn=learn), network(dropout=0), source=easy, test=test)
        found[objective] = result["test"]["last_accuracy"]
    assert found["dividemix"] > 0.6
    assert found["pes"] > 0.5


class Stopped(Exception):
    pass


class StopAt(nn.Module):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.count = at, 0

    def forward(self, batch: aw.Batch) -> aw.Batch:
        self.count += 1
        if self.count > self.at:
            raise Stopped
        return batch

    def __repr__(self) -> str:
        return "StopAt()"


LPA3 = {"lpa3": True, "lpa3_auxiliary": True}


@pytest.mark.parametrize(
    "learn",
    [
        CONFIG.learn,
        replace(CONFIG.learn, **LPA3, penalty=1.0),
        replace(CONFIG.learn, objective="pes", refine_epochs=2),
        replace(CONFIG.learn, objective="pes", refine_epochs=1, **LPA3),
    ],
    ids=["dividemix", "dividemix+lpa3", "pes", "pes+lpa3"],
)
def test_interrupted_and_resumed_it_is_the_same_run(tmp_path, learn):
    def go(name, stop):
        config = replace(CONFIG, out=tmp_path / name, ema=0.9, checkpoint_steps=1, learn=learn)
        return run(config, steps=[StopAt(stop)])

    whole = go("whole", 10**6)
    counted = StopAt(10**6)
    run(replace(CONFIG, out=None, learn=learn), steps=[counted])
    for stop in (3, 14, counted.count // 2, counted.count - 2):
        with pytest.raises(Stopped):
            go(f"at{stop}", stop)
        resumed = go(f"at{stop}", 10**6)
        for a, b in zip(resumed["curve"], whole["curve"], strict=True):
            assert {**a, "seconds": 0} == {**b, "seconds": 0}
        files = [tmp_path / at / "weights.safetensors" for at in (f"at{stop}", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_two_networks_are_evaluated_as_one(tmp_path):
    config = replace(CONFIG, out=tmp_path, data="digits", size=12, limit=120, eval_limit=60, model="small_cnn")
    result = train(replace(config, batch_size=16))
    again = aw.evaluate(EvaluateConfig(run=tmp_path, limit=60, quiet=True, device="cpu"))
    assert again["accuracy"] == pytest.approx(result["test"]["last_accuracy"])
    from augwise.training.trained import trained

    model = trained(tmp_path).model
    assert isinstance(model.model, aw.models.Ensemble)
    members = list(model.model.members.values())
    x = torch.rand(2, 3, 12, 12)
    torch.testing.assert_close(model.model(x), (members[0](x) + members[1](x)) / 2)
    with pytest.raises(UserError, match="holds 2 networks that decide together"):
        train(replace(config, out=None, checkpoint=tmp_path / "weights.safetensors", learn=LearnConfig()))


def test_the_second_network_begins_elsewhere():
    model = network()
    twin = another(model, 0)
    assert not torch.equal(model[0].weight, twin[0].weight)
    assert torch.equal(another(model, 0)[0].weight, twin[0].weight)
    assert not torch.equal(another(model, 1)[0].weight, twin[0].weight)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": 1.2}, "noise=1.2 is no share of the labels"),
        ({"noise": 0.0, "noise_kind": "asymmetric"}, "noise_kind has no use with noise=0"),
        ({"noise_kind": "odd"}, "noise_kind='odd' is unknown: use one of symmetric, asymmetric"),
        ({"early_epochs": 0}, "early_epochs=0 is not positive"),
        ({"refine_epochs": 2}, "refine_epochs has no use with objective=dividemix"),
        ({"objective": "pes", "clean": 0.7}, "clean has no use with objective=pes"),
        ({"objective": "supervised"}, "early_epochs, ramp_epochs have no use with objective=supervised"),
        ({"labelled": 10}, "labelled has no use with objective=dividemix: set objective=fixmatch"),
        ({"mix_alpha": 0.0}, "mix_alpha=0.0 is not positive"),
        ({"clean": 1.0}, "clean=1.0 is no probability to exceed"),
        ({"lpa3": True, "lpa3_ratio": 0.5}, "lpa3_ratio has no use with objective=dividemix, which moves all images"),
    ],
)
def test_settings_that_cannot_be_meant(changes, message):
    with pytest.raises(UserError, match=message):
        run(learning(**changes))


def test_steps_that_ask_for_labels_are_refused():
    with pytest.raises(UserError, match="asks for labels, which objective=dividemix does not have, or not trust"):
        run(learning(), steps=[aw.Mixup()])
    with pytest.raises(UserError, match="batch_size=80 is more than the 70 training images"):
        run(replace(learning(), batch_size=80))
