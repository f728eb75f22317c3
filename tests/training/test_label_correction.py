"""P-correction and M-correction: losses, label updates and mixture against slow references, exact resume, settings."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.data import Resident
from augwise.errors import UserError
from augwise.labels import MixedLabels
from augwise.sample import Batch
from augwise.training.batches import ResidentReader
from augwise.training.config import TrainConfig
from augwise.training.doubtful import Doubtful
from augwise.training.learn_config import LearnConfig
from augwise.training.objectives.m_correction import MCorrection, MCorrectionSettings, wrong_posterior
from augwise.training.objectives.mixmatch import draw_mix
from augwise.training.objectives.p_correction import (
    PCorrection,
    PCorrectionSettings,
    label_gradient,
    pencil_loss,
)
from augwise.training.train import train
from reference.training_toys import network, source

CONFIG = TrainConfig(
    epochs=5,
    batch_size=8,
    lr=0.05,
    crop_padding=1,
    flip=False,
    precision="fp32",
    device="cpu",
    quiet=True,
    tensorboard=False,
    learn=LearnConfig(objective="p_correction", noise=0.4, early_epochs=1, correct_epochs=2),
)
M_LEARN = LearnConfig(objective="m_correction", noise=0.4, early_epochs=2, mix_alpha=2.0)
DATA = {"source": source(70, seed=1), "test": source(40, seed=2)}


def run(config: TrainConfig, **parts):
    return train(config, **{**DATA, "model": network(), **parts})


def doubtful() -> Doubtful:
    reader = ResidentReader(Resident.load(DATA["source"], progress=False))
    last = aw.Normalize([0.5] * 3, [0.25] * 3)
    return Doubtful(reader, reader, [aw.RandomCrop((8, 8), padding=1)], [], last, seed=0, batch_size=8)


class Linear(nn.Module):
    """A linear network that remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.head, self.shown = nn.Linear(3 * 64, 3), []

    def forward(self, images: Tensor) -> Tensor:
        self.shown.append(images.detach().clone())
        return self.head(images.flatten(1))

    def says(self, image: Tensor) -> list[float]:
        return softmax(self.head(image.flatten()).tolist())


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in row)
    return [math.exp(v) / total for v in row]


def batch(mixed: bool = False, n: int = 6) -> Batch:
    """Rows 3, 5, 7, ... of the data set."""
    torch.manual_seed(4)
    labels = torch.arange(n) % 3
    given = MixedLabels.of(labels)
    if mixed:
        shares = torch.tensor([0.7, 0.3]).repeat(n, 1)
        given = MixedLabels(torch.stack([labels, (labels + 1) % 3], 1), shares, torch.full((n,), 0.1))
    found = Batch.of(torch.rand(n, 3, 8, 8), given if mixed else labels, None, torch.arange(n) * 2 + 3)
    return found._replace(images=found.images.as_subclass(Tensor))


def p_correction(settings: PCorrectionSettings) -> PCorrection:
    model = Linear()
    return PCorrection(model, torch.optim.SGD(model.parameters(), 0.1), doubtful(), settings, 3)


def m_correction(settings: MCorrectionSettings, **parts) -> MCorrection:
    model = Linear()
    return MCorrection(model, torch.optim.SGD(model.parameters(), 0.1), doubtful(), settings, 3, **parts)


# P-correction


@pytest.mark.parametrize("mixed", [False, True])
def test_its_second_stage_is_a_slow_loop(mixed: bool):
    settings = PCorrectionSettings(early=1, correct=2, rate=7.0, compatibility=0.3, entropy=0.7, scale=4.0)
    objective, images = p_correction(settings), batch(mixed)
    torch.manual_seed(9)
    objective.moved.normal_()
    before = objective.moved.clone()
    model: Linear = objective.models["model"]  # pyright: ignore[reportAssignmentType]
    step = objective._correct(model, images)
    given = MixedLabels.of(images.labels).dense(3)
    kl = compatibility = entropy = 0.0
    expected = before.clone()
    for i in range(6):
        row, f, t = int(images.indices[i]), model.says(images.images[i]), given[i].tolist()
        y = softmax([4.0 * t[c] + float(before[row, c]) for c in range(3)])
        kl += sum(f[c] * math.log(f[c] / y[c]) for c in range(3)) / 6
        compatibility -= sum(t[c] * math.log(y[c]) for c in range(3)) / 6
        entropy -= sum(f[c] * math.log(f[c]) for c in range(3)) / 6
        for c in range(3):
            expected[row, c] -= 7.0 * ((y[c] - f[c]) / 3 + 0.3 * (y[c] - t[c])) / 6
    loss = kl / 3 + 0.3 * compatibility + 0.7 * entropy / 3
    assert float(step.loss.detach()) == pytest.approx(loss, rel=1e-5)
    assert float(step.measures["kl"].detach()) == pytest.approx(kl, rel=1e-5)
    torch.testing.assert_close(objective.moved, expected)
    assert not torch.equal(objective.moved, before)
    rest = torch.ones(70, dtype=torch.bool)
    rest[images.indices] = False
    assert torch.equal(objective.moved[rest], before[rest])
    assert not objective.moved.requires_grad


