"""After a sparse attack: take back every pixel that the attack does not need.

`prune` only closes pixels; `refine` also moves those that stay, and may exchange them, so that more can be closed.
Both are functions of tensors and of a frozen classifier that knows nothing of how the perturbation was found, so they
serve any attack. Each image is treated on its own; images that are finished leave the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UserError
from .classifier import check_eval, check_pixels
from .descent import bounds, check_epsilon
from .margin import margin, margin_gradient, rows_of


@torch.no_grad()
def prune(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    delta: Tensor,
    mask: Tensor,
    targets: Tensor | None = None,
    *,
    slack: float = 1e-4,
    batch_size: int = 512,
) -> Tensor:
    """The open pixels that the attack needs: a subset of ``mask`` that still fools the model, and of which no single
    pixel can be closed (1-minimal).

    Two stages. *Blocks*: pixels are sorted by the first-order estimate of what closing one costs,
    ``c_p = Σ_channels ∂margin/∂x · delta`` (one gradient), the cheapest half is closed, and the block is halved
    whenever the image is no longer fooled. *Singles*: every remaining pixel is closed on its own; of those that can be
    spared, as many as possible are closed together, the cheapest first, halving again; until none can be spared. The
    last round is the proof. A few dozen passes for the first stage; as many forwards as there are pixels left for each
    round of the second.

    model: in eval mode, takes pixels in [0, 1], returns (B, K) logits.
    images, delta: (B, C, H, W), images + delta in [0, 1]; labels: (B,) int64; mask: (B, H, W) bool.
    targets: (B,) int64 for a targeted attack: the class to keep; otherwise any class but the label will do.
    slack: the `margin` that must remain, in units of the logits: above what float arithmetic loses when batches are
        cut in another way.
    batch_size: images per forward pass.
    Returns (B, H, W) bool. An image that ``delta * mask`` does not fool by ``slack`` keeps its mask.
    """
    if delta.shape != images.shape or mask.shape != images[:, 0].shape or mask.dtype != torch.bool:
        raise UserError(
            f"prune needs delta of the images' shape {tuple(images.shape)} and a bool mask "
            f"{tuple(images[:, 0].shape)}, not {tuple(delta.shape)} and {tuple(mask.shape)} of {mask.dtype}"
        )
    if not slack >= 0:
        raise UserError(f"slack={slack}: give the margin that must remain, 0 or more")
    judge = _Judge(model, images, labels, delta, targets, batch_size)
    mask = mask & (delta != 0).any(1)
    fooled = judge.margins(torch.arange(len(images), device=images.device), mask) > slack
    rows = fooled.nonzero()[:, 0]
    mask = _close_blocks(judge, mask, rows, slack)
    return _close_singles(judge, mask, rows, slack)


class _Judge:
    """The margin of trials: some image, some of its pixels open."""

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        delta: Tensor,
        targets: Tensor | None,
        batch_size: int,
    ) -> None:
        check_eval(model)
        check_pixels(images)
        self.model, self.images, self.labels, self.delta, self.targets = model, images, labels, delta, targets
        self.batch_size = batch_size

    def margins(self, rows: Tensor, masks: Tensor) -> Tensor:
        """(T,) image of each trial and (T, H, W) its open pixels -> (T,)."""
        found = [
            margin(self.model(self.images[r] + self.delta[r] * m[:, None]), self.labels[r], rows_of(self.targets, r))
            for r, m in zip(rows.split(self.batch_size), masks.split(self.batch_size), strict=True)
        ]
        return torch.cat(found) if found else self.images.new_empty(0)

    def needs(self, rows: Tensor, masks: Tensor) -> Tensor:
        """First-order estimate of what closing each pixel costs in margin, (T, H, W); infinite where it is closed."""
        found = []
        for r, m in zip(rows.split(self.batch_size), masks.split(self.batch_size), strict=True):
            shown = self.delta[r] * m[:, None]
            _, grad = margin_gradient(self.model, self.images[r] + shown, self.labels[r], rows_of(self.targets, r))
            found.append((grad * shown).sum(1).masked_fill(~m, torch.inf))
        return torch.cat(found)


def ranks(values: Tensor) -> Tensor:
    """The place of each entry among its row's, from 0 for the least; ties in order. (N, ...) -> (N, ...) int64."""
    return values.flatten(1).argsort(dim=1, stable=True).argsort(1).view_as(values)


