"""albumentations, a Compose or a single transform, as a step on a `Sample`.

albumentations is not imported. It has random generators of its own, which are seeded for every image from torch's
stream, so that keyed streams reach it. While an image goes through, every transform that is applied is noted with its
parameters; the geometric ones and the dropouts are then applied to a picture of coordinates as well, and the map
follows these. Its own masks would not do: they take the nearest pixel, and a zoom of a mask is no density.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import coordinates
from .follow_base import Moved, Step, as_tensor

_LINEAR = 1  # cv2.INTER_LINEAR
_MIXING = frozenset({"Mosaic", "OverlayElements", "MaskDropout", "Lambda"})
"""What brings pixels of other images, needs masks, or does anything."""


class Albumentations(Step):
    """See the head of this module. Opaque where it holds what cannot be applied to coordinates."""

    def __init__(self, step: Any, name: str | None = None) -> None:
        super().__init__(step, name)
        self.leaves = list(_leaves(step))
        self.opaque = any(_kind(leaf) == "opaque" for leaf in self.leaves)

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        self.step.set_random_seed(int(torch.randint(2**31, ())))
        applied: list[tuple[Any, dict[str, Any]]] = []
        for leaf in self.leaves:
            leaf.apply_with_params = partial(_noted, applied, leaf)
        try:
            array = np.ascontiguousarray(image.as_subclass(Tensor).permute(1, 2, 0).numpy())
            result = as_tensor(self.step(image=array)["image"])
        finally:
            for leaf in self.leaves:
                del leaf.apply_with_params
        if maps is not None and not self.opaque:
            moves = [(leaf, params) for leaf, params in applied if _kind(leaf) == "moves"]
            if moves:
                shown = coordinates.grid(*image.shape[-2:]).permute(1, 2, 0).contiguous().numpy()
                for leaf, params in moves:
                    shown = _again(leaf, params, shown)
                maps = coordinates.carry(maps, torch.from_numpy(np.ascontiguousarray(shown.transpose(2, 0, 1))))
        return result, maps


def _leaves(transform: Any) -> Iterator[Any]:
    held = getattr(transform, "transforms", None)
    if isinstance(held, list | tuple):
        for part in held:
            yield from _leaves(part)
    else:
        yield transform


def _kind(leaf: Any) -> str:
    """ "moves", "in place" or "opaque"."""
    bases = {base.__name__ for base in type(leaf).__mro__}
    if _MIXING & bases:
        return "opaque"
    if "ImageOnlyTransform" in bases or type(leaf).__name__ in ("ToTensorV2", "NoOp", "Morphological"):
        return "in place"
    return "moves" if "DualTransform" in bases else "opaque"


def _noted(applied: list[tuple[Any, dict[str, Any]]], leaf: Any, params: dict[str, Any], **data: Any) -> Any:
    applied.append((leaf, dict(params)))
    return type(leaf).apply_with_params(leaf, params, **data)


def _again(leaf: Any, params: dict[str, Any], shown: np.ndarray) -> np.ndarray:
    """The same geometry for a picture of coordinates (H, W, 3), linear, with nothing where nothing is shown."""
    blank = copy.copy(leaf)
    changed = {"interpolation": _LINEAR, "fill": 0.0, "fill_mask": 0.0}
    for name, value in changed.items():
        if hasattr(leaf, name):
            setattr(blank, name, value)
    params = params | {name: value for name, value in changed.items() if name in params}
    return blank.apply(np.ascontiguousarray(shown), **params)
