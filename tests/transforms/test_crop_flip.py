"""Crop and flip: what torchvision's functions give each image, and a map that stays with it."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as vision

import augwise as aw
from augwise.transforms.crop_flip import crop, flip, random_crop

MODES = ["constant", "edge", "reflect", "symmetric"]
SIZES = [(9, 14), (70, 90)]  # the second is large enough for the other way of copying


def some_images(n: int, size: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    images = torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8)
    return images if dtype == torch.uint8 else images.to(dtype) / 255


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fill", [0.3, (0.1, 0.55, 1.0)])
def test_crop_equals_torchvision_on_each_image(dtype, size, mode, fill):
    images = some_images(6, size, dtype)
    method = aw.RandomCrop((8, 13), padding=(1, 2, 3, 4), fill=fill, padding_mode=mode)
    params = method.make_params(images, None, None)
    assert len({tuple(c) for c in params["corners"].tolist()}) > 1
    result, _ = method.transform(images, None, params)
    scale = 255 if dtype == torch.uint8 else 1
    values = [v * scale for v in (fill if isinstance(fill, tuple) else (fill,) * 3)]
    values = [round(v) for v in values] if dtype == torch.uint8 else values
    for image, got, (top, left) in zip(images, result, params["corners"].tolist(), strict=True):
        padded = vision.pad(image, [1, 2, 3, 4], fill=values if mode == "constant" else None, padding_mode=mode)
        assert torch.equal(got, vision.crop(padded, top, left, 8, 13))


@pytest.mark.parametrize("size", SIZES)
def test_flip_equals_torchvision_on_each_image(size):
    images, coins = some_images(5, size, torch.uint8), torch.tensor([True, False, False, True, True])
    result = flip(images, coins)
    for image, got, coin in zip(images, result, coins.tolist(), strict=True):
        assert torch.equal(got, vision.horizontal_flip(image) if coin else image)


def test_places_and_coins_are_uniform():
    images = torch.zeros(6000, 1, 5, 7, dtype=torch.uint8)
    corners = aw.RandomCrop((4, 6), padding=(0, 1)).make_params(images, None, None)["corners"]
    counts = torch.bincount(corners[:, 0] * 2 + corners[:, 1], minlength=8)
    assert len(counts) == 8  # 4 rows by 2 columns
    assert ((counts - 750).abs() < 5 * 750**0.5).all()
    flipped = aw.RandomHorizontalFlip(0.3).make_params(images, None, None)["flipped"]
    assert abs(float(flipped.double().mean()) - 0.3) < 5 * (0.21 / 6000) ** 0.5


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_map_stays_with_its_pixel_and_padding_is_no_evidence(size, mode):
    n, (height, width) = 24, size
    rows, columns = torch.randint(0, height, (n,)), torch.randint(0, width, (n,))
    images, maps = torch.zeros(n, 1, height, width), torch.zeros(n, height, width)
    # All pixels differ, so a mirrored copy of the marked one is found out by its value and its place.
    images += torch.arange(1, height * width + 1).view(height, width) / (height * width)
    maps[torch.arange(n), rows, columns] = 2.0
    batch = aw.Batch.of(images, torch.zeros(n, dtype=torch.int64), maps)
    pipeline = [aw.RandomCrop((height, width), padding=4, padding_mode=mode), aw.RandomHorizontalFlip()]
    # Ones everywhere in the map: exactly what is no padding.
    covered = batch._replace(importance=aw.ImportanceMap(torch.ones_like(maps)))
    for seed in range(3):
        generator, twin = (torch.Generator().manual_seed(seed) for _ in range(2))
        result, own = batch, covered
        for step in pipeline:
            result, own = step(result, generator=generator), step(own, generator=twin)
        assert torch.equal(result.images, own.images)
        at = result.importance.nonzero()
        assert 0 < len(at) <= n
        for i, y, x in at.tolist():
            assert result.importance[i, y, x] == 2
            assert result.images[i, 0, y, x] == images[i, 0, rows[i], columns[i]]
        for i in set(range(n)) - set(at[:, 0].tolist()):  # cut away: only padding may show the marked value
            shown = result.images[i, 0] == images[i, 0, rows[i], columns[i]]
            assert not (shown & (own.importance[i] > 0)).any()
        distinct = [int(own.importance[i].sum()) for i in range(n)]
        for i in range(n):
            inside = own.images[i, 0][own.importance[i] > 0]
            assert len(inside.unique()) == distinct[i]  # every pixel of the image at most once


def test_crop_without_padding_keeps_what_it_shows():
    maps = torch.rand(4, 9, 14)
    batch = aw.Batch.of(some_images(4, (9, 14), torch.uint8), torch.zeros(4, dtype=torch.int64), maps)
    method = aw.RandomCrop((5, 6))
    params = method.make_params(batch.images, maps, None)
    _, moved = method.transform(batch.images, maps, params)
    for i, (top, left) in enumerate(params["corners"].tolist()):
        assert torch.equal(moved[i], maps[i, top : top + 5, left : left + 6])


@pytest.mark.parametrize("padding", [3, 0.3])
def test_a_crop_without_a_size_keeps_the_images_own(padding):
    images, maps = some_images(20, (9, 14), torch.uint8), torch.rand(20, 9, 14)
    step = random_crop(padding)  # 0.3 of 9 pixels are 3
    params = step.make_params(images, maps, torch.Generator().manual_seed(4))
    result = step.transform(images, maps, params)
    fixed = aw.RandomCrop((9, 14), padding=3)
    same = fixed.make_params(images, maps, torch.Generator().manual_seed(4))
    assert torch.equal(params["corners"], same["corners"])
    assert int(params["corners"].max()) == 6
    for got, expected in zip(result, fixed.transform(images, maps, same), strict=True):
        assert torch.equal(got, expected)


def test_what_only_moves_is_its_own_move():
    images, maps = some_images(4, (9, 14), torch.uint8), torch.rand(4, 9, 14)
    for step in (aw.RandomCrop(7, padding=2), aw.RandomHorizontalFlip(), aw.RandomResizedCrop(8)):
        params = step.make_params(images, maps, None)
        for moved, result in zip(step.move(images, maps, params), step.transform(images, maps, params), strict=True):
            assert torch.equal(moved, result)


@pytest.mark.parametrize("padding", [1.0, 4.0, -0.1])
def test_a_share_that_is_none_is_refused(padding):
    with pytest.raises(aw.UserError, match=f"padding={padding} is no share"):
        aw.RandomCrop(padding=padding)


def test_crop_of_views_that_are_not_contiguous():
    images = some_images(4, (14, 9), torch.uint8).mT
    corners = torch.tensor([[0, 0], [1, 3], [2, 1], [0, 4]])
    expected = torch.stack([x[:, t : t + 7, s : s + 10] for x, (t, s) in zip(images, corners.tolist(), strict=True)])
    assert torch.equal(crop(images, corners, (7, 10)), expected)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(crop(last, corners, (7, 10)), expected)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.RandomCrop(0), "size=0"),
        (lambda: aw.RandomCrop(1.5), "size=1.5 is no size: give whole pixels"),
        (lambda: aw.RandomCrop(4, padding=(1, 2, 3)), "padding="),
        (lambda: aw.RandomCrop(4, padding=-1), "padding=-1"),
        (lambda: aw.RandomCrop(4, padding_mode="wrap"), "padding_mode='wrap'"),
        (lambda: aw.RandomCrop(4, fill=128), "fill=128"),
        (lambda: aw.RandomHorizontalFlip(1.5), "p=1.5"),
        (lambda: aw.RandomCrop((10, 3))(torch.zeros(1, 9, 14)), "9 x 14"),
        (lambda: aw.RandomCrop(4, padding=9, padding_mode="reflect")(torch.zeros(1, 9, 14)), "mirrors"),
        (lambda: aw.RandomCrop(4, padding=1, fill=(0.1, 0.2))(torch.zeros(3, 9, 14)), "3 channels"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()
