"""How a model of timm or torchvision wants its images: what its published weights were trained and measured with.

Read from what those libraries say of their weights; downloads nothing and builds no model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torchvision

from ..errors import UserError
from .reid import OF_IMAGENET


@dataclass(frozen=True)
class DataConfig:
    """Images as a model's weights know them.

    mean, std: of each channel, in [0, 1]; size: side of the image in pixels; interpolation: of resizing; crop_share:
    at a measurement the shorter side is resized to size / crop_share and the middle cut out (timm's crop_pct).
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    interpolation: Literal["bilinear", "bicubic"]
    crop_share: float


def data_config(name: str) -> DataConfig | None:
    """What the default weights of ``timm:NAME`` or ``torchvision:NAME`` want; None for the models of this library that
    have no published weights: measure the data instead. Those on a backbone of torchvision's want what it wants.

    timm's names may carry a tag, ``timm:resnet50.a1_in1k``. Raises `UserError` for a name that the library lacks.
    """
    library, _, inner = name.rpartition(":")
    if library == "timm":
        return _timm(inner)
    if not library and inner in OF_IMAGENET:
        return _torchvision(OF_IMAGENET[inner])
    return _torchvision(inner) if library == "torchvision" else None


def _timm(name: str) -> DataConfig:
    try:
        import timm
        from timm.data import resolve_data_config  # pyright: ignore[reportPrivateImportUsage]
    except ImportError as error:
        raise UserError(f"model timm:{name} needs timm: pip install augwise[timm]") from error
    published = timm.get_pretrained_cfg(name) if timm.is_model(name.partition(".")[0]) else None
    if published is None:
        raise UserError(f"timm says nothing of weights called {name!r}: check the model's name and tag")
    found = resolve_data_config({}, pretrained_cfg=published.to_dict())
    return DataConfig(
        tuple(map(float, found["mean"])),
        tuple(map(float, found["std"])),
        int(found["input_size"][-1]),
        _interpolation(found["interpolation"]),
        float(found["crop_pct"]),
    )


def _torchvision(name: str) -> DataConfig:
    try:
        weights: Any = torchvision.models.get_model_weights(name)
    except ValueError as error:
        raise UserError(f"torchvision says nothing of weights called {name!r}: check the model's name") from error
    found = weights.DEFAULT.transforms()
    (size,), (resized,) = found.crop_size, found.resize_size
    mean, std = tuple(map(float, found.mean)), tuple(map(float, found.std))
    return DataConfig(mean, std, size, _interpolation(found.interpolation.value), size / resized)


def _interpolation(name: str) -> Literal["bilinear", "bicubic"]:
    return "bicubic" if name == "bicubic" else "bilinear"  # a few of timm's say random, lanczos or nearest
