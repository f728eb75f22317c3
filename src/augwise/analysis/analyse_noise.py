"""``analyse noise``: loss and accuracy when Gaussian noise is added to all weights."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .analyse_config import AnalyseNoise
from .analyse_kept import Kept
from .analyse_runs import Images, Subject, bar_of, check_answers, described, images_of, measure, opened
from .directions import Direction, Place, filter_normalised, gaussian, moving
from .hessian import exact
from .statistics import summarise


def noise(config: AnalyseNoise, out: Path) -> dict[str, Any]:
    """Of every run mean loss and accuracy at θ + σ n for each σ, n ~ N(0, 1) for every weight (Zhang et al. 2018, which
    DCutMix follows for its Figure 3b); scale="filter": n / ‖n‖ · ‖θ‖ for every filter.

    The same draws serve all sigmas and, for networks of one architecture, all runs. Running statistics stay.
    """
    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit)
    check_answers(subjects, images)
    sigmas = sorted({0.0, *config.sigmas})
    kept = Kept(out, {"images": images.fingerprint, "seed": config.on.seed, "batch": config.on.batch_size})
    rows = [_look(config, subject, images, kept, sigmas) for subject in subjects]
    return {"data": described(config.on, images), "sigmas": sigmas, "runs": rows}


def _look(config: AnalyseNoise, subject: Subject, images: Images, kept: Kept, sigmas: list[float]) -> dict[str, Any]:
    cells = []
    with moving(subject.model) as place:
        for draw in range(config.draws):
            key = {"model": subject.fingerprint, "scale": config.scale, "sigmas": sigmas, "draw": draw}
            add = partial(_add, config, subject, images, place, sigmas, draw)
            cells.append(kept.cell(f"{subject.name}-draw-{draw}", key, add))
    points = [_point(sigma, [(c["loss"][i], c["accuracy"][i]) for c in cells]) for i, sigma in enumerate(sigmas)]
    return subject.about() | {
        "loss": points[0]["loss"]["mean"],
        "accuracy": points[0]["accuracy"]["mean"],
        "points": points,
    }


def _add(
    config: AnalyseNoise, subject: Subject, images: Images, place: Place, sigmas: list[float], draw: int
) -> dict[str, np.ndarray]:
    found = []
    with exact(), bar_of(len(sigmas), f"noise on {subject.name}, draw {draw + 1}", config.on.quiet) as bar:
        place([], [])
        direction = _direction(config, subject, draw)
        for sigma in sigmas:
            place([direction], [sigma])
            found.append(measure(subject.model, images.batches(config.on.batch_size)))
            bar.update()
        place([], [])
    return {"loss": np.array([loss for loss, _ in found]), "accuracy": np.array([right for _, right in found])}


def _direction(config: AnalyseNoise, subject: Subject, draw: int) -> Direction:
    drawn = gaussian(subject.model, config.on.seed, "noise", draw)
    return filter_normalised(drawn, list(subject.model.parameters())) if config.scale == "filter" else drawn


def _point(sigma: float, measured: list[tuple[float, float]]) -> dict[str, Any]:
    """Over the draws: mean and deviation, smallest and largest; a loss that is not finite is none."""
    point: dict[str, Any] = {"sigma": sigma}
    for name, values in zip(("loss", "accuracy"), zip(*measured, strict=True), strict=True):
        finite = [float(v) for v in values if math.isfinite(v)]
        ends = {"low": min(finite), "high": max(finite)} if finite else {"low": None, "high": None}
        point[name] = {**(summarise(finite) if finite else {"n": 0, "mean": None, "std": None}), **ends}
    return point
