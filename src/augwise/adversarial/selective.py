"""An augmentation for those images alone that a model is least steady about. Draws nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, final

import torch
from torch import Tensor

from ..errors import UserError
from ..labels import MixedLabels
from ..sample import Batch
from .consistency import TimeConsistency, share_of


@final
class Selective:
    """``augmentation`` on the ``ratio`` least consistent images of each batch, the others as they are.

        selective = aw.Selective(aw.Cutout(16), scores, ratio=0.3)
        batch = selective(batch)                                   # and scores.update(batch.indices, logits) later

    augmentation: anything that takes and returns a `Batch` of the same length: a transform, a mixer (which then mixes
        the chosen ones with each other), `LPA3`, a step of your own.
    scores: `TimeConsistency`, kept up to date by whoever trains.
    ratio: τ in (0, 1].
    among: "batch", the ⌈τ N⌉ least consistent of each batch (LP-A3, Algorithm 1); "data", those that are among the
        least consistent share of the whole data set (its released program), which may be all of a batch or none, and
        waits for the device to know how many.

    Draws are those that the augmentation makes for a batch of the chosen ones, by their places in it.
    """

    def __init__(
        self,
        augmentation: Callable[[Batch], Batch],
        scores: TimeConsistency,
        ratio: float,
        among: Literal["batch", "data"] = "batch",
    ) -> None:
        share_of(1, ratio)
        if among not in ("batch", "data"):
            raise UserError(f"among={among!r} is unknown: use 'batch' or 'data'")
        self.augmentation, self.scores, self.ratio = augmentation, scores, ratio
        self.among: Literal["batch", "data"] = among

    def chosen(self, indices: Tensor) -> Tensor:
        """Places in the batch of the images that are augmented, ascending: (k,) int64."""
        return self.scores.chosen(indices, self.ratio, self.among)

    def __call__(self, batch: Batch, **options: Any) -> Batch:
        """The batch with the chosen images augmented; the input is not modified. options: for the augmentation."""
        chosen = self.chosen(batch.indices)
        if not len(chosen):
            return batch
        part = rows_of(batch, chosen)
        return with_rows(batch, chosen, self.augmentation(part, **options))

    def __repr__(self) -> str:
        return f"Selective({self.augmentation!r}, ratio={self.ratio}, among={self.among!r})"


def rows_of(batch: Batch, rows: Tensor) -> Batch:
    """Some images of a batch with all that belongs to them."""
    labels = batch.labels
    return Batch.of(
        batch.images.as_subclass(Tensor)[rows],
        MixedLabels(*(t[rows] for t in labels)) if isinstance(labels, MixedLabels) else labels[rows],
        None if batch.importance is None else batch.importance.as_subclass(Tensor)[rows],
        batch.indices[rows],
        batch.evidence[rows],
    )


def with_rows(batch: Batch, rows: Tensor, part: Batch) -> Batch:
    """The batch with some of its images replaced; labels of both become `MixedLabels` where either's are."""
    if len(part.images) != len(rows) or part.images.shape[1:] != batch.images.shape[1:]:
        raise UserError(
            f"the augmentation made {tuple(part.images.shape)} of {len(rows)} images {tuple(batch.images.shape[1:])}: "
            "a part of a batch can only be replaced by as many of the same size"
        )
    if part.images.dtype != batch.images.dtype:
        raise UserError(
            f"the augmentation made {part.images.dtype} of {batch.images.dtype} images: let it keep their type"
        )
    importance = None
    if batch.importance is not None and part.importance is not None:
        importance = _put(batch.importance, rows, part.importance)
    return Batch.of(
        _put(batch.images, rows, part.images),
        _labels(batch.labels, rows, part.labels),
        importance,
        batch.indices,
        _put(batch.evidence, rows, part.evidence),
    )


def _labels(labels: Tensor | MixedLabels, rows: Tensor, part: Tensor | MixedLabels) -> Tensor | MixedLabels:
    if not isinstance(labels, MixedLabels) and not isinstance(part, MixedLabels):
        return _put(labels, rows, part)
    whole, some = MixedLabels.of(labels), MixedLabels.of(part)
    columns = max(whole.classes.shape[1], some.classes.shape[1])
    return MixedLabels(*(_put(a, rows, b) for a, b in zip(_wide(whole, columns), _wide(some, columns), strict=True)))


def _wide(labels: MixedLabels, columns: int) -> MixedLabels:
    """More columns: the first class again, with weight 0."""
    more = columns - labels.classes.shape[1]
    classes = torch.cat([labels.classes, labels.classes[:, :1].expand(-1, more)], 1)
    weights = torch.cat([labels.weights, labels.weights.new_zeros(len(labels.weights), more)], 1)
    return MixedLabels(classes, weights, labels.doubt)


def _put(whole: Tensor, rows: Tensor, part: Tensor) -> Tensor:
    result = whole.as_subclass(Tensor).clone()
    result[rows] = part.as_subclass(Tensor).to(result.dtype)
    return result
