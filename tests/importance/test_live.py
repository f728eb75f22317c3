"""Live maps: the gradient written down by hand, the model left as it was, and what a guard makes of them."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import augwise as aw
from augwise import randomness, regions
from augwise.data import WithImportance
from augwise.importance.saliency import GradientSaliency, minmax
from reference.training_toys import network, source, weights

MEAN, STD = [0.4, 0.5, 0.3], [0.2, 0.3, 0.25]
HEIGHT, WIDTH = 6, 9


def batch(n: int = 5, dtype: torch.dtype = torch.uint8, seed: int = 0) -> aw.Batch:
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=g)
    images = images if dtype == torch.uint8 else images.to(dtype) / 255
    return aw.Batch.of(images, torch.arange(n) % 3)


def trained(norm: str = "batch") -> nn.Module:
    """Statistics that are not those of a new network, one part frozen in eval mode, gradients from somewhere."""
    model = network(norm)
    model.train()
    for seed in range(3):
        model(batch(8, torch.float32, seed).images).square().sum().backward()
    model[0].eval()
    return model


def by_hand(model: nn.Module, images: Tensor, labels: Tensor, of: str = "logit") -> Tensor:
    """One image at a time: the largest over channels of |gradient| of the true class's score in eval mode."""
    model = copy.deepcopy(model).eval()
    maps = []
    for image, label in zip(images, labels.tolist(), strict=True):
        x = (image[None] / 255 if image.dtype == torch.uint8 else image[None]).clone().requires_grad_()
        z = model((x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None])[0]
        score = {"logit": z[label], "top_logit": z.max(), "log_probability": F.log_softmax(z, 0)[label]}[of]
        score.backward()
        maps.append(x.grad[0].abs().amax(0))
    return torch.stack(maps)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("of", ["logit", "log_probability", "top_logit"])
