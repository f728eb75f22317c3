"""The classifier that a verb looks into: of a finished run, or of a name, a file of weights and a normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..models.normalized import Normalized


def run_settings(run: Path) -> dict[str, Any]:
    """How the run in this folder was trained, as its ``results.json`` has it."""
    from ..training.evaluate import read_run
    from ..training.results import RESULTS

    return read_run(run / RESULTS)["config"]


def reference_model(
    source: Source,
    run: Path | None,
    model: str | None,
    checkpoint: Path | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    what: str,
) -> Normalized:
    """A frozen classifier of the source's classes that takes pixels in [0, 1].

    run: folder of a finished run; without it the four others are all needed. what: who asks, for the message.
    """
    given = (model, checkpoint, mean, std)
    if run is not None:
        from ..training.trained import trained

        return trained(run, list(source.class_names)).model
    if model is None or checkpoint is None or mean is None or std is None:
        names = ("--model", "--checkpoint", "--mean", "--std")
        missing = ", ".join(name for name, value in zip(names, given, strict=True) if value is None)
        raise UserError(
            f"{what} looks into a classifier: give --run, the folder of a finished augwise train, or {missing}"
        )
    from .. import models

    network = models.build(model, len(source.class_names), source[0][0].shape[0])
    return models.Normalized(models.load_weights(network, checkpoint), mean, std).eval().requires_grad_(False)
