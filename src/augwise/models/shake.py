"""A branch that weighs one thing on the way forward and another on the way back (Shake-Shake, ShakeDrop)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Shaken(torch.autograd.Function):
    """``forth`` · x, through which a gradient g comes back as ``back`` · g. Both: (N, 1, 1, 1), one of each image."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forth: Tensor, back: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(back)
        return x * forth

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        (back,) = ctx.saved_tensors
        return gradient * back, None, None


def shaken(x: Tensor, forth: Tensor, back: Tensor) -> Tensor:
    """`Shaken` in x's own type, which under autocast is not that of the coefficients."""
    found: Any = Shaken.apply(x, forth.to(x.dtype), back.to(x.dtype))
    return found


def uniform(like: Tensor, low: float = 0.0) -> Tensor:
    """One number from U(low, 1) for each of N images, from torch's stream of their device: (N, 1, 1, 1) float32."""
    return low + (1 - low) * torch.rand(len(like), 1, 1, 1, device=like.device)
