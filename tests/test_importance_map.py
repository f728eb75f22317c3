"""The map moves with the image, and its sum is the account of the evidence still visible."""

from __future__ import annotations

import importlib
import math
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from augwise.errors import UserError
from augwise.importance_map import ImportanceMap
from augwise.sample import Sample
from reference import warp as slow

BILINEAR = InterpolationMode.BILINEAR
HEIGHT, WIDTH = 36, 48


def plain(t: Tensor) -> Tensor:
    return t.as_subclass(Tensor)


def blob(row: float, column: float, height: int = HEIGHT, width: int = WIDTH, sigma: float = 2.0) -> Tensor:
    y, x = torch.arange(height)[:, None], torch.arange(width)
    return torch.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2)).float()


def points(*places: tuple[int, int], height: int = HEIGHT, width: int = WIDTH) -> ImportanceMap:
    values = torch.zeros(height, width)
    for weight, (row, column) in enumerate(places, 1):
        values[row, column] = weight
    return ImportanceMap(values)


def centroid(values: Tensor) -> Tensor:
    values = plain(values).double()
    y, x = torch.arange(values.shape[0])[:, None] + 0.5, torch.arange(values.shape[1]) + 0.5
    return torch.stack([(values * y).sum(), (values * x).sum()]) / values.sum()


def sample(values: Tensor) -> Sample:
    """A float image that shows its own map on all three channels."""
    return Sample(tv_tensors.Image(plain(values).expand(3, -1, -1)), ImportanceMap(values), 7, 3, float(values.sum()))


GEOMETRIC = {
    "horizontal flip": v2.RandomHorizontalFlip(p=1),
    "vertical flip": v2.RandomVerticalFlip(p=1),
    "resize smaller": v2.Resize((25, 41)),
    "resize larger": v2.Resize((61, 50)),
    "resize nearest": v2.Resize((54, 72), interpolation=InterpolationMode.NEAREST_EXACT),
    "resize max_size": v2.Resize(30, max_size=33),
    "resize by max_size alone": v2.Resize(None, max_size=40),
    "random resize": v2.RandomResize(20, 60),
    "shortest size": v2.RandomShortestSize([20, 50], max_size=64),
    "scale jitter": v2.ScaleJitter((40, 40)),
    "resized crop": v2.RandomResizedCrop((29, 31), scale=(0.6, 1)),
    "crop": v2.RandomCrop((30, 40)),
    "crop, constant padding": v2.RandomCrop((36, 48), padding=4, fill=0.7),
    "crop, edge padding": v2.RandomCrop((36, 48), padding=(2, 5), padding_mode="edge"),
    "crop, reflect padding": v2.RandomCrop((36, 48), padding=(1, 2, 3, 4), padding_mode="reflect"),
    "crop, symmetric padding": v2.RandomCrop((36, 48), padding=4, padding_mode="symmetric"),
    "crop, padded if needed": v2.RandomCrop((44, 44), pad_if_needed=True),
    "centre crop": v2.CenterCrop((31, 42)),
    "centre crop beyond": v2.CenterCrop((51, 40)),
    "pad": v2.Pad((1, 2, 3, 4), fill=0.5),
    "zoom out": v2.RandomZoomOut(fill=0.5, side_range=(1, 2), p=1),
    "rotation": v2.RandomRotation(60, interpolation=BILINEAR),
    "rotation, nearest": v2.RandomRotation(60),
    "rotation, expanded": v2.RandomRotation(60, expand=True, interpolation=BILINEAR),
    "rotation, own centre": v2.RandomRotation(20, center=(20.0, 25.0), fill=0.3),
    "rotation by 90": v2.RandomRotation((90, 90), expand=True),
    "affine": v2.RandomAffine(40, translate=(0.1, 0.1), scale=(0.5, 1.5), shear=(-10, 10, -15, 15), fill=0.3),
    "affine, one shear": v2.RandomAffine(10, shear=20, interpolation=BILINEAR, center=(10.0, 20.0)),
    "perspective": v2.RandomPerspective(0.5, p=1, fill=0.3),
    "elastic": v2.ElasticTransform(alpha=50.0, sigma=5.0),
}


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("place", [(13, 29), (20.3, 16.6)])
def test_blob_lands_in_the_same_place(name: str, place: tuple[float, float]) -> None:
    evidence = blob(*place)
    far = 5.0  # the image's own fill and mirror images count as well; only what is near the map's blob is compared
    for seed in range(3):
        torch.manual_seed(seed)
        moved = v2.Compose([v2.Identity(), GEOMETRIC[name]])(sample(evidence))
        assert isinstance(moved, Sample)
        assert isinstance(moved.importance, ImportanceMap)
        assert moved[2:] == (7, 3, float(evidence.sum()))
        assert moved.image.shape[-2:] == moved.importance.shape
        at = centroid(moved.importance)
        height, width = moved.importance.shape
        if not (6 < at[0] < height - 6 and 6 < at[1] < width - 6):
            continue
        y, x = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
        near = (y - at[0]) ** 2 + (x - at[1]) ** 2 < far**2
        image, nearby = plain(moved.image)[0] * near, plain(moved.importance) * near
        assert (centroid(image) - centroid(nearby)).abs().max() < 0.35
        # The image's own nearest interpolation (torchvision's default in warps) is rough; the place is the same.
        rough = 0.9 if getattr(GEOMETRIC[name], "interpolation", BILINEAR) != BILINEAR else 0.98
        assert torch.corrcoef(torch.stack([image[near], nearby[near]]))[0, 1] > rough


