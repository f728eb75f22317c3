"""Cutout: erases its box and nothing else, where the guard allows, and the map knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augwise as aw
from augwise import randomness, regions
from augwise.transforms.cutout import cutout
from reference.mixing import erase, score, threshold, whole_map, windows

HEIGHT, WIDTH = 9, 14


def some_images(n: int, dtype: torch.dtype = torch.uint8) -> torch.Tensor:
    images = torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    return images if dtype == torch.uint8 else images.to(dtype) / 255


def some_maps(n: int, points: int = 20) -> torch.Tensor:
    return torch.stack([whole_map(HEIGHT, WIDTH, points) for _ in range(n)])


def apply(method: aw.Cutout, images, maps, seed: int = 0):
    """Boxes, erased images, erased maps."""
    params = method.make_params(images, maps, torch.Generator().manual_seed(seed))
    erased, moved = method.transform(images, maps, params)
    return [tuple(b) for b in params["boxes"].tolist()], erased, moved


def mean_colour(image: torch.Tensor) -> list[float]:
    """By hand; in the units of the image, rounded for uint8."""
    means = [sum(channel.flatten().tolist()) / channel.numel() for channel in image]
    return [round(m) for m in means] if image.dtype == torch.uint8 else means


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("fill", ["mean", 0.3, (0.1, 0.55, 1.0)])
@pytest.mark.parametrize("quantile", [None, 0.6])
def test_only_the_box_changes(dtype, fill, quantile):
    images, maps = some_images(12, dtype), some_maps(12)
    boxes, erased, moved = apply(aw.Cutout(5, quantile=quantile, fill=fill), images, maps)
    for image, values, got, left, box in zip(images, maps, erased, moved, boxes, strict=True):
        if fill == "mean":
            colour = mean_colour(image)
        else:
            given = fill if isinstance(fill, tuple) else (fill,) * 3
            colour = [round(v * 255) for v in given] if dtype == torch.uint8 else list(given)
        expected, outside = erase(image, box, colour), ~regions.box_mask(torch.tensor([box]), HEIGHT, WIDTH)[0]
        assert torch.equal(got[:, outside], image[:, outside])
        assert torch.allclose(got.double(), expected.double(), rtol=0, atol=1e-6)
        assert torch.equal(left, erase(values[None], box, [0.0])[0])


@pytest.mark.parametrize("window", ["clipped", "inside"])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_guard_never_erases_above_the_threshold(window, reduce):
    n, length = 40, 6
    images, maps = some_images(n), some_maps(n)
    limits = [threshold(m, length, length, 0.4, window, reduce) for m in maps]
    allowed = set(windows(HEIGHT, WIDTH, length, length, window))
    above = 0
    for seed in range(3):
        boxes, _, _ = apply(aw.Cutout(length, quantile=0.4, window=window, reduce=reduce), images, maps, seed)
        plain, _, _ = apply(aw.Cutout(length, window=window), images, maps, seed)
        assert set(boxes) | set(plain) <= allowed
        for values, limit, guarded, other in zip(maps, limits, boxes, plain, strict=True):
            assert score(values, guarded, reduce) <= limit
            above += score(values, other, reduce) > limit
    assert above > 3 * n * 0.3  # the plain form does erase what the guard spares


@pytest.mark.parametrize("window", ["clipped", "inside"])
@pytest.mark.parametrize(("reduce", "limit"), [("sum", 700.0), ("mean", 20.0), ("max", 150.0)])
def test_an_absolute_threshold_holds_for_every_image_or_the_image_is_left_alone(window, reduce, limit):
    n, length = 60, 5
    images, maps = some_images(n), some_maps(n)
    maps[:3] = 255  # no window is unimportant
    maps /= 255
    boxes, erased, moved = apply(
        aw.Cutout(length, threshold=limit / 255, window=window, reduce=reduce), images, maps, seed=1
    )
    plain, _, _ = apply(aw.Cutout(length, window=window), images, maps, seed=1)
    above = 0
    for values, box, other in zip((maps * 255).round()[3:], boxes[3:], plain[3:], strict=True):
        scores = {b: score(values, b, reduce) for b in windows(HEIGHT, WIDTH, length, length, window)}
        above += scores[other] > limit
        if box == (0, 0, 0, 0):
            assert min(scores.values()) > limit
            continue
        assert scores[box] <= limit
        assert box == other or scores[other] > limit  # what the plain form draws, if it may
    assert above > 5
    assert boxes[:3] == [(0, 0, 0, 0)] * 3
    assert torch.equal(erased[:3], images[:3])
    assert torch.equal(moved[:3], maps[:3])


def test_a_guard_prints_as_before_there_were_thresholds():
    """Runs that are finished are known by what their steps print."""
    assert "Guard(quantile=0.6, window='clipped', reduce='sum')" in repr(aw.Cutout(4, quantile=0.6))
    assert "Guard(quantile=None, window='clipped', reduce='max', threshold=0.6)" in repr(
        aw.Cutout(4, threshold=0.6, reduce="max")
    )


def test_guard_reaches_every_unimportant_window():
    values = torch.zeros(4, 7)
    values[0, 5] = values[3, 1] = 255
    maps, images = values.expand(4000, 4, 7), torch.zeros(4000, 1, 4, 7)
    boxes, _, _ = apply(aw.Cutout(3, quantile=0.3), images, maps)
    free = [b for b in windows(4, 7, 3, 3, "clipped") if score(values, b) == 0]
    counts = {b: boxes.count(b) / free.count(b) for b in set(free)}
    expected = 4000 / len(free)
    assert set(boxes) == set(free)
    assert all(abs(c - expected) < 5 * expected**0.5 for c in counts.values())


def test_evidence_on_the_right_keeps_the_hole_on_the_left():
    """A transposed or mirrored implementation would erase the evidence."""
    maps = torch.zeros(200, HEIGHT, WIDTH)
    maps[:, :, 9:] = 255.0
    images = torch.ones(200, 1, HEIGHT, WIDTH)
    boxes, erased, moved = apply(aw.Cutout(4, quantile=0.3, window="inside", fill=0.0), images, maps)
    assert torch.equal(erased[..., 9:], images[..., 9:])
    assert torch.equal(moved, maps)
    assert {(b - t, r - s) for t, s, b, r in boxes} == {(4, 4)}
    assert {t for t, *_ in boxes} == set(range(6))
    assert {s for _, s, *_ in boxes} == set(range(6))


def test_random_fill_is_fresh_noise_over_the_whole_range():
    images = torch.full((300, 3, 8, 8), 7, dtype=torch.uint8)
    _, erased, _ = apply(aw.Cutout(8, window="inside", fill="random"), images, None)
    counts = torch.bincount(erased.flatten().long(), minlength=256)
    expected = erased.numel() / 256
    assert ((counts - expected).abs() < 6 * expected**0.5).all()
    assert not torch.equal(erased[0, 0], erased[0, 1])
    assert not torch.equal(erased[0], erased[1])
    boxes, erased, _ = apply(aw.Cutout(4, fill="random"), torch.full((50, 1, 8, 11), 2.0), None)
    for image, box in zip(erased, boxes, strict=True):
        inside = regions.box_mask(torch.tensor([box]), 8, 11)
        assert (image[inside] <= 1).all()
        assert (image[~inside] == 2).all()
        assert len(image[inside].unique()) >= int(inside.sum()) - 3  # of 256 levels, some may come twice


def test_probability_and_shared_draws():
    images, maps = some_images(1500), some_maps(30).repeat(50, 1, 1)
    plain, _, _ = apply(aw.Cutout(5, p=0.3), images, maps)
    guarded, erased, moved = apply(aw.Cutout(5, quantile=0.6, p=0.3), images, maps)
    empty = [b == (0, 0, 0, 0) for b in plain]
    assert empty == [b == (0, 0, 0, 0) for b in guarded]
    assert abs(1 - sum(empty) / 1500 - 0.3) < 5 * (0.21 / 1500) ** 0.5
    for i in (i for i in range(1500) if empty[i]):
        assert torch.equal(erased[i], images[i])
        assert torch.equal(moved[i], maps[i])
    everything, _, _ = apply(aw.Cutout(5, quantile=1.0), images, maps)
    assert everything == apply(aw.Cutout(5), images, maps)[0]  # where all is allowed the guard changes nothing


def test_probability_rises_with_training():
    images, method = some_images(1000), aw.Cutout(5, p=aw.Ramp(0.8, start=0.2))
    for done, expected in ((0.0, 0.2), (0.5, 0.5), (1.0, 0.8)):
        with aw.progress(done):
            boxes, _, _ = apply(method, images, None)
        share = sum(b != (0, 0, 0, 0) for b in boxes) / 1000
        assert abs(share - expected) < 5 * (expected * (1 - expected) / 1000) ** 0.5
        assert boxes == apply(aw.Cutout(5, p=expected), images, None)[0]
    assert apply(method, images, None)[0] == boxes  # outside of training, training counts as done


def test_length_as_share_of_the_shorter_side():
    boxes, _, _ = apply(aw.Cutout(0.5, window="inside"), torch.zeros(20, 1, 8, 30), None)
    assert {(b - t, r - s) for t, s, b, r in boxes} == {(4, 4)}


def test_length_of_any_integer_type():
    assert repr(aw.Cutout(np.int64(4))) == repr(aw.Cutout(4))


def test_given_integrals_and_thresholds_and_in_place():
    images, maps = some_images(6), some_maps(6)
    method = aw.Cutout(5, quantile=0.6, fill=0.2)
    expected = method(images, aw.ImportanceMap(maps), generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    randomness.uniform(6, generator=generator)  # the coin
    u = randomness.uniform(6, regions.DRAWS, generator=generator)
    sums = regions.integral(maps)
    limits = regions.thresholds(sums, 5, 0.6)
    boxes = regions.sample(sums, 5, u, threshold=limits)
    erased, moved = cutout(images, maps, boxes, 0.2, inplace=True)
    assert erased.data_ptr() == images.data_ptr()
    assert moved.data_ptr() == maps.data_ptr()
    assert torch.equal(erased, expected[0])
    assert torch.equal(moved, expected[1])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.Cutout(0), "length=0"),
        (lambda: aw.Cutout(1.5), "length=1.5"),
        (lambda: aw.Cutout(True), "length=True"),
        (lambda: aw.Cutout(4, quantile=0.0), "quantile=0.0"),
        (lambda: aw.Cutout(4, quantile=60), "quantile=60"),
        (lambda: aw.Cutout(4, window="outside"), "window='outside'"),
        (lambda: aw.Cutout(4, reduce="median"), "reduce='median'"),
        (lambda: aw.Cutout(4, quantile=True), "quantile=True"),
        (lambda: aw.Cutout(4, quantile=0.6, threshold=1.0), "quantile=0.6 and threshold=1.0"),
        (lambda: aw.Cutout(4, threshold=-0.5), "threshold=-0.5"),
        (lambda: aw.Cutout(4, threshold=float("nan")), "threshold=nan"),
        (lambda: aw.Cutout(4, threshold="0.6"), "threshold='0.6'"),
        (lambda: aw.Cutout(4, fill="black"), "fill='black'"),
        (lambda: aw.Cutout(4, fill=(0.5, 300.0)), "fill="),
        (lambda: aw.Cutout(4, p=-0.1), "p=-0.1"),
        (lambda: aw.Cutout(10, window="inside")(torch.zeros(1, 9, 14)), "10×10"),
        (lambda: cutout(torch.zeros(1, 1, 9, 14), None, torch.zeros(1, 4).long(), "random"), "fill='random'"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


def test_a_square_that_covers_the_image_wherever_it_lies_is_refused():
    images = torch.rand(2, 3, 12, 20)
    torch.manual_seed(0)
    left = [bool((aw.Cutout(38, fill=0.0)(images) > 0).any()) for _ in range(200)]
    assert any(left)
    for method in (aw.Cutout(39), aw.CutMix(length=39)):
        with pytest.raises(aw.UserError, match="length=39 covers all of an image of 12x20"):
            method(images) if isinstance(method, aw.Cutout) else method(images, torch.arange(2))
