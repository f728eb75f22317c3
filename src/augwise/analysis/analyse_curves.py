"""``analyse curves``: how fast arms converge, where they end, and what hangs on a single number (LP-A3, Fig. 4 and 5;
Tables 1 to 3). Reads finished runs; computes no image anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..report.gallery import read_gallery, write_gallery
from ..training.results import RESULTS
from .analyse_config import AnalyseCurves
from .run_arms import Arm, Problem, read_problems, unusual
from .statistics import paired, summarise


def curves(config: AnalyseCurves, out: Path) -> dict[str, Any]:
    """Of every problem its arms: mean curve, last accuracy, gains paired by seed, epochs to the first arm's end."""
    problems = read_problems(config.on.runs)
    found: dict[str, Any] = {
        "runs": [str(folder) for folder in config.on.runs],
        "problems": [_problem(problem) for problem in problems],
    }
    if config.pictures is not None:
        found["farther"] = _farther(config.pictures)
        write_gallery(out, read_gallery(config.pictures)["groups"])
    return found


def _problem(problem: Problem) -> dict[str, Any]:
    first = problem.arms[0]
    goal = summarise(list(first.accuracy.values()))["mean"]
    return {
        "name": problem.name,
        "settings": problem.settings,
        "unusual": unusual(problem.settings),
        "data": {k: problem.data[k] for k in ("name", "train", "test", "classes", "tested_on") if k in problem.data},
        "arms": [_arm(problem, arm, goal) for arm in problem.arms],
        "dials": [_dial(problem, name, arms) for name, arms in problem.dials()],
    }


def _dial(problem: Problem, name: str, arms: list[Arm]) -> dict[str, Any]:
    """Accuracies over the seeds that all of them have: another seed is another draw of everything."""
    beside = problem.twin(arms[0]) or problem.arms[0]
    seeds = sorted(set.intersection(*(set(arm.accuracy) for arm in [*arms, beside])))
    return {
        "setting": name,
        "arms": [arm.name for arm in arms],
        "values": [arm.settings[name] for arm in arms],
        "seeds": seeds,
        "accuracies": [summarise([arm.accuracy[seed] for seed in seeds]) for arm in arms] if seeds else [],
        "beside": beside.name,
        "level": summarise([beside.accuracy[seed] for seed in seeds])["mean"] if seeds else None,
        "plainest": min(arms, key=problem.arms.index).name,
    }


def _arm(problem: Problem, arm: Arm, goal: float) -> dict[str, Any]:
    first, twin = problem.arms[0], problem.twin(arm)
    curve = [{"epoch": epoch, **summarise(values)} for epoch, values in sorted(arm.curve("test_accuracy").items())]
    return {
        "name": arm.name,
        "settings": (own := {k: v for k, v in arm.settings.items() if k not in problem.settings}),
        "unusual": unusual(own),
        "runs": {str(seed): run["folder"] for seed, run in arm.runs.items()},
        "accuracies": {str(seed): value for seed, value in arm.accuracy.items()},
        "accuracy": summarise(list(arm.accuracy.values())),
        "gain": None if arm is first else paired(arm.accuracy, first.accuracy),
        "twin": None if twin is None else twin.name,
        "gain_of_lpa3": None if twin is None else paired(arm.accuracy, twin.accuracy),
        "curve": curve,
        "reached": next((row["epoch"] for row in curve if row["mean"] >= goal), None),
        "seconds": summarise(arm.seconds),
        "distance": _mean(arm, "lpa3_distance"),
    }


def _mean(arm: Arm, name: str) -> float | None:
    """Of a measure in the last epoch that has it, over seeds."""
    found = arm.curve(name)
    return summarise(found[max(found)])["mean"] if found else None


def _farther(folder: Path) -> dict[str, Any]:
    try:
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        results = {}
    if not isinstance(results, dict) or results.get("kind") != "farther":
        raise UserError(f"--pictures {folder} is no folder of augwise analyse farther: run that first, or leave it out")
    return {name: results[name] for name in ("title", "data", "runs", "rows")}
