"""From the perturbations of the attack table to its numbers, its text and its pictures."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from ..importance.attacks.pruned import Pruned
from .attack_list import is_ours
from .attack_measure import Measured, against, common, measure, row_of

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.sources import Source
    from ..importance.attacks.base import SparsePerturbation, Victims
    from .attack_cells import Cell, Done
    from .attack_table import AttackTableConfig


class Outcome(NamedTuple):
    """One cell of the plan: what was found, or why it was left out."""

    cell: Cell
    attack: SparsePerturbation
    done: Done | None
    why: str


class _Judged(NamedTuple):
    outcome: Outcome
    measured: Measured


def bound_text(epsilon: float | None) -> str:
    """0.0314 as ``8/255``."""
    return "unbounded" if epsilon is None else f"{255 * epsilon:.4g}/255"


def results_of(
    config: AttackTableConfig,
    source: Source,
    model: Any,
    victims: Victims,
    targets: dict[str, Tensor],
    found: list[Outcome],
    command: str,
) -> dict[str, Any]:
    """Everything that the page needs, as plain data.

    ``groups``: one for each goal and bound, and one for each goal of the attacks without bound, with ranked ``rows``
    (`attack_measure.row_of`, cost per image, ``behind``: changed pixels minus the first's, paired; ``ours``: the attack
    is a learned mask of this library; ``pass``: this library's pruning came after it, whosever it is).
    """
    from .. import __version__
    from ..data.sources import left_out
    from ..training.checkpoint import plain
    from ..training.results import environment

    groups: dict[tuple[str, float | None], list[_Judged]] = {}
    for outcome in found:
        if outcome.done is not None:
            cell, images = outcome.cell, victims.images
            delta = outcome.done.delta.to(images.device)
            judged = measure(model, images, victims.labels, targets.get(cell.goal), delta, cell.epsilon)
            groups.setdefault((cell.goal, cell.epsilon), []).append(_Judged(outcome, judged))
    packages = {o.attack.package for o in found if o.done is not None and o.attack.package is not None}
    order = sorted(groups, key=lambda at: (config.targets.index(at[0]), at[1] is None, at[1] or 0))  # pyright: ignore[reportArgumentType]
    return {
        "kind": "attack-table",
        "augwise": __version__,
        "command": command,
        "config": plain(asdict(config)),
        "data": {
            "name": source.name,
            "images": len(source),
            "attacked": len(victims.labels),
            "classes": list(source.class_names),
            "shape": list(victims.images.shape[1:]),
            "left_out": [list(file) for file in left_out(source)],
        },
        "groups": [_group(at[0], at[1], groups[at], victims) for at in order],
        "left_out": [
            {"attack": o.cell.attack, "epsilon": o.cell.epsilon, "goal": o.cell.goal, "why": o.why}
            for o in found
            if o.done is None
        ],
        "environment": environment(victims.images.device) | {name: version(name) for name in sorted(packages)},
    }


def _group(goal: str, epsilon: float | None, members: list[_Judged], victims: Victims) -> dict[str, Any]:
    n, every_pixel = len(victims.labels), victims.images[0, 0].numel()
    count, on_common = common([m.measured for m in members])
    rows = []
    for (outcome, measured), shared in zip(members, on_common, strict=True):
        done, numbers = outcome.done, row_of(measured, every_pixel)
        assert done is not None
        broken = numbers["outside_box"] or numbers["outside_epsilon"]
        rows.append(
            {
                "attack": outcome.cell.attack,
                "paper": outcome.attack.paper,
                "settings": repr(outcome.attack),
                "ours": is_ours(outcome.cell.attack),
                "pass": isinstance(outcome.attack, Pruned),
                "keeps_bounds": not broken,
                **numbers,
                "common_pixels": shared,
                "forwards": done.forwards / n,
                "backwards": done.backwards / n,
                "seconds": done.seconds / n,
            }
        )
    ranked = sorted(range(len(rows)), key=lambda i: (not rows[i]["keeps_bounds"], rows[i]["with_failures"]))
    best = members[ranked[0]].measured
    kept = [row["with_failures"] for row in rows if row["keeps_bounds"]]
    for place, i in enumerate(ranked):
        better = sum(other < rows[i]["with_failures"] for other in kept)  # equals share a rank
        rows[i]["rank"] = better + 1 if rows[i]["keeps_bounds"] else None
        rows[i]["behind"] = against(members[i].measured, best) if place else None
    return {"goal": goal, "epsilon": epsilon, "common": count, "rows": [rows[i] for i in ranked]}


def text_table(results: dict[str, Any]) -> str:
    """The groups as plain text."""
    data = results["data"]
    lines = [f"{data['attacked']} of {data['images']} images of {data['name']}, those that the model recognises."]
    head = (
        f"{'':>3} {'attack':<24}{'success %':>10}{'pixels':>9}{'± ':>7}{'median':>8}{'entries':>9}{'L2':>7}{'Linf':>7}"
    )
    head += f"{'all images':>12}{'common':>8}{'8 bit %':>9}{'forwards':>10}{'backwards':>10}{'s':>8}"
    for group in results["groups"]:
        lines += ["", f"{group['goal']}, {bound_text(group['epsilon'])}; {group['common']} images fooled by all", head]
        lines += [_text_row(row) for row in group["rows"]]
    if results["left_out"]:
        lines += ["", "left out:"]
        lines += [f"  {o['attack']}, {bound_text(o['epsilon'])}, {o['goal']}: {o['why']}" for o in results["left_out"]]
    lines += [
        "",
        "pixels, entries, L2, Linf: means over the images that an attack fooled, ± half the 95 % interval. all images:",
        "changed pixels with every pixel counted where an attack failed; attacks are ranked by it. common: pixels on",
        "the images that all of the group fooled. 8 bit: of those fooled, still so when rounded to 255 levels.",
        "forwards, backwards, s: per image. Published tables count entries as often as pixels: compare like with like.",
    ]
    return "\n".join(lines) + "\n"


def _text_row(row: dict[str, Any]) -> str:
    def say(value: float | None, width: int, digits: int) -> str:
        return f"{'–':>{width}}" if value is None else f"{value:>{width}.{digits}f}"

    pixels, rank = row["pixels"] or {}, "!" if row["rank"] is None else str(row["rank"])
    half = None if pixels.get("low") is None else pixels["mean"] - pixels["low"]
    means = {key: (row[key] or {}).get("mean") for key in ("entries", "l2", "linf")}
    text = f"{rank:>3} {row['attack']:<24}{100 * row['success']['rate']:>10.1f}{say(pixels.get('mean'), 9, 1)}"
    text += f"{say(half, 7, 1)}{say(row['median_pixels'], 8, 1)}{say(means['entries'], 9, 1)}{say(means['l2'], 7, 3)}"
    text += f"{say(means['linf'], 7, 3)}{say(row['with_failures'], 12, 1)}{say(row['common_pixels'], 8, 1)}"
    survive = row["survive_8bit"]
    text += f"{say(None if survive is None else 100 * survive, 9, 1)}{say(row['forwards'], 10, 0)}"
    text += f"{say(row['backwards'], 10, 0)}{say(row['seconds'], 8, 3)}"
    if row["rank"] is None:
        broken = row["outside_epsilon"] or row["outside_box"]
        text += f"  breaks its bounds on {broken} images: not ranked"
    return text


def pictures(count: int, source: Source, rows: Tensor, victims: Victims, found: list[Outcome]) -> list[dict[str, Any]]:
    """``count`` images with each attack's pixels, for `gallery.json`: of the first goal, by bound."""
    from ..report.figures import overlay, picture, pixels

    done = [o for o in found if o.done is not None]
    if not done or not count:
        return []
    first = done[0].cell.goal
    bounds = dict.fromkeys(o.cell.epsilon for o in done if o.cell.goal == first)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)).tolist()
    groups = []
    for bound in bounds:
        examples = []
        for i in chosen:
            image = pixels(victims.images[i].cpu())
            arms = []
            for o in done:
                if (o.cell.goal, o.cell.epsilon) == (first, bound):
                    assert o.done is not None
                    size = o.done.delta[i].abs().mean(0)
                    shown = overlay(image, size.numpy())
                    arms.append({"name": o.cell.attack, "image": picture(shown), "pixels": int((size > 1e-6).sum())})
            label = source.class_names[int(victims.labels[i])]
            examples.append({"label": label, "image": picture(image), "arms": arms})
        groups.append({"title": f"{first}, {bound_text(bound)}", "examples": examples})
    return groups


def read_perturbation(path: Any) -> torch.Tensor:
    """The perturbations that a cell left, (N, C, H, W) float32: of the recognised images, in the source's order."""
    with np.load(path, allow_pickle=False) as kept:
        return torch.from_numpy(kept["delta"])