def test_labels_go_down_their_own_gradient():
    torch.manual_seed(1)
    logits, learned = torch.randn(5, 4).double(), torch.randn(5, 4).double().requires_grad_()
    given = torch.eye(4, dtype=torch.float64)[[0, 2, 1, 3, 2]]
    parts = pencil_loss(logits, given, learned)
    (0.25 * parts.kl + 0.6 * parts.compatibility + 0.8 * parts.entropy / 4).backward()
    torch.testing.assert_close(label_gradient(logits, given, learned.detach(), 0.6), learned.grad)
    log_f, log_y = logits.log_softmax(1), learned.detach().log_softmax(1)
    torch.testing.assert_close(parts.kl, nn.functional.kl_div(log_y, log_f, reduction="batchmean", log_target=True))
    torch.testing.assert_close(parts.compatibility, nn.functional.cross_entropy(learned.detach(), given))
    torch.testing.assert_close(parts.entropy, torch.distributions.Categorical(logits=logits).entropy().mean())


def test_its_three_stages_begin_when_they_should():
    objective = p_correction(PCorrectionSettings(early=2, correct=3, rate=5.0, entropy=0.0, compatibility=0.0))
    model = objective.models["model"]
    images = batch()
    for epoch in range(7):
        (phase,) = objective.phases(epoch)
        assert (phase.model, phase.optimizer, phase.steps) == ("model", "model", 8)
        assert len({int(i) for b in phase.batches(0) for i in b.indices}) == 64
        before = objective.moved.clone()
        step = phase.loss(model, images)
        assert torch.equal(objective.moved, before) == (epoch < 2 or epoch >= 5)
        assert ("train_accuracy" in step.measures) == (epoch < 2)
        logits = model(images.images)
        if epoch < 2:
            assert not objective.moved.any()
            torch.testing.assert_close(step.loss, nn.functional.cross_entropy(logits, torch.arange(6) % 3))
        else:
            y = 10 * torch.eye(3)[images.labels] + before[images.indices]
            torch.testing.assert_close(step.loss, pencil_loss(logits, torch.eye(3)[images.labels], y).kl / 3)


def test_its_first_stage_smooths_as_it_is_told():
    model, images = Linear(), batch()
    settings = PCorrectionSettings(early=1, correct=1)
    objective = PCorrection(model, torch.optim.SGD(model.parameters(), 0.1), doubtful(), settings, 3, 0.2)
    (phase,) = objective.phases(0)
    expected = nn.functional.cross_entropy(model(images.images), images.labels, label_smoothing=0.2)
    torch.testing.assert_close(phase.loss(model, images).loss, expected)


def test_labels_that_the_network_denies_are_changed():
    objective = p_correction(PCorrectionSettings(early=0, correct=9, rate=60.0, compatibility=0.0))
    images = batch()
    sure = images._replace(images=torch.zeros(6, 3, 8, 8))

    def says_class_two(x: Tensor) -> Tensor:
        return torch.tensor([0.0, 0.0, 9.0]).expand(len(x), 3)

    model: nn.Module = says_class_two  # pyright: ignore[reportAssignmentType]
    shares = [float(objective._correct(model, sure).measures["changed_labels"]) for _ in range(12)]
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(4 / 6)  # two of the six are of that class already
    _, learned = objective._labels(sure)
    assert bool((learned.argmax(1) == 2).all())


@pytest.mark.parametrize(("compatibility", "changes"), [(0.3, True), (0.4, False)])
def test_a_label_changes_only_where_it_weighs_less_than_a_prediction(compatibility: float, changes: bool):
    """At rest, (α c ŷ + f) / (α c + 1), which names another class than ŷ where α c < 1."""
    given, says = torch.eye(3)[[0]].double(), torch.tensor([[0.0, 40.0, 0.0]]).double()
    learned = 10 * given
    for _ in range(3000):
        learned = learned - label_gradient(says, given, learned, compatibility)
    rest = (3 * compatibility * given + says.softmax(1)) / (3 * compatibility + 1)
    torch.testing.assert_close(learned.softmax(1), rest, atol=1e-3, rtol=0)
    assert bool(learned.argmax() == 1) == changes