@pytest.mark.parametrize("name", GEOMETRIC)
def test_marked_pixel_lands_in_the_same_place(name: str) -> None:
    marked = torch.zeros(HEIGHT, WIDTH)
    marked[17, 22] = 1  # well inside, so that only the pixel itself is on the move
    for seed in range(4):
        torch.manual_seed(seed)
        moved = GEOMETRIC[name](sample(marked * 100))
        image, importance = plain(moved.image)[0], plain(moved.importance)
        if image.max() > 10:  # nearest interpolation may lose the pixel, the crop may leave it out
            row, column = divmod(int(image.argmax()), image.shape[1])
            around = importance[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            assert around.max() == importance.max()
            inside = 2 < row < image.shape[0] - 3 and 2 < column < image.shape[1] - 3
            if inside:
                middle = centroid(importance)
                assert abs(middle[0] - row - 0.5) < 1.6
                assert abs(middle[1] - column - 0.5) < 1.6


@pytest.mark.parametrize(
    "transform",
    [
        v2.RandomCrop((36, 48), padding=5, fill=0),
        v2.Resize((50, 33)),
        v2.RandomResizedCrop((20, 30)),
        v2.RandomRotation((70, 170), interpolation=BILINEAR, fill=None),
        v2.RandomAffine((10, 30), scale=(1, 2), translate=(0.2, 0.3), interpolation=BILINEAR, fill=None),
        v2.ElasticTransform(alpha=20.0, fill=None),
    ],
)
def test_map_is_the_image_as_a_density(transform: v2.Transform) -> None:
    """Where nothing shrinks, the map is pixel for pixel the image (times the local area ratio)."""
    moved = transform(sample(torch.rand(HEIGHT, WIDTH)))
    image, importance = plain(moved.image)[0], plain(moved.importance)
    if isinstance(transform, v2.ElasticTransform):
        assert torch.equal(image == 0, importance == 0)
        ratio = (importance / image)[image > 0.05]
        assert 0.5 < ratio.min() < 0.95 < 1.05 < ratio.max() < 2
    else:
        torch.testing.assert_close(importance / importance.sum(), image / image.sum(), rtol=1e-3, atol=1e-7)


def test_rotation_equals_the_pixel_loop() -> None:
    values = torch.rand(9, 13, dtype=torch.float64)
    for angle, expand in ((25, False), (25, True), (-70, True), (140, False)):
        found = F.rotate(ImportanceMap(values), angle, expand=expand)
        back = slow.rotation(angle, 9, 13, *found.shape)
        _equal_up_to_rounding(found, slow.warp(values.numpy(), back, *found.shape))


def test_zoom_equals_the_pixel_loop() -> None:
    values = torch.rand(9, 13, dtype=torch.float64)
    for scale, shift in ((1.0, (2.25, -1.5)), (1.7, (0.0, 0.0)), (2.0, (-3.0, 2.0))):
        found = F.affine(ImportanceMap(values), 0, list(shift), scale, [0.0])
        _equal_up_to_rounding(found, slow.warp(values.numpy(), slow.zoom(scale, *shift, 9, 13), 9, 13))


def test_perspective_equals_the_pixel_loop() -> None:
    values = torch.rand(9, 13, dtype=torch.float64)
    start, end = [[0, 0], [12, 0], [12, 8], [0, 8]], [[-2, -1], [15, 0], [12, 10], [-1, 9]]
    coefficients = [0.8, 0.05, 1.0, -0.04, 0.7, 1.2, -0.004, 0.006]
    found = F.perspective(ImportanceMap(values), None, None, coefficients=coefficients)
    _equal_up_to_rounding(found, slow.warp(values.numpy(), slow.projection(coefficients), 9, 13))
    # From four points: the grid of the image's own kernel, and the Jacobian's determinant on top of it.
    by_points = plain(F.perspective(ImportanceMap(values), start, end))
    image = F.perspective(values[None], start, end)[0]
    ones = plain(F.perspective(ImportanceMap(torch.ones(9, 13, dtype=torch.float64)), start, end))
    inside = F.perspective(torch.ones(1, 9, 13, dtype=torch.float64), start, end)[0] > 0.999
    ratio = (by_points / (image * ones))[inside]
    assert ratio.std() / ratio.mean() < 1e-4


def test_elastic_equals_the_pixel_loop() -> None:
    values, (height, width) = torch.rand(9, 13, dtype=torch.float64), (9, 13)

    def back(x: float, y: float) -> tuple[float, float]:
        return x + 0.8 * math.sin(y / 3), y + 0.02 * (x - 5) ** 2 - 0.9 * (y - 4) / 9

    y, x = np.mgrid[0:height, 0:width] + 0.5
    target = np.vectorize(back)(x, y)
    displacement = torch.tensor(np.stack([(target[0] - x) * 2 / width, (target[1] - y) * 2 / height], -1)[None])
    found = plain(F.elastic(ImportanceMap(values), displacement)).numpy()
    expected = slow.warp(values.numpy(), back, height, width)
    # Differences of neighbouring displacements stand for the derivative: exact for this warp but along sin.
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], rtol=0.02)


