"""From single runs to the table of a comparison: pure functions on plain data, so that the table can be made again.

Accuracies are shares in [0, 1] in the data and per cent in the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..catalogue import find, methods
from . import compare_words as words
from .compare_plan import Arm, Cell, CompareConfig, Run, arms_of, beside_centre, cells, run_of
from .statistics import paired, summarise

DIFFERENCES: tuple[tuple[Arm, Arm], ...] = (
    ("guarded", "plain"), ("guarded", "control"), ("guarded", "centre"), ("guarded", "smoothing"), ("control", "plain"),
)  # fmt: skip
Arms = dict[Arm, dict[int, dict[str, Any]]]
Scores = dict[Arm, dict[int, float]]


def table(
    config: CompareConfig,
    results: dict[Run, dict[str, Any]],
    touched: dict[tuple[Cell, Arm], dict[str, float | None]],
    measure: str = "last_accuracy",
    doubts: Mapping[Cell, float] | None = None,
) -> list[dict]:
    """One row per cell: mean ± std of each arm over its finished seeds, and the paired differences between arms.

    results: what each finished run recorded: the measures and ``validation_accuracy``, shares in [0, 1].
    touched: ``area_touched`` and ``importance_touched`` of every arm of every cell.
    doubts: of cells with a smoothing arm the mean doubt, the share of every label that it spreads evenly.
    Cells without any finished run are left out.
    """
    rows, without = [], _without(config, results, measure)
    for cell in cells(config):
        arms: Arms = {arm: _by_seed(config, cell, arm, results) for arm in arms_of(config, cell)}
        if not any(arms.values()):
            continue
        scores: Scores = {arm: {s: r[measure] for s, r in runs.items()} for arm, runs in arms.items()}
        row: dict[str, Any] = {
            "method": cell.method,
            "kind": find(cell.method, methods()).kind,
            **{k: v for k, v in asdict(cell).items() if k != "method"},
            "arms": {arm: summarise(list(v.values())) for arm, v in scores.items() if v},
            "differences": _differences(config, cell, scores | _centre(config, cell, results, measure)),
        }
        if list(arms) == ["plain"]:  # nothing else to set it against
            row["differences"]["plain-baseline"] = paired(scores["plain"], without)
        if doubts and cell in doubts:
            row["doubt"] = doubts[cell]
        row["validation_accuracy"] = {
            arm: _mean(r["validation_accuracy"] for r in runs.values()) for arm, runs in arms.items()
        }
        for name in ("area_touched", "importance_touched"):
            row[name] = {arm: touched[cell, arm][name] for arm in arms}
        rows.append(row)
    return rows


def baseline(config: CompareConfig, results: dict[Run, dict[str, Any]], measure: str = "last_accuracy") -> dict | None:
    """Mean ± std of the runs with crop and flip alone; None before the first is finished."""
    values = list(_without(config, results, measure).values())
    return dict(summarise(values)) if values else None


def _without(config: CompareConfig, results: dict[Run, dict[str, Any]], measure: str) -> dict[int, float]:
    return {s: results[run][measure] for s in range(config.seeds) if (run := Run("baseline", s)) in results}


def best_strengths(config: CompareConfig, results: dict[Run, dict[str, Any]], measure: str = "last_accuracy") -> list:
    """Each arm at its own best strength, chosen by mean validation accuracy and never by the test set.

    A guard lets one augment harder, so plain and guarded are best at different strengths. One row for all cells that
    differ in strength alone; empty where no validation split was held out, or a strength has no finished run.
    """
    groups: dict[Cell, list[Cell]] = {}
    for cell in cells(config):
        groups.setdefault(replace(cell, strength=None), []).append(cell)
    rows = []
    for of, group in groups.items():
        chosen: dict[Arm, Any] = {arm: _best(config, group, arm, results, measure) for arm in arms_of(config, of)}
        if len(group) < 2 or not all(chosen.values()):
            continue
        scores: Scores = {arm: c["scores"] for arm, c in chosen.items()}
        rows.append(
            {
                **{k: v for k, v in asdict(of).items() if k != "strength"},
                "arms": {
                    arm: {"strength": chosen[arm]["strength"], **summarise(list(own.values()))}
                    for arm, own in scores.items()
                },
                "differences": _differences(config, group[0], scores),
            }
        )
    return rows


def as_text(rows: list[dict], base: dict | None, without: str = "", notes: Sequence[str] = ()) -> str:
    """The table for a terminal: per cent, one line per cell; ``*`` marks differences whose interval excludes 0.

    without: what the baseline has in the method's place; notes: further lines below the table.
    """
    found, more = words.rules(rows), words.varying(rows)
    arms, pairs = words.arms(rows), words.differences(rows)
    columns = [("method", 15), ("strength", 8), ("window", 8), ("estimator", 10)]
    columns += [(name, {"shape": 10, "quantile": 4}.get(name, 7)) for name in more]
    width = {name: max(least, *(len(words.value(row, name)) + 1 for row in rows), 0) for name, least in columns}
    head = _columns({n: "maps" if n == "estimator" else words.heading(n) for n in width}, width)
    called = {name: words.arm(name, found) for name in arms}
    apart = {name: words.difference(name, found) for name in pairs}
    head += "".join(f"{text:>{_wide(text, 14)}}" for text in called.values())
    head += "".join(f"{text:>{_wide(text, 24)}}" for text in apart.values())
    head += f"{'importance / area touched':>34}"
    lines = [head, "-" * len(head)]
    for row in rows:
        line = _columns({name: words.value(row, name) for name in width}, width)
        line += "".join(f"{percent(row['arms'].get(arm)):>{_wide(text, 14)}}" for arm, text in called.items())
        line += "".join(f"{difference(row['differences'].get(d)):>{_wide(text, 24)}}" for d, text in apart.items())
        lines.append(line + f"{_touched(row):>34}")
    if base:
        lines.append(f"without it ({without or words.baseline({})}): {percent(base)}, n = {base['n']}")
    lines.append(
        "test accuracy in %, mean ± standard deviation over seeds; differences paired by seed with 95 % interval, "
        "* where it excludes 0;\ntouched: p plain, g guarded"
    )
    return "\n".join([*lines, *notes])


def percent(summary: dict | None) -> str:
    """``91.2 ± 0.4``: mean and sample standard deviation in per cent."""
    if summary is None:
        return "-"
    spread = "" if summary["std"] is None else f" ± {100 * summary['std']:.1f}"
    return f"{100 * summary['mean']:.1f}{spread}"


def difference(interval: dict | None) -> str:
    """``+0.6 [-0.1, +1.3]``: mean and 95 % interval in percentage points, ``*`` where it excludes 0."""
    if interval is None:
        return "-"
    if interval["low"] is None:
        return f"{100 * interval['mean']:+.1f} (n = {interval['n']})"
    mark = " *" if interval["low"] > 0 or interval["high"] < 0 else ""
    return f"{100 * interval['mean']:+.1f} [{100 * interval['low']:+.1f}, {100 * interval['high']:+.1f}]{mark}"


def _differences(config: CompareConfig, cell: Cell, scores: Scores) -> dict[str, Any]:
    """Of the arms that there are; of two that are the same runs, as a prior's guard and control, none."""
    return {
        f"{a}-{b}": paired(scores[a], scores[b])
        for a, b in DIFFERENCES
        if a in scores and b in scores and run_of(config, cell, a, 0) != run_of(config, cell, b, 0)
    }


