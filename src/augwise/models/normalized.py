"""A classifier together with the normalisation it was trained with. Touches pixels only on their way into the model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from ..errors import UserError


class Normalized(nn.Module):
    """``model((x - mean) / std)``, channel by channel, so that everything outside sees pixels in [0, 1].

    Estimators and attacks need it: a perturbation of ±8/255 and "the image's mean colour" mean something only there.

    model: takes (N, C, H, W) normalised pixels.
    mean, std: one number per channel in units of [0, 1] pixels, std > 0. They are buffers: they follow the model to
        its device, stand in its state dict, and count for its fingerprint.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        super().__init__()
        values = [torch.as_tensor(v, dtype=torch.float64).flatten() for v in (mean, std)]
        _check(*values)
        self.model = model
        self.training = model.training  # wrapping a model in eval mode gives one in eval mode
        self.register_buffer("mean", values[0].float()[:, None, None])
        self.register_buffer("std", values[1].float()[:, None, None])

    def forward(self, images: Tensor) -> Tensor:
        """images: (N, C, H, W) float in [0, 1]; returns what the model returns."""
        _check_images(images, len(self.mean))
        return self.model((images - self.mean.to(images.dtype)) / self.std.to(images.dtype))

    def extra_repr(self) -> str:
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


@fx.wrap  # so that the model can still be traced, as torchvision's feature extraction does
def _check_images(images: Tensor, channels: int) -> None:
    if not images.is_floating_point():
        raise UserError(
            f"aw.Normalized got images of type {images.dtype}: give float pixels in [0, 1], "
            "such as images.float() / 255 for uint8 ones"
        )
    if images.ndim != 4 or images.shape[1] != channels:
        raise UserError(
            f"aw.Normalized got images of shape {tuple(images.shape)}: give (N, {channels}, H, W), as many channels as "
            "it has means"
        )


def _check(mean: Tensor, std: Tensor) -> None:
    if len(mean) != len(std) or not len(mean):
        raise UserError(f"mean has {len(mean)} numbers and std {len(std)}: give one of each per channel")
    if not bool(((std > 0) & std.isfinite()).all()):
        raise UserError(f"std is {std.tolist()}: every channel's must be above 0")
    if not bool(((mean >= 0) & (mean <= 1)).all()):
        raise UserError(
            f"mean is {mean.tolist()}: give it in units of pixels in [0, 1]; divide by 255 if it was computed on uint8"
        )
