"""The page of calibration: errors of several kinds, reliability diagrams side by side, and what a temperature mends."""

from __future__ import annotations

from typing import Any

from ..analysis.statistics import wilson
from .analyse_page import Section, Table, analysis_page, series
from .charts import Chart, Series, histogram, line_chart
from .page import Page
from .text import number, percent


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of calibration."""
    runs, bins = results["runs"], results["config"]["bins"]
    text = (
        "Below the dashed line a classifier is too confident, above it too cautious. Bars are Wilson’s 95 % intervals; "
        "images are counted below."
    )
    charts = [_reliability(run, runs) for run in runs] + [_confidence(run, runs, bins) for run in runs]
    sections = [
        Section("reliability", "Can its confidence be believed?", [text], charts),
        _numbers(runs, bins),
        _scaled(runs),
    ]
    return analysis_page(results, _headline(runs), _points(runs), sections)


def _headline(runs: list[dict[str, Any]]) -> str:
    known = sorted((run["ece"], run["name"]) for run in runs)
    return f"Expected calibration error: {', '.join(f'{name} {percent(ece)} %' for ece, name in known)}."


def _points(runs: list[dict[str, Any]]) -> list[str]:
    said = []
    for run in runs:
        gap = run["overconfidence"]
        word = "well matched on average" if abs(gap) < 0.01 else "too confident" if gap > 0 else "too cautious"
        said.append(
            f"{run['name']} is {percent(run['confidence'])} % confident and {percent(run['accuracy'])} % right: {word}."
        )
    return said


def _reliability(run: dict[str, Any], runs: list[dict[str, Any]]) -> Chart:
    look, bins = series([r["name"] for r in runs])[run["name"]], run["bins"]
    bars = [wilson(round(b["accuracy"] * b["images"]), int(b["images"])) for b in bins]
    measured = Series(
        "measured",
        [(100 * b["confidence"], 100 * b["accuracy"]) for b in bins],
        **look,
        bars=[None if bar is None else (100 * bar[0], 100 * bar[1]) for bar in bars],
    )
    right = Series("as it should be", [(0, 0), (100, 100)], "baseline", marked=False, dashed=True)
    return line_chart(run["name"], [right, measured], "confidence, %", "accuracy, %")


def _confidence(run: dict[str, Any], runs: list[dict[str, Any]], bins: int) -> Chart:
    counts = [0.0] * bins
    for b in run["bins"]:
        counts[min(round(b["low"] * bins), bins - 1)] = b["images"]
    edges = [100 * i / bins for i in range(bins + 1)]
    style = series([r["name"] for r in runs])[run["name"]]["style"]
    return histogram(f"{run['name']}: how confident", edges, counts, "confidence, %", style=style)


def _numbers(runs: list[dict[str, Any]], bins: int) -> Section:
    columns = ["run", "ECE, %", "adaptive, %", "by class, %", "largest, %", "Brier", "loss", "accuracy, %"]
    rows = [
        [
            run["name"],
            f"{percent(run['ece'], 2)} [{percent(run['interval'][0], 2)}, {percent(run['interval'][1], 2)}]",
            percent(run["adaptive"], 2),
            percent(run["classwise"], 2),
            percent(run["mce"], 1),
            number(run["brier"], 4),
            number(run["loss"], 4),
            percent(run["accuracy"], 2),
        ]
        for run in runs
    ]
    caption = f"Errors over {bins} bins; the interval of the ECE is a bootstrap over images, which tends to lie high."
    notes = [
        "ECE: mean gap between confidence and accuracy over bins of equal width, each by its number of images. "
        "Adaptive: over bins of equally many images. By class: the mean over classes of the error of that class’s "
        "probability. Largest: the widest gap of any bin, however few images it holds. Brier: mean squared distance "
        "of the probabilities from the label."
    ]
    return Section("numbers", "In numbers", (), (), [Table(caption, columns, rows)], notes)


def _scaled(runs: list[dict[str, Any]]) -> Section:
    columns = ["run", "temperatures", "ECE, %", "adaptive, %", "by class, %", "Brier", "loss"]
    rows = [
        [
            run["name"],
            " and ".join(f"{t:.2f}" for t in run["scaled"]["temperatures"]),
            *(percent(run["scaled"][k], 2) for k in ("ece", "adaptive", "classwise")),
            number(run["scaled"]["brier"], 4),
            number(run["scaled"]["loss"], 4),
        ]
        for run in runs
    ]
    text = (
        "A single number can mend much of it: the temperature that logits are divided by. Here each half of the "
        "images is judged with the temperature that suits the other half. What is left is not a matter of scale."
    )
    caption = "The same errors after temperature scaling; above 1 the classifier was too confident."
    return Section("scaled", "After temperature scaling", [text], (), [Table(caption, columns, rows)])
