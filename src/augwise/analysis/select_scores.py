"""Scores of all images by the measure that was asked for; what takes long is kept in ``OUT`` as it comes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from .select_config import MIXED, TRAINED, SelectConfig

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..models.normalized import Normalized


def scores_of(config: SelectConfig, source: Source, device: str) -> dict[str, np.ndarray]:
    """``scores`` (N,) float64, and for the measures of mixed losses also ``losses``, ``predictive``, ``cv``, ``mean``
    and ``std``, for forgetting ``right``."""
    if config.measure == "random":
        from ..selection import random_scores

        return {"scores": random_scores(len(source), config.seed)}
    if config.measure in TRAINED:
        from .select_networks import error_scores, forgotten

        return error_scores(config, source, device) if config.measure == "el2n" else forgotten(config, source, device)
    from .reference_model import reference_model

    c = config
    model = reference_model(source, c.run, c.model, c.checkpoint, c.mean, c.std, f"--measure {c.measure}")
    model.to(device)
    return _mixed(c, model, source) if c.measure in MIXED else _of_model(c, model, source)


def _mixed(config: SelectConfig, model: Normalized, source: Source) -> dict[str, np.ndarray]:
    from ..selection import coefficient_of_variation, loss_std, mean_loss, mixed_losses

    c = config
    how: dict[str, Any] = {"mixer": c.mixer, "anchor_share": c.anchor_share, "alpha": c.alpha, "mixes": c.mixes}
    found = mixed_losses(
        model,
        source,
        **how,
        seed=c.seed,
        batch_size=c.batch_size,
        path=c.out / f"mixes-{_key(c, model, **how)}.npz",
        progress=not c.quiet,
    )
    measured = {
        "cv": coefficient_of_variation(found.losses),
        "mean": mean_loss(found.losses),
        "std": loss_std(found.losses),
    }
    return {"scores": measured[c.measure], **measured, **found._asdict()}


def _of_model(config: SelectConfig, model: Normalized, source: Source) -> dict[str, np.ndarray]:
    from ..selection import k_center, mc_dropout

    c = config
    ways: dict[str, Any] = {"batch_size": c.batch_size, "progress": not c.quiet}
    if c.measure == "k-center":
        most = int(max(c.fractions) * len(source)) + len(source.class_names)  # no more than is ever chosen
        device = next(model.parameters()).device
        return {"scores": k_center(model, source, per_class=c.per_class, most=most, device=device, **ways)}
    how = {"passes": c.passes, "rate": c.dropout}
    path = c.out / f"dropout-{_key(c, model, **how)}.npz"
    try:
        return {"scores": mc_dropout(model, source, **how, seed=c.seed, path=path, **ways)}
    except UserError as error:
        raise UserError(str(error).replace("give rate=0.5", "give --dropout 0.5")) from None


def _key(config: SelectConfig, model: Normalized, **how: Any) -> str:
    """A file name that changes with what decides the numbers, so that one folder holds those of several settings."""
    from ..fingerprints import model_fingerprint

    names = ("data", "split", "subset", "limit", "size", "data_seed", "seed")
    decides = [model_fingerprint(model), *(getattr(config, name) for name in names), how]
    return hashlib.blake2b(json.dumps(decides, default=str).encode(), digest_size=6).hexdigest()
