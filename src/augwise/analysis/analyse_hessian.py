"""``analyse hessian``: how curved the loss is at the trained weights, by products with its Hessian alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .analyse_config import AnalyseHessian
from .analyse_kept import Kept
from .analyse_runs import Images, Subject, bar_of, check_answers, check_room, described, images_of, measure, opened
from .directions import flat, gaussian
from .hessian import HessianVector, exact
from .lanczos import after, density, krylov, power_iteration, quadrature, rademacher, top_pairs

_POINTS = 400  # of the density that is drawn
_NEARLY = 1e-3  # of the largest magnitude: what is nearer to zero has no sign that float32 could tell
_WIDTH = 1 / 200  # of its Gaussians, as a share of the spectrum


def hessian(config: AnalyseHessian, out: Path) -> dict[str, Any]:
    """Of every run the largest eigenvalues of the Hessian of its mean loss, its trace, and its spectral density.

    The Hessian is that of the cross-entropy of just these images, in eval mode, in float32. Trace = P · mean vᵀHv over
    probes v of ±1/√P (Hutchinson 1990). negative: share of the spectrum's mass clearly below zero (by 0.001 of the
    largest), and ``lowest`` the least node: at a minimum there is none."""
    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit)
    check_answers(subjects, images)
    for subject in subjects:
        if config.top > subject.weights:
            raise UserError(f"--top {config.top}: {subject.name} has {subject.weights} weights alone")
        lanczos = config.steps if config.top and config.solver == "lanczos" else config.top
        cure = "fewer --steps and --probe-steps, or --solver power --probes 0"
        check_room(subject, max(lanczos, config.probe_steps if config.probes else 0), cure)
    kept = Kept(out, {"images": images.fingerprint, "seed": config.on.seed, "batch": config.on.batch_size})
    rows = [_look(config, subject, images, kept) for subject in subjects]
    _densities(rows)
    return {"data": described(config.on, images), "runs": rows}


def _look(config: AnalyseHessian, subject: Subject, images: Images, kept: Kept) -> dict[str, Any]:
    batches = partial(images.batches, config.on.batch_size)
    product, model = HessianVector(subject.model, batches), {"model": subject.fingerprint}
    with exact():
        loss, accuracy = measure(subject.model, batches())
    row = subject.about() | {"parameters": product.size, "loss": loss, "accuracy": accuracy}
    if config.top:
        key = model | {"top": config.top, "solver": config.solver, "steps": config.steps, "tolerance": config.tolerance}
        found = kept.cell(f"{subject.name}-top", key, partial(_top, config, subject, product))
        row["eigenvalues"] = [
            {"value": v, "residual": r, "found": r <= config.tolerance * abs(v)}
            for v, r in zip(found["values"].tolist(), found["residuals"].tolist(), strict=True)
        ]
        row |= {"products": int(found["products"]), "gradient": float(found["gradient"])}
    if config.probes:
        probes = []
        for i in range(config.probes):
            key = model | {"steps": config.probe_steps, "probe": i}
            probes.append(kept.cell(f"{subject.name}-probe-{i}", key, partial(_probe, config, subject, product, i)))
        row |= _summary(probes, product.size)
    return row


def _top(config: AnalyseHessian, subject: Subject, product: HessianVector) -> dict[str, np.ndarray]:
    count = config.top if config.solver == "power" else 1
    starts = [flat(gaussian(subject.model, config.on.seed, "hessian", i)) for i in range(count)]
    gradient = float(product.gradient().norm())
    with bar_of(config.steps * count, f"eigenvalues of {subject.name}", config.on.quiet) as bar:
        matvec = _counted(product, bar)
        if config.solver == "power":
            found = power_iteration(matvec, starts, config.steps, config.tolerance)
        else:
            found = top_pairs(matvec, starts[0], config.top, config.steps, config.tolerance)
    return {
        "values": found.values,
        "residuals": found.residuals,
        "products": np.array(found.products),
        "gradient": np.array(gradient),
    }


def _probe(config: AnalyseHessian, subject: Subject, product: HessianVector, i: int) -> dict[str, np.ndarray]:
    start = rademacher(product.size, randomness.generator(config.on.seed, "probe", i)).to(product.parameters[0].device)
    with bar_of(config.probe_steps, f"density of {subject.name}, probe {i + 1}", config.on.quiet) as bar:
        nodes, weights = quadrature(after(krylov(_counted(product, bar), start), config.probe_steps))
    return {"nodes": nodes, "weights": weights}


def _counted(product: HessianVector, bar: Any) -> Callable[[Tensor], Tensor]:
    def matvec(vector: Tensor) -> Tensor:
        bar.update()
        return product(vector)

    return matvec


def _summary(probes: list[dict[str, np.ndarray]], size: int) -> dict[str, Any]:
    traces = np.array([size * float(p["weights"] @ p["nodes"]) for p in probes])
    squares = np.array([size * float(p["weights"] @ p["nodes"] ** 2) for p in probes])
    return {
        "trace": float(traces.mean()),
        "trace_std": float(traces.std(ddof=1)) if len(traces) > 1 else None,
        "frobenius": float(np.sqrt(squares.mean())),
        "highest": max(float(p["nodes"].max()) for p in probes),
        "lowest": min(float(p["nodes"].min()) for p in probes),
        "negative": float(np.mean([p["weights"][p["nodes"] < -_NEARLY * abs(p["nodes"]).max()].sum() for p in probes])),
        "probes": [{"nodes": p["nodes"].tolist(), "weights": p["weights"].tolist()} for p in probes],
    }


def _densities(rows: list[dict[str, Any]]) -> None:
    """Density of every run at the same points, with Gaussians of one width, so that heights can be compared."""
    probed = [row for row in rows if "probes" in row]
    if not probed:
        return
    low, high = min(row["lowest"] for row in probed), max(row["highest"] for row in probed)
    width = max(high - low, 1e-12) * _WIDTH
    at = np.linspace(low - 5 * width, high + 5 * width, _POINTS)
    for row in probed:
        nodes, weights = ([np.array(p[name]) for p in row["probes"]] for name in ("nodes", "weights"))
        row["density"] = {"at": at.tolist(), "value": density(nodes, weights, at, width).tolist(), "width": width}
