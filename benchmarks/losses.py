"""Losses of mixed labels beside torch's own on dense targets, at 1 000 classes: time, and memory kept for the gradient.

    python -m benchmarks.losses --json losses.json

A batch of 128 pictures of three images each, logits of 1 000 classes, one thread. ``NAME_ms`` is the median of loss and
gradient, ``dense_...`` includes building the target; ``NAME_kept_mb`` is what the forward pass keeps for the gradient,
without the logits, in MB (the logits have 0.512).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._common import medians_ms, run  # before torch: it sets the thread variables

# isort: split
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

import augwise as aw

N, CLASSES, K = 128, 1000, 3
Losses = dict[str, Callable[[Tensor], Tensor]]


def losses(labels: aw.MixedLabels) -> Losses:
    """Pairs of the same loss, ours and of the dense target."""

    def dense_bce(x: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x, labels.dense(CLASSES))

    return {
        "cross_entropy": labels.cross_entropy,
        "dense_cross_entropy": lambda x: F.cross_entropy(x, labels.dense(CLASSES)),
        "smoothed_cross_entropy": lambda x: labels.cross_entropy(x, 0.1),
        "dense_smoothed_cross_entropy": lambda x: F.cross_entropy(x, labels.dense(CLASSES, 0.1)),
        "bce": labels.bce,
        "dense_bce": dense_bce,
        "focal": labels.focal,
        "binary_focal": labels.binary_focal,
        "dense_binary_focal": lambda x: sigmoid_focal_loss(x, labels.dense(CLASSES), reduction="mean"),
    }


def kept_mb(loss: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """What autograd holds on to after the forward pass, each storage once, without the logits."""
    sizes: dict[int, int] = {}

    def noted(t: Tensor) -> Tensor:
        sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(noted, lambda t: t):
        alive = loss(x)  # until it is counted: a storage that is freed may come back as another's
    sizes.pop(x.untyped_storage().data_ptr(), None)
    del alive
    return sum(sizes.values()) / 1e6


def measure() -> dict[str, Any]:
    torch.manual_seed(0)
    rows = torch.stack([torch.randperm(N) for _ in range(K)], 1)
    labels = aw.MixedLabels.of(torch.randint(0, CLASSES, (N,))).joined(rows, torch.rand(N, K).softmax(1))
    x = torch.randn(N, CLASSES, requires_grad=True)
    every = losses(labels)
    calls = {name: lambda loss=loss: torch.autograd.grad(loss(x), x) for name, loss in every.items()}
    results: dict[str, Any] = {f"{name}_ms": ms for name, ms in medians_ms(calls, budget=1.0).items()}
    return results | {f"{name}_kept_mb": kept_mb(loss, x) for name, loss in every.items()}


if __name__ == "__main__":
    run(__doc__, measure)
