"""What a pipeline makes of images, and how much of each image and of its evidence is left. Changes nothing.

Each image goes through the followed pipeline together with two maps: its importance, which guards consult, and a map of
ones, whose sum is area. What the maps lost was overwritten or cropped away. A mixer is shown markers besides, one
channel per image, from which every pixel's remaining weight is read off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from .. import randomness
from ..data.collate import check_alike
from ..data.pipeline import run_steps
from ..errors import UserError
from ..importance_map import ImportanceMap
from ..labels import MixedLabels
from ..mixing.base import Mixer
from ..sample import Batch, Sample
from ..transforms.follow import Followed, follow

GROUP, GROUP_LARGE = 32, 16
"""Images that are mixed with one another, up to 128 x 128 pixels and above: fixed, so that nothing else decides who
meets whom. Even, as timm's Mixup wants it."""
PAIR = 2
"""Images that a foreign mixer gets at a time: many draw once per batch, and a look wants a draw for every pair."""
_FAR = 16.0  # float pixels beyond this are no pixels in [0, 1], not even noisy ones


@dataclass
class Look:
    """What a pipeline made of N images; images that failed have no picture and NaN.

    pictures: (C, h, w) uint8, or float in units of [0, 1] (any normalisation taken back, not clamped).
    importance, area: (N,) float64, shares in [0, 1] of each image that were overwritten or cropped away; NaN where the
        pipeline cannot be followed, and for importance where the image's map is all zero.
    main: (N,) int64, the image that the label speaks of most: each its own, unless they were mixed.
    weight: (N,) float64, what the label gives to the class of that image; 1 unless they were mixed.
    failed: message by place. seconds: spent in the pipeline, following included.
    """

    pictures: list[Tensor | None]
    importance: Tensor
    area: Tensor
    main: Tensor
    weight: Tensor
    failed: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0


