"""TrivialAugment on a batch: every image its own operation at its own magnitude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .operation_policy import OperationPolicy
from .operation_spaces import NAMES, wide
from .operations import Interpolation


class TrivialAugment(OperationPolicy):
    """One operation of 14, at one magnitude of 31, both uniform, for each image (Müller and Hutter, ICCV 2021, *Wide*).

    num_magnitude_bins: into how many magnitudes each operation's range is cut, at least 2.
    interpolation: of shears, translations and rotations: "nearest" (torchvision's default) or "bilinear".
    fill: colour of what they uncover, in [0, 1], one number or one per channel; None: black.

    Distributed as torchvision's `TrivialAugmentWide`, and on the CPU the same uint8 picture for the same operation and
    magnitude; but every image of a batch draws for itself, and the map follows shears, translations and rotations.
    Images have 1 or 3 channels.
    """

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        self.num_magnitude_bins = check_bins(num_magnitude_bins)

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        high = torch.tensor([len(NAMES), self.num_magnitude_bins, 2])
        drawn = randomness.integers(high, len(images), 1, 3, generator=generator)
        operations, magnitudes = wide(self.num_magnitude_bins).at(*drawn.unbind(2))
        return {"operations": operations, "magnitudes": magnitudes}

    def extra_repr(self) -> str:
        return f"num_magnitude_bins={self.num_magnitude_bins}, {super().extra_repr()}"


def check_bins(bins: int) -> int:
    """``bins`` itself, if a range can be cut into so many magnitudes."""
    if bins < 2:
        raise UserError(f"num_magnitude_bins={bins} is no range: give at least 2 (31 in the papers)")
    return bins
