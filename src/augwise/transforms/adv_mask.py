"""Hide squares on the points that an attack found (AdvMask), without ever hiding all of an object at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import randomness, regions
from ..errors import UserError
from ..guard import check_length
from ..importance_map import ImportanceMap
from ..schedule import Probability, Ramp, check_probability, current
from .base import Augmentation
from .erasing import Fill, check_fill_or_name, erase, filled, noise
from .square_masks import VISITS, square_masks, visit_points


class AdvMask(Augmentation):
    """Hide squares that stand on an image's key points (Yang et al. 2023, section 3.2).

    The points are the non-zero pixels of the importance map, in random order: those of a sparse attack make the method
    of the paper, those of any other map (corners, saliency, random ones) its ablation (Table 7). Each mask draws
    one length l, one overlap o and one target p. Squares of side l are put on the points in turn; one that would share
    more than ⌊o l²⌋ pixels with another is left out, and so is one that would hide more than p_max of the picture; the
    mask is finished when it hides the share p. The map becomes 0 where the image is hidden. An image without points
    stays as it is, and one whose points run out is hidden less than p_min.

    lengths: l_min and l_max, sides of the squares: pixels (int), or shares of the shorter side (float); l is uniform
        over the whole pixels between. Default: 2 to 15 of 32, the paper's for CIFAR-10 (CIFAR-100: 5 to 20). For other
        data it suggests l_min from 2 to 5 pixels and l_max up to 65 % of the side (section 5.4).
    shares: p_min and p_max, between which the share p of the picture that is to be hidden is uniform. It counts hidden
        pixels once; the paper's p, number of squares times l², counts those that two squares share twice.
    overlap: o_max, 0 to 1; o is uniform from 0 to it (0.1 for CIFAR-10, 0.2 for CIFAR-100 and in general).
    fill: what hidden pixels show: "mean" (the image's own mean colour), "random" (noise), or a colour in [0, 1], one
        number or one per channel. The paper hides after normalisation: it takes the mean colour of the data set.
    p: probability that an image is masked at all, or a `Ramp` of it. Default: rising linearly to 0.8 over all of
        training (section 4.1).
    top: of a dense map (occlusion, saliency), take this share of the pixels, those of highest importance, as points.

    Needs maps in every form: a mask is made of them. Guarded by `Preserve` it spares one important region.
    """

    def __init__(
        self,
        lengths: tuple[int | float, int | float] = (2 / 32, 15 / 32),
        shares: tuple[float, float] = (0.2, 0.4),
        overlap: float = 0.1,
        fill: Fill = "mean",
        p: Probability = Ramp(0.8),  # noqa: B008 - frozen
        top: float | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(lengths, tuple | list) or len(lengths) != 2:
            raise UserError(f"lengths={lengths}: give the shortest and the longest side of a square")
        if not (isinstance(shares, tuple | list) and len(shares) == 2 and 0 < shares[0] <= shares[1] <= 1):
            raise UserError(f"shares={shares}: give the smallest and the largest share hidden, such as (0.2, 0.4)")
        if not 0 <= overlap <= 1:
            raise UserError(f"overlap={overlap} is out of range: give a share of a square's area, from 0 to 1")
        if top is not None and not 0 < top <= 1:
            raise UserError(f"top={top} is not a share of the pixels: give a number above 0 and up to 1, such as 0.1")
        self.lengths = (check_length(lengths[0]), check_length(lengths[1]))
        self.shares, self.overlap, self.top = (float(shares[0]), float(shares[1])), overlap, top
        self.fill: Fill = check_fill_or_name(fill)
        self.p: Probability = check_probability(p)

    @property
    def guarded(self) -> bool:
        return True

    @property
    def needs_map(self) -> bool:
        return True

    def make_params(
        self, images: Tensor, importance: Tensor | None, generator: torch.Generator | None
    ) -> dict[str, Any]:
        assert importance is not None
        n, (height, width), device = len(images), images.shape[-2:], images.device
        shortest, longest = self._sides(height, width)
        masked = randomness.uniform(n, generator=generator) < current(self.p)
        length = shortest + randomness.integers(longest - shortest + 1, n, generator=generator)
        overlap = self.overlap * randomness.uniform(n, generator=generator)
        low, high = self.shares
        target = (low + (high - low) * randomness.uniform(n, generator=generator)) * masked
        u = randomness.uniform(n, VISITS, generator=generator).to(device, non_blocking=True)
        drawn = (t.to(device, non_blocking=True) for t in (length, overlap, target))
        regions.check_values(importance)
        points = ImportanceMap(importance).points(self.top)
        mask = square_masks(visit_points(points, u), height, width, *drawn, most=high)
        return {"mask": mask, "noise": noise(self.fill, images, height, width, generator)}

    def _sides(self, height: int, width: int) -> tuple[int, int]:
        shortest, longest = (regions.resolve_length(side, height, width) for side in self.lengths)
        if shortest > longest:
            raise UserError(
                f"lengths={self.lengths} is {shortest} to {longest} pixels of an image of {height}x{width}: give the "
                "shortest side first"
            )
        if longest > min(height, width) or longest**2 > self.shares[1] * height * width:
            raise UserError(
                f"lengths={self.lengths}: a square of {longest}x{longest} pixels is more than an image of "
                f"{height}x{width} may lose (shares={self.shares}): give a shorter one, or a larger share"
            )
        return shortest, longest

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        return erase(images, importance, params["mask"], filled(self.fill, images, params["noise"]))

    def extra_repr(self) -> str:
        what = f"lengths={self.lengths}, shares={self.shares}, overlap={self.overlap}, top={self.top}"
        return f"{what}, fill={self.fill!r}, p={self.p}"