# M-correction


def slow_posterior(losses: list[float], iterations: int = 10) -> list[float]:
    """In loops over floats; percentiles by NumPy."""
    low, high = np.percentile(losses, 5), np.percentile(losses, 95)
    scaled = [(v - low) / (high - low) for v in losses]
    fitted = [min(max(v, 1e-3), 1 - 1e-3) for v in scaled if 0 <= v <= 1]
    a, b, share = [1.0, 2.0], [2.0, 1.0], [0.5, 0.5]

    def joint(v: float, k: int) -> float:
        log = math.lgamma(a[k] + b[k]) - math.lgamma(a[k]) - math.lgamma(b[k])
        return share[k] * math.exp(log + (a[k] - 1) * math.log(v) + (b[k] - 1) * math.log(1 - v))

    for _ in range(iterations):
        found = []
        for v in fitted:
            both = [joint(v, 0), joint(v, 1)]
            found.append([p / sum(both) for p in both])
        for k in range(2):
            count = sum(w[k] for w in found)
            mean = sum(w[k] * v for w, v in zip(found, fitted, strict=True)) / count
            variance = sum(w[k] * (v - mean) ** 2 for w, v in zip(found, fitted, strict=True)) / count
            a[k] = mean * (mean * (1 - mean) / variance - 1)
            b[k] = a[k] * (1 - mean) / mean
            share[k] = count / len(fitted)
    k = max(range(2), key=lambda j: a[j] / (a[j] + b[j]))
    grid = [min(max(v, 1e-3), 1 - 1e-3) for v in scaled]
    return [joint(v, k) / (joint(v, 0) + joint(v, 1)) for v in grid]


