"""The page of a comparison: what it found in words, the differences, and all that stands behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..analysis import compare_words as words
from ..analysis.compare_pooled import completed
from ..analysis.compare_words import SHOWN
from ..analysis.statistics import holm, p_value
from ..analysis.verdict import LEVEL, corrected, verdict
from .charts import Chart, Estimate, Series, extent, forest, line_chart
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, percent, short

_STYLES = {"guarded-plain": "guarded", "guarded-control": "control"}
_STYLES |= dict.fromkeys(("guarded-centre", "guarded-smoothing"), "smoothing")
_MOST = 20  # classes drawn; of more, the ten that lost and the ten that gained most
# Settings that say where and how fast, or that no reader of a comparison asks for.
_MACHINE = {"out", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds", "num_workers", "device", "threads"}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what `augwise.compare` returned (also by an older version: sections without data are left out)."""
    report = completed(results)
    rows = _rows(report)
    rules = words.rules(rows)
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
            "arms": words.arms(rows),
            "arm_name": lambda arm, among=rules: words.arm(arm, among),
            "rules": rules,
            "centre": any(row["tests"]["guarded-centre"] for row in rows),
            "shown": _named(words.differences(rows), rules),
            "tests": sum(t is not None for row in rows for t in row["adjusted"].values()),
            "forests": _forests(rows, rules),
            "notes": words.notes(rows, report.get("needs_map", ())),
            "without": words.baseline(report["config"]["train"]),
            "baseline": report["baseline"],
            "best": [{**row, "where": words.where(row, words.varying(rows))} for row in report["best"]],
            "charts": _charts(report, rules),
            "class_changes": [_of_classes(entry, rules) for entry in report.get("class_changes") or []],
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
    rows, dimensions = [], words.varying(report["table"])
    for i, row in enumerate(report["table"]):
        counts = sorted({arm["n"] for arm in row["arms"].values()})
        rows.append(
            row
            | {
                "n": "–".join(map(str, counts[:1] + counts[1:][-1:])),
                "name": words.method(row),
                "where": words.where(row, dimensions),
                "tests": {name: row["differences"].get(name) for name in SHOWN},
                "adjusted": {name: adjusted.get((i, name)) for name in SHOWN},
                "p": {name: p_text(adjusted.get((i, name))) for name in SHOWN},
                "sure": {name: _outside(row["differences"].get(name)) for name in SHOWN},
            }
        )
    return rows


def _outside(interval: dict[str, Any] | None) -> bool:
    return interval is not None and interval["low"] is not None and (interval["low"] > 0 or interval["high"] < 0)


def _named(names: Sequence[str], rules: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, words.difference(name, rules, " − ")) for name in names]


