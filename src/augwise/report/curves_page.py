"""The page of training curves: how arms converge, where they end, and what hangs on a single number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from . import farther_page
from .analyse_page import Section, Table, lines, page_of
from .charts import Chart, Series, line_chart
from .page import Facts, Page
from .text import counted, percent, points, short

_MOST = 5
"""Lines in a chart."""
_WIDE = 20
"""A setting whose largest value is so many times its smallest is drawn by its logarithm."""


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what `augwise.analyse` found of training runs."""
    problems = results["problems"]
    sections = [section for i, problem in enumerate(problems) for section in _sections(problem, i)]
    if "farther" in results:
        shown = results["farther"]
        sections += farther_page.sections(shown, gallery)
    runs = counted(len(results["runs"]), "run")
    subtitle = f"{runs} of {counted(sum(len(p['arms']) for p in problems), 'arm')}"
    return page_of(results, subtitle, _facts(results), _headline(problems), _points(problems), sections)


def _headline(problems: list[dict[str, Any]]) -> str:
    twins = [arm["gain_of_lpa3"] for problem in problems for arm in problem["arms"] if arm["gain_of_lpa3"] is not None]
    if not twins:
        return _ends(problems[0]) if len(problems) == 1 else f"Where {counted(len(problems), 'problem')} end."
    better, worse = sum((g["low"] or 0) > 0 for g in twins), sum((g["high"] or 0) < 0 for g in twins)
    return (
        f"Of {counted(len(twins), 'arm')} with LP-A3 beside the same without it, {better} "
        f"{'is' if better == 1 else 'are'} better and {worse} worse by their 95 % intervals, not corrected for their "
        "number."
    )


def _points(problems: list[dict[str, Any]]) -> list[str]:
    return [
        *(_ends(problem) for problem in problems),
        "All numbers are of the last epoch. The highest of many is high by luck, too: see the intervals in the tables.",
    ]


def _ends(problem: dict[str, Any]) -> str:
    first, best = problem["arms"][0], max(problem["arms"], key=lambda arm: arm["accuracy"]["mean"])
    text = f"{problem['name']}: {first['name']} {percent(first['accuracy']['mean'])} %"
    return f"{text}, highest {best['name']} {percent(best['accuracy']['mean'])} %." if best is not first else f"{text}."


def _sections(problem: dict[str, Any], number: int) -> list[Section]:
    arms = problem["arms"]
    made = [
        Section(
            f"problem-{number}",
            problem["name"][0].upper() + problem["name"][1:],
            [_about(problem)],
            _charts(problem, arms),
            [_table(problem)],
            [
                "Gains are in percentage points over the first arm, and of LP-A3 over the same without it, paired by "
                "seed, with 95 % intervals of Student’s t; n is the number of seeds.",
                f"Epochs to {arms[0]['name']}: the first whose mean accuracy is that of its last epoch.",
            ],
        )
    ]
    dials = [dial for dial in problem["dials"] if dial["seeds"]]
    if dials:
        charts = [_dial(dial) for dial in dials]
        text = "Mean of the last epoch over the seeds that all have; bars are one standard deviation."
        made.append(Section(f"dials-{number}", f"What hangs on a number: {problem['name']}", [text], charts))
    return made


def _about(problem: dict[str, Any]) -> str:
    data, s = problem["data"], problem["settings"]
    size = f"{data['train']} training and {data['test']} {data.get('tested_on', 'test')} images"
    rest = [f"{s['epochs']} epochs"] if "epochs" in s else []
    return ", ".join([size, s["model"], *rest]) + "."


def _charts(problem: dict[str, Any], arms: list[dict[str, Any]]) -> list[Chart]:
    """Mean curves, a few lines a chart, the first arm in all of them; all of one height."""
    elsewhere = _elsewhere(problem)
    shown = [arm for arm in arms if len(arm["curve"]) > 1 and arm["name"] not in elsewhere]
    if not shown:
        return []
    values = [100 * row["mean"] for arm in shown for row in arm["curve"]]
    span = (min(values), max(values))
    first, others = shown[0], shown[1:]
    step = _MOST - 1
    groups = [[first, *others[i : i + step]] for i in range(0, max(1, len(others)), step)]
    made = []
    for i, group in enumerate(groups):
        title = "Convergence" + (f", {i + 1} of {len(groups)}" if len(groups) > 1 else "")
        points = [[(row["epoch"], 100 * row["mean"]) for row in arm["curve"]] for arm in group]
        drawn = lines([arm["name"] for arm in group], points, marked=False)
        made.append(line_chart(title, drawn, "epoch", "mean accuracy, %", integers=True, y_span=span))
    return made


def _elsewhere(problem: dict[str, Any]) -> set[str]:
    """Arms that stand in a chart over a number, but for the plainest of each."""
    dials = problem["dials"]
    return {name for dial in dials for name in dial["arms"]} - {dial["plainest"] for dial in dials}


def _table(problem: dict[str, Any]) -> Table:
    first = problem["arms"][0]["name"]
    told = any(arm["distance"] is not None for arm in problem["arms"])
    rows = []
    for arm in problem["arms"]:
        accuracy, seconds = arm["accuracy"], arm["seconds"]
        deviation = "" if accuracy["std"] is None else f" ± {percent(accuracy['std'])}"
        cells = [
            arm["name"],
            str(accuracy["n"]),
            percent(accuracy["mean"]) + deviation,
            points(arm["gain"]),
            points(arm["gain_of_lpa3"]),
            "–" if arm["reached"] is None else str(arm["reached"]),
            f"{seconds['mean']:.0f}",
        ]
        rows.append(cells + ([f"{arm['distance']:.2f}" if arm["distance"] is not None else "–"] if told else []))
    columns = ["arm", "n", "accuracy, %", "gain", "of LP-A3", f"epochs to {first}", "seconds"]
    return Table("Last epoch, mean ± standard deviation.", columns + (["LP-A3’s distance"] if told else []), rows)


def _dial(dial: dict[str, Any]) -> Chart:
    values, found = dial["values"], dial["accuracies"]
    logarithm = min(values) > 0 and max(values) / min(values) >= _WIDE
    xs = [math.log10(v) if logarithm else v for v in values]
    bars = [None if m["std"] is None else (100 * (m["mean"] - m["std"]), 100 * (m["mean"] + m["std"])) for m in found]
    level = 100 * dial["level"]
    setting = dial["setting"].removeprefix("lpa3_").replace("_", " ")
    drawn = [
        Series("LP-A3" if dial["setting"].startswith("lpa3_") else "arms", _pairs(xs, found), "guarded", bars),
        Series(dial["beside"], [(xs[0], level), (xs[-1], level)], "baseline", marked=False, dashed=True),
    ]
    label = f"{setting}, log10" if logarithm else setting
    title = f"Accuracy by {setting}, n = {len(dial['seeds'])}"
    return line_chart(title, drawn, label, "accuracy, %", x_ticks=None if logarithm else xs)


def _pairs(xs: Sequence[float], means: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(x, 100 * m["mean"]) for x, m in zip(xs, means, strict=True)]


def _facts(results: dict[str, Any]) -> Facts:
    """What was set otherwise than it comes."""
    facts = []
    for problem in results["problems"]:
        facts.append((problem["name"], _told(problem["unusual"])))
        for arm in problem["arms"]:
            seeds = f"seed {', '.join(arm['runs'])}"
            facts.append((f"– {arm['name']}", ", ".join(filter(None, [_told(arm["unusual"]), seeds]))))
    return facts


def _told(settings: dict[str, Any]) -> str:
    return ", ".join(f"{k} {short(v)}" for k, v in settings.items())
