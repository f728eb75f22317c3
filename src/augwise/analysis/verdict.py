"""What a comparison found, in plain words, from its numbers alone. Pure functions on what results.json holds.

The pooled difference over all rows decides the headline, since one row among many is easily lucky; the rows are counted
beside it with what chance alone would give. All words follow from intervals, none from the size of a mean.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..report.text import counted, points, share
from . import compare_words as words
from .compare_words import SHOWN
from .statistics import Interval, holm, p_value

LEVEL = 0.05
_OTHERS = {
    "guarded-plain": "plain",
    "guarded-control": "the control",
    "guarded-centre": "one centre for all",
    "guarded-smoothing": "smoothing",
}


class _Told(NamedTuple):
    """How a rule for labels is spoken of: the two kinds, what else could explain a gain, and what is left then."""

    labels: str
    others: str
    rivals: dict[str, str]
    reason: str


_LABELS = {
    "soften": _Told(
        "Softened labels",
        "hard ones",
        {
            "guarded-control": "labels softened by other images’ maps",
            "guarded-centre": "labels softened by one centre for all",
            "guarded-smoothing": "smoothing all labels alike",
        },
        "knowing what was taken",
    ),
    "labels": _Told(
        "Labels by importance",
        "labels by area",
        {"guarded-control": "labels by other images’ maps", "guarded-centre": "labels by one centre for all"},
        "knowing whose evidence shows",
    ),
}


class Verdict(NamedTuple):
    """headline: the finding in one sentence; points: what it rests on, and what speaks against it."""

    headline: str
    points: list[str]


class Corrected(NamedTuple):
    """One difference of one row. row: its index; adjusted: Holm's p over all tested differences that are shown."""

    row: int
    name: str
    interval: Interval
    p: float
    adjusted: float


def corrected(rows: list[dict[str, Any]]) -> list[Corrected]:
    """Every shown difference with an interval (two seeds or more), with p and Holm's adjusted p."""
    found = []
    for i, row in enumerate(rows):
        for name in SHOWN:
            interval = row["differences"].get(name)
            p = p_value(interval)
            if interval is not None and p is not None:
                found.append((i, name, interval, p))
    adjusted = holm([p for *_, p in found])
    return [Corrected(row, name, d, p, a) for (row, name, d, p), a in zip(found, adjusted, strict=True)]


def verdict(report: dict[str, Any]) -> Verdict:
    """The finding of a comparison, rule by rule. report: what results.json holds, ``overall`` where it is there."""
    rows, parts = report["table"], []
    tests = corrected(rows)
    for rule in words.rules(rows):
        own = {i for i, row in enumerate(rows) if words.of(row, "rule") == rule}
        pooled = (report.get("overall_by_rule") or {}).get(rule) or ({} if parts else report.get("overall") or {})
        parts.append(_Part(rule, [rows[i] for i in sorted(own)], [t for t in tests if t.row in own], pooled))
    points = _unfinished(report)
    for part in parts:
        points += [*_pooled(part), *_counted(part)]
    points += _chance(tests)
    for part in parts:
        points += [*_baseline(part, report.get("baseline")), *_touched(part)]
    return Verdict(" ".join(f"{_headline(part)}{_without(part.pooled)}" for part in parts), points)


class _Part(NamedTuple):
    """What one rule's rows say: their tests, with Holm's p over the tests of all rows, and their pooled differences."""

    rule: str
    rows: list[dict[str, Any]]
    tests: list[Corrected]
    pooled: dict[str, Any]

    def arm(self, name: str) -> str:
        return words.arm(name, [self.rule])

    def direction(self, name: str) -> int | None:
        """1, −1, or 0 for an interval that includes zero; None without one. Rows decide where nothing is pooled."""
        interval = self.pooled.get(name)
        if interval is not None and interval["low"] is not None:
            return _sign(interval)
        of_rows = [t for t in self.tests if t.name == name]
        if not of_rows:
            return None
        signs = {_sign(t.interval) for t in of_rows if t.adjusted < LEVEL}
        return signs.pop() if len(signs) == 1 else 0


