"""How much of a picture, and of its evidence, an augmentation leaves as it was. Changes nothing.

The method is handed marker images in which every pixel tells whose it is, so that whatever it overwrites is seen
without knowing how the method works: erased, pasted over, or (inside `Preserve`) changed and not restored.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..labels import MixedLabels
from ..mixing import Mixer
from ..randomness import stream
from ..sample import Batch
from ..transforms.base import Augmentation
from ..transforms.preserve import Preserve


class Touched(NamedTuple):
    """Per image, shares in [0, 1]: of the area, and of the sum of the importance map. (N,) float64 each.

    importance is NaN where the image's own map is all zero.
    """

    area: Tensor
    importance: Tensor

    def means(self) -> dict[str, float | None]:
        """Means over the images, as a comparison records them; importance is None where no image has any."""
        importance = float(self.importance.nanmean())
        return {
            "area_touched": float(self.area.mean()),
            "importance_touched": None if math.isnan(importance) else importance,
        }


def touched(
    step: nn.Module,
    own: Tensor,
    guide: Tensor | None = None,
    *,
    key: tuple[int | str, ...] = (0,),
    moves: bool = False,
) -> Touched:
    """Share of area and of importance that ``step`` overwrites in each of N pictures.

    step: an augmentation of ours or a mixer. What `Preserve` wraps and only erases (hide and seek, a grid, AdvMask's
        squares) is seen exactly; any other whole-image transform counts as changing every pixel, so what remains is
        what the guard restored. Where a mixer blends, a pixel counts by the share of the other image.
    own: (N, H, W) importance that is accounted for; guide: (N, H, W) maps that the step is shown (the control's are
        another image's), None for ``own``.
    key: of the random stream; ``step`` draws the same for N pictures of the same size under the same key.
    moves: ``step`` is geometry, such as a random crop: what counts is the mass that leaves the picture with it, since
        pixels that have another place are not lost.
    """
    own = own.as_subclass(Tensor)
    if isinstance(step, Mixer):
        return _mixed(step, own, own if guide is None else guide, key)
    if moves:
        area, importance = (_lost(step, maps, key) for maps in (torch.ones_like(own), own))
        return Touched(area, importance)
    n, height, width = own.shape
    # Image i has values between (i + 0.4)/N and (i + 0.6)/N, none equal to its own mean: fills and pastes both show.
    checker = torch.where((torch.arange(height)[:, None] + torch.arange(width)) % 2 == 0, 0.4, 0.6)
    marked = ((torch.arange(n)[:, None, None] + checker) / n)[:, None]
    before = marked.expand(n, 3, height, width).contiguous()
    batch = Batch.of(before, torch.zeros(n, dtype=torch.int64), own if guide is None else guide)
    with stream(*key):
        after = _blanked(step)(batch)
    changed = (after.images.as_subclass(Tensor) != before).any(1)
    return _shares(own, changed)


def _shares(own: Tensor, lost: Tensor) -> Touched:
    """lost: (N, H, W), the share of every pixel that is no longer there."""
    own, lost = own.double(), lost.double()
    return Touched(lost.mean((1, 2)), (own * lost).sum((1, 2)) / own.sum((1, 2)))


def _mixed(step: Mixer, own: Tensor, guide: Tensor, key: tuple[int | str, ...]) -> Touched:
    """Of mixtures of any number of images, from their labels and pixels alone.

    The labels, i for image i, say who is in whose picture. Then the same draws again, once per colour: images of the
    colour are white and all others black, and no picture holds two of a colour, so a pixel is what its own image has
    of it.
    """
    n, height, width = own.shape

    def mixture(white: Tensor) -> Batch:
        marked = white.double()[:, None, None, None].expand(n, 1, height, width).contiguous()
        with stream(*key):
            after = step(Batch.of(marked, torch.arange(n), guide))
        assert isinstance(after, Batch)
        return after

    shown = MixedLabels.of(mixture(torch.zeros(n)).labels)
    colours = _colours(shown)
    mine = torch.ones(n, height, width, dtype=torch.float64)
    for colour in range(int(colours.max()) + 1 if n else 0):
        rows = colours == colour
        mine[rows] = mixture(rows).images.as_subclass(Tensor)[rows, 0]
    return _shares(own, (1 - mine).clamp(0, 1))


def _colours(shown: MixedLabels) -> Tensor:
    """(N,) a colour for each image, such that no other image of its picture has the same: the smallest that is free."""
    together: list[set[int]] = [set() for _ in shown.classes]
    for i, classes in enumerate(shown.classes.tolist()):  # of weight 0 too: without importance it may still be seen
        for j in set(classes) - {i}:
            together[i].add(j)
            together[j].add(i)
    colours: list[int] = []
    for i, others in enumerate(together):
        taken = {colours[j] for j in others if j < i}
        colours.append(next(c for c in range(len(taken) + 1) if c not in taken))
    return torch.tensor(colours, dtype=torch.int64)


def _lost(step: nn.Module, maps: Tensor, key: tuple[int | str, ...]) -> Tensor:
    """(N,) float64 share of each map's mass that a step takes out of the picture."""
    n, height, width = maps.shape
    batch = Batch.of(torch.zeros(n, 3, height, width), torch.zeros(n, dtype=torch.int64), maps)
    with stream(*key):
        after = step(batch).importance.as_subclass(Tensor).double().sum((1, 2))
    before = maps.as_subclass(Tensor).double().sum((1, 2))
    return (1 - after / before).clamp_min(0)  # a resampled map may gain what rounding gives


def _blanked(step: nn.Module) -> nn.Module:
    """`Preserve` with the same guard around a transform that changes everything; anything else as it is."""
    if not isinstance(step, Preserve) or erases(step.wrapped):
        return step
    wrapped = step.wrapped
    return step.with_transform(_Blank(wrapped) if isinstance(wrapped, Augmentation) else torch.zeros_like)


def erases(wrapped: Any) -> bool:
    """Whether it leaves every pixel in its place, and so, being ours, does nothing but erase: it has no geometry."""
    return isinstance(wrapped, Augmentation) and type(wrapped).move is Augmentation.move


class _Blank(Augmentation):
    """Stands in for a whole-image augmentation: draws the same numbers, then changes every pixel."""

    def __init__(self, stands_for: Augmentation) -> None:
        super().__init__()
        self.stands_for = stands_for

    def make_params(
        self, images: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> dict[str, Any]:
        return self.stands_for.make_params(images, importance, generator)

    def transform(
        self,
        images: Tensor,
        importance: Tensor | None,
        params: dict[str, Any],  # noqa: ARG002
    ) -> tuple[Tensor, Tensor | None]:
        return torch.zeros_like(images), importance
