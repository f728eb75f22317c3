"""Sparse-RS: random search over which pixels to change and to what colour; it sees the model's outputs alone.

Croce et al. 2022, "Sparse-RS: a versatile framework for query-efficient sparse black-box adversarial attacks".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..margin import margin, rows_of
from ..pruning import ranks
from .base import SparsePerturbation, Victims, at_least, uniform


@dataclass(frozen=True)
class SparseRS(SparsePerturbation):
    """k pixels in colours of the corners of the colour cube, exchanged at random where it helps (Croce et al. 2022).

    Each query puts back ``share`` of the k pixels (falling as queries are spent), takes as many others, and gives new
    colours from {0, 1}^C; it is kept where the margin is not smaller. The paper attacks with a fixed k; here k is
    halved after each success and doubled or set to the midpoint after a failure, ``searches`` times. No gradients.
    Not bounded by epsilon.
    """

    paper: ClassVar[str] = "Croce et al. 2022, Sparse-RS"
    bounded: ClassVar[bool] = False

    queries: int = 300
    """Forward passes for each k; the paper takes 10 000."""
    k: int = 64
    """First number of pixels."""
    searches: int = 5
    """How many k are tried."""
    share: float = 0.3
    """Share of the k pixels exchanged in the first query (α_init)."""

    def __post_init__(self) -> None:
        at_least("sparse-rs", queries=self.queries, k=self.k, searches=self.searches)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:  # noqa: ARG002
        images = victims.images
        best = torch.zeros_like(images)
        pixels = images[0, 0].numel()
        low, high = torch.zeros_like(victims.labels), torch.full_like(victims.labels, pixels + 1)
        k = torch.full_like(low, min(self.k, pixels))
        for search in range(self.searches):
            rows = ((k > low) & (k < high)).nonzero()[:, 0]
            if not len(rows):
                break
            delta, fooled = self._with(model, victims.rows(rows), k[rows], search)
            best[rows[fooled]] = delta[fooled]
            high[rows[fooled]], low[rows[~fooled]] = k[rows[fooled]], k[rows[~fooled]]
            k = ((low + high) // 2).minimum(2 * low.clamp_min(self.k // 2))
        return best

    def _with(self, model: nn.Module, victims: Victims, k: Tensor, search: int) -> tuple[Tensor, Tensor]:
        images, labels, targets, seeds = victims
        channels, pixels = images.shape[1], images[0, 0].numel()
        draws = _Draws(seeds, f"sparse-rs {search}", images, channels, pixels)
        order, colour = draws.order(0), draws.colour(0)
        inside = ranks(order) < k[:, None]
        colours = colour
        value = margin(model(_painted(images, inside, colours)), labels, targets)
        rows = (value <= 0).nonzero()[:, 0]
        for query in range(1, self.queries):
            if not len(rows):
                break
            share = self.share * _schedule(query / self.queries)
            count = (k[rows] * share).round().long().clamp_min(1)[:, None]
            order, colour = draws.order(query, rows), draws.colour(query, rows)
            was = inside[rows]
            out = was & (ranks(order.masked_fill(~was, 2)) < count)
            into = ~was & (ranks(order.masked_fill(was, 2)) < out.sum(1, keepdim=True))
            now = (was & ~out) | into
            now |= out & (now.sum(1) < k[rows])[:, None]  # too few pixels are left outside: the colours change alone
            shown = torch.where((into | (out & now))[:, None], colour, colours[rows])
            found = margin(model(_painted(images[rows], now, shown)), labels[rows], rows_of(targets, rows))
            better = found >= value[rows]
            won = rows[better]
            inside[won], colours[won], value[won] = now[better], shown[better], found[better]
            rows = rows[value[rows] <= 0]
        return _painted(images, inside, colours) - images, value > 0


class _Draws:
    """Random orders of the pixels and colours, of each image from its own seed and for each query anew."""

    def __init__(self, seeds: list[int], tag: str, like: Tensor, channels: int, pixels: int) -> None:
        self.seeds, self.tag, self.like, self.channels, self.pixels = seeds, tag, like, channels, pixels

    def _uniform(self, what: str, query: int, rows: Tensor | None, *shape: int) -> Tensor:
        seeds = self.seeds if rows is None else [self.seeds[i] for i in rows.tolist()]
        return uniform(seeds, torch.Size(shape), f"{self.tag} {what} {query}", self.like)

    def order(self, query: int, rows: Tensor | None = None) -> Tensor:
        """(B, H W) numbers in [0, 1) that rank the pixels."""
        return self._uniform("order", query, rows, self.pixels)

    def colour(self, query: int, rows: Tensor | None = None) -> Tensor:
        """(B, C, H W) of 0 and 1."""
        return (self._uniform("colour", query, rows, self.channels, self.pixels) < 0.5).to(self.like.dtype)


def _schedule(spent: float) -> float:
    """How much of the first share is left after a share of the queries: halves at fixed points, as in the paper."""
    return 0.5 ** sum(spent > at for at in (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8))


def _painted(images: Tensor, inside: Tensor, colours: Tensor) -> Tensor:
    return torch.where(inside[:, None], colours, images.flatten(2)).view_as(images)
