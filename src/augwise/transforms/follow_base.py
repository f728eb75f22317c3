"""One step of a followed pipeline: what it does to an image, and to the maps that go along.

A step takes a whole `Sample`. Beside the usual (H, W) its map may be a stack (K, H, W): all are moved by the same
draws, and a guard looks at the first. That is how the audit counts area while guards see the evidence.
"""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

from .. import randomness
from ..errors import UserError
from ..importance_map import ImportanceMap
from ..sample import Sample
from .base import Augmentation
from .kept import clear, paste
from .preserve import Preserve

Moved = tuple[Tensor, Tensor | None]
Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""(mean, std) per channel."""


class Step(nn.Module, ABC):
    """A foreign transform as a step on a `Sample`. Writers of a step give `run`.

    name: as in messages. opaque: whether the map is carried past unmoved though pixels may have moved.
    normalisation: the (mean, std) that it applies, if it is one.
    """

    step: Any
    opaque: bool = False
    normalisation: Normalisation | None = None

    def __init__(self, step: Any, name: str | None = None) -> None:
        super().__init__()
        self.step = step
        self.name = name or type(step).__name__

    @property
    def guarded(self) -> bool:
        """True if it consults the map, and so refuses to run without one."""
        return False

    @abstractmethod
    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        """image: (C, H, W) `tv_tensors.Image` that may be written to; maps: (K, H, W), or None. The same back."""

    def forward(self, sample: Sample) -> Sample:
        """Not to be overridden: write `run`."""
        if not isinstance(sample, Sample):
            raise UserError(f"{self.name} of aw.follow got a {type(sample).__name__}: it works on a Sample at a time")
        given = sample.importance
        maps = None if given is None else given.as_subclass(Tensor)
        image = sample.image.as_subclass(Tensor)
        with self.blamed():
            stack = maps[None] if maps is not None and maps.ndim == 2 else maps
            image, maps = self.run(tv_tensors.Image(image.clone()), stack)
            self._check(image)
        if maps is not None and given is not None:
            maps = ImportanceMap(maps[0] if given.ndim == 2 else maps)
            if maps.shape[-2:] != image.shape[-2:]:
                raise UserError(
                    f"{self.name} turned an image of {_size(sample.image)} into one of {_size(image)}, and its map "
                    "cannot follow: crop and resize with transforms of torchvision, timm, Kornia or albumentations"
                )
        return sample._replace(image=tv_tensors.Image(image), importance=maps)

    @contextlib.contextmanager
    def blamed(self) -> Any:
        """What goes wrong inside is told with the step's name and the transform's own message."""
        try:
            yield
        except UserError as error:
            text = str(error)
            raise (error if text.startswith(self.name) else UserError(f"{self.name}: {text}")) from error
        except Exception as error:
            raise UserError(f"{self.name} failed: {type(error).__name__}: {error}") from error

    def _check(self, image: Any) -> None:
        if not isinstance(image, Tensor):
            what = f"{len(image)} of them" if isinstance(image, tuple | list) else "an image"
            raise UserError(f"returned {what} as {type(image).__name__}: a step makes one image tensor of one image")
        if image.ndim != 3:
            raise UserError(f"returned shape {tuple(image.shape)}: a step makes one image (C, H, W) of one image")

    def extra_repr(self) -> str:
        return "" if isinstance(self.step, nn.Module) else repr(self.step)


class OnSample(Step):
    """What knows what to do with an image and its maps: torchvision v2, and steps of this library that are not
    augmentations (a normalisation, say)."""

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        if maps is None:
            return self.step(image), None
        image, moved = self.step((image, ImportanceMap(maps)))
        return image, moved.as_subclass(Tensor)


class OnImage(Step):
    """What changes colours, types or units but moves nothing."""

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        return self.step(image), maps


class Ours(Step):
    """An augmentation of this library: one draw, applied to every map."""

    step: Augmentation

    @property
    def guarded(self) -> bool:
        return self.step.guarded

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        if maps is None or len(maps) == 1:
            moved = self.step(image, None if maps is None else ImportanceMap(maps[0]))
            return moved if maps is None else (moved[0], moved[1].as_subclass(Tensor)[None])
        images = image.as_subclass(Tensor)[None]
        params = self.step.make_params(images, maps[:1], None)
        results = [self.step.transform(images, maps[k : k + 1], params) for k in range(len(maps))]
        return results[0][0][0], torch.cat([m for _, m in results if m is not None])


class Several(Step):
    """Steps one after the other as one, where a place holds one step."""

    def __init__(self, steps: Sequence[Step], name: str) -> None:
        super().__init__(steps, name)
        self.held = nn.ModuleList(steps)

    @property
    def opaque(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether any of them is."""
        return any(step.opaque for step in self.held)  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def guarded(self) -> bool:
        return any(step.guarded for step in self.held)  # pyright: ignore[reportAttributeAccessIssue]

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        sample = Sample(image, None if maps is None else ImportanceMap(maps), 0)
        for step in self.held:
            sample = step(sample)
        return sample.image, None if sample.importance is None else sample.importance.as_subclass(Tensor)


