"""RandomErasing: rectangles of the paper's areas and aspects, inside the image, and where the guard allows."""

from __future__ import annotations

import math

import pytest
import torch

import augwise as aw
from augwise import randomness, regions
from augwise.transforms.random_erasing import TRIES, rectangle_sizes
from reference.mixing import erase, score, threshold, whole_map, windows

HEIGHT, WIDTH = 9, 14


def some_images(n: int, dtype: torch.dtype = torch.uint8, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    images = torch.randint(0, 256, (n, 3, height, width), dtype=torch.uint8)
    return images if dtype == torch.uint8 else (images / 255).to(dtype)


def some_maps(n: int) -> torch.Tensor:
    return torch.stack([whole_map(HEIGHT, WIDTH, 20) for _ in range(n)])


def apply(method, images, maps, seed=0):
    params = method.make_params(images, maps, torch.Generator().manual_seed(seed))
    return [tuple(b) for b in params["boxes"].tolist()], *method.transform(images, maps, params)


def size_by_hand(u, height, width, scale, ratio, aspect):
    """The first size of Algorithm 1 that fits, or the last area with the nearest aspect that does."""
    for share, where in u.tolist():
        area = (scale[0] + share * (scale[1] - scale[0])) * height * width
        r = ratio[0] + where * (ratio[1] - ratio[0])
        if aspect == "log-uniform":
            r = math.exp(math.log(ratio[0]) + where * (math.log(ratio[1]) - math.log(ratio[0])))
        h, w = max(1, round(math.sqrt(area * r))), max(1, round(math.sqrt(area / r)))
        if h <= height and w <= width:
            return h, w
    r = min(max(r, area / width**2), height**2 / area)
    return max(1, round(math.sqrt(area * r))), max(1, round(math.sqrt(area / r)))


@pytest.mark.parametrize("aspect", ["uniform", "log-uniform"])
@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (32, 32, (0.02, 0.4), (0.3, 1 / 0.3)),
        (9, 14, (0.02, 0.4), (0.3, 1 / 0.3)),
        (6, 90, (0.3, 0.9), (2.0, 5.0)),  # next to nothing fits
        (40, 11, (0.5, 1.0), (0.1, 0.3)),
    ],
)
def test_sizes_are_those_of_the_algorithm(height, width, scale, ratio, aspect):
    u = randomness.uniform(500, TRIES, 2)
    sizes = rectangle_sizes(u, height, width, scale, ratio, aspect)
    assert sizes.tolist() == [list(size_by_hand(one, height, width, scale, ratio, aspect)) for one in u]
    assert (sizes >= 1).all()
    assert (sizes <= torch.tensor([height, width])).all()


def test_area_is_uniform_and_aspect_too():
    n, side = 20000, 1000  # large, so that rounding does not matter
    sizes = rectangle_sizes(randomness.uniform(n, TRIES, 2), side, side, scale=(0.02, 0.25)).double()
    share = (sizes.prod(1) / side**2 - 0.02) / 0.23
    aspect = (sizes[:, 0] / sizes[:, 1] - 0.3) / (1 / 0.3 - 0.3)
    for values in (share, aspect):  # at up to a quarter of the area every aspect fits
        places = values.sort().values
        assert (places - torch.arange(n) / n).abs().max() < 2 / n**0.5  # Kolmogorov and Smirnov
    assert abs(float((sizes[:, 0] > sizes[:, 1]).double().mean()) - (1 / 0.3 - 1) / (1 / 0.3 - 0.3)) < 0.02


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("options", [{}, {"quantile": 0.6}, {"window": "clipped"}, {"length": 4}])
def test_only_the_rectangle_changes(dtype, options):
    images, maps = some_images(30, dtype), some_maps(30)
    boxes, erased, moved = apply(aw.RandomErasing(p=1.0, fill=0.5, **options), images, maps)
    value = 128 if dtype == torch.uint8 else 0.5
    for image, values, got, left, box in zip(images, maps, erased, moved, boxes, strict=True):
        assert torch.equal(got, erase(image, box, [value] * 3))
        assert torch.equal(left, erase(values[None], box, [0.0])[0])
    sizes = {(b - t, r - s) for t, s, b, r in boxes}
    assert sizes == {(4, 4)} if "length" in options else len(sizes) > 5


