"""Slow and obvious checks of pruning: one image, one pixel, one forward pass at a time."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def fooled(model: nn.Module, image: Tensor, label: int, target: int | None, slack: float) -> bool:
    """Whether the true class is behind by more than ``slack`` (or the target ahead by it)."""
    logits = model(image[None])[0].tolist()
    if target is None:
        return max(z for c, z in enumerate(logits) if c != label) - logits[label] > slack
    return logits[target] - max(z for c, z in enumerate(logits) if c != target) > slack


def spare(
    model: nn.Module, image: Tensor, label: int, delta: Tensor, mask: Tensor, target: int | None, slack: float
) -> list[tuple[int, int]]:
    """The open pixels that can be closed, each alone, with the image still fooled."""
    found = []
    for i, j in mask.nonzero().tolist():
        less = mask.clone()
        less[i, j] = False
        if fooled(model, image + delta * less, label, target, slack):
            found.append((i, j))
    return found


def fewest(weights: Tensor, room: Tensor, needed: float) -> int:
    """A linear score falls by at most |weights| · room at each pixel: the fewest pixels that take ``needed`` from it.

    weights, room: (C, H, W).
    """
    gains = sorted((weights.abs() * room).sum(0).flatten().tolist(), reverse=True)
    total = 0.0
    for count, gain in enumerate(gains, 1):
        total += gain
        if total > needed:
            return count
    return -1


def sequential_prune(model: nn.Module, image: Tensor, label: int, delta: Tensor, mask: Tensor, slack: float) -> Tensor:
    """Close pixels one after the other as long as one can be: another 1-minimal mask, for comparison."""
    mask = mask.clone()
    while found := spare(model, image, label, delta, mask, None, slack):
        mask[found[0]] = False
    return mask


@torch.no_grad()
def plane(normal: Tensor, gap: float, low: Tensor, high: Tensor) -> Tensor:
    """SparseFool's linear problem by its loop: entries by falling |normal|, each to its bound, until the gap is met."""
    delta, reached, sign = torch.zeros_like(normal), 0.0, 1 if gap > 0 else -1
    for at in normal.flatten().abs().argsort(descending=True).tolist():
        w = normal.flatten()[at].item()
        if reached >= abs(gap) or w == 0:
            break
        bound = (high if w * sign > 0 else low).flatten()[at].item()
        step = min(abs(bound), (abs(gap) - reached) / abs(w))
        delta.view(-1)[at] = step if bound > 0 else -step
        reached += step * abs(w)
    return delta
