"""The page of noise on the weights: loss and accuracy over its strength."""

from __future__ import annotations

from typing import Any

from .analyse_page import Section, Table, analysis_page, scientific, series
from .charts import Chart, Series, line_chart
from .page import Page
from .text import counted, number, percent


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of noise."""
    runs, sigmas, config = results["runs"], results["sigmas"], results["config"]
    charts = [
        _chart(runs, "loss", "Loss under noise", "loss, nats", 1),
        _chart(runs, "accuracy", "Accuracy under noise", "accuracy, %", 100),
    ]
    draws = counted(config["draws"], "draw")
    text = (
        f"Means over {draws} of the noise, the same for all runs of one architecture; bars reach from the smallest to "
        "the largest."
    )
    sections = [Section("curves", "Over the strength of the noise", [text], charts), _numbers(runs, sigmas)]
    return analysis_page(results, _headline(runs, sigmas), _points(config), sections)


def _headline(runs: list[dict[str, Any]], sigmas: list[float]) -> str:
    """At the noise under which the runs differ most."""
    some = [i for i, sigma in enumerate(sigmas) if sigma] or [0]
    at = max(some, key=lambda i: _spread(runs, i)) if len(runs) > 1 else some[-1]
    known = sorted(((run["points"][at]["accuracy"]["mean"], run["name"]) for run in runs), reverse=True)
    told = ", ".join(f"{name} {percent(accuracy)} %" for accuracy, name in known)
    return f"With noise of {sigmas[at]:g} on the weights, this much is still right: {told}."


def _spread(runs: list[dict[str, Any]], i: int) -> float:
    found = [run["points"][i]["accuracy"]["mean"] for run in runs]
    return max(found) - min(found)


def _points(config: dict[str, Any]) -> list[str]:
    if config["scale"] == "filter":
        return ["The noise of each filter is in units of the filter’s own norm; biases and normalisations have none."]
    return [
        "The noise is the same for every weight, large or small: a network with larger weights stands more of it. See "
        "also --scale filter, which takes the scale out."
    ]


def _chart(runs: list[dict[str, Any]], what: str, title: str, unit: str, scale: float) -> Chart:
    looks, drawn = series([run["name"] for run in runs]), []
    for run in runs:
        known = [p for p in run["points"] if p[what]["mean"] is not None]
        points = [(p["sigma"], scale * p[what]["mean"]) for p in known]
        bars = [(scale * p[what]["low"], scale * p[what]["high"]) for p in known]
        drawn.append(Series(run["name"], points, **looks[run["name"]], bars=bars))
    return line_chart(title, drawn, "standard deviation of the noise", unit)


def _numbers(runs: list[dict[str, Any]], sigmas: list[float]) -> Section:
    tables = []
    for what, caption in (("accuracy", "Accuracy in %"), ("loss", "Loss in nats")):
        rows = [[run["name"], *(_cell(p[what], what) for p in run["points"])] for run in runs]
        heads = ["run", *(f"σ = {s:g}" for s in sigmas)]
        tables.append(Table(f"{caption}: mean ± deviation over the draws.", heads, rows))
    return Section("numbers", "In numbers", (), (), tables)


def _cell(found: dict[str, Any], what: str) -> str:
    if found["mean"] is None:
        return "–"
    say = percent if what == "accuracy" else scientific if found["mean"] >= 100 else lambda v: number(v, 3)
    return say(found["mean"]) + (f" ± {say(found['std'])}" if found["low"] < found["high"] else "")
