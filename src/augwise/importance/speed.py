"""How the classifier's passes are made fast without changing what is asked of it, and timed: precision, layout,
compilation.

Nothing of it is part of a method; it is recorded beside the hardware, as maps depend on it in their last digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..errors import UserError
from .estimator import Estimator

Precision = Literal["auto", "float32", "bf16"]


@dataclass(frozen=True)
class Speed:
    """bf16: passes for gradients in bfloat16, images and weights in channels_last layout; compiled: by
    `torch.compile`."""

    bf16: bool = False
    compiled: bool = False

    @classmethod
    def of(cls, method: Estimator, device: torch.device, precision: Precision, compiled: bool) -> Speed:
        """What pays for this method on this device, unless the precision is given."""
        if precision not in ("auto", "float32", "bf16"):
            raise UserError(f"precision={precision!r}: give auto, float32 or bf16")
        if precision == "auto":
            able = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
            return cls(able and method.needs_model and method.bf16, compiled)
        return cls(precision == "bf16" and method.needs_model, compiled)

    def described(self) -> dict[str, Any]:
        """For the record: only what is not the plain case."""
        said = {"precision": "bf16", "memory_format": "channels_last"} if self.bf16 else {}
        return said | ({"compiled": True} if self.compiled else {})


PLAIN = Speed()


class Quick(nn.Module):
    """A classifier whose passes for gradients are fast; those without gradients, which decide, are the model's own.

    Takes what the model takes and returns its logits in the images' dtype.
    """

    def __init__(self, model: nn.Module, device: torch.device, speed: Speed) -> None:
        super().__init__()
        self.model, self.kind, self.bf16 = model, device.type, speed.bf16
        # One batch size after the other is compiled for its own: shapes that stay the same run fastest.
        self.passes = torch.compile(model, dynamic=False) if speed.compiled else model
        self.train(model.training)

    def forward(self, images: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return self.model(images)
        if not self.bf16:
            return self.passes(images)
        with torch.autocast(self.kind, torch.bfloat16):
            logits = self.passes(images.contiguous(memory_format=torch.channels_last))
        return logits.to(images.dtype)


def quick(model: nn.Module, device: torch.device, speed: Speed) -> nn.Module:
    """The model, or a `Quick` one around it; its weights are shared."""
    return model if speed == PLAIN else Quick(model, device, speed)


def wait_for(device: torch.device) -> None:
    """Return when the device has done all it was given: before a clock is read."""
    if device.type in ("cuda", "mps"):
        getattr(torch, device.type).synchronize()


@contextmanager
def laid_out(model: nn.Module | None, device: torch.device, speed: Speed) -> Iterator[None]:  # noqa: ARG001
    """Inside the block the weights of the model lie in the layout that suits; afterwards they lie as they did."""
    if model is None or not speed.bf16:
        yield
        return
    before = {name: value.data for name, value in model.named_parameters()}
    try:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        yield
    finally:
        for name, value in model.named_parameters():
            value.data = before[name]