def _equal_up_to_rounding(found: Tensor, expected: np.ndarray) -> None:
    """Pixel for pixel, up to the one factor that takes the grid's rounding out of the sum."""
    ratio = float(found.sum()) / expected.sum()
    assert abs(ratio - 1) < 0.03
    np.testing.assert_allclose(plain(found).numpy(), expected * ratio, rtol=1e-4, atol=1e-5)


# The account ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "transform",
    [
        v2.Resize((17, 29)),
        v2.Resize((57, 71)),
        v2.Resize((100, 20), antialias=False),
        v2.RandomHorizontalFlip(p=1),
        v2.Pad(3, fill=9),
        v2.RandomZoomOut(fill=128, p=1),
        v2.RandomRotation(180),
        v2.RandomRotation(180, expand=True),
        v2.RandomAffine(90, scale=(0.2, 1.4), shear=10),
        v2.RandomPerspective(0.3, p=1),
    ],
)
def test_nothing_is_lost_while_everything_stays_visible(transform: v2.Transform) -> None:
    few = points((17, 22), (18, 25), (15, 24))
    for seed in range(10):
        torch.manual_seed(seed)
        for importance in (few, points((17, 23)), ImportanceMap(blob(17.3, 24.1, sigma=1.5))):
            assert float(transform(importance).sum()) == pytest.approx(float(importance.sum()), rel=1e-3)


