"""What guarded methods share: the arguments of a guard, checked once, and the choice of one region per image.

Deletion and mixing ask for regions that score low, `Preserve` for one that scores high; all else is the same. Draws
nothing itself: the uniforms come from the method, so that its plain and its guarded form use up the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

import torch
from torch import Tensor

from . import regions
from .errors import UserError
from .regions import Reduce, Size, Window


@dataclass(frozen=True)
class Guard:
    """Which regions of an image a method may use: at most one of quantile and threshold, neither is the plain form.

    quantile: τ in (0, 1], share of an image's regions, by ascending importance score, that count as unimportant: the
        threshold is each image's own. None: any region, the map is not looked at (the plain form).
    threshold: the same score for every image, ≥ 0, in units of the map as it is given (with "mean" and "max" those of
        one pixel). Scores are those of the map in 8 bits, see `regions.in_levels`. Where an image has no region on the
        right side of it the box is empty: an absolute bound is kept, and the image left alone.
    window: regions "clipped" at the border, centre uniform over all pixels (the papers), or "inside" the image.
    reduce: score of a region = "sum" of the map over it (IPF-RDA, Eq. 11), the "mean", or the largest value, "max".
    """

    quantile: float | None = None
    window: Window = "clipped"
    reduce: Reduce = "sum"
    threshold: float | None = None

    def __post_init__(self) -> None:
        if self.quantile is not None and (isinstance(self.quantile, bool) or not 0 < self.quantile <= 1):
            raise UserError(
                f"quantile={self.quantile} is out of range: give a share above 0 and up to 1 (0.6 in the papers), "
                "or None for the plain form"
            )
        if self.threshold is not None:
            regions.check_threshold(self.threshold)
        if self.quantile is not None and self.threshold is not None:
            raise UserError(
                f"quantile={self.quantile} and threshold={self.threshold}: give one, a share of each image's regions "
                "or the same score for every image"
            )
        for name, kinds in (("window", Window), ("reduce", Reduce)):
            if getattr(self, name) not in get_args(kinds):
                raise UserError(f"{name}={getattr(self, name)!r} is unknown: use one of {', '.join(get_args(kinds))}")

    @property
    def active(self) -> bool:
        """True if the map is looked at."""
        return self.quantile is not None or self.threshold is not None

    def __repr__(self) -> str:
        # A run is known by what its steps print: those from before there was a threshold print none.
        absolute = "" if self.threshold is None else f", threshold={self.threshold!r}"
        return f"Guard(quantile={self.quantile!r}, window={self.window!r}, reduce={self.reduce!r}{absolute})"

    def boxes(
        self,
        images: Tensor,
        importance: Tensor | None,
        size: Size,
        u: Tensor,
        keep: Literal["low", "high"] = "low",
    ) -> Tensor:
        """One region per image, uniform among those that the guard accepts.

        images: (N, C, H, W); importance: (N, H, W), looked at only if `active`; size: see `regions.sample`;
        u: (N, regions.DRAWS) uniforms; keep: regions that score "low" (at most the threshold of their image) or
        "high" (at least the threshold, and above 0 unless the whole map is 0). Returns (N, 4) int64 boxes
        (top, left, bottom, right), clipped at the border, on the device of the images; (0, 0, 0, 0) where no region
        meets an absolute threshold.
        """
        n, (height, width) = len(images), images.shape[-2:]
        if not n:
            return torch.zeros((0, 4), dtype=torch.int64, device=images.device)
        if not self.active or importance is None:
            blank = torch.zeros((1, 1, 1), dtype=torch.int32, device=images.device)
            return regions.sample(blank.expand(n, height + 1, width + 1), size, u, window=self.window)
        return regions.sample(
            regions.integral(importance),
            size,
            u,
            quantile=self.quantile,
            keep=keep,
            window=self.window,
            reduce=self.reduce,
            threshold=None if self.threshold is None else regions.in_levels(self.threshold, importance, keep),
            positive=keep == "high",
            nearest=self.threshold is None,
        )


def side_of(length: int | float, height: int, width: int) -> int:
    """The side in pixels of a square of this ``length``, see `regions.resolve_length`; one that would cover all of the
    image wherever its centre lies is refused."""
    side = regions.resolve_length(length, height, width)
    if side >= 2 * max(height, width) - 1:
        raise UserError(
            f"length={length} covers all of an image of {height}x{width}, wherever it lies: give fewer pixels, or a "
            "share of the shorter side as a float (0.5)"
        )
    return side


def check_length(length: int | float, name: str = "length") -> int | float:
    """``length`` itself, if it can be the side of a square: pixels (int), or a share of the shorter side (float).

    name: of the argument, for the message.
    """
    fits = length >= 1 if isinstance(length, Integral) else 0 < length <= 1
    if isinstance(length, bool) or not fits:
        raise UserError(
            f"{name}={length!r} cannot be the side of a square: give whole pixels (16), or a share of the image's "
            "shorter side as a float above 0 and up to 1.0 (0.5)"
        )
    return length
