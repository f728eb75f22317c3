"""Every operation against torchvision one image at a time, and the maps against the kernels of `ImportanceMap`."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as vision

import augwise as aw
from augwise.transforms import operation_colour, operation_geometry
from augwise.transforms.operations import OPERATIONS, apply_operations, cutout_boxes, geometry_of
from reference.warp import rotation, warp

GEOMETRIC, COLOUR = operation_geometry.NAMES, operation_colour.NAMES
REACH = dict.fromkeys((*GEOMETRIC, *COLOUR), 0.99) | {"TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0}
SIZES = [(32, 32), (40, 28), (9, 14), (2, 5)]
every_operation = pytest.mark.parametrize("name", [*GEOMETRIC, *COLOUR])


def magnitudes(name: str, count: int) -> torch.Tensor:
    """``count`` of all magnitudes that the wide space has, both signs, spread over its range."""
    steps = torch.linspace(0, 1, 31).double()
    if name == "Posterize":
        return torch.arange(count).double() % 9
    if name == "Solarize":
        return torch.cat([steps, steps])[torch.linspace(0, 61, count).long()]
    both = torch.cat([-steps.flip(0), steps[1:]]) * REACH[name]
    return both[torch.linspace(0, 60, count).long()]


def pictures(n: int, channels: int, size: tuple[int, int], dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    """Noise, pictures of few levels, and a flat one, which auto-contrast and equalize must leave alone."""
    images = torch.randint(0, 256, (n, channels, *size), dtype=torch.uint8)
    images[::3] = images[::3] // 5 + 90
    images[-1] = 77
    return images if dtype == torch.uint8 else images.to(dtype) / 255


def torchvision_alone(image, name, magnitude, interpolation="nearest", fill=None):
    policy = v2.TrivialAugmentWide(interpolation=v2.InterpolationMode(interpolation), fill=fill)
    return policy._apply_image_or_video_transform(image, name, magnitude, policy.interpolation, policy._fill)


def both(name, images, interpolation="nearest", fill=None):
    """The batch, and torchvision's pictures one by one, of all magnitudes."""
    strengths = magnitudes(name, len(images))
    which = torch.full((len(images),), OPERATIONS.index(name))
    got, _ = apply_operations(images, None, which, strengths, interpolation=interpolation, fill=fill)
    theirs = None
    if fill is not None:
        given = [fill] if isinstance(fill, float) else fill
        theirs = [float(round(v * 255)) for v in given] if images.dtype == torch.uint8 else list(given)
    wanted = [
        torchvision_alone(i, name, float(m), interpolation, theirs) for i, m in zip(images, strengths, strict=True)
    ]
    return got, torch.stack(wanted)


@every_operation
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_uint8_is_torchvision_pixel_by_pixel(name, size, channels):
    images = pictures(31, channels, size)
    before = images.clone()
    got, wanted = both(name, images)
    assert torch.equal(got, wanted)
    assert got.dtype == torch.uint8
    assert torch.equal(images, before)


@every_operation
def test_uint8_at_224_px_is_torchvision_too(name):
    assert torch.equal(*both(name, pictures(3, 3, (224, 224))))


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize(
    ("interpolation", "fill"), [("nearest", 0.4), ("bilinear", None), ("bilinear", 0.0), ("bilinear", (0.1, 0.5, 0.9))]
)
def test_interpolation_and_fill_are_torchvisions(name, interpolation, fill):
    for size in SIZES:
        assert torch.equal(*both(name, pictures(31, 3, size), interpolation, fill))


@every_operation
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_are_torchvision_within_rounding(name, dtype):
    for interpolation in ("nearest", "bilinear") if name in GEOMETRIC else ("nearest",):
        got, wanted = both(name, pictures(31, 3, (40, 28), dtype), interpolation)
        assert got.dtype == dtype
        torch.testing.assert_close(got, wanted, rtol=0, atol=5e-6)


@every_operation
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(name, dtype):
    images = pictures(11, 3, (40, 28), torch.float32).to(dtype)
    strengths, which = magnitudes(name, 11), torch.full((11,), OPERATIONS.index(name))
    got, _ = apply_operations(images, None, which, strengths)
    exact, _ = apply_operations(images.float(), None, which, strengths)
    assert got.dtype == dtype
    assert torch.equal(got, exact.to(dtype))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", [(40, 28), (160, 224)])
