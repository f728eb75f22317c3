"""Accelerate's `Accelerator` for one run: device, processes, mixed precision. Sampling and checkpoints are ours.

Accelerate keeps its state for the whole process and refuses a second run of another kind; it is reset here.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ..errors import UserError


def accelerator_for(device: str = "auto", precision: str = "auto") -> Accelerator:
    """An accelerator on ``device`` (auto, cpu, cuda, mps) with fp32 or bf16 ("auto": bf16 on CUDA, else fp32).

    Started by ``torchrun``, each process gets its own GPU, or its share of the CPU.
    """
    device = device_name(device)
    if precision not in ("auto", "fp32", "bf16"):
        raise UserError(f"precision={precision!r} is unknown: use auto, fp32 or bf16")
    mixed = precision == "bf16" or (precision == "auto" and device == "cuda")
    if mixed and device == "cuda" and not torch.cuda.is_bf16_supported():
        if precision == "bf16":
            raise UserError("this GPU does not compute in bf16: use precision=fp32")
        mixed = False
    threads = torch.get_num_threads()
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if mixed else "no")
    torch.set_num_threads(threads)
    return accelerator


def device_name(device: str = "auto") -> str:
    """``device``, or for "auto" the best there is; `UserError` for one that is unknown or not here."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if device not in there:
        raise UserError(f"device={device!r} is unknown: use auto, cpu, cuda or mps; torchrun chooses among several")
    if not there[device]:
        raise UserError(f"device={device!r} is not available here: use {', '.join(n for n in there if there[n])}")
    return device


def emulation_note(device: str, precision: str, slowdown: float | None = None) -> str:
    """What to tell somebody who asked for bf16 on a processor that only imitates it; empty where there is no need.

    slowdown: how many times as long as in fp32 a convolution takes; left out: measured, in some hundredths of a second.
    No flag of the processor is asked, since what counts is what torch makes of it.
    """
    if device != "cpu" or precision != "bf16":
        return ""
    slowdown = bf16_slowdown() if slowdown is None else slowdown
    if slowdown < 1.5:
        return ""
    cost = f"a convolution takes {slowdown:.1f} times as long as in fp32"
    return f"bf16 is slow on this processor: {cost} (--precision fp32)"


def bf16_slowdown() -> float:
    """Seconds of a small convolution and its gradients in bf16 on the CPU, over those in fp32: the best of three."""

    def seconds(dtype: torch.dtype) -> float:
        images = torch.ones(16, 16, 16, 16, dtype=dtype).requires_grad_()
        weights = torch.ones(32, 16, 3, 3, dtype=dtype).requires_grad_()
        taken = []
        for _ in range(4):  # the first call prepares
            start = time.perf_counter()
            torch.autograd.grad(torch.nn.functional.conv2d(images, weights, padding=1).sum(), (images, weights))
            taken.append(time.perf_counter() - start)
        return min(taken[1:])

    return seconds(torch.bfloat16) / seconds(torch.float32)


@contextmanager
def threads(wanted: int | None, workers: int = 0) -> Iterator[None]:
    """Inside the block torch computes with ``wanted`` threads; None: as now, less one for every worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted if wanted is not None else max(1, before - workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)
