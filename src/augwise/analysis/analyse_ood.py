"""``analyse ood``: whether a classifier's confidence tells images of no known class from those of a known one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from .. import randomness
from ..errors import UserError
from .analyse_config import AnalyseOod, AnalyseRuns
from .analyse_kept import Kept
from .analyse_runs import Images, Subject, View, check_answers, described, fingerprint_of, images_of, logits_of, opened
from .bootstrap import resampled
from .detection import SCORES, detect, strangeness
from .hessian import exact

if TYPE_CHECKING:
    from ..data import Source


def ood(config: AnalyseOod, out: Path) -> dict[str, Any]:
    """Of every run and foreign source the AUPR, AUROC and FPR95 of every score, see `detection`, with intervals.

    Known images count whether they are classified rightly or not. Intervals are percentiles of a bootstrap over known
    and foreign images apart, the same resamples for all runs and scores.
    """
    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit, resident=False)
    check_answers(subjects, images)
    foreign = [_foreign(config, spec, images, subjects[0].view) for spec in config.foreign]
    kept = Kept(out, {"batch": config.on.batch_size})
    rows, told = [], []
    for name, other in zip(_names(config.foreign), foreign, strict=True):
        told.append({"spec": name, "name": other.name, "images": len(other)})
        for subject in subjects:
            rows += detections(config.on, subject, images, other, kept, config.resamples, {"foreign": name})
    return {
        "data": described(config.on, images),
        "foreign": told,
        "runs": [subject.about() for subject in subjects],
        "rows": rows,
    }


def detections(
    on: AnalyseRuns, subject: Subject, known: Images, foreign: Images, kept: Kept, resamples: int, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """A row for each score: its measures with intervals, chance (the share of foreign images), and mean confidence."""
    with exact():
        ours, theirs = (logits_of(subject, each, on.batch_size, kept, on.quiet) for each in (known, foreign))
    return [about | row for row in rows_of(subject.name, ours, theirs, resamples, on.seed, on.quiet)]


def rows_of(
    name: str, known: np.ndarray, foreign: np.ndarray, resamples: int, seed: int, quiet: bool = True
) -> list[dict[str, Any]]:
    """The same from the logits (n, classes) and (m, classes)."""
    scores = [strangeness(logits) for logits in (known, foreign)]
    chance = len(foreign) / (len(known) + len(foreign))
    sure = [float(1 - s["max_softmax"].mean()) for s in scores]
    rows = []
    for score in tqdm(SCORES, f"intervals of {name}", delay=2, disable=quiet, leave=False):
        pair = scores[0][score], scores[1][score]
        row: dict[str, Any] = {"run": name, "score": score, "chance": chance, "confidence": sure}
        point, lows, highs = detect(*pair)._asdict(), {}, {}
        draws = _resamples(pair[0], pair[1], resamples, seed)
        for measure, value in point.items():
            lows[measure], highs[measure] = np.quantile(draws[measure], [0.025, 0.975])
            row[measure] = {"mean": float(value[0]), "low": float(lows[measure]), "high": float(highs[measure])}
        rows.append(row)
    return rows


def _resamples(known: np.ndarray, foreign: np.ndarray, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Every measure in every resample."""
    made: dict[str, list[np.ndarray]] = {}
    most = max(len(known), len(foreign))
    blocks = zip(
        resampled(len(known), resamples, seed, most), resampled(len(foreign), resamples, seed + 1, most), strict=True
    )
    for of_known, of_foreign in blocks:
        # Weights that sum to 1 on either side would make half of the images foreign, whatever their share is.
        weights = of_known * len(known), of_foreign * len(foreign)
        for measure, values in detect(known, foreign, weights)._asdict().items():
            made.setdefault(measure, []).append(values)
    return {measure: np.concatenate(parts) for measure, parts in made.items()}


def _names(specs: Sequence[str]) -> list[str]:
    """Specifications for readers: of files and folders the last part."""
    short = [spec if ":" not in spec else Path(spec.partition(":")[2]).name for spec in specs]
    return [s if short.count(s) == 1 else spec for s, spec in zip(short, specs, strict=True)]


def _foreign(config: AnalyseOod, spec: str, known: Images, view: View) -> Images:
    from ..data.sources import limited, open_source

    kind, _, place = spec.partition(":")
    if spec == "noise":
        source = _noise(known, config.on.seed)
    elif kind == "images":
        source = images_below(Path(place))
    else:
        ways: dict[str, Any] = {"broken": config.on.broken or "stop", "progress": not config.on.quiet}
        source = open_source(spec, config.foreign_split, **ways)
    if config.foreign_limit is not None:
        source = limited(source, config.foreign_limit, 0)
    return as_seen(source, known, view)


def as_seen(source: Source, known: Images, view: View) -> Images:
    """Other images, seen as the runs see theirs and brought to the same size."""
    from ..data import Resized, WithImportance
    from ..training.batches import LoaderReader

    wanted = known.source[0][0].shape
    if view.size is not None:
        source = Resized(source, view.size, view.share or 1.0, view.interpolation)  # pyright: ignore[reportArgumentType]
    elif source[0][0].shape[1:] != wanted[1:]:
        if wanted[1] != wanted[2]:
            raise UserError(
                f"{source.name} has images of {tuple(source[0][0].shape[1:])} pixels, the runs see "
                f"{tuple(wanted[1:])}: bring them to that size"
            )
        source = Resized(source, wanted[1])
    if source[0][0].shape != wanted:
        raise UserError(
            f"{source.name} has images of shape {tuple(source[0][0].shape)}, the runs see {tuple(wanted)}: bring them "
            "to that shape"
        )
    device = next(known.batches(1))[0].device
    return Images(source, LoaderReader(WithImportance(source), device), fingerprint_of(source, view))


def images_below(folder: Path) -> Source:
    """All image files below a folder, as one class."""
    from ..data.folder import SUFFIXES, FolderSource

    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give one with image files below it")
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
    if not files:
        raise UserError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}): give a folder with some below it")
    return FolderSource(files, [0] * len(files), ["foreign"], folder.resolve().name)


def _noise(known: Images, seed: int) -> Source:
    from ..data import ArraySource

    shape = (len(known), *known.source[0][0].shape)
    levels = torch.randint(256, shape, generator=randomness.generator(seed, "noise"), dtype=torch.uint8)
    return ArraySource(levels, np.zeros(len(known), np.int64), ["noise"], "noise")
