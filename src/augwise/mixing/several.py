"""What mixers of K images share: who is mixed with whom, how much of each, their numbers' course, and what is said of
the pictures once they are made.

Draws go through `randomness`; nothing here touches pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from ..sample import Batch
from ..schedule import Probability, check_probability, current
from .base import label_sets
from .shares import Labels, source_shares

Alpha = float | Sequence[float]


def check_alpha(alpha: Alpha, k: int) -> tuple[float, ...]:
    """K parameters of a Dirichlet distribution, one number standing for K equal ones; `UserError` otherwise."""
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise UserError(f"k={k!r}: a picture is made of a whole number of images, at least 1; 3 is usual")
    every = tuple(float(a) for a in alpha) if isinstance(alpha, Sequence) else (float(alpha),) * k
    if len(every) != k:
        raise UserError(f"alpha={alpha} has {len(every)} numbers for k={k} images: give one number, or one per image")
    if not all(0 < a < float("inf") for a in every):
        raise UserError(f"alpha={alpha} is no parameter of a Dirichlet distribution: give numbers above 0")
    return every


def check_pair(alpha: float) -> tuple[float, float]:
    """Both parameters of a symmetric beta distribution, Beta(alpha, alpha); `UserError` otherwise."""
    if not 0 < alpha < float("inf"):
        raise UserError(f"alpha={alpha} is no parameter of a beta distribution: give a number above 0")
    return float(alpha), float(alpha)


class Draw:
    """The numbers that every mixer of K images draws: a coin, K - 1 partners and the shares φ ~ Dir(alpha).

    alpha: K numbers; p: probability that an image is mixed; per_batch: one φ for the whole batch, as in the papers'
    pseudo-code, rather than one for each image.
    """

    def __init__(self, alpha: tuple[float, ...], p: Probability, per_batch: bool) -> None:
        self.alpha, self.per_batch = alpha, per_batch
        self.p: Probability = check_probability(p)

    @property
    def k(self) -> int:
        """How many images make a picture."""
        return len(self.alpha)

    def text(self, labels: str, normalize: bool) -> str:
        """What a mixer of K images says of itself."""
        alpha = self.alpha[0] if len(set(self.alpha)) == 1 else self.alpha
        drawn = f"k={self.k}, alpha={alpha}, labels={labels!r}, p={self.p}"
        return f"{drawn}, per_batch={self.per_batch}, normalize={normalize}"

    def mixed(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N,) bool: which images are mixed at all."""
        return randomness.uniform(n, generator=generator) < current(self.p)

    def rows(self, n: int, generator: torch.Generator | None) -> Tensor:
        """(N, K) int64: the image itself and K - 1 partners, each from a permutation of its own, as in Algorithm 1; so
        in a batch smaller than K an image meets itself. To be drawn last: partners are local, so processes that share a
        global batch go apart here."""
        others = [randomness.permutation(n, generator=generator) for _ in range(self.k - 1)]
        return torch.stack([torch.arange(n), *others], 1)

    def shares(self, n: int, generator: torch.Generator | None) -> Tensor:
        """φ, (N, K) float64, rows sum to 1."""
        with self._once():
            drawn = randomness.dirichlet(self.alpha, 1 if self.per_batch else n, generator=generator)
        return drawn.expand(n, -1)

    def uniform(self, n: int, *shape: int, generator: torch.Generator | None) -> Tensor:
        """(N, *shape) float64 in [0, 1), one draw for the batch where φ is."""
        with self._once():
            drawn = randomness.uniform(1 if self.per_batch else n, *shape, generator=generator)
        return drawn.expand(n, *shape)

    def normal(self, n: int, *shape: int, generator: torch.Generator | None) -> Tensor:
        """(N, *shape) float32 of N(0, 1), one draw for the batch where φ is."""
        with self._once():
            drawn = randomness.normal(1 if self.per_batch else n, *shape, generator=generator)
        return drawn.expand(n, *shape)

    def _once(self):
        """Inside, a single row is drawn alike by all processes that share a global batch."""
        return randomness.shard(0, 1) if self.per_batch else nullcontext()


def assembled(
    batch: Batch,
    rows: Tensor,
    images: Tensor,
    areas: Tensor,
    maps: tuple[Tensor, Tensor] | None,
    labels: Labels = "area",
    normalize: bool = False,
) -> Batch:
    """The batch whose pictures are made of K images each: their pixels, with labels, maps and evidence that say so.

    batch: what was mixed; rows: (N, K) int64, which of its images make each picture, the base image first; images: (N,
    C, H, W), the pictures; areas: (N, K), each image's share of the pixels. maps: the mixed maps (N, H, W) and how much
    of each image's importance they show, (N, K) float64; None where the batch has none. labels, normalize: as for
    `source_shares`. ``evidence`` becomes that of the base image plus what the others brought.
    """
    importance, evidence, weights = None, batch.evidence, areas
    if maps is not None:
        assert batch.importance is not None
        importance, shown = maps
        evidence = evidence + shown[:, 1:].sum(1).to(evidence.dtype)
        if labels != "area":
            before = batch.importance.as_subclass(Tensor)
            whole = before.sum((1, 2), dtype=torch.float64)[rows.to(before.device)]
            weights = source_shares(labels, areas.to(whole.device), shown, whole, normalize)
    return Batch.of(images, label_sets(batch.labels, rows, weights), importance, batch.indices, evidence)
