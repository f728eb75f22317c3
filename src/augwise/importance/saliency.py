"""Importance by the input gradient: one of the comparisons in the papers, the cheapest map that asks the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ..errors import UserError
from .class_score import log_probability
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, pool


@dataclass(frozen=True)
class GradientSaliency(Estimator):
    """η = reduce over channels of |∂ log p_y / ∂x| (Simonyan, Vedaldi and Zisserman 2014, section 3).

    They differentiate the class score z_y before the softmax and take the largest channel; here the default is the
    log-probability of the true class, which is what `Occlusion` measures too. Unit: nats per unit of pixel value, at
    least 0, dense. Returns maps (B, H, W), or means over the cells of a grid.
    """

    of: Literal["log_probability", "logit"] = "log_probability"
    """what is differentiated: the true class's log-probability, or its logit as in the paper"""
    reduce: Literal["max", "mean"] = "max"
    """over channels: the largest magnitude as in the paper, or their mean"""

    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "saliency"

    def __post_init__(self) -> None:
        check_grid(self.grid)
        if self.of not in ("log_probability", "logit"):
            raise UserError(f"of={self.of!r} is unknown: use 'log_probability' or 'logit'")
        if self.reduce not in ("max", "mean"):
            raise UserError(f"reduce={self.reduce!r} is unknown: use 'max' or 'mean'")

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "1 forward and backward pass per image"

    def estimate(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        if model is None:
            raise UserError("GradientSaliency needs a classifier: give a model")
        with torch.enable_grad():
            pixels = images.detach().clone().requires_grad_()
            logits = model(pixels)
            score = (
                log_probability(logits, labels) if self.of == "log_probability" else logits.gather(1, labels[:, None])
            )
            (gradient,) = torch.autograd.grad(score.sum(), pixels)
        magnitude = gradient.abs()
        importance = magnitude.amax(1) if self.reduce == "max" else magnitude.mean(1)
        importance = pool(importance.float(), *self.map_size(*images.shape[-2:]))
        return Estimated(importance, torch.zeros(len(images), dtype=torch.bool, device=images.device))
