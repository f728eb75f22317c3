"""Store: random rows per second, against chunked and per-row files; writing, attaching and exporting.

50 000 maps of 32×32, read in shuffled batches of 128 as float32, page cache warm, as in training from
the second epoch on.
"""

from __future__ import annotations

import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import _common  # sets the thread variables, so before torch

import torch  # isort: skip

from augwise.importance import writer
from augwise.importance.attached import AttachedMaps
from augwise.importance.exchange import export_store, import_store
from augwise.importance.store import ImportanceStore

ROWS, SIDE, BATCH, CHUNK = 50_000, 32, 128, 128


class Images:
    """Rows with a hash and a label, and no pixels: what a store needs to know of a data set."""

    labels = np.zeros(ROWS, np.int64)

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.zeros(3, SIDE, SIDE, dtype=torch.uint8), 0

    def fingerprint(self, index: int) -> int:
        """A number of its own for every row."""
        return index * 0x9E3779B97F4A7C15 % 2**64


def measure() -> dict[str, Any]:
    """Rates in rows per second; ``*_rows_per_s`` of the store and of its peers are over the same rows."""
    maps = np.random.default_rng(0).random((ROWS, SIDE, SIDE), np.float32) ** 8
    batches = _shuffled()
    results: dict[str, Any] = {"rows": ROWS, "side": SIDE, "batch": BATCH}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        start = time.perf_counter()
        store = ImportanceStore.from_maps(Images(), maps, root / "a.maps")
        results["from_maps_rows_per_s"] = ROWS / (time.perf_counter() - start)
        attached = store.attach(Images())
        results["random_rows_per_s"] = BATCH / _median(lambda: attached.read(next(batches)))
        results["random_single_rows_per_s"] = BATCH / _median(lambda: [attached.read(int(i)) for i in next(batches)])
        results |= _peers(root, store, batches)
        results |= _attaching(store)
        results |= _exchanging(root)
        block = maps[:CHUNK]
        results["write_chunk_ms"] = 1000 * _median(
            lambda: writer.write_chunk(root / "a.maps", 0, block, np.zeros(CHUNK, bool))
        )
    return results


def _shuffled() -> Iterator[np.ndarray]:
    generator = np.random.default_rng(1)
    while True:
        order = generator.permutation(ROWS)
        yield from (order[a : a + BATCH] for a in range(0, ROWS - BATCH, BATCH))


def _median(work: Callable[[], Any], budget: float = 1.0) -> float:
    return float(np.median(_common.seconds_of(work, budget)))


def _attaching(store: ImportanceStore) -> dict[str, float]:
    images, result = Images(), {}
    for name, verify in (("attach_ms", False), ("attach_verified_ms", True)):
        start = time.perf_counter()
        attached = store.attach(images, verify)
        result[name] = 1000 * (time.perf_counter() - start)
        assert isinstance(attached, AttachedMaps)
    return result


def _exchanging(root: Path) -> dict[str, float]:
    """Sparse maps as CDIEA makes them (one cell in eight, a few values) as one file, against a compressed array."""
    generator = np.random.default_rng(2)
    maps = (generator.random((ROWS, SIDE, SIDE), np.float32) < 1 / 8).astype(np.float32)
    maps *= generator.choice(np.float32([1, 1, 1, 0.5]), maps.shape)
    store, file = ImportanceStore.from_maps(Images(), maps, root / "sparse.maps"), root / "sparse.augmaps"
    start = time.perf_counter()
    export_store(store, file)
    exported = time.perf_counter() - start
    start = time.perf_counter()
    import_store(file, root / "imported.maps")
    imported = time.perf_counter() - start
    np.savez_compressed(root / "sparse.npz", maps=np.asarray(store.maps))
    return {
        "store_bytes_per_row": store._meta.bytes() / ROWS,
        "export_bytes_per_row": file.stat().st_size / ROWS,
        "npz_bytes_per_row": (root / "sparse.npz").stat().st_size / ROWS,
        "export_rows_per_s": ROWS / exported,
        "import_rows_per_s": ROWS / imported,
    }


def _peers(root: Path, store: ImportanceStore, batches: Iterator[np.ndarray]) -> dict[str, float]:
    """One .npy per row; compressed chunks of 128 rows, each in an .npz of its own and all in one zip file."""
    maps, scale = np.asarray(store.maps), np.asarray(store.scale)
    (root / "rows").mkdir()
    (root / "chunks").mkdir()
    for i in range(ROWS):
        np.save(root / "rows" / f"{i}.npy", maps[i])
    with zipfile.ZipFile(root / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for a in range(0, ROWS, CHUNK):
            np.savez_compressed(root / "chunks" / f"{a // CHUNK}.npz", maps=maps[a : a + CHUNK])
            archive.writestr(str(a // CHUNK), maps[a : a + CHUNK].tobytes())

    def one_file_per_row() -> np.ndarray:
        rows = next(batches)
        return np.stack([np.load(root / "rows" / f"{i}.npy") for i in rows]) * scale[rows, None, None]

    def npz_chunks() -> np.ndarray:
        rows = next(batches)
        read = []
        for i in rows:
            with np.load(root / "chunks" / f"{i // CHUNK}.npz") as chunk:
                read.append(chunk["maps"][i % CHUNK])
        return np.stack(read) * scale[rows, None, None]

    with zipfile.ZipFile(root / "all.zip") as archive:

        def zip_chunks() -> np.ndarray:
            rows = next(batches)
            read = [
                np.frombuffer(archive.read(str(i // CHUNK)), np.uint8).reshape(-1, SIDE, SIDE)[i % CHUNK] for i in rows
            ]
            return np.stack(read) * scale[rows, None, None]

        return {
            "file_per_row_rows_per_s": BATCH / _median(one_file_per_row),
            "npz_chunk_rows_per_s": BATCH / _median(npz_chunks),
            "zip_chunk_rows_per_s": BATCH / _median(zip_chunks),
        }


if __name__ == "__main__":
    _common.run(__doc__, measure)
