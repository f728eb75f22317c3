"""Any whole-image transform, with one important region put back afterwards (IPF-RDA, Algorithm 2 (b)).

The wrapped transform may come from torchvision v2, from Kornia, from this library or from anywhere else: it sees one
image at a time and nothing but the image, inside a random stream of its own, so that its draws are the same whether
the guard is on or off and however the images are batched. An augmentation of this library runs on the whole batch, and
the map goes along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from .. import randomness, regions
from ..errors import UserError
from ..guard import Guard, check_length, side_of
from ..regions import Reduce, Window
from .base import Augmentation
from .kept import check_segments, clear, draw_superpixels, important_points, paste

Shape = Literal["rectangle", "points", "superpixel"]
Follow = Literal["image", "map"]


class Preserve(Augmentation):
    """Apply ``transform``, then paste one important region of the original image back.

    The region S is a square of side ``length`` drawn uniformly among those with IS(S) >= Q_τ, where IS(S) is the sum
    of the importance map over S (IPF-RDA, Eq. 11 and Alg. 2 lines 8-13) and Q_τ the ``quantile`` of the scores of all
    regions of this image. Regions without any importance are never pasted, unless the whole map is zero.

    transform: anything that takes an image (C, H, W) and returns one of the same shape and type: a torchvision v2
        transform or policy, a Kornia augmentation (uint8 images are turned to [0, 1] for it and back), a callable, or
        an augmentation of this library, which then runs on the whole batch at once.
    length: side of the region: pixels (int), or share of the shorter side (float); needed with a quantile, for
        rectangles alone.
    quantile: share of an image's regions that count as unimportant; None: the plain transform.
    window, reduce: see `Guard`; window is for rectangles alone, and points have no reduce.
    threshold: in place of quantile, the same bound on the score for every image, in units of the map; where no region
        reaches it, nothing is put back.
    batched: hand the transform the whole batch (N, C, H, W) at once, for what draws for every image by itself and is
        fast on batches: Kornia's augmentations, say. The draws then depend on the batch, not on the image alone.
    regions: how many regions are drawn, each by itself among the accepted ones, and pasted (they may overlap).
    shape: of a region. "rectangle": the square above. "points": all pixels with η >= Q_τ of this image's pixels and
        η > 0 (IPF-RDA, Table X), nothing of an empty map. "superpixel": one segment of the image, drawn uniformly
        among those with IS >= Q_τ of its segments and IS > 0; needs maps that are constant over segments, see
        `aw.superpixels`.
    follow: what happens where the transform is an augmentation of this library that moves things. "image" (the
        paper): the region is chosen on the original map, and the original pixels return to their original place. "map":
        it is chosen on the map as the transform moved it, and its pixels return to their original colours at the place
        they were moved to.

    The map of a transform from elsewhere is carried past unmoved, which is approximate where it moves things. An
    augmentation of this library moves it exactly, and what is pasted counts once: with follow="image" the evidence of
    the region stands at its original place, and copies of it that the transform moved out of the region count as
    nothing, so the map's sum never exceeds what it was. What the transform returns is not clamped to [0, 1].
    """

    def __init__(
        self,
        transform: Callable[..., Any],
        length: int | float | None = None,
        quantile: float | None = None,
        window: Window = "clipped",
        reduce: Reduce = "sum",
        batched: bool = False,
        regions: int = 1,
        shape: Shape = "rectangle",
        follow: Follow = "image",
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        if not callable(transform):
            raise UserError(f"transform={transform!r} cannot be called: give a transform or a function of an image")
        for name, given, kinds in (("shape", shape, Shape), ("follow", follow, Follow)):
            if given not in get_args(kinds):
                raise UserError(f"{name}={given!r} is unknown: use one of {', '.join(get_args(kinds))}")
        self.wrapped = transform
        self.length = None if length is None else check_length(length)
        self.guard = Guard(quantile, window, reduce, threshold)
        self.batched = batched
        self.regions = _check_regions(regions, shape)
        self.shape: Shape = shape
        self.follow: Follow = follow
        if self.keeps and shape == "rectangle" and length is None:
            raise UserError("Preserve got a quantile but no length: give the side of the region to put back, length=8")
        if follow == "map" and not isinstance(transform, Augmentation):
            raise UserError(
                f"follow='map' cannot know where {type(transform).__name__} moves things: give a policy of this "
                "library (aw.TrivialAugment() and its kin) or another of its augmentations, or use follow='image'"
            )
        self.foreign = randomness.draws_elsewhere(transform)
        self._kornia = any(_home(part) == "kornia" for part in _parts(transform))

    @property
    def keeps(self) -> bool:
        """True if something is put back; False in the plain form."""
        return self.guard.active

    @property
    def guarded(self) -> bool:
        return self.keeps or (isinstance(self.wrapped, Augmentation) and self.wrapped.guarded)

    @property
    def needs_map(self) -> bool:
        return isinstance(self.wrapped, Augmentation) and self.wrapped.needs_map

    def with_transform(self, transform: Callable[..., Any]) -> Preserve:
        """The same guard around another transform."""
        guard = self.guard
        return Preserve(
            transform, self.length, guard.quantile, guard.window, guard.reduce, self.batched, self.regions,
            self.shape, self.follow, guard.threshold,
        )  # fmt: skip

    def make_params(
        self, images: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> dict[str, Any]:
        params: dict[str, Any] = {}
        if isinstance(self.wrapped, Augmentation):
            params["wrapped"] = self.wrapped.make_params(images, importance, generator)
        else:
            params["seeds"] = randomness.integers(2**32, len(images), generator=generator)
        u = randomness.uniform(len(images), self.regions, regions.DRAWS, generator=generator)
        if self.keeps and importance is not None:
            if self.shape == "superpixel":
                check_segments(importance)
            if self.follow == "map" and isinstance(self.wrapped, Augmentation):
                images, importance = self.wrapped.move(images, importance, params["wrapped"])
            params["regions"] = self._choose(images, importance, u)
        return params

    def _choose(self, images: Tensor, importance: Tensor | None, u: Tensor) -> Tensor:
        """What is put back, as `kept` describes it; u: (N, k, DRAWS) uniforms."""
        if self.shape == "rectangle" and self.length is not None:
            side = side_of(self.length, *images.shape[-2:])
            boxes = [self.guard.boxes(images, importance, side, draws, keep="high") for draws in u.unbind(1)]
            return torch.stack(boxes, 1)
        assert importance is not None
        if self.shape == "points":
            return important_points(importance, self.guard.quantile, self.guard.threshold or 0.0)
        guard = self.guard
        return draw_superpixels(importance, guard.quantile, u[:, :, 0], guard.reduce, guard.threshold or 0.0)

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        if isinstance(self.wrapped, Augmentation):
            return self._put_back(self.wrapped, self.wrapped.transform, images, importance, params)
        seeds, chosen = params["seeds"].tolist(), params.get("regions")
        changed = (self._at_once if self.batched else self._one_by_one)(images, seeds)
        return changed if chosen is None else paste(changed, images, chosen), importance

    def move(self, images: Tensor, importance: Tensor | None, params: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        if not isinstance(self.wrapped, Augmentation):
            return images, importance
        if self.follow == "map":  # what is put back has been moved like everything else
            return self.wrapped.move(images, importance, params["wrapped"])
        return self._put_back(self.wrapped, self.wrapped.move, images, importance, params)

    def _put_back(
        self,
        wrapped: Augmentation,
        apply: Callable[..., tuple[Tensor, Tensor | None]],
        images: Tensor,
        importance: Tensor | None,
        params: dict[str, Any],
    ) -> tuple[Tensor, Tensor | None]:
        """What ``apply``, the wrapped augmentation's `transform` or `move`, makes of images and map, and then the
        chosen regions."""
        chosen, inner = params.get("regions"), params["wrapped"]
        if chosen is None or importance is None:
            changed, moved = apply(images, importance, inner)
            self.check(changed, images)
            return changed if chosen is None else paste(changed, images, chosen), moved
        originals, whole, shown = images, importance, importance
        if self.follow == "map":
            originals, whole = wrapped.move(images, importance, inner)
        else:
            shown = clear(importance, chosen)  # what is put back counts once: there, and not where it was moved to
        changed, moved = apply(images, shown, inner)
        if wrapped.guarded and shown is not importance:  # its pixels depend on the map: on all of it
            changed = apply(images, importance, inner)[0]
        self.check(changed, images)
        assert moved is not None and whole is not None  # noqa: PT018
        return paste(changed, originals, chosen), paste(moved, whole, chosen)

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
        told = {"batched": False, "regions": 1, "shape": "rectangle", "follow": "image"}
        others = "".join(f", {k}={getattr(self, k)!r}" for k, usual in told.items() if getattr(self, k) != usual)
        return f"{wrapped}length={self.length}, {self.guard}{others}"


def _check_regions(regions: int, shape: Shape) -> int:
    if isinstance(regions, bool) or not isinstance(regions, int) or regions < 1:
        raise UserError(f"regions={regions!r} cannot be put back: give a whole number, at least 1")
    if shape == "points" and regions > 1:
        raise UserError(
            f"regions={regions} has no meaning with shape='points', which puts all points back: leave it out"
        )
    return regions


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
