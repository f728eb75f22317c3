"""Which rows to keep, given a score of each. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from ..errors import UserError

Rule = Literal["top", "bottom", "interval"]


def choose(
    labels: np.ndarray,
    scores: np.ndarray,
    fraction: float,
    per_class: bool = True,
    rule: Rule = "top",
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Rows of the share ``fraction`` of the images, (n,) int64 ascending (DCutMix, Eq. 9).

    labels: (N,) classes; scores: (N,), one per image, no NaN. per_class: round(fraction · N_c) of each class c, halves
        upwards, else round(fraction · N) of all.
    rule: "top", the highest scores (the paper's deterministic sampling); "bottom", the lowest; "interval", every
        (1/fraction)-th of the images in descending order, from the highest on: places ⌊j N_c / n_c⌋ (the paper's
        interval-based sampling). Images of one score are taken in their order.

    Raises `UserError` for a fraction outside (0, 1], scores of another length or with NaN, and where a class that has
    images would be left without any.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if not 0 < fraction <= 1:
        raise UserError(f"fraction={fraction} is out of range: give a share of the images, above 0 and up to 1")
    if rule not in get_args(Rule):
        raise UserError(f"rule={rule!r} is unknown: use one of {', '.join(get_args(Rule))}")
    if scores.shape != labels.shape or labels.ndim != 1:
        raise UserError(f"scores have shape {scores.shape} for {len(labels)} images: give one score for each")
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        raise UserError(f"the score of image {missing[0]} is NaN ({len(missing)} of {len(scores)} are): give numbers")
    classes = np.unique(labels)
    groups = [np.flatnonzero(labels == c) for c in classes] if per_class else [np.arange(len(labels))]
    kept = np.sort(np.concatenate([_of_group(group, scores[group], fraction, rule) for group in groups]))
    empty = np.setdiff1d(classes, labels[kept])
    if len(empty):
        name = str(empty[0]) if class_names is None else f"{class_names[empty[0]]!r}"
        cure = (
            f"give a fraction of at least {0.5 / (labels == empty[0]).sum():.2g}"
            if per_class
            else "choose per class (per_class=True), or give a larger fraction"
        )
        raise UserError(f"fraction={fraction} leaves the class {name} without an image: {cure}")
    return kept


def _of_group(members: np.ndarray, scores: np.ndarray, fraction: float, rule: Rule) -> np.ndarray:
    count = math.floor(fraction * len(members) + 0.5 + 1e-9)
    order = members[np.argsort(scores if rule == "bottom" else -scores, kind="stable")]
    if rule == "interval":
        return order[np.arange(count) * len(members) // max(1, count)]
    return order[:count]
