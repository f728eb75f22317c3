"""Eigenvalues of a symmetric matrix that is known by its products alone: power iteration, Lanczos, spectral density.

``matvec``: v ↦ A v for vectors (P,) of any device. Small matrices are solved on the CPU in float64.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Matvec = Callable[[Tensor], Tensor]


class Pairs(NamedTuple):
    """values: (k,) float64, the largest first; vectors: (k, P), of length 1; residuals: (k,) ‖A v − λ v‖, which bounds
    the distance from λ to the next true eigenvalue; products: matrix-vector products that were needed."""

    values: np.ndarray
    vectors: Tensor
    residuals: np.ndarray
    products: int


@dataclass
class Krylov:
    """What m steps of Lanczos know: T = Qᵀ A Q, tridiagonal with ``alpha`` (m) on the diagonal and ``beta`` (m − 1)
    beside it; basis: the rows of Qᵀ; rest: the next β, 0 where the space is exhausted."""

    alpha: list[float] = field(default_factory=list)
    beta: list[float] = field(default_factory=list)
    basis: list[Tensor] = field(default_factory=list)
    rest: float = 0.0

    def ritz(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of T, ascending, and its eigenvectors as columns."""
        return np.linalg.eigh(np.diag(self.alpha) + np.diag(self.beta, 1) + np.diag(self.beta, -1))

    def vectors(self, columns: np.ndarray) -> Tensor:
        """Q s for every column s, as rows of length 1. The basis is not copied: it may be most of the memory."""
        found = torch.zeros(columns.shape[1], len(self.basis[0])).to(self.basis[0])
        for row, vector in zip(columns, self.basis, strict=True):
            found += torch.as_tensor(row.copy()).to(vector)[:, None] * vector
        return found / found.norm(dim=1, keepdim=True)


def krylov(matvec: Matvec, start: Tensor) -> Iterator[Krylov]:
    """Lanczos (1950) from ``start``, one step at a time, until the space is exhausted; the same object grows.

    Every new vector is made orthogonal to all before it, twice: without that, float32 finds eigenvalues several times
    over. So all of them are kept: m · P numbers.
    """
    known, vector = Krylov(), start / start.norm()
    while True:
        known.basis.append(vector)
        product = matvec(vector)
        known.alpha.append(float(product @ vector))
        for _ in range(2):
            for other in known.basis:
                product = product - (product @ other) * other
        known.rest = float(product.norm())
        # Rounding leaves this much of a vector that ought to be zero.
        smallest = 10 * torch.finfo(start.dtype).eps * max(map(abs, [*known.alpha, *known.beta]))
        if len(known.basis) == len(start) or known.rest <= smallest:
            known.rest = 0.0
            yield known
            return
        yield known
        known.beta.append(known.rest)
        vector = product / known.rest


def after(growing: Iterator[Krylov], steps: int) -> Krylov:
    """The space after so many steps, or where it is exhausted."""
    return deque(islice(growing, steps), maxlen=1)[0]


def top_pairs(matvec: Matvec, start: Tensor, count: int, steps: int = 60, tolerance: float = 1e-2) -> Pairs:
    """The ``count`` largest eigenvalues (not magnitudes) by Lanczos, with their vectors.

    Ends when every residual is at most tolerance · |λ|, or after ``steps`` products; the error of λ itself is of second
    order in the residual. Needs fewer products than power iteration, which wastes what it knew of earlier iterates, and
    keeps ``steps`` vectors. Of an eigenvalue that occurs several times one copy is found.
    """
    found = Krylov()
    for found in krylov(matvec, start):
        values, columns = found.ritz()
        residuals = abs(found.rest * columns[-1, :])
        done = len(values) >= count and bool((residuals[-count:] <= tolerance * abs(values[-count:])).all())
        if done or len(values) >= steps:
            break
    values, columns = found.ritz()
    residuals, chosen = abs(found.rest * columns[-1, :]), slice(None, -count - 1, -1)
    return Pairs(values[chosen], found.vectors(columns[:, chosen]), residuals[chosen], len(found.alpha))


def power_iteration(matvec: Matvec, starts: Sequence[Tensor], steps: int = 100, tolerance: float = 1e-2) -> Pairs:
    """The eigenvalues of largest magnitude, one for each start, by power iteration with deflation: v ← A v / ‖A v‖ with
    the pairs found before taken out of v.

    Ends for each when ‖A v − λ v‖ ≤ tolerance · |λ|, or after ``steps`` products. Keeps the vectors it finds and two
    more. The order is by magnitude: a large negative eigenvalue is among them.
    """
    values, vectors, residuals, products = [], [], [], 0
    for start in starts:
        following = _without(start, vectors)
        vector, value, residual = following, 0.0, 0.0
        for _ in range(steps):
            vector = following / following.norm()
            product = matvec(vector)
            products += 1
            value = float(product @ vector)
            residual = float((product - value * vector).norm())
            following = _without(product, vectors)
            if residual <= tolerance * abs(value) or not float(following.norm()):
                break
        values.append(value)
        vectors.append(vector)
        residuals.append(residual)
    return Pairs(np.array(values), torch.stack(vectors), np.array(residuals), products)


def _without(vector: Tensor, known: Sequence[Tensor]) -> Tensor:
    for _ in range(2):
        for other in known:
            vector = vector - (vector @ other) * other
    return vector


def rademacher(size: int, generator: torch.Generator) -> Tensor:
    """(size,) of ±1/√size: a probe of length 1 whose quadratic form has the mean tr A / size."""
    signs = torch.randint(2, (size,), generator=generator, dtype=torch.int8).float() * 2 - 1
    return signs / size**0.5


def quadrature(known: Krylov) -> tuple[np.ndarray, np.ndarray]:
    """Nodes θ and weights τ² (sum 1) of Gauss quadrature: Σ τ² f(θ) = vᵀ f(A) v for the starting vector v, exact for
    polynomials of degree up to 2m − 1 (Golub and Meurant 1994; Ghorbani et al. 2019, equation 7)."""
    nodes, columns = known.ritz()
    return nodes, columns[0] ** 2


def density(nodes: Sequence[np.ndarray], weights: Sequence[np.ndarray], at: np.ndarray, width: float) -> np.ndarray:
    """Spectral density at the points ``at``: the mean over probes of Σ τ² · N(at; θ, width²) (Lin et al. 2016; Ghorbani
    et al. 2019, equation 6), which integrates to 1."""
    made = [
        (w[:, None] * np.exp(-0.5 * ((at[None] - n[:, None]) / width) ** 2)).sum(0) / (width * np.sqrt(2 * np.pi))
        for n, w in zip(nodes, weights, strict=True)
    ]
    return np.mean(made, axis=0)
