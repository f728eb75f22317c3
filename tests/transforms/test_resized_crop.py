"""Random resized crop: torchvision's boxes and pixels for each image, both ways of computing, and a map that stays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

import augwise as aw
from augwise.data import WithImportance
from augwise.fingerprints import hash_pixels
from augwise.importance.estimator import Estimated, Estimator
from augwise.importance.grid import map_size, pool
from augwise.importance.rows import Rows
from augwise.transforms.resized_crop import (
    DRAWS,
    TRIES,
    crop_boxes,
    resized_crop,
    resized_crop_by_matrices,
    resized_crop_maps,
    resized_crop_maps_by_matrices,
)
from reference.photographs import Photographs, assert_together

HEIGHT, WIDTH = 41, 58
BOXES = torch.tensor(
    [
        [0, 0, HEIGHT, WIDTH],
        [3, 5, 4, 6],  # one pixel
        [10, 0, 41, 7],
        [0, 20, 19, 58],
        [7, 11, 24, 34],  # 17 × 23, the size asked for
        [2, 3, 40, 57],
    ]
)
SIZE = (17, 23)


def some_images(dtype: torch.dtype) -> Tensor:
    images = torch.randint(0, 256, (len(BOXES), 3, HEIGHT, WIDTH), dtype=torch.uint8)
    images[:, :, ::2, :20] //= 4  # edges, so that bicubic overshoots
    return images if dtype == torch.uint8 else images.to(dtype) / 255


def expected(images: Tensor, mode: str) -> Tensor:
    places = zip(images, BOXES.tolist(), strict=True)
    cut = [
        vision.resized_crop(x, t, le, b - t, r - le, list(SIZE), InterpolationMode(mode), antialias=True)
        for x, (t, le, b, r) in places
    ]
    return torch.stack(cut)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_both_ways_equal_torchvision_on_each_image(mode, dtype):
    images = some_images(dtype)
    wanted = expected(images, mode)
    assert torch.equal(resized_crop(images, BOXES, SIZE, mode), wanted)
    found = resized_crop_by_matrices(images, BOXES, SIZE, mode)
    assert found.dtype == dtype
    if dtype == torch.uint8:
        # torchvision rounds and clamps between its two passes on a CPU; as floats, as on a GPU, it does not.
        exact = expected(images.double(), mode).clamp(0, 255).round()
        assert (found.double() != exact).double().mean() < 1e-3
        wanted = wanted if mode == "bilinear" else exact
    assert (found.double() - wanted.double()).abs().max() <= (1 if dtype == torch.uint8 else 2e-6)


def test_both_ways_move_maps_by_the_law():
    maps = torch.rand(len(BOXES), HEIGHT, WIDTH) * (torch.rand(len(BOXES), HEIGHT, WIDTH) < 0.2)
    maps[5] = 0
    one = resized_crop_maps(maps, BOXES, SIZE)
    other = resized_crop_maps_by_matrices(maps, BOXES, SIZE)
    assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)
    for m, a, (top, left, bottom, right) in zip(maps, one, BOXES.tolist(), strict=True):
        assert float(a.sum()) == pytest.approx(float(m[top:bottom, left:right].sum()), rel=1e-5)
    assert torch.equal(one[4], maps[4, 7:24, 11:34])


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_class_moves_image_and_map_by_the_same_boxes(mode):
    """To a size that is not square. Bilinear, an image that shows its own map is that map, scaled to the sum inside."""
    maps = torch.rand(len(BOXES), HEIGHT, WIDTH)
    images = maps[:, None].expand(-1, 3, -1, -1).clone()
    images, moved = aw.RandomResizedCrop(SIZE, interpolation=mode).transform(images, maps, {"boxes": BOXES})
    assert torch.equal(images, expected(maps[:, None].expand(-1, 3, -1, -1), mode))
    assert moved.shape == (len(BOXES), *SIZE)
    shown = expected(maps[:, None], "bilinear")[:, 0]
    for m, a, picture, (top, left, bottom, right) in zip(maps, moved, shown, BOXES.tolist(), strict=True):
        torch.testing.assert_close(a, picture * m[top:bottom, left:right].sum() / picture.sum(), rtol=1e-4, atol=1e-6)


def reference_box(height, width, scale, ratio, draw):
    """torchvision's way, with its numbers from ``draw()`` in [0, 1): what was drawn, or None where it fell back."""
    for _ in range(10):
        area = height * width * (scale[0] + (scale[1] - scale[0]) * draw())
        low, high = math.log(ratio[0]), math.log(ratio[1])
        aspect = math.exp(low + (high - low) * draw())
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return h, w
    return None