def _means(report: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(arm, accuracy, note, class) of the baseline and of every arm over all rows."""
    found, rows = [], report["table"]
    if report["baseline"]:
        shared = words.baseline(report["config"]["train"])
        found.append(("without the method", spread(report["baseline"]) + " %", shared, "baseline"))
    for arm in words.arms(rows):
        means = [row["arms"][arm]["mean"] for row in rows if arm in row["arms"]]
        number = "1 row" if len(means) == 1 else f"mean of {len(means)} rows"
        name = words.arm(arm, words.rules(rows))
        found.append((name, f"{percent(sum(means) / len(means))} %", number, arm))
    return found


def _forests(rows: list[dict[str, Any]], rules: Sequence[str]) -> list[Chart]:
    """One plot for each difference, on the same axis; rows grouped so that what varies within a group is its label."""
    label, heading = _lines(rows)
    plots: dict[str, dict[str, list[Estimate]]] = {}
    for name in SHOWN:
        for row in rows:
            interval = row["tests"][name]
            if interval is not None:
                sure = (row["adjusted"][name] or 1) < LEVEL
                estimate = _in_points(_said(row, label), interval, _STYLES.get(name, "plain"), sure)
                plots.setdefault(name, {}).setdefault(_said(row, heading, " · "), []).append(estimate)
    every = [row for groups in plots.values() for members in groups.values() for row in members]
    span = extent(every) if every else None
    unit = "percentage points of test accuracy"
    return [forest(title, list(plots[name].items()), unit, span=span) for name, title in _named(list(plots), rules)]


def _lines(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """What a line of a chart is labelled with, and what stands in the heading of its group.

    The label is the finest thing that varies among the rows of one method; where nothing does, the methods themselves
    are the lines of one group.
    """
    methods = {row["method"] for row in rows}
    own = [words.varying([row for row in rows if row["method"] == m], words.FINEST) for m in methods]
    vary = [name for name in words.FINEST if any(name in names for names in own)]
    if not vary:
        return ["method", "strength"], ["window", "estimator"]
    label = ["estimator", "strength"] if vary[0] == "estimator" else [vary[0]]
    rest = [name for name in (*words.DIMENSIONS, "estimator") if name in vary and name not in label]
    return label, ["method", "window", *(["strength"] if "strength" not in label else []), *rest]


def _said(row: Mapping[str, Any], names: Sequence[str], between: str = " ") -> str:
    parts = []
    for name in names:
        given = row["method"] if name == "method" else words.value(row, name)
        if given not in ("-", "own"):
            parts.append(f"τ {given}" if name == "quantile" else given)
    return between.join(parts)


def _in_points(label: str, interval: dict[str, Any], style: str, sure: bool) -> Estimate:
    low, high = (None if interval[side] is None else 100 * interval[side] for side in ("low", "high"))
    return Estimate(label, 100 * interval["mean"], low, high, style, sure)


def _charts(report: dict[str, Any], rules: Sequence[str]) -> list[Chart]:
    """Accuracy over strength and over τ, then accuracy and loss over the epochs."""
    charts: list[Chart] = []
    table = report["table"]
    accuracies = [
        arm["mean"] + side * (arm["std"] or 0) for row in table for arm in row["arms"].values() for side in (-1, 1)
    ]
    accuracies += [report["baseline"]["mean"]] if report["baseline"] else []
    span = (100 * min(accuracies, default=0), 100 * max(accuracies, default=1))
    for axis in ("strength", "quantile"):
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for row in table:
            if words.of(row, axis) is not None:
                same = [words.of(row, name) for name in ("method", *words.FINEST) if name != axis]
                groups.setdefault(tuple(same), []).append(row)
        for rows in groups.values():
            if len({row[axis] for row in rows}) > 1:
                charts.append(_over(axis, rows, table, report["baseline"], span))
    epochs = report["config"]["train"]["epochs"]
    for heading, curves in report["curves"].items():
        title = f"{heading}: test accuracy while training"
        charts.append(_over_epochs(title, "test accuracy, %", curves, epochs, 100, rules))
    for heading, curves in (report.get("loss_curves") or {}).items():
        charts.append(_over_epochs(f"{heading}: training loss", "training loss", curves, epochs, 1, rules))
    return charts


def _over(
    axis: str,
    rows: list[dict[str, Any]],
    table: list[dict[str, Any]],
    baseline: dict[str, Any] | None,
    span: tuple[float, float],
) -> Chart:
    """Accuracy of every arm over the strength or over τ; rows: those that differ in nothing else."""
    rows = sorted(rows, key=lambda row: row[axis])
    series = []
    for arm in words.arms(rows):
        given = [(row[axis], row["arms"][arm]) for row in rows if arm in row["arms"]]
        ends = [(s["mean"] - (s["std"] or 0), s["mean"] + (s["std"] or 0)) for _, s in given]
        bars = [(100 * low, 100 * high) for low, high in ends]
        points = [(x, 100 * s["mean"]) for x, s in given]
        series.append(Series(words.arm(arm, words.rules(rows)), points, arm, bars))
    values = [row[axis] for row in rows]
    if baseline:
        level = [(x, 100 * baseline["mean"]) for x in (values[0], values[-1])]
        series.append(Series("without", level, "baseline", marked=False, dashed=True))
    window, maps = (rows[0][name] for name in ("window", "estimator"))
    more = [words.value(rows[0], name) for name in words.varying(table) if name != axis]
    named = rows[0]["method"] if axis == "strength" else words.method(rows[0])
    parts = [named, f"{window} windows" if window else "", f"{maps} maps" if maps else "", *more]
    title = f"{', '.join(part for part in parts if part not in ('', '-'))}: accuracy over {words.heading(axis)}"
    return line_chart(title, series, words.heading(axis), "test accuracy, %", x_ticks=values, y_span=span)


def _over_epochs(
    title: str, label: str, curves: dict[str, list[float]], epochs: int, unit: float, rules: Sequence[str]
) -> Chart:
    series = []
    for arm, values in curves.items():
        first = epochs - len(values) + 1
        points = [(first + i, unit * v) for i, v in enumerate(values)]
        dashed = arm in ("control", "smoothing")
        series.append(Series(words.arm(arm, rules), points, arm, marked=False, dashed=dashed))
    return line_chart(title, series, "epoch", label, integers=True)


def _of_classes(entry: dict[str, Any], rules: Sequence[str]) -> dict[str, Any]:
    """One method's changes by class, most gained first, with Holm's correction over all of its tests."""
    own = [entry["rule"]] if "rule" in entry else list(rules)
    second = words.arm("guarded", own)
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
        "method": entry["method"] if len(rules) == 1 else f"{entry['method']}, {second}",
        "shown": _named([n for n in SHOWN if any(row["differences"][n] for row in rows)], own),
        "rows": rows,
        "drawn": len(drawn) if len(drawn) < len(rows) else None,
        "tests": len(given),
        "outside": sum(sure for row in rows for sure in row["sure"].values()),
        "kept": sum(p < LEVEL for p in adjusted.values()),
        "forests": _class_forests(drawn, own),
    }


def _class_forests(rows: list[dict[str, Any]], rules: Sequence[str]) -> list[Chart]:
    plots = {}
    for name, style in _STYLES.items():
        plots[name] = [
            _in_points(row["class"], interval, style, (row["adjusted"][name] or 1) < LEVEL)
            for row in rows
            if (interval := row["differences"][name]) is not None
        ]
    span = extent([e for members in plots.values() for e in members])
    unit = "percentage points of the class’s accuracy"
    named = _named([name for name, members in plots.items() if members], rules)
    return [forest(title, [("", plots[name])], unit, span=span) for name, title in named]


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
        ("methods", f"{short(config['methods'])}, strengths {short(config['strengths'] or 'as usual')}"),
        *_maps_used(config),
        ("seeds", f"{config['seeds']}, {report['done']} of {counted(report['planned'], 'run')} finished"),
    ]
    if report.get("seconds"):
        facts.append(("time", f"{duration(report['seconds'])} of training in all runs together"))
    return [*facts, *environment_facts(report["environment"])]


def _maps_used(config: dict[str, Any]) -> Facts:
    """What the maps steer or soften; an older comparison had one quantile, and guards alone."""
    facts, rules = [], config.get("rules", ["guard"])
    if "guard" in rules:
        quantiles = config.get("quantiles") or [config["quantile"]]
        windows = short(config["windows"]) if config["windows"] else "of each method’s own"
        facts.append(("guard", f"quantile {short(quantiles)}, windows {windows}"))
    if "soften" in rules:
        facts.append(("labels", f"doubt = {config['soften_strength']:g} (1 − v)^{config['soften_power']:g}"))
    if "labels" in rules:
        facts.append(("labels", f"of mixtures by {short(config['labels'])}"))
    return facts


def _settings(config: dict[str, Any]) -> Facts:
    train = {k: v for k, v in config["train"].items() if k not in _MACHINE}
    own = {k: v for k, v in config.items() if k not in ("train", "jobs")}
    return settings_as_facts(own) + settings_as_facts(train, "training: ")
