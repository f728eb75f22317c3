"""The page of a search: what it found, how it went, what each parameter did, and what the test images say."""

from __future__ import annotations

from typing import Any

from ..analysis import tune_words as words
from ..analysis.tune_trial import Trial, best_of, trained
from .charts import Chart, Estimate, Series, forest, line_chart
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, percent, short

_MACHINE = {"out", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds"}
_STYLES = {"best-own": "guarded", "best-without": "plain", "own-without": "control"}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - a search has no pictures
    """The page of what `augwise.tune` wrote."""
    data, method = results["data"], results["method"]
    trials = words.trials(results)
    best = best_of(trials)
    sizes = f"{data['train']} training, {data['validation']} validation and {data['test']} test images"
    return Page(
        "tune",
        title=f"Search: {method['name']}",
        version=results["augwise"],
        subtitle=f"{data['name']}, {sizes} · {counted(len(trained(trials)), 'setting')}",
        facts=_facts(results),
        settings=_settings(results["config"]),
        words={
            "sentence": words.headline(results),
            "points_said": words.remarks(results),
            "tiles": _tiles(results, best),
            "history": _history(results, trials),
            "slices": _slices(results, trials),
            "names": list(results["ranges"]),
            "rows": [_row(results, t) for t in [*words.ranked(results), *_without(results)]],
            "final": _final(results),
            "forest": _forest(results),
            "command": "" if best is None else f"--method {method['name']} {words.flags(best.options)}".rstrip(),
        },
    )


def _without(results: dict[str, Any]) -> list[Trial]:
    return [] if results["without"] is None else [Trial.of(results["without"])]


def _tiles(results: dict[str, Any], best: Trial | None) -> list[tuple[str, str, str]]:
    tried = words.trials(results)
    tiles = []
    if best is not None:
        tiles.append(("best, validation", f"{percent(best.accuracy)} %", f"number {words.name(best)}"))
        tiles.append(("the method’s own", f"{percent(tried[0].accuracy)} %", "validation"))
    for t in _without(results):
        tiles.append(("without the method", f"{percent(t.accuracy)} %", "validation"))
    if results["final"] is not None:
        for arm, found in results["final"]["arms"].items():
            tiles.append(
                (f"test, {words.NAMES[arm]}", f"{percent(found['test']['mean'], 2)} %", f"n = {found['test']['n']}")
            )
    return [*tiles, ("time", duration(results["seconds"]), "of all settings, before the last runs")]


def _history(results: dict[str, Any], trials: list[Trial]) -> Chart | None:
    """Accuracy of every setting in the order in which they were tried, and the best so far."""
    measured = [t for t in trials if t.accuracy is not None]
    if not measured:
        return None
    whole = [(t.number, 100 * (t.accuracy or 0)) for t in measured if t.state == "whole"]
    early = [(t.number, 100 * (t.accuracy or 0)) for t in measured if t.state == "stopped"]
    leader: list[tuple[float, float]] = []
    for x, y in whole:
        if not leader or y > leader[-1][1]:
            leader += [(x, leader[-1][1])] if leader else []
            leader.append((x, y))
    last = measured[-1].number
    leader.append((last, leader[-1][1]))
    series = [Series("settings", whole, "plain", joined=False)]
    if early:
        series.append(Series("stopped early", early, "smoothing", joined=False))
    series.append(Series("best so far", leader, "guarded", marked=False))
    for t in _without(results):
        level = 100 * (t.accuracy or 0)
        series.append(Series("without", [(0, level), (last, level)], "baseline", marked=False, dashed=True))
    return line_chart("Settings in their order", series, "number", "validation accuracy, %", integers=True)


def _slices(results: dict[str, Any], trials: list[Trial]) -> list[Chart]:
    """Accuracy over each parameter that is a number: one mark per whole setting."""
    charts, whole = [], [t for t in trials if t.state == "whole" and t.accuracy is not None]
    best = best_of(trials)
    values = [100 * (t.accuracy or 0) for t in whole]
    for name, r in results["ranges"].items():
        found = [(t, t.setting[name]) for t in whole if name in t.setting]
        if "low" not in r or not found:
            continue
        series = [
            Series(label, dots, style, joined=False)
            for label, style, dots in (
                ("settings", "plain", _dots((t, v) for t, v in found if t.number and t is not best)),
                ("the method’s own", "control", _dots((t, v) for t, v in found if not t.number)),
                ("best", "guarded", _dots((t, v) for t, v in found if t is best and t.number)),
            )
            if dots
        ]
        title = f"Validation accuracy over {name}"
        charts.append(line_chart(title, series, name, "accuracy, %", y_span=(min(values), max(values))))
    return charts


def _dots(found: Any) -> list[tuple[float, float]]:
    return sorted((float(v), 100 * t.accuracy) for t, v in found)


def _row(results: dict[str, Any], t: Trial) -> dict[str, Any]:
    return {
        "name": words.name(t),
        "best": t.number == results["best"],
        "accuracy": percent(t.accuracy),
        "each": ", ".join(percent(a) for a in t.accuracies) if len(t.accuracies) > 1 else "",
        "values": [words.value(t.setting.get(name)) for name in results["ranges"]],
        "state": words.state(t),
        "reason": t.reason if t.state in ("failed", "refused") else "",
        "time": duration(t.seconds),
    }


def _final(results: dict[str, Any]) -> dict[str, Any] | None:
    """The last runs as a table: a row per arm, and the differences."""
    final = results["final"]
    if final is None:
        return None

    def spread(found: dict[str, Any]) -> str:
        return percent(found["mean"], 2) + ("" if found["std"] is None else f" ± {100 * found['std']:.2f}")

    measures = ("test", "median_last_ten", "validation")
    arms = [(words.NAMES[arm], [spread(found[m]) for m in measures]) for arm, found in final["arms"].items()]
    pairs = [(_pair(name), interval) for name, interval in final["differences"].items()]
    return {"n": len(final["seeds"]), "arms": arms, "differences": pairs}


def _pair(name: str) -> str:
    return " − ".join(words.NAMES[part] for part in name.split("-"))


def _forest(results: dict[str, Any]) -> Chart | None:
    if results["final"] is None:
        return None
    short_names = {"best": "found", "own": "own", "without": "without"}
    rows = []
    for name, interval in results["final"]["differences"].items():
        if interval is None:
            continue
        low, high = (None if interval[side] is None else 100 * interval[side] for side in ("low", "high"))
        sure = low is not None and high is not None and (low > 0 or high < 0)
        label = " − ".join(short_names[part] for part in name.split("-"))
        rows.append(Estimate(label, 100 * interval["mean"], low, high, _STYLES[name], sure))
    title = "Differences on the test images, 95 % intervals, paired by seed"
    return forest(title, [("", rows)], "percentage points of test accuracy") if rows else None


def _facts(results: dict[str, Any]) -> Facts:
    config, data = results["config"], results["data"]
    train = config["train"]
    facts = [("command", results["command"])] if results["command"] else []
    facts += [
        (
            "data",
            f"{train['data']}: {data['train']} training, {data['validation']} validation, {data['test']} test images",
        ),
        *left_out_facts(data),
        ("method", f"{results['method']['name']}: {results['method']['summary']}"),
        *[(f"searched: {name}", _range(r)) for name, r in results["ranges"].items()],
        *[(f"fixed: {name}", short(value)) for name, value in results["fixed"].items()],
        ("chosen by", f"validation accuracy at the last epoch, mean of {counted(config['seeds'], 'seed')}"),
        ("training", f"{train['model']}, {counted(train['epochs'], 'epoch')}, batch {train['batch_size']}"),
    ]
    return [*facts, *environment_facts(results["environment"])]


def _range(r: dict[str, Any]) -> str:
    if "choices" in r:
        return ", ".join(map(str, r["choices"]))
    return f"{r['low']:g} to {r['high']:g}{', by order of magnitude' if r['log'] else ''}"


def _settings(config: dict[str, Any]) -> Facts:
    train = {k: v for k, v in config["train"].items() if k not in _MACHINE}
    own = {k: v for k, v in config.items() if k not in ("train", "jobs")}
    return settings_as_facts(own) + settings_as_facts(train, "training: ")
