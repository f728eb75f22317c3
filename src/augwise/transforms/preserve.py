"""Any whole-image transform, with one important region put back afterwards (IPF-RDA, Algorithm 2 (b)).

The wrapped transform may come from torchvision v2, from Kornia, from this library or from anywhere else: it sees one
image at a time and nothing but the image, inside a random stream of its own, so that its draws are the same whether
the guard is on or off and however the images are batched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from .. import randomness, regions
from ..errors import UserError
from ..guard import Guard, check_length, side_of
from ..regions import Reduce, Window
from .base import Augmentation


class Preserve(Augmentation):
    """Apply ``transform``, then paste one important region of the original image back at its own place.

    The region S is a square of side ``length`` drawn uniformly among those with IS(S) >= Q_τ, where IS(S) is the sum
    of the importance map over S (IPF-RDA, Eq. 11 and Alg. 2 lines 8-13) and Q_τ the ``quantile`` of the scores of all
    regions of this image. Regions without any importance are never pasted, unless the whole map is zero.

    transform: anything that takes an image (C, H, W) and returns one of the same shape and type: a torchvision v2
        transform or policy, a Kornia augmentation (uint8 images are turned to [0, 1] for it and back), a callable, or
        an augmentation of this library, which then runs on the whole batch at once.
    length: side of the region: pixels (int), or share of the shorter side (float); needed with a quantile.
    quantile: share of an image's regions that count as unimportant; None: the plain transform.
    window, reduce: see `Guard`.
    threshold: in place of quantile, the same bound on the score for every image, in units of the map; where no region
        reaches it, nothing is put back.
    batched: hand the transform the whole batch (N, C, H, W) at once, for what draws for every image by itself and is
        fast on batches: Kornia's augmentations, say. The draws then depend on the batch, not on the image alone.

    The map is carried past unmoved, which is approximate where the transform moves things; an augmentation of this
    library moves it exactly. What the transform returns is not clamped to [0, 1].
    """

    def __init__(
        self,
        transform: Callable[..., Any],
        length: int | float | None = None,
        quantile: float | None = None,
        window: Window = "clipped",
        reduce: Reduce = "sum",
        batched: bool = False,
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        if not callable(transform):
            raise UserError(f"transform={transform!r} cannot be called: give a transform or a function of an image")
        self.wrapped = transform
        self.length = None if length is None else check_length(length)
        self.guard = Guard(quantile, window, reduce, threshold)
        if self.guard.active and length is None:
            raise UserError("Preserve got a quantile but no length: give the side of the region to put back, length=8")
        self.batched = batched
        self.foreign = randomness.draws_elsewhere(transform)
        self._kornia = any(_home(part) == "kornia" for part in _parts(transform))

    @property
    def guarded(self) -> bool:
        return self.guard.active or (isinstance(self.wrapped, Augmentation) and self.wrapped.guarded)

    @property
    def needs_map(self) -> bool:
        return isinstance(self.wrapped, Augmentation) and self.wrapped.needs_map

    def make_params(
        self, images: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> dict[str, Any]:
        params: dict[str, Any] = {}
        if isinstance(self.wrapped, Augmentation):
            params["wrapped"] = self.wrapped.make_params(images, importance, generator)
        else:
            params["seeds"] = randomness.integers(2**32, len(images), generator=generator)
        u = randomness.uniform(len(images), regions.DRAWS, generator=generator)
        if self.guard.active and self.length is not None:
            side = side_of(self.length, *images.shape[-2:])
            params["boxes"] = self.guard.boxes(images, importance, side, u, keep="high")
        return params

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        boxes = params.get("boxes")
        if isinstance(self.wrapped, Augmentation):
            changed, moved = self.wrapped.transform(images, importance, params["wrapped"])
            self.check(changed, images)
            if boxes is not None and moved is not None and importance is not None:
                moved = regions.paste_boxes(moved, importance, boxes)
        else:
            seeds = params["seeds"].tolist()
            changed, moved = (self._at_once if self.batched else self._one_by_one)(images, seeds), importance
        return changed if boxes is None else regions.paste_boxes(changed, images, boxes), moved

    def _one_by_one(self, images: Tensor, seeds: list[int]) -> Tensor:
        results = []
        for image, seed in zip(images.unbind(), seeds, strict=True):
            with randomness.stream(seed, foreign=self.foreign):
                result = self._call(image.clone())  # some transforms write into what they are given
            self.check(result, image)
            results.append(result.as_subclass(Tensor))
        return torch.stack(results) if results else images

    def _at_once(self, images: Tensor, seeds: list[int]) -> Tensor:
        if not len(images):
            return images
        with randomness.stream(seeds[0], foreign=self.foreign):
            result = self._call(images.clone())
        self.check(result, images)
        return result.as_subclass(Tensor)

    def _call(self, image: Tensor) -> Any:
        if not self._kornia:
            return self.wrapped(tv_tensors.Image(image))
        result = self.wrapped(image if image.is_floating_point() else image / 255)
        if isinstance(result, Tensor) and result.ndim == image.ndim + 1 and len(result) == 1:
            result = result[0]
        if isinstance(result, Tensor) and image.dtype == torch.uint8:
            result = (result * 255).round().clamp(0, 255).to(torch.uint8)
        return result

    def check(self, result: Any, image: Tensor) -> None:
        """Raise `UserError` unless ``result`` is an image of the shape and type of ``image``."""
        name = type(self.wrapped).__name__
        if not isinstance(result, Tensor):
            raise UserError(f"{name} inside Preserve returned {type(result).__name__}: it must return an image tensor")
        if result.shape != image.shape or result.dtype != image.dtype:
            raise UserError(
                f"{name} inside Preserve turned an image of shape {tuple(image.shape)}, {image.dtype}, into "
                f"{tuple(result.shape)}, {result.dtype}: what changes size or type (crop, resize, ToDtype) stands "
                "before or after Preserve, not inside it"
            )

    def extra_repr(self) -> str:
        wrapped = "" if isinstance(self.wrapped, nn.Module) else f"{self.wrapped!r}, "
        return f"{wrapped}length={self.length}, {self.guard}" + (", batched=True" if self.batched else "")


def _parts(transform: Any) -> Iterator[Any]:
    """The transform itself, or what a container of transforms holds."""
    children = list(transform.children()) if isinstance(transform, nn.Module) else []
    held = getattr(transform, "transforms", None)  # torchvision's containers keep a plain list
    children += [t for t in held if t not in children] if isinstance(held, list | tuple) else []
    if not children:
        yield transform
    for child in children:
        yield from _parts(child)


def _home(part: Any) -> str:
    return type(part).__module__.split(".")[0]
