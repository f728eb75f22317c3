"""Erase one square per image (Cutout), anywhere or only where the evidence is not (IPF-RDA, Algorithm 2 (a))."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import randomness, regions
from ..errors import UserError
from ..guard import Guard, check_length, side_of
from ..regions import Reduce, Window
from ..schedule import Probability, check_probability, current
from .base import Augmentation, colour
from .erasing import Fill, check_fill_or_name, filled, mean_colour, noise


def cutout(
    images: Tensor,
    importance: Tensor | None,
    boxes: Tensor,
    fill: str | float | Sequence[float] | Tensor = "mean",
    inplace: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Erase one box per image; the map becomes 0 there. An empty box leaves its image as it is.

    images: (N, C, H, W) uint8 or float; importance: (N, H, W) or None; boxes: (N, 4) int64 (top, left, bottom,
    right), as `regions.sample` gives them, which also takes integral images and thresholds computed beforehand.
    fill: "mean" (each image's own mean colour), a colour in [0, 1] (one number, or one per channel), or a tensor in
    the units of the images: (N, C) colours, or (N, C, h, w) patches that are pasted from their top left corner.
    inplace: write into the tensors given instead of new ones.
    """
    if isinstance(fill, str):
        if fill != "mean":
            raise UserError(f"fill={fill!r} is unknown: use 'mean', a colour in [0, 1], or a tensor")
        fill = mean_colour(images)
    if not isinstance(fill, Tensor):
        fill = colour(fill, images)[None]
    if fill.ndim == 4:
        corners = torch.zeros_like(boxes[:, :2])
        images = regions.paste_boxes(images, fill, boxes, source_corner=corners, inplace=inplace)
    else:
        images = regions.fill_boxes(images, boxes, fill[:, :, None, None], inplace=inplace)
    if importance is not None:
        importance = regions.fill_boxes(importance, boxes, 0, inplace=inplace)
    return images, importance


class Cutout(Augmentation):
    """Erase a square of side ``length`` from each image (DeVries and Taylor 2017).

    With a ``quantile`` τ the square is drawn uniformly among those with IS(S) <= Q_τ, where IS(S) is the sum of the
    importance map over S (IPF-RDA, Eq. 11 and Alg. 2 lines 2-7) and Q_τ the τ-quantile of the scores of all squares
    of this image; without it, among all squares. The map becomes 0 where the image is erased.

    length: side of the square: pixels (int), or share of the shorter side (float).
    quantile: share of an image's squares that count as unimportant and may be erased (0.6 in the paper).
    window: "clipped" at the border, centre uniform over all pixels (the papers), or "inside" the image: equal area.
    reduce: score of a square by "sum", by "mean" or by its largest value, "max".
    fill: "mean" (the image's own mean colour), "random" (uniform noise for every pixel and channel), or a colour in
        [0, 1], one number or one per channel (uint8 images: times 255, rounded).
    p: probability that an image is erased at all; in Python a `Ramp` too, for one that rises during training.
    threshold: in place of quantile, the same bound on the score for every image, in units of the map; an image with no
        square at or below it is left alone.

    The plain and the guarded form draw the same numbers: first the coin, then the square, then the noise.
    """

    def __init__(
        self,
        length: int | float,
        quantile: float | None = None,
        window: Window = "clipped",
        reduce: Reduce = "sum",
        fill: Fill = "mean",
        p: Probability = 1.0,
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        self.length = check_length(length)
        self.guard = Guard(quantile, window, reduce, threshold)
        self.fill: Fill = check_fill_or_name(fill)
        self.p: Probability = check_probability(p)

    @property
    def guarded(self) -> bool:
        return self.guard.active

    def make_params(
        self, images: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> dict[str, Any]:
        n, side = len(images), side_of(self.length, *images.shape[-2:])
        erased = randomness.uniform(n, generator=generator) < current(self.p)
        u = randomness.uniform(n, regions.DRAWS, generator=generator)
        boxes = self.guard.boxes(images, importance, side, u)
        boxes = boxes * erased[:, None].to(boxes.device)
        return {"boxes": boxes, "noise": noise(self.fill, images, side, side, generator)}

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        return cutout(images, importance, params["boxes"], filled(self.fill, images, params["noise"]))

    def extra_repr(self) -> str:
        return f"length={self.length}, {self.guard}, fill={self.fill!r}, p={self.p}"
