"""What the rows of a comparison say together: the differences between arms pooled over cells, whole and per class.

Pure functions on plain data, as in `compare_table`. A single row is one noisy test among many; the mean over all rows,
taken seed by seed, is one test, and much sharper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from .compare_plan import Arm, Cell, CompareConfig, Run, cells, run_of
from .compare_table import DIFFERENCES
from .statistics import paired

Outcomes = dict[Run, dict[str, Any]]
_FIELDS = ("methods", "strengths", "windows", "estimators", "arms", "seeds", "quantile")  # that decide which runs exist


def overall(config: CompareConfig, results: Outcomes, measure: str = "last_accuracy") -> dict[str, Any]:
    """Mean of each difference between two arms over all cells, by seed, with its interval over the seeds.

    Beside the arms' differences also those of plain and guarded to the baseline, training without the method. Only
    seeds whose runs are all there count, so that every seed averages the same cells. Cells in which the two arms are
    the same runs (a prior's guard and control) are left out; a difference without cells or seeds is None.
    """
    pairs: list[tuple[Arm, Arm]] = [*DIFFERENCES, ("plain", "baseline"), ("guarded", "baseline")]
    return _differences(config, cells(config), results, lambda outcome: outcome.get(measure), pairs)


def class_changes(config: CompareConfig, results: Outcomes, classes: list[str]) -> list[dict[str, Any]]:
    """For each method and class the change of its accuracy between arms, pooled over the method's cells as `overall`.

    Empty where no run recorded accuracies per class.
    """
    found = []
    for method in config.methods:
        own = [cell for cell in cells(config) if cell.method == method]
        rows = []
        for i, name in enumerate(classes):
            changes = _differences(config, own, results, lambda outcome, i=i: _of_class(outcome, i))
            rows.append({"class": name, "differences": changes})
        if any(interval for row in rows for interval in row["differences"].values()):
            found.append({"method": method, "classes": rows})
    return found


def restored(report: dict[str, Any]) -> tuple[CompareConfig, Outcomes]:
    """The configuration (as far as it decides which runs there are) and the outcomes that a results.json lists."""
    given: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in report["config"].items() if k in _FIELDS
    }
    results = {}
    for entry in report["runs"]:
        options = tuple((name, value) for name, value in entry["run"]["options"])
        results[Run(**entry["run"] | {"options": options})] = {
            k: v for k, v in entry.items() if k not in ("key", "run")
        }
    return CompareConfig(**given), results


def completed(report: dict[str, Any]) -> dict[str, Any]:
    """A results.json with what older versions did not write yet: `overall` and `class_changes`, from its runs."""
    if "overall" in report:
        return report
    config, results = restored(report)
    changes = class_changes(config, results, report["data"]["classes"])
    return report | {"overall": overall(config, results), "class_changes": changes}


def listed(results: Outcomes, keys: dict[Run, str]) -> list[dict[str, Any]]:
    """What `restored` reads: every run with its key and outcome."""
    return [{"key": keys[run], "run": asdict(run), **outcome} for run, outcome in results.items()]


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
    arms: set[str] = {*config.arms, "baseline"}
    return {f"{a}-{b}": _pooled(config, own, results, a, b, value) for a, b in pairs if a in arms and b in arms}


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
    apart = [cell for cell in own if _run(config, cell, first, 0) != _run(config, cell, second, 0)]
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