def test_the_map_is_the_gradient_of_each_image_alone(dtype, of):
    model, given = trained(), batch(5, dtype)
    images = given.images.as_subclass(Tensor)
    result = aw.LiveSaliency(model, MEAN, STD, of=of)(given)
    expected = by_hand(model, images, given.labels, of)
    assert expected.max() > 1e-3
    torch.testing.assert_close(result.importance.as_subclass(Tensor), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(result.evidence, expected.sum((1, 2)), rtol=1e-4, atol=1e-6)
    assert type(result.importance) is aw.ImportanceMap
    assert torch.equal(result.images, given.images)
    assert torch.equal(given.images.as_subclass(Tensor), images)
    assert given.importance is None
    # What a store would hold, had it been estimated with the model of this moment.
    whole = aw.Normalized(copy.deepcopy(model), MEAN, STD).eval()
    pixels = images.float() / 255 if dtype == torch.uint8 else images
    store = GradientSaliency(of=of).estimate(whole, pixels, given.labels, [0] * 5).importance
    torch.testing.assert_close(result.importance.as_subclass(Tensor), store, rtol=1e-4, atol=1e-6)


def test_without_mean_and_std_the_model_sees_pixels_in_0_1():
    model, given = trained(), batch()
    inside = aw.LiveSaliency(aw.Normalized(model, MEAN, STD))(given).importance
    outside = aw.LiveSaliency(model, MEAN, STD)(given).importance
    torch.testing.assert_close(inside, outside, rtol=1e-4, atol=1e-7)


def test_another_image_in_the_batch_changes_no_map():
    model, given = trained(), batch()
    model.double()
    given = given._replace(images=given.images / 255.0)
    live = aw.LiveSaliency(model, MEAN, STD)
    double = given._replace(images=given.images.double())
    before = live(double).importance.clone()
    double.images[2] = 1 - double.images[2]
    after = live(double).importance
    assert not torch.allclose(before[2], after[2])
    for i in (0, 1, 3, 4):
        torch.testing.assert_close(before[i], after[i], rtol=1e-6, atol=1e-9)


class InOneMode(nn.Conv2d):
    """Notes every call of train()."""

    calls = 0

    def train(self, mode: bool = True):
        self.calls += 1
        return super().train(mode)


def test_nothing_of_the_model_changes():
    model = trained()
    conv = InOneMode(3, 6, 3, padding=1, bias=False)
    model[0] = conv
    model.train()
    model[1].eval()
    conv.calls = 0
    state = {k: v.clone() for k, v in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    assert set(modes) == {True, False}
    random = torch.get_rng_state()
    with torch.no_grad():  # where a pipeline may well be run
        aw.LiveSaliency(model, MEAN, STD)(batch())
    assert torch.equal(torch.get_rng_state(), random)
    assert [m.training for m in model.modules()] == modes
    assert conv.calls == 0
    assert all(torch.equal(state[k], v) for k, v in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())
    for before, p in zip(grads, model.parameters(), strict=True):
        assert (p.grad is None) == (before is None)
        assert before is None or torch.equal(before, p.grad)

    class Broken(nn.Module):
        def forward(self, _):
            raise RuntimeError("no")

    broken = nn.Sequential(Broken())
    with pytest.raises(RuntimeError, match="no"):
        aw.LiveSaliency(broken)(batch())
    assert [m.training for m in broken.modules()] == [True, True]  # put back then too


def test_a_mixed_label_counts_every_class_by_its_weight():
    class Linear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.randn(3, 3, HEIGHT, WIDTH)

        def forward(self, x):
            return torch.einsum("nchw,kchw->nk", x, self.weight)

    model, given = Linear(), batch(2)
    labels = aw.MixedLabels(torch.tensor([[0, 2], [1, 1]]), torch.tensor([[0.7, 0.3], [0.6, 0.4]]), torch.zeros(2))
    result = aw.LiveSaliency(model)(given._replace(labels=labels)).importance.as_subclass(Tensor)
    w = model.weight
    torch.testing.assert_close(result, torch.stack([0.7 * w[0] + 0.3 * w[2], w[1]]).abs().amax(1))


def test_minmax_and_channels():
    model, given = trained(), batch()
    raw = aw.LiveSaliency(model, MEAN, STD)(given).importance.as_subclass(Tensor)
    stretched = aw.LiveSaliency(model, MEAN, STD, normalize="minmax")(given)
    for one, row in zip(stretched.importance.as_subclass(Tensor), raw, strict=True):
        assert (one.min(), one.max()) == (0, 1)
        torch.testing.assert_close(one, (row - row.min()) / (row.max() - row.min()))
    torch.testing.assert_close(stretched.evidence, stretched.importance.as_subclass(Tensor).sum((1, 2)))
    assert not minmax(torch.full((2, 3, 4), 0.3)).any()
    mean = aw.LiveSaliency(model, MEAN, STD, reduce="mean")(given).importance
    assert (mean < raw).all()
    estimated = GradientSaliency(of="logit", normalize="minmax").estimate(
        aw.Normalized(model, MEAN, STD).eval(), given.images.float() / 255, given.labels, [0] * 5
    )
    torch.testing.assert_close(estimated.importance, stretched.importance.as_subclass(Tensor), rtol=1e-3, atol=1e-5)


def test_a_smaller_look_is_the_map_of_the_smaller_image():
    model, given = trained("group"), batch()
    seen = []
    model.register_forward_pre_hook(lambda _, args: seen.append(tuple(args[0].shape)))
    result = aw.LiveSaliency(model, MEAN, STD, scale=0.5)(given).importance.as_subclass(Tensor)
    assert seen == [(5, 3, 3, 4)]  # 4.5 columns round to an even number
    small = F.interpolate(given.images.as_subclass(Tensor).float() / 255, (3, 4), mode="bilinear", antialias=True)
    maps = by_hand(model, small, given.labels)
    torch.testing.assert_close(
        result, F.interpolate(maps[:, None], (HEIGHT, WIDTH), mode="bilinear")[:, 0], rtol=1e-4, atol=1e-6
    )


def test_the_control_gives_every_image_the_map_of_another():
    model, given = trained(), batch(7)
    own = aw.LiveSaliency(model, MEAN, STD)(given).importance.as_subclass(Tensor)
    control = aw.LiveSaliency(model, MEAN, STD, control=True)
    for seed in range(20, -1, -1):
        drawn = control(given, generator=torch.Generator().manual_seed(seed))
        maps = drawn.importance.as_subclass(Tensor)
        donors = [next(j for j in range(7) if torch.equal(m, own[j])) for m in maps]
        assert sorted(donors) == list(range(7))
        assert all(i != j for i, j in enumerate(donors))
    torch.testing.assert_close(drawn.evidence, maps.sum((1, 2)))
    again = control(given, generator=torch.Generator().manual_seed(0)).importance
    assert torch.equal(again, drawn.importance)
    others = [control(given, generator=torch.Generator().manual_seed(s)).importance for s in range(3, 9)]
    assert not all(torch.equal(drawn.importance, o) for o in others)
    with pytest.raises(aw.UserError, match="no other"):
        control(batch(1))
    assert control(batch(0)).importance.shape == (0, HEIGHT, WIDTH)


def test_a_diverged_model_gives_finite_maps():
    model = trained()
    with torch.no_grad():
        model[0].weight.mul_(float("nan"))
    result = aw.LiveSaliency(model, MEAN, STD)(batch())
    assert not result.importance.any()
    aw.Cutout(3, quantile=0.6)(result)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_a_guard_behind_it_touches_only_what_the_model_does_not_look_at(reduce):
    model, given = trained(), batch(60)
    live = aw.LiveSaliency(model, MEAN, STD)
    maps = by_hand(model, given.images.as_subclass(Tensor), given.labels)
    levels = regions.integral(maps)
    limit = regions.thresholds(levels, 3, 0.4, "inside", reduce)
    with randomness.stream(3):
        result = aw.Cutout(3, quantile=0.4, window="inside", reduce=reduce, fill=0.0)(live(given))
    with randomness.stream(3):
        plain = aw.Cutout(3, window="inside", fill=0.0)(given)

    def score(erased: Tensor) -> Tensor:
        """Of the window that was erased."""
        places = (erased != given.images).any(1)
        top, left = places.any(2).int().argmax(1), places.any(1).int().argmax(1)
        return regions.scores(levels, 3, "inside", reduce)[torch.arange(60), top, left]

    assert (score(result.images.as_subclass(Tensor)) <= limit).all()
    assert (score(plain.images.as_subclass(Tensor)) > limit).float().mean() > 0.3
    assert (result.importance.sum((1, 2)) < result.evidence).any()


def test_it_does_not_count_among_the_steps_that_draw():
    """So that the plain arm of a comparison, which needs no maps, draws the same."""
    model, given = trained(), batch()
    live = aw.LiveSaliency(model, MEAN, STD)
    with_maps = aw.BatchPipeline([aw.RandomHorizontalFlip(), live, aw.Cutout(3, quantile=1.0)], seed=4)
    without = aw.BatchPipeline([aw.RandomHorizontalFlip(), aw.Cutout(3)], seed=4)
    for step in range(3):
        assert torch.equal(with_maps(given, 0, step).images, without(given, 0, step).images)
    controls = aw.BatchPipeline([aw.LiveSaliency(model, MEAN, STD, control=True), aw.Cutout(3, quantile=1.0)], seed=4)
    first = [controls(given, 0, step).importance for step in (1, 1, 2)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    alone = aw.BatchPipeline(aw.LiveSaliency(model, MEAN, STD, control=True), seed=4)
    with randomness.stream(4, "batch", 0, 1, 0):  # the stream of the step behind it, which is not to be shared
        shared = aw.LiveSaliency(model, MEAN, STD, control=True)(given).importance
    assert not torch.equal(alone(given, 0, 1).importance, shared)


def test_the_model_is_not_a_part_of_it():
    model = trained()
    live = aw.LiveSaliency(model, MEAN, STD)
    assert not list(live.parameters())
    assert not live.state_dict()
    assert list(live.modules()) == [live]
    live.eval()
    assert model.training
    for copied in (pickle.loads(pickle.dumps(live)), copy.deepcopy(live)):
        assert copied.model is None
        assert repr(copied) == repr(live)
    assert live.model is model
    assert "Conv2d" not in repr(live)
    assert live.watch(None) is live
    assert live.model is None


def test_autocast_around_a_training_step_still_trains_every_weight():
    """Autocast keeps the weights that it has cast; asking about the images first must not cut them off."""
    model, given = trained("group"), batch()
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        result = aw.LiveSaliency(model, MEAN, STD)(given)
        loss = F.cross_entropy(model(aw.Normalize(MEAN, STD)(given.images)), given.labels)
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert result.importance.dtype == torch.float32
    assert result.importance.any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda _: aw.LiveSaliency()(batch()), "no model to ask"),
        (lambda m: aw.LiveSaliency(m, MEAN, STD)(batch().images), "whole Batch"),
        (lambda m: aw.LiveSaliency(m, MEAN, STD)(batch()._replace(images=batch().images.long())), "int64"),
        (lambda m: aw.LiveSaliency(m, MEAN, None), "one of mean and std"),
        (lambda m: aw.LiveSaliency(m, MEAN, [0.1, 0.0, 0.2]), "above 0"),
        (lambda m: aw.LiveSaliency(m, MEAN[:2], STD[:2])(batch()), "3 channels, mean and std of 2"),
        (lambda _: aw.LiveSaliency("small_cnn"), "model is 'small_cnn'"),
        (lambda _: aw.LiveSaliency(scale=0.0), "scale=0.0"),
        (lambda _: aw.LiveSaliency(scale=1.5), "scale=1.5"),
        (lambda _: aw.LiveSaliency(of="loss"), "of='loss'"),
        (lambda _: aw.LiveSaliency(normalize="sum"), "normalize='sum'"),
        (lambda _: aw.LiveSaliency(reduce="sum"), "reduce='sum'"),
        (lambda m: WithImportance(source(), transform=[aw.LiveSaliency(m), aw.Cutout(3, quantile=0.6)]), "batch path"),
        (lambda m: aw.estimate(m, source(), "x.maps", aw.LiveSaliency(m)), "give an estimator"),
    ],
)
def test_misuse_is_named(call, words):
    with pytest.raises(aw.UserError, match=words):
        call(trained())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_maps_without_waiting():
    model, given = trained("group"), batch()
    expected = aw.LiveSaliency(model, MEAN, STD)(given).importance.as_subclass(Tensor)
    model.cuda()
    on_gpu, live = given.to("cuda"), aw.LiveSaliency(model, MEAN, STD, control=True)
    live(on_gpu)  # constants are made once
    live.control = False
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = live(on_gpu)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(result.importance.as_subclass(Tensor).cpu(), expected, rtol=1e-3, atol=1e-5)


def test_training_by_hand_changes_the_maps():
    """Current weights: after a step of the optimiser the maps are others."""
    model, given = trained(), batch()
    live = aw.LiveSaliency(model, MEAN, STD)
    before, was = live(given).importance.clone(), weights(model)
    torch.optim.SGD(model.parameters(), 0.01).step()
    assert not torch.equal(weights(model), was)
    torch.testing.assert_close(
        live(given).importance.as_subclass(Tensor),
        by_hand(model, given.images.as_subclass(Tensor), given.labels),
        rtol=1e-4,
        atol=1e-6,
    )
    assert not torch.allclose(live(given).importance, before)
