"""The verb ``stores``: what a store is, whether it is sound, and the small file in which it travels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from ..errors import UserError
from ..training.config import ImageSize

if TYPE_CHECKING:
    from ..importance.store_files import Meta


@dataclass(frozen=True)
class StoreInfo:
    """What a store, or an export file, holds: method and arguments, model, data, rows, success, bytes, versions."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """Folder of the store, or a file that export wrote."""


@dataclass(frozen=True)
class StoreVerify:
    """Look at every row of a store: files, values, and that it belongs to a data set, image by image."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """Folder of the store."""
    data: str | None = None
    """Data source that it should belong to, as train --data names it; left out: the store alone is looked at."""
    split: str = "train"
    """Split the store was computed on."""
    size: ImageSize | None = None
    """As for estimate: images resized to this many pixels a side, or stretched to height and width."""
    subset: Path | None = None
    """As for estimate: only the images that this file of augwise select names."""
    limit: int | None = None
    """As for estimate: only this many images."""
    data_seed: int = 0
    """As for estimate: seed of limit."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or skip them."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True)
class StoreExport:
    """Pack a store into one small file for others: key points only, and all that is known of them."""

    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """Folder of the store, finished or not."""
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The new file, as cifar10.augmaps."""
    top: float | None = None
    """Keep only this share of each map's cells, the highest (0.1: a tenth); for dense maps, which shrink little
    otherwise. Left out: every value, and import gives the same store byte for byte."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True)
class StoreImport:
    """Make a store of a file that export wrote. The file is checked throughout; it cannot run code."""

    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """The file."""
    store: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="STORE")]
    """Folder of the store, new."""
    quiet: bool = False
    """No progress bar."""


def stores(config: StoreInfo | StoreVerify | StoreExport | StoreImport) -> Any:
    """Do what the configuration's class says and print the outcome.

    Returns what `store_info` tells (StoreInfo), a `Verdict` (StoreVerify), the file's path (StoreExport) or the new
    `ImportanceStore` (StoreImport). Raises `UserError` where something is wrong, also with a store that is verified.
    """
    if isinstance(config, StoreInfo):
        info = store_info(config.store)
        width = max(map(len, info))
        print("\n".join(f"{name:<{width}}  {_printable(value)}" for name, value in info.items()))
        return info
    if isinstance(config, StoreVerify):
        return _verify(config)
    from ..importance import exchange

    if isinstance(config, StoreExport):
        file = exchange.export_store(config.store, config.file, config.top, progress=not config.quiet)
        found = exchange.look(file)
        lossy = "" if found.meta.top is None else f", the top {found.meta.top:g} of each map, which cannot be undone"
        print(
            f"{file}: {found.meta.rows} maps in {_size(found.bytes)}, {found.bytes / found.meta.rows:.0f} bytes each "
            f"({found.meta.bytes() / found.meta.rows:.0f} in the store){lossy}"
        )
        return file
    store = exchange.import_store(config.file, config.store, progress=not config.quiet)
    print(
        f"{config.store}: {len(store)} maps by {_printable(store.meta['method'])} on {_printable(store.meta['data'])}"
    )
    return store


def store_info(path: Path) -> dict[str, str]:
    """What a store's folder or an export file holds, as (name, text) in the order in which it is shown."""
    from ..importance import exchange
    from ..importance.store import ImportanceStore

    if Path(path).is_file():
        found = exchange.look(path)
        points = f"{found.key_points / found.meta.rows:.1f} a map" if found.meta.sparse else None
        return _about(found.meta, "export file", found.bytes, str(found.meta.rows), points)
    store = ImportanceStore(path, allow_partial=True)
    summary = store.summary()
    counts = f"{summary['rows']}: {summary['done']} done"
    counts += f" ({summary['failed']} of them failed), {summary['rows'] - summary['done']} to be done"
    points = f"{summary['mean_key_points']:.1f} a map" if "mean_key_points" in summary else None
    success = f"{100 * summary['success_rate']:.1f} %" if "success_rate" in summary else None
    return _about(store._meta, "store", store._meta.bytes(), counts, points, success)


def _about(
    meta: Meta, kind: str, size: int, images: str, points: str | None, success: str | None = None
) -> dict[str, str]:
    from ..report.text import short

    texts = {
        "kind": kind + ("" if meta.complete else ", unfinished"),
        "method": meta.method,
        "arguments": ", ".join(f"{k}={short(v)}" for k, v in meta.arguments.items()),
        "seed": str(meta.seed),
        "model": meta.model and f"fingerprint {meta.model}",
        "data": meta.data,
        "image size": meta.image and "×".join(map(str, meta.image)),
        "map size": f"{meta.height}×{meta.width}",
        "images": images,
        "added in batches": ", ".join(map(str, meta.segments)) if len(meta.segments) > 1 else None,
        "attack succeeded": success,
        "key points": points,
        "kept of each map": None if meta.top is None else f"the top {meta.top:g}; the rest was left out on export",
        "continuous batching": meta.continuous and ", ".join(f"{k} {v:g}" for k, v in meta.continuous.items()),
        "part": meta.part and f"{meta.part['index'] + 1} of {meta.part['of']}, of {meta.part['rows']} images",
        "size": f"{_size(size)}, {size / meta.rows:.0f} bytes an image",
        "computed with": "; ".join(
            ", ".join(f"{k} {v}" for k, v in each.items()) for each in meta.environments if isinstance(each, dict)
        ),
    }
    return {name: str(text) for name, text in texts.items() if text}


def _verify(config: StoreVerify) -> Any:
    from ..data.sources import open_source
    from ..importance.verify import verify_store

    source = None
    if config.data is not None:
        source = open_source(
            config.data,
            config.split,
            size=config.size,
            subset=config.subset,
            limit=config.limit,
            seed=config.data_seed,
            broken=config.broken,
            progress=not config.quiet,
        )
    verdict = verify_store(config.store, source, progress=not config.quiet)
    notes = "".join(f"\n  note: {_printable(note)}" for note in verdict.notes)
    if verdict.problems:
        found = "".join(f"\n  wrong: {_printable(problem)}" for problem in verdict.problems)
        raise UserError(f"{config.store} is not sound:{found}{notes}")
    against = "looked at alone (give --data to compare it with its images)" if source is None else f"fits {source.name}"
    print(f"{config.store} is sound: {against}{notes}")
    return verdict


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _printable(text: str) -> str:
    """Without control characters: a file from a stranger must not steer the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
