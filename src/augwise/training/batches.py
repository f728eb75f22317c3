"""The batches of an epoch, from step ``start`` on: read, augmented on the training device, normalised.

Order and draws are keyed by (seed, epoch, step, place in the global batch), so nothing has to be replayed to resume,
readers are interchangeable, and several processes together see what one would have seen.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from .. import randomness
from ..data import BatchPipeline, Redraw, Resident, WithImportance, collate, epoch_order
from ..data.pipeline import flatten_steps, gives_importance
from ..errors import UserError
from ..labels import MixedLabels
from ..mixing import SmoothLabels, SoftenLabels
from ..sample import Batch
from ..schedule import check_epochs, progress_of
from .identity_batches import IdentityOrder

Observe = Callable[[Batch, Batch], dict[str, Tensor]]
"""Called with the batch before and after the method's steps; the scalars it returns become columns of the curve."""


class Reader(ABC):
    """Where batches of whole images come from, onto one device."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, epoch: int, chunks: Sequence[np.ndarray]) -> Iterator[Batch]:
        """One batch for each array of rows, in order, uint8 images. epoch keys per-sample transforms."""

    @abstractmethod
    def close(self) -> None:
        """End whatever works in the background; afterwards nothing is read any more."""


@final
class ResidentReader(Reader):
    """From images that live on the device."""

    def __init__(self, resident: Resident) -> None:
        self.resident = resident

    def __len__(self) -> int:
        return len(self.resident)

    def read(self, epoch: int, chunks: Sequence[np.ndarray]) -> Iterator[Batch]:  # noqa: ARG002
        for rows in chunks:
            yield self.resident.batch(torch.from_numpy(rows))

    def close(self) -> None:
        """Nothing works in the background."""


@final
class LoaderReader(Reader):
    """From a `WithImportance`, by a `DataLoader` whose workers stay alive between epochs."""

    def __init__(self, dataset: WithImportance, device: torch.device, num_workers: int = 0) -> None:
        self.dataset, self.device = dataset, device
        self._chunks = _Chunks()
        self._loader = DataLoader(
            dataset,
            batch_sampler=self._chunks,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=_leave_interrupts_to_parent,
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, epoch: int, chunks: Sequence[np.ndarray]) -> Iterator[Batch]:
        self._chunks.items = [[(epoch, int(row)) for row in rows] for rows in chunks]
        for batch in self._loader:
            # Pinning and pickling may drop the tensor types; Batch.of puts them back.
            whole = Batch.of(batch.images, batch.labels, batch.importance, batch.indices, batch.evidence)
            yield whole.to(self.device, non_blocking=True)

    def close(self) -> None:
        # Left to the garbage collector, the pipes to the workers may be closed by two threads at once. torch has no
        # public way to end persistent workers.
        iterator = getattr(self._loader, "_iterator", None)
        if iterator is not None:
            iterator._shutdown_workers()
            self._loader._iterator = None


def _leave_interrupts_to_parent(_: int) -> None:
    """Ctrl-C reaches every process; the parent finishes its step, for which it needs its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Chunks:
    """A batch sampler whose content is set anew before each pass."""

    def __init__(self) -> None:
        self.items: list[list[tuple[int, int]]] = []

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return iter(self.items)


