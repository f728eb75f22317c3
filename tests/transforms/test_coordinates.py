"""Maps carried by coordinates: exact for whole pixels, mass kept by zooms, nothing counted twice."""

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from augwise.transforms.coordinates import carry, grid

HEIGHT, WIDTH = 20, 28


def maps() -> torch.Tensor:
    torch.manual_seed(1)
    values = torch.rand(2, HEIGHT, WIDTH)
    values[0, :, 15:] = 0
    return values


@pytest.mark.parametrize(
    "move",
    [
        lambda x: x.flip(-1),
        lambda x: x.flip(-2),
        lambda x: x.transpose(-1, -2),
        lambda x: x.roll(5, -1),  # a seam in the middle is no stretch
        lambda x: x[..., 3:15, 4:27],
        lambda x: torch.nn.functional.pad(x, (3, 1, 2, 4)),
        lambda x: torch.where(torch.arange(WIDTH) % 5 == 2, 0.0, x),  # holes
    ],
)
def test_whole_pixels_move_exactly(move):
    torch.testing.assert_close(carry(maps(), move(grid(HEIGHT, WIDTH))), move(maps()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(40, 56), (30, 17), (7, 9), (61, 20)])
def test_a_resize_keeps_the_sum(size):
    before = maps()
    after = carry(before, F.resize(grid(HEIGHT, WIDTH), list(size), antialias=True))
    assert after.shape == (2, *size)
    assert after.sum((1, 2)).tolist() == pytest.approx(before.sum((1, 2)).tolist(), rel=0.03)


def test_a_zoomed_crop_keeps_the_evidence_inside():
    before = maps()
    shown = F.resize(grid(HEIGHT, WIDTH)[:, 5:15, 7:21], [HEIGHT, WIDTH])
    inside = before[:, 5:15, 7:21].sum((1, 2))
    assert carry(before, shown).sum((1, 2)).tolist() == pytest.approx(inside.tolist(), rel=0.03)


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge"])
def test_mirrored_evidence_counts_once(mode):
    before = torch.zeros(1, HEIGHT, WIDTH)
    before[0, 2, 1] = 8.0
    after = carry(before, F.pad(grid(HEIGHT, WIDTH), [6, 6, 6, 6], padding_mode=mode))
    assert float(after.sum()) == pytest.approx(8.0, rel=1e-3)


def test_what_a_crop_mirrors_at_its_own_border_counts_once():
    """The neighbours of the mirrored pixels, outside of the crop, are in no picture."""
    before = torch.zeros(1, HEIGHT, WIDTH)
    before[0, 5, 10] = before[0, 9, 20] = 8.0
    after = carry(before, F.pad(grid(HEIGHT, WIDTH)[:, 5:15, 7:21], [4, 4, 4, 4], padding_mode="symmetric"))
    assert float(after.sum()) == pytest.approx(16.0, rel=1e-3)


@pytest.mark.parametrize("turn", [lambda x: x, lambda x: x.flip(-1), lambda x: x.mT, lambda x: x.mT.flip(-1)])
def test_half_a_pixel_of_padding_shows_half_of_the_pixel_beside_it(turn):
    """Shifted by half a pixel: the first column is half padding, and what it shows is the pixel at the border, not the
    middle between that and nothing."""

    def half(x):
        x = turn(x)
        return 0.5 * x + 0.5 * torch.nn.functional.pad(x, (1, 0))[..., :-1]

    found, wanted = carry(maps(), half(grid(HEIGHT, WIDTH))), half(maps())
    # The last pixel is half out of the picture: one may count it whole.
    torch.testing.assert_close(found[..., :-1], wanted[..., :-1], rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(5, WIDTH), (HEIGHT, 6), (9, 40)])
def test_a_transposed_picture_has_the_transposed_map(size):
    """Also where one side shrinks much and the other does not, so that a pixel shows a long strip."""
    shown = F.resize(grid(HEIGHT, WIDTH), list(size), antialias=True)
    torch.testing.assert_close(carry(maps(), shown.mT.contiguous()), carry(maps(), shown).mT)


def test_a_rotated_key_point_is_where_the_picture_shows_it():
    before = torch.zeros(1, HEIGHT, WIDTH)
    before[0, 12, 17] = 3.0
    shown = F.rotate(grid(HEIGHT, WIDTH), 30, F.InterpolationMode.BILINEAR)
    picture = F.rotate(before, 30, F.InterpolationMode.BILINEAR)
    after = carry(before, shown)
    assert float(after.sum()) == pytest.approx(3.0, rel=1e-3)  # torchvision's picture keeps less than 2.7 of it
    assert int(after.argmax()) == int(picture.argmax())


def test_nothing_shown_is_nothing():
    assert not carry(maps(), torch.zeros(3, 9, 8)).any()
