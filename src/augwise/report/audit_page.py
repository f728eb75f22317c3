"""The page of an audit: what every transform loses, as a table, distributions, classes, and pictures."""

from __future__ import annotations

from typing import Any

from ..analysis.audit_result import WORSE, worse_guarded
from .charts import Chart, histogram
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, number, share

_MACHINE = {"out", "quiet"}
_TOLD = {"data", "count", "seed"}  # stand among the facts


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what `augwise.audit` found and `Audit.write` left."""
    found = results["transforms"]
    settings = {k: v for k, v in results["settings"].items() if k not in _MACHINE | _TOLD}
    return Page(
        "audit",
        title=results["title"],
        version=results["augwise"],
        subtitle=_images(results["data"]),
        facts=_facts(results),
        settings=settings_as_facts(settings),
        words={
            "with_model": results["recognises"] is not None,
            "maps": results["maps"],
            "recognises": results["recognises"],
            "worse": worse_guarded({t["name"]: t["importance_lost"] and t["importance_lost"]["mean"] for t in found}),
            "why_worse": WORSE,
            "transforms": [_transform(t, i, gallery["groups"]) for i, t in enumerate(found)],
        },
    )


def _images(data: dict[str, Any]) -> str:
    classes = counted(data["classes"], "class", "classes")
    return f"{data['name']}, {data['images']} of {counted(data['of'], 'image')}, {classes}"


def _transform(found: dict[str, Any], place: int, groups: list[dict[str, Any]]) -> dict[str, Any]:
    shown = [
        {"title": group["title"], "examples": [_example(e) for e in group["examples"]]}
        for group in groups
        if group["transform"] == found["name"]
    ]
    classes = sorted(found["per_class"], key=_badness, reverse=True)
    return found | {"place": place, "charts": _charts(found), "classes": classes, "groups": shown}


def _charts(found: dict[str, Any]) -> list[Chart]:
    charts = []
    for key, what, style in (("importance_lost", "importance", "guarded"), ("area_lost", "area", "plain")):
        lost = found[key]
        if lost is not None:
            counts = lost["counts"]
            edges = [100 * i / len(counts) for i in range(len(counts) + 1)]
            title, label = f"{what.capitalize()} lost", f"% of the image’s {what}"
            charts.append(histogram(title, edges, counts, label, style=style, mean=100 * lost["mean"]))
    return charts


def _badness(row: dict[str, Any]) -> float:
    known = (row[key] for key in ("unrecognised", "importance_lost", "log_prob_drop"))
    return next((value for value in known if value is not None), 0.0)


def _example(example: dict[str, Any]) -> dict[str, Any]:
    """An image with what stands under its picture."""
    (arm,) = example["arms"]
    said = []
    if arm["importance"] is not None:
        said.append(f"lost {share(arm['importance'])} of its evidence, {share(arm['area'])} of its area")
    if arm["drop"] is not None:
        said.append(f"log-prob drop {number(arm['drop'])}")
    return example | {"augmented": arm["image"], "lost": "; ".join(said)}


def _facts(results: dict[str, Any]) -> Facts:
    data, settings = results["data"], results["settings"]
    facts = [("command", results["command"])] if results["command"] else []
    facts += [("data", _images(data)), *left_out_facts(data), ("maps", results["maps"])]
    facts += [("seed", str(settings["seed"])), ("time", duration(results["seconds"]))]
    return [*facts, *environment_facts(results["environment"])]
