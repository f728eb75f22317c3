"""What an audit found: numbers per image, their distribution, classes, worst cases; as table, JSON, CSV and page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..report.text import counted
from .statistics import wilson

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
BINS = 20
WORSE = (
    "guarded loses more than plain, since what is put back at its old place covers what was moved there; --follow map "
    "returns it to where it was moved"
)
"""Why a guard may cost evidence: told wherever `worse_guarded` finds one."""
COLUMNS = ("importance_lost", "area_lost", "log_prob_drop")


@dataclass(frozen=True)
class Case:
    """One image for the page. Pictures are (H, W, C) uint8, importance (H, W) float32, shares and drop as in
    `Audited`."""

    index: int
    label: str
    image: np.ndarray
    importance: np.ndarray
    augmented: np.ndarray
    importance_lost: float
    area_lost: float
    log_prob_drop: float


@dataclass(frozen=True)
class Audited:
    """One transform or mixer. Arrays are (N,), by image; NaN where a number is not known.

    rows, labels: int64, places in the source and classes.
    importance_lost, area_lost: shares in [0, 1] of each image's importance and area, overwritten or cropped away.
    log_prob_drop: nats, log(w p(x)) - log p(x'): p the reference model's probability of the class, before and after,
        w the weight of that class in the label (1 unless images were mixed). Negative: easier than before.
    before, after: 1.0 where the model's top class is the right one, else 0.0.
    opaque: steps that could not be followed. failed: message by row. outside: share of images with pixels below 0 or
        above 1. cases: pictures, by heading. images_per_second: of the pipeline, following included.
    """

    name: str
    what: str
    rows: np.ndarray
    labels: np.ndarray
    importance_lost: np.ndarray
    area_lost: np.ndarray
    log_prob_drop: np.ndarray
    before: np.ndarray
    after: np.ndarray
    opaque: tuple[str, ...]
    failed: dict[int, str]
    outside: float
    images_per_second: float
    cases: dict[str, list[Case]]

    @property
    def unrecognised(self) -> np.ndarray:
        """(N,): of the images that the model recognised before, 1.0 where it no longer does; NaN for the others."""
        return np.where(self.before == 1, 1 - self.after, np.nan)

    def summary(self, class_names: list[str]) -> dict[str, Any]:
        """Plain data for JSON: None where nothing is known."""
        lost = _known(self.unrecognised)
        return {
            "name": self.name,
            "what": self.what,
            "images": len(self.rows) - len(self.failed),
            "not_followed": list(self.opaque),
            "failed": [{"row": row, "message": text} for row, text in self.failed.items()],
            **{column: distribution(getattr(self, column), column != "log_prob_drop") for column in COLUMNS},
            "lose_more_than_half": _mean(np.where(np.isnan(v := self.importance_lost), np.nan, v > 0.5)),
            "recognised_before": _mean(self.before),
            "unrecognised": _mean(self.unrecognised),
            "unrecognised_interval": wilson(int(lost.sum()), len(lost)),
            "pixels_outside": self.outside,
            "images_per_second": self.images_per_second,
            "per_class": [self._of_class(label, class_names[label]) for label in np.unique(self.labels).tolist()],
        }

    def _of_class(self, label: int, name: str) -> dict[str, Any]:
        own = self.labels == label
        found = {column: _mean(getattr(self, column)[own]) for column in COLUMNS}
        return {"class": name, "images": int(own.sum()), **found, "unrecognised": _mean(self.unrecognised[own])}


@dataclass(frozen=True)
class Audit:
    """Everything that `audit` found. ``print(audit)`` is the table; `write` leaves files.

    maps: where the importance came from, in words. recognises: share of the images as they are that the reference
    model recognises, None without a model.
    """

    transforms: list[Audited]
    class_names: list[str]
    data: dict[str, Any]
    maps: str
    recognises: float | None
    settings: dict[str, Any]
    environment: dict[str, Any]
    seconds: float

    def __str__(self) -> str:
        return as_text(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what ``results.json`` holds beside title and command."""
        from .. import __version__

        return {
            "kind": "audit",
            "augwise": __version__,
            "data": self.data,
            "maps": self.maps,
            "recognises": self.recognises,
            "settings": self.settings,
            "transforms": [a.summary(self.class_names) for a in self.transforms],
            "seconds": self.seconds,
            "environment": self.environment,
        }

    def write(self, folder: str | Path, title: str = "Audit", command: str = "") -> Path:
        """Write ``results.json``, ``table.txt``, ``images.csv`` (a line per image and transform), ``gallery.json`` and
        ``report.html``; the page's path.

        title and command head the page.
        """
        from ..files import require_writable, write_atomically
        from ..report.build import report
        from ..report.gallery import audit_group, write_gallery
        from ..training.results import RESULTS, write_json

        folder = Path(folder)
        require_writable(folder)
        write_json(folder / RESULTS, {**self.to_dict(), "title": title, "command": command})
        write_atomically(folder / "table.txt", lambda file: file.write(f"{self}\n".encode()))
        write_atomically(folder / "images.csv", lambda file: file.write(self._csv().encode()))
        groups = [audit_group(a.name, heading, cases) for a in self.transforms for heading, cases in a.cases.items()]
        write_gallery(folder, groups)
        return report(folder)

    def _csv(self) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["transform", "row", "class", *COLUMNS, "recognised_before", "recognised_after"])
        for a in self.transforms:
            for i, row in enumerate(a.rows.tolist()):
                numbers = [getattr(a, column)[i] for column in COLUMNS]
                flags = ["" if math.isnan(v) else int(v) for v in (a.before[i], a.after[i])]
                writer.writerow(
                    [a.name, row, self.class_names[int(a.labels[i])]]
                    + ["" if math.isnan(v) else f"{v:.6g}" for v in numbers]
                    + flags
                )
        return text.getvalue()


