"""Class activation maps of several networks on the same images: the maps, how alike they are, and what they cover."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..importance.grad_cam import grad_cam, last_feature_map
from ..importance.grid import stretch
from ..layers import channels_first, full_name, hooked, is_map
from ..models.build import find_head


def class_map(model: nn.Module, images: Tensor, labels: Tensor, layer: str | None = None) -> Tensor:
    """Grad-CAM of the label's logit, stretched to the image: (N, H, W), 0 where nothing speaks for the label.

    Where `ends_in_pooling` holds this is the class activation map M = Σ_k w_k A_k of Zhou et al. 2016, Eq. 2, cut off
    below 0 and divided by the number of places of A: ∂ logit / ∂A_k is w_k / places everywhere. model: in eval mode;
    images: (N, C, H, W) float as it takes them; labels: (N,) int64; layer: see `grad_cam`.
    """
    return stretch(grad_cam(model, images, labels, layer, "logit"), images.shape[-2], images.shape[-1])


@torch.no_grad()
def ends_in_pooling(model: nn.Module, images: Tensor, layer: str | None = None) -> bool:
    """Whether the logits of these images are one linear layer of the mean of the feature map over its places.

    Looked up in one forward pass, not in the code: what the last linear layer is given must be that mean, and what it
    gives must be the model's output.
    """
    size = (images.shape[-2], images.shape[-1])
    name = last_feature_map(model, images[:1]) if layer is None else full_name(model, layer)
    head = model.get_submodule(find_head(model))
    if not isinstance(head, nn.Linear):
        return False
    means: list[Tensor] = []
    heads: list[tuple[Tensor, Tensor]] = []

    def pooled(_: nn.Module, __: Any, output: Any) -> None:
        if is_map(output, size):
            means.append(channels_first(output, size).mean((2, 3)))

    def answered(_: nn.Module, given: Any, output: Any) -> None:
        heads.append((given[0], output))

    with hooked([(model.get_submodule(name), pooled), (head, answered)]):
        logits = model(images)
    if len(means) != 1 or len(heads) != 1:
        return False
    given, output = heads[0]
    return _close(given, means[0]) and _close(output, logits)


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, map by map; NaN where one is constant: (N, H, W) twice to (N,)."""
    a, b = (m.flatten(1) - m.flatten(1).mean(1, keepdim=True) for m in (a, b))
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))


def mass_within(maps: Tensor, mask: Tensor) -> Tensor:
    """Share of each map's sum that lies where the mask is: maps (N, H, W) ≥ 0, mask (N, H, W) bool to (N,); NaN for a
    map of zeros."""
    return (maps * mask).sum((1, 2)) / maps.sum((1, 2))


def spread(maps: Tensor) -> Tensor:
    """Share of the image where a map is at least half of its maximum: maps (N, H, W) ≥ 0 to (N,); NaN for a map of
    zeros."""
    top = maps.amax((1, 2))
    share = (maps >= top[:, None, None] / 2).float().mean((1, 2))
    return torch.where(top > 0, share, torch.nan)


def _close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    top = float(b.abs().amax()) or 1.0
    return bool((a - b).abs().amax() <= 1e-4 * top)
