"""The page of natural adversarial images: accuracy on hard ones, detection of those of no known class."""

from __future__ import annotations

from typing import Any

from .analyse_page import Section, Table, analysis_page
from .charts import Estimate, forest
from .ood_page import detected, headline
from .page import Page
from .text import counted, percent, points


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of natural adversarial images."""
    sections, told = [], []
    if "known" in results:
        sections.append(_known(results["known"]))
        told.append(_headline(results["known"]))
    if "unknown" in results:
        found = results["unknown"]
        title = f"{found['name']}: images of no known class"
        sections.append(detected("unknown", title, found["rows"], found["known_images"], found["images"]))
        told.append(headline(found["rows"], found["name"]))
    return analysis_page(results, told[0], told[1:], sections)


def _headline(found: dict[str, Any]) -> str:
    known = sorted(((row["accuracy"]["mean"], row["run"]) for row in found["rows"]), reverse=True)
    told = ", ".join(f"{name} {percent(value)} %" for value, name in known)
    return f"Right on {found['name']}: {told}."


def _known(found: dict[str, Any]) -> Section:
    rows = [
        [
            row["run"],
            _cell(row["accuracy"]),
            _cell(row["accuracy_all"]),
            points(row["over_first"]),
            percent(row["confidence"]),
            percent(row["ece"]),
        ]
        for row in found["rows"]
    ]
    first = found["rows"][0]["run"]
    columns = ["run", "mapped classes, %", "all classes, %", f"less {first}, points", "mean confidence, %", "ECE, %"]
    estimates = [_estimate(row) for row in found["rows"]]
    chart = forest("Accuracy among the mapped classes", [("", estimates)], "accuracy, %", zero=None)
    text = f"{counted(found['images'], 'image')} of {counted(found['classes'], 'class', 'classes')} that the runs know."
    caption = (
        "Accuracy among the mapped classes alone, as the benchmark has it, and among all, with 95 % intervals by "
        "bootstrap over images; confidence and its error are among all classes."
    )
    return Section(
        "known", f"{found['name']}: hard images of known classes", [text], [chart], [Table(caption, columns, rows)]
    )


def _cell(found: dict[str, Any]) -> str:
    text = percent(found["mean"])
    return text if found["low"] is None else f"{text} [{percent(found['low'])}, {percent(found['high'])}]"


def _estimate(row: dict[str, Any]) -> Estimate:
    mean, low, high = (
        None if row["accuracy"][k] is None else 100 * row["accuracy"][k] for k in ("mean", "low", "high")
    )
    assert mean is not None
    return Estimate(row["run"], mean, low, high, "plain")
