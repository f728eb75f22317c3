"""What an analysis has computed so far, cell by cell, so that it goes on where it was stopped. Writes below
one folder."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from ..files import DAMAGED, write_atomically

FOLDER = "kept"


@final
class Kept:
    """Cells in ``OUT/kept``, each an npz file that carries the key it was computed under: everything that its numbers
    depend on. Under another key, or damaged, a cell is computed anew.

    shared: the part of the key that all cells have.
    """

    def __init__(self, out: Path, shared: Mapping[str, Any]) -> None:
        self.folder, self.shared = out / FOLDER, dict(shared)

    def cell(
        self, name: str, key: Mapping[str, Any], compute: Callable[[], Mapping[str, np.ndarray]]
    ) -> dict[str, np.ndarray]:
        """The arrays of a cell, computed unless they are there."""
        path = self.folder / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', name)}.npz"
        wanted = json.dumps(self.shared | dict(key), sort_keys=True, default=str)
        found = _read(path, wanted)
        if found is None:
            found = {k: np.asarray(v) for k, v in compute().items()}
            self.folder.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            np.savez(buffer, **found, key=np.asarray(wanted))  # pyright: ignore[reportArgumentType]
            write_atomically(path, lambda file: file.write(buffer.getvalue()))
        return found


def _read(path: Path, wanted: str) -> dict[str, np.ndarray] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) != wanted:
                return None
            return {name: kept[name] for name in kept.files if name != "key"}
    except DAMAGED:
        return None
