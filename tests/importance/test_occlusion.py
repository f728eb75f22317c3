"""Occlusion: the batched form is the definition, on images of unequal sides and a model whose evidence is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from augwise.errors import UserError
from augwise.importance.class_score import log_probability
from augwise.importance.occlusion import Occlusion, covers, starts
from reference import occlusion as slow

HEIGHT, WIDTH = 13, 18


class Patches(nn.Module):
    """Class c's logit is 3 × the sum of the pixels in its own patch, all channels: evidence one can point at."""

    patches = ((slice(2, 4), slice(11, 14)), (slice(9, 12), slice(1, 3)), (slice(6, 7), slice(8, 9)))

    def forward(self, images):
        return torch.stack([3 * images[:, :, y, x].sum((1, 2, 3)) for y, x in self.patches], 1)


class Bent(nn.Module):
    """Every pixel counts, not linearly, and some against the class."""

    def __init__(self, height=HEIGHT, width=WIDTH):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, height, width, dtype=torch.float64) / 9)

    def forward(self, images):
        return torch.einsum("nchw,kchw->nk", (2 * images.double()).sin(), self.weight)


def images_of(n, height=HEIGHT, width=WIDTH):
    return torch.rand(n, 3, height, width), torch.arange(n) % 3


def loop(model, image, label, window, tops, lefts, fill):
    def score(x):
        return model(x[None]).double().log_softmax(1)[0, label].item()

    with torch.no_grad():
        return slow.occlusion(score, image, window, tops, lefts, fill)


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (6, 6), (3, 1)])
@pytest.mark.parametrize("border", ["clipped", "inside"])
def test_equals_the_slow_loop(window, stride, border):
    model, (images, labels) = Bent().eval(), images_of(3)
    found = Occlusion(window=window, stride=stride, border=border).estimate(model, images, labels, [0] * 3)
    assert found.importance.dtype == torch.float32
    assert not found.failed.any()
    places = slow.inside if border == "inside" else slow.lattice
    tops, lefts = places(HEIGHT, window, stride), places(WIDTH, window, stride)
    for image, label, got in zip(images, labels.tolist(), found.importance, strict=True):
        expected = loop(model, image, label, window, tops, lefts, image.mean((1, 2)))
        assert (expected < 0).any()  # so that the clamp has work to do
        torch.testing.assert_close(got.double(), expected.clamp_min(0), atol=1e-6, rtol=1e-5)


def test_evidence_is_where_the_model_looks():
    images = torch.zeros(3, 2, HEIGHT, WIDTH)
    for image, (y, x) in zip(images, Patches.patches, strict=True):
        image[:, y, x] = 1
    maps = (
        Occlusion(window=3, stride=1, fill=0.0).estimate(Patches().eval(), images, torch.arange(3), [0] * 3).importance
    )
    for one, (y, x) in zip(maps, Patches.patches, strict=True):
        near = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
        near[max(y.start - 2, 0) : y.stop + 2, max(x.start - 2, 0) : x.stop + 2] = True
        assert one[y, x].min() > 1e-3
        assert (one[~near] == 0).all()  # no window that reaches these pixels touches the patch
        peak = divmod(int(one.argmax()), WIDTH)
        assert near[peak]
        assert y.start - 1 <= peak[0] < y.stop + 1
        assert x.start - 1 <= peak[1] < x.stop + 1


def test_one_window_by_hand():
    """Two windows side by side: each pixel's value is its own window's drop, log(p) before minus after."""
    images = torch.zeros(1, 1, 4, 8)
    images[0, 0, 1, 5] = 1.0

    class Lamp(nn.Module):
        def forward(self, x):
            return torch.stack([x[:, 0, 1, 5], torch.zeros(len(x))], 1)

    got = Occlusion(window=4, stride=4, border="inside", fill=0.25).estimate
    with pytest.raises(UserError, match="covers all"):
        got(Lamp().eval(), images, torch.tensor([0]), [0])
    wide = torch.nn.functional.pad(images, (0, 0, 0, 4))
    found = got(Lamp().eval(), wide, torch.tensor([0]), [0]).importance[0]
    drop = -math.log1p(math.exp(-1.0)) + math.log1p(math.exp(-0.25))
    expected = torch.zeros(8, 8)
    expected[:4, 4:] = drop
    torch.testing.assert_close(found, expected)


def test_batch_equals_one_at_a_time_and_any_batch_size():
    model, (images, labels) = Bent().eval(), images_of(5)
    whole = Occlusion(window=4, stride=2).estimate(model, images, labels, [0] * 5).importance
    for size in (1, 7, 1000):
        cut = Occlusion(window=4, stride=2, batch_size=size).estimate(model, images, labels, [0] * 5).importance
        torch.testing.assert_close(cut, whole, rtol=0, atol=1e-7)
    for i in range(5):
        one = Occlusion(window=4, stride=2).estimate(model, images[i : i + 1], labels[i : i + 1], [0]).importance[0]
        torch.testing.assert_close(one, whole[i], rtol=0, atol=1e-7)