def test_a_mixed_batch_is_its_images_one_by_one(dtype, size):
    """Of every operation two images, in random order, channels last or not; at 160x224 a CPU takes one at a time."""
    n = 2 * len(OPERATIONS)
    which = torch.randperm(n) % len(OPERATIONS)
    strengths = torch.stack([magnitudes(OPERATIONS[op], 9)[2] if 0 < op < 15 else torch.tensor(6.0) for op in which])
    images, maps, places = pictures(n, 3, size, dtype), torch.rand(n, *size), torch.rand(n, 2).double()
    for given in (images, images.contiguous(memory_format=torch.channels_last)):
        got, moved = apply_operations(given, maps, which, strengths.double(), places)
        for i in range(n):
            row = slice(i, i + 1)
            alone = apply_operations(images[row], maps[row], which[row], strengths[row].double(), places[row])
            assert torch.equal(alone[0][0], got[i]), OPERATIONS[which[i]]
            assert torch.equal(alone[1][0], moved[i]), OPERATIONS[which[i]]


def test_nothing_to_do_and_nobody_there():
    images, maps = pictures(4, 3, (9, 14)), torch.rand(4, 9, 14)
    still = torch.tensor([OPERATIONS.index(name) for name in ("Identity", "Rotate", "TranslateX", "ShearY")])
    got, moved = apply_operations(images, maps, still, torch.tensor([3.0, 0.0, 0.9, 0.0]).double())
    assert got is images
    assert moved is maps
    none = apply_operations(images[:0], maps[:0], still[:0], torch.zeros(0).double())
    assert none[0].shape == (0, 3, 9, 14)
    with pytest.raises(aw.UserError, match="needs places"):
        apply_operations(images, maps, still * 0 + OPERATIONS.index("Cutout"), torch.ones(4).double())
    with pytest.raises(aw.UserError, match="4 channels"):
        apply_operations(torch.zeros(1, 4, 9, 14), None, still[:1], torch.zeros(1))


def test_a_threshold_above_white_inverts_nothing():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(3, 1, 1, 1)
    solarize = torch.full((3,), OPERATIONS.index("Solarize"))
    got, _ = apply_operations(images, None, solarize, torch.tensor([256 / 255, 1.0, 254.5 / 255]).double())
    assert torch.equal(got[0], images[0])
    assert [(g != i).sum() for g, i in zip(got[1:], images, strict=False)] == [1, 1]


# Maps ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("size", [(32, 32), (40, 28), (9, 14), (150, 224)])
def test_maps_follow_as_importance_maps_do(name, size):
    n = 21 if size[0] < 100 else 3
    maps = torch.rand(n, *size) * (torch.rand(n, *size) < 0.3)
    strengths, which = magnitudes(name, n), torch.full((n,), OPERATIONS.index(name))
    _, moved = apply_operations(torch.zeros(n, 1, *size), maps, which, strengths)
    for m, values, got in zip(strengths.tolist(), maps, moved, strict=True):
        wanted = followed(name, aw.ImportanceMap(values), m).as_subclass(torch.Tensor)
        torch.testing.assert_close(got, wanted, rtol=0, atol=3e-5)
        assert got.sum() <= values.sum() * (1 + 1e-5)


def followed(name: str, evidence: aw.ImportanceMap, m: float) -> torch.Tensor:
    """The map as torchvision's functions move it, with the kernels of `ImportanceMap`."""
    along_x, slope = name.endswith("X"), math.degrees(math.atan(m))
    if name == "Rotate":
        return vision.rotate(evidence, m)
    if name.startswith("Translate"):
        return vision.affine(evidence, 0.0, [int(m), 0] if along_x else [0, int(m)], 1.0, [0.0, 0.0])
    return vision.affine(evidence, 0.0, [0, 0], 1.0, [slope, 0.0] if along_x else [0.0, slope], center=[0, 0])