def test_elastic_keeps_the_account_of_whole_maps() -> None:
    importance = ImportanceMap(torch.rand(HEIGHT, WIDTH) * blob(18, 24, sigma=5))
    shares = [float(v2.ElasticTransform()(importance).sum() / importance.sum()) for _ in range(10)]
    assert abs(np.mean(shares) - 1) < 0.005
    assert np.std(shares) < 0.01


@pytest.mark.parametrize(("dx", "dy"), [(20, 0), (-30.5, 7.25), (0, -18)])
def test_translation_counts_what_stays(dx: float, dy: float) -> None:
    """A shift leaves of the map what it leaves of the image, pixels astride the border included."""
    values = torch.rand(HEIGHT, WIDTH, dtype=torch.float64)
    moved = F.affine(ImportanceMap(values), 0, [dx, dy], 1, [0.0, 0.0], fill=5)
    image = F.affine(values[None], 0, [dx, dy], 1, [0.0, 0.0], interpolation=BILINEAR)[0]
    torch.testing.assert_close(plain(moved), image, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", [0.3, 0.7, 1.6, 3.0])
def test_zoom_counts_what_stays(scale: float) -> None:
    """Of an even map: all of it when zoomed out, the share of the area when zoomed in."""
    moved = F.affine(ImportanceMap(torch.ones(HEIGHT, WIDTH)), 0, [0, 0], scale, [0.0, 0.0])
    assert float(moved.sum()) == pytest.approx(HEIGHT * WIDTH * min(1, 1 / scale**2), rel=0.01)


@pytest.mark.parametrize("center", [None, (5.0, 30.0)])
def test_affine_counts_what_stays(center: tuple[float, float] | None) -> None:
    """All of `affine` at once, the image moving half out: the even map covers the area that the image does."""
    arguments = (25, [14.0, -9.0], 1.2, [30.0, 20.0])
    moved = F.affine(ImportanceMap(torch.ones(HEIGHT, WIDTH)), *arguments, center=center)
    area = F.affine(torch.ones(1, HEIGHT, WIDTH), *arguments, interpolation=BILINEAR, center=center)
    assert 0.2 < float(area.mean()) < 0.8
    assert float(moved.sum()) == pytest.approx(float(area.sum()) / 1.2**2, rel=0.01)


def test_rotation_counts_what_stays() -> None:
    """Of an even square turned by 45° an octagon stays: 2 (√2 − 1) of it."""
    moved = F.rotate(ImportanceMap(torch.ones(64, 64)), 45)
    assert float(moved.sum()) == pytest.approx(64 * 64 * 2 * (math.sqrt(2) - 1), rel=0.005)


def test_key_points_outside_the_crop_are_gone() -> None:
    importance = points((2, 3), (20, 30))  # weights 1 and 2
    assert float(F.crop(importance, 10, 20, 20, 20).sum()) == 2
    assert float(F.resized_crop(importance, 10, 20, 20, 20, [7, 13]).sum()) == pytest.approx(2)
    assert float(F.resized_crop(importance, 0, 0, 10, 10, [33, 21]).sum()) == pytest.approx(1)
    assert float(F.center_crop(importance, [20, 20]).sum()) == 2
    assert float(F.crop(importance, -5, -5, 12, 12).sum()) == 1


def test_warp_leaves_no_key_point_out() -> None:
    """Shrinking steps over pixels; every key point still counts, whatever its place."""
    for scale in (0.25, 0.4, 0.6):
        moved = torch.stack(
            [plain(F.affine(points((17, 16 + i)), 10, [0.0, 0.0], scale, [0.0, 0.0])) for i in range(8)]
        )
        assert (moved.sum((1, 2)) > 0.99).all()
        even = F.affine(points(*[(r, c) for r in range(9, 27) for c in range(12, 36)]), 0, [0, 0], scale, [0.0, 0.0])
        assert float(even.sum()) == pytest.approx(sum(range(1, 18 * 24 + 1)), rel=1e-4)


def test_erasing_sets_to_zero() -> None:
    values = torch.rand(2, HEIGHT, WIDTH)
    erased = F.erase(ImportanceMap(values), i=3, j=5, h=10, w=20, v=torch.rand(3, 10, 20))
    expected = values.clone()
    expected[:, 3:13, 5:25] = 0
    assert isinstance(erased, ImportanceMap)
    assert torch.equal(plain(erased), expected)


def test_random_erasing_erases_image_and_map_alike() -> None:
    both = sample(torch.rand(HEIGHT, WIDTH) + 0.1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RandomErasing.* is currently passing through")  # no longer true of maps
        erased = v2.RandomErasing(p=1)(both)
    assert torch.equal(plain(erased.image)[0] == 0, plain(erased.importance) == 0)
    assert 0 < int((erased.importance == 0).sum()) < HEIGHT * WIDTH
    assert int((both.importance == 0).sum()) == 0


@pytest.mark.parametrize(
    "transform",
    [
        v2.Pad(4, fill=128),
        v2.Pad(4, fill=(1.0, 2.0, 3.0)),
        v2.RandomRotation((40, 40), fill=(1.0, 2.0, 3.0), interpolation=BILINEAR),
        v2.RandomRotation(
            (40, 40), fill={tv_tensors.Image: 9, tv_tensors.Mask: 5}, interpolation=BILINEAR, expand=True
        ),
        v2.RandomAffine((20, 20), scale=(0.5, 0.5), fill=9, interpolation=BILINEAR),
        v2.RandomPerspective(0.6, p=1, fill=9),
        v2.ElasticTransform(alpha=100.0, fill=9),
        v2.RandomZoomOut(fill=9, p=1),
    ],
)
def test_padding_is_never_evidence(transform: v2.Transform) -> None:
    """The image is black everywhere and filled brightly: bright is padding."""
    black = Sample(tv_tensors.Image(torch.zeros(3, HEIGHT, WIDTH)), ImportanceMap(torch.ones(HEIGHT, WIDTH)), 0)
    moved = transform(black)
    padding = plain(moved.image)[0] > plain(moved.image)[0].max() - 1e-5
    assert padding.any()
    assert not padding.all()
    if isinstance(transform, v2.RandomPerspective | v2.RandomAffine | v2.ElasticTransform):
        padding = _shrunk(padding)  # antialiased, the map's edge is half a pixel wider than the image's
    assert float(plain(moved.importance)[padding].abs().sum()) < 1e-4
    assert float(moved.importance.sum()) <= HEIGHT * WIDTH * 1.05


def _shrunk(mask: Tensor) -> Tensor:
    grown = torch.nn.functional.max_pool2d((~mask)[None].float(), 3, 1, 1)[0]
    return grown == 0


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric"])
def test_mirrored_padding_is_no_evidence_either(mode: str) -> None:
    importance = ImportanceMap(torch.rand(2, HEIGHT, WIDTH))
    assert torch.equal(F.pad(importance, [1, 2, 3, 4], padding_mode=mode), F.pad(importance, [1, 2, 3, 4]))
    assert float(F.pad(importance, 5, padding_mode=mode).sum()) == pytest.approx(float(importance.sum()))


# Types, shapes, what is left alone, what is refused ------------------------------------------------------------------

CALLS = {
    "resize": lambda m: F.resize(m, [20, 30]),
    "resize to the same size": lambda m: F.resize(m, [HEIGHT, WIDTH]),
    "resized_crop": lambda m: F.resized_crop(m, 3, 4, 20, 21, [15, 40]),
    "crop": lambda m: F.crop(m, -2, 3, 20, 60),
    "center_crop": lambda m: F.center_crop(m, [50, 20]),
    "pad": lambda m: F.pad(m, [1, 2, 3, 4], fill=7, padding_mode="edge"),
    "horizontal_flip": F.horizontal_flip,
    "vertical_flip": F.vertical_flip,
    "affine": lambda m: F.affine(m, 20, [3, 1], 0.6, [4.0, 5.0], fill=3),
    "rotate": lambda m: F.rotate(m, 33, fill=3),
    "rotate, expanded": lambda m: F.rotate(m, 33, expand=True),
    "perspective": lambda m: F.perspective(
        m, [[0, 0], [47, 0], [47, 35], [0, 35]], [[5, 3], [40, 2], [44, 30], [1, 33]], fill=3
    ),
    "elastic": lambda m: F.elastic(m, torch.linspace(-0.1, 0.1, HEIGHT * WIDTH * 2).view(1, HEIGHT, WIDTH, 2)),
    "erase": lambda m: F.erase(m, 1, 2, 9, 9, torch.ones(1)),
}


@pytest.mark.parametrize("name", CALLS)
def test_kernels_keep_type_and_input_and_take_any_leading_shape(name: str) -> None:
    call, values = CALLS[name], torch.rand(2, 3, HEIGHT, WIDTH)
    before = values.clone()
    many = call(ImportanceMap(values))
    assert type(many) is ImportanceMap
    assert many.dtype == torch.float32
    for i in range(2):
        for j in range(3):
            alone = call(ImportanceMap(values[i, j]))
            assert type(alone) is ImportanceMap
            torch.testing.assert_close(plain(alone), plain(many)[i, j], rtol=1e-5, atol=1e-7)
    assert torch.equal(values, before)
    assert call(ImportanceMap(torch.zeros(0, HEIGHT, WIDTH))).shape == (0, *many.shape[-2:])
    assert float(call(ImportanceMap(torch.zeros(HEIGHT, WIDTH))).abs().sum()) == 0
    assert (plain(many) >= 0).all()


@pytest.mark.parametrize("name", CALLS)
def test_integers_become_float32(name: str) -> None:
    values = torch.randint(0, 256, (2, HEIGHT, WIDTH), dtype=torch.uint8)
    whole = CALLS[name](ImportanceMap(values, dtype=torch.uint8))
    assert whole.dtype == torch.float32
    torch.testing.assert_close(plain(whole), plain(CALLS[name](ImportanceMap(values.float()))))
    assert CALLS[name](ImportanceMap(values.half())).dtype == torch.float16
    assert CALLS[name](ImportanceMap(values.double())).dtype == torch.float64


def test_subclass_survives() -> None:
    class Own(ImportanceMap):
        pass

    assert type(F.rotate(Own(torch.rand(5, 7)), 10)) is Own


def test_construction() -> None:
    assert ImportanceMap(np.ones((3, 4), dtype=bool)).dtype == torch.float32
    assert ImportanceMap(np.ones((3, 4), dtype=np.int64)).dtype == torch.float32
    assert ImportanceMap(torch.ones(3, 4, dtype=torch.float64)).dtype == torch.float64
    assert ImportanceMap(torch.ones(3, 4), dtype=torch.uint8).dtype == torch.uint8
    values = torch.ones(3, 4)
    assert ImportanceMap(values).data_ptr() == values.data_ptr()
    with pytest.raises(UserError, match=r"shape \(4,\).*\(H, W\)"):
        ImportanceMap(torch.ones(4))
    with pytest.raises(UserError, match="complex"):
        ImportanceMap(torch.ones(3, 4, dtype=torch.complex64))


@pytest.mark.parametrize(
    "transform",
    [
        v2.ColorJitter(0.5, 0.5, 0.5, 0.5),
        v2.GaussianBlur(3),
        v2.RandomGrayscale(p=1),
        v2.RandomSolarize(0.5, p=1),
        v2.RandomAutocontrast(p=1),
        v2.RandomPhotometricDistort(p=1),
        v2.Normalize([0.5] * 3, [0.5] * 3),
        v2.ToDtype(torch.float64, scale=True),
        v2.ToDtype({tv_tensors.Image: torch.float64, "others": None}, scale=True),
        v2.GaussianNoise(),
        v2.RandomChannelPermutation(),
    ],
)
def test_colours_leave_the_map_alone(transform: v2.Transform) -> None:
    both = Sample(tv_tensors.Image(torch.rand(3, HEIGHT, WIDTH)), ImportanceMap(torch.rand(HEIGHT, WIDTH)), 1)
    changed = transform(both)
    assert changed.importance is both.importance
    if not isinstance(transform, v2.RandomChannelPermutation):
        assert not torch.equal(plain(changed.image), plain(both.image)) or changed.image.dtype == torch.float64


def test_to_dtype_of_others_does_not_rescale() -> None:
    moved = v2.ToDtype({tv_tensors.Image: torch.float32, "others": torch.float64}, scale=True)(
        (tv_tensors.Image(torch.zeros(3, 4, 5)), ImportanceMap(torch.full((4, 5), 7)))
    )
    assert type(moved[1]) is ImportanceMap
    assert moved[1].dtype == torch.float64
    assert float(moved[1].sum()) == 140


@pytest.mark.parametrize(
    "transform",
    [v2.TrivialAugmentWide(), v2.AutoAugment(), v2.RandAugment(), v2.AugMix(), v2.FiveCrop(9), v2.TenCrop(9)],
)
def test_what_would_leave_the_map_behind_is_refused(transform: v2.Transform) -> None:
    both = (
        tv_tensors.Image(torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)),
        ImportanceMap(torch.zeros(HEIGHT, WIDTH)),
    )
    with pytest.raises(TypeError):
        transform(both)


@pytest.mark.parametrize("transform", [v2.CutMix(num_classes=3), v2.MixUp(num_classes=3)])
def test_mixing_by_torchvision_is_refused(transform: v2.Transform) -> None:
    images, maps = tv_tensors.Image(torch.zeros(2, 3, 8, 9)), ImportanceMap(torch.zeros(2, 8, 9))
    with pytest.raises(ValueError):
        transform(images, maps, torch.tensor([0, 1]))


def test_kernels_are_registered_once_and_reloading_is_safe() -> None:
    with pytest.raises(ValueError, match="already has a kernel"):
        F.register_kernel(F.rotate, ImportanceMap)(lambda m, *_: m)
    kept = sys.modules.pop("augwise.importance_map")
    try:
        again = importlib.import_module("augwise.importance_map")
        assert again.ImportanceMap is not ImportanceMap
        assert float(F.pad(again.ImportanceMap(torch.ones(2, 3)), 1, fill=9).sum()) == 6
    finally:
        sys.modules["augwise.importance_map"] = kept
        sys.modules["augwise"].importance_map = kept  # type: ignore[attr-defined]
    assert float(F.pad(ImportanceMap(torch.ones(2, 3)), 1, fill=9).sum()) == 6


def test_points() -> None:
    importance = ImportanceMap([[0.0, 2.0, 1.0], [2.0, 0.5, 2.0]])
    assert importance.points().tolist() == [[False, True, True], [True, True, True]]
    assert type(importance.points()) is Tensor
    assert importance.points(top=0.2).tolist() == [[False, True, False], [True, False, False]]  # ⌈1.2⌉, ties in order
    assert importance.points(top=1.0).tolist() == importance.points().tolist()
    both = ImportanceMap(torch.stack([plain(importance), plain(importance).flip(0)]))
    assert torch.equal(both.points(0.2)[0], importance.points(0.2))
    assert both.points(0.2).sum((1, 2)).tolist() == [2, 2]
    assert ImportanceMap(torch.zeros(0, 2, 3)).points(0.5).shape == (0, 2, 3)
    for wrong in (0, -1, 1.5):
        with pytest.raises(UserError, match=f"top={wrong}"):
            importance.points(top=wrong)
