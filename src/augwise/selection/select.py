"""From scores to a file that names the images to train on. Reads the data set's labels and hashes, writes that file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..importance.rows import Rows
from ..subset_file import SubsetFile, labels_hash, origin
from .choose import Rule, choose


def select(
    source: Any,
    scores: Any,
    fraction: float,
    per_class: bool = True,
    rule: Rule = "top",
    out: str | Path | None = None,
    about: dict[str, Any] | None = None,
) -> SubsetFile:
    """Choose the share ``fraction`` of a data set's images by their scores (DCutMix, Eq. 9); `choose` has the rules.

    source: the `Source` (or any map-style data set) that was scored; of a limited or resized one the file names the
        rows of the data set behind it, so that ``open_source(..., subset=FILE)`` and ``--subset FILE`` find them.
    scores: (N,) numbers, one per row of ``source``.
    out: write the file, whole or not at all, as ``--subset`` reads it. about: anything to keep with it.

    The file knows the data set by its labels and by the content of the images chosen, and is refused with any other.
    """
    whole, at = origin(source)
    known = Rows(whole)
    labels = known.labels()
    seen = np.arange(len(labels)) if at is None else at
    values = np.asarray(scores, dtype=np.float64)
    chosen = choose(labels[seen], values, fraction, per_class, rule, known.class_names)
    rows = np.unique(seen[chosen])
    every = np.full(len(labels), np.nan)
    every[seen] = values
    found = SubsetFile(
        rows,
        known.some(rows.tolist()),
        len(labels),
        labels_hash(labels),
        every,
        {"fraction": fraction, "per_class": per_class, "rule": rule, **(about or {})},
    )
    if out is not None:
        found.save(out)
    return found