def test_maps_obey_the_law_on_slow_reference():
    """A smooth map in the middle of a 13 x 18 picture, so that one factor per map changes next to nothing."""
    height, width = 13, 18
    y, x = np.mgrid[:height, :width] + 0.5
    values = np.exp(-((x - 8) ** 2 / 8 + (y - 7) ** 2 / 5))
    backs = {
        ("ShearX", 0.3): lambda x, y: (x + 0.3 * y, y),
        ("ShearY", -0.2): lambda x, y: (x, y - 0.2 * x),
        ("TranslateX", 3.0): lambda x, y: (x - 3, y),
        ("TranslateY", -2.0): lambda x, y: (x, y + 2),
        ("Rotate", 40.0): rotation(40, height, width, height, width),
    }
    for (name, magnitude), back in backs.items():
        maps = torch.from_numpy(values).float()[None]
        which, strength = torch.tensor([OPERATIONS.index(name)]), torch.tensor([magnitude]).double()
        _, moved = apply_operations(torch.zeros(1, 1, height, width), maps, which, strength)
        wanted = warp(values, back, height, width)
        assert np.abs(moved[0].numpy() - wanted).max() < 0.01
        assert abs(float(moved.sum()) / wanted.sum() - 1) < 0.01


def test_whole_pixels_move_maps_exactly():
    maps = torch.zeros(2, 20, 30)
    maps[:, 4, 25], maps[:, 19, 2] = 3.0, 1.0
    which = torch.tensor([OPERATIONS.index("TranslateX"), OPERATIONS.index("TranslateY")])
    _, moved = apply_operations(torch.zeros(2, 1, 20, 30), maps, which, torch.tensor([4.7, 7.0]).double())
    wanted = torch.zeros(2, 20, 30)
    wanted[0, 4, 29], wanted[0, 19, 6], wanted[1, 11, 25] = 3.0, 1.0, 3.0
    assert torch.equal(moved, wanted)


def test_colours_leave_maps_alone():
    maps = torch.rand(len(COLOUR), 9, 14)
    which = torch.tensor([OPERATIONS.index(name) for name in COLOUR])
    images = pictures(len(COLOUR), 3, (9, 14))
    got, moved = apply_operations(images, maps, which, torch.full((len(COLOUR),), 0.7).double())
    assert torch.equal(moved, maps)
    assert all(not torch.equal(g, i) for g, i in zip(got[:-1], images, strict=False))


# Cutout --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(32, 32), (19, 30)])
def test_cutout_is_the_rectangle_that_pil_draws(height, width):
    sides, places = torch.rand(40).double() * 8, torch.rand(40, 2).double()
    images, maps = pictures(40, 3, (height, width)), torch.rand(40, height, width) + 0.1
    which = torch.full((40,), OPERATIONS.index("Cutout"))
    got, left = apply_operations(images, maps, which, sides, places)
    for i, (side, (v, u)) in enumerate(zip(sides.tolist(), places.tolist(), strict=True)):
        wanted = Image.fromarray(images[i].permute(1, 2, 0).numpy())
        x, y = int(max(0, u * width - side / 2)), int(max(0, v * height - side / 2))
        corners = (x, y, min(width, x + side), min(height, y + side))
        ImageDraw.Draw(wanted).rectangle(corners, (125, 123, 114))
        assert np.array_equal(got[i].permute(1, 2, 0).numpy(), np.asarray(wanted))
        erased = (left[i] == 0).nonzero()
        top, start, bottom, stop = cutout_boxes(sides[i : i + 1], places[i : i + 1], height, width)[0].tolist()
        assert erased.amin(0).tolist() == [top, start]
        assert (erased.amax(0) + 1).tolist() == [bottom, stop]
        assert torch.equal(left[i][left[i] > 0], maps[i][left[i] > 0])


def test_cutout_of_one_channel_of_floats_and_of_no_side():
    images, maps = torch.rand(2, 1, 20, 20), torch.rand(2, 20, 20) + 0.1
    which, places = torch.full((2,), OPERATIONS.index("Cutout")), torch.full((2, 2), 0.5).double()
    got, left = apply_operations(images, maps, which, torch.tensor([0.0, 3.0]).double(), places)
    assert torch.equal(got[0], images[0])
    assert torch.equal(left[0], maps[0])
    assert torch.equal(got[1, 0, 8:12, 8:12], torch.full((4, 4), 123 / 255))
    assert (left[1] == 0).sum() == 16


def test_only_geometry_moves():
    names = [OPERATIONS[op] for op in geometry_of(torch.arange(len(OPERATIONS)))]
    assert names == ["Identity", *GEOMETRIC, *["Identity"] * (len(COLOUR) + 1)]