def _headline(part: _Part) -> str:
    if not part.rows:
        return "No run is finished yet."
    told = _LABELS.get(part.rule)
    gain = part.direction("guarded-plain")
    if gain is None:
        if any(row["differences"].get("guarded-plain") for row in part.rows):
            return "One run per arm is finished: no difference can be told from chance."
        return _alone(part)
    if gain == 0:
        return f"No difference between {part.arm('guarded')} and plain that the seeds alone could not have made."
    if gain < 0:
        return f"{told.labels} do worse than {told.others}." if told else "Guarded does worse than plain."
    return _relabelled(part, told) if told else _guarded(part)


def _alone(part: _Part) -> str:
    """Of methods without a second arm: each row beside training without the method."""
    tests = [t for t in part.tests if t.name == "plain-baseline"]
    if not tests:
        return f"{part.arm('guarded').capitalize()} and plain arms were not both run, so there is nothing to compare."
    signs = [_sign(t.interval) if t.adjusted < LEVEL else 0 for t in tests]
    better, worse, rows = signs.count(1), signs.count(-1), counted(len(signs), "row")
    if not better and not worse:
        return "No row differs from training without the method by more than the seeds alone could have made."
    beats, does = "beats" if better == 1 else "beat", "does" if worse == 1 else "do"
    if not better:
        return f"{worse} of {rows} {does} worse than training without the method, none better."
    rest = f", {worse} {does} worse" if worse else ", the rest by no more than chance" if better < len(signs) else ""
    return f"{better} of {rows} {beats} training without the method{rest}."


def _guarded(part: _Part) -> str:
    over_control = part.direction("guarded-control")
    if over_control is None:
        return "Guarded beats plain; without a control, nobody can say whether the evidence it keeps is the reason."
    over_centre = part.direction("guarded-centre")
    if over_control > 0 and over_centre is not None:
        if over_centre > 0:
            return "Guarded beats plain, its control and one centre for all: each image’s own map makes a difference."
        return "Guarded beats plain and its control, but not one centre for all: that needs no map of the image."
    if over_control > 0:
        return "Guarded beats plain, and it beats its control: whose map the guard is shown makes a difference."
    if over_control < 0:
        return "Guarded beats plain, but the control, guarded by other images’ maps, does better still."
    return "Guarded beats plain, but the control gains about as much: that is not evidence-keeping."


def _relabelled(part: _Part, told: _Told) -> str:
    known = {text: sign for name, text in told.rivals.items() if (sign := part.direction(name)) is not None}
    equal = [text for text, sign in known.items() if sign <= 0]
    beat = f"{told.labels} beat {told.others}"
    if not known:
        return f"{beat}; without a control, nobody can say whether the evidence is the reason."
    if equal:
        return f"{beat}, but not {' or '.join(equal)}: that is not {told.reason}."
    return f"{beat}, and {' and '.join(known)}: {told.reason} makes a difference."


def _without(pooled: dict[str, Any]) -> str:
    interval = pooled.get("guarded-baseline")
    worse = interval is not None and _sign(interval) < 0
    return " Yet training without the method does better than either." if worse else ""


def _sign(interval: Interval) -> int:
    low, high = interval["low"], interval["high"]
    return 0 if low is None or high is None else int(low > 0) - int(high < 0)


def _unfinished(report: dict[str, Any]) -> list[str]:
    if report["done"] >= report["planned"]:
        return []
    planned = counted(report["planned"], "run")
    return [f"Unfinished: {report['done']} of {planned} are in, and what they say may change."]


