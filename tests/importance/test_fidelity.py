"""Erasure fidelity: the batched form is the definition; models solved by hand say what it must be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr
from torch import nn

import augwise as aw
from augwise.errors import UserError
from augwise.importance.fidelity import (
    average_ranks,
    erasure_drops,
    erasure_fidelity,
    fidelity,
    random_windows,
    spearman,
    window_scores,
)
from reference import fidelity as slow

HEIGHT, WIDTH = 13, 18


class Bent(nn.Module):
    """Every pixel counts, not linearly, and some against the class."""

    def __init__(self, classes: int = 4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, 3, HEIGHT, WIDTH, dtype=torch.float64) / 9)
        self.eval()

    def forward(self, images):
        return torch.einsum("nchw,kchw->nk", (2 * images.double()).sin(), self.weight)


class Linear(nn.Module):
    """Two classes whose log-odds are Σ w·x: erasing with 0 costs just what the pixels of the window contribute."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight
        self.eval()

    def forward(self, images):
        odds = (images.double() * self.weight).sum((1, 2, 3))
        return torch.stack([odds, torch.zeros_like(odds)], 1)


def images_of(n):
    return torch.rand(n, 3, HEIGHT, WIDTH), torch.arange(n) % 4


@pytest.mark.parametrize("window", ["inside", "clipped"])
@pytest.mark.parametrize("fill", ["mean", 0.25])
def test_equals_the_slow_loop(window, fill):
    model, (images, labels), maps = Bent(), images_of(5), torch.rand(5, HEIGHT, WIDTH) ** 4
    seeds = [3, 1, 4, 1, 5]
    arguments = {"length": 5, "windows": 11, "window": window, "fill": fill, "batch_size": 7}
    got = erasure_fidelity(model, maps, images, labels, seeds, **arguments)
    boxes = random_windows(seeds, HEIGHT, WIDTH, 5, 11, window)
    erased = erasure_drops(model, images, labels, boxes, fill)
    assert torch.equal(boxes[1], boxes[3])
    for i, label in enumerate(labels.tolist()):
        own = boxes[i].tolist()
        drops = slow.drops(model, images[i], label, own, None if fill == "mean" else fill)
        np.testing.assert_allclose(erased.drops[i].numpy(), drops, atol=1e-6)
        assert got[i].item() == pytest.approx(slow.fidelity(maps[i].numpy(), drops, own), abs=1e-12)
        logits = model(images[i][None])
        assert bool(erased.right[i]) == (logits.argmax().item() == label)
        assert erased.log_probability[i].item() == pytest.approx(logits.log_softmax(1)[0, label].item())


def test_ranks_and_correlations_are_scipys():
    x = torch.randint(0, 5, (40, 12)).double()
    y = torch.where(torch.rand(40, 12) < 0.3, 0.5, torch.randn(40, 12).double())
    z = torch.randint(0, 4, (40, 12))
    np.testing.assert_array_equal(average_ranks(x).numpy(), rankdata(x.numpy(), axis=1))
    expected = [spearmanr(a, b).statistic for a, b in zip(x.numpy(), y.numpy(), strict=True)]
    np.testing.assert_allclose(spearman(x, y).numpy(), expected, atol=1e-12)
    given = [slow.partial(*rows) for rows in zip(x.numpy(), y.numpy(), z.numpy(), strict=True)]
    np.testing.assert_allclose(spearman(x, y, z).numpy(), given, atol=1e-10)
    same = torch.full_like(z, 7)
    torch.testing.assert_close(spearman(x, y, same), spearman(x, y))


def test_true_contributions_rank_perfectly_and_reversed_ones_upside_down():
    images, weight = torch.rand(6, 3, HEIGHT, WIDTH, dtype=torch.float64), torch.rand(3, HEIGHT, WIDTH).double() / 500
    contributions = (images * weight).sum(1)
    labels, seeds = torch.zeros(6, dtype=torch.long), list(range(6))
    for window in ("inside", "clipped"):
        ask = {"fill": 0.0, "length": 4, "windows": 24, "window": window}
        found = erasure_fidelity(Linear(weight), contributions, images, labels, seeds, **ask)
        assert found.tolist() == pytest.approx([1.0] * 6, abs=1e-12)
    ask = {"fill": 0.0, "length": 4, "windows": 24}  # inside: windows of one area
    upside_down = contributions.amax((1, 2), keepdim=True) - contributions
    found = erasure_fidelity(Linear(weight), upside_down, images, labels, seeds, **ask)
    assert found.tolist() == pytest.approx([-1.0] * 6, abs=1e-12)
    # Erasing with the mean colour costs what pixels contribute beyond it; moved up by a constant that is a map.
    beyond = ((images - images.mean((2, 3), keepdim=True)) * weight).sum(1)
    beyond = beyond - beyond.amin((1, 2), keepdim=True)
    found = erasure_fidelity(Linear(weight), beyond, images, labels, seeds, length=4)
    assert found.tolist() == pytest.approx([1.0] * 6, abs=1e-12)


def test_equal_area_takes_out_what_size_alone_explains():
    """A flat map on clipped windows scores area: alone it may predict, at equal area it says nothing."""
    images, weight = torch.rand(6, 3, HEIGHT, WIDTH), torch.rand(3, HEIGHT, WIDTH).double() / 500
    boxes = random_windows(list(range(6)), HEIGHT, WIDTH, 9, 24, "clipped")
    drops = erasure_drops(Linear(weight), images, torch.zeros(6, dtype=torch.long), boxes, 0.0).drops
    area = window_scores(torch.ones(6, HEIGHT, WIDTH), boxes, (HEIGHT, WIDTH))
    assert fidelity(area, drops).min() > 0.8
    assert fidelity(area, drops, area).abs().max() < 1e-12
    true = window_scores((images.double() * weight).sum(1), boxes, (HEIGHT, WIDTH))
    assert fidelity(true, drops, area).tolist() == pytest.approx([1.0] * 6, abs=1e-12)