def two_betas(a: float, b: float, c: float, d: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """300 losses of one Beta distribution and 200 of another, up to 4; which are of the second."""
    rng = np.random.default_rng(seed)
    losses = np.concatenate([rng.beta(a, b, 300), rng.beta(c, d, 200)]) * 4
    return torch.from_numpy(losses).float(), torch.arange(500) >= 300


def monotone(losses: Tensor, posterior: list[float]) -> list[float]:
    """The reference where it rises with the loss, and its nearest extreme where it falls again at an end."""
    order = losses.argsort().tolist()
    values = np.array([posterior[i] for i in order])
    peak, dip = int(values.argmax()), int(values.argmin())
    values[peak:], values[:dip] = values[peak], values[dip]
    back = np.empty_like(values)
    back[order] = values
    return back.tolist()


@pytest.mark.parametrize(
    ("shapes", "right"),
    [((2, 9, 8, 3), 0.95), ((1.2, 12, 6, 6), 0.9), ((3, 30, 1.5, 1.2), 0.87), ((20, 100, 1, 1), 0.8)],
)
def test_the_posterior_is_that_of_a_mixture_of_two_betas(shapes, right):
    losses, wrong = two_betas(*shapes)
    posterior = wrong_posterior(losses)
    expected = monotone(losses, slow_posterior(losses.double().tolist()))
    np.testing.assert_allclose(posterior.numpy(), expected, atol=1e-3)
    assert bool((posterior[losses.argsort()].diff() >= -1e-12).all())
    assert float(((posterior > 0.5) == wrong).float().mean()) > right
    assert float(posterior.mean()) == pytest.approx(0.4, abs=0.1)


def test_which_component_is_wrong_does_not_depend_on_their_order():
    """Nearly all losses are large: the first component, begun at the smaller mean, stays the smaller."""
    rng = np.random.default_rng(2)
    losses = torch.from_numpy(np.concatenate([rng.beta(4, 40, 40), rng.beta(30, 6, 460)]))
    posterior = wrong_posterior(losses)
    assert bool((posterior[:40] < 0.1).all())
    assert bool((posterior[40:] > 0.9).all())


@pytest.mark.parametrize(
    "losses",
    [
        [2.0] * 7,
        [0.3],
        [0.1, 3.0],
        [0.1, 0.2, 3.0],
        [0.0] * 50 + [5.0] * 50,
        [0.0] * 99 + [5.0],
        [1e-30, 1e-8, 40.0, 90.0],
    ],
    ids=["equal", "one", "two", "three", "two values", "one stands out", "far apart"],
)
def test_degenerate_losses(losses):
    posterior = wrong_posterior(torch.tensor(losses))
    assert posterior.shape == (len(losses),)
    assert bool(((posterior >= 0) & (posterior <= 1)).all())
    assert bool((posterior.diff() >= -1e-12).all())
    if len(set(losses)) == 1:
        assert not posterior.any()
    if losses[25:75] == [0.0] * 25 + [5.0] * 25:
        assert bool((posterior[:50] < 0.01).all())
        assert bool((posterior[50:] > 0.99).all())


@pytest.mark.parametrize("mixed", [False, True])
def test_bootstrapping_is_a_slow_loop(mixed: bool):
    objective, images = m_correction(MCorrectionSettings(1, alpha=2.0, balance=0.6)), batch(mixed)
    torch.manual_seed(9)
    objective.wrong = torch.rand(70)
    model: Linear = objective.models["model"]  # pyright: ignore[reportAssignmentType]
    torch.manual_seed(8)
    step = objective._bootstrap(model, images)
    torch.manual_seed(8)
    share, partner = draw_mix(6, 2.0, torch.zeros(1))
    lam, given = float(share), MixedLabels.of(images.labels).dense(3)
    assert lam > 0.5
    torch.testing.assert_close(model.shown[0], images.images)

    def believed(i: int, h: list[float]) -> float:
        w, own = float(objective.wrong[int(images.indices[i])]), model.says(images.images[i])
        z = own.index(max(own))
        return (1 - w) * -sum(float(given[i, c]) * math.log(h[c]) for c in range(3)) - w * math.log(h[z])

    loss, mean = 0.0, [0.0] * 3
    for p in range(6):
        q = int(partner[p])
        picture = lam * images.images[p] + (1 - lam) * images.images[q]
        torch.testing.assert_close(model.shown[1][p], picture)
        h = model.says(picture)
        loss += (lam * believed(p, h) + (1 - lam) * believed(q, h)) / 6
        mean = [m + v / 6 for m, v in zip(mean, h, strict=True)]
    balance = sum(math.log(1 / 3 / m) / 3 for m in mean)
    assert balance > 0.001
    assert float(step.measures["bootstrap_loss"].detach()) == pytest.approx(loss, rel=1e-5)
    assert float(step.loss.detach()) == pytest.approx(loss + 0.6 * balance, rel=1e-5)
    assert float(step.measures["wrong_share"]) == pytest.approx(float(objective.wrong[images.indices].mean()))


def test_its_warm_up_is_mixup_under_the_labels_given():
    objective, images = m_correction(MCorrectionSettings(1, alpha=2.0), label_smoothing=0.2), batch()
    model, labels = objective.models["model"], torch.arange(6) % 3
    torch.manual_seed(8)
    step = objective._mixup(model, images)
    torch.manual_seed(8)
    share, partner = draw_mix(6, 2.0, torch.zeros(1))
    logits = model(share * images.images + (1 - share) * images.images[partner])
    own = nn.functional.cross_entropy(logits, labels, label_smoothing=0.2)
    other = nn.functional.cross_entropy(logits, labels[partner], label_smoothing=0.2)
    torch.testing.assert_close(step.loss, share * own + (1 - share) * other)


def test_losses_are_modelled_once_an_epoch_and_not_before_the_warm_up_ends():
    model = network(dropout=0)
    settings = MCorrectionSettings(warmup=2)
    objective = MCorrection(model, torch.optim.SGD(model.parameters(), 0.1), doubtful(), settings, 3)
    for epoch in range(2):
        (phase,) = objective.phases(epoch)
        assert phase.loss == objective._mixup
        assert not objective.wrong.any()
    (phase,) = objective.phases(2)
    assert (phase.loss, phase.steps) == (objective._bootstrap, 8)
    expected = wrong_posterior(objective.data.losses(model)).float()
    assert torch.equal(objective.wrong, expected)
    model.get_submodule("6").weight.data.zero_()  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
    list(objective.phases(2))
    assert torch.equal(objective.wrong, expected)  # in the middle of an epoch nothing is judged anew
    list(objective.phases(3))
    assert not torch.equal(objective.wrong, expected)


# whole runs


def test_they_learn_from_labels_of_which_many_are_wrong():
    easy, test = source(300, seed=4), source(150, seed=5)
    config = replace(CONFIG, epochs=12, batch_size=16, lr=0.1, out=None, crop_padding=0)
    found = {}
    for objective in ("p_correction", "m_correction"):
        learn = LearnConfig(objective=objective, noise=0.6, early_epochs=4)
        result = run(replace(config, learn=learn), model=network(dropout=0), source=easy, test=test)
        found[objective] = result["test"]["last_accuracy"]
        measured = {"p_correction": "changed_labels", "m_correction": "wrong_share"}[objective]
        assert 0.05 < result["curve"][-1][measured] < 0.95
    assert found["p_correction"] > 0.6
    assert found["m_correction"] > 0.6


class Stopped(Exception):
    pass


class StopAt(nn.Module):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.count = at, 0

    def forward(self, batch: Batch) -> Batch:
        self.count += 1
        if self.count > self.at:
            raise Stopped
        return batch

    def __repr__(self) -> str:
        return "StopAt()"


@pytest.mark.parametrize("learn", [CONFIG.learn, M_LEARN], ids=["p_correction", "m_correction"])
def test_interrupted_and_resumed_it_is_the_same_run(tmp_path, learn):
    def go(name, stop):
        config = replace(CONFIG, out=tmp_path / name, ema=0.9, checkpoint_steps=1, learn=learn)
        return run(config, steps=[StopAt(stop)])

    whole = go("whole", 10**6)
    for stop in (3, 12, 19, 29, 38):  # in every stage, whose epochs have 8 steps
        with pytest.raises(Stopped):
            go(f"at{stop}", stop)
        resumed = go(f"at{stop}", 10**6)
        for a, b in zip(resumed["curve"], whole["curve"], strict=True):
            assert {**a, "seconds": 0} == {**b, "seconds": 0}
        files = [tmp_path / at / "weights.safetensors" for at in (f"at{stop}", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_what_is_left_out_goes_with_the_length_of_the_run(monkeypatch):
    from augwise.training import learners

    made = []
    for name in ("PCorrection", "MCorrection"):
        kept = getattr(learners, name)

        def noted(*parts, kept=kept):
            made.append(parts[3])
            return kept(*parts)

        monkeypatch.setattr(learners, name, noted)
    for learn in (LearnConfig(objective="p_correction", noise=0.4), LearnConfig(objective="m_correction", noise=0.4)):
        run(replace(CONFIG, epochs=16, batch_size=32, eval_last=1, out=None, learn=learn))
    learn = LearnConfig(objective="p_correction", label_lr=3.0, compatibility=0.2, entropy=0)
    run(replace(CONFIG, epochs=1, out=None, learn=learn))
    assert made == [
        PCorrectionSettings(early=4, correct=6, rate=600 * 32 / 128 * 130 / 6, compatibility=1 / 3, entropy=0.4),
        MCorrectionSettings(warmup=5, alpha=32.0, balance=1.0),
        PCorrectionSettings(early=1, correct=0, rate=3.0, compatibility=0.2, entropy=0),
    ]


@pytest.mark.parametrize(
    ("learn", "changes", "message"),
    [
        (CONFIG.learn, {"lpa3": True}, "objective=p_correction sets no images apart that lpa3 could move"),
        (M_LEARN, {"lpa3": True}, "objective=m_correction sets no images apart that lpa3 could move"),
        (CONFIG.learn, {"mix_alpha": 4.0}, "mix_alpha has no use with objective=p_correction"),
        (CONFIG.learn, {"balance": 2.0}, "balance has no use with objective=p_correction"),
        (M_LEARN, {"label_lr": 4.0}, "label_lr has no use with objective=m_correction"),
        (M_LEARN, {"ramp_epochs": 4}, "ramp_epochs has no use with objective=m_correction"),
        (M_LEARN, {"temperature": 0.5}, "temperature has no use with objective=m_correction: it sharpens nothing"),
        (CONFIG.learn, {"unlabelled_weight": 2.0}, "unlabelled_weight has no use with objective=p_correction"),
        (CONFIG.learn, {"objective": "pes"}, "correct_epochs has no use with objective=pes"),
        (M_LEARN, {"objective": "supervised"}, "early_epochs, mix_alpha have no use with objective=supervised"),
        (CONFIG.learn, {"label_lr": 0.0}, "label_lr=0.0 is not positive"),
        (CONFIG.learn, {"correct_epochs": -1}, "correct_epochs=-1: give 0 or more"),
        (CONFIG.learn, {"compatibility": -0.1}, "compatibility=-0.1: give 0 or more"),
        (CONFIG.learn, {"entropy": -0.1}, "entropy=-0.1: give 0 or more"),
        (M_LEARN, {"balance": -1.0}, "balance=-1.0: give 0 or more"),
        (M_LEARN, {"mix_alpha": 0.0}, "mix_alpha=0.0 is not positive"),
    ],
)
def test_settings_that_cannot_be_meant(learn, changes, message):
    with pytest.raises(UserError, match=message):
        run(replace(CONFIG, out=None, learn=replace(learn, **changes)))
