"""The chunks of a store, computed: one after the other, or as images of a stream are done; in batches that fit.

A chunk that ran out of memory is done again whole in batches of half the size, and so is everything after it. Knows
nothing of files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..errors import UserError
from .descent import Stop
from .job import Job
from .memory import first_line, out_of_memory, release
from .sparse import Recipe


class Span(NamedTuple):
    """Rows ``start`` to ``stop`` of the store; rows: the data set's; hashes: (n,) of their images."""

    start: int
    stop: int
    rows: list[int]
    hashes: np.ndarray


class Done(NamedTuple):
    """A span with its maps (n, H, W) float32 and failures (n,) bool."""

    span: Span
    importance: np.ndarray
    failed: np.ndarray


class Chunks:
    """Computes the spans of a job.

    limit: images that are computed together at most; None: whole chunks (static) or as many as a chunk has
        (continuous). It falls when memory does not suffice, and ``said`` is told so in words each time that it falls.
    """

    def __init__(self, job: Job, said: Callable[[str, int], None]) -> None:
        self.job, self.said = job, said
        self.limit: int | None = None

    def computed(self, spans: list[Span], num_workers: int, stop: Stop | None) -> Iterator[Done]:
        """Every span once, in their order, or with ``stop`` (continuous batching) as the last of their images is
        done."""
        if stop is not None:
            yield from self._continuous(spans, num_workers, stop)
            return
        for span, (images, labels) in zip(spans, self.job.load([s.rows for s in spans], num_workers), strict=True):
            yield Done(span, *self.compute(images, labels, span.hashes))

    def compute(self, images: Tensor, labels: Tensor, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`Job.compute` in as many parts as memory asks for."""
        while True:
            size = min(self.limit or len(images), len(images))
            try:
                parts = [
                    self.job.compute(images[at : at + size], labels[at : at + size], hashes[at : at + size])
                    for at in range(0, len(images), size)
                ]
                return tuple(map(np.concatenate, zip(*parts, strict=True)))  # pyright: ignore[reportReturnType]
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                why = first_line(error)
            self._halve(size, why)

    def _continuous(self, spans: list[Span], num_workers: int, stop: Stop) -> Iterator[Done]:
        left = dict.fromkeys(span.start for span in spans)
        while left:
            again = [span for span in spans if span.start in left]
            size = min(self.limit or self.job.meta.chunk, self.job.method.at_once(*self.job.shape[1:]))
            try:
                for done in self._stream(again, num_workers, stop, size):
                    del left[done.span.start]
                    yield done
                continue
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                why = first_line(error)
            self._halve(min(size, sum(len(span.rows) for span in again)), why)

    def _stream(self, spans: list[Span], num_workers: int, stop: Stop, slots: int) -> Iterator[Done]:
        """Images are read as places become free, and a span is given when the last of its images is done."""
        ends = np.cumsum([len(span.rows) for span in spans])
        loaded = self.job.load(self._portions(spans, slots), num_workers)
        hashes = np.concatenate([span.hashes for span in spans])
        height, width = self.job.meta.height, self.job.meta.width
        open_: dict[int, tuple[np.ndarray, np.ndarray, set[int]]] = {}
        for places, importance, failed in self.job.compute_stream(loaded, hashes, slots, stop):
            for place, one, wrong in zip(places, importance, failed, strict=True):
                number = int(np.searchsorted(ends, place, side="right"))
                count = len(spans[number].rows)
                if number not in open_:
                    open_[number] = (
                        np.zeros((count, height, width), np.float32),
                        np.zeros(count, bool),
                        set(range(count)),
                    )
                maps, failures, missing = open_[number]
                row = place - int(ends[number]) + count
                maps[row], failures[row] = one, wrong
                missing.discard(row)
                if not missing:
                    del open_[number]
                    yield Done(spans[number], maps, failures)

    def _portions(self, spans: Iterable[Span], size: int) -> list[list[int]]:
        rows = [row for span in spans for row in span.rows]
        return [rows[at : at + size] for at in range(0, len(rows), size)]

    def _needed(self) -> str:
        recipe = self.job.method
        needed = recipe.memory(*self.job.shape) if isinstance(recipe, Recipe) else 0
        if not needed or not isinstance(recipe, Recipe):
            return ""
        return f"; {needed / 1e6:.3g} MB of it for what the encoder learns in {recipe.steps} steps"

    def _halve(self, size: int, why: str) -> None:
        release()
        method, shape = self.job.method.name, "×".join(map(str, self.job.shape))
        if size <= 1:
            raise UserError(
                f"{method}: the memory of {self.job.device} does not suffice for a single image of {shape} ({why}"
                f"{self._needed()}): use smaller images (--size), a smaller classifier, or a cheaper method such as "
                "occlusion"
            )
        self.limit = size // 2
        self.said(
            f"{method}: the memory of {self.job.device} does not suffice for {size} images of {shape} at a time "
            f"({why}); going on with {self.limit}",
            self.limit,
        )
