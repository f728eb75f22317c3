"""From samples to a batch, types kept. Touches nothing else."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import UserError
from ..sample import Batch, Sample


def collate(samples: Sequence[Sample]) -> Batch:
    """`Batch` of `Sample`s, for ``DataLoader(..., collate_fn=aw.collate)``.

    Images must agree in shape and type; either all samples have a map or none.
    """
    if not len(samples) or not isinstance(samples[0], Sample):
        got = type(samples[0]).__name__ if len(samples) else "nothing"
        raise UserError(f"aw.collate got {got}: give it the Samples of aw.WithImportance (without as_tuple)")
    first = samples[0]
    for sample in samples:
        check_alike(first.image, sample.image, first.index, sample.index)
        if (sample.importance is None) != (first.importance is None):
            raise UserError(f"of the images {first.index} and {sample.index} only one has an importance map")
    maps = [s.importance.as_subclass(Tensor) for s in samples if s.importance is not None]
    return Batch.of(
        torch.stack([s.image.as_subclass(Tensor) for s in samples]),
        torch.tensor([s.label for s in samples], dtype=torch.int64),
        torch.stack(maps) if maps else None,
        torch.tensor([s.index for s in samples], dtype=torch.int64),
        torch.tensor([s.evidence for s in samples], dtype=torch.float32),
    )


def check_alike(first: Tensor, other: Tensor, first_index: int, other_index: int) -> None:
    """Raise `UserError` unless the two images may stand in one batch."""
    if first.shape != other.shape:
        raise UserError(
            f"image {first_index} has shape {tuple(first.shape)}, image {other_index} {tuple(other.shape)}: one batch "
            "needs one size; bring all to the same (--size on the command line, open_source(..., size=...), or a "
            "transform such as v2.RandomResizedCrop)"
        )
    if first.dtype != other.dtype:
        raise UserError(
            f"image {first_index} has type {first.dtype}, image {other_index} {other.dtype}: one batch needs one type"
        )
