"""The page of a comparison: what it found in words, the differences, and all that stands behind them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..analysis.compare_pooled import completed
from ..analysis.statistics import holm, p_value
from ..analysis.verdict import LEVEL, SHOWN, corrected, verdict
from .charts import Chart, Estimate, Series, extent, forest, line_chart
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, percent, short

ARMS = ("plain", "guarded", "control")
_NAMES = {name: name.replace("-", " − ") for name in SHOWN}
_MOST = 20  # classes drawn; of more, the ten that lost and the ten that gained most
# Settings that say where and how fast, or that no reader of a comparison asks for.
_MACHINE = {"out", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds", "num_workers", "device", "threads"}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what `augwise.compare` returned (also by an older version: sections without data are left out)."""
    report = completed(results)
    rows = _rows(report)
    return Page(
        "compare",
        title=report["title"],
        version=report["augwise"],
        subtitle=_subtitle(report),
        facts=_facts(report),
        settings=_settings(report["config"]),
        words={
            "verdict": verdict(report),
            "means": _means(report),
            "rows": rows,
            "grouped": len({row["name"] for row in rows}) < len(rows),
            "arms": [arm for arm in ARMS if any(arm in row["arms"] for row in rows)],
            "shown": [(name, _NAMES[name]) for name in SHOWN if any(row["tests"].get(name) for row in rows)],
            "tests": sum(t is not None for row in rows for t in row["adjusted"].values()),
            "forests": _forests(rows),
            "baseline": report["baseline"],
            "best": report["best"],
            "charts": _charts(report),
            "class_changes": [_of_classes(entry) for entry in report.get("class_changes") or []],
            "base": _base(report["base"]),
            "estimators": [_estimator(name, e) for name, e in report["estimators"].items()],
            "groups": gallery["groups"],
            "spread": spread,
        },
    )


def spread(summary: dict[str, Any] | None) -> str:
    """``91.2 ± 0.4``: mean and sample standard deviation in per cent; a dash where there is nothing."""
    if summary is None:
        return "–"
    return percent(summary["mean"]) + ("" if summary["std"] is None else f" ± {100 * summary['std']:.1f}")


def p_text(p: float | None) -> str:
    """A p value as text: two digits, ``<0.001`` below that."""
    return "–" if p is None else "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The table's rows with what the page says beside the numbers."""
    adjusted = {(t.row, t.name): t.adjusted for t in corrected(report["table"])}
    rows = []
    for i, row in enumerate(report["table"]):
        counts = sorted({arm["n"] for arm in row["arms"].values()})
        rows.append(
            row
            | {
                "n": "–".join(map(str, counts[:1] + counts[1:][-1:])),
                "name": f"{row['method']} {row['strength']:g}",
                "where": ", ".join(filter(None, (row["window"], row["estimator"]))),
                "tests": {name: row["differences"].get(name) for name in SHOWN},
                "adjusted": {name: adjusted.get((i, name)) for name in SHOWN},
                "p": {name: p_text(adjusted.get((i, name))) for name in SHOWN},
                "sure": {name: _outside(row["differences"].get(name)) for name in SHOWN},
            }
        )
    return rows


def _outside(interval: dict[str, Any] | None) -> bool:
    return interval is not None and interval["low"] is not None and (interval["low"] > 0 or interval["high"] < 0)


