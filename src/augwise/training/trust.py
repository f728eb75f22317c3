"""How far each training label is to be believed, by what a model that was trained on them finds of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from ..data import as_source
from .objectives.dividemix import clean_posterior

_BATCH = 256


@torch.no_grad()
def label_trust(
    model: nn.Module | str | Path, source: Any, device: torch.device | str = "cpu", progress: bool = True
) -> np.ndarray:
    """(N,) float32 in [0, 1], how probable it is that each label is right: the posterior of the Gaussian of small
    losses in a mixture of two, fitted to the cross-entropies of all images (J. Li et al. 2020, Section 3.1).

    model: in eval mode, pixels in [0, 1] to logits; or the folder of a finished run. One that was trained for only a
    few epochs knows best: later it has learned the wrong labels as well. source: the images under the labels in doubt.
    """
    if isinstance(model, str | Path):
        from .trained import trained

        model = trained(Path(model)).model
    source, model = as_source(source), model.to(device)
    losses = []
    for first in tqdm(range(0, len(source), _BATCH), "losses", disable=not progress, leave=False, delay=2):
        rows = range(first, min(first + _BATCH, len(source)))
        images = torch.stack([source[i][0] for i in rows]).to(device).float() / 255
        labels = torch.from_numpy(np.asarray(source.labels)[rows.start : rows.stop]).to(device)
        losses.append(nn.functional.cross_entropy(model(images).float(), labels, reduction="none").cpu())
    return clean_posterior(torch.cat(losses)).float().numpy()
