"""Hide random patches of a grid, each by its own coin (Hide-and-Seek)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from ..guard import check_length
from ..regions import resolve_length
from ..schedule import Probability, check_probability, current
from .base import Augmentation
from .erasing import Fill, check_fill_or_name, erase, filled, noise


def patch_mask(sides: Tensor, hidden: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in hidden patches: (N, height, width) bool.

    sides: (N,) int64, side of the square patches of each image, which begin at its upper left corner; at the right and
    lower border they are cut off. 0: no patches, nothing is hidden. hidden: (N, R, C) bool for rows and columns of
    patches, of which an image uses as many as it has.
    """
    device, step = sides.device, torch.where(sides > 0, sides, max(height, width))[:, None]
    y, x = (torch.arange(n, device=device) // step for n in (height, width))
    hidden = hidden & (sides > 0)[:, None, None]
    lines = hidden.gather(1, y[:, :, None].expand(-1, -1, hidden.shape[2]))
    return lines.gather(2, x[:, None].expand(-1, height, -1))


class HideAndSeek(Augmentation):
    """Divide each image into square patches and hide each patch with probability ``p_hide`` (Singh and Lee 2017).

    Every image draws the side S of its patches from ``grid``, so the same image is divided differently each time
    ("HaS-mixed" in the paper). By default S is 16, 32, 44 or 56 pixels of 224, as there, or 0, with which nothing is
    hidden. The map becomes 0 where patches are hidden.

    grid: sides of the patches, one of which each image draws: pixels (int), or shares of the shorter side (float);
        0: this image is not hidden at all.
    p_hide: probability of each patch to be hidden (0.5 in the paper).
    fill: what hidden patches show: "mean" (the image's own mean colour), "random" (noise), or a colour in [0, 1], one
        number or one per channel. The paper takes the mean colour of the whole data set: give it as a colour.
    p: probability that an image is divided at all, or a `Ramp` of it.

    The programs released with IPF-RDA and AdvMask read the channels as the height and hide whole bands of rows, or all;
    here a patch is a patch.
    """

    def __init__(
        self,
        grid: tuple[int | float, ...] = (0, 16 / 224, 32 / 224, 44 / 224, 56 / 224),
        p_hide: float = 0.5,
        fill: Fill = "mean",
        p: Probability = 1.0,
    ) -> None:
        super().__init__()
        if isinstance(grid, int | float):
            raise UserError(f"grid={grid}: give a list of sides, one of which each image draws, such as (0, {grid})")
        if not len(grid) or all(side == 0 for side in grid):
            raise UserError(
                f"grid={tuple(grid)} hides nothing: give at least one side above 0, in pixels or as a share"
            )
        self.grid = tuple(0 if side == 0 else check_length(side, "grid") for side in grid)
        if not 0 <= p_hide <= 1:
            raise UserError(f"p_hide={p_hide} is not a probability: give a number from 0 to 1")
        self.p_hide = p_hide
        self.fill: Fill = check_fill_or_name(fill)
        self.p: Probability = check_probability(p)

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        n, (height, width) = len(images), images.shape[-2:]
        grid = torch.tensor([self._side(side, height, width) for side in self.grid])
        finest = int(grid[grid > 0].min())
        divided = randomness.uniform(n, generator=generator) < current(self.p)
        sides = grid[randomness.integers(len(grid), n, generator=generator)] * divided
        patches = (-(-height // finest), -(-width // finest))
        hidden = randomness.uniform(n, *patches, generator=generator) < self.p_hide
        return {"sides": sides, "hidden": hidden, "noise": noise(self.fill, images, height, width, generator)}

    def _side(self, side: int | float, height: int, width: int) -> int:
        pixels = 0 if side == 0 else resolve_length(side, height, width)
        if pixels >= max(height, width):
            raise UserError(
                f"grid={self.grid}: one patch of {pixels} pixels covers all of an image of {height}x{width}: give "
                "fewer pixels, or a share of the shorter side as a float (0.25)"
            )
        return pixels

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        sides, hidden = (params[name].to(images.device, non_blocking=True) for name in ("sides", "hidden"))
        mask = patch_mask(sides, hidden, *images.shape[-2:])
        return erase(images, importance, mask, filled(self.fill, images, params["noise"]))

    def extra_repr(self) -> str:
        return f"grid={self.grid}, p_hide={self.p_hide}, fill={self.fill!r}, p={self.p}"
