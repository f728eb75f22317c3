"""The page of loss landscapes: lines together, surfaces side by side on the same scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from .analyse_page import Section, Table, analysis_page, lines, scientific
from .charts import Chart, line_chart
from .page import Page
from .surfaces import Heights, contours, surface
from .text import number, percent


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of landscapes."""
    runs, config = results["runs"], results["config"]
    hessian = config["directions"] == "hessian"
    sections = [_lines(runs, hessian)]
    if runs[0]["surface"]:
        sections.append(_surfaces(runs))
    sections.append(_numbers(runs, hessian, results["radius"]))
    points = [*_doubt(runs), *_points(hessian)]
    return analysis_page(results, _headline(runs, results["radius"]), points, sections)


def rise(run: dict[str, Any]) -> float | None:
    """Mean loss over both lines, less that at the weights; None where some of it is not finite."""
    losses = [v for line in run["lines"] for v in line["loss"]]
    return None if None in losses else float(np.mean(losses)) - run["loss"]


def _headline(runs: list[dict[str, Any]], radius: float) -> str:
    known = [(rise(run), run["name"]) for run in runs if rise(run) is not None]
    if not known:
        return "The loss is not finite everywhere around the weights: give a smaller radius."
    if len(known) == 1:
        return (
            f"Within {radius:g} of its weights the loss of {known[0][1]} rises by {scientific(known[0][0])} on average."
        )
    (least, flat), (most, steep) = min(known), max(known)
    return (
        f"Flattest is {flat}, whose loss rises by {scientific(least)} on average within {radius:g} of its weights; "
        f"steepest is {steep}, by {scientific(most)}."
    )


def _doubt(runs: list[dict[str, Any]]) -> list[str]:
    """A network that has learned little is flat, too."""
    known = [(found, run) for run in runs if (found := rise(run)) is not None]
    if len(known) < 2:
        return []
    flattest = min(known, key=lambda pair: pair[0])[1]
    best = min((run for _, run in known), key=lambda run: run["loss"])
    if flattest["loss"] < 1.5 * best["loss"] + 0.05:
        return []
    return [
        f"Flat is not deep: the loss of {flattest['name']} is {number(flattest['loss'])} at its weights, that of "
        f"{best['name']} {number(best['loss'])}."
    ]


def _points(hessian: bool) -> list[str]:
    if hessian:
        return [
            "Directions: eigenvectors of the two largest eigenvalues of the Hessian of this loss, of length 1: for "
            "each run the steepest ways up that there are nearby.",
            "Steps are in units of the weights. A network with larger weights, or with normalisation, may look flat "
            "for its scale alone: see also --directions random, which takes the scale out.",
        ]
    return [
        "Directions: random, each filter’s as long as the filter itself, so a network’s scale does not matter; "
        "biases and normalisations stay.",
        "One pair of random directions is a sample: another seed gives another pair.",
    ]


def _lines(runs: list[dict[str, Any]], hessian: bool) -> Section:
    names, charts = [run["name"] for run in runs], []
    for axis in (0, 1):
        kind = "steepest" if hessian else "random"
        for what, unit, scale in (("loss", "loss, nats", 1), ("accuracy", "accuracy, %", 100)):
            points = [_known(run["lines"][axis], what, scale) for run in runs]
            if all(points):
                title = f"{what.capitalize()} along {kind} direction {axis + 1}"
                charts.append(line_chart(title, lines(names, points, marked=False), "step", unit))
    text = "From the trained weights, at 0, to both sides; running statistics of normalisations stay as they are."
    return Section("lines", "Along a line", [text], charts)


def _known(line: dict[str, Any], what: str, scale: float) -> list[tuple[float, float]]:
    return [(t, scale * v) for t, v in zip(line["steps"], line[what], strict=True) if v is not None]


def _surfaces(runs: list[dict[str, Any]]) -> Section:
    values = [np.array(run["surface"]["loss"], dtype=np.float64) for run in runs]
    heights, charts = Heights.of(values), []
    for make, word in ((contours, "from above"), (surface, "from the side")):
        for run, found in zip(runs, values, strict=True):
            steps = run["surface"]["steps"]
            chart: Chart = make(f"{run['name']}, {word}", steps, steps, found, heights, "loss")
            charts.append(chart)
    text = (
        "The plane of both directions; the cross marks the trained weights. All pictures share colours and heights"
        + (", which are logarithmic." if heights.logarithmic else ".")
    )
    return Section("surfaces", "Over the plane", [text], charts)


def _numbers(runs: list[dict[str, Any]], hessian: bool, radius: float) -> Section:
    columns = ["run", "loss", "accuracy, %", "mean rise of the loss"]
    columns += ["curvature 1", "curvature 2"] if hessian else []
    rows = []
    for run in runs:
        row = [run["name"], number(run["loss"], 4), percent(run["accuracy"], 2), scientific(rise(run))]
        row += [scientific(d["eigenvalue"]) for d in run["directions"] if d]
        rows.append(row)
    caption = f"Loss in nats at the trained weights, and its mean rise over both lines within {radius:g} to both sides."
    notes = ["Curvatures are the eigenvalues of the Hessian that belong to the directions."] if hessian else []
    return Section("numbers", "In numbers", (), (), [Table(caption, columns, rows)], notes)
