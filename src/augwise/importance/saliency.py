"""Importance by the input gradient: one of the comparisons in the papers, the cheapest map that asks the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..labels import MixedLabels
from .class_score import Of, class_score
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, pool

Channels = Literal["max", "mean"]


def saliency(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor | MixedLabels,
    of: Of = "log_probability",
    reduce: Channels = "max",
) -> Tensor:
    """|∂ score / ∂x| of each image, the largest or the mean over channels: (N, H, W) of the images' type, ≥ 0.

    model: takes the images and returns (N, K) logits, each image's own (in eval mode); images: (N, C, H, W) float;
    labels: (N,) int64 or mixed ones. of: see `GradientSaliency`. Nothing is added to any parameter's gradient.
    """
    return over_channels(input_gradient(model, images, labels, of).abs(), reduce)


def input_gradient(
    model: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor | MixedLabels, of: Of = "log_probability"
) -> Tensor:
    """∂ score / ∂x of each image, (N, C, H, W) of the images' type; arguments as in `saliency`."""
    with torch.enable_grad():
        pixels = images.detach().as_subclass(Tensor).requires_grad_()
        (gradient,) = torch.autograd.grad(class_score(model(pixels), labels, of).sum(), pixels)
    return gradient


def over_channels(magnitude: Tensor, reduce: Channels) -> Tensor:
    """(N, C, H, W) magnitudes as one number per pixel, (N, H, W): the largest or the mean over channels."""
    return magnitude.amax(1) if reduce == "max" else magnitude.mean(1)


def minmax(importance: Tensor) -> Tensor:
    """Each map stretched to [0, 1], (η − min η) / (max η − min η): (N, H, W) float. A constant map becomes 0."""
    least, greatest = importance.flatten(1).aminmax(dim=1)
    span = (greatest - least)[:, None, None]
    return torch.where(span > 0, (importance - least[:, None, None]) / torch.where(span > 0, span, 1), 0)


def check_saliency(of: str, reduce: str, normalize: str | None) -> None:
    """`UserError` for options of a saliency map that do not exist."""
    if of not in get_args(Of):
        raise UserError(f"of={of!r} is unknown: use 'log_probability', 'logit' or 'top_logit'")
    if reduce not in get_args(Channels):
        raise UserError(f"reduce={reduce!r} is unknown: use 'max' or 'mean'")
    if normalize not in (None, "minmax"):
        raise UserError(f"normalize={normalize!r} is unknown: use 'minmax' or None")


@dataclass(frozen=True)
class GradientSaliency(Estimator):
    """η = reduce over channels of |∂ log p_y / ∂x| (Simonyan, Vedaldi and Zisserman 2014, section 3).

    They differentiate the class score z_y before the softmax and take the largest channel; here the default is the
    log-probability of the true class, which is what `Occlusion` measures too. Unit: nats per unit of pixel value, at
    least 0, dense. Returns maps (B, H, W), or means over the cells of a grid.
    """

    of: Of = "log_probability"
    """what is differentiated: the true class's log-probability, its logit as in the paper, or the largest logit, which
    asks about the class that the model predicts"""
    reduce: Channels = "max"
    """over channels: the largest magnitude as in the paper, or their mean"""

    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    normalize: Literal["minmax"] | None = field(default=None, metadata={"later": True})
    """minmax: every map from 0 to 1, (η - min η) / (max η - min η), which an absolute threshold needs"""

    name: ClassVar[str] = "saliency"

    def __post_init__(self) -> None:
        check_grid(self.grid)
        check_saliency(self.of, self.reduce, self.normalize)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "1 forward and backward pass per image"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        assert model is not None
        importance = saliency(model, images, labels, self.of, self.reduce)
        importance = pool(importance.float(), *self.map_size(*images.shape[-2:]))
        importance = importance if self.normalize is None else minmax(importance)
        return Estimated(importance, torch.zeros(len(images), dtype=torch.bool, device=images.device))