@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (40, 60, (0.08, 1.0), (3 / 4, 4 / 3)),
        (60, 20, (0.7, 1.0), (3 / 4, 4 / 3)),  # nothing ever fits: W / H < 3 / 4
        (12, 90, (0.9, 0.95), (0.5, 2.0)),
        (33, 40, (0.75, 1.0), (0.8, 2.0)),  # fits now and then
        (3, 2, (0.01, 1.0), (0.2, 5.0)),  # also boxes of no pixel are drawn
    ],
)
def test_boxes_are_those_of_a_slow_loop(height, width, scale, ratio):
    u = torch.rand(400, DRAWS, dtype=torch.float64)
    boxes = crop_boxes(u, height, width, scale, ratio)
    kinds = set()
    for row, (top, left, bottom, right) in zip(u.tolist(), boxes.tolist(), strict=True):
        numbers = iter(row[: 2 * TRIES])
        drawn = reference_box(height, width, scale, ratio, lambda numbers=numbers: next(numbers))
        kinds.add(drawn is None)
        if drawn is None:
            h, w = height, width
            if width / height < ratio[0]:
                h = round(width / ratio[0])
            elif width / height > ratio[1]:
                w = round(height * ratio[1])
            assert (top, left) == ((height - h) // 2, (width - w) // 2)
        else:
            h, w = drawn
            assert (top, left) == (int(row[-2] * (height - h + 1)), int(row[-1] * (width - w + 1)))
        assert (bottom - top, right - left) == (h, w)
    if (height, width) == (33, 40):
        assert kinds == {True, False}


@pytest.mark.parametrize(("height", "width", "ratio"), [(2, 60, (0.1, 0.2)), (60, 1, (3.0, 4.0))])
def test_a_box_has_a_pixel_even_where_the_aspect_leaves_none(height, width, ratio):
    boxes = crop_boxes(torch.rand(20, DRAWS, dtype=torch.float64), height, width, (0.9, 1.0), ratio)
    assert ((boxes[:, 2:] - boxes[:, :2]) >= 1).all()
    assert ((boxes >= 0) & (boxes <= torch.tensor([height, width] * 2))).all()


def test_boxes_are_distributed_as_torchvisions():
    """Means of area, aspect and place of 3 000 boxes within five standard errors."""
    from torchvision.transforms import RandomResizedCrop

    torch.manual_seed(1)
    scale, ratio = (0.3, 1.0), (0.6, 1.5)
    theirs = torch.tensor(
        [RandomResizedCrop.get_params(torch.zeros(1, 50, 70), list(scale), list(ratio)) for _ in range(3000)]
    )
    images = torch.zeros(3000, 1, 50, 70, dtype=torch.uint8)
    ours = aw.RandomResizedCrop(8, scale, ratio).make_params(images, None, None)["boxes"]
    ours = torch.stack([ours[:, 0], ours[:, 1], ours[:, 2] - ours[:, 0], ours[:, 3] - ours[:, 1]], 1)
    for of in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2], lambda b: b[:, 0], lambda b: b[:, 1] ** 2):
        a, b = of(theirs).double(), of(ours).double()
        assert abs(float(a.mean() - b.mean())) < 5 * float((a.var() / 3000 + b.var() / 3000).sqrt())


def test_boxes_of_stretched_images_are_those_of_the_images_as_they_were():
    u = torch.rand(300, DRAWS, dtype=torch.float64)
    true = crop_boxes(u, 4000, 6000, (0.08, 1.0), (3 / 4, 4 / 3))
    stretched = crop_boxes(u, 5000, 5000, (0.08, 1.0), (3 / 4, 4 / 3), torch.full((300,), 6000 / 4000))
    back = stretched.double() * torch.tensor([4000 / 5000, 6000 / 5000] * 2)
    assert (back - true).abs().max() < 3
    tall = crop_boxes(u, 5000, 5000, (0.9, 1.0), (0.9, 1.1), torch.full((300,), 1 / 3))  # falls back: 1500 wide
    whole = crop_boxes(u, 4500, 1500, (0.9, 1.0), (0.9, 1.1))
    assert (tall.double() * torch.tensor([4500 / 5000, 1500 / 5000] * 2) - whole).abs().max() < 3


