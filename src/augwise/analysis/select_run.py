"""The verb ``select``: score every image, choose, and leave files that ``--subset`` reads, with a page that shows whom.

What takes long is kept in the folder as it comes, so the same command goes on where it stopped.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from ..files import require_writable, write_atomically
from .select_config import MIXED, SelectConfig
from .select_scores import scores_of

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..subset_file import SubsetFile

SCORES, TABLE = "scores.npz", "table.txt"
_BINS = 30
_POINTS = 400  # of the chart of mean and deviation
_CLASSES = 30  # whose images the page shows


def select_images(config: SelectConfig, command: str = "") -> dict[str, Any]:
    """Do what ``config`` says, print the table, and return what ``results.json`` in ``config.out`` holds.

    command heads the page. Beside the results: one subset file per fraction, ``OUT/MEASURE-RULE-FRACTION.npz``;
    ``scores.npz`` with ``scores``, ``labels`` and, for cv, mean and std, all three of them, ``losses`` (N, M) and
    ``predictive`` (N, C), the mean output over the mixes; ``table.txt``; ``report.html``.
    """
    import torch

    from ..data.image_files import describe_left_out
    from ..data.sources import left_out, open_source
    from ..report.build import report
    from ..report.gallery import within, write_gallery
    from ..selection import choose, select
    from ..training.devices import device_name
    from ..training.results import RESULTS, environment, write_json
    from .reference_model import run_settings

    config.check()
    c, began, device = config, time.monotonic(), device_name(config.device)
    require_writable(c.out)
    _refuse_others(c.out / RESULTS)
    size = c.size or (None if c.run is None else run_settings(c.run)["size"])
    opening: dict[str, Any] = {"size": size, "subset": c.subset, "limit": c.limit, "seed": c.data_seed}
    source = open_source(c.data, c.split, broken=c.broken, progress=not c.quiet, **opening)
    fractions = sorted(c.fractions)
    for fraction in fractions:  # what cannot be chosen is said before anything is computed
        choose(source.labels, np.arange(len(source)), fraction, c.per_class, c.rule, source.class_names)
    found = scores_of(c, source, device)
    about = {"measure": c.measure, "seed": c.seed, "data": source.name, "split": c.split}
    subsets = [select(source, found["scores"], f, c.per_class, c.rule, c.file(f), about) for f in fractions]
    chosen = [choose(source.labels, found["scores"], f, c.per_class, c.rule) for f in fractions]
    _write_scores(c, found, source.labels)
    results = {
        "kind": "select",
        "augwise": _version(),
        "title": f"Images of {source.name} by {NAMES[c.measure]}",
        "command": command,
        "config": json.loads(json.dumps(asdict(c), default=str)),
        "data": {
            "name": source.name,
            "split": c.split,
            "images": len(source),
            "classes": len(source.class_names),
            "left_out": [list(file) for file in left_out(source)],
        },
        "measure": NAMES[c.measure],
        "scores": _summary(found["scores"]),
        "histogram": _histogram(found["scores"], chosen[0]),
        "chosen": [
            _chosen(c, f, subset, found["scores"][rows])
            for f, subset, rows in zip(fractions, subsets, chosen, strict=True)
        ],
        "per_class": _per_class(source, found["scores"], chosen),
        "points": _points(found, chosen[0]) if c.measure in MIXED else None,
        "seconds": time.monotonic() - began,
        "environment": environment(torch.device(device)),
    }
    text = as_text(results)
    write_atomically(c.out / TABLE, lambda file: file.write((text + "\n").encode()))
    write_gallery(c.out, within(_gallery(c, source, found["scores"], chosen[0])))
    write_json(c.out / RESULTS, results)
    print(f"{text}\n\n{c.out / RESULTS}  {report(c.out)}")
    print(describe_left_out(left_out(source)), end="")
    return results


NAMES = {
    "cv": "coefficient of variation of the mixed loss",
    "mean": "mean mixed loss",
    "std": "standard deviation of the mixed loss",
    "random": "chance",
    "k-center": "k-center order",
    "mc-dropout": "uncertainty under dropout",
    "el2n": "early error (EL2N)",
    "forgetting": "forgetting events",
}


def as_text(results: dict[str, Any]) -> str:
    """The table of the terminal: each class, how many of it were chosen, and the files."""
    config, data = results["config"], results["data"]
    width = max(5, *(len(row["class"]) for row in results["per_class"]))
    shares = [entry["fraction"] for entry in results["chosen"]]
    head = f"{'class':<{width}}  images  mean score  " + "  ".join(f"{100 * s:6.4g} %" for s in shares)
    rows = [
        f"{row['class']:<{width}}  {row['images']:>6}  {row['mean']:>10.4g}  "
        + "  ".join(f"{count:>8}" for count in row["chosen"])
        for row in results["per_class"]
        if row["images"]
    ]
    files = [f"--subset {entry['file']}: {entry['images']} images" for entry in results["chosen"]]
    s = results["scores"]
    said = f"from {s['least']:.4g} to {s['greatest']:.4g}, median {s['median']:.4g}"
    above = (
        f"{data['name']} ({data['split']}), {data['images']} images by {results['measure']}, {config['rule']}: {said}"
    )
    return "\n".join([above, head, *rows, *files])


def _version() -> str:
    from .. import __version__

    return __version__


def _refuse_others(results: Path) -> None:
    """`UserError` where the folder holds results of another verb, which must not be lost."""
    try:
        kind = json.loads(results.read_text()).get("kind")
    except (OSError, ValueError, AttributeError):
        return
    if kind != "select":
        raise UserError(f"{results} holds the results of {kind!r}, which would be lost: give --out another folder")


def _write_scores(config: SelectConfig, found: dict[str, np.ndarray], labels: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **found, labels=labels)  # pyright: ignore[reportArgumentType]
    write_atomically(config.out / SCORES, lambda file: file.write(buffer.getvalue()))


def _summary(scores: np.ndarray) -> dict[str, float]:
    return {
        "least": float(scores.min()),
        "median": float(np.median(scores)),
        "mean": float(scores.mean()),
        "std": float(scores.std()),
        "greatest": float(scores.max()),
    }


def _histogram(scores: np.ndarray, chosen: np.ndarray) -> dict[str, list[float]]:
    """How many images score what, and how many of those were chosen at the smallest fraction."""
    edges = np.histogram_bin_edges(scores, _BINS)
    counts, kept = (np.histogram(values, edges)[0] for values in (scores, scores[chosen]))
    return {"edges": edges.tolist(), "counts": counts.tolist(), "chosen": kept.tolist()}


def _chosen(config: SelectConfig, fraction: float, subset: SubsetFile, scores: np.ndarray) -> dict[str, Any]:
    return {
        "fraction": fraction,
        "images": len(subset),
        "file": str(config.file(fraction)),
        "mean": float(scores.mean()),
        "least": float(scores.min()),
        "greatest": float(scores.max()),
    }


def _per_class(source: Source, scores: np.ndarray, chosen: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    rows = []
    for label, name in enumerate(source.class_names):
        own = source.labels == label
        rows.append(
            {
                "class": str(name),
                "images": int(own.sum()),
                "mean": float(scores[own].mean()) if own.any() else None,
                "chosen": [int((source.labels[rows] == label).sum()) for rows in chosen],
            }
        )
    return rows


def _points(found: dict[str, np.ndarray], chosen: np.ndarray) -> dict[str, list[list[float]]]:
    """(mean, deviation) of the losses of some images, spread over the data, and of some that were chosen."""
    every = np.stack([found["mean"], found["std"]], 1)

    def spread(points: np.ndarray) -> list[list[float]]:
        return points[np.linspace(0, len(points) - 1, min(len(points), _POINTS)).astype(int)].round(5).tolist()

    return {
        "others": spread(np.delete(every, chosen, 0)) if len(chosen) < len(every) else [],
        "chosen": spread(every[chosen]),
    }


def _gallery(config: SelectConfig, source: Source, scores: np.ndarray, chosen: np.ndarray) -> list[dict[str, Any]]:
    """Of every class the images that score highest and lowest."""
    from ..report.figures import picture, pixels

    def shown(rows: np.ndarray, end: str) -> list[dict[str, Any]]:
        return [
            {
                "index": int(row),
                "end": end,
                "score": float(scores[row]),
                "chosen": bool(np.isin(row, chosen)),
                "image": picture(pixels(source[int(row)][0]), 120),
            }
            for row in rows
        ]

    groups = []
    for label in np.unique(source.labels)[:_CLASSES] if config.cases else ():
        members = np.flatnonzero(source.labels == label)
        order = members[np.argsort(-scores[members], kind="stable")]
        top, rest = order[: config.cases], order[config.cases :]
        examples = shown(top, "highest") + shown(rest[-config.cases :][::-1], "lowest")
        groups.append({"title": str(source.class_names[label]), "examples": examples})
    return groups
