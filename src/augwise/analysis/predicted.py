"""What a classifier takes every image of a source for, where its label is not there or not to be believed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torchvision.transforms.v2 import functional as V
from tqdm import tqdm

if TYPE_CHECKING:
    from ..data import Source

_BATCH = 256


@torch.no_grad()
def predicted_labels(
    model: nn.Module, source: Source, device: torch.device | str, size: int | None = None, progress: bool = True
) -> np.ndarray:
    """(N,) int64, the class of the largest logit. model: in eval mode, pixels in [0, 1]; size: stretch every image to a
    square of so many pixels first."""
    model = model.to(device)
    found = []
    for first in tqdm(range(0, len(source), _BATCH), "predicting", disable=not progress, leave=False, delay=2):
        rows = range(first, min(first + _BATCH, len(source)))
        images = [source[i][0] for i in rows]
        if size is not None:
            images = [V.resize(image, [size, size], antialias=True) for image in images]
        found.append(model(torch.stack(images).to(device).float() / 255).argmax(1).cpu())
    return torch.cat(found).numpy()
