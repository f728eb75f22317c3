"""The maps of a store in the order of a data set: which store row belongs to which image, and how to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .rows import Rows
from .store_files import FAILED, PENDING

if TYPE_CHECKING:
    from .store import ImportanceStore
    from .superpixels import Superpixels

_SAMPLE = 256  # hashes compared before trusting that store and data set have the same order
_BLOCK = 1024  # maps averaged at a time


class AttachedMaps:
    """Importance maps, one per row of a data set. Made by `ImportanceStore.attach`, or by `Superpixels.attach`.

    store: where the maps are; rows: (N,) int64, the store's row for each row of the data set; superpixels: the
    segments over which every map is averaged, or None for the maps as they are.
    """

    def __init__(self, store: ImportanceStore, rows: np.ndarray, superpixels: Superpixels | None = None) -> None:
        self.store = store
        self.rows = rows
        self.superpixels = superpixels

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def height(self) -> int:
        """Rows of a map's grid, not always the image's."""
        return self.store.height

    @property
    def width(self) -> int:
        """Columns of a map's grid, not always the image's."""
        return self.store.width

    @property
    def status(self) -> np.ndarray:
        """(N,) uint8: 0 pending (the map reads as zero), 1 done, 2 done, but the attack failed."""
        return self.store.status[self.rows]

    @property
    def failed(self) -> np.ndarray:
        """(N,) bool: the attack that made the map did not succeed."""
        return self.status == FAILED

    def read(self, index: Any) -> Tensor:
        """The map of one row, (H, W) float32, or of many (an array, list or tensor of rows), (n, H, W) float32."""
        maps, scale = self.store.maps, self.store.scale
        if isinstance(index, int | np.integer):
            row = self.rows[index]
            if self.superpixels is not None:
                return self.read([index])[0]
            return torch.from_numpy(np.multiply(maps[row], scale[row], dtype=np.float32))
        rows = self.rows[np.asarray(index)]
        read = torch.from_numpy(maps[rows]) * torch.from_numpy(scale[rows])[:, None, None]
        return read if self.superpixels is None else self.superpixels.level(read, rows)

    def packed(self) -> tuple[Tensor, Tensor]:
        """All maps as stored, (N, H, W) uint8, and one scale per map, (N,) float32: map = uint8 · scale.

        Superpixel maps are (N, H, W) float32 with scale 1: eight bits would make segments alike.
        """
        if self.superpixels is None:
            return torch.from_numpy(self.store.maps[self.rows]), torch.from_numpy(self.store.scale[self.rows])
        maps = torch.empty(len(self), self.height, self.width)
        for start in range(0, len(self), _BLOCK):
            stop = min(start + _BLOCK, len(self))
            maps[start:stop] = self.read(np.arange(start, stop))
        return maps, torch.ones(len(self))

    @property
    def packed_bytes(self) -> int:
        """Bytes of one map as `packed` gives it."""
        return self.height * self.width * (1 if self.superpixels is None else 4)

    def deranged(self, seed: int) -> AttachedMaps:
        """The control of a comparison: every image gets the map of another row of the store.

        One derangement, drawn from the seed, of all rows of the store that are done: as plausible a map as the
        image's own, but with nothing to do with it.
        """
        done = np.flatnonzero(self.store.status != PENDING)
        if len(done) < 2:
            raise UserError(f"the store has {len(done)} maps: a control needs at least two")
        other = np.arange(len(self.store))
        generator = randomness.generator("control", seed)
        other[done] = done[randomness.derangement(len(done), generator=generator).numpy()]
        return AttachedMaps(self.store, other[self.rows], self.superpixels)


def attach(store: ImportanceStore, source: Any, verify: bool = False) -> AttachedMaps:
    """See `ImportanceStore.attach`."""
    rows = source if isinstance(source, Rows) else Rows(source)
    if not verify and same_order(store, rows):
        found = np.arange(len(store))
    else:
        found = match(store.hashes, store.labels, rows.hashes(progress=True), rows.labels(progress=True))
    missing = int((found < 0).sum())
    if missing == len(rows):
        raise UserError(
            f"{store.name} belongs to other data ({store.meta['data']}): none of the {len(rows)} images of {rows.name} "
            "is in it. Give the store that was computed on these images, or compute one with augwise estimate "
            "(--fit stretch for photographs as they are; maps made with --fit crop belong to centre squares, opened "
            "with --size; a store made through folder: knows files by their bytes: give folder:DIR, not an ImageFolder)"
        )
    if missing:
        raise UserError(
            f"{missing} of the {len(rows)} images of {rows.name} are not in {store.name} ({len(store)} maps of "
            f"{store.meta['data']}): run augwise estimate on the whole data set, without --limit, to add them; "
            "--limit beside --val-share takes other images than --limit alone"
        )
    return AttachedMaps(store, found)


def same_order(store: ImportanceStore, rows: Rows) -> bool:
    """Whether a data set seems to be the store's own, in its order: same length, and 256 hashes agree."""
    if len(rows) != len(store):
        return False
    order = randomness.permutation(len(rows), generator=randomness.generator("attach", len(rows)))
    sample = order[:_SAMPLE].numpy()
    return bool((rows.some(sample) == store.hashes[sample]).all())


def match(hashes: np.ndarray, labels: np.ndarray, wanted: np.ndarray, wanted_labels: np.ndarray) -> np.ndarray:
    """The row of ``hashes`` for each wanted hash, (n,) int64, -1 where there is none.

    Where several rows share a hash, one with the wanted label is taken if there is any, else the first.
    """
    by_hash: dict[int, int] = {}
    by_both: dict[tuple[int, int], int] = {}
    for row, key in enumerate(zip(hashes.tolist(), labels.tolist(), strict=True)):
        by_hash.setdefault(key[0], row)
        by_both.setdefault(key, row)
    keys = zip(wanted.tolist(), wanted_labels.tolist(), strict=True)
    return np.array([by_both.get(key, by_hash.get(key[0], -1)) for key in keys], np.int64)
