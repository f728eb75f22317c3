"""MixMatch as learning from wrong labels uses it (Berthelot et al. 2019): sharpened guesses, mixed with trusted labels.

Pure functions of tensors, and the loss that DivideMix and PES share, with LP-A3 in it where that is asked for.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...sample import Batch
from .farther import Farther


class Pairs(NamedTuple):
    """One step's images, each twice: B that are trusted, x and x2, and as many that are not, u and u2."""

    x: Batch
    x2: Batch
    u: Batch
    u2: Batch

    @property
    def images(self) -> Tensor:
        """The images that the step counts as: those that are trusted."""
        return self.x.images


class Mixed(NamedTuple):
    """share: λ; partner: (4B,) int64; images and targets: λ · own + (1 - λ) · partner's."""

    share: Tensor
    partner: Tensor
    images: Tensor
    targets: Tensor


class MixMatchLoss(NamedTuple):
    """trusted: cross-entropy over the first 2B; others: mean squared error of the probabilities over the last 2B;
    farther: that of LP-A3's images, 0 without; logits: (4B, C) of the mixed images; measures: what LP-A3 tells."""

    trusted: Tensor
    others: Tensor
    farther: Tensor
    logits: Tensor
    measures: dict[str, Tensor]


def sharpen(probabilities: Tensor, temperature: float) -> Tensor:
    """p_c^{1/T} / Σ_k p_k^{1/T}, row by row (MixMatch, Eq. 7)."""
    powers = probabilities.pow(1 / temperature)
    return powers / powers.sum(1, keepdim=True)


def mix(images: Tensor, targets: Tensor, share: Tensor, partner: Tensor) -> Mixed:
    """λ a + (1 - λ) a[partner] of images and targets (MixMatch, Eq. 8 to 11)."""
    return Mixed(
        share,
        partner,
        share * images + (1 - share) * images[partner],
        share * targets + (1 - share) * targets[partner],
    )


def draw_mix(n: int, alpha: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """λ′ = max(λ, 1 - λ), λ ~ Beta(α, α), one for the whole batch as in the released programs; and who is mixed with
    whom. From torch's own stream."""
    share = torch.distributions.Beta(alpha, alpha).sample()
    return torch.maximum(share, 1 - share).to(like), torch.randperm(n).to(like.device)


def ramp(epoch: float, start: int, length: int = 16) -> float:
    """From 0 at ``start`` to 1 after ``length`` epochs, linear, as in MixMatch's programs; length 0: 1 at once."""
    return min(1.0, max(0.0, (epoch - start) / length)) if length else 1.0


def guess(logits: list[Tensor], temperature: float) -> Tensor:
    """The mean of several predictions, sharpened: (N, C) without gradient."""
    mean = torch.stack([z.detach().float().softmax(1) for z in logits]).mean(0)
    return sharpen(mean, temperature).detach()


def mixmatch_loss(
    model: nn.Module,
    pairs: Pairs,
    trusted: Tensor,
    guessed: Tensor,
    alpha: float,
    class_weights: Tensor | None = None,
    farther: Farther | None = None,
) -> MixMatchLoss:
    """The losses of one step, without their weights.

    trusted, guessed: targets (B, C) of x and of u. farther: u and u2 are also moved by LP-A3, keeping the class that
    was guessed; what it makes takes their places in the mixing, with the same λ and partners, and is to be what they
    are (LP-A3's program for PES).
    """
    images = [part.images.as_subclass(Tensor) for part in pairs]
    targets = torch.cat([trusted, trusted, guessed, guessed])
    share, partner = draw_mix(len(targets), alpha, images[0])
    mixed = mix(torch.cat(images), targets, share, partner)
    b = 2 * len(trusted)
    logits = model(mixed.images)
    entropy = -(mixed.targets[:b] * logits[:b].float().log_softmax(1))
    if class_weights is not None:
        entropy = entropy * class_weights
    error = (logits[b:].float().softmax(1) - mixed.targets[b:]).square().mean()
    moved_error, told = error.new_zeros(()), {}
    if farther is not None:
        moved, told = farther.move(torch.cat(images[2:]), targets[b:].argmax(1))
        again = mix(torch.cat([*images[:2], moved]), targets, share, partner)
        with farther.batch_norms():
            seen = model(again.images[b:])
        moved_error = (seen.float().softmax(1) - again.targets[b:]).square().mean()
    return MixMatchLoss(entropy.sum(1).mean(), error, moved_error, logits, told)