def test_maps_without_an_opinion_count_as_nothing_known_and_idle_windows_as_unknown():
    scores = torch.tensor([[1.0, 2, 3], [5, 5, 5], [1, 2, 3], [0, 0, 0]])
    drops = torch.tensor([[1.0, 2, 4], [1, 2, 4], [7, 7, 7], [7, 7, 7]])
    assert spearman(scores, drops).isnan().tolist() == [False, True, True, True]
    found = fidelity(scores, drops)
    assert found[:2].tolist() == pytest.approx([1, 0], abs=1e-12)
    assert found[2:].isnan().all()


@pytest.mark.parametrize("window", ["inside", "clipped"])
def test_windows_are_uniform_and_different(window):
    boxes = random_windows(range(3000), 7, 9, 4, 5, window)
    assert all(len({tuple(b) for b in own}) == 5 for own in boxes[:50].tolist())
    sides = boxes[..., 2:] - boxes[..., :2]
    where, counts = torch.unique(boxes.flatten(0, 1), dim=0, return_counts=True)
    if window == "inside":
        assert (sides == 4).all()
        assert len(where) == (7 - 3) * (9 - 3)
    else:
        assert sides.min() == 2  # a quarter at a corner: half of each side
        assert len(where) == 7 * 9
    expected = 15000 / len(where)
    assert float((counts - expected).square().sum() / expected) < len(where) + 5 * (2 * len(where)) ** 0.5


def test_nothing_depends_on_neighbours_batch_or_layout():
    model, (images, labels), maps = Bent(), images_of(9), torch.rand(9, HEIGHT, WIDTH)
    images, before = images.double(), images.clone()
    together = erasure_fidelity(model, maps, images, labels, list(range(9)), length=5)
    one = [erasure_fidelity(model, maps[i, None], images[i, None], labels[i, None], [i], length=5) for i in range(9)]
    assert torch.equal(together, torch.cat(one))
    for batch_size in (1, 10, 25, 1000):
        again = erasure_fidelity(model, maps, images, labels, list(range(9)), length=5, batch_size=batch_size)
        assert torch.equal(together, again)
    strided = images.to(memory_format=torch.channels_last)
    torch.testing.assert_close(erasure_fidelity(model, maps, strided, labels, list(range(9)), length=5), together)
    assert torch.equal(images.float(), before)
    assert not together.requires_grad
    none = erasure_fidelity(model, maps[:0], images[:0], labels[:0], [], length=5)
    assert none.shape == (0,)


def test_scores_of_sparse_maps_keep_their_ties():
    """As many key points of one weight are as much, and nothing is exactly nothing."""
    maps = (torch.rand(8, HEIGHT, WIDTH) < 0.1) * torch.tensor(1 / (8 / 255))
    boxes = random_windows(range(8), HEIGHT, WIDTH, 5, 24)
    found = window_scores(maps, boxes, (HEIGHT, WIDTH))
    points = window_scores((maps > 0).float(), boxes, (HEIGHT, WIDTH))
    assert torch.equal(average_ranks(found), average_ranks(points))
    assert (points == 0).any()
    assert (found[points == 0] == 0).all()


def test_a_coarse_map_is_stretched_over_the_image():
    maps = torch.zeros(2, 4, 4)
    maps[:, 0, 3] = 1
    boxes = torch.tensor([[[0, 24, 8, 32], [0, 0, 8, 8], [0, 16, 16, 32]]] * 2)
    found = window_scores(maps, boxes, (32, 32))
    assert (found[:, 1] < 1e-6).all()
    assert found[:, 0].tolist() == pytest.approx([0.75] * 2, abs=0.2)
    assert found[:, 2].tolist() == pytest.approx([1.0] * 2, abs=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 13}, "length=13 is 13 pixels, and images are 13x18"),
        ({"length": 1.0}, "less than the shorter side"),
        ({"length": 13, "window": "clipped"}, "less than the shorter side"),
        ({"windows": 2}, "windows=2 rank nothing: give at least 3"),
        ({"length": 12, "windows": 24}, "only 14 windows of 12 pixels fit"),
        ({"window": "outside"}, "'clipped' or 'inside'"),
        ({"fill": "median"}, "fill='median'"),
        ({"fill": 2.0}, "fill=2.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        erasure_fidelity(Bent(), torch.rand(2, HEIGHT, WIDTH), *images_of(2), [0, 1], **arguments)
    with pytest.raises(UserError, match="give floats in"):
        erasure_fidelity(Bent(), torch.rand(2, HEIGHT, WIDTH), torch.zeros(2, 3, HEIGHT, WIDTH, dtype=torch.uint8),
                         torch.zeros(2, dtype=torch.long), [0, 1])  # fmt: skip
    with pytest.raises(UserError, match="training mode"):
        erasure_fidelity(Bent().train(), torch.rand(2, HEIGHT, WIDTH), *images_of(2), [0, 1])
    with pytest.raises(UserError, match="one map"):
        erasure_fidelity(Bent(), torch.rand(3, HEIGHT, WIDTH), *images_of(2), [0, 1])


def test_it_is_public():
    assert aw.erasure_fidelity is erasure_fidelity
