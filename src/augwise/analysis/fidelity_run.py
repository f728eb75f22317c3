"""The verb ``fidelity``: how well maps predict what erasing costs, on the network that made them and on others.

Everything that takes long is kept in the folder as it comes, maps as stores, drops as tables, networks as runs, so that
the same command goes on where it stopped, with more images or estimators too.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..files import require_writable, write_atomically
from ..importance.rows import Rows
from .fidelity_config import FidelityConfig
from .fidelity_drops import check_windows, tables, windows_of
from .fidelity_maps import judged
from .fidelity_networks import networks
from .fidelity_result import as_text, judge, typical, values

if TYPE_CHECKING:
    from ..data.sources import Source
    from .fidelity_drops import Table
    from .fidelity_maps import Judged
    from .fidelity_networks import Network
    from .fidelity_result import Values

TABLE, IMAGES = "table.txt", "images.npz"


def fidelity(config: FidelityConfig, command: str = "") -> dict[str, Any]:
    """Judge maps as ``config`` says, print the table, and return what ``results.json`` in ``config.out`` holds.

    command heads the page. Beside the results: ``table.txt``; ``images.npz`` with every image's correlations
    ``fidelity``, ``another`` (and ``partial``) of shape (maps, networks, images), the names of maps and networks,
    ``scores`` (maps, images, windows), ``drops`` (networks, images, windows), ``boxes``, ``hashes``, ``labels``,
    ``right`` and ``failed``; ``report.html``. The numbers depend on seed, images, networks and maps, on the batch size
    by rounding alone.
    """
    from ..data.image_files import describe_left_out
    from ..data.sources import left_out, open_source
    from ..fingerprints import model_fingerprint
    from ..report.build import report
    from ..report.gallery import write_gallery
    from ..training.devices import device_name
    from ..training.results import RESULTS, environment, write_json
    from .estimate_maps import view_of

    config.check()
    device, began = device_name(config.device), time.monotonic()
    require_writable(config.out)
    size, side = view_of(config.run, config.size, config.fit)
    source = open_source(
        config.data,
        config.split,
        size=size,
        subset=config.subset,
        limit=config.limit,
        seed=config.data_seed,
        broken=config.broken,
        progress=not config.quiet,
    )
    rows = Rows(source, side)
    height, width = rows[0][0].shape[-2:]
    check_windows(config, height, width)
    nets = networks(config, source, rows)
    maps, skipped = judged(config, nets[0].model, model_fingerprint(nets[0].model), rows, device)
    boxes = windows_of(config, rows.hashes(not config.quiet), height, width)
    drops = tables(config, nets, rows, boxes, device)
    found = values(config, maps, drops, boxes, (height, width))
    results = {
        "kind": "fidelity",
        "augwise": _version(),
        "title": f"Erasure fidelity on {source.name}",
        "command": command,
        "config": json.loads(json.dumps(asdict(config), default=str)),
        "data": {
            "name": source.name,
            "split": config.split,
            "images": len(rows),
            "classes": len(source.class_names),
            "size": [height, width],
            "left_out": [list(file) for file in left_out(source)],
        },
        "windows": {
            "count": config.windows,
            "length": int((boxes[..., 2] - boxes[..., 0]).max()),
            "window": config.window,
            "fill": config.fill,
            "area": _area(boxes, height * width),
        },
        **judge(config, nets, drops, maps, found),
        "left_out": skipped,
    }
    shown = typical(results, found, drops)
    at = shown["image"]
    results["typical"] = shown | {"label": str(source.class_names[int(rows.labels()[at])])}
    results |= {"seconds": time.monotonic() - began, "environment": environment(torch.device(device))}
    _write_images(config, rows, boxes, nets, drops, maps, found)
    text = as_text(results)
    write_atomically(config.out / TABLE, lambda file: file.write((text + "\n").encode()))
    write_gallery(config.out, _gallery(config, source, rows, maps, found, at))
    write_json(config.out / RESULTS, results)
    page = report(config.out)
    print(f"{text}\n\n{config.out / RESULTS}  {page}")
    print(describe_left_out(left_out(source)), end="")
    return results


def _version() -> str:
    from .. import __version__

    return __version__


def _area(boxes: torch.Tensor, pixels: int) -> float:
    """Mean share of the image that a window covers."""
    covered = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return float(covered.double().mean()) / pixels


def _write_images(
    config: FidelityConfig,
    rows: Rows,
    boxes: torch.Tensor,
    nets: Sequence[Network],
    drops: Sequence[Table],
    maps: Sequence[Judged],
    found: Values,
) -> None:
    arrays = {
        "maps": np.array([entry.name for entry in maps]),
        "networks": np.array([network.name for network in nets]),
        "fidelity": found.own,
        "another": found.other,
        "scores": found.scores,
        "drops": np.stack([table.drops for table in drops]),
        "boxes": boxes.numpy(),
        "hashes": rows.hashes(),
        "labels": rows.labels(),
        "right": np.stack([table.right for table in drops]),
        "failed": np.stack([entry.maps.failed for entry in maps]),
    }
    if found.partial is not None:
        arrays["partial"] = found.partial
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write_atomically(config.out / IMAGES, lambda file: file.write(buffer.getvalue()))


def _gallery(
    config: FidelityConfig, source: Source, rows: Rows, maps: Sequence[Judged], found: Values, typical: int
) -> list[dict[str, Any]]:
    """Images with all their maps: the typical one, and some drawn evenly from the classes."""
    from ..data.with_importance import fit
    from ..report.figures import overlay, picture, pixels

    chosen = [] if not config.cases else _evenly(rows.labels(), config.cases)
    examples = []
    for row in dict.fromkeys([typical, *chosen]):
        image, label = rows[row]
        shown = pixels(image)
        height, width = image.shape[-2:]
        drawn = [
            {
                "name": entry.name,
                "image": picture(overlay(shown, fit(entry.maps.read([row]), height, width)[0].numpy()), 160),
                "fidelity": None if np.isnan(found.own[m, 0, row]) else float(found.own[m, 0, row]),
            }
            for m, entry in enumerate(maps)
        ]
        examples.append(
            {"index": row, "label": str(source.class_names[label]), "image": picture(shown, 160), "maps": drawn}
        )
    return [{"title": "Maps side by side", "examples": examples}]


def _evenly(labels: np.ndarray, count: int) -> list[int]:
    """The first image of every class, then the second, and so on, until there are ``count``."""
    turn = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    return np.lexsort((labels, turn))[:count].tolist()
