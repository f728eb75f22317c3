"""The page of curvature: eigenvalues, trace and spectral density of the Hessian of every run."""

from __future__ import annotations

import math
from typing import Any

from .analyse_page import Section, Table, analysis_page, lines, scientific, series
from .charts import Chart, Series, line_chart
from .page import Page
from .text import counted, number, percent

_FLOOR = 1e-6  # of the density, as a share of its largest value: below it nothing is drawn


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of Hessians."""
    runs = results["runs"]
    sections = []
    if "eigenvalues" in runs[0]:
        sections.append(_eigenvalues(runs, results["config"]))
    if "probes" in runs[0]:
        sections.append(_density(runs, results["config"]))
    return analysis_page(results, _headline(runs), _points(results), sections)


def _headline(runs: list[dict[str, Any]]) -> str:
    if "eigenvalues" in runs[0]:
        known, what = [(run["eigenvalues"][0]["value"], run["name"]) for run in runs], "the largest eigenvalue"
    else:
        known, what = [(run["trace"], run["name"]) for run in runs], "the trace"
    if len(known) == 1:
        return f"Of the Hessian of {known[0][1]} {what} is {scientific(known[0][0])}."
    (least, flat), (most, steep) = min(known), max(known)
    least_told = f"Least curved is {flat}, {what} of whose Hessian is {scientific(least)}"
    return f"{least_told}; most is {steep} with {scientific(most)}."


def _points(results: dict[str, Any]) -> list[str]:
    images = counted(results["data"]["images"], "image")
    said = [f"The Hessian is that of the mean loss of just these {images}, in eval mode."]
    lost = [run["name"] for run in results["runs"] if not all(e["found"] for e in run.get("eigenvalues", []))]
    if lost:
        said.append(f"Not all eigenvalues of {', '.join(lost)} came within the tolerance: give more --steps.")
    bent = [r["name"] for r in results["runs"] if r.get("lowest", 0) < -0.02 * r.get("highest", 0)]
    if bent:
        said.append(f"The loss of {', '.join(bent)} also bends downwards: the weights are no minimum of it.")
    return said


def _eigenvalues(runs: list[dict[str, Any]], config: dict[str, Any]) -> Section:
    names = [run["name"] for run in runs]
    points = [[(float(i), e["value"]) for i, e in enumerate(run["eigenvalues"], 1)] for run in runs]
    chart = line_chart("Largest eigenvalues", lines(names, points), "rank", "eigenvalue", integers=True)
    columns = [
        "run",
        *(f"λ{i + 1}" for i in range(len(runs[0]["eigenvalues"]))),
        "products",
        "gradient",
        "loss",
        "accuracy, %",
    ]
    rows = [
        [
            run["name"],
            *(scientific(e["value"]) + ("" if e["found"] else "*") for e in run["eigenvalues"]),
            str(run["products"]),
            scientific(run["gradient"]),
            number(run["loss"], 4),
            percent(run["accuracy"], 2),
        ]
        for run in runs
    ]
    solver = "by Lanczos" if config["solver"] == "lanczos" else "in magnitude, by power iteration with deflation"
    caption = (
        f"Largest eigenvalues {solver}, products with the Hessian that took, and the gradient’s norm at the weights."
    )
    notes = ["An asterisk: the residual is above the tolerance."] if any("*" in c for row in rows for c in row) else []
    return Section("eigenvalues", "Largest eigenvalues", (), [chart], [Table(caption, columns, rows)], notes)


def _density(runs: list[dict[str, Any]], config: dict[str, Any]) -> Section:
    columns = ["run", "trace", "± deviation", "‖H‖, Frobenius", "lowest", "highest", "mass below 0, %"]
    rows = [
        [
            run["name"],
            *(scientific(run[k]) for k in ("trace", "trace_std", "frobenius", "lowest", "highest")),
            percent(run["negative"], 1),
        ]
        for run in runs
    ]
    probes = counted(config["probes"], "random probe")
    caption = f"From {probes} with {config['probe_steps']} steps of Lanczos each; the deviation is that between probes."
    text = (
        "How the eigenvalues are spread, by stochastic Lanczos quadrature: nearly all lie at 0; what lies far to the "
        "right are the few directions in which the loss is steep. The height is logarithmic."
    )
    return Section("density", "The whole spectrum", [text], _spectra(runs), [Table(caption, columns, rows)])


def _spectra(runs: list[dict[str, Any]]) -> list[Chart]:
    """One chart for every run, on the same axes: lines on top of each other hide one another."""
    top = max(max(run["density"]["value"]) for run in runs)
    floor = math.log10(top * _FLOOR)
    looks, made = series([run["name"] for run in runs]), []
    for run in runs:
        found = run["density"]
        points = [(x, max(floor, math.log10(max(v, 1e-300)))) for x, v in zip(found["at"], found["value"], strict=True)]
        drawn = Series(run["name"], points, **looks[run["name"]], marked=False)
        made.append(line_chart(run["name"], [drawn], "eigenvalue", "log₁₀ density", y_span=(floor, math.log10(top))))
    return made
