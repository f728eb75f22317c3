"""How large a network is and what a prediction costs: parameters, and multiply-adds of one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

_aten = torch.ops.aten
# What a number costs in operations that multiply no matrices: batch-norm scales and shifts, the others look at it once.
_ELEMENTWISE = {
    _aten.native_batch_norm: 2, _aten.cudnn_batch_norm: 2, _aten.relu: 1, _aten.relu_: 1,
    _aten.max_pool2d_with_indices: 1, _aten.avg_pool2d: 1, _aten._adaptive_avg_pool2d: 1,
}  # fmt: skip


class Counted(NamedTuple):
    """parameters: numbers that are trained and that a prediction needs. multiply_adds: of one image, each a
    multiplication and the addition behind it, which papers print as "FLOPs" or "Mult-Adds". elementwise: what
    batch-norm (two for each number), ReLU and pooling (one for each number that they read) do besides.
    """

    parameters: int
    multiply_adds: int
    elementwise: int

    @property
    def all_operations(self) -> int:
        """Multiply-adds and the rest: as PC-DARTS counts its 597 million, and those that compare with it."""
        return self.multiply_adds + self.elementwise


def counted(network: nn.Module, shape: Sequence[int]) -> Counted:
    """Count a network's parameters and the multiply-adds of one image of ``shape`` (C, H, W).

    Multiply-adds are those of convolutions (of any groups and dilation), matrix products and attention, as torch runs
    them, also where no module stands for them. They are half of what torch's `FlopCounterMode` calls FLOPs, which
    counts multiplications and additions apart. What only training uses (a network's own ``training_only``: names of its
    parts) counts for nothing.

    The network is run once in evaluation mode, on its own device, without a trace: modes and buffers stay as they are.
    """
    first = next(network.parameters(), None)
    image = torch.zeros(1, *shape) if first is None else torch.zeros(1, *shape, device=first.device, dtype=first.dtype)
    modes = [(module, module.training) for module in network.modules()]
    elementwise = 0

    def counting(each: int) -> Any:
        def count(read: Any, *_: Any, **__: Any) -> int:
            nonlocal elementwise
            elementwise += each * math.prod(read)
            return 0

        return count

    counter = FlopCounterMode(display=False, custom_mapping={op: counting(n) for op, n in _ELEMENTWISE.items()})
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # its kernels, like those of attention, hide their products
    try:
        with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            network.eval()(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for module, training in modes:
            module.training = training
    left_out = tuple(f"{name}." for name in getattr(network, "training_only", ()))
    needed = (p for name, p in network.named_parameters() if not name.startswith(left_out))
    return Counted(sum(p.numel() for p in needed if p.requires_grad), counter.get_total_flops() // 2, elementwise)
