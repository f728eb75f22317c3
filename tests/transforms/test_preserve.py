"""Preserve: the transform acts on the image alone, then one important region is the original again."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

import augwise as aw
from augwise import randomness
from reference.mixing import paste, score, threshold, whole_map, windows

HEIGHT, WIDTH, LENGTH = 12, 17, 5


def kornia_blur() -> nn.Module:
    augmentation = pytest.importorskip("kornia.augmentation")
    return augmentation.RandomGaussianBlur((3, 3), (0.5, 1.5), p=1.0)


WRAPPED = {
    "trivialaugment": v2.TrivialAugmentWide,
    "autoaugment": v2.AutoAugment,
    "randaugment": v2.RandAugment,
    "colorjitter": lambda: v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
    "kornia": kornia_blur,
    "compose": lambda: v2.Compose([v2.ColorJitter(0.5), v2.RandomApply([v2.GaussianBlur(3)], p=0.6)]),
    "function": lambda: lambda image: image.flip(-2),
    "cutout": lambda: aw.Cutout(9, fill=0.25),
}


def some(n: int, dtype: torch.dtype = torch.uint8, points: int = 25) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    maps = torch.stack([whole_map(HEIGHT, WIDTH, points) for _ in range(n)])
    return images if dtype == torch.uint8 else images.to(dtype) / 255, maps


def apply(method: aw.Preserve, images, maps, seed: int = 0):
    params = method.make_params(images, maps, torch.Generator().manual_seed(seed))
    result, moved = method.transform(images, maps, params)
    return [tuple(b) for b in params.get("regions", torch.empty(0, 1, 4))[:, 0].tolist()], result, moved


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("name", WRAPPED)
def test_plain_arm_with_the_original_region_pasted(name, dtype):
    images, maps = some(24, dtype)
    _, plain, _ = apply(aw.Preserve(WRAPPED[name]()), images, maps)
    boxes, guarded, moved = apply(aw.Preserve(WRAPPED[name](), LENGTH, 0.6), images, maps)
    assert not torch.equal(plain, images)
    assert guarded.dtype == dtype
    for image, values, without, got, box in zip(images, maps, plain, guarded, boxes, strict=True):
        assert torch.equal(got, paste(without, image, box))
        assert score(values, box) >= max(threshold(values, LENGTH, LENGTH, 0.6, "clipped"), 1)
    if name != "cutout":
        assert torch.equal(moved, maps)


@pytest.mark.parametrize("window", ["clipped", "inside"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_region_scores_at_least_the_threshold(window, reduce):
    images, maps = some(40)
    method = aw.Preserve(nn.Identity(), LENGTH, 0.7, window=window, reduce=reduce)
    limits = [threshold(m, LENGTH, LENGTH, 0.7, window, reduce) for m in maps]
    allowed = set(windows(HEIGHT, WIDTH, LENGTH, LENGTH, window))
    for seed in range(3):
        boxes, _, _ = apply(method, images, maps, seed)
        assert set(boxes) <= allowed
        for values, limit, box in zip(maps, limits, boxes, strict=True):
            assert score(values, box, reduce) >= limit


def test_only_regions_with_evidence_unless_there_is_none():
    images = torch.zeros(600, 1, HEIGHT, WIDTH)
    maps = torch.zeros(600, HEIGHT, WIDTH)
    maps[:300, 3, 14] = 1.0  # most windows score 0, so the threshold is 0
    boxes, _, _ = apply(aw.Preserve(nn.Identity(), 4, 0.6, window="inside"), images, maps)
    assert all(top <= 3 < bottom and left <= 14 < right for top, left, bottom, right in boxes[:300])
    assert len(set(boxes[:300])) == 12  # 4 rows by 3 columns of windows that hold the pixel (row 3, column 14)
    assert len(set(boxes[300:])) > 80  # no evidence at all: any window


def test_evidence_on_the_right_is_what_returns():
    """A transposed or mirrored implementation would paste from elsewhere."""
    images, maps = torch.rand(100, 3, HEIGHT, WIDTH), torch.zeros(100, HEIGHT, WIDTH)
    maps[:, :, 13:] = 255.0
    method = aw.Preserve(torch.zeros_like, 4, 0.99, window="inside")
    _, result, _ = apply(method, images, maps)
    kept = (result == images).all(1)
    assert not kept[:, :, :13].any()
    assert (kept.sum((1, 2)) == 16).all()


def test_sees_one_image_and_nothing_else():
    seen = []

    def spy(*inputs):
        seen.append(inputs)
        return inputs[0]

    images, maps = some(3)
    aw.Preserve(spy, LENGTH, 0.6)(aw.Batch.of(images, torch.zeros(3, dtype=torch.int64), maps))
    assert [len(inputs) for inputs in seen] == [1, 1, 1]
    assert all(type(x) is tv_tensors.Image and x.dtype == torch.uint8 and x.ndim == 3 for (x,) in seen)


def test_what_writes_in_place_cannot_harm_the_input():
    images, maps = some(3, torch.float32)
    before = images.clone()
    boxes, result, _ = apply(aw.Preserve(lambda image: image.zero_(), LENGTH, 0.6), images, maps)
    assert torch.equal(images, before)
    assert torch.equal(result[0], paste(torch.zeros_like(before[0]), before[0], boxes[0]))


def test_foreign_generators_follow_the_seed_and_are_left_alone():
    def foreign(image):
        return (image + random.randint(0, 255) + int(np.random.randint(0, 255))).to(torch.uint8)  # noqa: NPY002

    images, _ = some(6)
    python, numpy = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    for transform in (foreign, v2.Compose([nn.Identity(), foreign])):
        method = aw.Preserve(transform)
        first = apply(method, images, None)[1]
        assert torch.equal(first, apply(method, images, None)[1])
        assert not torch.equal(first, apply(method, images, None, seed=1)[1])
        assert len({int(x) for x in (first.int() - images.int()).remainder(256)[:, 0, 0, 0]}) > 1
    assert torch.equal(apply(aw.Preserve(v2.Lambda(foreign)), images, None)[1], first)
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numpy)  # noqa: NPY002


def test_an_image_draws_the_same_alone_and_in_a_batch():
    images, maps = some(5)
    method = aw.Preserve(v2.RandAugment(), LENGTH, 0.6)
    _, whole, _ = apply(method, images, maps)
    with randomness.shard(3, 5):
        _, alone, _ = apply(method, images[3:4], maps[3:4])
    assert torch.equal(alone[0], whole[3])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_batched_is_one_call_with_the_original_region_pasted(dtype):
    calls = []

    def negative(batch):
        calls.append(tuple(batch.shape))
        return (255 if batch.dtype == torch.uint8 else 1) - batch.as_subclass(torch.Tensor)

    images, maps = some(6, dtype)
    boxes, result, moved = apply(aw.Preserve(negative, LENGTH, 0.6, batched=True), images, maps)
    assert calls == [(6, 3, HEIGHT, WIDTH)]
    one_by_one = apply(aw.Preserve(negative, LENGTH, 0.6), images, maps)
    assert (boxes, moved.tolist()) == (one_by_one[0], maps.tolist())
    assert torch.equal(result, one_by_one[1])
    assert len(apply(aw.Preserve(negative, batched=True), images[:0], maps[:0])[1]) == 0


def test_kornia_on_a_batch_draws_for_every_image_and_is_kept_in_its_stream():
    augmentation = pytest.importorskip("kornia.augmentation")
    images = torch.full((5, 3, HEIGHT, WIDTH), 100, dtype=torch.uint8)
    method = aw.Preserve(augmentation.ColorJiggle((0.4, 0.9), p=1.0), batched=True)
    _, first, _ = apply(method, images, None)
    assert first.dtype == torch.uint8
    assert len(first[:, 0, 0, 0].unique()) > 1
    assert torch.equal(apply(method, images, None)[1], first)
    assert not torch.equal(apply(method, images, None, seed=1)[1], first)


def test_own_augmentation_moves_the_map_with_the_image():
    maps = torch.rand(20, HEIGHT, WIDTH)
    images = (maps[:, None] * 255).round().to(torch.uint8)  # the image shows its own map
    batch = aw.Batch.of(images, torch.zeros(20, dtype=torch.int64), maps)
    plain = aw.Preserve(aw.RandomHorizontalFlip(1.0))(batch)
    assert torch.equal(plain.images, images.flip(-1))
    assert torch.equal(plain.importance, maps.flip(-1))
    method = aw.Preserve(aw.RandomHorizontalFlip(0.6), LENGTH, 0.6)
    params = method.make_params(batch.images, maps, None)
    shown, moved = method.transform(images, maps, params)
    for i, box in enumerate(params["regions"][:, 0].tolist()):
        expected = maps[i]
        if params["wrapped"]["flipped"][i]:  # what returned counts there, its mirror image no more
            expected = paste(paste(maps[i], torch.zeros_like(maps[i]), box).flip(-1), maps[i], box)
        assert torch.equal(moved[i], expected)
        seen = expected > 0
        assert torch.equal((moved[i] * 255).round().to(torch.uint8)[seen], shown[i, 0][seen])
    assert not torch.equal(shown, images)


def test_kornia_on_uint8_is_kornia_on_floats_rounded():
    images, _ = some(8)
    method = aw.Preserve(kornia_blur())
    whole, exact = apply(method, images, None)[1], apply(method, images / 255, None)[1]
    assert torch.equal(whole, (exact * 255).round().clamp(0, 255).to(torch.uint8))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.Preserve("blur"), "transform='blur'"),
        (lambda: aw.Preserve(nn.Identity(), quantile=0.6), "length"),
        (lambda: aw.Preserve(nn.Identity(), 0, 0.6), "length=0"),
        (lambda: aw.Preserve(nn.Identity(), 8, 1.2), "quantile=1.2"),
        (lambda: aw.Preserve(v2.Resize((6, 6)))(torch.zeros(3, 9, 14)), "Resize inside Preserve"),
        (lambda: aw.Preserve(aw.RandomCrop(4))(torch.zeros(3, 9, 14)), "RandomCrop inside Preserve"),
        (lambda: aw.Preserve(v2.ToDtype(torch.float64))(torch.zeros(3, 9, 14)), "float64"),
        (lambda: aw.Preserve(lambda image: None)(torch.zeros(3, 9, 14)), "NoneType"),  # noqa: ARG005
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()
