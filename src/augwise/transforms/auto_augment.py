"""AutoAugment on a batch: every image its own sub-policy of a published policy, or of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from ..errors import UserError
from .operation_policy import OperationPolicy
from .operation_spaces import NAMES, WITHOUT_MAGNITUDE, standard
from .operations import Interpolation
from .sub_policies import SubPolicy, label, parse, published

BINS = 10


class AutoAugment(OperationPolicy):
    """One sub-policy of 25, uniform, for each image: two operations, each with its own probability (Cubuk et al. 2019).

    policy: "imagenet", "cifar10" or "svhn", for which the paper searched; or a list of sub-policies of your own, each
        a sequence of (operation, probability, magnitude): operations of torchvision's `AutoAugment`, probabilities in
        [0, 1], magnitudes whole numbers from 0 to 9 (None for what has none).
    interpolation: of shears, translations and rotations: "nearest" (torchvision's default) or "bilinear".
    fill: colour of what they uncover, in [0, 1], one number or one per channel; None: black.

    Distributed as torchvision's `AutoAugment` (where a magnitude has a sign, a fair coin gives it), and on the CPU the
    same uint8 picture for the same operations; but every image of a batch draws for itself, and the map follows shears,
    translations and rotations. Images have 1 or 3 channels.
    """

    def __init__(
        self,
        policy: Literal["imagenet", "cifar10", "svhn"] | Sequence[SubPolicy] = "imagenet",
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        steps = published("autoaugment", policy) if isinstance(policy, str) else policy
        known = (*NAMES, "Invert")
        self.sub_policies = parse(steps, known, _bin, '[("Rotate", 0.7, 2), ("Invert", 0.1, None)]')
        self.policy = label(policy, self.sub_policies)

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        drawn, bins, negative = self.sub_policies.draw(len(images), generator)
        space = standard(BINS, *images.shape[-2:])
        operations, magnitudes = space.at(space.rows[drawn], bins.long(), negative)
        return {"operations": operations, "magnitudes": magnitudes}

    def extra_repr(self) -> str:
        return f"policy={self.policy!r}, {super().extra_repr()}"


def _bin(name: str, magnitude: Any) -> float:
    if name in WITHOUT_MAGNITUDE:
        return 0.0
    if isinstance(magnitude, bool) or magnitude not in range(BINS):
        raise UserError(f"magnitude {magnitude!r} of {name} is out of range: give a whole number from 0 to {BINS - 1}")
    return float(magnitude)
