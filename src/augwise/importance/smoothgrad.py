"""SmoothGrad: the input gradient averaged over noisy copies of the image, which takes out most of its speckle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from ..labels import MixedLabels
from .class_score import Of
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, pool
from .saliency import Channels, check_saliency, input_gradient, over_channels


def smoothgrad(
    model: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor | MixedLabels,
    generators: Sequence[torch.Generator],
    copies: int = 25,
    noise: float = 0.15,
    of: Of = "log_probability",
    reduce: Channels = "max",
    signed: bool = True,
) -> Tensor:
    """reduce_c |mean_i ∂ score(x + e_i) / ∂x_c|, e_i ~ N(0, σ²), σ = noise × (max x - min x) of each image.

    generators: one CPU generator per image, from which its copies' noise is drawn, copy after copy. signed:
    no for the mean of the magnitudes. The rest as in `saliency`. A batch goes through the model once per copy, so
    memory does not grow with them. Returns (N, H, W), ≥ 0, float32 at least.
    """
    if len(generators) != len(images):
        raise UserError(f"smoothgrad got {len(generators)} generators for {len(images)} images: give one per image")
    pixels = images.detach().as_subclass(Tensor)
    sigma = noise * (pixels.amax((1, 2, 3), keepdim=True) - pixels.amin((1, 2, 3), keepdim=True))
    total = torch.zeros_like(pixels, dtype=torch.promote_types(pixels.dtype, torch.float32))
    for _ in range(copies):
        draws = [torch.randn(pixels.shape[1:], generator=generator) for generator in generators]
        normal = torch.stack(draws).to(pixels, non_blocking=True) if draws else pixels
        gradient = input_gradient(model, pixels + sigma * normal, labels, of)
        total += gradient if signed else gradient.abs()
    return over_channels(total.abs() / copies, reduce)


@dataclass(frozen=True)
class SmoothGrad(Estimator):
    """η = reduce over channels of |mean_i ∂ log p_y(x + e_i) / ∂x|, e_i ~ N(0, σ²) (Smilkov et al. 2017, section 3).

    σ is ``noise`` times the image's own range of values, as there; noisy copies are not cut to [0, 1]. Gradients are
    averaged with their signs, then their magnitude is taken (``signed``). The paper differentiates the class score
    before the softmax (``of="logit"``). An image's noise comes from its own seed.

    Unit: nats per unit of pixel value, dense. Returns maps (B, H, W), or means over the cells of a grid.
    """

    copies: int = 25
    """noisy copies per image, one forward and one backward pass each; the paper sees little gain beyond 50"""
    noise: float = 0.15
    """standard deviation of the noise as a share of the image's range of values; the paper: 0.1 to 0.2"""
    signed: bool = True
    """the magnitude of the mean gradient, as in the paper; no: the mean of the gradients' magnitudes"""
    of: Of = "log_probability"
    """what is differentiated: the true class's log-probability, its logit as in the paper, or the largest logit"""
    reduce: Channels = "max"
    """over channels: the largest magnitude, or their mean"""
    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "smoothgrad"

    def __post_init__(self) -> None:
        check_grid(self.grid)
        check_saliency(self.of, self.reduce, None)
        if self.copies < 1:
            raise UserError(f"copies={self.copies}: give at least 1 noisy copy")
        if not 0 <= self.noise < float("inf"):
            raise UserError(f"noise={self.noise} is out of range: give a share of the image's range of values, from 0")

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return f"{self.copies} forward and backward pass{'es' if self.copies > 1 else ''} per image"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:
        assert model is not None
        generators = [randomness.generator(seed, self.name) for seed in seeds]
        importance = smoothgrad(
            model, images, labels, generators, self.copies, self.noise, self.of, self.reduce, self.signed
        )
        importance = pool(importance.float(), *self.map_size(*images.shape[-2:]))
        return Estimated(importance, torch.zeros(len(images), dtype=torch.bool, device=images.device))