def _centre(config: CompareConfig, cell: Cell, results: dict[Run, dict[str, Any]], measure: str) -> Scores:
    if beside_centre(config, cell) is None:
        return {}
    return {"centre": {s: r[measure] for s, r in _by_seed(config, cell, "centre", results).items()}}


def _by_seed(config: CompareConfig, cell: Cell, arm: Arm, results: dict[Run, dict]) -> dict[int, dict]:
    runs = {seed: run_of(config, cell, arm, seed) for seed in range(config.seeds)}
    return {seed: results[run] for seed, run in runs.items() if run in results}


def _best(config: CompareConfig, group: list[Cell], arm: Arm, results: dict[Run, dict], measure: str) -> dict | None:
    candidates = []
    for cell in group:
        runs = _by_seed(config, cell, arm, results)
        validation = _mean(r["validation_accuracy"] for r in runs.values())
        if validation is None:
            return None
        candidates.append((validation, cell.strength, {s: r[measure] for s, r in runs.items()}))
    _, strength, scores = max(candidates, key=lambda c: c[0])
    return {"strength": strength, "scores": scores}


def _mean(values: Iterable[float | None]) -> float | None:
    given = [v for v in values if v is not None]
    return sum(given) / len(given) if given else None


def _columns(texts: Mapping[str, str], width: Mapping[str, int]) -> str:
    """The columns that name a row; the strength stands right, before two blanks."""
    return "".join(
        f"{text:>{width[name]}}  " if name == "strength" else f"{text:<{width[name]}}" for name, text in texts.items()
    )


def _wide(heading: str, least: int) -> int:
    """Characters of a column: room for the heading and two blanks before it."""
    return max(least, len(heading) + 2)


def _touched(row: dict) -> str:
    parts = []
    for arm in ("plain", "guarded") if words.of(row, "rule") == "guard" else ("plain",):
        importance, area = row["importance_touched"].get(arm), row["area_touched"].get(arm)
        if importance is not None and area is not None:
            parts.append(f"{arm[0]} {100 * importance:.0f}/{100 * area:.0f} %")
    return "  ".join(parts) or "-"
