"""Batches for learning from few labels: labelled images, and weakly and strongly augmented views of others.

Who keeps a label is drawn by the data's seed alone. Order and draws are keyed like those of `Batches`, each of the
three parts with a stream of its own, so the strong view is another crop of the image than the weak one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from .. import randomness
from ..data import BatchPipeline, epoch_order
from ..errors import UserError
from ..sample import Batch
from ..schedule import progress_of
from ..transforms import Cutout, RandAugment
from .batches import Reader


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

    labels: (N,) int64; seed: who is chosen, whatever else is drawn.
    """
    if count < classes:
        raise UserError(f"labelled={count} are fewer labels than the {classes} classes: give {classes} or more")
    if count > len(labels):
        raise UserError(f"labelled={count} are more than the {len(labels)} training images: give fewer")
    order = torch.randperm(len(labels), generator=randomness.generator(seed, "labelled")).numpy()
    rank = np.empty(len(labels), dtype=np.int64)
    for c in range(classes):
        own = order[labels[order] == c]
        if not len(own):
            raise UserError(f"class {c} has no training image, so none of its labels can be kept")
        rank[own] = np.arange(len(own))
    place = np.empty(len(labels), dtype=np.int64)
    place[order] = np.arange(len(labels))
    return np.sort(np.lexsort((place, rank))[:count])


def stream_rows(rows: np.ndarray, seed: int, first: int, count: int) -> np.ndarray:
    """Places first, …, first + count − 1 of an endless order in which every image comes once before any comes again."""
    n = len(rows)
    passes = range(first // n, (first + count - 1) // n + 1)
    orders = np.concatenate([epoch_order(n, seed, p) for p in passes])
    begin = first - passes[0] * n
    return rows[orders[begin : begin + count]]


@final
class FewLabels:
    """`Views` for ``steps`` steps an epoch.

    reader: all training images; again: the same for the labelled part, another object where a reader can only be read
    from one place at a time. rows: those that keep their labels. The others' part is drawn from all images, the
    labelled ones too, as in FixMatch. shared: what weak and strong views have (crop, flip); strong: what only the
    strong one has; last: `Normalize`.
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
        epochs: int | None = None,
        rank: int = 0,
        processes: int = 1,
        channels_last: bool = False,
    ) -> None:
        if batch_size % processes:
            raise UserError(f"batch_size={batch_size} cannot be shared by {processes} processes: give a multiple")
        self.steps = len(reader) // (batch_size * ratio) if steps is None else steps
        if not self.steps:
            raise UserError(
                f"a step takes {batch_size * ratio} images without labels, but there are {len(reader)}: give a smaller "
                "batch_size or unlabelled_ratio, or say how many steps make an epoch (epoch_steps)"
            )
        self.reader, self.again, self.rows, self.everything = reader, again, rows, np.arange(len(reader))
        self.seed, self.batch_size, self.ratio, self.epochs = seed, batch_size, ratio, epochs
        self.rank, self.processes = rank, processes
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.keys = keys = {p: randomness.derive(seed, p) for p in ("labelled", "weak", "strong", "unlabelled")}
        self.labelled = BatchPipeline([*shared, *last], keys["labelled"])
        self.weak = BatchPipeline([*shared, *last], keys["weak"])
        self.strong = BatchPipeline([*shared, *strong, *last], keys["strong"])

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Views]:
        """The steps of ``epoch`` from ``start`` on."""
        few, many = self.batch_size, self.batch_size * self.ratio
        with_labels = self._read(self.again, epoch, start, self.rows, "labelled", few)
        without = self._read(self.reader, epoch, start, self.everything, "unlabelled", many)
        for step, (labelled, other) in enumerate(zip(with_labels, without, strict=True), start):
            other = other._replace(labels=torch.full_like(other.indices, -1))
            with progress_of(epoch, self.epochs):
                with randomness.shard(self._first(few), few):
                    labelled = self.labelled(labelled, epoch, step)
                with randomness.shard(self._first(many), many):
                    weak, strong = self.weak(other, epoch, step), self.strong(other, epoch, step)
            yield Views(*(self._laid_out(batch) for batch in (labelled, weak, strong)))

    def _first(self, size: int) -> int:
        return self.rank * size // self.processes

    def _read(self, reader: Reader, epoch: int, start: int, rows: np.ndarray, key: str, size: int) -> Iterator[Batch]:
        first, local = self._first(size), size // self.processes
        places = ((epoch * self.steps + step) * size for step in range(start, self.steps))
        chunks = [stream_rows(rows, self.keys[key], place, size)[first : first + local] for place in places]
        return reader.read(epoch, chunks)

    def _laid_out(self, batch: Batch) -> Batch:
        return batch._replace(images=batch.images.as_subclass(Tensor).contiguous(memory_format=self.format))
