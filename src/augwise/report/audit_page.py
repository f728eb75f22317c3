"""The page of an audit: a table, distributions, worst cases as pictures, classes. Writes that one file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .audit_figures import histogram, photograph
from .figures import overlay, png
from .page import Facts, settings_as_facts, share, short, write_page

if TYPE_CHECKING:
    from ..analysis.audit_result import Case

_SMALL = 64  # pixels up to which single pixels are shown
_SIDE = 112  # pixels that small pictures are enlarged to, by a whole factor
_LARGEST = 224  # pixels that large ones are brought down to


def write_audit(path: Path, report: dict[str, Any], cases: dict[str, dict[str, list[Case]]]) -> None:
    """Write ``report.html`` for what `Audit.to_dict` returned, with title and command.

    cases: pictures by transform and heading.
    """
    with_model = report["recognises"] is not None
    write_page(
        path,
        "audit",
        title=report["title"],
        version=report["augwise"],
        subtitle=_subtitle(report),
        with_model=with_model,
        maps=report["maps"],
        recognises=report["recognises"],
        transforms=[_transform(t, cases[t["name"]], i) for i, t in enumerate(report["transforms"])],
        facts=_facts(report),
        number=_number,
        interval=_interval,
    )


def _subtitle(report: dict[str, Any]) -> str:
    data = report["data"]
    return f"{data['name']}, {data['images']} of {data['of']} images, {data['classes']} classes"


def _transform(found: dict[str, Any], cases: dict[str, list[Case]], place: int) -> dict[str, Any]:
    charts = [
        histogram(found[key]["counts"], label, found[key]["mean"])
        for key, label in (("importance_lost", "share of importance lost"), ("area_lost", "share of area lost"))
        if found[key] is not None
    ]
    classes = sorted(found["per_class"], key=_badness, reverse=True)
    shown = {heading: [_case(case) for case in group] for heading, group in cases.items()}
    return found | {"place": place, "charts": charts, "classes": classes, "cases": shown}


def _badness(row: dict[str, Any]) -> float:
    known = (row[key] for key in ("unrecognised", "importance_lost", "log_prob_drop"))
    return next((value for value in known if value is not None), 0.0)


def _case(case: Case) -> dict[str, Any]:
    said = []
    if not math.isnan(case.importance_lost):
        said.append(f"lost {share(case.importance_lost)} of its evidence, {share(case.area_lost)} of its area")
    if not math.isnan(case.log_prob_drop):
        said.append(f"log-prob drop {_number(case.log_prob_drop)}")
    return {
        "label": case.label,
        "index": case.index,
        "image": _picture(case.image),
        "map": _picture(overlay(case.image, case.importance)),
        "augmented": _picture(case.augmented),
        "lost": "; ".join(said),
    }


def _picture(pixels: np.ndarray) -> dict[str, Any]:
    """Small pictures enlarged without smoothing; large ones as photographs, so that a page stays light."""
    longest = max(pixels.shape[:2])
    if longest <= _SMALL:
        return {"uri": png(pixels, max(1, round(_SIDE / longest))), "sharp": True}
    return {"uri": photograph(pixels, _LARGEST), "sharp": False}


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.2f}".replace("-", "−")


def _interval(values: list[float] | None) -> str:
    return "" if values is None else f"{100 * values[0]:.0f} to {100 * values[1]:.0f} %"


def _facts(report: dict[str, Any]) -> Facts:
    facts = [("command", report["command"])] if report["command"] else []
    facts += [("data", _subtitle(report)), ("maps", report["maps"])]
    facts += settings_as_facts({k: v for k, v in report["settings"].items() if k != "data"})
    facts += [("seconds", f"{report['seconds']:.1f}")]
    return facts + [(k, short(v)) for k, v in report["environment"].items()]
