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


def importance_share(
    base: Tensor,
    pasted: Tensor,
    area: Tensor,
    whole: tuple[Tensor, Tensor] | None = None,
    normalize: bool = False,
) -> Tensor:
    """Weight ω of the partner by importance, IS(M_b) / IS(x~) (IPF-RDA, Eq. 12); (N,) float64.

    base: importance of the base image that the picture still shows, IS_a(all) - IS_a(S) where a box S was pasted;
    pasted: importance that the partner brought, IS_b(S); area: the share to use where the picture shows no importance
    at all. whole: sums of the two whole maps: where either is 0 its image was never judged, and the area share is used
    too. normalize: divide both by the sums of their whole maps first, for maps that share no unit.
    """
    if normalize:
        if whole is None:
            raise UserError("normalize=True divides by the sums of the whole maps: give whole=(base's, partner's)")
        base, pasted = (part / total.clamp_min(1e-300) for part, total in zip((base, pasted), whole, strict=True))
    total = base + pasted
    known = total > 0
    if whole is not None:
        known &= (whole[0] > 0) & (whole[1] > 0)
    return torch.where(known, pasted / torch.where(known, total, 1.0), area)


def partner_share(
    labels: Labels,
    area: Tensor,
    base: Tensor,
    pasted: Tensor,
    whole: tuple[Tensor, Tensor],
    normalize: bool = False,
) -> Tensor:
    """Weight of the partner in the label, (N,) float64: its ``area``, its `importance_share`, or with "half" the mean
    of the two. The arguments are those of `importance_share`."""
    if labels == "area":
        return area
    importance = importance_share(base, pasted, area, whole, normalize)
    return importance if labels == "importance" else (area + importance) / 2


def source_shares(labels: Labels, areas: Tensor, shown: Tensor, whole: Tensor, normalize: bool = False) -> Tensor:
    """Weights of the K images of a picture in its label, (N, K) float64: `partner_share` for any number of images.

    areas: (N, K) their shares of the pixels; shown: (N, K) importance of each that the picture shows; whole: (N, K)
    sums of their whole maps. By importance a weight is IS_k / Σ_j IS_j over what is shown (IPF-RDA, Eq. 12, for K
    images); the areas decide where one of the images that have pixels was never judged, or nothing important is shown.
    """
    if labels == "area":
        return areas
    if normalize:
        shown = shown / whole.clamp_min(1e-300)
    total = shown.sum(1, keepdim=True)
    known = (total > 0) & ((whole > 0) | (areas == 0)).all(1, keepdim=True)
    importance = torch.where(known, shown / torch.where(known, total, 1.0), areas)
    return importance if labels == "importance" else (areas + importance) / 2