class Container(Several):
    """RandomApply, RandomChoice, RandomOrder of torchvision, v1 or v2: it chooses, what it holds is followed."""

    def __init__(self, container: Any, held: Sequence[Step]) -> None:
        super().__init__(held, type(container).__name__)
        own = copy.copy(container)
        if isinstance(own, nn.Module):  # a copy of a module shares the table of what it holds
            own.__dict__["_modules"] = {k: v for k, v in own._modules.items() if k != "transforms"}
        own.__dict__["transforms"] = list(held)
        self.step = own

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        sample = self.step(Sample(image, None if maps is None else ImportanceMap(maps), 0))
        return sample.image, None if sample.importance is None else sample.importance.as_subclass(Tensor)


class Preserved(Step):
    """`Preserve` around a transform that can be followed: the map goes along, and what is put back counts once."""

    step: Preserve

    def __init__(self, preserve: Preserve, inner: Step) -> None:
        super().__init__(preserve, inner.name)
        self.inner = inner
        self.opaque = inner.opaque

    @property
    def guarded(self) -> bool:
        return self.step.guarded

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        before = image.as_subclass(Tensor).clone()[None]
        if self.guarded and maps is None:
            raise UserError("is guarded but got no importance map: leave out the quantile for the plain form")
        params = self.step.make_params(before, None if maps is None else maps[:1], None)
        chosen = params.get("regions")
        rest = maps
        if chosen is not None and maps is not None:
            chosen = chosen.expand(len(maps), -1, -1)
            rest = clear(maps, chosen)
        with randomness.stream(int(params["seeds"][0]), foreign=self.step.foreign):
            changed, moved = self.inner.run(image, rest)
        self.inner._check(changed)
        self.step.check(changed, before[0])
        if chosen is None:
            return changed, moved
        changed = paste(changed.as_subclass(Tensor)[None], before, chosen[:1])[0]
        if maps is not None and moved is not None:
            moved = paste(moved, maps, chosen)
        return changed, moved


class Opaque(Step):
    """Any callable: it sees the image alone, the map stays where it was.

    The image is handed over as a tensor; should the transform refuse that, as PIL image, then and from then on.
    """

    opaque = True

    def __init__(self, step: Callable[..., Any], name: str | None = None, pil: bool = False) -> None:
        super().__init__(step, name)
        self.pil = pil

    def run(self, image: Tensor, maps: Tensor | None) -> Moved:
        if not self.pil:
            try:
                return as_tensor(self.step(image.clone())), maps
            except Exception:
                with contextlib.suppress(Exception):
                    result = as_tensor(self.step(as_pil(image)))
                    self.pil = True
                    return result, maps
                raise  # its own message about the tensor
        return as_tensor(self.step(as_pil(image))), maps


def as_pil(image: Tensor) -> Any:
    """A uint8 copy as PIL image, mode L or RGB."""
    if image.is_floating_point():
        image = (image.as_subclass(Tensor) * 255).round().clamp(0, 255).to(torch.uint8)
    return F.to_pil_image(image)


def from_pil(image: Any, like: Tensor) -> Tensor:
    """A PIL image as a tensor of the same type as ``like``."""
    result = F.pil_to_tensor(image)
    return result if like.dtype == torch.uint8 else result.to(like.dtype) / 255


def as_tensor(result: Any) -> Any:
    """PIL images and (H, W, C) arrays as tensors; everything else is for the check to judge."""
    if type(result).__module__.startswith("PIL."):
        return F.pil_to_tensor(result)
    if isinstance(result, np.ndarray) and result.ndim == 3 and result.shape[2] <= 4:
        return torch.from_numpy(np.ascontiguousarray(result.transpose(2, 0, 1)))
    return result


def _size(image: Tensor) -> str:
    return " x ".join(map(str, image.shape[-2:]))
