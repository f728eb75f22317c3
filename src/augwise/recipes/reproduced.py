"""From finished runs to a table beside the paper's: means, deviations, paired gains, what held of the paper's claim."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..analysis.statistics import Interval, holm, p_value, paired, summarise
from .published import Table
from .recipe import Place, key_of

if TYPE_CHECKING:
    from .reproduce import Plan


_SHARES = ("accuracy", "map", "precision", "auc", "success_rate", "pixel_share", "overhead", "aupr", "share")
_ENDS = (" asr", " accuracy", " evidence", " area", " covers", " kept")
"""How shares are called of which a job has several."""


def gathered(plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what results say, what times say) of all finished runs of a plan's places, asked for in this call or not."""
    values: dict[Place, dict[int, float]] = {}
    curves: dict[Place, list[list[float]]] = {}
    seconds: dict[str, float] = {}
    environments: dict[str, dict[str, Any]] = {}
    jobs: dict[str, dict[str, Any]] = {}
    states = {"done": 0, "running": 0, "left": 0}
    counted: set[str] = set()
    for place, job in plan.places.items():
        key = key_of(job)
        jobs[key] = json.loads(json.dumps(job.identity(), default=str))
        name = plan.recipe.measured(place)
        for seed in range(_most(plan)):
            unit = plan.unit(job, seed)
            summary = unit.summary
            if str(unit.folder) not in counted and (summary is not None or seed < plan.seeds):
                counted.add(str(unit.folder))
                states["done" if summary is not None else unit.state] += 1
            if summary is None or summary["measured"].get(name) is None:
                continue
            values.setdefault(place, {})[seed] = summary["measured"][name]
            curves.setdefault(place, []).append(summary["curve"])
            seconds[f"{key}/s{seed}"] = summary["seconds"]
            text = json.dumps(summary["environment"], sort_keys=True)
            environments[text] = summary["environment"]
    tables = [_table(plan, table, values) for table in plan.recipe.published()]
    found = {
        **states,
        "tables": tables,
        "pairs": _pairs(plan, values),
        "curves": {" | ".join(place): _mean_curve(given) for place, given in curves.items() if _same_length(given)},
        "jobs": jobs,
        "environments": [environments[text] for text in sorted(environments)],
    }
    return found, {"seconds": seconds, "total": sum(seconds.values())}


def pictured(plan: Plan) -> list[dict[str, Any]]:
    """Pictures that a plan's jobs left with their first seed, in the order of its places; the same job's once."""
    from ..report.gallery import read_gallery

    found: list[dict[str, Any]] = []
    for job in {key_of(job): job for job in plan.places.values()}.values():
        unit = plan.unit(job, 0)
        if unit.summary is not None:
            found += read_gallery(unit.folder)["groups"]
    return found


def printed(table: Table, value: float, name: str) -> float:
    """A measured number in the unit of the paper's table: shares in per cent, errors where it prints errors."""
    if name in _SHARES or name.endswith(_ENDS):
        return 100 * (1 - value) if table.is_error and name == "accuracy" else 100 * value
    return value


def _most(plan: Plan) -> int:
    """Seeds that may be there from earlier calls, too."""
    folders = {plan.unit(job, 0).folder.parent for job in plan.places.values()}
    seeds = [int(p.name[1:]) for f in folders if f.is_dir() for p in f.iterdir() if p.name[1:].isdigit()]
    return max([plan.seeds, *(seed + 1 for seed in seeds)])


def _table(plan: Plan, table: Table, values: Mapping[Place, Mapping[int, float]]) -> dict[str, Any]:
    cells: dict[str, dict[str, Any]] = {}
    for row in plan.recipe.rows(table):
        for column in plan.recipe.columns(table):
            place, theirs = Place(table.id, row, column), table.value(row, column)
            own = values.get(place, {})
            if not own and theirs is None:
                continue
            name = plan.recipe.measured(place)
            in_unit = {seed: printed(table, value, name) for seed, value in sorted(own.items())}
            summary = summarise(list(in_unit.values())) if in_unit else {"n": 0, "mean": None, "std": None}
            cells.setdefault(row, {})[column] = {
                **summary,
                "seeds": {str(seed): value for seed, value in in_unit.items()},
                "published": None if theirs is None else theirs.mean,
                "published_std": None if theirs is None else theirs.std,
                "job": key_of(plan.places[place]) if place in plan.places else None,
            }
    return {
        "id": table.id,
        "title": table.title,
        "metric": table.metric,
        "better": table.better,
        "rows": plan.recipe.rows(table),
        "columns": plan.recipe.columns(table),
        "cells": cells,
        "note": table.note,
    }


def _pairs(plan: Plan, values: Mapping[Place, Mapping[int, float]]) -> list[dict[str, Any]]:
    """Gains of places over what they are compared with, towards better, in the table's unit: points of per cent, or
    what it counts."""
    found = []
    for table in plan.recipe.published():
        if plan.recipe.drawn is not None and table.id == plan.recipe.drawn[0]:
            continue  # a cost is drawn, not judged
        sign = 1 if table.better == "higher" else -1
        for row in plan.recipe.rows(table):
            for column in plan.recipe.columns(table):
                other = plan.recipe.against(row, column)
                if other is None:
                    continue
                place, base = Place(table.id, row, column), Place(table.id, *other)
                name = plan.recipe.measured(place)
                ours, theirs = (
                    {seed: sign * printed(table, v, name) for seed, v in values.get(p, {}).items()}
                    for p in (place, base)
                )
                gain = paired(ours, theirs)
                if gain is None:
                    continue
                a, b = table.value(row, column), table.value(*other)
                found.append(
                    {
                        "table": table.id,
                        "row": row,
                        "column": column,
                        "what": _called(row, column) + _which(plan, table),
                        "against": _called(*other, beside=(row, column)),
                        "unit": "points" if "%" in table.metric else table.metric,
                        "gain": gain,
                        "published": None if a is None or b is None else sign * (a.mean - b.mean),
                        "p": p_value(gain),
                    }
                )
    counted = [pair for pair in found if pair["p"] is not None]
    for pair, p in zip(counted, holm([pair["p"] for pair in counted]), strict=True):
        pair["p"] = p
    for pair in found:
        pair["verdict"] = verdict(pair["gain"], pair["published"])
    return found


def verdict(gain: Interval, published: float | None) -> str:
    """What an interval says of the paper's gain, before any correction."""
    low, high = gain["low"], gain["high"]
    if low is None or high is None:
        return "too few seeds to say"
    found = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
    if published is None:
        return found
    if found == "no difference shown":
        return f"{found}; the paper’s gain lies {'inside' if low <= published <= high else 'outside'} the interval"
    agrees = (published > 0) == (found == "better")
    return f"{found}, {'as' if agrees else 'unlike'} the paper"


def _called(row: str, column: str, beside: tuple[str, str] | None = None) -> str:
    """A place in words; beside another that shares its row or column, by the other alone."""
    if beside is not None and beside[1] == column:
        return row
    if beside is not None and beside[0] == row:
        return column
    return f"{row}, {column}"


def _which(plan: Plan, table: Table) -> str:
    """Which of a recipe's tables, where it has several: `` (cifar-100)`` of ``ipf-rda/table-1-cifar-100``."""
    if len(plan.recipe.tables) < 2:
        return ""
    return f" ({table.id.removeprefix(plan.recipe.name).strip('-') or table.id.rpartition('/')[2]})"


def _same_length(curves: list[list[float]]) -> bool:
    return len({len(curve) for curve in curves}) == 1 and len(curves[0]) > 1


def _mean_curve(curves: list[list[float]]) -> list[float]:
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]
