"""Keyed random numbers: one stream per place, so that a draw depends on where it stands and on nothing else.

All numbers come from torch's CPU generator, also for batches on a GPU: they are few (a handful per image), the same
seed gives the same draws on every device, and nothing waits for the device. What an image draws on the sample path is
keyed by (seed, epoch, index, position in the pipeline), on the batch path by (seed, epoch, step, position) and the
image's place in the global batch.
"""

from __future__ import annotations

import hashlib
import math
import operator
import random
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import UserError

_KNOWN = ("torchvision.transforms.v2", "torchvision.tv_tensors", "augwise", "kornia", "torch")
"""Packages whose transforms draw from torch alone."""

_share: ContextVar[tuple[int, int] | None] = ContextVar("augwise_share", default=None)


def derive(*key: int | str) -> int:
    """A 32-bit seed that depends on every part of the key.

    torch seeds its CPU generator from 32 bits alone, so keys are hashed, never packed. Integers of any kind (NumPy's
    and torch's too) count by their value.
    """
    parts = tuple(part if isinstance(part, str) else operator.index(part) for part in key)
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


class stream:
    """``with stream(seed, epoch, index, position): ...`` — torch's default generator is seeded by the key inside the
    block and is as before after it.

    foreign: also do this for Python's `random` and NumPy, for wrapped transforms that draw there (15 to 70 µs more).
    """

    def __init__(self, *key: int | str, foreign: bool = False) -> None:
        self.seed = derive(*key)
        self.foreign = foreign

    def __enter__(self) -> None:
        self._torch = torch.default_generator.get_state()
        torch.default_generator.manual_seed(self.seed)
        if self.foreign:
            self._python, self._numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
            random.seed(self.seed)
            np.random.seed(self.seed)  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        torch.default_generator.set_state(self._torch)
        if self.foreign:
            random.setstate(self._python)
            np.random.set_state(self._numpy)  # noqa: NPY002


def draws_elsewhere(step: Any) -> bool:
    """Whether a step may draw from Python's `random` or from NumPy: True for all that is not known to use torch
    alone (torchvision v2, Kornia, torch and this library), also when a known transform holds it."""
    return any(_unknown(part) for part in _parts(step, set()))


def _unknown(part: Any) -> bool:
    home = getattr(part, "__module__", None) or type(part).__module__
    return not any(home == known or home.startswith(known + ".") for known in _KNOWN)


def _parts(step: Any, seen: set[int]) -> Iterable[Any]:
    """The step and every callable that it holds, as deep as the holders are known."""
    if id(step) in seen:
        return
    seen.add(id(step))
    yield step
    if _unknown(step) or not hasattr(step, "__dict__"):
        return
    held = list(vars(step).values())
    while held:
        value = held.pop()
        if isinstance(value, list | tuple | torch.nn.ModuleList):
            held += list(value)
        elif isinstance(value, dict):
            held += list(value.values())
        elif callable(value) and not isinstance(value, type | Tensor):
            yield from _parts(value, seen)


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator of its own, seeded by the key."""
    return torch.Generator().manual_seed(derive(*key))


@contextmanager
def shard(offset: int, total: int):
    """Inside the block, batches are rows ``offset:offset + n`` of a global batch of ``total`` images.

    Draws are made for the global batch and cut, so several processes together draw what one would have drawn.
    """
    token = _share.set((offset, total))
    try:
        yield
    finally:
        _share.reset(token)


def _rows(n: int) -> tuple[int, slice]:
    share = _share.get()
    if share is None:
        return n, slice(0, n)
    offset, total = share
    if offset + n > total:
        raise ValueError(f"rows {offset}:{offset + n} lie outside the global batch of {total}")
    return total, slice(offset, offset + n)


def uniform(n: int, *shape: int, generator: torch.Generator | None = None) -> Tensor:
    """(n, *shape) float64 in [0, 1) on the CPU: row i belongs to image i of the batch."""
    total, rows = _rows(n)
    return torch.rand(total, *shape, dtype=torch.float64, generator=generator)[rows]


def normal(n: int, *shape: int, generator: torch.Generator | None = None) -> Tensor:
    """(n, *shape) float32 draws of N(0, 1) on the CPU: row i belongs to image i of the batch."""
    total, rows = _rows(n)
    return torch.randn(total, *shape, generator=generator)[rows]


def integers(high: int | Tensor, n: int, *shape: int, generator: torch.Generator | None = None) -> Tensor:
    """(n, *shape) int64 in [0, high) on the CPU; ``high`` may be a tensor that broadcasts."""
    return (uniform(n, *shape, generator=generator) * high).long()


def levels(n: int, *shape: int, generator: torch.Generator | None = None) -> Tensor:
    """(n, *shape) uint8, uniform over 0 … 255, on the CPU: noise in the levels of a picture.

    Eight of them are cut from one 64-bit draw, ten times faster than `uniform` for each.
    """
    total, rows = _rows(n)
    count = total * math.prod(shape)
    words = torch.empty((count + 7) // 8, dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return words.view(torch.uint8)[:count].view(total, *shape)[rows]


def beta(alpha: float, n: int, generator: torch.Generator | None = None) -> Tensor:
    """(n,) float64 draws of Beta(alpha, alpha) on the CPU, alpha > 0."""
    if not alpha > 0:
        raise UserError(f"alpha={alpha} is no parameter of a beta distribution: give a number above 0")
    if alpha == 1:
        return uniform(n, generator=generator)
    logs = _log_gammas(torch.tensor([alpha, alpha], dtype=torch.float64), n, generator)
    return torch.sigmoid(logs[:, 0] - logs[:, 1])


def dirichlet(alpha: Sequence[float], n: int, generator: torch.Generator | None = None) -> Tensor:
    """(n, K) float64 draws of Dir(alpha_1, ..., alpha_K) on the CPU, every alpha above 0; rows sum to 1."""
    if not len(alpha) or not all(a > 0 for a in alpha):
        raise UserError(f"alpha={tuple(alpha)} is no parameter of a Dirichlet distribution: give numbers above 0")
    return _log_gammas(torch.tensor(alpha, dtype=torch.float64), n, generator).softmax(1)


def _log_gammas(alpha: Tensor, n: int, generator: torch.Generator | None) -> Tensor:
    """(n, K) logarithms of draws X_k ~ Gamma(alpha_k), as Gamma(alpha + 1) · U^(1 / alpha): X underflows where alpha is
    small."""
    total, rows = _rows(n)
    shape = (alpha + 1).expand(total, len(alpha)).contiguous()
    gammas = torch._standard_gamma(shape, generator=generator)  # pyright: ignore[reportPrivateImportUsage]
    uniforms = 1 - torch.rand(total, len(alpha), dtype=torch.float64, generator=generator)
    return (gammas.log() + uniforms.log() / alpha)[rows]


def permutation(n: int, generator: torch.Generator | None = None) -> Tensor:
    """A permutation of the local batch, (n,) int64 on the CPU. Partners are local, so it is not sharded."""
    return torch.randperm(n, generator=generator)


def derangement(n: int, generator: torch.Generator | None = None) -> Tensor:
    """A permutation of n ≥ 2 rows without a fixed point, (n,) int64 on the CPU: a random cycle through all rows.

    The control arm of a comparison reads the map of row ``derangement[i]`` for image i.
    """
    if n < 2:
        raise ValueError(f"a derangement needs at least two rows, not {n}")
    order = torch.randperm(n, generator=generator)
    result = torch.empty(n, dtype=torch.int64)
    result[order] = order.roll(-1)
    return result
