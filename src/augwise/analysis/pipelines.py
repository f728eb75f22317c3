"""Augmentation pipelines as people use them, by name: what the command line's audit can look at without any code.

One explicit list. Imports no torch, torchvision or timm by itself; making a pipeline does.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from ..training.config import ImageSize


@dataclass(frozen=True)
class Recipe:
    """name: as on the command line; summary: what it is, in one line; make(size, num_classes): the transform (or
    mixer) whose crops give so many pixels a side, or height and width; package: what must be installed
    for it besides torchvision."""

    name: str
    summary: str
    make: Callable[[ImageSize, int], Any]
    package: str | None = None


def recipe(name: str) -> Recipe:
    """The pipeline called ``name``; `UserError` lists what there is, and says what is not installed."""
    if name not in RECIPES:
        close = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UserError(f"policy {name!r} is unknown: {hint}choose among {', '.join(RECIPES)}")
    found = RECIPES[name]
    if found.package is not None:
        from importlib.util import find_spec

        if find_spec(found.package) is None:
            raise UserError(f"policy {name} needs {found.package}: pip install augwise[{found.package}]")
    return found


def _v2() -> Any:
    from torchvision.transforms import v2

    return v2


def _crop_flip(size: ImageSize, _: int) -> Any:
    v2, side = _v2(), size if isinstance(size, int) else min(size)
    return v2.Compose([v2.RandomCrop(size, padding=max(1, side // 8)), v2.RandomHorizontalFlip()])


def _resized_crop(size: ImageSize, _: int) -> Any:
    v2 = _v2()
    return v2.Compose([v2.RandomResizedCrop(size, antialias=True), v2.RandomHorizontalFlip()])


def _torchvision_train(size: ImageSize, _: int) -> Any:
    import torch

    v2 = _v2()
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            v2.RandomErasing(p=0.1),
        ]
    )


def _timm_train(size: ImageSize, _: int) -> Any:
    from timm.data.transforms_factory import create_transform

    return create_transform(size, is_training=True)


def _timm_rand_augment(size: ImageSize, _: int) -> Any:
    from timm.data.transforms_factory import create_transform

    return create_transform(size, is_training=True, auto_augment="rand-m9-mstd0.5-inc1", re_prob=0.25, re_mode="pixel")


def _timm_mixup(_: ImageSize, num_classes: int) -> Any:
    from timm.data.mixup import Mixup

    return Mixup(mixup_alpha=0.8, cutmix_alpha=1.0, label_smoothing=0.1, num_classes=num_classes)


_ALL = (
    Recipe("crop-flip", "pad by an eighth, random crop, flip: the usual for small images", _crop_flip),
    Recipe("resized-crop", "RandomResizedCrop, 8 to 100 % of the area, and flip: the usual for photos", _resized_crop),
    Recipe("trivialaugment", "torchvision's TrivialAugmentWide alone", lambda *_: _v2().TrivialAugmentWide()),
    Recipe("randaugment", "torchvision's RandAugment alone: 2 operations, magnitude 9", lambda *_: _v2().RandAugment()),
    Recipe("autoaugment", "torchvision's AutoAugment alone, the ImageNet policy", lambda *_: _v2().AutoAugment()),
    Recipe("augmix", "torchvision's AugMix alone (cannot be followed)", lambda *_: _v2().AugMix()),
    Recipe("random-erasing", "torchvision's RandomErasing alone, p = 0.5", lambda *_: _v2().RandomErasing()),
    Recipe(
        "torchvision-train",
        "torchvision's reference recipe: resized crop, flip, TrivialAugment, erasing p = 0.1",
        _torchvision_train,
    ),
    Recipe("timm-train", "timm's create_transform(size, is_training=True)", _timm_train, "timm"),
    Recipe(
        "timm-rand-augment",
        "timm's create_transform with rand-m9-mstd0.5-inc1 and pixel erasing p = 0.25",
        _timm_rand_augment,
        "timm",
    ),
    Recipe("mixup", "torchvision's MixUp, alpha = 1", lambda _, k: _v2().MixUp(num_classes=k)),
    Recipe("cutmix", "torchvision's CutMix, alpha = 1", lambda _, k: _v2().CutMix(num_classes=k)),
    Recipe("timm-mixup", "timm's Mixup: mixup 0.8 and cutmix 1.0 by turns, smoothing 0.1", _timm_mixup, "timm"),
)
RECIPES = {entry.name: entry for entry in _ALL}
"""Every pipeline by name."""
