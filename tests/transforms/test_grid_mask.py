"""GridMask: squares of one grid per image, in the share that the formula says, shifted and turned at random."""

from __future__ import annotations

import math

import pytest
import torch

import augwise as aw
from augwise.transforms.grid_mask import grid_mask
from reference.masks import grid

HEIGHT, WIDTH = 15, 22


def apply(method, images, maps=None, seed=0):
    params = method.make_params(images, maps, torch.Generator().manual_seed(seed))
    return params, *method.transform(images, maps, params)


def test_masks_are_those_of_the_slow_loop_upright_and_turned():
    unit = torch.tensor([2, 5, 7, 9, 15, 22, 6, 4])
    kept = torch.tensor([1, 2, 5, 8, 6, 10, 6, 0])
    offset = (torch.rand(8, 2) * unit[:, None]).long()
    angle = torch.rand(8) * 2 * math.pi
    upright, turned = grid_mask(unit, kept, offset, HEIGHT, WIDTH), grid_mask(unit, kept, offset, HEIGHT, WIDTH, angle)
    for i, (d, stays, place, a) in enumerate(zip(*(t.tolist() for t in (unit, kept, offset, angle)), strict=True)):
        assert torch.equal(upright[i], grid(d, stays, place, HEIGHT, WIDTH))
        assert torch.equal(turned[i], grid(d, stays, place, HEIGHT, WIDTH, a))
    assert torch.equal(grid_mask(unit, kept, offset, HEIGHT, WIDTH, torch.zeros(8)), upright)
    right_angle = grid_mask(unit, kept, offset, 16, 16, torch.full((8,), math.pi / 2))
    assert torch.equal(right_angle, grid_mask(unit, kept, offset, 16, 16).rot90(1, (1, 2)))  # counter-clockwise


@pytest.mark.parametrize("rotation", [0.0, 360.0])
@pytest.mark.parametrize("ratio", [0.4, 0.6])
def test_kept_share_is_that_of_the_formula(ratio, rotation):
    _, erased, _ = apply(aw.GridMask((10, 10), ratio, rotation, 0.0, p=1.0), torch.ones(1500, 1, 23, 31))
    assert abs(float(erased.double().mean()) - (1 - (1 - ratio) ** 2)) < 0.005


def test_units_offsets_and_angles_are_uniform():
    n = 6000
    params, *_ = apply(aw.GridMask((3, 8), 0.6, 90.0, p=1.0), torch.zeros(n, 1, HEIGHT, WIDTH))
    unit, kept, offset = params["unit"], params["kept"], params["offset"]
    assert set(unit.tolist()) == set(range(3, 9))
    assert {(d, int(d * 0.6 + 0.5)) for d in range(3, 9)} == set(zip(unit.tolist(), kept.tolist(), strict=True))
    for d in range(3, 9):
        places = offset[unit == d]
        assert abs(len(places) - n / 6) < 5 * (n / 6) ** 0.5
        counts = torch.bincount(places[:, 0] * d + places[:, 1], minlength=d * d)
        expected = len(places) / d**2
        assert ((counts - expected).abs() < 6 * expected**0.5).all()
    angle = params["angle"].sort().values / math.radians(90)
    assert (angle - torch.arange(n) / n).abs().max() < 2 / n**0.5
    small, *_ = apply(aw.GridMask((2, 2), 0.9, p=1.0), torch.zeros(4, 1, HEIGHT, WIDTH))
    assert set(small["kept"].tolist()) == {1}  # something stays and something goes


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rotation", [0.0, 360.0])
def test_deleted_pixels_take_the_fill_and_lose_their_importance(dtype, rotation):
    images = torch.randint(1, 256, (20, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else (images / 255).to(dtype)
    images, maps = images.contiguous(memory_format=torch.channels_last), torch.rand(20, HEIGHT, WIDTH)
    params, erased, moved = apply(aw.GridMask(rotation=rotation, fill=0.0, p=0.5), images, maps)
    assert erased.dtype == dtype
    whole = 0
    for i in range(20):
        d, stays, place = int(params["unit"][i]), int(params["kept"][i]), params["offset"][i].tolist()
        mask = grid(d, stays, place, HEIGHT, WIDTH, float(params["angle"][i]) if rotation else 0.0)
        assert torch.equal(erased[i] == 0, mask.expand(3, -1, -1))
        assert torch.equal(erased[i][:, ~mask], images[i][:, ~mask])
        assert torch.equal(moved[i], maps[i] * ~mask)
        whole += not mask.any()
    assert 2 < whole < 18


def test_units_as_shares_and_the_published_schedule():
    params = aw.GridMask(p=1.0).make_params(torch.zeros(1, 1, 224, 300).expand(3000, -1, -1, -1), None, None)
    assert {int(params["unit"].min()), int(params["unit"].max())} == {96, 224}
    images = torch.ones(2000, 1, 32, 32)
    for done, expected in ((0.2, 0.2), (0.8, 0.8), (1.0, 0.8)):
        with aw.progress(done):
            params, *_ = apply(aw.GridMask(), images)
        share = float((params["kept"] < params["unit"]).double().mean())
        assert abs(share - expected) < 5 * (expected * (1 - expected) / 2000) ** 0.5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.GridMask((0, 5)), "unit=0"),
        (lambda: aw.GridMask(8), "unit=8: give the smallest and the largest"),
        (lambda: aw.GridMask((5,)), r"unit=\(5,\)"),
        (lambda: aw.GridMask(ratio=1.0), "ratio=1.0"),
        (lambda: aw.GridMask(ratio=0), "ratio=0"),
        (lambda: aw.GridMask(rotation=-1), "rotation=-1"),
        (lambda: aw.GridMask(p=80), "p=80"),
        (lambda: aw.GridMask(fill="black"), "fill='black'"),
        (lambda: aw.GridMask((9, 5))(torch.zeros(1, 15, 22)), "9 to 5 pixels"),
        (lambda: aw.GridMask((1, 5))(torch.zeros(1, 15, 22)), "1 to 5 pixels"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()
