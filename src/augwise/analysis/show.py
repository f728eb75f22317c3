"""The verb ``show``: the maps of a store over their images, as one picture. Reads a store, writes one PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..importance.store import ImportanceStore


@dataclass(frozen=True)
class ShowConfig:
    """Pictures of a store: each image beside its map, rows of one class together."""

    store: Path
    """Folder of the store."""
    data: str = "digits"
    """Data source of the images that the store belongs to."""
    split: str = "train"
    """Split the store was computed on."""
    size: int | None = None
    """Resize images to this many pixels a side, as for estimate."""
    count: int = 24
    """How many images."""
    failed: bool = False
    """Only images whose attack failed."""
    seed: int = 0
    """Which images."""
    out: Path = Path("maps.png")
    """The picture."""


def show(config: ShowConfig) -> Path:
    """Draw the maps, print what the store holds, and return the picture's path. An unfinished store shows its rows."""
    from ..data.sources import open_source
    from ..importance.store import ImportanceStore
    from .estimate_maps import describe

    if config.count < 1:
        raise UserError(f"--count {config.count} shows nothing: give at least 1")
    store = ImportanceStore(config.store, allow_partial=True)
    source = open_source(config.data, config.split, size=config.size)
    rows = _rows(store, source, config)
    _draw(store, source, rows, config.out)
    print(f"{config.store}: {describe(store.summary())}\n{config.out}: {len(rows)} of them")
    return config.out


def _rows(store: ImportanceStore, source: Source, config: ShowConfig) -> list[tuple[int, int]]:
    """(row of the source, row of the store) of the images to show, by class."""
    from .. import randomness
    from ..importance.attached import match
    from ..importance.rows import Rows
    from ..importance.store_files import PENDING

    rows = Rows(source)
    found = match(store.hashes, store.labels, rows.hashes(progress=True), rows.labels(progress=True))
    wanted = store.failed if config.failed else store.status != PENDING
    shown = np.flatnonzero((found >= 0) & wanted[found])
    if not len(shown):
        what = "failed attacks" if config.failed else "finished rows"
        raise UserError(f"{config.store} has no {what} for the images of {source.name}: check --data and --split")
    order = randomness.permutation(len(shown), randomness.generator("show", config.seed)).numpy()
    picked = shown[order[: config.count]]
    picked = picked[np.argsort(source.labels[picked], kind="stable")]
    return [(int(row), int(found[row])) for row in picked]


def _draw(store: ImportanceStore, source: Source, rows: list[tuple[int, int]], out: Path) -> None:
    import torch
    from PIL import Image

    from ..data.resident import fit
    from ..report.figures import overlay

    columns = min(4, len(rows))
    tiles = []
    for row, at in rows:
        image = source[row][0]
        pixels = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
        importance = torch.from_numpy(store.maps[at] * store.scale[at])[None]
        shown = overlay(pixels, fit(importance, *pixels.shape[:2])[0].numpy())
        tiles.append(np.concatenate([pixels, shown], 1))
    height, width = (max(t.shape[axis] for t in tiles) + 2 for axis in (0, 1))
    canvas = np.full((-(-len(tiles) // columns) * height, columns * width, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    scale = max(1, 128 // height)
    try:
        Image.fromarray(canvas.repeat(scale, 0).repeat(scale, 1)).save(out)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {out}: {error}") from None
