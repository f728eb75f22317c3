"""Running a list of steps, each with a stream of random numbers of its own.

Draws nothing itself; seeds torch's default generator (and, for steps that draw there, `random` and NumPy) around
every step and puts it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from .. import randomness
from ..errors import UserError
from ..randomness import draws_elsewhere
from ..sample import Batch, Sample
from ..transforms.base import unless_plain, wants_maps

T = TypeVar("T", Sample, Batch)


def flatten_steps(steps: Any) -> list[Callable[..., Any]]:
    """The steps one by one: lists, ``Compose`` (v2 and v1) and ``nn.Sequential`` opened, None left out."""
    if steps is None:
        return []
    if isinstance(steps, nn.Sequential | list | tuple):
        return [step for part in steps for step in flatten_steps(part)]
    if type(steps).__name__ == "Compose" and type(steps).__module__.startswith("torchvision.transforms"):
        return flatten_steps(list(steps.transforms))
    if not callable(steps):
        raise UserError(f"step {steps!r} cannot be called: give transforms, mixers, or a v2.Compose of them")
    if _knows_images_alone(steps):
        raise UserError(
            f"{type(steps).__name__} of {type(steps).__module__} knows images alone, and a step gets image and map: "
            "give the whole pipeline through aw.follow(...), or take its twin of torchvision.transforms.v2"
        )
    return [steps]


def _knows_images_alone(step: Any) -> bool:
    home = type(step).__module__
    v1 = home.startswith("torchvision.transforms.") and not home.startswith("torchvision.transforms.v2")
    return v1 or home.split(".")[0] in ("timm", "albumentations")


def run_steps(steps: Any, item: T, *key: int | str, foreign: bool = False) -> T:
    """Run the steps on a `Sample` or `Batch`, step ``p`` with all draws keyed by ``(*key, p)``.

    steps: one step or several, see `flatten_steps`; p counts the flattened ones, but for those that give maps
    (`LiveSaliency`), so that all else draws the same with them and without. An empty key leaves torch's own stream as
    it is. foreign: also key Python's `random` and NumPy. Tensor types that a step dropped are put back before the next.
    """
    position = 0
    for step in flatten_steps(steps):
        item = _typed(item)
        place = ("maps", position) if gives_importance(step) else (position,)
        position += not gives_importance(step)
        if key:
            with randomness.stream(*key, *place, foreign=foreign):
                result = step(item)
        else:
            result = step(item)
        if not isinstance(result, type(item)):
            raise UserError(
                f"{type(step).__name__} made a {type(result).__name__} of a {type(item).__name__}: steps take and "
                "return the whole item; wrap transforms that know images alone in aw.Preserve"
            )
        item = result
    return _typed(item)


def gives_importance(step: Any) -> bool:
    """True for a step behind which there are maps, whatever came before it: `LiveSaliency`."""
    return bool(getattr(step, "gives_importance", False))


def check_guards(steps: Sequence[Any], maps: bool, cure: str) -> None:
    """`UserError` for a guarded step before which there are no maps. maps: whether they come with the images."""
    for step in steps:
        maps = maps or gives_importance(step)
        if not maps and getattr(step, "guarded", False):
            wants = wants_maps(step)
            missing = ", but there are none" if wants.endswith("maps") else " but there are no importance maps"
            raise UserError(f"{wants}{missing}: {cure}{unless_plain(step)}")


def _typed(item: T) -> T:
    if isinstance(item, Batch):
        return Batch.of(item.images, item.labels, item.importance, item.indices, item.evidence)
    return item


@final
class BatchPipeline:
    """The batch path: augmentations, mixers, v2 transforms and `Normalize`, in this order or any other.

    steps: see `flatten_steps`; seed: of the run. ``pipeline(batch, epoch, step)`` keys the draws of the step at
    position p by (seed, epoch, step, p), so two pipelines draw the same wherever their steps are the same.
    Augmentations and mixers of this library draw for every image; a torchvision transform draws once per batch. With
    several processes, call it inside `randomness.shard`.
    """

    def __init__(self, steps: Sequence[Any] | Any, seed: int) -> None:
        self.steps = flatten_steps(steps)
        self.seed = seed
        self.foreign = any(map(draws_elsewhere, self.steps))

    def __call__(self, batch: Batch, epoch: int, step: int) -> Batch:
        return run_steps(self.steps, batch, self.seed, "batch", epoch, step, foreign=self.foreign)


@final
class Normalize(nn.Module):
    """The last step before the model: x ↦ (x − mean) / std per channel, with x in [0, 1] (uint8 is divided by 255).

    mean, std: one number per channel, or one for all, in units of [0, 1]. Takes a `Batch`, a `Sample` or images
    (..., C, H, W); gives float32 (other float types stay); memory format is kept.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if len(mean) != len(std) or not len(mean):
            raise UserError(f"mean has {len(mean)} channels and std {len(std)}: give one number per channel to each")
        if min(std) <= 0:
            raise UserError(f"std={tuple(std)}: every channel's standard deviation must be above 0")
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self._on: dict[tuple[torch.device, float, torch.dtype], tuple[Tensor, Tensor]] = {}

    def forward(self, item: Any) -> Any:
        if isinstance(item, Batch):
            return item._replace(images=tv_tensors.Image(self._normalise(item.images)))
        if isinstance(item, Sample):
            return item._replace(image=tv_tensors.Image(self._normalise(item.image)))
        return self._normalise(item)

    def _normalise(self, images: Tensor) -> Tensor:
        images = images.as_subclass(Tensor)
        if len(self.mean) not in (1, images.shape[-3]):
            raise UserError(
                f"images of shape {tuple(images.shape)} have {images.shape[-3]} channels, mean and std "
                f"{len(self.mean)}: give one number per channel"
            )
        largest = 255.0 if images.dtype == torch.uint8 else 1.0
        images = images if images.is_floating_point() else images.float()
        scale, shift = self._constants(images.device, largest, images.dtype)
        return torch.addcmul(shift, images, scale)

    def _constants(self, device: torch.device, largest: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        # Kept per device: making them anew would wait for the device at every step.
        key = (device, largest, dtype)
        if key not in self._on:
            mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (self.mean, self.std))
            self._on[key] = (1 / (largest * std)).to(device, dtype), (-mean / std).to(device, dtype)
        return self._on[key]

    def extra_repr(self) -> str:
        return f"mean={self.mean}, std={self.std}"
