"""Delete a regular grid of squares from each image (GridMask)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from ..guard import check_length
from ..regions import resolve_length
from ..schedule import Probability, Ramp, check_probability, current
from .base import Augmentation
from .erasing import Fill, check_fill_or_name, erase, filled, noise


def grid_mask(
    unit: Tensor, kept: Tensor, offset: Tensor, height: int, width: int, angle: Tensor | None = None
) -> Tensor:
    """The pixels that a grid deletes: (N, height, width) bool.

    A pixel (y, x) is deleted where both (y − δ_y) mod d ≥ l and (x − δ_x) mod d ≥ l: squares of side d − l, once in
    every unit of d by d.

    unit: (N,) int64 d ≥ 1; kept: (N,) int64 l, width of the stripes that stay, 0 … d; offset: (N, 2) int64 (δ_y, δ_x).
    angle: (N,) float32 radians; turns each grid about the middle of its image, counter-clockwise as it is shown. A
    pixel then belongs to the square in which its centre lies.
    """
    y, x = (torch.arange(n, device=unit.device) for n in (height, width))
    if angle is None:
        rows = (y - offset[:, :1]).remainder(unit[:, None]) >= kept[:, None]
        columns = (x - offset[:, 1:]).remainder(unit[:, None]) >= kept[:, None]
        return rows[:, :, None] & columns[:, None]
    # Places of pixel centres in units of the grid. In float32 these are off by far less than half a pixel, which is how
    # far the centres of an upright grid lie from its lines.
    down, right = y + 0.5 - height / 2, x + 0.5 - width / 2
    cos, sin = angle.cos()[:, None] / unit[:, None], angle.sin()[:, None] / unit[:, None]
    above, before = ((n / 2 - offset[:, axis]) / unit for axis, n in enumerate((height, width)))
    row = (cos * down + above[:, None])[:, :, None] + (sin * right)[:, None]
    column = (cos * right + before[:, None])[:, None] - (sin * down)[:, :, None]
    share = (kept / unit).masked_fill(kept >= unit, 2)[:, None, None]  # a remainder may round up to 1
    return (row.sub_(row.floor()) >= share) & (column.sub_(column.floor()) >= share)


class GridMask(Augmentation):
    """Delete a regular grid of squares (Chen et al. 2020).

    Each image draws a unit of d by d pixels, d uniform between ``unit``'s ends, and an offset (δ_x, δ_y) uniform over
    the d² places; of every unit a square of side d − l is deleted, l = round(r d), so the share k = 1 − (1 − r)² of the
    picture stays. The map becomes 0 where the image is deleted.

    unit: smallest and largest d: pixels (int), or shares of the shorter side (float). Default: 96 to 224 pixels of 224,
        as the authors trained on ImageNet; (0.75, 1.0) is 24 to 32 of 32, which IPF-RDA and AdvMask compare with on
        CIFAR.
    ratio: r, between 0 and 1, width of the stripes that stay as a share of d. 0.6 deletes 16 % of the picture
        (ImageNet), 0.4 deletes 36 % (CIFAR). At least one pixel of a unit's side stays and one is deleted.
    rotation: the grid is turned about the middle of the image by an angle drawn uniformly from 0 to this many degrees;
        360 as the authors trained on ImageNet, 0 for an upright grid (CIFAR).
    fill: what deleted pixels show: "mean" (the image's own mean colour), "random" (noise), or a colour in [0, 1], one
        number or one per channel. The paper deletes after normalisation: it takes the mean colour of the data set.
    p: probability that an image is changed at all, or a `Ramp` of it. Default: rising linearly to 0.8 in the first 80 %
        of training, as the authors trained (240 of 300 epochs).
    """

    def __init__(
        self,
        unit: tuple[int | float, int | float] = (96 / 224, 1.0),
        ratio: float = 0.6,
        rotation: float = 360.0,
        fill: Fill = "mean",
        p: Probability = Ramp(0.8, over=0.8),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        if isinstance(unit, int | float) or len(unit) != 2:
            raise UserError(f"unit={unit}: give the smallest and the largest side of a unit, such as (24, 32)")
        if not 0 < ratio < 1:
            raise UserError(f"ratio={ratio} is out of range: give the share of a unit's side that stays, 0 < ratio < 1")
        if not 0 <= rotation <= 360:
            raise UserError(f"rotation={rotation} is out of range: give the largest angle in degrees, from 0 to 360")
        self.unit = (check_length(unit[0], "unit"), check_length(unit[1], "unit"))
        self.ratio, self.rotation = ratio, rotation
        self.fill: Fill = check_fill_or_name(fill)
        self.p: Probability = check_probability(p)

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        n, (height, width) = len(images), images.shape[-2:]
        low, high = self._units(height, width)
        changed = randomness.uniform(n, generator=generator) < current(self.p)
        unit = low + randomness.integers(high - low + 1, n, generator=generator)
        kept = (unit * self.ratio + 0.5).long().clamp_min(1).minimum(unit - 1)
        offset = randomness.integers(unit[:, None], n, 2, generator=generator)
        params = {"unit": unit, "kept": torch.where(changed, kept, unit), "offset": offset}
        if self.rotation:
            params["angle"] = (randomness.uniform(n, generator=generator) * math.radians(self.rotation)).float()
        return {**params, "noise": noise(self.fill, images, height, width, generator)}

    def _units(self, height: int, width: int) -> tuple[int, int]:
        low, high = (resolve_length(side, height, width) for side in self.unit)
        if not 2 <= low <= high:
            raise UserError(
                f"unit={self.unit} is {low} to {high} pixels of an image of {height}x{width}: give the smallest side "
                "of a unit, at least 2 pixels, and then the largest"
            )
        return low, high

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        drawn = {k: v.to(images.device, non_blocking=True) for k, v in params.items() if k != "noise"}
        mask = grid_mask(**drawn, height=images.shape[-2], width=images.shape[-1])
        return erase(images, importance, mask, filled(self.fill, images, params["noise"]))

    def extra_repr(self) -> str:
        return f"unit={self.unit}, ratio={self.ratio}, rotation={self.rotation}, fill={self.fill!r}, p={self.p}"
