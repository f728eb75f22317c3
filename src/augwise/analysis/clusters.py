"""How well points keep their classes apart: distances within and between classes, Dunn index, silhouette. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK = 2**24  # numbers held at once


@dataclass(frozen=True)
class Spread:
    """Euclidean distances among labelled points, and what is made of them; None where there are none.

    closest: of two points of different classes, the smallest; centroids: of the means of two classes, the smallest;
    mean_within: mean over the pairs of one class, of the class where it is largest; diameter: of two points of one
    class, the largest; silhouette: mean over points of (b − a) / max(a, b), with a the mean distance to the others of
    its class and b that to the nearest other class (Rousseeuw 1987), 0 for a point alone in its class.
    """

    closest: float | None
    centroids: float | None
    mean_within: float | None
    diameter: float | None
    silhouette: float | None

    @property
    def dunn(self) -> float | None:
        """closest / mean_within: IPF-RDA's Eq. 13, whose compactness is a mean. It does not say between what δ is the
        distance; the closest points give values as small as the printed ones."""
        return _ratio(self.closest, self.mean_within)

    @property
    def dunn_centroids(self) -> float | None:
        """centroids / mean_within: IPF-RDA's Eq. 13 with δ between the means of classes."""
        return _ratio(self.centroids, self.mean_within)

    @property
    def dunn_diameter(self) -> float | None:
        """closest / diameter: the index as Dunn 1974 gave it."""
        return _ratio(self.closest, self.diameter)

    def told(self) -> dict[str, float | None]:
        """All of it, by name."""
        names = ("dunn", "dunn_centroids", "dunn_diameter", "silhouette")
        return {**{name: getattr(self, name) for name in names}, **vars(self)}


def spread(points: Tensor, labels: Tensor) -> Spread:
    """Distances among points (N, D) of classes (N,) int64, in float64, block by block: N² D steps, little memory."""
    points = points.double()
    _, own = labels.unique(return_inverse=True)
    members = torch.nn.functional.one_hot(own, int(own.max()) + 1).to(points)
    sizes = members.sum(0)
    closest, diameter, sums = torch.inf, 0.0, []
    for block, mine in zip(*(t.split(max(1, _BLOCK // len(points))) for t in (points, own)), strict=True):
        # Not by the dot product, which loses the digits of small distances.
        apart = torch.cdist(block, points, compute_mode="donot_use_mm_for_euclid_dist")
        same = mine[:, None] == own[None]
        closest = min(closest, float(apart.masked_fill(same, torch.inf).amin()))
        diameter = max(diameter, float(apart.masked_fill(~same, 0).amax()))
        sums.append(apart @ members)
    to_class = torch.cat(sums)
    several, pairs = len(sizes) > 1, sizes * (sizes - 1)
    within = torch.zeros_like(sizes).index_add_(0, own, to_class.gather(1, own[:, None])[:, 0])
    inner = bool((pairs > 0).any())
    return Spread(
        closest if several else None,
        _centroids(points, members, sizes) if several else None,
        float((within / pairs)[pairs > 0].amax()) if inner else None,
        diameter if inner else None,
        _silhouette(to_class, own, sizes) if several and inner else None,
    )


def _centroids(points: Tensor, members: Tensor, sizes: Tensor) -> float:
    means = members.T @ points / sizes[:, None]
    return float(torch.nn.functional.pdist(means).amin())


def _silhouette(to_class: Tensor, own: Tensor, sizes: Tensor) -> float:
    """to_class: (N, classes) sums of distances to all points of a class."""
    alone = sizes[own] == 1
    a = to_class.gather(1, own[:, None])[:, 0] / (sizes[own] - 1).clamp_min(1)
    b = (to_class / sizes).scatter(1, own[:, None], torch.inf).amin(1)
    top = torch.maximum(a, b)
    return float(torch.where(alone | (top == 0), 0.0, (b - a) / top.clamp_min(torch.finfo(top.dtype).tiny)).mean())


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