@dataclass(frozen=True)
class Bright(Estimator):
    """The bright pixels of whatever it is shown, as means over the cells of a grid of 56 × 56."""

    name: ClassVar[str] = "bright"
    needs_model: ClassVar[bool] = False

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(None, height, width)

    def compute(self, model, images, labels, seeds):  # noqa: ARG002
        maps = pool((images[:, 0] > 0.5).double(), *self.map_size(*images.shape[2:]))
        return Estimated(maps.float(), torch.zeros(len(images), dtype=torch.bool))


def test_mark_and_map_stay_together_in_images_of_any_size(tmp_path):
    """Maps made by looking at whole photographs at 112 px, on a grid of 56; then crop and flip of the photographs as
    they are: the bright pixels are those with importance, and what the crop cuts off is missing in the sum."""
    photographs = Photographs(30)
    store = aw.estimate(None, photographs, tmp_path / "x.maps", Bright(), size=112, progress=False)
    assert (store.height, store.width) == (56, 56)
    assert store.hashes.tolist() == [photographs.fingerprint(i) for i in range(30)]
    data = WithImportance(photographs, store, [aw.RandomResizedCrop(64, (0.3, 1.0)), aw.RandomHorizontalFlip()], seed=5)
    whole, none = 0, 0
    for epoch in range(3):
        for i in range(30):
            sample = data[epoch, i]
            assert sample.image.shape == (3, 64, 64)
            share = float(sample.importance.sum()) / sample.evidence
            assert 0 <= share <= 1 + 1e-5
            none += share < 0.02
            if share < 0.02:
                assert int((sample.image[0] > 135).sum()) < 20
            if share > 0.95:
                assert_together(sample.image, sample.importance)
                whole += 1
    assert whole > 30
    assert none > 1


def test_maps_of_anybodys_data_set_belong_to_its_images_as_they_are(tmp_path):
    """A list of (image, label) has no fingerprints of its own: pixels are hashed, those of the whole image."""
    plain = [Photographs(6)[i] for i in range(6)]
    store = aw.estimate(None, plain, tmp_path / "x.maps", Bright(), size=112, progress=False)
    assert store.hashes.tolist() == [hash_pixels(image) for image, _ in plain]
    sample = WithImportance(plain, store)[4]
    assert sample.importance.shape == plain[4][0].shape[1:]
    assert_together(sample.image, sample.importance)
    assert Rows(plain, 112).fingerprint(3) == hash_pixels(plain[3][0])


def test_images_of_several_sizes_need_a_size(tmp_path):
    with pytest.raises(aw.UserError, match="--fit stretch"):
        aw.estimate(None, Photographs(5), tmp_path / "x.maps", Bright(), progress=False)
    with pytest.raises(aw.UserError, match="size=0"):
        aw.estimate(None, Photographs(5), tmp_path / "x.maps", Bright(), progress=False, size=0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.RandomResizedCrop(0), "size=0"),
        (lambda: aw.RandomResizedCrop(8, scale=(0.5, 0.2)), "scale="),
        (lambda: aw.RandomResizedCrop(8, scale=(0.5, 1.5)), "scale="),
        (lambda: aw.RandomResizedCrop(8, ratio=(0, 1)), "ratio="),
        (lambda: aw.RandomResizedCrop(8, interpolation="nearest"), "interpolation='nearest'"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_is_the_product_of_matrices_and_waits_for_nothing():
    images, maps = some_images(torch.uint8), torch.rand(len(BOXES), HEIGHT, WIDTH)
    there, maps_there = images.cuda(), maps.cuda()
    u, stretch = torch.rand(len(BOXES), DRAWS, dtype=torch.float64), torch.rand(len(BOXES)) + 0.5
    u_there, stretch_there = u.cuda(), stretch.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = resized_crop(there, BOXES, SIZE)
        moved = resized_crop_maps(maps_there, BOXES, SIZE)
        boxes = crop_boxes(u_there, HEIGHT, WIDTH, (0.1, 1.0), (0.5, 2.0), stretch_there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert (found.cpu().int() - resized_crop_by_matrices(images, BOXES, SIZE).int()).abs().max() <= 1
    assert torch.allclose(moved.cpu(), resized_crop_maps_by_matrices(maps, BOXES, SIZE), rtol=1e-3, atol=1e-5)
    assert (boxes.cpu() - crop_boxes(u, HEIGHT, WIDTH, (0.1, 1.0), (0.5, 2.0), stretch)).abs().max() <= 1