def _means(report: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(arm, accuracy, note, class) of the baseline and of every arm over all rows."""
    found = []
    if report["baseline"]:
        found.append(("without the method", spread(report["baseline"]) + " %", "crop and flip alone", "baseline"))
    for arm in ARMS:
        means = [row["arms"][arm]["mean"] for row in report["table"] if arm in row["arms"]]
        if means:
            rows = "1 row" if len(means) == 1 else f"mean of {len(means)} rows"
            found.append((arm, f"{percent(sum(means) / len(means))} %", rows, arm))
    return found


def _forests(rows: list[dict[str, Any]]) -> list[Chart]:
    """One plot for each difference, on the same axis; rows grouped so that what varies within a group is its label."""
    strengths = len({row["strength"] for row in rows}) > 1
    heading: Callable[[dict[str, Any]], str] = lambda row: (  # noqa: E731
        f"{row['method']} · {row['window']} · {row['estimator']}" if strengths else f"{row['method']} · {row['window']}"
    )
    label: Callable[[dict[str, Any]], str] = lambda row: (  # noqa: E731
        f"{row['strength']:g}" if strengths else f"{row['estimator']} {row['strength']:g}"
    )
    plots: dict[str, dict[str, list[Estimate]]] = {}
    for name in SHOWN:
        for row in rows:
            interval = row["tests"][name]
            if interval is not None:
                sure = (row["adjusted"][name] or 1) < LEVEL
                style = "guarded" if name == "guarded-plain" else "control"
                estimate = _in_points(label(row), interval, style, sure)
                plots.setdefault(name, {}).setdefault(heading(row), []).append(estimate)
    every = [row for groups in plots.values() for members in groups.values() for row in members]
    span = extent(every) if every else None
    return [
        forest(_NAMES[name], list(groups.items()), "percentage points of test accuracy", span=span)
        for name, groups in plots.items()
    ]


def _in_points(label: str, interval: dict[str, Any], style: str, sure: bool) -> Estimate:
    low, high = (None if interval[side] is None else 100 * interval[side] for side in ("low", "high"))
    return Estimate(label, 100 * interval["mean"], low, high, style, sure)


def _charts(report: dict[str, Any]) -> list[Chart]:
    """Accuracy over strength, then accuracy and loss over the epochs."""
    charts: list[Chart] = []
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in report["table"]:
        groups.setdefault((row["method"], row["window"], row["estimator"]), []).append(row)
    accuracies = [
        arm["mean"] + side * (arm["std"] or 0)
        for row in report["table"]
        for arm in row["arms"].values()
        for side in (-1, 1)
    ]
    accuracies += [report["baseline"]["mean"]] if report["baseline"] else []
    span = (100 * min(accuracies, default=0), 100 * max(accuracies, default=1))
    for (method, window, estimator), rows in groups.items():
        if len(rows) > 1:
            title = f"{method}, {window} windows, {estimator} maps"
            charts.append(_over_strength(title, rows, report["baseline"], span))
    epochs = report["config"]["train"]["epochs"]
    for heading, curves in report["curves"].items():
        charts.append(_over_epochs(f"{heading}: test accuracy while training", "test accuracy, %", curves, epochs, 100))
    for heading, curves in (report.get("loss_curves") or {}).items():
        charts.append(_over_epochs(f"{heading}: training loss", "training loss", curves, epochs, 1))
    return charts


def _over_strength(
    title: str, rows: list[dict[str, Any]], baseline: dict[str, Any] | None, span: tuple[float, float]
) -> Chart:
    rows = sorted(rows, key=lambda row: row["strength"])
    series = []
    for arm in ARMS:
        given = [(row["strength"], row["arms"][arm]) for row in rows if arm in row["arms"]]
        if given:
            ends = [(s["mean"] - (s["std"] or 0), s["mean"] + (s["std"] or 0)) for _, s in given]
            bars = [(100 * low, 100 * high) for low, high in ends]
            series.append(Series(arm, [(x, 100 * s["mean"]) for x, s in given], arm, bars))
    strengths = [row["strength"] for row in rows]
    if baseline:
        level = [(x, 100 * baseline["mean"]) for x in (strengths[0], strengths[-1])]
        series.append(Series("without", level, "baseline", marked=False, dashed=True))
    title = f"{title}: accuracy over strength"
    return line_chart(title, series, "strength", "test accuracy, %", x_ticks=strengths, y_span=span)


def _over_epochs(title: str, label: str, curves: dict[str, list[float]], epochs: int, unit: float) -> Chart:
    series = []
    for arm, values in curves.items():
        first = epochs - len(values) + 1
        points = [(first + i, unit * v) for i, v in enumerate(values)]
        series.append(Series(arm, points, arm, marked=False, dashed=arm == "control"))
    return line_chart(title, series, "epoch", label, integers=True)


def _of_classes(entry: dict[str, Any]) -> dict[str, Any]:
    """One method's changes by class, most gained first, with Holm's correction over all of its tests."""
    cells = [(i, name) for i in range(len(entry["classes"])) for name in SHOWN]
    ps = {(i, n): p_value(entry["classes"][i]["differences"].get(n)) for i, n in cells}
    given = [at for at in cells if ps[at] is not None]
    adjusted = dict(zip(given, holm([p for at in given if (p := ps[at]) is not None]), strict=True))
    rows = [
        {
            "class": row["class"],
            "differences": {name: row["differences"].get(name) for name in SHOWN},
            "adjusted": {name: adjusted.get((i, name)) for name in SHOWN},
            "p": {name: p_text(adjusted.get((i, name))) for name in SHOWN},
            "sure": {name: _outside(row["differences"].get(name)) for name in SHOWN},
        }
        for i, row in enumerate(entry["classes"])
    ]
    rows.sort(key=lambda row: -(row["differences"]["guarded-plain"] or {"mean": 0})["mean"])
    drawn = rows if len(rows) <= _MOST else rows[: _MOST // 2] + rows[-_MOST // 2 :]
    return {
        "method": entry["method"],
        "rows": rows,
        "drawn": len(drawn) if len(drawn) < len(rows) else None,
        "tests": len(given),
        "outside": sum(sure for row in rows for sure in row["sure"].values()),
        "kept": sum(p < LEVEL for p in adjusted.values()),
        "forests": _class_forests(drawn),
    }


def _class_forests(rows: list[dict[str, Any]]) -> list[Chart]:
    plots = {}
    for name, style in zip(SHOWN, ("guarded", "control"), strict=True):
        plots[name] = [
            _in_points(row["class"], interval, style, (row["adjusted"][name] or 1) < LEVEL)
            for row in rows
            if (interval := row["differences"][name]) is not None
        ]
    span = extent([e for members in plots.values() for e in members])
    unit = "percentage points of the class’s accuracy"
    return [forest(_NAMES[name], [("", members)], unit, span=span) for name, members in plots.items() if members]


def _subtitle(report: dict[str, Any]) -> str:
    data, done, planned = report["data"], report["done"], report["planned"]
    runs = counted(planned, "run") if done >= planned else f"{done} of {counted(planned, 'run')}"
    return f"{data['name']}, {data['train']} training and {data['test']} test images · {runs}"


def _base(base: dict[str, Any]) -> str:
    return f"{base['model']}, {counted(base['epochs'], 'epoch')}, test accuracy {percent(base['accuracy'])} %."


def _estimator(name: str, summary: dict[str, Any]) -> dict[str, str]:
    settings = {k: v for k, v in summary["method"].items() if k != "name"}
    points, success = summary.get("mean_key_points"), summary.get("success_rate")
    return {
        "name": name,
        "rows": str(summary["done"]),
        "success": "–" if success is None else f"{100 * success:.1f} %",
        "points": "–" if points is None else f"{points:.0f}",
        "settings": ", ".join(f"{k} {short(v)}" for k, v in settings.items()),
    }


def _facts(report: dict[str, Any]) -> Facts:
    config, train = report["config"], report["config"]["train"]
    facts = [("command", report["command"])] if report.get("command") else []
    epochs = counted(train["epochs"], "epoch")
    facts += [
        ("data", f"{train['data']}: {report['data']['train']} training images, {report['data']['test']} test images"),
        *left_out_facts(report["data"]),
        (
            "training",
            f"{train['model']}, {epochs}, batch {train['batch_size']}, {train['optimizer']}",
        ),
        ("methods", f"{short(config['methods'])}, strengths {short(config['strengths'])}"),
        ("guard", f"quantile {config['quantile']:g}, windows {short(config['windows'])}"),
        ("seeds", f"{config['seeds']}, {report['done']} of {counted(report['planned'], 'run')} finished"),
    ]
    if report.get("seconds"):
        facts.append(("time", f"{duration(report['seconds'])} of training in all runs together"))
    return [*facts, *environment_facts(report["environment"])]


def _settings(config: dict[str, Any]) -> Facts:
    train = {k: v for k, v in config["train"].items() if k not in _MACHINE}
    own = {k: v for k, v in config.items() if k not in ("train", "jobs")}
    return settings_as_facts(own) + settings_as_facts(train, "training: ")
