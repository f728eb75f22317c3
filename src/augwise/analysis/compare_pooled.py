"""What the rows of a comparison say together: the differences between arms pooled over cells, whole and per class.

Pure functions on plain data, as in `compare_table`. A single row is one noisy test among many; the mean over all rows,
taken seed by seed, is one test, and much sharper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

from .compare_plan import Arm, Cell, CompareConfig, Run, arms_of, beside_centre, cells, run_of
from .compare_table import DIFFERENCES
from .statistics import paired

Outcomes = dict[Run, dict[str, Any]]
# The settings that decide which runs exist.
_FIELDS = ("methods", "strengths", "windows", "estimators", "arms", "seeds", "quantiles", "length", "shapes", "rules")
_FIELDS += ("soften_strength", "soften_power", "follows", "labels")


def overall(
    config: CompareConfig, results: Outcomes, measure: str = "last_accuracy", rule: str | None = None
) -> dict[str, Any]:
    """Mean of each difference between two arms over all cells, by seed, with its interval over the seeds.

    Beside the arms' differences also those of plain and guarded to the baseline, training without the method. Only
    seeds whose runs are all there count, so that every seed averages the same cells. Cells that lack an arm, or in
    which the two arms are the same runs (a prior's guard and control), are left out; a difference without cells or
    seeds is None.
    rule: of this rule's cells alone, "guard" or "soften"; None: the configuration's first.
    """
    pairs: list[tuple[Arm, Arm]] = [*DIFFERENCES, ("plain", "baseline"), ("guarded", "baseline")]
    own = [cell for cell in cells(config) if cell.rule == (rule or config.rules[0])]
    return _differences(config, own, results, lambda outcome: outcome.get(measure), pairs)


def by_rule(config: CompareConfig, results: Outcomes, measure: str = "last_accuracy") -> dict[str, dict[str, Any]]:
    """`overall` of every rule by its name: what steers and what softens are two questions, and never pooled."""
    return {rule: overall(config, results, measure, rule) for rule in config.rules}


def class_changes(config: CompareConfig, results: Outcomes, classes: list[str]) -> list[dict[str, Any]]:
    """For each method, rule and class the change of its accuracy between arms, pooled over their cells as `overall`.

    Empty where no run recorded accuracies per class.
    """
    found = []
    for method, rule in product(config.methods, config.rules):
        own = [cell for cell in cells(config) if (cell.method, cell.rule) == (method, rule)]
        rows = []
        for i, name in enumerate(classes):
            changes = _differences(config, own, results, lambda outcome, i=i: _of_class(outcome, i))
            rows.append({"class": name, "differences": changes})
        if any(interval for row in rows for interval in row["differences"].values()):
            found.append({"method": method, "rule": rule, "classes": rows})
    return found


def restored(report: dict[str, Any]) -> tuple[CompareConfig, Outcomes]:
    """The configuration (as far as it decides which runs there are) and the outcomes that a results.json lists."""
    config: dict[str, Any] = dict(report["config"])
    if "quantile" in config:  # there was one for all cells
        config["quantiles"] = (config["quantile"],)
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k in _FIELDS}
    results = {}
    for entry in report["runs"]:
        run: dict[str, Any] = dict(entry["run"])
        run["options"] = tuple((name, value) for name, value in run["options"])
        run["soften"] = tuple(run["soften"]) if run.get("soften") else None
        results[Run(**run)] = {k: v for k, v in entry.items() if k not in ("key", "run")}
    return CompareConfig(**given), results


def completed(report: dict[str, Any]) -> dict[str, Any]:
    """A results.json with what older versions did not write yet: `overall` and `class_changes`, from its runs."""
    if "overall" in report:
        return report
    config, results = restored(report)
    changes = class_changes(config, results, report["data"]["classes"])
    return report | {"overall": overall(config, results), "class_changes": changes}


def listed(results: Outcomes, keys: dict[Run, str]) -> list[dict[str, Any]]:
    """What `restored` reads: every finished run with its key and outcome, in the order of ``keys``, the plan's.

    The order in which runs end is chance where several run at once, and is not told.
    """
    return [{"key": key, "run": asdict(run), **results[run]} for run, key in keys.items() if run in results]


def _of_class(outcome: dict[str, Any], index: int) -> float | None:
    values = outcome.get("per_class") or []
    return values[index] if index < len(values) else None


def _differences(
    config: CompareConfig,
    own: list[Cell],
    results: Outcomes,
    value: Callable[[dict[str, Any]], float | None],
    pairs: Sequence[tuple[Arm, Arm]] = DIFFERENCES,
) -> dict[str, Any]:
    arms = set[str]().union(*(_arms(config, cell) for cell in own))
    return {f"{a}-{b}": _pooled(config, own, results, a, b, value) for a, b in pairs if a in arms and b in arms}


def _arms(config: CompareConfig, cell: Cell) -> set[str]:
    """All that a difference may be taken of: the cell's arms, the baseline, and one centre for all beside its map."""
    return {"baseline", *arms_of(config, cell)} | ({"centre"} if beside_centre(config, cell) else set())


def _run(config: CompareConfig, cell: Cell, arm: Arm, seed: int) -> Run:
    return Run(arm, seed) if arm == "baseline" else run_of(config, cell, arm, seed)


def _pooled(
    config: CompareConfig,
    own: list[Cell],
    results: Outcomes,
    first: Arm,
    second: Arm,
    value: Callable[[dict[str, Any]], float | None],
) -> dict[str, Any] | None:
    there = [cell for cell in own if {first, second} <= _arms(config, cell)]
    apart = [cell for cell in there if _run(config, cell, first, 0) != _run(config, cell, second, 0)]
    means: dict[Arm, dict[int, float]] = {first: {}, second: {}}
    for seed in range(config.seeds):
        for arm in (first, second):
            runs = [_run(config, cell, arm, seed) for cell in apart]
            values = [value(results[run]) if run in results else None for run in runs]
            known = [v for v in values if v is not None]
            if known and len(known) == len(apart):
                means[arm][seed] = sum(known) / len(known)
    interval = paired(means[first], means[second])
    return None if interval is None else {**interval, "cells": len(apart)}
