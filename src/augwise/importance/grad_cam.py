"""Grad-CAM: which places of a convolutional feature map speak for the class. One forward pass and a short way back.

Finds the last feature map by watching one forward pass; holds hooks on the model only while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..layers import channels_first, full_name, hooked, is_map
from .class_score import Of, class_score
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, stretch
from .saliency import check_saliency

_CURE = (
    "name a layer whose output is (N, channels, height, width), or use an estimator that needs none: rise, occlusion"
)


def grad_cam(
    model: nn.Module, images: Tensor, labels: Tensor, layer: str | None = None, of: Of = "log_probability"
) -> Tensor:
    """max(0, Σ_k a_k A_k),  a_k = mean over places of ∂ score / ∂A_k: (N, h, w), the size of the feature map A.

    model: in eval mode; images: (N, C, H, W) float as it takes them; labels: (N,) int64. layer: the module whose output
    is A, by its name in ``model.named_modules()``; None: the last one with a spatial output, see `last_feature_map`.
    Selvaraju et al. 2017, Eq. 1 and 2. Returns float32 at least. Nothing is added to any parameter's gradient.
    """
    if not len(images):
        return images.new_zeros(0, 1, 1)
    name = last_feature_map(model, images[:1]) if layer is None else full_name(model, layer)
    size = (images.shape[-2], images.shape[-1])
    found: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> Tensor:
        # From here on, and only from here, autograd follows. The copy goes on, so that an in-place ReLU behind this
        # layer does not write into what is kept.
        if not is_map(output, size):
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise UserError(f"layer {name!r} gives {got} for images of {size[0]}x{size[1]}, no feature map: {_CURE}")
        found[:] = [output.detach().requires_grad_()]
        return found[0].clone()

    with torch.enable_grad(), hooked([(model.get_submodule(name), keep)]):
        score = class_score(model(images), labels, of).sum()
        if not found:
            raise UserError(f"layer {name!r} is not used by the model's forward pass: {_CURE}")
        (gradient,) = torch.autograd.grad(score, found[0])
    exact = torch.promote_types(images.dtype, torch.float32)
    features, gradient = (channels_first(t.detach().to(exact), size) for t in (found[0], gradient))
    return (gradient.mean((2, 3), keepdim=True) * features).sum(1).clamp_min(0)


def last_feature_map(model: nn.Module, images: Tensor) -> str:
    """The name of the module that ends last, in a forward pass of these images, among those with a spatial output.

    Spatial: four dimensions, more than one place, and the proportions of the image: (N, C, h, w), or (N, h, w, C) as
    Swin has it. `UserError` where there is none, or where tokens (N, T, C) follow it, as in a vision transformer.
    """
    size = (images.shape[-2], images.shape[-1])
    last: list[str] = [""]

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if is_map(output, size):
                last[0] = name
            elif isinstance(output, Tensor) and output.ndim == 3 and output.shape[1] > 1:
                last[0] = ""

        return hook

    with torch.no_grad(), hooked([(module, watch(name)) for name, module in model.named_modules() if name]):
        model(images)
    if not last[0]:
        raise UserError(f"Grad-CAM found no feature map at the end of the {type(model).__name__}: {_CURE}")
    return last[0]


@dataclass(frozen=True)
class GradCAM(Estimator):
    """η = max(0, Σ_k a_k A_k), a_k the mean of ∂ log p_y / ∂A_k over places (Selvaraju et al. 2017, Eq. 1-2).

    The paper differentiates the logit (``of="logit"``); the log-probability also counts what speaks for other classes.

    A is a convolutional feature map, by default the last one, so the map has its few cells (8 × 8 for the small CNN at
    32 px, 7 × 7 for most networks at 224) and is stretched bilinearly to the map's size. Transformers of tokens have
    no feature map and are refused. Works through `aw.Normalized`. Unit: of the score; dense. Returns maps (B, H, W), or
    of the cells of a grid. An image for which no place speaks for its label gets zeros.
    """

    layer: str | None = None
    """the module whose output is looked at, as model.named_modules() calls it, such as layer4; by default the last one
    with a feature map"""
    of: Of = "log_probability"
    """what is differentiated: the true class's log-probability, its logit as in the paper, or the largest logit"""
    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""

    name: ClassVar[str] = "gradcam"

    def __post_init__(self) -> None:
        check_grid(self.grid)
        check_saliency(self.of, "max", None)

    def check_model(self, model: nn.Module | None, images: Tensor) -> None:
        assert model is not None
        grad_cam(model, images[:1], images.new_zeros(len(images[:1]), dtype=torch.int64), self.layer, self.of)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "1 forward pass and a short backward pass per image"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        assert model is not None
        coarse = grad_cam(model, images, labels, self.layer, self.of)
        size = self.map_size(*images.shape[-2:])
        importance = stretch(coarse, *size)
        return Estimated(importance.float(), torch.zeros(len(images), dtype=torch.bool, device=images.device))
