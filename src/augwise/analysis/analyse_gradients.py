"""``analyse gradients``: how much an attack changes the gradient that saliency maps are made of (IPF-RDA, Fig. 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .analyse_config import AnalyseGradients
from .analyse_kept import Kept
from .analyse_robustness import random_start
from .analyse_runs import Images, Subject, bar_of, check_answers, described, images_of, opened
from .attack_table import fraction
from .hessian import exact
from .input_curvature import input_curvature, input_gradient, widened
from .linf_attacks import Attacked, fgsm, pgd

SMALL = 0.01  # the paper's threshold
EDGES = np.linspace(-4, 5, 37)  # of log10 Pr; what lies outside counts in the outermost bins
_NUMBERS = 2**26  # of the Jacobian, held at once


def gradients(config: AnalyseGradients, out: Path) -> dict[str, Any]:
    """Of every run and epsilon: Pr = ‖g_{x+δ} − g_x‖ / ‖g_x‖ over the images, with g_x = ∂L(x, y)/∂x the gradient of
    the cross-entropy of the label in the pixels of [0, 1], δ of an ℓ∞ attack of that size, and ‖·‖ over all pixels and
    channels (Euclidean).

    The paper says that more than 98 % of CIFAR-10's training images have Pr < 1 %. It leaves open which attack, its
    norm and size, the network, the norm of the gradients, and whether images count that the attack did not fool. Here
    the attack is that of the configuration, and both are given: over all images, and over those that were right before
    and are wrong after (``fooled``). An image without a gradient has no Pr (``blind``). ``rounded``: the attack did not
    move the gradient at all.

    Beside it, with ``bound``: ``first_order``, ‖H δ‖ / ‖g_x‖ of Eq. 3 with the attack's own δ, and ``error``, how far
    H δ is from the change, ‖Δg − H δ‖ / ‖Δg‖; ``bound``, the right side of Eq. 4 over ‖g_x‖, ``bound_below``, the share
    of images where that is below 1 %, and ``holds``, the share whose change is within it. H is `InputCurvature`.
    Eq. 4 puts ε in the place of the number of steps times their size, of steps along the gradient itself: under an
    attack that walks by the gradient's sign, with small gradients, it promises too much.
    """
    epsilons = {text: fraction(text) for text in config.epsilons}
    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit)
    check_answers(subjects, images)
    kept = Kept(out, {"images": images.fingerprint, "seed": config.on.seed, "batch": config.on.batch_size})
    rows = []
    for subject in subjects:
        for text, epsilon in epsilons.items():
            found = _cell(config, subject, images, epsilon, kept)
            rows.append({"run": subject.name, "epsilon": epsilon, "text": text, **_row(found)})
    return {
        "data": described(config.on, images),
        "runs": [s.about() for s in subjects],
        "edges": EDGES.tolist(),
        "rows": rows,
    }


def _cell(
    config: AnalyseGradients, subject: Subject, images: Images, epsilon: float, kept: Kept
) -> dict[str, np.ndarray]:
    options = {"steps": config.steps, "alpha": config.step, "start": config.random_start}
    key = {
        "model": subject.fingerprint,
        "attack": config.attack,
        "epsilon": epsilon,
        "bound": config.bound,
        **(options if config.attack == "pgd" else {}),
    }
    name = f"{subject.name}-{config.attack}-{epsilon:.6f}"
    return kept.cell(name, key, lambda: _measure(config, subject, images, epsilon))


def _measure(config: AnalyseGradients, subject: Subject, images: Images, epsilon: float) -> dict[str, np.ndarray]:
    """Of every image: before, after (right), gradient, change (norms), and with ``bound`` first_order, apart, bound."""
    parts: dict[str, list[Tensor]] = {}
    hashes = images.hashes if config.attack == "pgd" and config.random_start else []
    what, begin = f"gradients of {subject.name}, epsilon {255 * epsilon:g}/255", 0
    with exact(), bar_of(len(images), what, config.on.quiet) as bar:
        for pixels, labels in images.batches(config.on.batch_size):
            start = random_start(config.on.seed, pixels, hashes[begin : begin + len(pixels)])
            moved = _attacked(config, subject.model, pixels, labels, epsilon, start).images
            for name, values in _compared(config, subject.model, pixels, moved, labels, epsilon).items():
                parts.setdefault(name, []).append(values.cpu())
            begin += len(pixels)
            bar.update(len(pixels))
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def _attacked(
    config: AnalyseGradients, model: nn.Module, pixels: Tensor, labels: Tensor, epsilon: float, start: Tensor
) -> Attacked:
    if config.attack == "fgsm":
        return fgsm(model, pixels, labels, epsilon)
    return pgd(model, pixels, labels, epsilon, start, config.steps, config.step * epsilon)


def _compared(
    config: AnalyseGradients, model: nn.Module, pixels: Tensor, moved: Tensor, labels: Tensor, epsilon: float
) -> dict[str, Tensor]:
    with torch.no_grad():
        logits, later = model(pixels), model(moved)
    before, after = (found.argmax(1) == labels for found in (logits, later))
    g = input_gradient(model, pixels, labels)
    change = input_gradient(model, moved, labels) - g
    found = {"before": before, "after": after, "gradient": _norm(g), "change": _norm(change)}
    if config.bound:
        told: dict[str, list[Tensor]] = {"first_order": [], "apart": [], "bound": []}
        portion = max(1, _NUMBERS // (logits.shape[1] * pixels[0].numel()))
        for x, y, slope, apart in zip(*(t.split(portion) for t in (pixels, moved, g, change)), strict=True):
            curvature = input_curvature(model, x)
            line = curvature.times(y - x)
            told["first_order"].append(_norm(line))
            told["apart"].append(_norm(apart - line))
            told["bound"].append(curvature.bound(slope, epsilon))
        found |= {name: torch.cat(values) for name, values in told.items()}
    return found


def _norm(gradient: Tensor) -> Tensor:
    """(N,) float64: squares of small gradients would be lost in float32."""
    return widened(gradient.flatten(1)).norm(dim=1)


def _row(found: dict[str, np.ndarray]) -> dict[str, Any]:
    seen = found["gradient"] > 0
    fooled = found["before"] & ~found["after"]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = found["change"] / found["gradient"]
    row: dict[str, Any] = {
        "accuracy": float(found["before"].mean()),
        "attacked": float(found["after"].mean()),
        "blind": float((~seen).mean()),
        "rounded": float((seen & (found["change"] == 0)).mean()),
        "all": _told(share[seen]),
        "fooled": _told(share[seen & fooled]),
        "counts": _counts(share[seen]).tolist(),
        "counts_fooled": _counts(share[seen & fooled]).tolist(),
    }
    if "bound" in found:
        changed = seen & (found["change"] > 0)
        row |= {
            "first_order": _median(found["first_order"][seen] / found["gradient"][seen]),
            "error": _median(found["apart"][changed] / found["change"][changed]),
            "bound": _median(found["bound"][seen] / found["gradient"][seen]),
            "bound_below": float((found["bound"][seen] < SMALL * found["gradient"][seen]).mean())
            if seen.any()
            else None,
            "holds": float((found["change"][seen] <= found["bound"][seen]).mean()) if seen.any() else None,
        }
    return row


def _told(share: np.ndarray) -> dict[str, Any]:
    if not len(share):
        return {"images": 0, "below": None, "median": None, "low": None, "high": None}
    low, median, high = np.quantile(share, (0.1, 0.5, 0.9))
    below = float((share < SMALL).mean())
    return {"images": len(share), "below": below, "median": float(median), "low": float(low), "high": float(high)}


def _counts(share: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.histogram(np.log10(share).clip(EDGES[0], EDGES[-1]), EDGES)[0]


def _median(values: np.ndarray) -> float | None:
    """None where there are none, or where half of them are infinite."""
    middle = float(np.median(values)) if len(values) else np.inf
    return middle if np.isfinite(middle) else None
