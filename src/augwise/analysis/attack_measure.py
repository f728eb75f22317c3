"""What a sparse perturbation is, measured: success, norms, bounds, eight bits. Looks at pictures and one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..importance.margin import margin, rows_of
from .statistics import paired, summarise, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

TOUCHED = 1e-6
"""An entry counts as changed from here: above rounding, far below one level of eight bits."""
TOLERANCE = 1e-5
"""How far a bound may be overstepped by rounding."""


class Counted(nn.Module):
    """A model that counts the images that pass through it, forwards and backwards."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        self.forwards += len(images)
        logits = self.model(images)
        if logits.requires_grad:
            logits.register_hook(self._backward)
        return logits

    def _backward(self, grad: Tensor) -> None:
        self.backwards += len(grad)


@dataclass(frozen=True)
class Measured:
    """Per image, as (N,) arrays: fooled, changed pixels and entries, ‖delta‖₂, ‖delta‖∞, whether epsilon and the valid
    pixels were kept, and whether the picture still fools when it is rounded to eight bits."""

    fooled: np.ndarray
    pixels: np.ndarray
    entries: np.ndarray
    l2: np.ndarray
    linf: np.ndarray
    inside_epsilon: np.ndarray
    inside_box: np.ndarray
    fooled_8bit: np.ndarray


@torch.no_grad()
def measure(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    targets: Tensor | None,
    delta: Tensor,
    epsilon: float | None,
    batch_size: int = 256,
) -> Measured:
    """Measure perturbations (N, C, H, W) of images in [0, 1]; epsilon: the bound to check, None: none."""
    fooled, fooled_8bit = [], []
    for r in torch.arange(len(images)).split(batch_size):
        perturbed = images[r] + delta[r]
        levels = (perturbed.clamp(0, 1) * 255).round() / 255
        for found, shown in ((fooled, perturbed), (fooled_8bit, levels)):
            found.append(margin(model(shown), labels[r], rows_of(targets, r)) > 0)
    size = delta.abs()
    perturbed = images + delta
    limit = float("inf") if epsilon is None else epsilon
    low, high = perturbed.amin((1, 2, 3)), perturbed.amax((1, 2, 3))
    values = (
        torch.cat(fooled),
        (size > TOUCHED).any(1).sum((1, 2)),
        (size > TOUCHED).sum((1, 2, 3)),
        size.square().sum((1, 2, 3)).sqrt(),
        size.amax((1, 2, 3)),
        size.amax((1, 2, 3)) <= limit + TOLERANCE,
        (low >= -TOLERANCE) & (high <= 1 + TOLERANCE),
        torch.cat(fooled_8bit),
    )
    return Measured(*(value.cpu().numpy() for value in values))


def row_of(found: Measured, every_pixel: int) -> dict[str, Any]:
    """The numbers of one row of the table; norms over the images that were fooled.

    with_failures: mean of changed pixels where an image that was not fooled counts as all ``every_pixel`` of it: the
    one number that neither rewards giving up nor forgets sparsity, by which attacks are ranked.
    """
    fooled, n = found.fooled, len(found.fooled)
    won = int(fooled.sum())
    interval = wilson(won, n)
    return {
        "n": n,
        "fooled": won,
        "success": {"rate": won / n, "interval": None if interval is None else list(interval)},
        "pixels": _of(found.pixels[fooled]),
        "median_pixels": float(np.median(found.pixels[fooled])) if won else None,
        "entries": _of(found.entries[fooled]),
        "l2": _of(found.l2[fooled]),
        "linf": _of(found.linf[fooled]),
        "largest_linf": float(found.linf[fooled].max()) if won else None,
        "with_failures": float(np.where(fooled, found.pixels, every_pixel).mean()),
        "outside_epsilon": int((~found.inside_epsilon).sum()),
        "outside_box": int((~found.inside_box).sum()),
        "survive_8bit": float(found.fooled_8bit[fooled].mean()) if won else None,
    }


def against(found: Measured, best: Measured) -> dict[str, Any] | None:
    """Changed pixels minus the best attack's, paired over the images that both fooled, with the 95 % interval."""
    both = np.flatnonzero(found.fooled & best.fooled).tolist()
    difference = paired({i: float(found.pixels[i]) for i in both}, {i: float(best.pixels[i]) for i in both})
    return None if difference is None else dict(difference)


def common(rows: Sequence[Measured]) -> tuple[int, list[float | None]]:
    """How many images all attacks fooled, and each attack's mean of changed pixels on these."""
    every = np.logical_and.reduce([row.fooled for row in rows])
    count = int(every.sum())
    return count, [float(row.pixels[every].mean()) if count else None for row in rows]


def _of(values: np.ndarray) -> dict[str, Any] | None:
    """n, mean, std and the 95 % interval of the mean by Student's t."""
    if not len(values):
        return None
    numbers = dict(enumerate(values.astype(np.float64).tolist()))
    interval = paired(numbers, dict.fromkeys(numbers, 0.0))
    assert interval is not None
    return dict(interval) | {"std": summarise(list(numbers.values()))["std"]}
