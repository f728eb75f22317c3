"""What every augmentation of this library is: draw all numbers, then apply them, on one sample or a whole batch.

A method writes two functions, `make_params` (all random numbers, nothing else) and `transform` (pure), always for a
batch; a single sample is a batch of one. `Augmentation.forward` finds the image and its importance map in whatever it
is given and puts the results back in the same place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torchvision import tv_tensors

from ..errors import UserError
from ..importance_map import ImportanceMap
from ..sample import Batch, Sample


class Augmentation(nn.Module, ABC):
    """An augmentation of images (C, H, W) or (N, C, H, W), uint8 or float in [0, 1], and of the maps that go along.

    Call it with a `Sample`, a `Batch`, an image, an (image, importance) pair, or any structure that holds one image
    (the first `tv_tensors.Image`, else the first tensor of three or more dimensions) and at most one `ImportanceMap`;
    everything else passes through. On a batch every image draws its own numbers. The input is never modified.

    generator: where the numbers come from; default is torch's own CPU stream, as everywhere in torchvision.
    """

    @property
    def guarded(self) -> bool:
        """True if this augmentation consults the importance map, and so refuses to run without one."""
        return False

    @property
    def needs_map(self) -> bool:
        """True if no argument makes it work without a map."""
        return False

    @abstractmethod
    def make_params(
        self, images: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> dict[str, Any]:
        """Draw every random number for a batch: images (N, C, H, W), importance (N, H, W) float32 or None."""

    @abstractmethod
    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        """Apply what `make_params` drew. Pure: new tensors, or the old ones where nothing changes."""

    def move(
        self,
        images: Tensor,
        importance: Tensor | None,
        params: dict[str, Any],  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        """The geometry of `transform` alone: where its pixels come from, in their original colours.

        The maps are those that `transform` would return if it erased nothing. A method that leaves every pixel in its
        place, as this one does by default, returns what it is given.
        """
        return images, importance

    def forward(self, *inputs: Any, generator: torch.Generator | None = None) -> Any:
        """Not to be overridden: write `make_params` and `transform`."""
        given = inputs[0] if len(inputs) == 1 else inputs
        if isinstance(given, Sample):
            image, importance = self._augment(given.image, given.importance, generator)
            return given._replace(image=image, importance=importance)
        if isinstance(given, Batch):
            images, importance = self._augment(given.images, given.importance, generator)
            return given._replace(images=images, importance=importance)
        leaves, spec = pytree.tree_flatten(given)
        at, map_at = _find(leaves)
        image, importance = self._augment(leaves[at], None if map_at is None else leaves[map_at], generator)
        leaves[at] = image
        if map_at is not None:
            leaves[map_at] = importance
        return pytree.tree_unflatten(leaves, spec)

    def _augment(
        self, image: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor | None]:
        single = image.ndim == 3
        if not single and image.ndim != 4:
            raise UserError(
                f"{type(self).__name__} got an image of shape {tuple(image.shape)}: give (C, H, W) or (N, C, H, W)"
            )
        if image.dtype != torch.uint8 and not image.is_floating_point():
            raise UserError(f"{type(self).__name__} got an image of type {image.dtype}: give uint8, or float in [0, 1]")
        if self.guarded and importance is None:
            raise UserError(
                f"{wants_maps(self)} but got no importance map: read the data through aw.WithImportance, or give an "
                f"aw.ImportanceMap beside the image{unless_plain(self)}"
            )
        images = image.as_subclass(Tensor)
        maps = None if importance is None else importance.as_subclass(Tensor)
        if maps is not None and maps.shape != (*images.shape[:-3], *images.shape[-2:]):
            raise UserError(
                f"{type(self).__name__} got an importance map of shape {tuple(maps.shape)} for an image of shape "
                f"{tuple(images.shape)}: the map covers the whole image, one number per pixel"
            )
        if single:
            images, maps = images[None], None if maps is None else maps[None]
        images, maps = self.transform(images, maps, self.make_params(images, maps, generator))
        if single:
            images, maps = images[0], None if maps is None else maps[0]
        wrapped = tv_tensors.Image(images) if isinstance(image, tv_tensors.Image) else images
        return wrapped, None if maps is None else ImportanceMap(maps)


def wants_maps(step: Any) -> str:
    """How an error begins that says maps are missing: the step's name, and that it is guarded, or needs maps at all."""
    if _has_plain_form(step):
        return f"{type(step).__name__} is guarded"
    wanting = getattr(step, "wrapped", step) if getattr(step, "needs_map", False) else step  # what Preserve wraps
    return f"{type(wanting).__name__} needs importance maps"


def unless_plain(step: Any) -> str:
    """How such an error ends: the other cure, where the step has a form that works without maps."""
    return ", or leave out its quantile for the plain form" if _has_plain_form(step) else ""


def _has_plain_form(step: Any) -> bool:
    """Whether a guarded step works without maps if its guard is left out."""
    if getattr(step, "needs_map", False):
        return False
    guard = getattr(step, "guard", None)
    return guard is None or guard.active or isinstance(getattr(step, "wrapped", None), Augmentation)


def check_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """The (height, width) in pixels that ``size`` means: a side of a square, or both; each at least 1."""
    if isinstance(size, float | str):
        raise UserError(f"size={size!r} is no size: give whole pixels (32), or (height, width)")
    height, width = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if min(height, width) < 1:
        raise UserError(f"size={size} is too small: give at least one pixel")
    return height, width


def check_fill(fill: float | Sequence[float]) -> float | tuple[float, ...]:
    """A colour as one number or one per channel, all in [0, 1]."""
    given = (fill,) if isinstance(fill, int | float) else tuple(fill)
    if not given or not all(isinstance(v, int | float) and 0 <= v <= 1 for v in given):
        raise UserError(f"fill={fill!r} is no colour: give one number, or one per channel, each from 0 to 1")
    return fill if isinstance(fill, int | float) else given


def colour(fill: float | Sequence[float], images: Tensor) -> Tensor:
    """The colour ``fill`` (values in [0, 1]) in the units of ``images`` (N, C, H, W): (C,) of their type.

    uint8 images count to 255, so there the colour is multiplied by 255 and rounded.
    """
    channels = images.shape[-3]
    given = [fill] * channels if isinstance(fill, int | float) else list(fill)
    if len(given) != channels:
        raise UserError(f"fill={fill} has {len(given)} numbers, the images have {channels} channels: give one for each")
    values = torch.tensor(given, dtype=torch.float64)
    if images.dtype == torch.uint8:
        values = (values * 255).round()
    return values.to(images.dtype).to(images.device, non_blocking=True)


def _find(leaves: list[Any]) -> tuple[int, int | None]:
    """Places of the image and of the map among the leaves of whatever structure was given."""
    maps = [i for i, leaf in enumerate(leaves) if isinstance(leaf, ImportanceMap)]
    images = [i for i, leaf in enumerate(leaves) if isinstance(leaf, tv_tensors.Image)]
    if not images:
        images = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.ndim >= 3 and i not in maps][:1]
    if len(images) != 1 or len(maps) > 1:
        raise UserError(
            f"found {len(images)} images and {len(maps)} importance maps in the input: give exactly one image tensor "
            "and at most one aw.ImportanceMap (turn PIL images into tensors with v2.ToImage() first)"
        )
    return images[0], maps[0] if maps else None
