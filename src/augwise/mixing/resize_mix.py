"""Paste the whole of another image, made smaller, into each image (ResizeMix)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import regions
from ..errors import UserError
from ..sample import Batch
from ..schedule import Probability
from .base import Mixer
from .cutmix import area_share
from .several import Draw, assembled
from .shares import Labels, check_labels


def paste_resized(images: Tensor, partner: Tensor, boxes: Tensor, keep_sum: bool = False) -> Tensor:
    """Each image with the whole of its partner, resized to the box, in one box; an empty box leaves it as it is.

    images: (N, C, H, W), or maps (N, H, W); partner: (N,) int64, row of the other image; boxes: (N, 4) int64. Bilinear
    with antialiasing; integers are rounded. keep_sum: give what is pasted the sum that it had before it was resized, as
    an importance map needs it.
    """
    images = images.as_subclass(Tensor)
    exact = torch.float64 if images.dtype == torch.float64 else torch.float32
    source = images[:, None] if images.ndim == 3 else images
    result = source.clone()
    for i, j, (top, left, bottom, right) in _filled(partner, boxes):
        whole = source[j : j + 1].to(exact)
        small = F.interpolate(whole, size=(bottom - top, right - left), mode="bilinear", antialias=True)
        if keep_sum:
            found = small.sum()
            small = small * (whole.sum() / torch.where(found > 0, found, 1.0))
        if not images.is_floating_point():
            small = small.round_()
        result[i, :, top:bottom, left:right] = small[0]
    return result[:, 0] if images.ndim == 3 else result


def paste_nearest(masks: Tensor, partner: Tensor, boxes: Tensor) -> Tensor:
    """`paste_resized` of masks of classes (N, H, W): every pixel takes the nearest one of the partner."""
    result = masks.clone()
    height, width = masks.shape[-2:]
    for i, j, (top, left, bottom, right) in _filled(partner, boxes):
        y = _nearest(bottom - top, height, masks.device)
        x = _nearest(right - left, width, masks.device)
        result[i, top:bottom, left:right] = masks[j][y[:, None], x]
    return result


def _filled(partner: Tensor, boxes: Tensor):
    """Row, partner's row and box of every picture whose box is not empty; they are drawn on the CPU, so that reading
    them waits for no device."""
    for i, (j, box) in enumerate(zip(partner.tolist(), boxes.tolist(), strict=True)):
        if box[0] < box[2] and box[1] < box[3]:
            yield i, j, box


def _nearest(small: int, large: int, device: torch.device) -> Tensor:
    """Of each of ``small`` pixels the one of ``large`` in which its middle lies."""
    return (2 * torch.arange(small, device=device) + 1) * large // (2 * small)


class ResizeMix(Mixer):
    """The whole of a partner, made smaller, stands in each image (Qin et al. 2020, arXiv 2012.11101, section 3).

    τ ~ U(smallest, largest) for each image; the partner is resized to round(τ H) by round(τ W) and pasted at a place
    that is uniform inside the picture. The partner's weight is its exact share of the pixels: unlike a cut, what is
    pasted always shows the object.

    smallest, largest: of τ, as shares of height and width, above 0 and up to 1; the paper's are 0.1 and 0.8.
    labels: "area"; by "importance": the share of the picture's importance that the partner brought (IPF-RDA, Eq. 12);
        "half": the mean of the two. The last two need maps.
    p: probability that an image is mixed at all, in Python a `Ramp` too.
    per_batch: one τ and one place for the whole batch.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first, see `CutMix`.

    The partner's map is resized with its image and keeps its sum: all its evidence is to be seen, on fewer pixels.
    ``evidence`` becomes that of the base image plus the partner's. Masks of classes take the nearest pixel.
    """

    def __init__(
        self,
        smallest: float = 0.1,
        largest: float = 0.8,
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < smallest <= largest <= 1:
            raise UserError(
                f"smallest={smallest} and largest={largest}: give shares of the sides with 0 < smallest <= largest <= 1"
            )
        self.smallest, self.largest = smallest, largest
        self.draw = Draw((1.0, 1.0), p, per_batch)
        self.labels: Labels = check_labels(labels)
        self.normalize = normalize

    @property
    def guarded(self) -> bool:
        return self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n, sides = len(batch.images), torch.tensor(batch.images.shape[-2:])
        mixed = self.draw.mixed(n, generator)
        drawn = self.draw.uniform(n, 3, generator=generator)
        rows = self.draw.rows(n, generator)
        scale = self.smallest + (self.largest - self.smallest) * drawn[:, :1]
        size = (sides * scale).round().long()
        corner = (drawn[:, 1:] * (sides - size + 1)).long()
        return {"rows": rows, "boxes": torch.cat([corner, corner + size], 1) * mixed[:, None]}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        rows, boxes = params["rows"], params["boxes"]
        partner, area, maps = rows[:, 1], area_share(boxes, *batch.images.shape[-2:]), None
        if batch.importance is not None:
            before = batch.importance.as_subclass(Tensor)
            mixed = paste_resized(before, partner, boxes, keep_sum=True)
            base = regions.fill_boxes(before, boxes, 0).sum((1, 2), dtype=torch.float64)
            maps = mixed, torch.stack([base, regions.box_sums(mixed, boxes)], 1)
        images = paste_resized(batch.images, partner, boxes)
        areas = torch.stack([1 - area, area], 1)
        return assembled(batch, rows, images, areas, maps, self.labels, self.normalize)

    def mix_masks(self, masks: Tensor, params: dict[str, Any]) -> Tensor:
        return paste_nearest(masks, params["rows"][:, 1], params["boxes"])

    def extra_repr(self) -> str:
        how = f"labels={self.labels!r}, p={self.draw.p}, per_batch={self.draw.per_batch}, normalize={self.normalize}"
        return f"smallest={self.smallest}, largest={self.largest}, {how}"
