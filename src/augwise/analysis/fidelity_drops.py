"""What erasing random windows costs each network, image by image: computed once and kept in ``OUT/drops``."""

from __future__ import annotations

import hashlib
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .. import randomness
from ..errors import UserError
from ..files import DAMAGED, write_atomically
from ..fingerprints import model_fingerprint
from ..importance.fidelity import erasure_drops, random_windows
from ..importance.fill import check_fill
from ..importance.rows import check_size
from ..importance.speed import wait_for
from .fidelity_config import FidelityConfig
from .fidelity_networks import Network

if TYPE_CHECKING:
    from ..importance.rows import Rows

DROPS = "drops"
_BLOCK = 64  # images read and erased together
_OFTEN = 20.0  # seconds between two savings
_VALUES = ("drops", "log_probability", "right")


class Table:
    """Drops of one network on some images, as far as they are known.

    drops: (N, K) float64; log_probability: (N,) float64; right, done: (N,) bool; seconds: spent on those computed by
    this call, ``computed`` images.
    """

    def __init__(self, file: Path, hashes: np.ndarray, labels: np.ndarray, windows: int) -> None:
        self.file, self.hashes, self.labels = file, hashes, labels
        n = len(hashes)
        self.drops, self.log_probability = np.full((n, windows), np.nan), np.full(n, np.nan)
        self.right, self.done = np.zeros(n, bool), np.zeros(n, bool)
        self.seconds, self.computed, self.saved = 0.0, 0, time.monotonic()
        self._rest: dict[str, np.ndarray] = {}
        self._load()

    def _load(self) -> None:
        """Take over what is in the file, whichever images it was computed for."""
        try:
            with self.file.open("rb") as opened, np.load(opened) as found:  # never unpickles
                known = {name: found[name] for name in ("hashes", "labels", *_VALUES)}
        except DAMAGED:  # computed again
            return
        there = _keys(known["hashes"], known["labels"])
        at = {key: row for row, key in enumerate(there)}
        own = _keys(self.hashes, self.labels)
        rows = np.array([at.get(key, -1) for key in own], np.int64)
        self.done = rows >= 0
        for name in _VALUES:
            getattr(self, name)[self.done] = known[name][rows[self.done]]
        wanted = set(own)
        mine = np.array([key in wanted for key in there], bool)
        self._rest = {name: values[~mine] for name, values in known.items()}

    def fill(self, rows: slice, drops: Tensor, log_probability: Tensor, right: Tensor, seconds: float) -> None:
        if not bool(torch.isfinite(drops).all()):
            raise UserError(f"{self.file.stem}: the model returns NaN or infinite logits for erased images")
        self.drops[rows], self.log_probability[rows] = drops.cpu().numpy(), log_probability.cpu().numpy()
        self.right[rows], self.done[rows] = right.cpu().numpy(), True
        self.seconds, self.computed = self.seconds + seconds, self.computed + len(drops)

    def save(self) -> None:
        """Write all that is known, also of images that this call was not asked about."""
        done = self.done
        own = {name: getattr(self, name)[done] for name in ("hashes", "labels", *_VALUES)}
        all_ = {name: np.concatenate([v, *([self._rest[name]] if self._rest else [])]) for name, v in own.items()}
        buffer = io.BytesIO()
        np.savez(buffer, **all_)  # pyright: ignore[reportArgumentType]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.file, lambda file: file.write(buffer.getvalue()))
        self.saved = time.monotonic()


def _keys(hashes: np.ndarray, labels: np.ndarray) -> list[tuple[int, int]]:
    """What a row is known by: two images of one content may have two labels, and a drop is that of the label."""
    return list(zip(hashes.tolist(), labels.tolist(), strict=True))


def windows_of(config: FidelityConfig, hashes: np.ndarray, height: int, width: int) -> Tensor:
    """The windows of every image, (N, K, 4); an image's own depend on its bytes and the seed."""
    seeds = [randomness.derive(config.seed, key) for key in hashes.tolist()]
    return random_windows(seeds, height, width, config.length, config.windows, config.window)


def check_windows(config: FidelityConfig, height: int, width: int) -> None:
    """`UserError` for windows that do not fit, before any work."""
    check_fill(config.fill)
    random_windows([], height, width, config.length, config.windows, config.window)


def tables(config: FidelityConfig, networks: list[Network], rows: Rows, boxes: Tensor, device: str) -> list[Table]:
    """Drops of all networks; each image is read once for all that lack it."""
    hashes, labels, shape = rows.hashes(), rows.labels(), tuple(rows[0][0].shape)
    size = config.batch_size or (256 if max(shape[1:]) <= 64 else 64)
    files = [config.out / DROPS / f"{_key(config, network, shape)}.npz" for network in networks]
    found = [Table(file, hashes, labels, config.windows) for file in files]
    blocks = [slice(start, min(start + _BLOCK, len(rows))) for start in range(0, len(rows), _BLOCK)]
    work = sum(int((~table.done).sum()) for table in found)
    with tqdm(total=work, desc="erasing windows", unit="img", disable=config.quiet or not work) as bar:
        try:
            for block in blocks:
                lacking = [i for i, table in enumerate(found) if not table.done[block].all()]
                if not lacking:
                    continue
                images, classes = _read(rows, block, shape, device)
                for i in lacking:
                    before, start = int(found[i].done[block].sum()), time.perf_counter()
                    model = networks[i].model.to(device)
                    erased = erasure_drops(model, images, classes, boxes[block].to(device), config.fill, size)
                    wait_for(images.device)
                    found[i].fill(block, *erased, time.perf_counter() - start)
                    if time.monotonic() - found[i].saved > _OFTEN:
                        found[i].save()
                    bar.update(block.stop - block.start - before)
        finally:
            for table in found:
                if table.computed:
                    table.save()
    return found


def _read(rows: Rows, block: slice, shape: tuple[int, ...], device: str) -> tuple[Tensor, Tensor]:
    items = [rows[i] for i in range(block.start, block.stop)]
    for i, (image, _) in enumerate(items, block.start):
        check_size(image, shape, i)
    images = torch.stack([image for image, _ in items]).to(device)
    return images.float().div_(255), torch.tensor([label for _, label in items], device=device)


def _key(config: FidelityConfig, network: Network, shape: tuple[int, ...]) -> str:
    """A file name that depends on all that drops depend on but the images themselves."""
    decides: dict[str, Any] = {
        "model": model_fingerprint(network.model),
        "shape": shape,
        "windows": [config.windows, config.length, config.window, config.fill],
        "seed": config.seed,
    }
    return hashlib.blake2b(json.dumps(decides).encode(), digest_size=8).hexdigest()
