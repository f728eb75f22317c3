"""The pictures of a page in ``gallery.json`` beside the results, so that a page can be built again without the data.

``{"groups": [{"title", "examples": [{"label", "image", "map", "arms": [{"name", "image", "importance", "area"}]}]}],
"mean_map"}``: images and maps are `figures.Picture`; importance and area are the shares that an arm overwrote, in
[0, 1]; ``arms`` is empty, and ``mean_map`` there, for a store of maps alone. An audit's groups say of which
``transform`` they are, its examples name their ``index``, and their one arm has a ``drop`` in log-probability.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import overlay, picture

if TYPE_CHECKING:
    from ..analysis.audit_result import Case
    from ..analysis.gallery import Example

GALLERY = "gallery.json"


def group(title: str, examples: list[Example]) -> dict[str, Any]:
    """Pictures of every example and of each arm's doing, under one heading."""
    return {"title": title, "examples": [_example(e) for e in examples]}


def within(groups: list[dict[str, Any]], most: int = 2_000_000) -> list[dict[str, Any]]:
    """The groups with as many of their first examples as ``most`` bytes hold, one of each at least."""
    groups = [given | {"examples": list(given["examples"])} for given in groups]
    sizes = [[len(json.dumps(example)) for example in given["examples"]] for given in groups]
    while sum(map(sum, sizes)) > most and max(map(len, sizes)) > 1:
        longest = max(range(len(groups)), key=lambda i: (len(sizes[i]), sum(sizes[i])))
        sizes[longest].pop()
        groups[longest]["examples"].pop()
    return groups


def audit_group(transform: str, title: str, cases: list[Case]) -> dict[str, Any]:
    """Pictures of what one transform made of some images, under one heading."""
    return {"transform": transform, "title": title, "examples": [_case(transform, case) for case in cases]}


def write_gallery(folder: Path, groups: list[dict[str, Any]], mean_map: np.ndarray | None = None) -> None:
    """Write ``gallery.json`` into the folder of a run's results."""
    from ..training.results import write_json
    from .figures import heat

    content: dict[str, Any] = {"groups": groups}
    if mean_map is not None:
        content["mean_map"] = picture(heat(mean_map))
    write_json(folder / GALLERY, content)


def read_gallery(folder: Path) -> dict[str, Any]:
    """What ``gallery.json`` in a folder holds; nothing where it is missing or damaged: pictures are no results."""
    try:
        content = json.loads((folder / GALLERY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        content = {}
    return {"groups": [], "mean_map": None} | (content if isinstance(content, dict) else {})


def _example(example: Example) -> dict[str, Any]:
    arms = [_arm(arm, *shown) for arm, shown in example.arms.items()]
    return {**_original(example.label, example.image, example.importance), "arms": arms}


def _case(transform: str, case: Case) -> dict[str, Any]:
    arm = _arm(transform, case.augmented, case.area_lost, case.importance_lost) | {"drop": _number(case.log_prob_drop)}
    return {"index": case.index, **_original(case.label, case.image, case.importance), "arms": [arm]}


def _original(label: str, image: np.ndarray, importance: np.ndarray) -> dict[str, Any]:
    return {"label": label, "image": picture(image), "map": picture(overlay(image, importance))}


def _arm(name: str, image: np.ndarray, area: float, importance: float) -> dict[str, Any]:
    return {
        "name": name,
        "image": picture(image),
        "importance": _number(importance),
        "area": _number(area),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
