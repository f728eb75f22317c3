"""How wrong young networks are about an image: EL2N, the norm of the error early in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from .outputs import probabilities
from .pictures import Pictures, home


def error_norms(p: Tensor, labels: Tensor) -> Tensor:
    """‖p_i − y_i‖₂ of every image, (N,) float64 in [0, √2]. p: (N, C) softmax outputs; labels: (N,) int64."""
    error = p.double()
    return (error - nn.functional.one_hot(labels, error.shape[1])).norm(dim=1)


def el2n(
    models: Sequence[nn.Module],
    dataset: Any,
    *,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    progress: bool = True,
) -> np.ndarray:
    """EL2N scores, (N,) float64: E ‖p(x_i) − y_i‖₂ over several networks of other seeds, a few epochs into training
    (Paul et al. 2021, Definition 2.2; the paper has 10 networks at 20 of 200 epochs).

    About the norm of the loss's gradient, so the highest change the network most; `augwise select` trains the networks.
    models: see `mixed_losses`, each in eval mode, at least one.
    """
    if not models:
        raise UserError("el2n has no networks to ask: give several, trained for a few epochs from other seeds")
    place = home(models[0], device)
    pictures = Pictures(dataset, place, progress)
    labels, total = pictures.labels.cpu(), torch.zeros(len(pictures), dtype=torch.float64)
    for model in models:
        total += error_norms(probabilities(model, pictures, batch_size, place, progress), labels)
    return (total / len(models)).numpy()