@pytest.mark.parametrize("window", ["inside", "clipped"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_guard_never_erases_above_the_threshold_of_its_own_size(window, reduce):
    n = 60
    images, maps = some_images(n), some_maps(n)
    method = aw.RandomErasing(p=1.0, quantile=0.4, window=window, reduce=reduce)
    plain = aw.RandomErasing(p=1.0, window=window, reduce=reduce)
    above = 0
    for seed in range(2):
        boxes, _, _ = apply(method, images, maps, seed)
        others, _, _ = apply(plain, images, maps, seed)
        generator = torch.Generator().manual_seed(seed)
        randomness.uniform(n, generator=generator)  # the coin
        sizes = rectangle_sizes(randomness.uniform(n, TRIES, 2, generator=generator), HEIGHT, WIDTH).tolist()
        for values, (h, w), guarded, other in zip(maps, sizes, boxes, others, strict=True):
            limit = threshold(values, h, w, 0.4, window, reduce)
            assert {guarded, other} <= set(windows(HEIGHT, WIDTH, h, w, window))
            assert score(values, guarded, reduce) <= limit
            above += score(values, other, reduce) > limit
    assert above > 2 * n * 0.3


def test_all_places_inside_are_alike():
    boxes, _, _ = apply(aw.RandomErasing(p=1.0, length=4), torch.zeros(6000, 1, 6, 8), None)
    assert set(boxes) == set(windows(6, 8, 4, 4, "inside"))
    assert all(abs(boxes.count(b) - 400) < 5 * 400**0.5 for b in set(boxes))


def test_noise_is_fresh_over_the_whole_range_and_the_same_for_bytes_and_floats():
    images = torch.full((400, 3, 12, 9), 7, dtype=torch.uint8)
    method = aw.RandomErasing(p=1.0, scale=(1.0, 1.0), ratio=(4 / 3, 4 / 3))
    boxes, erased, _ = apply(method, images, None)
    assert set(boxes) == {(0, 0, 12, 9)}
    counts = torch.bincount(erased.flatten().long(), minlength=256)
    expected = erased.numel() / 256
    assert ((counts - expected).abs() < 6 * expected**0.5).all()
    assert not torch.equal(erased[0, 0], erased[0, 1])
    assert not torch.equal(erased[0], erased[1])
    _, floats, _ = apply(method, images / 255, None)
    assert torch.equal(floats, erased / 255)
    method = aw.RandomErasing()
    boxes, erased, _ = apply(method, images, None)
    for image, box in zip(erased, boxes, strict=True):
        assert (image[:, ~regions.box_mask(torch.tensor([box]), 12, 9)[0]] == 7).all()


def test_mean_fill_and_channels_last():
    images = some_images(12).contiguous(memory_format=torch.channels_last)
    boxes, erased, _ = apply(aw.RandomErasing(p=1.0, fill="mean"), images, None)
    for image, got, box in zip(images, erased, boxes, strict=True):
        colour = [round(sum(channel.flatten().tolist()) / channel.numel()) for channel in image]
        assert torch.equal(got, erase(image, box, colour))


def test_probability_schedule_and_shared_draws():
    images, maps = some_images(1000), some_maps(20).repeat(50, 1, 1)
    method = aw.RandomErasing(p=aw.Ramp(1.0, start=0.1, over=0.5))
    for done, expected in ((0.0, 0.1), (0.25, 0.55), (0.5, 1.0)):
        with aw.progress(done):
            boxes, erased, moved = apply(method, images, maps)
        empty = torch.tensor([b == (0, 0, 0, 0) for b in boxes])
        assert abs(1 - float(empty.double().mean()) - expected) <= 5 * (expected * (1 - expected) / 1000) ** 0.5
        assert torch.equal(erased[empty], images[empty])
        assert torch.equal(moved[empty], maps[empty])
    guarded, _, _ = apply(aw.RandomErasing(quantile=0.6), images, maps)
    plain, _, _ = apply(aw.RandomErasing(), images, maps)
    assert [b == (0, 0, 0, 0) for b in guarded] == [b == (0, 0, 0, 0) for b in plain]
    assert [(b - t, r - s) for t, s, b, r in guarded] == [(b - t, r - s) for t, s, b, r in plain]
    assert guarded != plain
    assert apply(aw.RandomErasing(quantile=1.0), images, maps)[0] == plain


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.RandomErasing(scale=(0.4, 0.02)), r"scale=\(0.4, 0.02\)"),
        (lambda: aw.RandomErasing(scale=0.2), "scale=0.2: give the smallest and the largest"),
        (lambda: aw.RandomErasing(scale=(0.02, 40)), r"scale=\(0.02, 40\)"),
        (lambda: aw.RandomErasing(ratio=(0.0, 3.3)), r"ratio=\(0.0, 3.3\)"),
        (lambda: aw.RandomErasing(ratio=(3.3,)), r"ratio=\(3.3,\)"),
        (lambda: aw.RandomErasing(aspect="log"), "aspect='log'"),
        (lambda: aw.RandomErasing(fill="black"), "fill='black'"),
        (lambda: aw.RandomErasing(quantile=60), "quantile=60"),
        (lambda: aw.RandomErasing(window="outside"), "window='outside'"),
        (lambda: aw.RandomErasing(p=2.0), "p=2.0"),
        (lambda: aw.RandomErasing(length=0), "length=0"),
        (lambda: aw.RandomErasing(length=10)(torch.zeros(1, 9, 14)), "10×10 does not fit"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()
