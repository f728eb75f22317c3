"""The page of an attack table: who is sparsest, at what cost, within which bound; published figures beside it."""

from __future__ import annotations

from typing import Any

from ..analysis.attack_published import ADVMASK_TABLE_6, IPF_RDA_TABLE_9_PIXELS
from ..analysis.attack_results import bound_text
from .charts import Chart, Estimate, forest
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, share

_MACHINE = {"out", "quiet", "device", "batch_size"}
_GOALS = {
    "untargeted": "any wrong class",
    "most_likely": "the most likely wrong class",
    "least_likely": "the least likely class",
    "random": "a random wrong class",
}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what the verb ``attack-table`` left."""
    data, config = results["data"], results["config"]
    groups = [_group(group, place, data) for place, group in enumerate(results["groups"])]
    return Page(
        "attack_table",
        title=f"Sparse attacks on {data['name']}",
        version=results["augwise"],
        subtitle=f"{counted(data['attacked'], 'image')} attacked, {counted(len(groups), 'ranking')}",
        facts=_facts(results),
        settings=settings_as_facts({k: v for k, v in config.items() if k not in _MACHINE}) + _attacks(results),
        words={
            "data": data,
            "every_pixel": data["shape"][1] * data["shape"][2],
            "sentences": [_sentence(group) for group in groups if group["epsilon"] is not None],
            "groups": groups,
            "left_out": [o | {"bound": bound_text(o["epsilon"])} for o in results["left_out"]],
            "galleries": gallery["groups"],
            "published": _published(),
            "published_pixels": IPF_RDA_TABLE_9_PIXELS,
        },
    )


def _group(group: dict[str, Any], place: int, data: dict[str, Any]) -> dict[str, Any]:
    bound, goal = bound_text(group["epsilon"]), _GOALS[group["goal"]]
    title = f"{bound}, {goal}" if group["epsilon"] is not None else f"Without a bound, {goal}"
    return group | {"place": place, "title": title, "charts": _charts(group), "n": data["attacked"]}


def _charts(group: dict[str, Any]) -> list[Chart]:
    rows = [
        Estimate(
            row["attack"],
            row["pixels"]["mean"],
            row["pixels"]["low"],
            row["pixels"]["high"],
            "guarded" if row["ours"] else "plain",
            row["success"]["rate"] >= 0.95,
        )
        for row in group["rows"]
        if row["pixels"]
    ]
    return (
        [forest("Changed pixels of fooled images", [("", rows)], "pixels, mean and 95 % interval", zero=None)]
        if rows
        else []
    )


def _sentence(group: dict[str, Any]) -> str:
    first = group["rows"][0]
    if first["rank"] is None or not first["pixels"]:
        return f"{group['title']}: no attack fooled the model within its bounds."
    text = (
        f"{group['title']}: {first['attack']} is sparsest, {first['pixels']['mean']:.1f} pixels on average, "
        f"fooling {share(first['success']['rate'])}"
    )
    kinds = {
        "of this library’s learned masks": lambda row: row["ours"],
        "of the field’s attacks as they are": lambda row: not row["ours"] and not row["pass"],
    }
    for whose, fits in kinds.items():
        best = next((row for row in group["rows"] if row["rank"] and row["pixels"] and fits(row)), None)
        if best is not None and best is not first:
            success = share(best["success"]["rate"])
            text += f"; the best {whose} is {best['attack']}, {best['pixels']['mean']:.1f} pixels, {success}"
    return text + "."


def _published() -> list[dict[str, Any]]:
    return [
        {"attack": name, "epsilon": f"{levels}/255", **found._asdict()}
        for (name, levels), found in ADVMASK_TABLE_6.items()
    ]


def _attacks(results: dict[str, Any]) -> Facts:
    """Every attack with its constants, each once."""
    found = {row["attack"]: row["settings"] for group in results["groups"] for row in group["rows"]}
    return [(f"attack {name}", settings) for name, settings in found.items()]


def _facts(results: dict[str, Any]) -> Facts:
    data, config = results["data"], results["config"]
    facts = [("command", results["command"])] if results["command"] else []
    facts += [("data", f"{data['name']}, {config['split']}, {counted(data['images'], 'image')}"), *left_out_facts(data)]
    facts.append(("attacked", f"{data['attacked']}: the model mistakes the other {data['images'] - data['attacked']}"))
    facts += [("model", str(config["run"] or config["model"])), ("seed", str(config["seed"]))]
    return [*facts, *environment_facts(results["environment"])]
