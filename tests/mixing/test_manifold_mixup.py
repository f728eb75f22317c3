"""Manifold Mixup: one layer of several in each step, features and labels by the same shares, the model as it was."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import augwise as aw
from augwise.mixing.manifold_mixup import mix_features
from reference.training_toys import network, source
from reference.training_toys import weights as flat

LAYERS = ("input", "stem", "body.1")


class Toy(nn.Module):
    """Layers that a hand can follow; it notes every batch that its body sees."""

    def __init__(self, twice: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(4 * 5 * 6, 7))
        self.head = nn.Linear(7, 5)
        self.idle = nn.Identity()
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        if self.twice:
            x = self.stem(x[:, :3])
        return self.head(self.body(x.relu()).tanh())


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(n: int = 8, dtype: torch.dtype = torch.float32):
    return torch.rand(n, 3, 5, 6, generator=seeded(9)).to(dtype), torch.arange(n) % 5


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def by_hand(model: Toy, images: Tensor, layer: str, partner: Tensor, share: Tensor) -> Tensor:
    """The forward pass with one line of mixing at the named place, image by image."""

    def mixed(h: Tensor) -> Tensor:
        return torch.stack([share[i] * h[i] + (1 - share[i]) * h[int(j)] for i, j in enumerate(partner)])

    x = mixed(images) if layer == "input" else images
    x = model.stem(x)
    x = mixed(x) if layer == "stem" else x
    x = model.body(x.relu())
    x = mixed(x) if layer == "body.1" else x
    return model.head(x.tanh())


@pytest.mark.parametrize("per_batch", [False, True])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_features_and_labels_have_the_drawn_shares(per_batch, p):
    torch.manual_seed(0)
    model = Toy().double()
    images, labels = some(dtype=torch.float64)
    manifold = aw.ManifoldMixup(LAYERS, alpha=0.8, per_batch=per_batch, p=p)
    seen = set()
    for seed in range(12):
        drawn = manifold.make_params(8, seeded(seed))
        logits, mixed = manifold(model, images, labels, generator=seeded(seed))
        partner, share = drawn["rows"][:, 1], drawn["share"]
        assert torch.allclose(logits, by_hand(model, images, drawn["layer"], partner, share), atol=1e-6)
        dense = torch.zeros(8, 5, dtype=torch.float64)
        for i, j in enumerate(partner.tolist()):
            dense[i, labels[i]] += share[i]
            dense[i, labels[j]] += 1 - share[i]
        assert torch.allclose(mixed.dense(5).double(), dense, atol=1e-6)
        assert (len(share.unique()) <= 2) == per_batch
        assert p < 1 or (share < 1).all()
        seen.add(drawn["layer"])
        assert hooks(model) == 0
    assert seen == set(LAYERS)


def test_gradients_reach_both_images_through_the_features():
    features = torch.rand(4, 3, 2, requires_grad=True)
    partner, share = torch.tensor([1, 2, 3, 0]), torch.tensor([0.2, 0.9, 0.5, 1.0])
    mix_features(features, partner, share).sum((1, 2))[0].backward()
    assert torch.allclose(features.grad[:, 0, 0], torch.tensor([0.2, 0.8, 0.0, 0.0]))


def test_half_precision_is_rounded_once():
    features = torch.rand(40, 7, generator=seeded()).bfloat16()
    partner, share = torch.randperm(40, generator=seeded()), torch.rand(40, generator=seeded(1)).double()
    exact = share[:, None] * features.double() + (1 - share[:, None]) * features.double()[partner]
    found = mix_features(features, partner, share)
    assert found.dtype == torch.bfloat16
    assert (found == exact.bfloat16()).double().mean() > 0.99


def test_layers_are_drawn_alike_and_shares_follow_the_beta_distribution():
    manifold = aw.ManifoldMixup(LAYERS, alpha=0.4, per_batch=True)
    generator, layers, shares = seeded(), [], []
    for _ in range(1500):
        drawn = manifold.make_params(2, generator)
        layers.append(LAYERS.index(drawn["layer"]))
        shares.append(float(drawn["share"][0]))
    assert stats.chisquare(torch.bincount(torch.tensor(layers)).numpy()).pvalue > 1e-3
    assert stats.kstest(shares, stats.beta(0.4, 0.4).cdf).pvalue > 1e-3


def test_a_batch_and_what_is_mixed_already_may_come():
    model, (images, labels) = Toy(), some()
    mixed = aw.CutMix(alpha=1.0)(aw.Batch.of(images, labels), generator=seeded(3))
    manifold = aw.ManifoldMixup(("stem",))
    drawn = manifold.make_params(8, seeded(4))
    logits, twice = manifold(model, mixed, generator=seeded(4))
    share = drawn["share"][:, None].float()
    expected = share * mixed.labels.dense(5) + (1 - share) * mixed.labels.dense(5)[drawn["rows"][:, 1]]
    assert torch.allclose(twice.dense(5), expected, atol=1e-6)
    assert logits.shape == (8, 5)
    for n in (0, 1):
        logits, of_few = manifold(model, images[:n], labels[:n])
        assert torch.allclose(logits, model(images[:n]), atol=1e-6)
        assert torch.allclose(of_few.dense(5), aw.MixedLabels.of(labels[:n]).dense(5))


def test_eval_mode_is_left_alone_and_draws_nothing():
    model, (images, labels) = Toy().eval(), some()
    generator = seeded()
    state = generator.get_state()
    logits, same = aw.ManifoldMixup(("stem",))(model, images, labels, generator=generator)
    assert torch.equal(logits, model(images))
    assert torch.equal(same.dense(5), aw.MixedLabels.of(labels).dense(5))
    assert torch.equal(generator.get_state(), state)


def test_the_hook_is_gone_also_where_the_model_raises():
    class Broken(Toy):
        def forward(self, x: Tensor) -> Tensor:
            super().forward(x)
            raise RuntimeError("out of memory, say")

    model, (images, labels) = Broken(), some()
    with pytest.raises(RuntimeError, match="out of memory"):
        aw.ManifoldMixup(("stem",))(model, images, labels)
    assert hooks(model) == 0
    assert torch.equal(Toy.forward(model, images), Toy.forward(copy.deepcopy(model), images))


def test_a_layer_that_runs_twice_is_mixed_once():
    torch.manual_seed(1)
    model = Toy(twice=True)
    images, labels = some()
    manifold = aw.ManifoldMixup(("stem",))
    drawn = manifold.make_params(8, seeded(5))
    logits, _ = manifold(model, images, labels, generator=seeded(5))
    first = mix_features(model.stem(images), drawn["rows"][:, 1], drawn["share"])
    expected = model.head(model.body(model.stem(first[:, :3]).relu()).tanh())
    assert torch.allclose(logits, expected, atol=1e-6)


def test_layers_inside_a_wrapper_go_by_their_own_names():
    class Wrapper(nn.Module):  # as DistributedDataParallel holds a model
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x)

    model, (images, labels) = Toy(), some()
    manifold = aw.ManifoldMixup(("stem",))
    inner, _ = manifold(model, images, labels, generator=seeded())
    outer, _ = manifold(Wrapper(model), images, labels, generator=seeded())
    assert torch.equal(inner, outer)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.ManifoldMixup("stem"), "names of one layer or more"),
        (lambda: aw.ManifoldMixup(()), "names of one layer or more"),
        (lambda: aw.ManifoldMixup(LAYERS, alpha=0), "alpha=0"),
        (lambda: aw.ManifoldMixup(LAYERS, p=1.5), "p=1.5"),
        (lambda: aw.ManifoldMixup(("input", "stum"))(Toy(), *some()), "no layer 'stum'.*'stem'"),
        (lambda: aw.ManifoldMixup(("idle",))(Toy(), *some()), "'idle' did not run"),
        (lambda: aw.ManifoldMixup(("stem",))(Toy(), some()[0]), "no labels"),
        (lambda: aw.ManifoldMixup(("stem",))(Toy(), some()[0], torch.arange(3)), "8 images and 3 labels"),
        (lambda: aw.ManifoldMixup(("0",))(nn.Sequential(nn.LSTM(6, 4)), torch.rand(2, 5, 6), torch.arange(2)), "tuple"),
        (lambda: aw.ManifoldMixup(("0",))(nn.Sequential(nn.Flatten(0)), some()[0], some()[1]), r"shape \(720,\)"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


def test_it_tells_what_it_is_and_can_be_pickled():
    manifold = aw.ManifoldMixup(LAYERS, alpha=0.8, per_batch=True, p=0.5)
    told = {
        repr(m)
        for m in (manifold, aw.ManifoldMixup(LAYERS), aw.ManifoldMixup(LAYERS, p=0.5), aw.ManifoldMixup(["stem"]))
    }
    assert len(told) == 4
    again = pickle.loads(pickle.dumps(manifold))
    assert repr(again) == repr(manifold)
    assert again.make_params(3, seeded())["layer"] == manifold.make_params(3, seeded())["layer"]


def test_a_run_of_this_library_trains_with_it(tmp_path):
    """As ``forward=`` of `aw.train`: other weights, the same after an interruption, another run by another setting."""

    def run(out: str, forward, stop: int | None = None):
        def on_epoch(row):
            if row["epoch"] == stop:
                raise KeyboardInterrupt

        model = network()
        config = aw.TrainConfig(
            epochs=3, batch_size=16, lr=0.05, out=str(tmp_path / out), quiet=True, device="cpu", tensorboard=False
        )
        images = source()
        try:
            result = aw.train(config, source=images, test=images, model=model, forward=forward, on_epoch=on_epoch)
        except KeyboardInterrupt:
            return None, None
        return result, flat(model)

    manifold = aw.ManifoldMixup(("input", "0"), p=aw.Ramp(1.0))
    result, mixed = run("mixed", manifold)
    _, plain = run("plain", None)
    assert not torch.equal(mixed, plain)
    assert result["identity"]["forward"] == repr(manifold)
    run("cut", manifold, stop=2)
    _, resumed = run("cut", manifold)
    assert torch.equal(resumed, mixed)
    with pytest.raises(aw.UserError, match="forward"):
        run("mixed", aw.ManifoldMixup(("input",)))
