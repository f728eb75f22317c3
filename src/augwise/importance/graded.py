"""A graded sparse attack: it erases instead of perturbing, and every step says how much each place has cost the class.

Key points of an attack with a small epsilon rank nothing: |delta| is saturated, so each counts the same, and where a
perturbation helps is not where erasing hurts. Touches nothing but tensors and the frozen model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import UserError
from .class_score import log_probability
from .estimator import Estimated, Estimator
from .fill import Fill, check_fill, colour_of
from .grid import Grid, check_cells, check_grid, map_size, square_cells, stretch, stretching

_CLOSED = -2.0  # first logit of the mask: 12 % erased, so that the attack begins near the image as it is


def erasing_attack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    mask_size: tuple[int, int],
    steps: int = 16,
    nu: float = 0.3,
    rate: float = 0.2,
    momentum: float = 0.9,
    fill: Fill = "mean",
) -> Tensor:
    """Erase few cells of each image so that its class is lost; what each cell cost on the way, (B, rows, columns).

        x_t = x + m_t (b - x),   m_t = sigmoid(h_t) on cells, drawn out bilinearly,   h_0 = -2
        g_t = ∂ log p_y(x_t) / ∂m_t
        v ← momentum · v + (g_t / max |g_t| + nu · share of m_t above 0.5) · 4 m_t (1 - m_t),   h ← h - rate · v
        returns -mean_t g_t

    Nats of the true class's log-probability per whole cell erased, of either sign. b: ``fill``, each image's own mean
    colour or one value. mask_size: rows and columns of cells. Gradients are divided by each image's own largest, so
    that images of which the classifier is sure are attacked as hard; nothing else is shared by a batch.
    model: frozen, in eval mode, takes pixels in [0, 1]; images: (B, C, H, W) float; returns float32 at least.
    """
    pixels = images.detach().as_subclass(Tensor)
    exact = torch.promote_types(pixels.dtype, torch.float32)
    erasure = colour_of(pixels, fill) - pixels
    cell = torch.full((len(pixels), *mask_size), _CLOSED, dtype=exact, device=pixels.device)
    velocity, cost = torch.zeros_like(cell), torch.zeros_like(cell)
    down, across = stretching(cell, *pixels.shape[-2:])
    for _ in range(steps):
        mask = torch.sigmoid(cell)
        with torch.enable_grad():
            mask.requires_grad_()
            erased = (down @ mask @ across).to(pixels.dtype)
            score = log_probability(model(pixels + erasure * erased[:, None]).to(exact), labels)
            (gradient,) = torch.autograd.grad(score.sum(), mask)
        mask = mask.detach()
        cost -= gradient
        greatest = gradient.abs().amax((1, 2), keepdim=True)
        push = gradient / torch.where(greatest > 0, greatest, 1)
        share = (mask > 0.5).to(exact).mean((1, 2), keepdim=True)
        velocity = momentum * velocity + (push + nu * share) * 4 * mask * (1 - mask)
        cell = cell - rate * velocity
    return cost / steps


@dataclass(frozen=True)
class Graded(Estimator):
    """η = max(0, -mean over an erasing attack's steps of ∂ log p_y / ∂m): how much erasing a place costs the class.

    The papers' sparse attack (a mask between 0 and 1 is learned, whose weight of sparsity grows with its share, IPF-RDA
    Eq. 7 and 8) with two changes. What the mask lets in is the image's own mean colour in place of a perturbation, and
    it leaves the true class in place of reaching another, since that is what erasing does. And importance is not what
    is left at the end (IPF-RDA Eq. 10, nearly one number for all key points) but the gradient along the way, as in
    integrated gradients (Sundararajan et al. 2017, Eq. 1) along the attack's own path. See `erasing_attack`.

    Any image size: the mask has ``cells`` along the shorter side. Unit: nats per cell; dense. Returns maps (B, H, W),
    or of the size `map_size` tells where a grid is used.
    """

    steps: int = 16
    """steps of the attack, one forward and one backward pass each"""
    cells: int = 12
    """cells of the mask along the shorter side, at most one per pixel"""
    nu: float = 0.3
    """weight of sparsity against the largest gradient: more erases fewer cells at a time"""
    rate: float = 0.2
    """step size of the mask's logits"""
    momentum: float = 0.9
    """momentum of the mask's logits"""
    fill: Fill = "mean"
    """what erases: the image's own mean colour, or one value in [0, 1]"""
    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "graded"

    def __post_init__(self) -> None:
        check_grid(self.grid)
        for name in ("steps", "cells"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)}: give at least 1")
        for name in ("nu", "rate"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise UserError(f"{name}={getattr(self, name)} is out of range: give a number from 0")
        if not 0 <= self.momentum < 1:
            raise UserError(f"momentum={self.momentum} is out of range: give a number from 0 to below 1")
        check_fill(self.fill)

    def check(self, height: int, width: int) -> None:
        check_cells(self.cells, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return f"{self.steps} forward and backward pass{'es' if self.steps > 1 else ''} per image"

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        assert model is not None
        height, width = images.shape[-2:]
        self.check(height, width)
        cost = erasing_attack(
            model,
            images,
            labels,
            square_cells(self.cells, height, width),
            self.steps,
            self.nu,
            self.rate,
            self.momentum,
            self.fill,
        )
        # The clamp comes first: a cell that speaks against the class takes nothing from its neighbours.
        importance = stretch(cost.clamp_min(0), *self.map_size(height, width))
        return Estimated(importance.float(), torch.zeros(len(images), dtype=torch.bool, device=images.device))