@final
class Batches:
    """Training batches: ``len()`` steps an epoch, the incomplete last batch left out.

    shared: steps that every arm of a comparison has (crop, flip); method: the augmentations and mixers under test;
    last: `Normalize`. Positions are counted through, so arms with the same shared steps see the same crops and flips.
    Where the method begins with a source of maps (`LiveSaliency`), `observe` is called with its maps.
    batch_size: of all processes together. epochs: how many there are, from which a `Ramp` among the steps knows how
    much of training is done; None leaves that to whoever calls. redraw: draws an epoch's images among the reader's;
    order: puts them into another order than a random one, in whole batches.
    """

    def __init__(
        self,
        reader: Reader,
        shared: Sequence[Any] = (),
        method: Sequence[Any] = (),
        last: Sequence[Any] = (),
        *,
        seed: int = 0,
        batch_size: int = 128,
        rank: int = 0,
        processes: int = 1,
        channels_last: bool = False,
        observe: Observe | None = None,
        epochs: int | None = None,
        redraw: Redraw | None = None,
        order: IdentityOrder | None = None,
    ) -> None:
        self.order = redraw or order
        self.images = len(reader) if self.order is None else self.order.count
        if batch_size % processes:
            raise UserError(f"batch_size={batch_size} cannot be shared by {processes} processes: give a multiple")
        if self.images < batch_size:
            raise UserError(
                f"batch_size={batch_size} is more than the {self.images} training images, so no full batch is left: "
                "give a smaller batch_size or more images"
            )
        self.redraw = redraw
        self._weights: Tensor | None = None
        self.reader, self.seed, self.batch_size = reader, seed, batch_size
        self.rank, self.local = rank, batch_size // processes
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.observe = observe or _usual(method)
        self.epochs = check_epochs(epochs)
        self.measured: dict[str, Tensor] = {}
        maps = list(takewhile(gives_importance, method))
        method = list(method)[len(maps) :]
        self.pipeline = BatchPipeline([*shared, *maps, self._before, *method, self._after, *last], seed)

    def __len__(self) -> int:
        return self.images // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Batches of ``epoch`` from step ``start`` on; images plain float tensors, ready for a model.

        What `observe` measured of a batch stands in ``measured`` while the batch is used.
        """
        order = epoch_order(self.images, self.seed, epoch) if self.order is None else self.order.rows(epoch)
        first = self.rank * self.local
        chunks = [order[s * self.batch_size + first :][: self.local] for s in range(start, len(self))]
        for step, batch in enumerate(self.reader.read(epoch, chunks), start):
            with randomness.shard(first, self.batch_size), progress_of(epoch, self.epochs):
                batch = self.pipeline(batch, epoch, step)
            images = batch.images.as_subclass(Tensor).contiguous(memory_format=self.format)
            yield batch._replace(images=images)

    def weights(self, batch: Batch) -> Tensor | None:
        """How much the loss of each image counts, (n,) float32; None where all count alike."""
        if self.redraw is None:
            return None
        if self._weights is None:  # once: it lies where the images do
            self._weights = self.redraw.weights.to(batch.indices.device)
        return self._weights[batch.indices]

    def _before(self, batch: Batch) -> Batch:
        self._held = batch
        return batch

    def _after(self, batch: Batch) -> Batch:
        self.measured = self.observe(self._held, batch)
        del self._held
        return batch


def _usual(method: Sequence[Any]) -> Observe:
    """What is measured unless somebody asks for something else."""
    if not any(isinstance(step, SoftenLabels | SmoothLabels) for step in flatten_steps(list(method))):
        return importance_lost
    return lambda before, after: importance_lost(before, after) | label_doubt(before, after)


def importance_lost(before: Batch, after: Batch) -> dict[str, Tensor]:
    """Mean share of each image's importance that the steps in between took away, as ``importance_erased``.

    Images that show no importance before do not count. Empty without maps, and where images were mixed in between.
    """
    mixed = _sources(after) != _sources(before)
    if before.importance is None or after.importance is None or mixed:
        return {}
    had = before.importance.as_subclass(Tensor).sum((1, 2))
    kept = after.importance.as_subclass(Tensor).sum((1, 2))
    counts = had > 0
    lost = torch.where(counts, 1 - kept / had.clamp_min(1e-30), 0.0)
    return {"importance_erased": lost.sum() / counts.sum().clamp_min(1)}


def _sources(batch: Batch) -> int:
    """How many images each picture was made of."""
    return batch.labels.classes.shape[1] if isinstance(batch.labels, MixedLabels) else 1


def label_doubt(before: Batch, after: Batch) -> dict[str, Tensor]:  # noqa: ARG001
    """Mean doubt of the labels, as ``label_doubt``: what plain label smoothing would need for the same mean."""
    return {"label_doubt": MixedLabels.of(after.labels).doubt.mean()}


def evaluation_batches(
    reader: Reader, normalize: Any, batch_size: int, *, rank: int = 0, processes: int = 1, channels_last: bool = False
) -> Iterator[Batch]:
    """All images once, in order, normalised; with several processes this one's share of them."""
    rows = np.arange(len(reader))[rank::processes]
    chunks = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    for batch in reader.read(0, chunks):
        images = normalize(batch.images.as_subclass(Tensor))
        if channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        yield batch._replace(images=images)


def channel_statistics(reader: Reader, most: int = 10_000, progress: bool = False) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of every channel over all pixels, in units of [0, 1].

    Of ``most`` images, spread evenly over the data, where there are more. A channel that never changes gets 1 as its
    deviation.
    """
    n = len(reader)
    rows = np.arange(n) if n <= most else np.linspace(0, n - 1, most).astype(np.int64)
    count, total, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    chunks = [rows[i : i + 64] for i in range(0, len(rows), 64)]
    shown = tqdm(reader.read(0, chunks), "colours", len(chunks), delay=2, disable=not progress, leave=False)
    for batch in shown:
        # Exact integer sums: the same whatever the device and however the images are grouped.
        pixels = batch.images.as_subclass(Tensor).transpose(0, 1).flatten(1).long()
        count += pixels.shape[1]
        total = total + pixels.sum(1).cpu().double()
        squares = squares + (pixels * pixels).sum(1).cpu().double()
    mean = total / count
    deviation = (squares / count - mean * mean).clamp_min(0).sqrt()
    return (mean / 255).tolist(), torch.where(deviation > 0, deviation / 255, 1.0).tolist()
