"""Which images a model keeps changing its mind about: time consistency, an average over training of how steady its
predictions are. Remembers one distribution per image; looks at no image itself.
"""

from __future__ import annotations

import math
from typing import Literal, final

import torch
from torch import Tensor, nn

from ..errors import UserError


@final
class TimeConsistency(nn.Module):
    """The time-consistency score of every image of a data set (Zhou et al. 2020, used by LP-A3, Algorithm 1, line 3).

        a_t(x) = KL(p_{t-1}(x) ‖ p_t(x)) + |log p_{t-1}(x)[y] - log p_t(x)[y]|
        c_t(x) = (1 - decay) c_{t-1}(x) - decay a_t(x),    c_0 = 0

    p_t is what the model predicted for x at its t-th visit, y its label, or the class predicted at the last visit where
    labels are not given. Never above 0 (0: nothing ever changed); an image that was not yet visited twice counts as
    the least consistent of all. LP-A3's released program leaves out the second term, turns KL round and divides it by
    the number of classes; with its decay of 0.99 it is nearly the last change alone.

        scores = aw.TimeConsistency(len(dataset), num_classes)
        scores.update(batch.indices, logits.detach())              # in each step
        chosen = scores.lowest(batch.indices, ratio=0.3)           # places in the batch

    count: images in the data set; classes: of the model. decay: weight of the latest change, in (0, 1]. dtype: of the
    remembered predictions: float16 halves their count × classes × 4 bytes at a relative precision of 0.1 %.

    A module without parameters: its state is in buffers, so ``state_dict`` saves it with a checkpoint, and ``.to``
    moves it. Nothing here waits for the device.
    """

    scores: Tensor
    visits: Tensor
    previous: Tensor

    def __init__(self, count: int, classes: int, decay: float = 0.99, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        for name, value in (("count", count), ("classes", classes)):
            if value < 1:
                raise UserError(f"{name}={value}: give 1 or more")
        if not 0 < decay <= 1:
            raise UserError(f"decay={decay} is no weight: give more than 0 and at most 1")
        self.decay = decay
        self.register_buffer("scores", torch.zeros(count))
        self.register_buffer("visits", torch.zeros(count, dtype=torch.int32))
        self.register_buffer("previous", torch.zeros(count, classes, dtype=dtype))  # log-probabilities

    @torch.no_grad()
    def update(self, indices: Tensor, logits: Tensor, labels: Tensor | None = None) -> None:
        """One visit: logits (N, classes) of images with these rows (N,) of the data set, each once; labels (N,) int64.

        Half-precision logits are taken as they are and compared in float32.
        """
        self._check(indices)
        if logits.shape != (len(indices), self.previous.shape[1]):
            raise UserError(
                f"logits have shape {tuple(logits.shape)}: give {(len(indices), self.previous.shape[1])}, a row of "
                "class scores for each index"
            )
        now = logits.float().log_softmax(1)
        before = self.previous[indices].float()
        classes = before.argmax(1) if labels is None else labels
        moved = (before.exp() * (before - now)).sum(1)
        moved = moved + (before - now).gather(1, classes[:, None])[:, 0].abs()
        old = self.scores[indices]
        seen = self.visits[indices]
        self.scores[indices] = torch.where(seen > 0, (1 - self.decay) * old - self.decay * moved, old)
        self.visits[indices] = seen + 1
        self.previous[indices] = now.to(self.previous.dtype)

    def lowest(self, indices: Tensor, ratio: float) -> Tensor:
        """Places in ``indices`` of its ⌈ratio · N⌉ least consistent images, ascending: (k,) int64 (Algorithm 1)."""
        self._check(indices)
        ranked = self._known(indices).argsort(stable=True)
        return ranked[: share_of(len(indices), ratio)].sort().values

    def below(self, indices: Tensor, ratio: float) -> Tensor:
        """(N,) bool: which images are among the least consistent ``ratio`` of the whole data set; ties all count."""
        self._check(indices)
        everywhere = self._known(None)
        limit = everywhere.kthvalue(share_of(len(everywhere), ratio)).values
        return everywhere[indices] <= limit

    def chosen(self, indices: Tensor, ratio: float, among: Literal["batch", "data"] = "batch") -> Tensor:
        """Places in ``indices`` of the least consistent ``ratio`` of the batch, see `lowest`, or of those among the
        least consistent of all data, see `below`, which waits for the device to know how many: (k,) int64 ascending."""
        return self.lowest(indices, ratio) if among == "batch" else self.below(indices, ratio).nonzero()[:, 0]

    def _known(self, indices: Tensor | None) -> Tensor:
        """Scores, the lowest of all where an image has none yet."""
        scores, visits = (self.scores, self.visits) if indices is None else (self.scores[indices], self.visits[indices])
        return torch.where(visits > 1, scores, -torch.inf)

    def _check(self, indices: Tensor) -> None:
        if indices.ndim != 1 or indices.dtype != torch.int64:
            raise UserError(f"indices are {indices.dtype} {tuple(indices.shape)}: give the rows of the data set, (N,)")
        if indices.device.type == "cpu" and len(indices):
            first, last = (int(end) for end in indices.aminmax())
            if first < 0 or last >= len(self.scores):
                raise UserError(
                    f"indices go from {first} to {last}, the scores are of {len(self.scores)} images: number the "
                    "images of the training set from 0 (aw.WithImportance and aw.train do), and count them all"
                )

    def extra_repr(self) -> str:
        return f"count={self.previous.shape[0]}, classes={self.previous.shape[1]}, decay={self.decay}"


def share_of(count: int, ratio: float) -> int:
    """⌈ratio · count⌉, exact where the product is meant to be whole."""
    if not 0 < ratio <= 1:
        raise UserError(f"ratio={ratio} is no share of the images: give more than 0 and at most 1")
    return min(count, max(1, math.ceil(ratio * count - 1e-9))) if count else 0
