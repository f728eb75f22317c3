"""Paste a box of another image into each image (CutMix), anywhere or where the base image has no evidence (IPF-RDA)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .. import randomness, regions
from ..errors import UserError
from ..guard import Guard, check_length, side_of
from ..regions import Reduce, Window
from ..sample import Batch
from ..schedule import Probability, check_probability, current
from .base import Mixer, label_pairs
from .shares import Labels, check_labels, partner_share

Partner = Literal["same", "other"]


def cutmix(images: Tensor, partner: Tensor, boxes: Tensor, source_corner: Tensor | None = None) -> Tensor:
    """Fill one box of each image with pixels of its partner; an empty box leaves the image as it is.

    images: (N, C, H, W), or maps (N, H, W); partner: (N,) int64, row of the image that is pasted; boxes: (N, 4) int64
    (top, left, bottom, right); source_corner: (N, 2) top and left of the partner's box, by default the same place.
    """
    return regions.paste_boxes(images, images, boxes, source_corner=source_corner, source_rows=partner)


def area_share(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N,) float64 share of the pixels that lie inside the boxes (N, 4)."""
    return ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).double() / (height * width)


class CutMix(Mixer):
    """Paste a box of a partner into each image of the batch; partners come from one permutation of the batch.

    Exactly one of alpha and length gives the size (h, w) of the box, for an image of H by W:

    alpha: share of the area 1 - λ, λ ~ Beta(alpha, alpha) for each image; h = round(H √(1 - λ)), w alike (Yun et al.
        2019, Eq. 2).
    length: a square, in pixels (int) or as share of the shorter side (float) (IPF-RDA, Alg. 2 (c)).
    quantile: τ; the box is drawn uniformly among the regions of this size with IS(S) <= Q_τ in the base image, where
        IS(S) is the sum of its map over S and Q_τ the quantile over all regions of this size; None: any region.
    labels: "area": the partner's weight is its exact share of pixels. "importance": ω = IS_b(S') / (IS_a(all) -
        IS_a(S) + IS_b(S')) (IPF-RDA, Eq. 12), the share of the picture's importance that the partner brought; the
        area share where either map is all zero or nothing important is left. "half": the mean of the two. The last two
        need maps, with a quantile and without one: ``CutMix(alpha=1.0, labels="importance")`` pastes any box.
    partner: the box shows the "same" place of the partner (Yun et al.), or an "other" one of equal size, uniform
        inside the partner (IPF-RDA, Alg. 2 line 20).
    window: "clipped" at the border, centre uniform over all pixels (both papers), or "inside" the image.
    reduce: score of a region by "sum", by "mean" or by its largest value, "max".
    p: probability that an image is mixed at all, in Python a `Ramp` too; one that is not has weight 1 for
        itself and 0 for the partner.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first; needed where values of different
        images' maps share no unit (occlusion, saliency).
    threshold: in place of quantile, the same bound on the score for every image, in units of the map; an image with no
        region at or below it is not mixed.

    The mixed map joins the maps as the images are joined. ``evidence`` becomes that of the base image plus what the
    box brought, so importance.sum() / evidence stays in [0, 1] and falls below its old value only by what the box
    covered; the part of the partner that is not shown was never in this picture.
    """

    def __init__(
        self,
        alpha: float | None = None,
        length: int | float | None = None,
        quantile: float | None = None,
        labels: Labels = "area",
        partner: Partner = "same",
        window: Window = "clipped",
        reduce: Reduce = "sum",
        p: Probability = 1.0,
        normalize: bool = False,
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        if (alpha is None) == (length is None):
            raise UserError(
                f"alpha={alpha} and length={length}: give exactly one, CutMix(alpha=1.0) or CutMix(length=16), on the "
                "command line --alpha 1 or --length 16"
            )
        if alpha is not None and not alpha > 0:
            raise UserError(f"alpha={alpha} is no parameter of a beta distribution: give a number above 0")
        if partner not in get_args(Partner):
            raise UserError(f"partner={partner!r} is unknown: use one of {', '.join(get_args(Partner))}")
        self.labels: Labels = check_labels(labels)
        self.alpha, self.partner, self.normalize = alpha, partner, normalize
        self.length = None if length is None else check_length(length)
        self.guard = Guard(quantile, window, reduce, threshold)
        self.p: Probability = check_probability(p)

    @property
    def guarded(self) -> bool:
        return self.guard.active or self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        images, n = batch.images, len(batch.images)
        mixed = randomness.uniform(n, generator=generator) < current(self.p)
        partner = randomness.permutation(n, generator=generator)
        size = self._size(n, *images.shape[-2:], generator=generator)
        mixed &= (size > 0).all(1)
        u = randomness.uniform(n, regions.DRAWS, generator=generator)
        maps = None if batch.importance is None else batch.importance.as_subclass(Tensor)
        boxes = self.guard.boxes(images, maps, self._sampled(size), u)
        params = {"partner": partner, "boxes": boxes * mixed[:, None].to(boxes.device)}
        if self.partner == "other":
            where = randomness.uniform(n, 2, generator=generator).to(boxes.device)
            free = torch.tensor(images.shape[-2:], device=boxes.device) - (boxes[:, 2:] - boxes[:, :2]) + 1
            params["source_corner"] = (where * free).long()
        return params

    def _size(self, n: int, height: int, width: int, generator: torch.Generator | None) -> Tensor:
        """(n, 2) int64 height and width of every box, 0 where the drawn share rounds to nothing."""
        if self.alpha is None:
            assert self.length is not None
            return torch.full((n, 2), side_of(self.length, height, width))
        pasted = 1 - randomness.beta(self.alpha, n, generator=generator)
        sides = torch.tensor([height, width], dtype=torch.float64)
        return (sides * pasted.sqrt()[:, None]).round().long()

    def _sampled(self, size: Tensor) -> Tensor | int:
        if self.alpha is None and len(size):
            return int(size[0, 0])  # one size for all is the faster way
        return size.clamp_min(1)

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        partner, boxes, corner = params["partner"], params["boxes"], params.get("source_corner")
        weight = area_share(boxes, *batch.images.shape[-2:])
        importance, evidence = batch.importance, batch.evidence
        if importance is not None:
            before = importance.as_subclass(Tensor)
            importance = cutmix(before, partner, boxes, corner)
            pasted = regions.box_sums(importance, boxes)
            evidence = evidence + pasted.to(evidence.dtype)
            if self.labels != "area":
                weight = self._by_importance(before, partner, boxes, pasted, weight)
        return Batch.of(
            cutmix(batch.images.as_subclass(Tensor), partner, boxes, corner),
            label_pairs(batch.labels, partner, weight),
            importance,
            batch.indices,
            evidence,
        )

    def mix_masks(self, masks: Tensor, params: dict[str, Any]) -> Tensor:
        return cutmix(masks, params["partner"], params["boxes"], params.get("source_corner"))

    def _by_importance(self, maps: Tensor, partner: Tensor, boxes: Tensor, pasted: Tensor, area: Tensor) -> Tensor:
        whole = maps.sum((1, 2), dtype=torch.float64)
        theirs = whole[partner.to(whole.device)]
        # Summed over what is left, not as a difference: an exact 0 must stay one.
        base = regions.fill_boxes(maps, boxes, 0).sum((1, 2), dtype=torch.float64)
        return partner_share(self.labels, area, base, pasted, (whole, theirs), self.normalize)

    def extra_repr(self) -> str:
        size = f"alpha={self.alpha}" if self.alpha is not None else f"length={self.length}"
        which = f"labels={self.labels!r}, partner={self.partner!r}, p={self.p}, normalize={self.normalize}"
        return f"{size}, {self.guard}, {which}"
