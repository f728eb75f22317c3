"""Estimators that ask no model: corners, random points, the centre prior."""

from __future__ import annotations

import math

import pytest
import torch

import augwise as aw
from augwise.errors import UserError
from augwise.importance.area import FlatPrior
from augwise.importance.centre import CentrePrior
from augwise.importance.corners import HarrisCorners, harris
from augwise.importance.grid import pool
from augwise.importance.saliency import GradientSaliency
from augwise.importance.uniform import UniformRandom

METHODS = [HarrisCorners(), UniformRandom(), CentrePrior(), FlatPrior()]


def maps(method, images, seeds=None):
    n = len(images)
    found = method.estimate(None, images, torch.zeros(n, dtype=torch.int64), list(range(n)) if seeds is None else seeds)
    assert not found.failed.any()
    return found.importance


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_contract(method):
    images = torch.rand(3, 3, 11, 17)
    before = images.clone()
    found = maps(method, images)
    assert found.shape == (3, 11, 17)
    assert found.dtype == torch.float32
    assert (found >= 0).all()
    assert found.isfinite().all()
    assert not method.needs_model
    assert torch.equal(images, before)
    for i in range(3):
        torch.testing.assert_close(maps(method, images[i : i + 1], [i])[0], found[i])
    assert maps(method, images[:0]).shape == (0, 11, 17)


def test_corners_of_a_rectangle():
    images = torch.zeros(1, 3, 24, 31)
    images[:, :, 6:15, 9:25] = 1
    found = maps(HarrisCorners(), images)[0]
    for y, x in ((6, 9), (6, 24), (14, 9), (14, 24)):
        near = found[y - 2 : y + 3, x - 2 : x + 3]
        assert near.max() > 0.5 * found.max()
    assert found[10, 9] == 0  # edges
    assert found[6, 16] == 0
    assert found[10, 16] == 0  # flat
    assert found[:3].sum() == 0
    response = harris(images.mean(1))[0]
    assert response[10, 9] < 0


def test_the_frame_of_the_picture_is_no_corner():
    images = torch.linspace(0, 1, 20)[None, None, None].expand(2, 1, 16, 20).clone()
    images[1] = 0.8
    assert maps(HarrisCorners(), images).sum() == 0


def test_corner_response_by_hand():
    """At the middle of x·y the derivatives are known: M is their Gaussian mean, written out pixel by pixel."""
    grey = torch.rand(9, 12, dtype=torch.float64)

    def at(y, x):
        return grey[min(max(y, 0), 8), min(max(x, 0), 11)].item()

    def slopes(y, x):
        y, x = min(max(y, 0), 8), min(max(x, 0), 11)
        dx = sum(w * (at(y + i, x + 1) - at(y + i, x - 1)) for i, w in ((-1, 1), (0, 2), (1, 1))) / 8
        dy = sum(w * (at(y + 1, x + i) - at(y - 1, x + i)) for i, w in ((-1, 1), (0, 2), (1, 1))) / 8
        return dx, dy

    sigma, k = 0.8, 0.05
    weight = {i: math.exp(-0.5 * (i / sigma) ** 2) for i in range(-2, 3)}
    total = sum(weight.values())
    expected = torch.zeros(9, 12, dtype=torch.float64)
    for y in range(9):
        for x in range(12):
            xx = yy = xy = 0.0
            for i in weight:
                for j in weight:
                    dx, dy = slopes(y + i, x + j)
                    w = weight[i] * weight[j] / total**2
                    xx, yy, xy = xx + w * dx * dx, yy + w * dy * dy, xy + w * dx * dy
            expected[y, x] = xx * yy - xy * xy - k * (xx + yy) ** 2
    torch.testing.assert_close(harris(grey[None], k, sigma)[0], expected)


def test_corners_turn_with_the_picture():
    images = torch.rand(2, 3, 10, 14)
    found = maps(HarrisCorners(), images)
    turned = maps(HarrisCorners(), images.rot90(1, (2, 3)))
    torch.testing.assert_close(turned, found.rot90(1, (1, 2)))


def test_small_responses_are_cut():
    images = torch.rand(2, 3, 20, 20)
    every, strong = maps(HarrisCorners(threshold=0), images), maps(HarrisCorners(threshold=0.3), images)
    kept = strong > 0
    assert torch.equal(strong[kept], every[kept])
    for e, k in zip(every, kept, strict=True):
        assert torch.equal(k, e >= 0.3 * e.max())


