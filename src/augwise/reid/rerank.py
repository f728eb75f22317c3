"""k-reciprocal re-ranking: who has whom among its nearest neighbours, in place of distance alone.

Zhong, Zheng, Cao and Li, "Re-ranking Person Re-identification with k-reciprocal Encoding" (CVPR 2017). Touches nothing
but tensors. Neighbourhoods are kept as lists, so that no matrix of all against all is ever held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..errors import UserError

_CHUNK = 512


@dataclass(frozen=True)
class Rerank:
    """How to re-rank.

    With N(p, k) the k nearest of p and p itself, R(p, k) = {g ∈ N(p, k): p ∈ N(g, k)} (Eq. 2-3) and R* that set with
    R(c, k1/2) of each c in it of which more than two thirds lie in it already (Eq. 4),

        V_p(g) ∝ exp(-d(p, g)) on R*(p, k1), 0 elsewhere, Σ V_p = 1          (Eq. 7)
        V_p ← mean of V over the k2 nearest of p, itself among them          (Eq. 11)
        d_J(p, g) = 1 - Σ min(V_p, V_g) / Σ max(V_p, V_g)                    (Eq. 10)
        d* = (1 - weight) d_J + weight d                                     (Eq. 12)

    d is the squared Euclidean distance, divided by the largest that p has, as in the authors' program, which also
    scales V to sum 1 and counts neighbours among queries and gallery together.
    """

    k1: int = 20
    """Neighbours that have to be mutual."""
    k2: int = 6
    """Neighbours whose encodings are averaged; 1 for none."""
    weight: float = 0.3
    """Of the original distance, λ; 1 is the original ranking."""

    def __post_init__(self) -> None:
        for name in ("k1", "k2"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)}: give 1 neighbour or more")
        if not 0 <= self.weight <= 1:
            raise UserError(f"weight={self.weight} is no share of the original distance: give a number from 0 to 1")


class Sparse(NamedTuple):
    """Rows of mostly zeros: entries ``start[i] : start[i + 1]`` of columns and values are row i's."""

    start: Tensor
    columns: Tensor
    values: Tensor


def reranked(
    query: Tensor, gallery: Tensor, parts: list[np.ndarray], how: Rerank, progress: bool = False
) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Distances d* of the queries in each part to all of the gallery, (B, G) float32; see `Rerank`."""
    everyone = torch.cat([query, gallery])
    if len(everyone) <= how.k1:
        raise UserError(f"k1={how.k1} neighbours of {len(everyone)} images: give fewer")
    squares = (everyone * everyone).sum(1)
    nearest, largest = _nearest(everyone, squares, max(how.k1 + 1, how.k2), progress)
    encoded = _averaged(_encoded(everyone, nearest, largest, how.k1, progress), nearest, how.k2)
    held = _transposed(encoded, len(query), len(everyone))
    for rows in parts:
        asked = torch.from_numpy(rows).to(query.device)
        direct = torch.addmm(squares[len(query) :] + squares[asked, None], query[asked], gallery.T, alpha=-2)
        direct = direct.clamp_min(0) / largest[asked, None]
        shared = _shared(encoded, held, asked, len(gallery))
        yield rows, (1 - how.weight) * (1 - shared / (2 - shared)) + how.weight * direct


def _nearest(everyone: Tensor, squares: Tensor, count: int, progress: bool) -> tuple[Tensor, Tensor]:
    """The nearest of each, itself first, (N, count) int64, and the largest squared distance that it has, (N,)."""
    found, largest = [], []
    bar = tqdm(range(0, len(everyone), _CHUNK), "neighbours", delay=2, disable=not progress, leave=False)
    for begin in bar:
        rows = slice(begin, begin + _CHUNK)
        distances = torch.addmm(squares + squares[rows, None], everyone[rows], everyone.T, alpha=-2).clamp_min_(0)
        own = torch.arange(len(distances), device=distances.device)
        distances[own, begin + own] = -1  # of twins too, each comes first of its own neighbours
        found.append(distances.topk(min(count, len(everyone)), largest=False).indices)
        largest.append(distances.amax(1))
    return torch.cat(found), torch.cat(largest).clamp_min(1e-30)


def _mutual(nearest: Tensor, count: int) -> Tensor:
    """(N, count) bool: whether each of the first ``count`` neighbours has one among as many of its own."""
    near, parts = nearest[:, :count], []
    for rows in torch.arange(len(near), device=near.device).split(8 * _CHUNK):
        parts.append((near[near[rows]] == rows[:, None, None]).any(2))
    return torch.cat(parts)


def _encoded(everyone: Tensor, nearest: Tensor, largest: Tensor, k1: int, progress: bool) -> Sparse:
    """V of Eq. 7, before it is averaged."""
    first, half = k1 + 1, round(k1 / 2) + 1
    mutual, near = _mutual(nearest, first), nearest[:, :first]
    narrow, around = _mutual(nearest, half), nearest[:, :half]
    n, counts, columns, values = len(everyone), [], [], []
    bar = tqdm(
        torch.arange(n, device=near.device).split(_CHUNK), "encoding", delay=2, disable=not progress, leave=False
    )
    for rows in bar:
        candidates = torch.where(mutual[rows], near[rows], -1)  # (B, first)
        theirs = torch.where(narrow[near[rows]], around[near[rows]], -2)  # (B, first, half)
        inside = (theirs[..., None] == candidates[:, None, None, :]).any(3).sum(2)
        wanted = mutual[rows] & (3 * inside > 2 * (theirs >= 0).sum(2))
        theirs = torch.where(wanted[..., None], theirs, -2).flatten(1)
        ids = torch.cat([candidates, theirs], 1).sort(1).values
        new = ids >= 0
        new[:, 1:] &= ids[:, 1:] != ids[:, :-1]
        row, ids = rows[:, None].expand_as(ids)[new], ids[new]
        apart = (everyone[row] - everyone[ids]).square().sum(1) / largest[row]
        place = row - rows[0]
        weight = torch.exp(-apart)
        total = torch.zeros(len(rows), device=weight.device).index_add_(0, place, weight)
        counts.append(new.sum(1))
        columns.append(ids)
        values.append(weight / total[place])
    return Sparse(_starts(torch.cat(counts)), torch.cat(columns), torch.cat(values))


def _starts(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _entries(rows: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Of some rows the places of their entries, and which of the rows each is of, by its place among them."""
    counts = start[rows + 1] - start[rows]
    owner = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), counts)
    begin = _starts(counts)[:-1]
    return start[rows][owner] + torch.arange(len(owner), device=rows.device) - begin[owner], owner