def test_no_forward_is_larger_than_asked_and_none_is_wasted():
    sizes = []

    class Counting(Bent):
        def forward(self, images):
            sizes.append(len(images))
            return super().forward(images)

    method = Occlusion(window=4, stride=2, batch_size=11)
    images, labels = images_of(3)
    method.estimate(Counting().eval(), images, labels, [0] * 3)
    assert max(sizes) <= 11
    assert sum(sizes) == 3 * method.forwards(HEIGHT, WIDTH)


def test_input_is_untouched_and_no_graph_is_kept():
    model, (images, labels) = Bent().eval(), images_of(2)
    before = images.clone()
    found = Occlusion(window=4, stride=2).estimate(model, images, labels, [0, 0])
    assert torch.equal(images, before)
    assert not found.importance.requires_grad


@pytest.mark.parametrize("length", [9, 28, 32, 45])
@pytest.mark.parametrize(("window", "stride"), [(8, 4), (8, 8), (7, 4), (6, 2), (5, 5), (3, 1)])
def test_windows_cover_every_pixel(length, window, stride):
    for border in ("clipped", "inside"):
        places = starts(length, window, stride, border)
        cover = covers(length, window, places)
        assert cover.any(0).all()
        assert cover.any(1).all()  # no window lies outside the image
        assert len(set(places)) == len(places)
    assert (covers(length, window, starts(length, window, stride, "inside")).sum(1) == window).all()
    clipped = covers(length, window, starts(length, window, stride, "clipped")).sum(0)
    if window % stride == 0:
        assert (clipped == window // stride).all()  # every pixel as often, borders too
    assert clipped.max() - clipped.min() <= 1


def test_defaults_cost_the_same_at_every_size():
    assert Occlusion().forwards(32, 32) == Occlusion().forwards(224, 224) == 82
    assert Occlusion(window=8, stride=4).forwards(32, 32) == 82
    assert Occlusion(window=8, stride=4, border="inside").forwards(32, 32) == 50
    assert Occlusion().cost(32, 32) == Occlusion().cost(224, 224) == "82 forward passes per image"
    assert Occlusion(window=8, stride=4, border="inside").cost(16, 20) == "13 forward passes per image"  # 3 · 4 + 1


def test_large_images_get_a_grid_of_cell_means():
    assert Occlusion().map_size(64, 40) == (64, 40)
    assert Occlusion().map_size(65, 40) == (56, 56)
    assert Occlusion(grid=14).map_size(32, 32) == (14, 14)
    model, (images, labels) = Bent(12, 18).eval(), images_of(2, 12, 18)
    method = Occlusion(window=4, stride=2, grid=(4, 9))
    found = method.estimate(model, images, labels, [0, 0]).importance
    tops, lefts = slow.lattice(12, 4, 2), slow.lattice(18, 4, 2)
    for image, label, got in zip(images, labels.tolist(), found, strict=True):
        pixels = loop(model, image, label, 4, tops, lefts, image.mean((1, 2)))
        torch.testing.assert_close(got.double(), slow.pooled(pixels, 4, 9).clamp_min(0), atol=1e-6, rtol=1e-5)


def test_uneven_grid_keeps_the_mean():
    """A grid that does not divide the image shares border pixels out by area: without a clamp the mean stays."""

    class Never(nn.Module):  # covering anything lowers the class: nothing is clamped
        def forward(self, x):
            return torch.stack([x.flatten(1).double().sum(1) / 50, torch.zeros(len(x))], 1)

    images = torch.rand(1, 3, 13, 18) / 2 + 0.5
    label = torch.tensor([0])
    full = Occlusion(window=4, stride=2, fill=0.0).estimate(Never().eval(), images, label, [0]).importance
    part = Occlusion(window=4, stride=2, fill=0.0, grid=(5, 7)).estimate(Never().eval(), images, label, [0]).importance
    assert part.shape == (1, 5, 7)
    torch.testing.assert_close(part.mean(), full.mean())


def test_log_probability_is_log_softmax_and_exact_when_sure():
    logits, labels = torch.randn(6, 4, dtype=torch.float64) * 3, torch.tensor([0, 3, 2, 1, 1, 0])
    expected = logits.log_softmax(1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(log_probability(logits, labels), expected)
    sure = torch.tensor([[40.0, 0.0, -1.0]])
    value = log_probability(sure, torch.tensor([0])).item()
    assert value == pytest.approx(-(math.exp(-40) + math.exp(-41)), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 40}, "covers all"),
        ({"window": 4, "stride": 5}, "never be covered"),
        ({"window": 1.5}, "1.5"),
        ({"window": 0}, "0"),
    ],
)
def test_what_does_not_fit_the_size_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Occlusion(**arguments).check(32, 32)


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"fill": "median"}, {"fill": 128}, {"border": "wrap"}])
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(UserError, match=next(iter(arguments))):
        Occlusion(**arguments)
    with pytest.raises(UserError, match="needs a classifier"):
        Occlusion().estimate(None, *images_of(1), [0])
