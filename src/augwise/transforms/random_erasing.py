"""Erase a rectangle of random area and aspect from each image (Random Erasing), anywhere or beside the evidence."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .. import randomness, regions
from ..errors import UserError
from ..guard import Guard, check_length, side_of
from ..regions import Reduce, Window
from ..schedule import Probability, check_probability, current
from .base import Augmentation
from .cutout import cutout
from .erasing import Fill, check_fill_or_name, filled, noise

Aspect = Literal["uniform", "log-uniform"]

TRIES = 10
"""Sizes drawn for each image; on a square image at the default scale and ratio, one in 10¹² draws fits none of them."""


def rectangle_sizes(
    u: Tensor,
    height: int,
    width: int,
    scale: tuple[float, float] = (0.02, 0.4),
    ratio: tuple[float, float] = (0.3, 1 / 0.3),
    aspect: Aspect = "uniform",
) -> Tensor:
    """Heights and widths of rectangles that fit into an image: (N, TRIES, 2) uniforms -> (N, 2) int64.

    Each try is an area S_e, uniform between the shares ``scale`` of the image's, and an aspect r_e = h / w in
    ``ratio``: h = √(S_e r_e), w = √(S_e / r_e), rounded to whole pixels. The first that fits (h ≤ height, w ≤ width)
    counts. Where none does, the last keeps its area and takes the aspect nearest to its own with which it fits.
    """
    share, where = u.unbind(2)
    area = (scale[0] + share * (scale[1] - scale[0])) * (height * width)
    low, high = torch.tensor(ratio, dtype=torch.float64)
    shape = low * (high / low) ** where if aspect == "log-uniform" else low + where * (high - low)
    sizes = _rounded(area, shape)
    fits = (sizes <= torch.tensor([height, width])).all(2)
    last = area[:, -1]
    squeezed = _rounded(last, shape[:, -1].clamp(last / width**2, height**2 / last))
    first = sizes[torch.arange(len(u)), fits.int().argmax(1)]
    return torch.where(fits.any(1, keepdim=True), first, squeezed)


def _rounded(area: Tensor, shape: Tensor) -> Tensor:
    return torch.stack([(area * shape).sqrt(), (area / shape).sqrt()], -1).round().long().clamp_min(1)


class RandomErasing(Augmentation):
    """Erase one rectangle of random area and aspect from each image (Zhong et al. 2020, Algorithm 1).

    The area S_e is uniform between shares of the image's area, the aspect r_e = h / w uniform between ratios,
    h = √(S_e r_e), w = √(S_e / r_e), and the place uniform among those where the rectangle lies inside the image. With
    a ``quantile`` τ the place is drawn among those with IS(S) <= Q_τ, where IS(S) is the sum of the importance map over
    the rectangle (IPF-RDA, Eq. 11 and Alg. 2 lines 2-7) and Q_τ the τ-quantile of the scores of all rectangles of this
    size in this image. The map becomes 0 where the image is erased.

    p: probability that an image is erased at all; in Python a `Ramp` too, for one that rises during training.
    scale: smallest and largest share of the area (s_l and s_h of the paper).
    ratio: smallest and largest aspect, height over width (r_1 and r_2; 1 / r_1 is the paper's r_2).
    fill: "random" (noise, uniform over 256 levels for every pixel and channel), "mean" (the image's own mean colour),
        or a colour in [0, 1], one number or one per channel (uint8 images: times 255, rounded).
    quantile: share of an image's rectangles that count as unimportant and may be erased; None: the plain form.
    window: "inside" the image, as in the paper, or "clipped" at the border with its centre anywhere.
    reduce: score of a rectangle by "sum", by "mean" or by its largest value, "max".
    threshold: in place of quantile, the same bound on the score for every image, in units of the map; an image with no
        rectangle at or below it is left alone.
    length: erase a square of this side in place of area and aspect, as IPF-RDA's Algorithm 2 does: pixels (int), or
        share of the shorter side (float).
    aspect: "uniform" between the ratios as in the paper, which makes three rectangles in four higher than wide, or
        "log-uniform", as torchvision and timm draw it, with as many wide ones as high ones.

    The paper draws size and corner anew until the rectangle fits, which favours small ones; its authors' program,
    torchvision and this class draw a corner where the size fits. A size that does not fit at all is drawn again, up to
    `TRIES` times, see `rectangle_sizes`. The plain and the guarded form draw the same numbers: the coin, the sizes, the
    place, the noise.
    """

    def __init__(
        self,
        p: Probability = 0.5,
        scale: tuple[float, float] = (0.02, 0.4),
        ratio: tuple[float, float] = (0.3, 1 / 0.3),
        fill: Fill = "random",
        quantile: float | None = None,
        window: Window = "inside",
        reduce: Reduce = "sum",
        length: int | float | None = None,
        aspect: Aspect = "uniform",
        threshold: float | None = None,
    ) -> None:
        super().__init__()
        if isinstance(scale, int | float) or not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
            raise UserError(f"scale={scale}: give the smallest and the largest share of the area, such as (0.02, 0.4)")
        if isinstance(ratio, int | float) or not (len(ratio) == 2 and 0 < ratio[0] <= ratio[1]):
            raise UserError(f"ratio={ratio}: give the smallest and the largest height over width, such as (0.3, 3.3)")
        if aspect not in get_args(Aspect):
            raise UserError(f"aspect={aspect!r} is unknown: use one of {', '.join(get_args(Aspect))}")
        self.p: Probability = check_probability(p)
        self.scale, self.ratio = (float(scale[0]), float(scale[1])), (float(ratio[0]), float(ratio[1]))
        self.fill: Fill = check_fill_or_name(fill)
        self.guard = Guard(quantile, window, reduce, threshold)
        self.length = None if length is None else check_length(length)
        self.aspect: Aspect = aspect

    @property
    def guarded(self) -> bool:
        return self.guard.active

    def make_params(
        self, images: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> dict[str, Any]:
        n, (height, width) = len(images), images.shape[-2:]
        erased = randomness.uniform(n, generator=generator) < current(self.p)
        if self.length is None:
            u = randomness.uniform(n, TRIES, 2, generator=generator)
            size = rectangle_sizes(u, height, width, self.scale, self.ratio, self.aspect)
            largest = height, width
        else:
            size = side_of(self.length, height, width)
            largest = size, size
        u = randomness.uniform(n, regions.DRAWS, generator=generator)
        boxes = self.guard.boxes(images, importance, size, u)
        boxes = boxes * erased[:, None].to(boxes.device)
        return {"boxes": boxes, "noise": noise(self.fill, images, *largest, generator)}

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        return cutout(images, importance, params["boxes"], filled(self.fill, images, params["noise"]))

    def extra_repr(self) -> str:
        size = f"length={self.length}"
        if self.length is None:
            size = f"scale={self.scale}, ratio={self.ratio}, aspect={self.aspect!r}"
        return f"{size}, {self.guard}, fill={self.fill!r}, p={self.p}"
