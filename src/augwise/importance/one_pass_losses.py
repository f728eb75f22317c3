"""What a one-pass network is trained for, as pure functions: to predict what erasing costs, or to mask an attack.

Tensors in, tensors out, differentiable where they are losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..randomness import integers, uniform
from .advmask import momentum_pgd

FLAT = 1e-12
"""Sum of squared deviations of the drops, in nats², below which an image's windows are taken to cost all the same."""


def random_boxes(
    n: int, count: int, height: int, width: int, shortest: int, longest: int, generator: torch.Generator | None = None
) -> Tensor:
    """``count`` square windows for each of ``n`` images, inside them, side uniform over shortest … longest pixels.

    (n, count, 4) int64 boxes (top, left, bottom, right), the last two exclusive, on the CPU.
    """
    side = shortest + integers(longest - shortest + 1, n, count, generator=generator)
    places = uniform(n, count, 2, generator=generator)
    top, left = ((places[..., i] * (length - side + 1)).long() for i, length in enumerate((height, width)))
    return torch.stack([top, left, top + side, left + side], 2)


def box_scores(maps: Tensor, boxes: Tensor) -> Tensor:
    """IS(S) = Σ_{p ∈ S} η(p) of many windows of each map, by its integral image: (N, H, W), (N, K, 4) -> (N, K).

    Differentiable; four look-ups per window whatever its size. Sums are of the maps' type; IPF-RDA, Eq. 11.
    """
    integral = F.pad(maps, (1, 0, 1, 0)).cumsum(1).cumsum(2)
    rows = torch.arange(len(maps), device=maps.device)[:, None]
    top, left, bottom, right = boxes.to(maps.device).unbind(2)
    return (
        integral[rows, bottom, right]
        - integral[rows, top, right]
        - integral[rows, bottom, left]
        + integral[rows, top, left]
    )


def erasing_loss(scores: Tensor, drops: Tensor) -> Tensor:
    """1 − the correlation of an image's window scores with its drops, mean over the images: a scalar in [0, 2].

        1 − Σ_k (s_k − s̄)(d_k − d̄) / (‖s − s̄‖ ‖d − d̄‖)

    Free of unit and offset for every image: how sure the classifier is decides how large its drops are, up to a
    thousandfold, and is not what a map has to tell. scores, drops: (N, K). Images whose windows cost all the same
    teach nothing and count as 1.
    """
    s, d = (values - values.mean(1, keepdim=True) for values in (scores, drops.to(scores)))
    product = (s.square().sum(1) + FLAT).sqrt() * (d.square().sum(1) + FLAT).sqrt()
    return (1 - (s * d).sum(1) / product).mean()


def dense_attack(
    model: nn.Module, images: Tensor, targets: Tensor, epsilon: float, steps: int, momentum: float = 0.9
) -> Tensor:
    """A perturbation of all pixels towards the classes ``targets``, (B, C, H, W): |δ| ≤ ε and x + δ in [0, 1].

    δ ← clip(δ − (2 ε / steps) · sign(g)), g the accumulated ∇_δ CE(f(x + δ), y*) as in IPF-RDA, Eq. 9, with every
    pixel open: `momentum_pgd` from 0. One step is a signed gradient of length ε (what goes beyond it is cut).
    """
    return momentum_pgd(
        model,
        images,
        torch.zeros_like(images),
        targets,
        towards=True,
        epsilon=epsilon,
        steps=steps,
        beta=2 * epsilon / steps,
        momentum=momentum,
    )


def attack_loss(model: nn.Module, images: Tensor, targets: Tensor, delta: Tensor, mask: Tensor, nu: float) -> Tensor:
    """CDIEA's loss with the mask of a network in place of one optimised for the image, mean over the images.

        CE(f(x + δ ⊙ m), y*) + μ · mean(m),   μ = ν · share of m above 0.5            (IPF-RDA, Eq. 7 and 8)

    targets: (B,) the classes y* ≠ y; delta: (B, C, H, W); mask: (B, H, W) in [0, 1]. The gradient reaches the mask;
    μ is held constant, as there.
    """
    share = (mask.detach() > 0.5).to(mask.dtype).mean((1, 2))
    logits = model(images + delta * mask[:, None])
    return (F.cross_entropy(logits, targets, reduction="none") + nu * share * mask.mean((1, 2))).mean()
