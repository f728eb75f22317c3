"""Training images whose labels are not all to be believed: as plain epochs, as trusted and doubtful pairs of views, and
seen one by one by a model that judges them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from .. import randomness
from ..data import BatchPipeline
from ..errors import UserError
from ..labels import MixedLabels
from ..sample import Batch
from .batches import Reader, evaluation_batches
from .objectives.base import Phase, Step
from .objectives.mixmatch import Pairs
from .streams import Part, Streams

_LOOKED_AT = 256


@final
class Doubtful:
    """reader: all training images, under the labels that are given; again: the same, see `Streams`. shared: crop and
    flip; method: further augmentation; last: `Normalize`. batch_size: of trusted images, and of the others, in a step.
    """

    def __init__(
        self,
        reader: Reader,
        again: Reader,
        shared: Sequence[Any],
        method: Sequence[Any],
        last: Any,
        *,
        seed: int,
        batch_size: int,
        processes: int = 1,
        **ways: Any,
    ) -> None:
        if processes > 1:
            raise UserError(
                "learning from wrong labels judges all images in one process: start it without torchrun, or in one "
                "process of it"
            )
        if len(reader) < batch_size:
            raise UserError(f"batch_size={batch_size} is more than the {len(reader)} training images: give a smaller")
        self.streams = Streams(**ways)
        self.reader, self.again, self.last, self.seed, self.size = reader, again, last, seed, batch_size
        self.images = len(reader)
        self.steps = [*shared, *method, last]

    def plain_phase(
        self,
        name: str,
        epoch: int,
        loss: Callable[[nn.Module, Batch], Step],
        optimizer: str | None = None,
        times: int = 1,
    ) -> Phase:
        """``times`` passes over all images, as they are labelled."""
        steps = self.images // self.size * times
        key = self._key("plain", optimizer or name, epoch)
        part = Part(self.reader, np.arange(self.images), self.size, (self._view(key, 0),), key)

        def batches(start: int) -> Iterator[Batch]:
            for (batch,) in self.streams.steps([part], epoch, start, steps):
                yield batch

        return Phase(name, optimizer or name, steps, batches, loss)

    def pairs_phase(
        self,
        name: str,
        epoch: int,
        trusted: np.ndarray,
        score: np.ndarray,
        loss: Callable[[nn.Module, Pairs], Step],
    ) -> Phase:
        """One pass over the trusted images in two views, with as many others; see `trusted_rows`."""
        inside, outside = trusted_rows(trusted, score, self.size)
        steps = len(inside) // self.size
        parts = []
        for which, reader, rows in (("x", self.reader, inside), ("u", self.again, outside)):
            key = self._key(which, name, epoch)
            parts.append(Part(reader, rows, self.size, (self._view(key, 0), self._view(key, 1)), key))

        def batches(start: int) -> Iterator[Any]:
            for views in self.streams.steps(parts, epoch, start, steps):
                yield Pairs(*views)

        # The loop asks for nothing of a batch but its images, which `Pairs` have too.
        given: Any = loss
        return Phase(name, name, steps, batches, given)

    @torch.no_grad()
    def losses(self, model: nn.Module) -> Tensor:
        """Cross-entropy of every image as it is, in evaluation mode: (N,) float32 on the CPU."""
        model.eval()
        found = []
        for batch in evaluation_batches(self.reader, self.last, _LOOKED_AT):
            logits = model(batch.images).float()
            found.append(MixedLabels.of(batch.labels).cross_entropy(logits, reduction="none"))
        return torch.cat(found).cpu()

    @torch.no_grad()
    def predictions(self, model: nn.Module, epoch: int, views: int = 2) -> tuple[Tensor, Tensor]:
        """Mean probabilities of every image over augmented views, (N, C), and the labels given, (N,), on the CPU."""
        model.eval()
        rows = np.arange(self.images)
        chunks = [rows[i : i + _LOOKED_AT] for i in range(0, len(rows), _LOOKED_AT)]
        pipelines = [self._view(self._key("judge", "", epoch), view) for view in range(views)]
        found, labels = [], []
        for step, batch in enumerate(self.reader.read(epoch, chunks)):
            seen = [model(pipeline(batch, epoch, step).images.as_subclass(Tensor)) for pipeline in pipelines]
            found.append(torch.stack([logits.float().softmax(1) for logits in seen]).mean(0))
            labels.append(MixedLabels.of(batch.labels).hard())
        return torch.cat(found).cpu(), torch.cat(labels).cpu()

    def _key(self, *what: Any) -> int:
        return randomness.derive(self.seed, "doubtful", *what)

    def _view(self, key: int, view: int) -> BatchPipeline:
        return BatchPipeline(self.steps, randomness.derive(key, view))


def trusted_rows(trusted: np.ndarray, score: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows that are trusted and rows that are not, each at least ``least`` of them, ascending.

    Where there are fewer, those that come nearest take their place, and stay in the other part as well.
    trusted: (N,) bool; score: (N,), how probable it is that a label is right.
    """
    order = np.argsort(-score, kind="stable")
    inside, outside = order[trusted[order]], order[~trusted[order]]
    inside = inside if len(inside) >= least else order[:least]
    outside = outside if len(outside) >= least else order[len(order) - least :]
    return np.sort(inside), np.sort(outside)
