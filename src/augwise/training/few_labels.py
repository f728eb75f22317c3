"""Batches for learning from few labels: labelled images, and weakly and strongly augmented views of others.

Who keeps a label is drawn by the data's seed alone. The strong view is another crop of the image than the weak one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from .. import randomness
from ..data import BatchPipeline
from ..errors import UserError
from ..sample import Batch
from ..transforms import Cutout, RandAugment
from .batches import Reader
from .streams import Part, Streams


class Views(NamedTuple):
    """One step's images. labelled: B of them; weak, strong: two views of the same μB others, whose labels are -1."""

    labelled: Batch
    weak: Batch
    strong: Batch

    @property
    def images(self) -> Tensor:
        """The images that the step counts as: those without labels."""
        return self.weak.images


def strong_view() -> list[nn.Module]:
    """What makes the strong view where nobody says: RandAugment of two operations, then a square of half the side
    erased, as in FixMatch."""
    return [RandAugment(num_ops=2, magnitude=10), Cutout(0.5)]


def labelled_rows(labels: np.ndarray, count: int, classes: int, seed: int) -> np.ndarray:
    """Which images keep their labels: (count,) int64 ascending, of every class as many as of any other, or one more.

    labels: (N,) int64, -1 for images that have none and are never chosen; seed: who is chosen, whatever else is drawn.
    """
    if count < classes:
        raise UserError(f"labelled={count} are fewer labels than the {classes} classes: give {classes} or more")
    known = int((labels >= 0).sum())
    if count > known:
        raise UserError(f"labelled={count} are more than the {known} training images with a label: give fewer")
    order = torch.randperm(len(labels), generator=randomness.generator(seed, "labelled")).numpy()
    rank = np.full(len(labels), len(labels), dtype=np.int64)
    for c in range(classes):
        own = order[labels[order] == c]
        if not len(own):
            raise UserError(f"class {c} has no training image, so none of its labels can be kept")
        rank[own] = np.arange(len(own))
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels))
    return np.sort(np.lexsort((place, rank))[:count])


@final
class FewLabels:
    """`Views` for ``steps`` steps an epoch.

    reader: all training images; again: the same for the labelled part, see `Streams`. rows: those that keep their
    labels. The others' part is drawn from all images, the labelled ones too, as in FixMatch. shared: what weak and
    strong views have (crop, flip); strong: what only the strong one has; last: `Normalize`.
    """

    def __init__(
        self,
        reader: Reader,
        again: Reader,
        rows: np.ndarray,
        shared: Sequence[Any],
        strong: Sequence[Any],
        last: Sequence[Any],
        *,
        seed: int,
        batch_size: int,
        ratio: int,
        steps: int | None = None,
        **ways: Any,
    ) -> None:
        self.streams = Streams(**ways)
        few, many = self.streams.check(batch_size), batch_size * ratio
        self.step_count = len(reader) // many if steps is None else steps
        if not self.step_count:
            raise UserError(
                f"a step takes {many} images without labels, but there are {len(reader)}: give a smaller batch_size or "
                "unlabelled_ratio, or say how many steps make an epoch (epoch_steps)"
            )
        self.rows, self.images = rows, len(reader)
        key = {part: randomness.derive(seed, part) for part in ("labelled", "weak", "strong", "unlabelled")}
        labelled = BatchPipeline([*shared, *last], key["labelled"])
        weak = BatchPipeline([*shared, *last], key["weak"])
        views = weak, BatchPipeline([*shared, *strong, *last], key["strong"])
        self.parts = (
            Part(again, rows, few, (labelled,), key["labelled"]),
            Part(_Unlabelled(reader), np.arange(len(reader)), many, views, key["unlabelled"]),
        )

    def __len__(self) -> int:
        return self.step_count

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Views]:
        """The steps of ``epoch`` from ``start`` on."""
        parts = [part._replace(place=epoch * len(self) * part.size) for part in self.parts]
        for views in self.streams.steps(parts, epoch, start, len(self)):
            yield Views(*views)


@final
class _Unlabelled(Reader):
    """A reader's images with -1 for every label."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def read(self, epoch: int, chunks: Sequence[np.ndarray]) -> Iterator[Batch]:
        for batch in self.reader.read(epoch, chunks):
            yield batch._replace(labels=torch.full_like(batch.indices, -1))

    def close(self) -> None:
        self.reader.close()
