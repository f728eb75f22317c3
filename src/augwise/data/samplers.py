"""The order of an epoch, the same on every path, and the sampler that tells a data set which epoch it is.

Draws keyed random numbers; touches nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from torch.utils.data import Sampler

from .. import randomness
from ..errors import UserError


def epoch_order(n: int, seed: int, epoch: int, shuffle: bool = True) -> np.ndarray:
    """The rows of one epoch in their order, (n,) int64: a permutation keyed by (seed, epoch), or 0, 1, ..., n − 1."""
    if not shuffle:
        return np.arange(n)
    return torch.randperm(n, generator=randomness.generator(seed, "order", epoch)).numpy()


@final
class EpochSampler(Sampler[tuple[int, int]]):
    """Yields ``(epoch, index)``, so that `WithImportance` knows the epoch in every worker, persistent ones too.

    length: of the data set; seed and shuffle: see `epoch_order`. Every pass is a new epoch: iterating yields the epoch
    set by `set_epoch` (0 at first), and the next pass the one after it.
    batch_size: images per process and step, needed for several processes and for ``drop_last``. The global batch g is
    rows ``[g·B, (g+1)·B)`` of the epoch's order with B = batch_size · world_size, and the local batch of process
    ``rank`` is rows ``[rank·batch_size, (rank+1)·batch_size)`` of it: together the processes see what one process
    with the batch B sees. drop_last: leave out the last global batch if it is not full; training in several processes
    needs that, since otherwise some get a step less than others.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        batch_size: int | None = None,
        drop_last: bool = False,
    ) -> None:
        if not 0 <= rank < world_size:
            raise UserError(f"rank={rank} of world_size={world_size}: ranks go from 0 to {world_size - 1}")
        if batch_size is None and (world_size > 1 or drop_last):
            raise UserError("EpochSampler needs batch_size (images per process) for world_size > 1 or drop_last=True")
        if batch_size is not None and batch_size < 1:
            raise UserError(f"batch_size={batch_size}: give 1 or more")
        if drop_last and batch_size is not None and length < batch_size * world_size:
            raise UserError(
                f"{length} images do not fill one batch of {batch_size * world_size}: use a smaller batch size"
            )
        self.length, self.seed, self.shuffle = length, seed, shuffle
        self.rank, self.world_size, self.batch_size, self.drop_last = rank, world_size, batch_size, drop_last
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next pass yields."""
        self.epoch = epoch

    def places(self) -> np.ndarray:
        """Places in the epoch's order that this process visits, in ascending order."""
        places = np.arange(self.length)
        if self.batch_size is None:
            return places
        whole = self.batch_size * self.world_size
        if self.drop_last:
            places = places[: self.length // whole * whole]
        return places[places % whole // self.batch_size == self.rank]

    def __len__(self) -> int:
        return len(self.places())

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        self.epoch = epoch + 1
        for index in epoch_order(self.length, self.seed, epoch, self.shuffle)[self.places()].tolist():
            yield epoch, index
