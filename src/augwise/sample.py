"""What flows through a pipeline: one `Sample`, or a `Batch` of them.

Named tuples: fields by name, unpackable by position, known to torch's pytree, to torchvision v2 and to
`default_collate`. Nothing here draws numbers or changes pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision import tv_tensors

from .errors import UserError
from .importance_map import ImportanceMap
from .labels import MixedLabels


class Sample(NamedTuple):
    """One image with its evidence.

    image: (C, H, W) `tv_tensors.Image`, uint8 or float in [0, 1].
    importance: (H, W) float32 `ImportanceMap`, or None where there is no map.
    label: class index; index: row in the data set.
    evidence: sum of the importance map when the sample was read, so ``importance.sum() / evidence`` is the share of
        the evidence that is still visible. 0 without a map.
    """

    image: Tensor
    importance: ImportanceMap | None
    label: int
    index: int = -1  # pyright: ignore[reportIncompatibleMethodOverride]
    evidence: float = 0.0


class Batch(NamedTuple):
    """N images with their evidence, on one device.

    images: (N, C, H, W) `tv_tensors.Image`, uint8 or float in [0, 1]; importance: (N, H, W) float32
    `ImportanceMap` or None; labels: (N,) int64, or `MixedLabels` after a mixer; indices: (N,) int64;
    evidence: (N,) float32, see `Sample`.
    """

    images: Tensor
    importance: ImportanceMap | None
    labels: Tensor | MixedLabels
    indices: Tensor
    evidence: Tensor

    @classmethod
    def of(
        cls,
        images: Tensor,
        labels: Tensor | MixedLabels,
        importance: Tensor | None = None,
        indices: Tensor | None = None,
        evidence: Tensor | None = None,
    ) -> Batch:
        """A batch from plain tensors, with the types put back that collation and indexing drop.

        Missing indices are -1, missing evidence is the sum of each map (0 without maps).
        """
        n, device = len(images), images.device
        if images.ndim != 4:
            raise UserError(f"images have shape {tuple(images.shape)}: give a batch (N, C, H, W)")
        if importance is not None and tuple(importance.shape) != (n, *images.shape[-2:]):
            raise UserError(
                f"importance has shape {tuple(importance.shape)}, the images {tuple(images.shape)}: "
                f"give one map per image, shape {(n, *images.shape[-2:])}"
            )
        if evidence is None:
            evidence = torch.zeros(n, device=device)
            if importance is not None:
                evidence = importance.as_subclass(Tensor).sum((1, 2), dtype=torch.float64).float()
        if tuple(evidence.shape) != (n,):
            raise UserError(f"evidence has shape {tuple(evidence.shape)}: give one number for each of {n} images")
        return cls(
            tv_tensors.Image(images),
            None if importance is None else ImportanceMap(importance),
            labels,
            torch.full((n,), -1, device=device) if indices is None else indices,
            evidence,
        )

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The same batch on another device, types kept."""

        def moved(t: Tensor) -> Tensor:
            return t.to(device, non_blocking=non_blocking)

        labels = self.labels.to(device, non_blocking=non_blocking)
        importance = None if self.importance is None else ImportanceMap(moved(self.importance))
        return Batch(
            tv_tensors.Image(moved(self.images)), importance, labels, moved(self.indices), moved(self.evidence)
        )