class Pipeline:
    """A transform, a mixer, or transforms with a mixer at the end, ready to be looked at."""

    def __init__(self, name: str, transform: Any) -> None:
        self.name = name
        steps = list(transform) if isinstance(transform, list | tuple) else [transform]
        self.mixer = steps.pop() if steps and is_mixer(steps[-1]) else None
        self.followed: Followed = follow(steps)
        self.foreign = any(map(randomness.draws_elsewhere, self.followed))

    @property
    def opaque(self) -> tuple[str, ...]:
        """Steps that could not be followed."""
        return self.followed.opaque

    @property
    def guarded(self) -> bool:
        """Whether a step, or the mixer, consults the map."""
        return self.followed.guarded or bool(getattr(self.mixer, "guarded", False))

    def look(
        self,
        images: Sequence[Tensor],
        maps: Sequence[Tensor],
        rows: Sequence[int],
        seed: int,
        progress: Any = None,
    ) -> Look:
        """Augment images (C, H, W) with their maps (H, W); rows: keys of their random streams. Without the mixer.

        progress: a bar that is updated image by image.
        """
        looked, _ = self._augment(images, maps, rows, seed, progress)
        return self._restored(looked)

    def look_mixed(
        self,
        images: Sequence[Tensor],
        maps: Sequence[Tensor],
        labels: Sequence[int],
        rows: Sequence[int],
        seed: int,
        progress: Any = None,
    ) -> Look:
        """Augment, then mix in groups of `GROUP` (or `PAIR`) that the seed shuffles; the last is filled up with images
        of the first, whose results are not counted twice."""
        looked, left = self._augment(images, maps, rows, seed, progress)
        there = [i for i, picture in enumerate(looked.pictures) if picture is not None]
        if not there:
            return looked
        for i in there:
            check_alike(looked.pictures[there[0]], looked.pictures[i], rows[there[0]], rows[i])  # pyright: ignore[reportArgumentType]
        height, width = looked.pictures[there[0]].shape[-2:]  # pyright: ignore[reportOptionalMemberAccess]
        group = GROUP if height * width <= 128 * 128 else GROUP_LARGE
        if not isinstance(self.mixer, Mixer):
            group = PAIR
        order = randomness.permutation(len(there), randomness.generator(seed, "audit groups")).tolist()
        start, plain = time.perf_counter(), list(looked.pictures)
        for number, at in enumerate(range(0, len(there), group)):
            places = [there[order[k % len(there)]] for k in range(at, at + group)]
            fresh = min(group, len(there) - at)
            key = (seed, "audit mixing", number)
            pictures = torch.stack([p for p in (plain[place] for place in places) if p is not None])
            self._mix(looked, pictures, left, maps, labels, places, fresh, key)
        looked.seconds += time.perf_counter() - start
        return self._restored(looked)

    def _augment(
        self, images: Sequence[Tensor], maps: Sequence[Tensor], rows: Sequence[int], seed: int, progress: Any = None
    ) -> tuple[Look, list[Tensor | None]]:
        n, follows = len(images), not self.opaque
        unknown = torch.full((n,), torch.nan, dtype=torch.float64)
        looked = Look([None] * n, unknown, unknown.clone(), torch.arange(n), torch.ones(n, dtype=torch.float64))
        left: list[Tensor | None] = [None] * n
        for i, (image, importance, row) in enumerate(zip(images, maps, rows, strict=True)):
            both = torch.stack([importance, torch.ones_like(importance)])
            sample = Sample(tv_tensors.Image(image), None, 0, row)
            if follows or self.guarded:
                sample = sample._replace(importance=ImportanceMap(both))
            start = time.perf_counter()
            try:
                after = run_steps(self.followed, sample, seed, "audit", row, foreign=self.foreign)
                looked.seconds += time.perf_counter() - start
                looked.pictures[i] = _checked(after.image.as_subclass(Tensor), self.followed.normalisation)
            except UserError as error:
                looked.failed[i] = str(error)
                continue
            finally:
                if progress is not None:
                    progress.update()
            if after.importance is not None:
                left[i] = now = after.importance.as_subclass(Tensor)
                if follows:
                    looked.importance[i], looked.area[i] = _lost(both, now)
        return looked, left

    def _mix(
        self,
        looked: Look,
        pictures: Tensor,
        left: list[Tensor | None],
        maps: Sequence[Tensor],
        labels: Sequence[int],
        places: list[int],
        fresh: int,
        key: tuple[int | str, ...],
    ) -> None:
        """Mix the pictures of these places and enter the first ``fresh`` results."""
        n, classes = len(places), torch.tensor([labels[place] for place in places])
        now = [m for m in (left[place] for place in places) if m is not None]
        importance = torch.stack([m[0] for m in now]) if now else None
        mixed, target = self._call(pictures, classes, importance, key)
        markers = torch.eye(n)[:, :, None, None].expand(n, n, *pictures.shape[-2:]).contiguous()
        # (n, n, H, W): how much of image j stands at each pixel of picture i. The same key draws the same numbers.
        shown = self._call(markers, classes, importance, key)[0].clamp(0, 1)
        for i, place in enumerate(places[:fresh]):
            looked.pictures[place] = mixed[i]
            if now and not self.opaque:
                both = torch.stack([maps[place], torch.ones_like(maps[place])])
                looked.importance[place], looked.area[place] = _lost(both, now[i] * shown[i, i])
            share = shown[i].mean((1, 2)).double()
            top = int(target[i].argmax())
            looked.main[place] = places[int(torch.where(classes == top, share, -1.0).argmax())]
            looked.weight[place] = float(target[i, top])

    def _call(
        self, images: Tensor, labels: Tensor, importance: Tensor | None, key: tuple[int | str, ...]
    ) -> tuple[Tensor, Tensor]:
        """The mixed images and the dense target (N, classes)."""
        name = type(self.mixer).__name__
        with randomness.stream(*key, foreign=True):
            try:
                if isinstance(self.mixer, Mixer):
                    batch = self.mixer(Batch.of(images, labels, importance))
                    assert isinstance(batch, Batch)
                    mixed, target = batch.images.as_subclass(Tensor), batch.labels
                else:
                    assert self.mixer is not None
                    pixels = images if images.is_floating_point() else images / 255
                    mixed, target = self.mixer(pixels.clone(), labels)
            except UserError:
                raise
            except Exception as error:
                raise UserError(f"{name} failed: {type(error).__name__}: {error}") from error
        if not isinstance(mixed, Tensor) or mixed.shape != images.shape:
            got = f"shape {tuple(mixed.shape)}" if isinstance(mixed, Tensor) else f"a {type(mixed).__name__}"
            raise UserError(f"{name} made {got} of images of shape {tuple(images.shape)}: a mixer keeps the batch")
        if isinstance(target, MixedLabels) or target.ndim == 1:
            mixed_labels = MixedLabels.of(target)
            target = mixed_labels.dense(int(mixed_labels.classes.max()) + 1)
        if len(target) != len(images):
            raise UserError(f"{name} made {len(target)} labels of {len(images)}: a mixer keeps the batch")
        return mixed, target.double()

    def _restored(self, looked: Look) -> Look:
        """Normalisation taken back, so that pictures are in units of [0, 1] again."""
        if self.followed.normalisation is None:
            return looked
        mean, std = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in self.followed.normalisation)
        looked.pictures = [None if p is None else p * std + mean for p in looked.pictures]
        return looked


def is_mixer(step: Any) -> bool:
    """Whether a step mixes the images of a batch: ours, torchvision's CutMix and MixUp (a RandomChoice of them too),
    timm's Mixup."""
    if isinstance(step, Mixer | v2.CutMix | v2.MixUp):
        return True
    if isinstance(step, v2.RandomChoice):
        return all(map(is_mixer, step.transforms))
    return type(step).__name__ == "Mixup" and type(step).__module__.startswith("timm.")


def _lost(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Shares of importance and of area that are gone: before (2, H, W), after (2, h, w)."""
    was, now = before.sum((1, 2), dtype=torch.float64), after.sum((1, 2), dtype=torch.float64)
    lost = (1 - now / was).clamp(0, 1)  # 0 / 0 is NaN: no evidence, no share
    return float(lost[0]), float(lost[1])


def _checked(image: Tensor, normalisation: Any) -> Tensor:
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise UserError(f"the pipeline makes images of type {image.dtype}: they must be uint8, or float")
    if not bool(image.isfinite().all()):
        raise UserError("the pipeline makes pixels that are NaN or infinite")
    if normalisation is None and float(image.abs().max()) > _FAR:
        raise UserError(
            f"the pipeline makes float pixels from {float(image.min()):g} to {float(image.max()):g}: float images "
            "are in [0, 1] here; scale them (v2.ToDtype(torch.float32, scale=True)) or keep them uint8"
        )
    return image