def test_random_points_follow_the_seed_and_nothing_else():
    images = torch.rand(3, 3, 10, 14)
    found = maps(UniformRandom(share=0.1), images, [7, 8, 7])
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    torch.rand(5)  # the state of torch's own stream plays no part
    again = maps(UniformRandom(share=0.1), torch.rand(2, 1, 10, 14), [8, 7])
    assert torch.equal(again, found[:2].flip(0))
    assert (found.sum((1, 2)) == 14).all()  # round(0.1 · 140)
    assert set(found.unique().tolist()) == {0.0, 1.0}


def test_random_points_are_uniform():
    total = maps(UniformRandom(share=0.25), torch.zeros(2000, 1, 4, 7)).sum(0)
    expected = 2000 * 7 / 28
    chi = ((total - expected) ** 2 / (expected * 0.75)).sum().item()
    assert chi < 27 + 4 * math.sqrt(2 * 27)


def test_drawing_leaves_torchs_stream_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    maps(UniformRandom(), torch.zeros(2, 1, 5, 5))
    assert torch.equal(torch.rand(4), expected)


def test_centre_prior_by_its_formula():
    one = maps(CentrePrior(sigma=0.3), torch.zeros(1, 1, 5, 9))[0]
    for y, x in ((0, 0), (2, 4), (1, 7), (4, 3)):
        expected = math.exp(-((y - 2) ** 2 + (x - 4) ** 2) / (2 * (0.3 * 5) ** 2))
        assert one[y, x].item() == pytest.approx(expected, rel=1e-5)
    even = maps(CentrePrior(), torch.zeros(1, 1, 6, 8))[0]
    torch.testing.assert_close(even, even.flip(0, 1))
    assert even.max() < 1  # the centre lies between four pixels


def test_flat_maps_count_area(tmp_path):
    """Of a large image whose map is a grid as well: what is left of the sum is the share of the image in sight."""
    assert maps(FlatPrior(), torch.rand(2, 3, 5, 9)).unique().tolist() == [1]
    images = torch.randint(0, 256, (3, 3, 70, 90), dtype=torch.uint8)
    pairs = [(image, i) for i, image in enumerate(images)]
    store = aw.estimate(None, pairs, tmp_path / "flat.maps", FlatPrior(), progress=False)
    data = aw.WithImportance(pairs, store, aw.RandomCrop((40, 30)))
    for i in range(3):
        sample = data[i]
        assert float(sample.importance.sum()) / sample.evidence == pytest.approx(40 * 30 / (70 * 90), rel=1e-4)


def test_cells_are_means_by_area():
    maps = torch.rand(2, 7, 9, dtype=torch.float64)
    fine = maps.repeat_interleave(3, 1).repeat_interleave(4, 2)  # 21 x 36, which 3 x 4 cells divide evenly
    expected = fine.unflatten(1, (3, 7)).unflatten(3, (4, 9)).mean((2, 4))
    torch.testing.assert_close(pool(maps, 3, 4), expected)
    assert pool(maps, 7, 9) is maps


@pytest.mark.parametrize("method", [HarrisCorners, UniformRandom, CentrePrior, FlatPrior, GradientSaliency])
def test_large_images_get_a_grid(method):
    assert method().map_size(64, 40) == (64, 40)
    assert method().map_size(30, 65) == (56, 56)
    with pytest.raises(UserError, match="no cells"):
        method(grid=(3, 0))
    images = torch.rand(2, 3, 12, 20)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(720, 4)).eval()
    args = (model, images, torch.tensor([1, 3]), [5, 6])
    found, full = (m.estimate(*args).importance for m in (method(grid=(4, 5)), method()))
    assert found.shape == (2, 4, 5) == (2, *method(grid=(4, 5)).map_size(12, 20))
    if method is UniformRandom:
        assert (found.sum((1, 2)) == 3).all()  # round(0.16 · 20) cells
    else:
        near = full.unflatten(1, (4, 3)).unflatten(3, (5, 4)).mean((2, 4))
        torch.testing.assert_close(found, near, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda: UniformRandom(share=0.0), "0.0"),
        (lambda: UniformRandom(share=16), "16"),
        (lambda: CentrePrior(sigma=0), "0"),
        (lambda: HarrisCorners(k=0.3), "0.3"),
        (lambda: HarrisCorners(sigma=-1), "-1"),
        (lambda: HarrisCorners(threshold=5), "5"),
    ],
)
def test_wrong_arguments_are_refused(make, value):
    with pytest.raises(UserError, match=value):
        make()
