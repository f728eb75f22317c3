"""Numbers of every row that are computed block by block and kept in a file as they come, so that work goes on.

Blocks have a fixed size, so what is resumed equals what ran through. Touches its one file.
"""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from ..files import DAMAGED, write_atomically
from ..fingerprints import model_fingerprint
from ..subset_file import labels_hash

if TYPE_CHECKING:
    from torch import nn

    from .pictures import Pictures

_OFTEN = 20.0  # seconds between two savings
_CONTENT = 16  # images whose content stands for the data

Compute = Callable[[slice], Mapping[str, np.ndarray]]


@final
class Kept:
    """Arrays of N rows each, filled block by block.

    arrays: by name, of N rows; path: the file they are kept in, None for memory alone; identity: what decides the
    numbers. A file of another identity is refused.
    """

    def __init__(self, arrays: dict[str, np.ndarray], path: Path | None, identity: dict[str, Any]) -> None:
        self.arrays, self.path = arrays, path
        self.identity = hashlib.blake2b(json.dumps(identity, default=str).encode(), digest_size=16).hexdigest()
        self.done = np.zeros(len(next(iter(arrays.values()))), bool)
        self._saved = time.monotonic()
        if path is not None and path.exists():
            self._load(path)

    def _load(self, path: Path) -> None:
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
                identity, done = str(found["identity"]), found["done"]
                arrays = {name: found[name] for name in self.arrays}
        except DAMAGED as error:
            raise UserError(
                f"{path} is damaged or no such file of augwise ({error}): delete it, or give another"
            ) from None
        same = identity == self.identity and all(arrays[k].shape == v.shape for k, v in self.arrays.items())
        if not same:
            raise UserError(
                f"{path} holds numbers of another model, other data or other settings: give another file, or delete it"
            )
        self.arrays, self.done = arrays, done

    def save(self) -> None:
        """Write what there is, whole or not at all."""
        if self.path is None:
            return
        buffer = io.BytesIO()
        np.savez(buffer, **self.arrays, done=self.done, identity=np.array(self.identity))  # pyright: ignore
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, lambda file: file.write(buffer.getvalue()))
        self._saved = time.monotonic()

    def fill(self, block: int, compute: Compute, what: str, progress: bool) -> dict[str, np.ndarray]:
        """Compute the rows that are missing, ``block`` at a time, and give all arrays back."""
        n, changed = len(self.done), False
        with tqdm(total=n, initial=int(self.done.sum()), desc=what, unit="img", disable=not progress) as bar:
            try:
                for start in range(0, n, block):
                    rows = slice(start, min(start + block, n))
                    if self.done[rows].all():
                        continue
                    for name, values in compute(rows).items():
                        self.arrays[name][rows] = values
                    self.done[rows] = changed = True
                    bar.update(rows.stop - rows.start)
                    if time.monotonic() - self._saved > _OFTEN:
                        self.save()
            finally:
                if changed:
                    self.save()
        return self.arrays


def identity_of(model: nn.Module, pictures: Pictures, **settings: Any) -> dict[str, Any]:
    """What decides the numbers of a model on some images: both, and the settings."""
    spread = np.linspace(0, len(pictures) - 1, min(len(pictures), _CONTENT)).astype(np.int64)
    return {
        "model": model_fingerprint(model),
        "shape": pictures.shape,
        "labels": labels_hash(pictures.labels.cpu().numpy()),
        "images": [int(pictures.rows.fingerprint(int(i))) for i in spread],
        **settings,
    }