def distribution(values: np.ndarray, share: bool) -> dict[str, Any] | None:
    """Mean, quantiles and (of shares) counts in `BINS` equal bins of [0, 1]; None where nothing is known."""
    known = _known(values)
    if not len(known):
        return None
    found: dict[str, Any] = {
        "n": len(known),
        "mean": float(known.mean()),
        "quantiles": {f"{q:g}": float(np.quantile(known, q)) for q in QUANTILES},
    }
    if share:
        found["counts"] = np.histogram(known, BINS, (0, 1))[0].tolist()
    return found


def as_text(found: Audit) -> str:
    """The table for a terminal: a line per transform."""
    with_model = found.recognises is not None
    head = ["transform", "importance lost", "lose > half", "area lost"]
    head += ["no longer recognised", "log-prob drop"] if with_model else []
    head += ["images/s"]
    lines = [head]
    for a in found.transforms:
        s = a.summary(found.class_names)
        line = [a.name, _spread(s["importance_lost"]), percent(s["lose_more_than_half"]), _spread(s["area_lost"])]
        if with_model:
            low_high = s["unrecognised_interval"]
            interval = f" ({percent(low_high[0])} to {percent(low_high[1])})" if low_high else ""
            drop = s["log_prob_drop"]
            line += [percent(s["unrecognised"]) + interval, "-" if drop is None else f"{drop['mean']:.2f}"]
        lines.append([*line, f"{a.images_per_second:.0f}"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
            for line in lines]  # fmt: skip
    return "\n".join([*text, "", *notes(found)])


def notes(found: Audit) -> list[str]:
    """What a reader of the table must know, a sentence each."""
    said = [f"Means, in brackets the middle 90 % of {found.data['images']} images. Maps: {found.maps}."]
    if found.recognises is None:
        said.append(
            "Without a reference model nothing is said about recognition: give --run, the folder of a finished "
            "augwise train, or --model, --checkpoint, --mean and --std."
        )
    else:
        said.append(
            f"The reference model recognises {percent(found.recognises)} of the images as they are; "
            '"no longer recognised" counts among those.'
        )
    if worse := worse_guarded({a.name: _mean(a.importance_lost) for a in found.transforms}):
        said.append(f"{', '.join(worse)}: {WORSE}.")
    for a in found.transforms:
        if a.opaque:
            said.append(f"{a.name}: the map cannot follow {', '.join(a.opaque)}, so its losses are not known.")
        if a.failed:
            row, text = next(iter(a.failed.items()))
            said.append(f"{a.name}: failed on {counted(len(a.failed), 'image')}, first on image {row}: {text}")
        if a.outside > 0:
            said.append(f"{a.name}: {percent(a.outside)} of its pictures have pixels below 0 or above 1.")
    return said


def worse_guarded(lost: Mapping[str, float | None]) -> list[str]:
    """Methods whose guarded form loses more importance than the plain one beside it; lost: means by transform."""
    arms = ((name.removesuffix(", plain"), mean) for name, mean in lost.items() if name.endswith(", plain"))
    return [
        name
        for name, mean in arms
        if mean is not None and (guarded := lost.get(f"{name}, guarded")) is not None and guarded > mean
    ]


def percent(value: float | None) -> str:
    """0.1234 as ``12.3 %``; what is not known as a dash."""
    return "-" if value is None or math.isnan(value) else f"{100 * value:.1f} %"


def _spread(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-"
    low, high = (100 * found["quantiles"][q] for q in ("0.05", "0.95"))
    return f"{percent(found['mean'])} ({low:.0f} to {high:.0f})"


def _known(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]


def _mean(values: np.ndarray) -> float | None:
    known = _known(values)
    return float(known.mean()) if len(known) else None
