"""What the policies share: parameters that name a few operations for each image, and what is done with them.

A policy's own `make_params` draws; everything else is here: the operations are applied one after the other, each to
the whole batch at once, and `move` does the geometric ones alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from torch import Tensor

from ..errors import UserError
from .base import Augmentation, check_fill
from .operations import Interpolation, apply_operations, geometry_of


class OperationPolicy(Augmentation):
    """A policy that gives every image of a batch a short sequence of operations of its own.

    `make_params` returns, all on the CPU: ``operations`` (N, L) int64, places in `operations.OPERATIONS` (Identity
    where an image gets less than L); ``magnitudes`` (N, L) float64, signed, in the units of
    `operations.apply_operations`; and where Cutout may be among them ``places`` (N, L, 2) float64.

    interpolation: of shears, translations and rotations: "nearest" (torchvision's default) or "bilinear".
    fill: colour of what they uncover, in [0, 1], one number or one per channel; None: black.
    """

    def __init__(self, interpolation: Interpolation = "nearest", fill: float | Sequence[float] | None = None) -> None:
        super().__init__()
        if interpolation not in get_args(Interpolation):
            raise UserError(
                f"interpolation={interpolation!r} is unknown: use one of {', '.join(get_args(Interpolation))}"
            )
        self.interpolation: Interpolation = interpolation
        self.fill = None if fill is None else check_fill(fill)

    def transform(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any]
    ) -> tuple[Tensor, Tensor | None]:
        return self._in_turn(images, importance, params, params["operations"])

    def move(self, images: Tensor, importance: Tensor | None, params: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        return self._in_turn(images, importance, params, geometry_of(params["operations"]))

    def _in_turn(
        self, images: Tensor, importance: Tensor | None, params: dict[str, Any], operations: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        places = params.get("places")
        for step in range(operations.shape[1]):
            images, importance = apply_operations(
                images,
                importance,
                operations[:, step],
                params["magnitudes"][:, step],
                None if places is None else places[:, step],
                self.interpolation,
                self.fill,
            )
        return images, importance

    def extra_repr(self) -> str:
        return f"interpolation={self.interpolation!r}, fill={self.fill}"
