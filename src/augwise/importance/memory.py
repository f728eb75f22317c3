"""Memory that does not suffice: how devices say so, and what to do before trying again with less."""

from __future__ import annotations

import gc

import torch

_SAID = ("out of memory", "not enough memory", "can't allocate memory", "alloc_failed")


def out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on whatever device: most say so in words only."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)


def release() -> None:
    """Give back what a failed attempt held. Call it after the ``except`` block: its traceback holds on to tensors."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def first_line(error: BaseException) -> str:
    """What an error says, in one line of bounded length."""
    text = str(error).strip() or type(error).__name__
    line = text.splitlines()[0]
    return line if len(line) <= 160 else line[:157] + "..."
