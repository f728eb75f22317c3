"""How well a gallery is ranked for every query: mean average precision and cumulative matches.

Touches nothing but the tensors it is given; no ranking is ever sorted out in full, since only the places of a query's
own matches count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from ..errors import UserError
from .rerank import Rerank, reranked

Metric = Literal["euclidean", "cosine"]
JUNK = -1
"""The identity of images that nobody is asked about and that count for nothing (Market-1501's bad detections)."""
BLOCK_BYTES = 1 << 26
"""Distances that are held at once."""


@dataclass(frozen=True)
class Ranking:
    """What a ranking is worth.

    map: mean over the queries of their average precision; cmc: by rank k, the share of queries with a match among the
    first k. average_precision: (Q,) float64, NaN for queries without a match in the gallery, which count for nothing;
    first: (Q,) int64, rank of the first match from 1, 0 without one. left_out: how many queries that are. gallery: how
    many images were ranked, junk apart.
    """

    map: float
    cmc: dict[int, float]
    average_precision: np.ndarray
    first: np.ndarray
    left_out: int
    gallery: int

    @property
    def queries(self) -> int:
        """How many count."""
        return len(self.first) - self.left_out


def evaluate_ranking(
    query: Tensor,
    gallery: Tensor,
    query_identities: np.ndarray,
    gallery_identities: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    *,
    metric: Metric = "euclidean",
    rerank: Rerank | None = None,
    ranks: Sequence[int] = (1, 5, 10),
    block_bytes: int = BLOCK_BYTES,
    progress: bool = False,
) -> Ranking:
    """Mean average precision and CMC of ranking a gallery by distance for each query, as Market-1501 and CUHK03's new
    protocol are measured (Zheng et al. 2015; Zhong et al. 2017).

    A gallery image of the query's own identity and camera is passed over, as is junk, identity -1. Of the others, in
    the order of their distance (equal ones in the gallery's order), those of the query's identity are its matches at
    ranks r_1 < … < r_m, and

        AP = 1/m Σ_k k / r_k,    mAP = mean of AP,    CMC(k) = share of queries with r_1 ≤ k.

    query, gallery: (Q, D) and (G, D) features of one type on one device; identities, cameras: (Q,) and (G,) whole
    numbers. metric: "euclidean", or "cosine", which is the same of features scaled to length 1. rerank: rank by
    k-reciprocal neighbours instead. ranks: of CMC. block_bytes: of distances at once; what is returned does not depend
    on it but for rounding. progress: show a bar.

    Exact, without sorting: r = 1 + how many distances are smaller, counted for the matches alone.
    """
    asked = _labels(query, query_identities, query_cameras, "query")
    given = _labels(gallery, gallery_identities, gallery_cameras, "gallery")
    if query.shape[1:] != gallery.shape[1:] or query.ndim != 2:
        raise UserError(
            f"features of queries {tuple(query.shape)} and gallery {tuple(gallery.shape)} do not fit together: give "
            "(Q, D) and (G, D)"
        )
    if metric not in ("euclidean", "cosine"):
        raise UserError(f"metric={metric!r} is unknown: use 'euclidean' or 'cosine'")
    if not ranks or min(ranks) < 1:
        raise UserError(f"ranks={tuple(ranks)}: give whole numbers from 1, such as 1 5 10")
    for name, features in (("queries", query), ("the gallery", gallery)):
        if not bool(features.sum().isfinite()):
            raise UserError(f"features of {name} are not all finite: the network that gave them has diverged")
    kept = np.flatnonzero(given[0] != JUNK)
    if not len(kept):
        raise UserError("the gallery has no images but junk (identity -1): there is nothing to rank")
    if len(kept) < len(gallery):
        gallery, given = gallery[torch.from_numpy(kept).to(gallery.device)], (given[0][kept], given[1][kept])
    matches = _Matches(asked, given)
    if not len(matches.asked):
        raise UserError(
            f"none of the {len(query)} queries has an image of its identity from another camera in the gallery: is it "
            "the gallery of these queries?"
        )
    query, gallery = query.float(), gallery.float()
    if metric == "cosine":
        query, gallery = F.normalize(query, dim=1), F.normalize(gallery, dim=1)
    size = max(1, block_bytes // (4 * len(gallery)))
    parts = [matches.asked[i : i + size] for i in range(0, len(matches.asked), size)]
    found = _blocks(query, gallery, parts) if rerank is None else reranked(query, gallery, parts, rerank, progress)
    bar = tqdm(found, "ranking", len(parts), False, delay=2, disable=not progress)
    return _measured(bar, matches, len(query), len(gallery), ranks)


def _labels(features: Tensor, identities: np.ndarray, cameras: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    found = np.asarray(identities, dtype=np.int64), np.asarray(cameras, dtype=np.int64)
    for what, values in zip(("identities", "cameras"), found, strict=True):
        if values.shape != (len(features),):
            raise UserError(
                f"{name}_{what} has shape {values.shape} for {len(features)} features: give one number each, shape "
                f"({len(features)},)"
            )
    return found


def _blocks(query: Tensor, gallery: Tensor, parts: list[np.ndarray]) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Squared distances, each less its query's own square, which changes no order: |g|² − 2 q·g."""
    squares = (gallery * gallery).sum(1)
    for rows in parts:
        asked = query[torch.from_numpy(rows).to(query.device)]
        yield rows, torch.addmm(squares, asked, gallery.T, alpha=-2)


class _Matches:
    """Which gallery images are of each query's identity: those that count, and those that are passed over.

    asked: the queries with a match, (A,) int64.
    """

    def __init__(self, asked: tuple[np.ndarray, np.ndarray], given: tuple[np.ndarray, np.ndarray]) -> None:
        self.query, self.cameras = asked
        self.gallery_cameras = given[1]
        self.order = np.argsort(given[0], kind="stable")  # of one identity: in the gallery's order
        ordered = given[0][self.order]
        self.begin, self.end = np.searchsorted(ordered, self.query), np.searchsorted(ordered, self.query, "right")
        self.asked = np.array([q for q in range(len(self.query)) if len(self.of(q)[0])], dtype=np.int64)

    def of(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """Gallery places of a query's matches, and of the images that are passed over; both ascending."""
        if self.query[query] == JUNK:
            return self.order[:0], self.order[:0]
        own = self.order[self.begin[query] : self.end[query]]
        same = self.gallery_cameras[own] == self.cameras[query]
        return own[~same], own[same]


def _measured(
    blocks: Iterable[tuple[np.ndarray, Tensor]], matches: _Matches, queries: int, gallery: int, ranks: Sequence[int]
) -> Ranking:
    """blocks: some queries' places, and their distances (B, G) to all of the gallery."""
    precision, first = np.full(queries, np.nan), np.zeros(queries, dtype=np.int64)
    for rows, distances in blocks:
        places = [matches.of(q) for q in rows]
        for q, found in zip(rows, ranks_of(distances, places), strict=True):
            found.sort()
            precision[q] = np.mean(np.arange(1, len(found) + 1) / found)
            first[q] = found[0]
    counted = first > 0
    return Ranking(
        float(precision[counted].mean()),
        {int(k): float((first[counted] <= k).mean()) for k in ranks},
        precision,
        first,
        int((~counted).sum()),
        gallery,
    )


def ranks_of(distances: Tensor, places: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """The rank of each match among all but what is passed over, from 1.

    distances: (B, G); places: for each row its matches and the images that are passed over. Of equal distances the
    earlier image comes first.
    """
    if distances.device.type != "cpu":
        return _ranks_by_sorting(distances, places)
    found = []
    for row, (matches, passed) in zip(distances.numpy(), places, strict=True):
        ranks = np.empty(len(matches), dtype=np.int64)
        for i, place in enumerate(matches):
            value = row[place]
            ranks[i] = np.count_nonzero(row[:place] <= value) + np.count_nonzero(row[place + 1 :] < value)
        if len(passed):
            without, value = row[passed][None, :], row[matches][:, None]
            earlier = (without == value) & (passed[None, :] < matches[:, None])
            ranks -= ((without < value) | earlier).sum(1)
        found.append(ranks + 1)
    return found


def _ranks_by_sorting(distances: Tensor, places: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """`ranks_of` for devices where many small counts wait longer than one sort of whole rows."""
    order = distances.argsort(dim=1, stable=True)
    ranks = torch.empty_like(order)
    ranks.scatter_(1, order, torch.arange(distances.shape[1], device=order.device).expand_as(order))
    found = []
    pairs = [(row, place) for row, (own, passed) in enumerate(places) for place in (*own, *passed)]
    rows, columns = (torch.tensor(part, device=order.device) for part in zip(*pairs, strict=True))
    flat, begin = ranks[rows, columns].cpu().numpy(), 0
    for own, passed in places:
        mine = flat[begin : begin + len(own)]
        others = flat[begin + len(own) : begin + len(own) + len(passed)]
        begin += len(own) + len(passed)
        found.append(1 + mine - (others[None, :] < mine[:, None]).sum(1))
    return found
