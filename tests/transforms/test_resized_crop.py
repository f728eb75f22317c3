"""Random resized crop: torchvision's boxes and pixels for each image, both ways of computing, and a map that stays."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as vision

import augwise as aw
from augwise.data import WithImportance
from augwise.transforms.resized_crop import (
    DRAWS,
    TRIES,
    crop_boxes,
    resized_crop,
    resized_crop_by_matrices,
    resized_crop_maps,
    resized_crop_maps_by_matrices,
)

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


class Photographs:
    """Images of different sizes with one white square of about a ninth of the height, in a place of its own."""

    name, flip, class_names = "photographs", True, ["a", "b"]

    def __init__(self, n: int) -> None:
        draw = random.Random(3)
        self.sizes = [(draw.randrange(60, 200), draw.randrange(60, 200)) for _ in range(n)]
        self.places = [(draw.uniform(0.2, 0.8), draw.uniform(0.2, 0.8)) for _ in range(n)]
        self.labels = np.arange(n) % 2

    def __len__(self) -> int:
        return len(self.sizes)

    def marked(self, index: int, height: int, width: int) -> Tensor:
        """(height, width) bool: where the square lies, at any resolution of the whole image."""
        own = self.sizes[index]
        half = own[0] / 18
        ys, xs = (torch.arange(n) + 0.5 for n in (height, width))
        down = (ys * own[0] / height - self.places[index][0] * own[0]).abs() < half
        across = (xs * own[1] / width - self.places[index][1] * own[1]).abs() < half
        return down[:, None] & across

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = torch.full((3, *self.sizes[index]), 20, dtype=torch.uint8)
        image[:, self.marked(index, *self.sizes[index])] = 250
        return image, int(self.labels[index])

    def fingerprint(self, index: int) -> int:
        return 1000 + index


def test_mark_and_map_stay_together_in_images_of_any_size():
    """Maps on one fixed grid for photographs of many sizes: after crop and flip the bright pixels are those with
    importance."""
    photographs = Photographs(30)
    maps = np.stack([photographs.marked(i, 112, 112) for i in range(30)]).astype(np.float32)
    store = aw.ImportanceStore.from_maps(photographs, maps)
    data = WithImportance(photographs, store, [aw.RandomResizedCrop(64, (0.3, 1.0)), aw.RandomHorizontalFlip()], seed=5)
    seen = 0
    for epoch in range(3):
        for i in range(30):
            sample = data[epoch, i]
            assert sample.image.shape == (3, 64, 64)
            bright = sample.image[0] > 135
            share = float(sample.importance.sum()) / sample.evidence
            assert 0 <= share <= 1 + 1e-5
            if share < 0.9:
                continue
            seen += 1
            weight = sample.importance.as_subclass(Tensor) / sample.importance.sum()
            assert float(weight[bright].sum()) > 0.6
            ys, xs = (torch.arange(64.0)[:, None], torch.arange(64.0))
            for axis in (ys, xs):
                assert float((weight * axis).sum()) == pytest.approx(float((bright * axis).sum() / bright.sum()), abs=1)
    assert seen > 30


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
