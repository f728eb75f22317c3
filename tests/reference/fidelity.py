"""Erasure fidelity, one image, one window, one pass at a time, ranks by SciPy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata, spearmanr
from torch import Tensor, nn


def drops(model: nn.Module, image: Tensor, label: int, boxes: list[list[int]], fill: float | None) -> list[float]:
    """What erasing each box costs; fill: a value, or None for the mean colour."""

    def score(x: Tensor) -> float:
        with torch.no_grad():
            return model(x[None]).double().log_softmax(1)[0, label].item()

    found = []
    for top, left, bottom, right in boxes:
        erased = image.clone()
        for c in range(len(image)):
            erased[c, top:bottom, left:right] = image[c].mean() if fill is None else fill
        found.append(score(image) - score(erased))
    return found


def fidelity(importance: np.ndarray, drops: list[float], boxes: list[list[int]]) -> float:
    """Spearman's correlation of the map's sums over the boxes with the drops."""
    sums = [float(importance[t:b, left:r].astype(np.float64).sum()) for t, left, b, r in boxes]
    return float(spearmanr(sums, drops).statistic)


def partial(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> float:
    """Correlation of what straight lines over the ranks of z leave of the ranks of x and y, by least squares."""
    ranks = [rankdata(v) for v in (x, y, z)]
    ones = np.stack([np.ones(len(x)), ranks[2]], 1)
    rest = [r - ones @ np.linalg.lstsq(ones, r, rcond=None)[0] for r in ranks[:2]]
    return float(np.corrcoef(*rest)[0, 1])
