"""What erases: pixels under the mask and no others, without a look at what lies on the device."""

from __future__ import annotations

import pytest
import torch

import augwise as aw
from augwise.transforms.erasing import erase, filled, mean_colour


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fill", ["mean", 0.4, "colours", "noise"])
def test_pixels_under_the_mask_and_no_others(dtype, channels, fill):
    images = torch.randint(0, 256, (4, channels, 7, 10), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else (images / 255).to(dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    maps, mask = torch.rand(4, 7, 10), torch.rand(4, 7, 10) < 0.4
    before = images.clone(), maps.clone()
    noise = torch.randint(0, 2, (4, channels, 7, 10)).to(dtype)
    given = {"colours": tuple(0.2 * (c + 1) for c in range(channels)), "noise": noise}.get(fill, fill)
    erased, moved = erase(images, maps, mask, given)
    assert torch.equal(images, before[0])
    assert torch.equal(maps, before[1])
    assert erased.dtype == dtype
    most = 255 if dtype == torch.uint8 else 1.0
    for n in range(4):
        for c in range(channels):
            level = images[n, c].double().mean() if fill == "mean" else torch.tensor(0.4 * most)
            level = torch.tensor(0.2 * (c + 1) * most, dtype=torch.float64) if fill == "colours" else level
            level = level.round() if dtype == torch.uint8 else level
            for y in range(7):
                for x in range(10):
                    if not mask[n, y, x]:
                        assert erased[n, c, y, x] == images[n, c, y, x]
                    elif fill == "noise":
                        assert erased[n, c, y, x] == noise[n, c, y, x]
                    else:
                        assert abs(float(erased[n, c, y, x]) - float(level)) <= 0.004 * most * dtype.is_floating_point
    assert torch.equal(moved, maps * ~mask)
    assert erase(images, None, mask, given)[1] is None


def test_the_mean_colour_of_bright_pictures_and_its_rounding():
    """Sums of many bright pixels are large, and a mean of 254.75 is nearer to 255."""
    images = torch.full((2, 3, 40, 48), 255, dtype=torch.uint8)
    images[1, 1, :, ::4] = 254
    images[1, 2, ::2] = 0
    assert mean_colour(images).tolist() == [[255, 255, 255], [255, 255, 128]]
    assert mean_colour(images.double() / 255)[1].tolist() == pytest.approx([1, 254.75 / 255, 0.5])


def test_noise_reaches_from_black_to_white():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(filled("random", torch.zeros(1, 1, 16, 16, dtype=torch.uint8), levels), levels)
    noise = filled("random", torch.zeros(1, 1, 16, 16, dtype=torch.float64), levels)
    assert noise.dtype == torch.float64
    assert noise.flatten().tolist() == pytest.approx([i / 255 for i in range(256)])


@pytest.mark.parametrize(
    "method",
    [
        aw.Cutout(8, quantile=0.6, fill="random"),
        aw.RandomErasing(),
        aw.RandomErasing(quantile=0.6, fill="mean"),
        aw.RandomErasing(quantile=0.6, window="clipped", length=8),
        aw.HideAndSeek(fill="random"),
        aw.GridMask(),
        aw.GridMask(rotation=0.0, fill=(0.1, 0.2, 0.3)),
        aw.AdvMask(top=0.1),
        aw.Preserve(aw.AdvMask(), length=8, quantile=0.6),
    ],
    ids=lambda method: type(method).__name__,
)
def test_nothing_waits_for_the_device(method):
    """A tensor on "meta" has no values: whoever looks at one, as a wait for a GPU would, raises."""
    images = torch.zeros(6, 3, 32, 32, dtype=torch.uint8, device="meta")
    erased, moved = method(images, aw.ImportanceMap(torch.zeros(6, 32, 32, device="meta")))
    assert erased.shape == images.shape
    assert (erased.device.type, moved.device.type) == ("meta", "meta")


def test_maps_of_another_batch_are_refused():
    for method in (aw.RandomErasing(quantile=0.6), aw.HideAndSeek(), aw.GridMask(), aw.AdvMask()):
        with pytest.raises(aw.UserError, match="importance map of shape"):
            method(torch.rand(4, 3, 32, 32), aw.ImportanceMap(torch.rand(5, 32, 32)))