def _without_cheapest(masks: Tensor, costs: Tensor, count: Tensor) -> Tensor:
    """Masks (T, H, W) without the ``count`` (T,) pixels of least cost (T, H, W)."""
    return masks & (ranks(costs) >= count[:, None, None])


def _close_blocks(judge: _Judge, masks: Tensor, rows: Tensor, slack: float) -> Tensor:
    masks = masks.clone()
    block = (masks[rows].sum((1, 2)) + 1) // 2
    costs = masks[rows].to(judge.images.dtype)
    stale = torch.ones_like(rows, dtype=torch.bool)  # whose costs were estimated with other pixels open
    while True:
        going = block > 0
        rows, block, costs, stale = rows[going], block[going], costs[going], stale[going]
        if not len(rows):
            return masks
        if stale.any():
            costs[stale] = judge.needs(rows[stale], masks[rows[stale]])
        trial = _without_cheapest(masks[rows], costs, block)
        stale = judge.margins(rows, trial) > slack
        masks[rows[stale]] = trial[stale]
        left = masks[rows].sum((1, 2))
        block = torch.where(stale, block.minimum(left), block // 2)


def _close_singles(judge: _Judge, masks: Tensor, rows: Tensor, slack: float) -> Tensor:
    while len(rows):
        at = masks[rows].flatten(1).nonzero()  # (T, 2): which of the rows, which pixel
        trials = masks[rows].flatten(1)[at[:, 0]]
        trials[torch.arange(len(at), device=at.device), at[:, 1]] = False
        after = judge.margins(rows[at[:, 0]], trials.view(-1, *masks.shape[1:]))
        costs = torch.full_like(masks[rows].flatten(1), torch.inf, dtype=after.dtype)
        costs[at[:, 0], at[:, 1]] = torch.where(after > slack, -after, torch.inf)
        count = costs.isfinite().sum(1)
        rows, costs, count = rows[count > 0], costs[count > 0], count[count > 0]
        _close_together(judge, masks, rows, costs.view(-1, *masks.shape[1:]), count, slack)
    return masks


def _close_together(judge: _Judge, masks: Tensor, rows: Tensor, costs: Tensor, count: Tensor, slack: float) -> None:
    """Close the ``count`` cheapest pixels of each row in place, or half as many, and so on; one always can be."""
    while len(rows):
        trial = _without_cheapest(masks[rows], costs, count)
        good = (judge.margins(rows, trial) > slack) | (count == 1)  # a single one was tried before
        masks[rows[good]] = trial[good]
        rows, costs, count = rows[~good], costs[~good], count[~good] // 2


@torch.no_grad()
def refine(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    delta: Tensor,
    mask: Tensor,
    epsilon: float,
    targets: Tensor | None = None,
    *,
    rounds: int = 20,
    steps: int = 20,
    step: float = 2.0,
    exchange: bool = True,
    slack: float = 1e-4,
    batch_size: int = 512,
) -> tuple[Tensor, Tensor]:
    """Fewer pixels by moving them: ever smaller supports, each from where the last one ended, then `prune`.

    An image with n open pixels is asked to do with k = n - max(1, cut · n), the cut a fifth at first: at most ``steps``
    steps of

        delta ← P_k(delta + step_t · epsilon · g / mean|g|),   g = ∂margin/∂x,   step_t falling linearly to 0,

    P_k as in `project_l0`. Where that fools the model by ``slack``, the smaller support is kept; where not, the cut is
    halved, until a single pixel is too many. With ``exchange`` the k pixels are chosen among all at each step (PGD on
    the ℓ0 ball from a warm start); without, among those open: then the support can only shrink.

    Other arguments and shapes as in `prune`. Returns delta (B, C, H, W) within epsilon and the valid pixels, 0 where
    closed, and mask (B, H, W), 1-minimal. Images that ``delta * mask`` does not fool come back as they were.
    """
    if rounds < 0 or steps < 1:
        raise UserError(f"refine needs rounds >= 0 and steps >= 1, not {rounds} and {steps}")
    check_epsilon("refine", epsilon)
    delta = delta * mask[:, None]
    judge = _Judge(model, images, labels, delta, targets, batch_size)
    rows = (judge.margins(torch.arange(len(images), device=images.device), mask) > slack).nonzero()[:, 0]
    mask = _close_blocks(judge, mask & (delta != 0).any(1), rows, slack)
    delta = delta * mask[:, None]
    cut = images.new_full((len(images),), 0.2)
    low, high = bounds(images, epsilon)
    for _ in range(rounds):
        open_ = mask[rows].sum((1, 2))
        rows = rows[(open_ > 1) & (cut[rows] > 0)]
        for part in rows.split(batch_size):
            before = mask[part].sum((1, 2))
            less = (cut[part] * before).long().clamp_min(1)
            room = low[part], high[part]
            if not exchange:
                room = room[0] * mask[part][:, None], room[1] * mask[part][:, None]
            args = images[part], labels[part], rows_of(targets, part), delta[part], room, before - less
            found, good = _squeezed(model, *args, epsilon, steps, step, slack)
            delta[part[good]], mask[part[good]] = found[good], (found[good] != 0).any(1)
            lost = part[~good]
            cut[lost] = torch.where(less[~good] > 1, cut[lost] / 2, 0)
    return delta, prune(model, images, labels, delta, mask, targets, slack=slack, batch_size=batch_size)


def _squeezed(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    targets: Tensor | None,
    delta: Tensor,
    room: tuple[Tensor, Tensor],
    k: Tensor,
    epsilon: float,
    steps: int,
    size: float,
    slack: float,
) -> tuple[Tensor, Tensor]:
    """The perturbation of at most k (B,) pixels that the steps reach, and whether it fools the model; room: its least
    and largest values."""
    found = delta.clone()
    fooled = torch.zeros_like(labels, dtype=torch.bool)
    rows = torch.arange(len(images), device=images.device)
    for step in range(steps + 1):
        t = rows_of(targets, rows)
        value, grad = margin_gradient(model, images[rows] + found[rows], labels[rows], t)
        good = (value > slack) if step else torch.zeros_like(value, dtype=torch.bool)  # too many pixels before
        fooled[rows[good]] = True
        rows, grad = rows[~good], grad[~good]
        if not len(rows) or step == steps:
            break
        move = size * (1 - step / steps) * epsilon * grad / mean_size(grad)
        found[rows] = project_l0(found[rows] + move, room[0][rows], room[1][rows], k[rows])
    return found, fooled


def mean_size(grad: Tensor) -> Tensor:
    """Mean |g| of each image, (N, 1, 1, 1), above 0."""
    return grad.abs().mean((1, 2, 3), keepdim=True).clamp_min(torch.finfo(grad.dtype).tiny)


def project_l0(delta: Tensor, low: Tensor, high: Tensor, k: Tensor) -> Tensor:
    """P_k: the nearest perturbation within [low, high] that changes at most k (B,) pixels; shapes (B, C, H, W).

    Clip to the box, then keep the pixels that lose most by being closed: the k of largest
    Σ_c y_c² - (y_c - clip(y_c))² (Croce and Hein 2019, Section 4).
    """
    clipped = delta.clamp(low, high)
    worth = (delta.square() - (delta - clipped).square()).sum(1)
    return clipped * (ranks(-worth) < k[:, None, None])[:, None]
