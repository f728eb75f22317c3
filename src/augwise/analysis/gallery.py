"""Pictures for pages: images with their maps, and what every arm of a comparison makes of them, from the same draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..randomness import stream
from ..report.figures import pixels
from ..sample import Batch
from .touched import Touched, touched

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..importance.store import ImportanceStore


@dataclass(frozen=True)
class Example:
    """One image through every arm.

    image: (H, W, C) uint8; importance: (H, W) float32; label: the class's name; arms: for each arm the augmented
    picture (H, W, C) uint8, and the shares of area and importance that it lost, in [0, 1].
    """

    image: np.ndarray
    importance: np.ndarray
    label: str
    arms: dict[str, tuple[np.ndarray, float, float]]


def examples(
    images: Tensor,
    own: Tensor,
    foreign: Tensor,
    names: list[str],
    arms: dict[str, nn.Module],
    key: tuple[int | str, ...] = ("gallery",),
    *,
    guide: Tensor | None = None,
    moves: bool = False,
) -> list[Example]:
    """What each arm does to each image.

    images: (N, C, H, W) uint8; own, foreign: (N, H, W) maps, foreign those the control is shown; names: N class names;
    arms: the augmentation or mixer of "plain", "guarded" and "control". All arms draw the same numbers.
    guide: (N, H, W) what all but the control are shown, None for ``own``; moves: see `touched`.
    """
    pictures: dict[str, tuple[Tensor, Touched]] = {}
    for arm, step in arms.items():
        shown = foreign if arm == "control" else own if guide is None else guide
        batch = Batch.of(images, torch.zeros(len(images), dtype=torch.int64), shown)
        with stream(*key):
            lost = touched(step, own, shown, key=key, moves=moves)
            pictures[arm] = step(batch).images.as_subclass(Tensor), lost
    return [
        Example(
            pixels(images[i].as_subclass(Tensor)),
            own[i].as_subclass(Tensor).float().numpy(),
            names[i],
            {a: (pixels(p[i]), float(t.area[i]), float(t.importance[i])) for a, (p, t) in pictures.items()},
        )
        for i in range(len(images))
    ]


def telling(found: list[Example], count: int) -> list[Example]:
    """At most ``count`` examples of different classes: those of which the first arm overwrote most importance.

    Most draws hit nothing that matters, and all arms look alike; these show what a guard is there to prevent. Chosen by
    the first arm's bad luck, they flatter the others: whoever shows them must say so.
    """

    def lost(example: Example) -> float:
        (_, _, importance), *_ = example.arms.values()
        return -1.0 if np.isnan(importance) else importance

    best: dict[str, Example] = {}
    for example in sorted(found, key=lost, reverse=True):
        best.setdefault(example.label, example)
    return list(best.values())[:count]


def map_examples(store: ImportanceStore, source: Source, count: int) -> list[Example]:
    """``count`` images of a source with their maps, the classes as evenly as they allow, class by class."""
    from ..data.resident import fit
    from ..data.sources import limited

    some = limited(source, min(count, len(source)), 0)
    maps = store.attach(some)
    found = []
    for i in np.argsort(some.labels, kind="stable").tolist():
        image = some[i][0].as_subclass(Tensor)
        importance = fit(maps.read([i]), *image.shape[-2:])[0].as_subclass(Tensor)
        label = source.class_names[some.labels[i]] + (", attack failed" if maps.failed[i] else "")
        found.append(Example(pixels(image), importance.numpy(), label, {}))
    return found
