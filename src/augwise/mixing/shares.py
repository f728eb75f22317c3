"""What share of a mixed picture is the partner's: of its area, of its importance, or half of each.

Pure functions of sums that a mixer has measured; touches nothing else.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import UserError

Labels = Literal["area", "importance", "half"]
"""What a mixed label goes by: shares of the pixels, shares of the importance that is to be seen, or their mean."""


def check_labels(labels: Labels) -> Labels:
    """``labels`` itself, if it is a rule that exists."""
    if labels not in get_args(Labels):
        raise UserError(f"labels={labels!r} is unknown: use one of {', '.join(get_args(Labels))}")
    return labels


def source_shares(labels: Labels, areas: Tensor, shown: Tensor, whole: Tensor, normalize: bool = False) -> Tensor:
    """Weights of the K images of a picture in its label, (N, K) float64.

    areas: (N, K) their shares of the pixels; shown: (N, K) importance of each that the picture shows; whole: (N, K)
    sums of their whole maps. By importance a weight is IS_k / Σ_j IS_j over what is shown (IPF-RDA, Eq. 12, for K
    images); the areas decide where one of the images that have pixels was never judged (its map is all zero), or
    nothing important is shown. normalize: divide by the sums of the whole maps first, for maps that share no unit.
    """
    if labels == "area":
        return areas
    if normalize:
        shown = shown / whole.clamp_min(1e-300)
    total = shown.sum(1, keepdim=True)
    known = (total > 0) & ((whole > 0) | (areas == 0)).all(1, keepdim=True)
    importance = torch.where(known, shown / torch.where(known, total, 1.0), areas)
    return importance if labels == "importance" else (areas + importance) / 2


def partner_share(
    labels: Labels,
    area: Tensor,
    base: Tensor,
    pasted: Tensor,
    whole: tuple[Tensor, Tensor],
    normalize: bool = False,
) -> Tensor:
    """Weight of the partner in the label of two images, (N,): `source_shares` of a pair.

    area: its share of the pixels; base, pasted: importance of the base image that the picture still shows,
    IS_a(all) - IS_a(S) where a box S was pasted, and what the partner brought, IS_b(S); whole: sums of the two maps.
    """
    areas, shown = torch.stack([1 - area, area], 1), torch.stack([base, pasted], 1)
    return source_shares(labels, areas, shown, torch.stack(whole, 1), normalize)[:, 1]
