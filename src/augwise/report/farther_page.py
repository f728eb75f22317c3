"""The page of what LP-A3 makes of images: how far at which margin, beside RandAugment, and pictures."""

from __future__ import annotations

import math
from typing import Any

from .analyse_page import Section, Table, analysis_page, lines
from .charts import line_chart
from .page import Page
from .strips import strips
from .text import number, percent


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what `augwise.analyse` found of LP-A3."""
    return analysis_page(results, _headline(results), _points(results), sections(results, gallery))


def sections(results: dict[str, Any], gallery: dict[str, Any]) -> list[Section]:
    """The page's parts, for this page and for others that it belongs to."""
    return [_numbers(results), *_pictures(gallery)]


def _of(results: dict[str, Any], run: str, method: str) -> list[dict[str, Any]]:
    return [row for row in results["rows"] if row["run"] == run and row["method"] == method]


def _headline(results: dict[str, Any]) -> str:
    run = results["runs"][0]["name"]
    ours, theirs = _of(results, run, "lpa3"), _of(results, run, "randaugment")[0]
    middle = ours[len(ours) // 2]
    return (
        f"At a margin of {middle['margin']:g} nats LP-A3 goes {middle['distance']:.2f} far and keeps "
        f"{_share(middle['kept'])} of the labels; RandAugment goes {theirs['distance']:.2f} and keeps "
        f"{_share(theirs['kept'])} ({run})."
    )


def _points(results: dict[str, Any]) -> list[str]:
    met = min(row["within"] for row in results["rows"] if row["within"] is not None)
    return [
        f"The margin holds for {_share(met)} of the images at least.",
        "Distance is perceptual, between the classifier's own feature maps (LP-A3, Eq. 3): what is far for it may be "
        "hard to see.",
        "Labels are kept where the classifier still names the class that it named before, rightly.",
    ]


def _numbers(results: dict[str, Any]) -> Section:
    names = [run["name"] for run in results["runs"]]
    ours = {name: _of(results, name, "lpa3") for name in names}
    charts = [
        line_chart(
            title,
            lines(
                names,
                [[(math.log10(r["margin"]), scale * r[key]) for r in ours[n] if r[key] is not None] for n in names],
            ),
            "margin σ, log10 of nats",
            label,
        )
        for title, key, scale, label in (
            ("How far LP-A3 goes", "distance", 1, "perceptual distance"),
            ("Labels kept", "kept", 100, "of those named rightly before, %"),
            ("Where the classifier looks", "alike", 1, "correlation of Grad-CAM with the original’s"),
        )
    ]
    rows = [
        [
            row["run"],
            row["method"] + ("" if row["margin"] is None else f", σ {row['margin']:g}"),
            f"{row['distance']:.3f}",
            number(row["drop_median"], 4),
            "–" if row["within"] is None else percent(row["within"]),
            "–" if row["kept"] is None else percent(row["kept"]),
            "–" if row["alike"] is None else f"{row['alike']:.2f}",
        ]
        for row in results["rows"]
    ]
    columns = [
        "run",
        "method",
        "distance",
        "median drop, nats",
        "within margin, %",
        "labels kept, %",
        "CAM correlation",
    ]
    return Section("far", "How far, and what is kept", [], charts, [Table("Means over images.", columns, rows)])


def _pictures(gallery: dict[str, Any]) -> list[Section]:
    text = "Under each picture what the classifier takes it for, and how probable it finds the label."
    return [
        Section(f"pictures-{i}", f"Pictures: {group['title']}", [text], strips=strips(group["examples"]))
        for i, group in enumerate(gallery.get("groups") or [])
    ]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{percent(value)} %"
