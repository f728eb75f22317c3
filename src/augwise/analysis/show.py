"""The verb ``show``: a store's maps over their images, as a page or as one picture. Reads a store, writes one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import UserError
from ..training.config import ImageSize

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..importance.store import ImportanceStore

_ON_A_PAGE, _IN_A_PICTURE = 240, 24  # images


@dataclass(frozen=True)
class ShowConfig:
    """A store to look at: each image beside its map by class, and what the maps are like as a whole."""

    store: Path
    """Folder of the store."""
    data: str = "digits"
    """Data source of the images that the store belongs to."""
    split: str = "train"
    """Split the store was computed on."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or to height and width, as for estimate."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or skip them."""
    subset: Path | None = None
    """Only the images that this file of augwise select names."""
    count: int | None = None
    """How many images are shown, of every class as many; left out: 240 on a page, 24 in a picture."""
    failed: bool = False
    """Show only images whose attack failed."""
    seed: int = 0
    """Which images are shown."""
    out: Path = Path("maps.html")
    """What is written: NAME.html a page that needs no network, NAME.png one picture."""
    quiet: bool = False
    """No progress bar."""


def show(config: ShowConfig) -> Path:
    """Write the page (or picture), print what the store holds, and return the file's path.

    An unfinished store shows its finished rows; images may be of any sizes, maps are stretched over them.
    """
    from ..data.sources import open_source
    from ..files import require_writable
    from ..importance.store import ImportanceStore
    from .estimate_maps import describe

    if config.count is not None and config.count < 1:
        raise UserError(f"--count {config.count} shows nothing: give at least 1")
    page = config.out.suffix.lower() in (".html", ".htm")
    if not page:
        _format(config.out)
    store = ImportanceStore(config.store, allow_partial=True)
    require_writable(config.out.absolute().parent)
    opening: dict[str, Any] = {"size": config.size, "broken": config.broken, "subset": config.subset}
    source = open_source(config.data, config.split, **opening, progress=not config.quiet)
    found = _found(store, source, config)
    shown = _chosen(store, found, config, _ON_A_PAGE if page else _IN_A_PICTURE)
    if page:
        _write_page(store, source, found, shown, config)
    else:
        _draw(store, source, shown, config.out)
    print(f"{config.store}: {describe(store.summary())}\n{config.out}: {len(shown)} of them")
    return config.out


def _found(store: ImportanceStore, source: Source, config: ShowConfig) -> np.ndarray:
    """(n, 2) row of the source and row of the store of every image whose map is there, in the source's order."""
    from ..importance.attached import match
    from ..importance.rows import Rows
    from ..importance.store_files import PENDING

    rows, progress = Rows(source), not config.quiet
    at = match(store.hashes, store.labels, rows.hashes(progress), rows.labels(progress))
    there = np.flatnonzero((at >= 0) & (store.status[at] != PENDING))
    if not len(there):
        raise UserError(
            f"{config.store} has no finished rows for the images of {source.name}: check --data, --split and --size"
        )
    return np.stack([there, at[there]], 1)


def _chosen(store: ImportanceStore, found: np.ndarray, config: ShowConfig, most: int) -> np.ndarray:
    """(n, 2) rows as in `_found` of the images to show, by class: the first of each class in random order, then the
    second, and so on."""
    from .. import randomness

    wanted = found[store.failed[found[:, 1]]] if config.failed else found
    if not len(wanted):
        raise UserError(f"{config.store} has no failed attacks to show: leave out --failed")
    order = randomness.permutation(len(wanted), randomness.generator("show", config.seed)).numpy()
    mixed = wanted[order]
    labels = store.labels[mixed[:, 1]]
    turn = np.zeros(len(mixed), np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    picked = np.lexsort((labels, turn))[: config.count or most]
    return mixed[picked][np.argsort(labels[picked], kind="stable")]


def _write_page(
    store: ImportanceStore, source: Source, found: np.ndarray, shown: np.ndarray, config: ShowConfig
) -> None:
    import torch

    from ..importance.centre import CentrePrior
    from ..report.page import write_pages
    from ..report.store_page import Shown, page
    from .map_statistics import centre, map_statistics
    from .stores import store_info

    names = dict(enumerate(source.class_names))
    grey = torch.zeros(1, 1, store.height, store.width)
    of_any = torch.zeros(1, dtype=torch.int64)
    prior = CentrePrior(grid=(store.height, store.width)).estimate(None, grey, of_any, [0]).importance.numpy()
    albums: dict[str, list[Shown]] = {}
    sparse = bool(store.meta["sparse"])
    for row, at in shown.tolist():
        image, importance = _pair(store, source, row, at)
        points = int(np.count_nonzero(store.maps[at])) if sparse else None
        label = int(store.labels[at])
        item = Shown(image, importance, row, points, bool(store.failed[at]))
        albums.setdefault(names.get(label, str(label)), []).append(item)
    filled = page(
        title=f"Importance maps of {source.name}",
        subtitle=f"{store.meta['method']} · {config.split} images · {store.height}×{store.width} cells a map",
        note=_note(store, source, found),
        statistics=map_statistics(store, names, found[:, 1], progress=not config.quiet),
        prior=prior[0],
        prior_centre=float(centre(prior)[0]),
        only_failed=config.failed,
        albums=albums,
        facts=list(store_info(config.store).items()),
    )
    write_pages(config.out, [filled])


def _note(store: ImportanceStore, source: Source, found: np.ndarray) -> str:
    if len(found) == len(source) == len(store):
        return ""
    return (
        f"{len(found)} of the {len(source)} images of {source.name} have a finished map here; the store has "
        f"{len(store)} rows."
    )


def _pair(store: ImportanceStore, source: Source, row: int, at: int) -> tuple[np.ndarray, np.ndarray]:
    """Image ``row`` as (H, W, 3) uint8 and the store's map ``at`` over it, (H, W) float32."""
    import torch

    from ..data.resident import fit
    from ..report.figures import pixels

    image = pixels(source[row][0][:3].expand(3, -1, -1))
    importance = torch.from_numpy(store.maps[at] * store.scale[at])[None]
    return image, fit(importance, *image.shape[:2])[0].numpy()


def _draw(store: ImportanceStore, source: Source, rows: np.ndarray, out: Path) -> None:
    from PIL import Image

    from ..files import write_atomically
    from ..report.figures import overlay

    columns = min(4, len(rows))
    tiles = []
    for row, at in rows.tolist():
        image, importance = _pair(store, source, row, at)
        tiles.append(np.concatenate([image, overlay(image, importance)], 1))
    height, width = (max(t.shape[axis] for t in tiles) + 2 for axis in (0, 1))
    canvas = np.full((-(-len(tiles) // columns) * height, columns * width, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * height, i % columns * width
        canvas[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    scale = max(1, 128 // height)
    picture = Image.fromarray(canvas.repeat(scale, 0).repeat(scale, 1))
    write_atomically(out, lambda file: picture.save(file, _format(out)))


def _format(out: Path) -> str:
    """Pillow's name of the kind of picture that the file's ending asks for."""
    from PIL import Image

    kind = Image.registered_extensions().get(out.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        raise UserError(f"--out {out} is neither a page nor a picture: give NAME.html or NAME.png")
    return kind
