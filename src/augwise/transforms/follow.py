"""A pipeline of torchvision, timm, Kornia or albumentations as steps on a whole `Sample`.

Such pipelines know images alone. Opened step by step, each step is given the means to take the importance map along;
what cannot be followed is named. Nothing here imports those libraries: they are known by where their classes come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torchvision.transforms import v2

from ..errors import UserError
from .base import Augmentation
from .follow_albumentations import Albumentations
from .follow_base import Container, Normalisation, OnSample, Opaque, Ours, Preserved, Several, Step
from .follow_kornia import Kornia
from .follow_timm import Policy as TimmPolicy
from .follow_timm import timm_step
from .follow_torchvision import Policy as TorchvisionPolicy
from .follow_torchvision import preset_steps, v1_step, v2_step
from .preserve import Preserve

_CHOOSING = ("RandomApply", "RandomChoice", "RandomOrder")


class Followed(nn.Sequential):
    """Steps on a `Sample`; see `follow`. As every ``nn.Sequential`` it is opened by `WithImportance`, which gives each
    step a random stream of its own."""

    @property
    def steps(self) -> list[Step]:
        """Every step, those inside RandomApply and its kin too."""
        return [step for step in self.modules() if isinstance(step, Step) and not isinstance(step, Container | Several)]

    @property
    def opaque(self) -> tuple[str, ...]:
        """Names of the steps that may move pixels without the map: where there is one, the map is only approximate."""
        return tuple(dict.fromkeys(step.name for step in self.steps if step.opaque))

    @property
    def guarded(self) -> bool:
        """True if a step consults the map."""
        return any(step.guarded for step in self.steps)

    @property
    def normalisation(self) -> Normalisation | None:
        """(mean, std) that the pipeline applies to pixels in [0, 1] (of several steps the joint one), or None."""
        found = [step.normalisation for step in self.steps if step.normalisation is not None]
        if not found:
            return None
        mean, std = found[0]
        for next_mean, next_std in found[1:]:
            mean, std = (
                tuple(m + s * n for m, s, n in zip(mean, std, next_mean, strict=True)),
                tuple(s * n for s, n in zip(std, next_std, strict=True)),
            )
        return mean, std


def follow(transform: Any, preserve: Mapping[str, Any] | None = None) -> Followed:
    """A foreign image pipeline as steps on a whole `Sample`, the importance map moving along wherever it can.

        aw.follow(timm.data.create_transform(224, is_training=True, auto_augment="rand-m9-mstd0.5-inc1"),
                  preserve={"length": 0.4, "quantile": 0.6})

    transform: a transform or several: Compose of torchvision (v1, v2) and albumentations, ``nn.Sequential``, Kornia's
        ImageSequential and AugmentationSequential, lists, what ``timm.data.create_transform`` returns. Each step
        becomes one of:

        - transforms of this library and of torchvision v2: as they are;
        - geometry of torchvision v1 and timm: the v2 function with what the transform draws. Conversions between PIL
          images and tensors: the unit alone (ToTensor gives floats in [0, 1]);
        - erasers (RandomErasing of torchvision, timm, Kornia; dropouts of albumentations): the map becomes 0 there;
        - policies (TrivialAugmentWide, AutoAugment, RandAugment of torchvision; AutoAugment, RandAugment of timm): the
          map follows the operations they drew, the pixels are theirs;
        - Kornia and albumentations: the map follows coordinates that are sent through the same operations;
        - anything else: *opaque*, a function of the image alone, the map carried past unmoved; ``.opaque`` names them.

        Pixels differ from those that the transform makes of a PIL image by the rounding of interpolation alone.
    preserve: arguments of `Preserve` (``length``, ``quantile``, ``regions``, ``shape``, ...): policies and opaque steps
        are guarded by it, so they may no longer change the size or type of an image. None: nothing is.

    Randomness: steps draw from torch, `random` and NumPy as they always do; albumentations is seeded from torch.
    Errors of a step are told with its name.
    """
    held = Followed(*(_step(part, preserve) for part in _parts(transform)))
    if preserve is not None and not any(isinstance(step, Preserved) for step in held.steps):
        raise UserError("preserve guards policies and steps that cannot be followed, and this pipeline has none")
    return held


def _parts(transform: Any) -> list[Any]:
    """The steps one by one: lists, Compose and nn.Sequential opened, None left out."""
    if transform is None:
        return []
    if isinstance(transform, list | tuple) or (isinstance(transform, nn.Sequential) and not _is(transform, "kornia")):
        return [part for held in transform for part in _parts(held)]
    if type(transform).__name__ == "Compose" and _is(transform, "torchvision.transforms"):
        held: Any = transform.transforms
        return _parts(list(held))
    if type(transform).__name__ == "ImageClassification" and _is(transform, "torchvision.transforms"):
        return preset_steps(transform)
    if not callable(transform):
        raise UserError(f"step {transform!r} cannot be called: give a transform, a Compose or a list of them")
    return [transform]


def _step(part: Any, preserve: Mapping[str, Any] | None) -> Step:
    if isinstance(part, Step):
        return part
    if isinstance(part, Preserve) and not isinstance(part.wrapped, Augmentation):
        return Preserved(part, _several(_parts(part.wrapped), type(part.wrapped).__name__, None))
    if isinstance(part, Augmentation):
        return Ours(part)
    if hasattr(part, "mix") and hasattr(part, "make_params"):
        raise UserError(f"{type(part).__name__} mixes batches, and aw.follow is for what is done to one image: call it "
                        "after collation")  # fmt: skip
    if type(part).__name__ in _CHOOSING and _is(part, "torchvision.transforms"):
        return Container(part, [_several(_parts(child), type(child).__name__, preserve) for child in part.transforms])
    step = _foreign(part)
    step.normalisation = _normalisation(part)
    if preserve is None or not _to_guard(step):
        return step
    return Preserved(_guard(part, preserve), step)


def _foreign(part: Any) -> Step:
    if _is(part, "augwise"):
        return OnSample(part)
    if _is(part, "timm"):
        return timm_step(part)
    if _is(part, "kornia") and isinstance(part, nn.Module):
        return Kornia(part)
    if _is(part, "albumentations") and hasattr(part, "set_random_seed"):
        return Albumentations(part)
    if isinstance(part, v2.Transform):
        return v2_step(part)
    if _is(part, "torchvision.transforms"):
        return v1_step(part)
    return Opaque(part, getattr(part, "__name__", None))


def _several(parts: list[Any], name: str, preserve: Mapping[str, Any] | None) -> Step:
    steps = [_step(part, preserve) for part in parts]
    return steps[0] if len(steps) == 1 else Several(steps, name)


def _to_guard(step: Step) -> bool:
    return step.opaque or isinstance(step, TimmPolicy | TorchvisionPolicy)


def _guard(part: Any, preserve: Mapping[str, Any]) -> Preserve:
    try:
        return Preserve(part, **preserve)
    except TypeError as error:
        raise UserError(
            f"preserve={dict(preserve)}: give arguments of aw.Preserve (length, quantile, regions, shape, ...)"
        ) from error


def _is(part: Any, package: str) -> bool:
    home = getattr(part, "__module__", None) or type(part).__module__
    return home == package or home.startswith(package + ".")


def _normalisation(part: Any) -> Normalisation | None:
    """What a Normalize of any of the libraries, or a container of Kornia's or albumentations' with one, applies."""
    flags = getattr(part, "flags", None)
    if type(part).__name__ != "Normalize":
        kept = (_is(part, "kornia") and isinstance(part, nn.Module)) or _is(part, "albumentations")
        held = list(part.children()) if isinstance(part, nn.Module) else getattr(part, "transforms", None) or []
        return next((found for child in held if (found := _normalisation(child))), None) if kept else None
    if isinstance(flags, dict):
        mean, std = flags.get("mean"), flags.get("std")
    else:
        mean, std = getattr(part, "mean", None), getattr(part, "std", None)
    usual = (
        getattr(part, "max_pixel_value", 255.0) == 255.0 and getattr(part, "normalization", "standard") == "standard"
    )
    return (_floats(mean), _floats(std)) if mean is not None and std is not None and usual else None


def _floats(values: Any) -> tuple[float, ...]:
    return tuple(torch.as_tensor(values, dtype=torch.float64).flatten().tolist())
