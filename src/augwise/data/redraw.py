"""A subset that is drawn anew in every epoch, with weights that keep the loss's expectation that of all images.

Draws keyed random numbers; touches nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Sampler

from .. import randomness
from ..errors import UserError
from ..subset_file import SubsetFile, origin
from .samplers import EpochSampler

ONE = 1 << 32
"""Inclusion probabilities are whole numbers of 1/2³², so that sums of them are exact."""


def inclusion(scores: np.ndarray, count: int, uniform: float) -> np.ndarray:
    """Probabilities with which ``count`` of N images are drawn, in units of 1/2³², (N,) int64; their sum is ``count``.

        π_i = min(1, c q_i),  q_i = (1 − u) s_i / Σ_j s_j + u / N,  c such that Σ_i π_i = count

    scores: (N,) s_i ≥ 0; all 0 counts as all alike. uniform: u in (0, 1], the part that does not ask for scores: no
    image is less likely than u · count / N.
    """
    n, total = len(scores), float(scores.sum())
    q = (1 - uniform) * (scores / total if total > 0 else np.full(n, 1 / n)) + uniform / n
    falling = np.sort(q)[::-1]
    rest = np.cumsum(falling[::-1])[::-1]  # rest[k]: what all but the k largest add up to
    # The likeliest are certain as long as their share of what is still to be drawn is more than one image.
    certain = int(np.argmax((count - np.arange(count)) * falling[:count] <= rest[:count]))
    parts = np.floor(np.minimum(1.0, (count - certain) / rest[certain] * q) * ONE).astype(np.int64)
    short = count * ONE - int(parts.sum())  # rounding's part, less than one unit an image
    parts[np.flatnonzero(parts < ONE if short > 0 else parts > 1)[: abs(short)]] += np.sign(short)
    return parts


def systematic(parts: np.ndarray, order: np.ndarray, start: int) -> np.ndarray:
    """A draw of a fixed number of images, each once and with its own probability (Madow 1949).

    The images are laid one after the other on a line, each as long as its probability; drawn are those in which
    ``start``, ``start`` + 1, ``start`` + 2, ... fall.
    parts: see `inclusion`; order: (N,) in which they are laid; start: uniform in [0, 2³²), in units of 1/2³².
    """
    ends = parts[order].cumsum()
    marks = start + ONE * np.arange(int(ends[-1]) // ONE)
    return order[np.searchsorted(ends, marks, side="right")]


@final
class Redraw:
    """Draws the share ``fraction`` of a data set anew in every epoch, in proportion to scores, without bias.

    Image i is in an epoch with probability π_i (see `inclusion`) and weighs w_i = n / (N π_i) there, n the number of
    images of an epoch. Since E Σ_{i drawn} 1/π_i L_i = Σ_i L_i (Horvitz and Thompson 1952),

        E [ 1/n Σ_{i drawn} w_i L_i ] = 1/N Σ_i L_i :

    the weighted loss of what is drawn is, in expectation, the loss of all images, so a subset that favours some images
    does not teach a wrong distribution; that holds for every batch, as the order is random. With mixers it holds for
    the base image; its partners are drawn from the epoch's images.

    scores: (N,) finite, not negative, such as CV or EL2N. labels: draw round(fraction · N_c) of each class; without
        them of all images. seed: draws are keyed by (seed, epoch). uniform: see `inclusion`; weights are at most
        1 / uniform. weights: (N,) float32 w_i, the same in every epoch.
    """

    def __init__(
        self,
        scores: np.ndarray,
        fraction: float,
        labels: np.ndarray | None = None,
        seed: int = 0,
        uniform: float = 0.2,
    ) -> None:
        scores = np.asarray(scores, dtype=np.float64)
        if scores.ndim != 1 or not len(scores) or not (np.isfinite(scores).all() and (scores >= 0).all()):
            raise UserError("scores to redraw by are to be finite and not negative, one per image: shift or clip them")
        if not 0 < fraction <= 1:
            raise UserError(f"fraction={fraction} is out of range: give a share of the images, above 0 and up to 1")
        if not 1e-3 <= uniform <= 1:
            raise UserError(f"uniform={uniform} is out of range: give 0.001 to 1, the part that is drawn evenly")
        if labels is not None and np.shape(labels) != scores.shape:
            raise UserError(f"{len(scores)} scores and {len(labels)} labels: give one of each per image")
        self.seed, self.fraction = seed, fraction
        groups = (
            [np.arange(len(scores))] if labels is None else [np.flatnonzero(labels == c) for c in np.unique(labels)]
        )
        self.groups: list[tuple[np.ndarray, np.ndarray]] = []
        probability = np.empty(len(scores))
        for rows in groups:
            count = int(fraction * len(rows) + 0.5 + 1e-9)
            if not count:
                raise UserError(
                    f"fraction={fraction} leaves nothing of {len(rows)} images of a class: give a larger one"
                )
            parts = inclusion(scores[rows], count, uniform)
            self.groups.append((rows, parts))
            probability[rows] = parts / ONE
        self.count = sum(int(parts.sum()) // ONE for _, parts in self.groups)
        self.probability = probability
        self.weights: Tensor = torch.from_numpy(self.count / (len(scores) * probability)).float()

    def __len__(self) -> int:
        return len(self.probability)

    def rows(self, epoch: int) -> np.ndarray:
        """The rows of one epoch in the order in which they are visited, (count,) int64, each once."""
        drawn = []
        for i, (rows, parts) in enumerate(self.groups):
            generator = randomness.generator(self.seed, "redraw", epoch, i)
            order = randomness.permutation(len(rows), generator=generator).numpy()
            start = int(torch.randint(ONE, (1,), generator=generator))
            drawn.append(rows[systematic(parts, order, start)])
        every = np.concatenate(drawn)
        return every[randomness.permutation(len(every), randomness.generator(self.seed, "redraw order", epoch)).numpy()]

    @classmethod
    def of(cls, file: SubsetFile, source: Any, seed: int = 0, uniform: float = 0.2) -> Redraw:
        """By the scores, and of the size, that a subset file was chosen with.

        source: whose rows are drawn, the data that the file belongs to or a part of it (limited, split)."""
        whole, at = origin(source)
        file.check(whole.name, np.asarray(whole.labels), whole.fingerprint)
        if file.scores is None or not {"fraction", "per_class"} <= set(file.about):
            raise UserError("the subset file holds no scores to redraw by: choose anew with augwise select")
        scores = file.scores if at is None else file.scores[at]
        if np.isnan(scores).any():
            raise UserError(
                f"{int(np.isnan(scores).sum())} of the {len(scores)} images have no score in the subset file: score "
                "all images that are trained on (augwise select without --limit, or train with the same --limit)"
            )
        if file.about.get("rule") == "bottom":
            scores = scores.max() - scores
        elif scores.min() < 0:
            scores = scores - scores.min()
        return cls(scores, file.about["fraction"], source.labels if file.about["per_class"] else None, seed, uniform)


@final
class RedrawSampler(Sampler[tuple[int, int]]):
    """Yields the ``(epoch, index)`` of a `Redraw`, as `EpochSampler` does of a whole data set.

    In a loop: ``loss = (sampler.weights[batch.indices] * labels.cross_entropy(logits, reduction="none")).mean()``.
    rank, world_size, batch_size, drop_last: see `EpochSampler`; every process draws the same images and takes its part.
    """

    def __init__(
        self,
        redraw: Redraw,
        rank: int = 0,
        world_size: int = 1,
        batch_size: int | None = None,
        drop_last: bool = False,
    ) -> None:
        self.redraw = redraw
        self._places = EpochSampler(
            redraw.count, redraw.seed, True, rank, world_size, batch_size=batch_size, drop_last=drop_last
        )
        self.epoch = 0

    @property
    def weights(self) -> Tensor:
        """w_i of every row of the data set, (N,) float32."""
        return self.redraw.weights

    def set_epoch(self, epoch: int) -> None:
        """The epoch that the next pass yields."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        self.epoch = epoch + 1
        for index in self.redraw.rows(epoch)[self._places.places()].tolist():
            yield epoch, index
