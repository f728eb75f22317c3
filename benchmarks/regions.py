"""Guarded Cutout beside random erasing of other libraries and beside the papers' loop.

    python -m benchmarks.regions --json regions.json

Batches of 128 images. ``given``: integral images and thresholds exist already, as with maps that never move.
``full`` at 224 px: crop, map follows, scores, erase. Peers erase without a map, and are left out if not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._common import medians_ms, run, version  # before torch: it sets the thread variables

# isort: split
import random

import torch
from torch import Tensor
from torchvision.transforms import v2

from augwise import randomness, regions
from augwise.importance_map import ImportanceMap
from augwise.transforms import Cutout, RandomCrop
from augwise.transforms.cutout import cutout

N = 128
QUANTILE = 0.6
COLOUR = torch.tensor([[0.49, 0.48, 0.45]])


def maps_of(side: int) -> Tensor:
    """Sparse maps, as an attack gives them: 30 % of the pixels count."""
    return torch.rand(N, side, side) * (torch.rand(N, side, side) < 0.3)


def guarded_32() -> dict[str, Callable[[], Any]]:
    """Cutout of 16 in images of 32."""
    images, maps = torch.rand(N, 3, 32, 32), ImportanceMap(maps_of(32))
    guarded = Cutout(16, quantile=QUANTILE)
    integral = regions.integral(maps)
    threshold = regions.thresholds(integral, 16, QUANTILE)
    levels, limits = regions.quantize(maps).long(), threshold.tolist()

    def given(images: Tensor, inplace: bool) -> Tensor:
        boxes = regions.sample(integral, 16, randomness.uniform(N, regions.DRAWS), threshold=threshold)
        return cutout(images, None, boxes, COLOUR, inplace)[0]

    written = images.clone()

    return {
        "guarded_cutout_32_ms": lambda: guarded(images, maps),
        "guarded_cutout_32_given_ms": lambda: given(images, inplace=False),
        "guarded_cutout_32_inplace_given_ms": lambda: given(written, inplace=True),
        "paper_loop_32_ms": lambda: paper_loop(images, levels, limits, 16),
    }


def guarded_224() -> dict[str, Callable[[], Any]]:
    """Cutout of 112 in images of 224."""
    images, maps = torch.rand(N, 3, 224, 224), ImportanceMap(maps_of(224))
    integral = regions.integral(maps)
    threshold = regions.thresholds(integral, 112, QUANTILE)
    crop, guarded = RandomCrop(224, padding=28), Cutout(112, quantile=QUANTILE)

    def given() -> Tensor:
        boxes = regions.sample(integral, 112, randomness.uniform(N, regions.DRAWS), threshold=threshold)
        return cutout(images, None, boxes, COLOUR, inplace=True)[0]

    return {
        "guarded_cutout_224_inplace_given_ms": given,
        "guarded_cutout_224_full_ms": lambda: guarded(*crop(images, maps)),
    }


def paper_loop(images: Tensor, levels: Tensor, thresholds: list[int], length: int) -> Tensor:
    """IPF-RDA's Algorithm 2, image by image: redraw the square until it scores at most the (given) threshold."""
    result = images.clone()
    height, width = images.shape[-2:]
    half = length // 2
    for image, level, limit in zip(result, levels, thresholds, strict=True):
        while True:
            y, x = random.randrange(height), random.randrange(width)
            rows = slice(max(y - half, 0), min(y + half, height))
            columns = slice(max(x - half, 0), min(x + half, width))
            if level[rows, columns].sum() <= limit:
                break
        image[:, rows, columns] = 0
    return result


def peers() -> dict[str, Callable[[], Any]]:
    """Random erasing without a map: one square of a quarter of the image (timm: elementwise CutMix)."""
    small, large = torch.rand(N, 3, 32, 32), torch.rand(N, 3, 224, 224)
    erase = v2.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0), inplace=True)
    found: dict[str, Callable[[], Any]] = {
        "torchvision_random_erasing_loop_224_ms": lambda: [erase(image) for image in large]
    }
    if version("kornia"):
        import kornia.augmentation

        batched = kornia.augmentation.RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))
        found["kornia_random_erasing_32_ms"] = lambda: batched(small)
    if version("timm"):
        from timm.data.mixup import Mixup

        mixup = Mixup(mixup_alpha=0.0, cutmix_alpha=1.0, mode="elem", num_classes=10)
        labels = torch.randint(0, 10, (N,))
        found["timm_cutmix_elem_32_ms"] = lambda: mixup(small, labels)
    return found


def measure() -> dict[str, Any]:
    torch.manual_seed(0)
    random.seed(0)
    results = medians_ms({**guarded_32(), **peers(), **guarded_224()}, budget=3.0)
    return {"images": N, "quantile": QUANTILE, **results}


if __name__ == "__main__":
    run(__doc__, measure)