def _pooled(part: _Part) -> list[str]:
    given = {name: d for name, d in part.pooled.items() if d is not None and d["low"] is not None and d["cells"] > 1}
    if "guarded-plain" not in given:
        return []
    first = given["guarded-plain"]
    told = [
        f"{words.difference(name, [part.rule], ' − ')} {points(given[name])}"
        for name in (*_OTHERS, "control-plain")
        if name in given
    ]
    text = f"Over all {first['cells']} rows together, by seed: {', '.join(told)}"
    text += f" (percentage points, 95 % interval, {first['n']} seeds)."
    return [text]


def _counted(part: _Part) -> list[str]:
    texts = []
    for name, other in _OTHERS.items():
        means = [d["mean"] for row in part.rows if (d := row["differences"].get(name)) is not None]
        if means:
            texts.append(f"above {other} in {sum(m > 0 for m in means)} of {counted(len(means), 'row')}")
    return [f"{part.arm('guarded').capitalize()} is {' and '.join(texts)}, by mean accuracy."] if texts else []


def _chance(tests: list[Corrected]) -> list[str]:
    if not tests:
        return []
    signs = [_sign(t.interval) for t in tests]
    outside, against = sum(s != 0 for s in signs), sum(s < 0 for s in signs)
    kept = sum(t.adjusted < LEVEL for t in tests)
    half = sorted(_half(t.interval) for t in tests)
    side = f" ({against} below it)" if against else ""
    exclude, remain = "excludes" if outside == 1 else "exclude", "remains" if kept < 2 else "remain"
    return [
        f"{outside} of {counted(len(tests), 'interval')} {exclude} zero{side}; chance alone gives about "
        f"{LEVEL * len(tests):.1f}. After Holm’s correction for {counted(len(tests), 'comparison')} {kept or 'none'} "
        f"{remain}.",
        f"What a single row can resolve: half its interval is {100 * half[len(half) // 2]:.1f} points in the median; "
        "smaller effects stay unseen with so few seeds.",
    ]


def _half(interval: Interval) -> float:
    low, high = interval["low"], interval["high"]
    return 0.0 if low is None or high is None else (high - low) / 2


def _baseline(part: _Part, baseline: dict[str, Any] | None) -> list[str]:
    rows, second = part.rows, part.arm("guarded")
    if not baseline or not rows:
        return []
    texts: list[str] = []
    for arm in ("plain", "guarded"):
        means = [row["arms"][arm]["mean"] for row in rows if arm in row["arms"]]
        if means:
            texts.append(f"{sum(m > baseline['mean'] for m in means)} of {len(means)} {part.arm(arm)}")
    if not texts:
        return []
    text = f"Without the method, accuracy is {100 * baseline['mean']:.1f} %: {' and '.join(texts)} rows are above it"
    together = part.pooled.get("guarded-baseline")
    return [f"{text}, and {second} is {points(together)} points from it on average." if together else f"{text}."]


def _touched(part: _Part) -> list[str]:
    """What the guard spares, and the warning that erasing less may be all there is to a gain; labels spare nothing."""
    rows = part.rows
    if part.rule != "guard":
        return []
    importance = {arm: _mean(rows, "importance_touched", arm) for arm in ("plain", "guarded", "control")}
    area = {arm: _mean(rows, "area_touched", arm) for arm in ("plain", "guarded")}
    plain, guarded, control = (importance[arm] for arm in ("plain", "guarded", "control"))
    if plain is None or guarded is None:
        return []
    text = f"Overwritten on average: {share(plain)} of an image’s importance plain, {share(guarded)} guarded"
    text += "." if control is None else f", {share(control)} under the control."
    if area["plain"] and area["guarded"] is not None and area["guarded"] < 0.97 * area["plain"]:
        text += (
            f" The guarded arm also touches less area ({share(area['guarded'])} against {share(area['plain'])}): "
            "part of a gain may be mere weakness."
        )
    return [text]


def _mean(rows: list[dict[str, Any]], what: str, arm: str) -> float | None:
    values = [row.get(what, {}).get(arm) for row in rows]
    given = [v for v in values if v is not None and not math.isnan(v)]
    return sum(given) / len(given) if given else None
