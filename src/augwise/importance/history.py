"""What a fully connected encoder has learnt, kept as the vectors of its gradients instead of as a matrix.

The gradient of step s is the outer product u_s delta_s^T. Two forms of keeping (delta_s, u_s) for all images of a
batch: as they are, or in about a third of the memory with a stated error. Both are rings: the place of a step that no
image needs any more is taken by a new one. Touches nothing but tensors.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_BYTES = 1 << 21
"""Unpacked numbers of the compact form that are held at a time on a CPU: what fits into a core's own cache."""


class History(ABC):
    """Pairs (delta_s, u_s) of the last ``capacity`` steps for each of B images.

    Place ``s mod capacity`` holds step s. An image that begins anew has zeros at all places written so far, which makes
    its former steps vanish from every sum. Zeros in both: 0 times a NaN, which a broken model may leave, is a NaN.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.written = capacity, 0

    @property
    def filled(self) -> int:
        """How many places, from the first on, hold something."""
        return min(self.written, self.capacity)

    def write(self, delta: Tensor, u: Tensor) -> None:
        """Add one step: (B, C H W) and (B, H W)."""
        self._write(self.written % self.capacity, delta, u)
        self.written += 1

    @abstractmethod
    def _write(self, place: int, delta: Tensor, u: Tensor) -> None: ...

    @abstractmethod
    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Some of the images at a time, as a slice of the batch, with their (b, filled, C H W) and (b, filled, H W)."""

    @abstractmethod
    def forget(self, rows: Tensor) -> None:
        """These rows of the batch (int64) begin anew."""

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Only these rows of the batch go on, in this order. Within the memory that is there."""


class FullHistory(History):
    """Every number as it came: exact. steps * (C + 1) * H * W numbers of the dtype per image."""

    def __init__(self, batch: int, capacity: int, inputs: int, outputs: int, like: Tensor) -> None:
        super().__init__(capacity)
        self.deltas = like.new_empty(batch, capacity, inputs)
        self.grads = like.new_empty(batch, capacity, outputs)

    def _write(self, place: int, delta: Tensor, u: Tensor) -> None:
        self.deltas[:, place] = delta
        self.grads[:, place] = u

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        if filled := self.filled:
            yield slice(None), self.deltas[:, :filled], self.grads[:, :filled]

    def forget(self, rows: Tensor) -> None:
        for kept in (self.deltas, self.grads):
            kept[:, : self.filled].index_fill_(0, rows, 0)

    def keep(self, rows: Tensor) -> None:
        self.deltas = _gathered(self.deltas, rows, self.filled)
        self.grads = _gathered(self.grads, rows, self.filled)

    @staticmethod
    def bytes(capacity: int, inputs: int, outputs: int, dtype: torch.dtype) -> int:
        """Bytes per image."""
        return capacity * (inputs + outputs) * dtype.itemsize


class CompactHistory(History):
    """delta in 8 bits, u in 16: steps * (C + 2) * H * W bytes per image and 4 more per step.

    delta is rounded to multiples of 1 / (255 k), k the largest for which 127 of them reach ``limit``, the largest
    |delta|. Perturbations that are multiples of 1/255, as those of 8-bit images with epsilon and beta of this kind are,
    lose nothing but float rounding; others are off by at most half a multiple, limit / 254 to limit / 127. u is divided
    by its largest magnitude and rounded to half precision: off by at most 2^-11 of each number or 2^-25 of the largest.

    What that does to the encoder is measured in the docstring of `LowRankLinear`.
    """

    def __init__(self, batch: int, capacity: int, inputs: int, outputs: int, like: Tensor, limit: float) -> None:
        super().__init__(capacity)
        self.unit = quantum(limit)
        self.dtype = like.dtype
        self.deltas = like.new_empty(batch, capacity, inputs, dtype=torch.int8)
        self.grads = like.new_empty(batch, capacity, outputs, dtype=torch.float16)
        self.scale = like.new_zeros(batch, capacity, 1)

    def _write(self, place: int, delta: Tensor, u: Tensor) -> None:
        self.deltas[:, place] = (delta / self.unit).round_().clamp_(-127, 127)
        largest = u.abs().amax(1, keepdim=True)
        self.grads[:, place] = u / largest.clamp_min(torch.finfo(u.dtype).tiny)
        self.scale[:, place] = largest

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        batch, filled = len(self.deltas), self.filled
        if not filled:
            return
        size = max(1, BLOCK_BYTES // self.bytes_unpacked()) if self.deltas.device.type == "cpu" else 16
        for start in range(0, batch, size):
            rows = slice(start, start + size)
            deltas = self.deltas[rows, :filled].to(self.dtype).mul_(self.unit)
            yield rows, deltas, self.grads[rows, :filled].to(self.dtype).mul_(self.scale[rows, :filled])

    def bytes_unpacked(self) -> int:
        """Bytes of one image as `blocks` gives it."""
        return self.filled * (self.deltas.shape[2] + self.grads.shape[2]) * self.dtype.itemsize

    def forget(self, rows: Tensor) -> None:
        for kept in (self.grads, self.scale):  # what 8 bits hold is finite
            kept[:, : self.filled].index_fill_(0, rows, 0)

    def keep(self, rows: Tensor) -> None:
        self.deltas = _gathered(self.deltas, rows, self.filled)
        self.grads = _gathered(self.grads, rows, self.filled)
        self.scale = self.scale[rows]

    @staticmethod
    def bytes(capacity: int, inputs: int, outputs: int, dtype: torch.dtype) -> int:
        """Bytes per image."""
        return capacity * (inputs + 2 * outputs + dtype.itemsize)


def quantum(limit: float) -> float:
    """The unit in which `CompactHistory` keeps perturbations of magnitude up to ``limit``."""
    per_level = int(127 / (255 * limit) + 1e-9)
    return 1 / (255 * per_level) if per_level else limit / 127


def _gathered(values: Tensor, rows: Tensor, filled: int) -> Tensor:
    """values[rows] for (B, steps, n), one step at a time within the memory of ``values``."""
    for place in range(filled):
        values[: len(rows), place] = values[rows, place]
    return values[: len(rows)]
