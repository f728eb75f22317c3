"""Fast AutoAugment on a batch: every image its own sub-policy of the released ones, or of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .operation_policy import OperationPolicy
from .operations import OPERATIONS, Interpolation
from .sub_policies import SubPolicy, label, parse, published

_MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
NAMES = (
    *_MOVES,
    *("AutoContrast", "Invert", "Equalize", "Solarize", "Posterize"),
    *("Contrast", "Color", "Brightness", "Sharpness", "Cutout"),
)

_MIRRORED = torch.tensor([OPERATIONS.index(name) for name in _MOVES])
_TRANSLATIONS = torch.tensor([OPERATIONS.index(name) for name in ("TranslateX", "TranslateY")])


class FastAutoAugment(OperationPolicy):
    """One sub-policy of about 500, uniform, for each image: two operations, each with its own probability (Lim et al.,
    NeurIPS 2019).

    policy: "cifar10" (493 sub-policies, for CIFAR-100 too), "svhn" (497) or "imagenet" (498), as the authors released
        them; or a list of sub-policies of your own, each a sequence of (operation, probability, magnitude), all numbers
        in [0, 1].
    interpolation: of shears, translations and rotations: "nearest" (as released) or "bilinear".
    fill: colour of what they uncover, in [0, 1], one number or one per channel; None: black (as released).

    A magnitude is a share of its operation's range: ShearX and ShearY -0.3 to 0.3, TranslateX and TranslateY -0.45 to
    0.45 of the width or height (rounded to whole pixels), Rotate -30° to 30°, all three then mirrored by a fair coin;
    Solarize threshold 0 to 256; Posterize 4 to 8 bits; Contrast, Color, Brightness, Sharpness factors 0.1 to 1.9;
    Cutout a square of side 0 to 0.2 of the width, anywhere, in the grey (125, 123, 114) / 255, where the map becomes 0;
    AutoContrast, Invert and Equalize have none. The pixels are those of torchvision's kernels (the release uses PIL's,
    which round differently here and there). The map follows shears, translations and rotations. Images have 1 or 3
    channels.
    """

    def __init__(
        self,
        policy: Literal["cifar10", "svhn", "imagenet"] | Sequence[SubPolicy] = "cifar10",
        interpolation: Interpolation = "nearest",
        fill: float | Sequence[float] | None = None,
    ) -> None:
        super().__init__(interpolation, fill)
        steps = published("fastautoaugment", policy) if isinstance(policy, str) else policy
        self.sub_policies = parse(steps, NAMES, _share, '[("Rotate", 0.7, 0.2), ("Cutout", 0.5, 0.9)]')
        self.policy = label(policy, self.sub_policies)

    def make_params(
        self,
        images: Tensor,
        importance: Tensor | None,  # noqa: ARG002
        generator: torch.Generator | None,
    ) -> dict[str, Any]:
        operations, shares, negative = self.sub_policies.draw(len(images), generator)
        places = randomness.uniform(*operations.shape, 2, generator=generator)
        magnitudes = magnitude_of(operations, shares, *images.shape[-2:])
        mirrored = negative & torch.isin(operations, _MIRRORED)
        return {
            "operations": operations,
            "magnitudes": torch.where(mirrored, -magnitudes, magnitudes),
            "places": places,
        }

    def extra_repr(self) -> str:
        return f"policy={self.policy!r}, {super().extra_repr()}"


def magnitude_of(operations: Tensor, shares: Tensor, height: int, width: int) -> Tensor:
    """What shares in [0, 1] of the released ranges mean in the units of `operations.apply_operations`, float64.

    operations: places in `OPERATIONS`, of the same shape as shares.
    """
    ranges = dict.fromkeys(OPERATIONS, (0.0, 0.0))
    ranges |= dict.fromkeys(("ShearX", "ShearY"), (-0.3, 0.3))
    ranges |= {"TranslateX": (-0.45 * width, 0.45 * width), "TranslateY": (-0.45 * height, 0.45 * height)}
    ranges |= {"Rotate": (-30.0, 30.0), "Solarize": (0.0, 256 / 255), "Posterize": (4.0, 8.0)}
    ranges |= dict.fromkeys(("Contrast", "Color", "Brightness", "Sharpness"), (-0.9, 0.9))
    ranges |= {"Cutout": (0.0, 0.2 * width)}
    low, high = torch.tensor([ranges[name] for name in OPERATIONS], dtype=torch.float64)[operations].unbind(-1)
    magnitudes = low + shares * (high - low)
    return torch.where(torch.isin(operations, _TRANSLATIONS), (magnitudes + 0.5).floor(), magnitudes)


def _share(name: str, magnitude: Any) -> float:
    if magnitude is None and name in ("AutoContrast", "Invert", "Equalize"):
        return 0.0
    if not isinstance(magnitude, int | float) or not 0 <= magnitude <= 1:
        raise UserError(
            f"magnitude {magnitude!r} of {name} is out of range: give a share of the operation's range, from 0 to 1"
        )
    return float(magnitude)
