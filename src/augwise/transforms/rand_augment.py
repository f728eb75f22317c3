"""RandAugment on a batch: every image its own few operations, all at one magnitude."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .operation_policy import OperationPolicy
from .operation_spaces import NAMES, standard
from .operations import Interpolation
from .trivial_augment import check_bins


class RandAugment(OperationPolicy):
    """``num_ops`` operations of 14, uniform, one after the other, at one magnitude (Cubuk et al., NeurIPS 2020).

    num_ops: how many operations each image gets (N in the paper), at least 1.
    magnitude: their common strength (M in the paper), 0 to ``num_magnitude_bins`` - 1.
    num_magnitude_bins: into how many magnitudes each operation's range is cut, at least 2.
    interpolation: of shears, translations and rotations: "nearest" (torchvision's default) or "bilinear".
    fill: colour of what they uncover, in [0, 1], one number or one per channel; None: black.

    Distributed as torchvision's `RandAugment` (where a magnitude has a sign, a fair coin gives it), and on the CPU the
    same uint8 picture for the same operations; but every image of a batch draws for itself, and the map follows shears,
    translations and rotations. Images have 1 or 3 channels.
    """

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        if num_ops < 1:
            raise UserError(f"num_ops={num_ops} leaves images as they are: give at least 1")
        self.num_magnitude_bins = check_bins(num_magnitude_bins)
        if not 0 <= magnitude < num_magnitude_bins or magnitude != int(magnitude):
            raise UserError(
                f"magnitude={magnitude} is out of range: give a whole number from 0 to {num_magnitude_bins - 1}"
            )
        self.num_ops, self.magnitude = num_ops, int(magnitude)

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        high = torch.tensor([len(NAMES), 2])
        rows, negative = randomness.integers(high, len(images), self.num_ops, 2, generator=generator).unbind(2)
        space = standard(self.num_magnitude_bins, *images.shape[-2:])
        operations, magnitudes = space.at(rows, torch.full_like(rows, self.magnitude), negative)
        return {"operations": operations, "magnitudes": magnitudes}

    def extra_repr(self) -> str:
        numbers = f"num_ops={self.num_ops}, magnitude={self.magnitude}, num_magnitude_bins={self.num_magnitude_bins}"
        return f"{numbers}, {super().extra_repr()}"
