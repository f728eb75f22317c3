"""torchvision's transforms, v1 and v2, as steps on a `Sample`.

v2 moves maps by itself. Of v1 the geometric transforms become their v2 twins with the same settings, which draw the
same numbers (only the policies draw theirs in another order); colour operations of v1 act on the image as they are.
Pixels that a resize or warp interpolates differ from those of a PIL image by rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ..errors import UserError
from ..importance_map import ImportanceMap
from .follow_base import Moved, OnImage, OnSample, Opaque, Step

_POLICIES = (v2.TrivialAugmentWide, v2.AutoAugment, v2.RandAugment)
_MOVING = frozenset({"ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"})
_HOOK = "_apply_image_or_video_transform"

_TWINS: dict[str, Callable[[Any], Any]] = {
    "Resize": lambda t: v2.Resize(t.size, t.interpolation, t.max_size, t.antialias is not False),
    "CenterCrop": lambda t: v2.CenterCrop(t.size),
    "Pad": lambda t: v2.Pad(t.padding, t.fill, t.padding_mode),
    "RandomCrop": lambda t: v2.RandomCrop(t.size, t.padding, t.pad_if_needed, t.fill, t.padding_mode),
    "RandomHorizontalFlip": lambda t: v2.RandomHorizontalFlip(t.p),
    "RandomVerticalFlip": lambda t: v2.RandomVerticalFlip(t.p),
    "RandomPerspective": lambda t: v2.RandomPerspective(t.distortion_scale, t.p, t.interpolation, t.fill),
    "RandomResizedCrop": lambda t: v2.RandomResizedCrop(
        t.size, t.scale, t.ratio, t.interpolation, t.antialias is not False
    ),
    "RandomRotation": lambda t: v2.RandomRotation(t.degrees, t.interpolation, t.expand, t.center, t.fill),
    "RandomAffine": lambda t: v2.RandomAffine(
        t.degrees, t.translate, t.scale, t.shear, t.interpolation, t.fill, t.center
    ),
    "ElasticTransform": lambda t: v2.ElasticTransform(t.alpha, t.sigma, t.interpolation, t.fill),
    "RandomErasing": lambda t: v2.RandomErasing(t.p, t.scale, t.ratio, t.value, t.inplace),
    "AutoAugment": lambda t: v2.AutoAugment(t.policy, t.interpolation, t.fill),
    "RandAugment": lambda t: v2.RandAugment(t.num_ops, t.magnitude, t.num_magnitude_bins, t.interpolation, t.fill),
    "TrivialAugmentWide": lambda t: v2.TrivialAugmentWide(t.num_magnitude_bins, t.interpolation, t.fill),
    "ToTensor": lambda _: v2.ToDtype(torch.float32, scale=True),
    "ConvertImageDtype": lambda t: v2.ToDtype(t.dtype, scale=True),
}
"""v1 by name, and what takes its place."""

_COLOURS = frozenset(
    {
        "ColorJitter", "GaussianBlur", "Grayscale", "Normalize", "RandomAdjustSharpness", "RandomAutocontrast",
        "RandomEqualize", "RandomGrayscale", "RandomInvert", "RandomPosterize", "RandomSolarize",
    }
)  # fmt: skip
"""v1 that changes pixels where they are."""

_CONVERSIONS = frozenset({"ToImage", "PILToTensor", "ToPureTensor"})
"""Between PIL images and tensors: a `Sample` holds tensors before and after."""


def v1_step(transform: Any) -> Step:
    """A transform of ``torchvision.transforms`` as a step."""
    name = type(transform).__name__
    if name in _TWINS:
        return v2_step(_TWINS[name](transform), name)
    if name in _COLOURS:
        return OnImage(transform, name)
    if name == "ToPILImage":
        return OnImage(_to_uint8, name)
    if name in _CONVERSIONS:
        return OnImage(nn.Identity(), name)
    _refuse_crops(name)
    return Opaque(transform, name)


def v2_step(transform: Any, name: str | None = None) -> Step:
    """A transform of ``torchvision.transforms.v2``, or one derived from its base class, as a step."""
    name = name or type(transform).__name__
    if isinstance(transform, _POLICIES):
        return Policy(transform, name)
    if isinstance(transform, v2.RandomErasing):
        return Erasing(transform, name)
    if isinstance(transform, v2.AugMix | v2.Lambda):
        return Opaque(transform, name)
    if isinstance(transform, v2.CutMix | v2.MixUp):
        raise UserError(
            f"{name} mixes batches, and aw.follow is for what is done to one image: call it after collation"
        )
    if name in _CONVERSIONS:
        return OnImage(nn.Identity(), name)
    if name == "ToPILImage":
        return OnImage(_to_uint8, name)
    if name == "ToTensor":
        return OnImage(v2.ToDtype(torch.float32, scale=True), name)
    _refuse_crops(name)
    return OnSample(transform, name)


def preset_steps(preset: Any) -> list[Any]:
    """What ``weights.transforms()`` does to an image to be classified, as a list of v2 transforms."""
    return [
        v2.Resize(preset.resize_size, preset.interpolation, antialias=preset.antialias is not False),
        v2.CenterCrop(preset.crop_size),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(preset.mean, preset.std),
    ]


class Policy(Step):
    """TrivialAugmentWide, AutoAugment or RandAugment: the map follows the shears, translations and rotations that
    they drew. The pixels are those of the untouched policy under the same random numbers."""

    def __init__(self, step: Any, name: str | None = None) -> None:
        super().__init__(step, name)
        if not callable(getattr(type(step), _HOOK, None)):
            raise UserError(
                f"this torchvision's {self.name} has no {_HOOK}, by which its map would be followed (0.26 to 0.29 "
                f"have): put it into aw.Preserve({self.name}()), which leaves the map where it is"
            )

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        apply, drawn = getattr(self.step, _HOOK), []

        def recorded(image: Tensor, transform_id: str, magnitude: float, **options: Any) -> Tensor:
            drawn.append((transform_id, magnitude, options))
            return apply(image, transform_id, magnitude, **options)

        policy = self.step.__dict__
        policy[_HOOK] = recorded  # on this object alone
        try:
            image = self.step(image)
        finally:
            del policy[_HOOK]
        if maps is not None and any(which in _MOVING for which, _, _ in drawn):
            moved = ImportanceMap(maps)
            for which, magnitude, options in drawn:
                if which in _MOVING:
                    moved = apply(moved, which, magnitude, **options)
            maps = moved.as_subclass(Tensor)
        return image, maps


class Erasing(Step):
    """RandomErasing: the map becomes 0 where the image was erased."""

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        if torch.rand(1) >= self.step.p:
            return image, maps
        params = self.step.make_params([image])
        image = self.step.transform(image, params)
        if maps is not None and params["v"] is not None:
            top, left = params["i"], params["j"]
            maps = maps.clone()
            maps[:, top : top + params["h"], left : left + params["w"]] = 0
        return image, maps


def _to_uint8(image: Tensor) -> Tensor:
    return F.to_dtype(image, torch.uint8, scale=True)


def _refuse_crops(name: str) -> None:
    if name in ("FiveCrop", "TenCrop"):
        raise UserError(f"{name} makes several images of one: use RandomCrop or RandomResizedCrop in training")
