"""``analyse landscape``: the loss around trained weights, along two directions and over the plane that they span."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .analyse_config import AnalyseLandscape
from .analyse_kept import Kept
from .analyse_runs import Images, Subject, bar_of, check_answers, check_room, described, images_of, measure, opened
from .directions import Direction, Place, filter_normalised, flat, gaussian, moving, shaped
from .hessian import HessianVector, exact
from .lanczos import top_pairs

RADIUS = {"hessian": 0.5, "random": 1.0}


def landscape(config: AnalyseLandscape, out: Path) -> dict[str, Any]:
    """Of every run the loss and accuracy on two lines through its weights and on a grid over their plane.

    L(θ + a d₁ + b d₂) in eval mode: running statistics stay those of θ. With ``directions="hessian"`` d₁ and d₂ are the
    eigenvectors of the two largest eigenvalues of the Hessian of this very loss, of length 1; a step of one unit is
    then as far for every network. With "random" they are Gaussian and filter-normalised (Li et al. 2018).
    """
    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit)
    check_answers(subjects, images)
    for subject in subjects if config.directions == "hessian" else ():
        check_room(subject, config.steps, "fewer --steps, or --directions random")
    radius = config.radius if config.radius is not None else RADIUS[config.directions]
    kept = Kept(out, {"images": images.fingerprint, "radius": radius, "directions": config.directions})
    rows = [_look(config, subject, images, kept, radius) for subject in subjects]
    return {"data": described(config.on, images), "radius": radius, "runs": rows}


def _look(config: AnalyseLandscape, subject: Subject, images: Images, kept: Kept, radius: float) -> dict[str, Any]:
    axes, found = _directions(config, subject, images, kept)
    lines, grid = _steps(radius, config.points), _steps(radius, config.grid)
    places = [[(t, 0.0) for t in lines], [(0.0, t) for t in lines]] + [[(a, b) for a in grid] for b in grid]
    key = {"model": subject.fingerprint, "seed": config.on.seed, "batch": config.on.batch_size, "steps": config.steps}
    made = []
    with (
        moving(subject.model) as place,
        bar_of(sum(map(len, places)), f"landscape of {subject.name}", config.on.quiet) as bar,
    ):
        for i, points in enumerate(places):
            walk = partial(_walk, config, subject, images, place, axes, points, bar)
            made.append(kept.cell(f"{subject.name}-{_row_name(i)}", key | {"points": points}, walk))
            bar.n = sum(map(len, places[: i + 1]))
    middle = len(lines) // 2
    return subject.about() | {
        "loss": float(made[0]["loss"][middle]),
        "accuracy": float(made[0]["accuracy"][middle]),
        "directions": found,
        "lines": [{"steps": lines, **_plain(cell)} for cell in made[:2]],
        "surface": {"steps": grid, **_grid(made[2:])} if grid else None,
    }


def _walk(
    config: AnalyseLandscape, subject: Subject, images: Images, place: Place, axes: list[Direction],
    points: list[tuple[float, float]], bar: Any,
) -> dict[str, np.ndarray]:  # fmt: skip
    losses, rights = [], []
    with exact():
        for steps in points:
            place(axes, steps)
            loss, right = measure(subject.model, images.batches(config.on.batch_size))
            losses.append(loss)
            rights.append(right)
            bar.update()
    return {"loss": np.array(losses), "accuracy": np.array(rights)}


def _directions(
    config: AnalyseLandscape, subject: Subject, images: Images, kept: Kept
) -> tuple[list[Direction], list[dict[str, Any]]]:
    weights = list(subject.model.parameters())
    if config.directions == "random":
        drawn = [gaussian(subject.model, config.on.seed, "landscape", i) for i in range(2)]
        return [filter_normalised(d, weights) for d in drawn], [{}, {}]
    key = {"model": subject.fingerprint, "seed": config.on.seed, "batch": config.on.batch_size, "steps": config.steps}
    cell = kept.cell(f"{subject.name}-directions", key, partial(_steepest, config, subject, images))
    axes = [shaped(torch.from_numpy(v).to(weights[0].device), weights) for v in cell["vectors"]]
    pairs = zip(cell["values"].tolist(), cell["residuals"].tolist(), strict=True)
    return axes, [{"eigenvalue": value, "residual": residual} for value, residual in pairs]


def _steepest(config: AnalyseLandscape, subject: Subject, images: Images) -> dict[str, np.ndarray]:
    product = HessianVector(subject.model, lambda: images.batches(config.on.batch_size))
    start = flat(gaussian(subject.model, config.on.seed, "hessian"))
    with bar_of(config.steps, f"directions of {subject.name}", config.on.quiet) as bar:

        def counted(vector: torch.Tensor) -> torch.Tensor:
            bar.update()
            return product(vector)

        found = top_pairs(counted, start, 2, config.steps)
    vectors = found.vectors.cpu().numpy()
    # An eigenvector has no sign of its own: the largest entry is made positive.
    largest = np.take_along_axis(vectors, abs(vectors).argmax(1)[:, None], 1)
    return {"values": found.values, "vectors": vectors * np.sign(largest), "residuals": found.residuals}


def _steps(radius: float, points: int) -> list[float]:
    """From −radius to radius, the middle one exactly 0."""
    half = points // 2
    return [radius * i / half for i in range(-half, half + 1)] if points else []


def _row_name(i: int) -> str:
    return f"line-{i + 1}" if i < 2 else f"row-{i - 2:03d}"


def _grid(rows: list[dict[str, np.ndarray]]) -> dict[str, Any]:
    """loss[j][i] at step i of the first direction and j of the second."""
    return {name: [_plain(row)[name] for row in rows] for name in ("loss", "accuracy")}


def _plain(cell: dict[str, np.ndarray]) -> dict[str, list[float | None]]:
    """As JSON knows it: what is not finite, far from the weights, is None."""
    return {name: [v if math.isfinite(v) else None for v in values.tolist()] for name, values in cell.items()}
