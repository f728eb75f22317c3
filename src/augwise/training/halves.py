"""The two halves of the images that an architecture is searched on: cut class by class, and their batches in step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np
from torch import Tensor

from .. import randomness
from ..data import BatchPipeline, Source, split_validation
from ..errors import UserError
from ..sample import Batch
from .batches import Reader
from .streams import Part, Streams


class Pair(NamedTuple):
    """One step's images. first: those that the weights learn on; second: those of the mixture, None in warm-up."""

    first: Batch
    second: Batch | None

    @property
    def images(self) -> Tensor:
        """The images that the step counts as."""
        return self.first.images


def halves_of(source: Source, seed: int, batch_size: int, named: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the weights' half and of the mixture's, ascending, disjoint, together all; of each class as many in one
    as in the other, or one more.

    Raises `UserError` where a class has fewer than two images, or a half fewer than ``batch_size``; named: what the
    images are called there.
    """
    counts = np.bincount(source.labels[source.labels >= 0], minlength=len(source.class_names))
    few = np.flatnonzero(counts < 2)
    if len(few):
        told = ", ".join(f"{source.class_names[c]} ({counts[c]})" for c in few[:5])
        raise UserError(
            f"{named} leaves {len(few)} of {len(counts)} classes with fewer than two images, one for each half: {told}"
            f"{' …' if len(few) > 5 else ''}. Choose a larger share, or class by class (augwise select --per-class)"
        )
    first, second = split_validation(source, 0.5, seed)
    least = min(len(first), len(second))
    if batch_size > least:
        raise UserError(
            f"batch_size={batch_size} is more than the {least} images of a half of {named}: give {least} or fewer, or "
            "more images"
        )
    return np.asarray(first.rows), np.asarray(second.rows)  # pyright: ignore[reportAttributeAccessIssue]


@final
class Halves:
    """`Pair` for each step of an epoch: as many as the first half fills, the last one whole. Both halves come in
    endless orders in which every image comes once before any comes again, see `Streams`.

    reader: all images; again: the same for the second half, see `Streams`; rows: of both halves; steps: crop, flip and
    `Normalize`. warmup: epochs without a second half.
    """

    def __init__(
        self,
        reader: Reader,
        again: Reader,
        rows: tuple[np.ndarray, np.ndarray],
        steps: Sequence[Any],
        *,
        seed: int,
        batch_size: int,
        epochs: int,
        warmup: int,
        channels_last: bool,
    ) -> None:
        self.streams = Streams(epochs=epochs, channels_last=channels_last)
        self.count, self.warmup = -(-len(rows[0]) // batch_size), warmup
        parts = []
        for name, read, own in zip(("weights", "architecture"), (reader, again), rows, strict=True):
            key = randomness.derive(seed, name)
            parts.append(Part(read, own, batch_size, (BatchPipeline(list(steps), key),), key))
        self.parts = tuple(parts)

    def __len__(self) -> int:
        return self.count

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Pair]:
        """The steps of ``epoch`` from ``start`` on."""
        parts = self.parts[:1] if epoch < self.warmup else self.parts
        placed = [part._replace(place=epoch * len(self) * part.size) for part in parts]
        for found in self.streams.steps(placed, epoch, start, len(self)):
            yield Pair(found[0], found[1] if len(found) > 1 else None)
