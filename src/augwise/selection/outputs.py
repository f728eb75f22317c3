"""What a classifier says of every image, and the features it says it from: one pass over a data set, in its order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..importance.job import frozen
from ..models.build import find_head
from .pictures import Pictures, check_batch_size


@torch.no_grad()
def probabilities(
    model: nn.Module, dataset: Any, batch_size: int = 256, device: Any = None, progress: bool = True
) -> Tensor:
    """Softmax output for every image, (N, C) float32 on the CPU; model: see `mixed_losses`."""
    with _looked_at(model, dataset, batch_size, device, progress) as batches:
        return torch.cat([model(images).float().softmax(1).cpu() for images in batches])


@torch.no_grad()
def features(
    model: nn.Module, dataset: Any, batch_size: int = 256, device: Any = None, progress: bool = True
) -> Tensor:
    """What the model's last layer is given, (N, D) float32 on the CPU; of a convolution its mean over the places."""
    seen: list[Tensor] = []
    hook = model.get_submodule(find_head(model)).register_forward_pre_hook(lambda _, given: seen.append(flat(given[0])))
    try:
        with _looked_at(model, dataset, batch_size, device, progress) as batches:
            del seen[:]  # of the look at whether the model fits
            for images in batches:
                model(images)
    finally:
        hook.remove()
    return torch.cat(seen)


def flat(given: Tensor) -> Tensor:
    """(B, D) of (B, D) or of (B, D, H, W)."""
    return (given if given.ndim == 2 else given.flatten(2).mean(2)).float().cpu()


@contextmanager
def _looked_at(
    model: nn.Module, dataset: Any, batch_size: int, device: Any, progress: bool
) -> Iterator[Iterator[Tensor]]:
    """Batches of all images in their order, checked to fit the model, which is frozen meanwhile."""
    check_batch_size(batch_size)
    with frozen(model, device) as where:
        pictures = dataset if isinstance(dataset, Pictures) else Pictures(dataset, where, progress)
        pictures.check(model)
        starts = tqdm(range(0, len(pictures), batch_size), "looking at images", disable=not progress, leave=False)
        yield (pictures.batch(torch.arange(at, min(at + batch_size, len(pictures)))) for at in starts)
