"""The page of a comparison: table, curves, maps and a gallery of what each arm does. Writes that one file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..analysis.compare_table import difference, percent
from .figures import overlay, png, strength_curves, training_curves
from .page import Facts, settings_as_facts, share, short, write_page

if TYPE_CHECKING:
    from ..analysis.gallery import Example


_SHOWN = ("guarded-plain", "guarded-control")  # the differences that the table has a column for


def write_comparison(path: Path, report: dict[str, Any], galleries: dict[str, list[Example]]) -> None:
    """Write ``report.html`` for what `compare` returned.

    galleries: pictures by heading; shares under them are of the image's own importance and of the area.
    """
    rows = [row | {"n": _runs(row)} for row in report["table"]]
    write_page(
        path,
        "compare",
        title=report["title"],
        version=report["augwise"],
        subtitle=_subtitle(report),
        lead=_lead(report),
        rows=rows,
        comparisons=sum(row["differences"].get(name) is not None for row in rows for name in _SHOWN),
        baseline=report["baseline"],
        best=report["best"],
        base=_base(report["base"]),
        charts=_charts(report),
        estimators=[_estimator(name, e) for name, e in report["estimators"].items()],
        galleries=[{"title": t, "examples": [_example(e) for e in es]} for t, es in galleries.items()],
        facts=_facts(report),
        percent=percent,
        difference=difference,
    )


def _runs(row: dict[str, Any]) -> str:
    """Finished seeds of a row: ``5``, or ``3-4`` while its arms have not come equally far."""
    counts = sorted({arm["n"] for arm in row["arms"].values()})
    return "-".join(map(str, counts[:1] + counts[1:][-1:]))


def _subtitle(report: dict[str, Any]) -> str:
    data, done = report["data"], f"{report['done']} of {report['planned']} runs"
    return f"{data['name']}, {data['train']} training and {data['test']} test images · {done}"


def _lead(report: dict[str, Any]) -> str:
    if report["done"] < report["planned"]:
        return f"Unfinished: {report['done']} of {report['planned']} runs are in. Start it again to go on."
    return (
        "Plain is the method as published; guarded consults the image's own importance map; control is the same guard "
        "with another image's map. What the control also gains over plain is not evidence-keeping."
    )


def _base(base: dict[str, Any]) -> str:
    return f"{base['model']}, {base['epochs']} epochs, test accuracy {100 * base['accuracy']:.1f} %."


def _estimator(name: str, summary: dict[str, Any]) -> dict[str, str]:
    settings = {k: v for k, v in summary["method"].items() if k != "name"}
    points, success = summary.get("mean_key_points"), summary.get("success_rate")
    return {
        "name": name,
        "rows": str(summary["done"]),
        "success": "–" if success is None else f"{100 * success:.1f} %",
        "points": "–" if points is None else f"{points:.0f}",
        "settings": ", ".join(f"{k}={short(v)}" for k, v in settings.items()),
    }


def _charts(report: dict[str, Any]) -> list[dict[str, str]]:
    charts, groups = [], {}
    for row in report["table"]:
        groups.setdefault((row["method"], row["window"], row["estimator"]), []).append(row)
    for (method, window, estimator), rows in groups.items():
        if len(rows) > 1:
            label = f"{method}, {window} windows, {estimator} maps: accuracy over strength, mean ± standard deviation"
            charts.append({"label": label, "svg": strength_curves(rows, report["baseline"], "strength")})
    for heading, curves in report["curves"].items():
        first = report["config"]["train"]["epochs"] - max(map(len, curves.values())) + 1
        charts.append({"label": f"{heading}: mean accuracy over the epochs", "svg": training_curves(curves, first)})
    return charts


def _example(example: Example) -> dict[str, Any]:
    scale = max(1, math.ceil(96 / example.image.shape[0]))
    return {
        "label": example.label,
        "image": png(example.image, scale),
        "map": png(overlay(example.image, example.importance), scale),
        "arms": [
            {"name": arm, "image": png(picture, scale), "lost": f"{share(importance)} · {share(area)}"}
            for arm, (picture, area, importance) in example.arms.items()
        ],
    }


def _facts(report: dict[str, Any]) -> Facts:
    config = dict(report["config"])
    train = config.pop("train")
    facts = [("command", report["command"])] if report.get("command") else []
    facts += [(f"comparison: {k}", short(v)) for k, v in config.items()]
    return facts + settings_as_facts(train, "training: ") + [(k, short(v)) for k, v in report["environment"].items()]