def _averaged(encoded: Sparse, nearest: Tensor, k2: int) -> Sparse:
    """Eq. 11: the mean of the encodings of each one's k2 nearest."""
    if k2 == 1:
        return encoded
    n, counts, columns, values = len(nearest), [], [], []
    for rows in torch.arange(n, device=nearest.device).split(_CHUNK):
        who = nearest[rows, :k2]
        places, owner = _entries(who.flatten(), encoded.start)
        keys = (owner // who.shape[1]) * n + encoded.columns[places]
        keys, back = keys.unique(return_inverse=True)
        total = torch.zeros(len(keys), device=nearest.device).index_add_(0, back, encoded.values[places])
        counts.append(torch.bincount(keys // n, minlength=len(rows)))
        columns.append(keys % n)
        values.append(total / who.shape[1])
    return Sparse(_starts(torch.cat(counts)), torch.cat(columns), torch.cat(values))


def _transposed(encoded: Sparse, queries: int, columns: int) -> Sparse:
    """The gallery's part by column: which gallery images hold a column, and how much of it."""
    rows = torch.arange(queries, len(encoded.start) - 1, device=encoded.start.device)
    places, owner = _entries(rows, encoded.start)
    order = encoded.columns[places].argsort(stable=True)
    counts = torch.bincount(encoded.columns[places], minlength=columns)
    return Sparse(_starts(counts), owner[order], encoded.values[places][order])


def _shared(encoded: Sparse, held: Sparse, asked: Tensor, gallery: int) -> Tensor:
    """Σ_j min(V_q(j), V_g(j)) of some queries q and all of the gallery, (B, G): over the entries that are not zero."""
    found = torch.zeros(len(asked) * gallery, device=held.values.device)
    for part in torch.arange(len(asked), device=asked.device).split(64):
        mine, owner = _entries(asked[part], encoded.start)
        theirs, which = _entries(encoded.columns[mine], held.start)
        least = torch.minimum(encoded.values[mine][which], held.values[theirs])
        found.index_add_(0, part[owner][which] * gallery + held.columns[theirs], least)
    return found.view(len(asked), gallery)
