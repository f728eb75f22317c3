"""Steps that take images of several kinds at once: labelled and not, clean and doubtful, each in one or more views.

Order and draws are keyed like those of `Batches`, every view with a stream of its own, so two views of an image are two
crops of it, and nothing has to be replayed to resume.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from torch import Tensor

from .. import randomness
from ..data import BatchPipeline, epoch_order
from ..errors import UserError
from ..sample import Batch
from ..schedule import progress_of
from .batches import Reader


class Part(NamedTuple):
    """Images of one kind. reader, rows: where they are read; size: how many a step takes, over all processes; views:
    what is done to them, once for each view; key: of their order; place: of the first one in that endless order."""

    reader: Reader
    rows: np.ndarray
    size: int
    views: tuple[BatchPipeline, ...]
    key: int
    place: int = 0


def stream_rows(rows: np.ndarray, seed: int, first: int, count: int) -> np.ndarray:
    """Places first, …, first + count − 1 of an endless order in which every image comes once before any comes again."""
    n = len(rows)
    passes = range(first // n, (first + count - 1) // n + 1)
    orders = np.concatenate([epoch_order(n, seed, p) for p in passes])
    begin = first - passes[0] * n
    return rows[orders[begin : begin + count]]


@final
class Streams:
    """How this process takes its share of every step, and lays images out in memory. epochs: of the run, see `Batches`.
    Two parts of one step need readers of their own where a reader can only be read from one place at a time."""

    def __init__(
        self, epochs: int | None = None, rank: int = 0, processes: int = 1, channels_last: bool = False
    ) -> None:
        self.epochs, self.rank, self.processes = epochs, rank, processes
        self.format = torch.channels_last if channels_last else torch.contiguous_format

    def check(self, size: int) -> int:
        """``size`` if it can be shared by the processes."""
        if size % self.processes:
            raise UserError(f"batch_size={size} cannot be shared by {self.processes} processes: give a multiple")
        return size

    def steps(self, parts: Sequence[Part], epoch: int, start: int, steps: int) -> Iterator[list[Batch]]:
        """The views of all parts, in their order, of the steps from ``start`` on; images plain tensors."""
        reading = zip(*(self._read(part, epoch, start, steps) for part in parts), strict=True)
        for step, batches in enumerate(reading, start):
            seen: list[Batch] = []
            for part, batch in zip(parts, batches, strict=True):
                with progress_of(epoch, self.epochs), randomness.shard(self._first(part.size), part.size):
                    seen += [self._laid_out(view(batch, epoch, step)) for view in part.views]
            yield seen

    def _first(self, size: int) -> int:
        return self.rank * size // self.processes

    def _read(self, part: Part, epoch: int, start: int, steps: int) -> Iterator[Batch]:
        first, local = self._first(part.size), part.size // self.processes
        places = (part.place + step * part.size for step in range(start, steps))
        chunks = [stream_rows(part.rows, part.key, place, part.size)[first : first + local] for place in places]
        return part.reader.read(epoch, chunks)

    def _laid_out(self, batch: Batch) -> Batch:
        return batch._replace(images=batch.images.as_subclass(Tensor).contiguous(memory_format=self.format))
