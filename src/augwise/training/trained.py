"""A finished training run as a model that can be used: frozen, in eval mode, pixels in [0, 1] in, logits out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from .. import models
from ..errors import UserError
from .evaluate import read_run
from .results import RESULTS, WEIGHTS


class Trained(NamedTuple):
    """model: a `Normalized` classifier in eval mode; classes: its class names; run: the run's results.json."""

    model: models.Normalized
    classes: list[str]
    run: dict[str, Any]


def trained(folder: Path, classes: list[str] | None = None) -> Trained:
    """The classifier that a finished training run left in ``folder``, on the CPU.

    classes: the class names of the data it is to judge; `UserError` if it was trained on others.
    """
    run = read_run(folder / RESULTS)
    known, mean, std = run["data"]["classes"], run["data"]["mean"], run["data"]["std"]
    if classes is not None and classes != known:
        raise UserError(f"the model in {folder} was trained on the classes {known}, the data has {classes}")
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{folder} holds no {WEIGHTS}: its training left none, or they were deleted; train it again")
    name = models.kept_name(run["config"]["model"], folder)
    network = models.load_weights(models.build(name, len(known), len(mean)), folder / WEIGHTS)
    return Trained(models.Normalized(network, mean, std).eval().requires_grad_(False), known, run)
