"""What mixing by style shares: adaptive instance normalisation, and images through an encoder and a decoder.

Draws nothing. Whose network it is, the user says: weights are never fetched.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..fingerprints import model_fingerprint

__all__ = ["Stylist", "adain", "channel_statistics"]

_EPS = 1e-5
_LEVELS = (3, 10, 17, 30)  # where relu1_1, relu2_1, relu3_1 and relu4_1 stand in `models.style.vgg_encoder`
_AT_ONCE = 32  # images in the network at once: the first layer of VGG-19 holds 13 MB for each of 224 px


def adain(content: Tensor, style: Tensor) -> Tensor:
    """σ(s) (c - μ(c)) / σ(c) + μ(s): features c with the mean and deviation that s has in each channel (Huang and
    Belongie, ICCV 2017, Eq. 8).

    content, style: (N, C, H, W); σ² is the mean square deviation over H and W, plus 1e-5.
    """
    mean, deviation = channel_statistics(content)
    wanted, spread = channel_statistics(style)
    return spread * (content - mean) / deviation + wanted


def channel_statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """μ and σ of every image and channel, (N, C, 1, 1) each."""
    variance, mean = torch.var_mean(features, (2, 3), correction=0, keepdim=True)
    return mean, (variance + _EPS).sqrt()


def check_network(name: str, encoder: Any, decoder: Any) -> tuple[nn.Module, nn.Module]:
    """Both networks, if both are there."""
    for part, given in (("encoder", encoder), ("decoder", decoder)):
        if given is None:
            raise UserError(
                f"{name} needs the weights of a style network, which augwise does not bring: {part} is missing. Give "
                f"aw.{name}(*aw.models.style_network('vgg_normalised.pth', 'decoder.pth')) with files of your own, or "
                "an encoder and a decoder as modules"
            )
        if not isinstance(given, nn.Module):
            raise UserError(
                f"{name} got a {type(given).__name__} as {part}: give a module; aw.models.style_network makes both of "
                "files of weights"
            )
    return encoder, decoder


class Stylist(nn.Module):
    """Images to features and back, at a size of its own.

    encoder: (N, 3, H, W) in [0, 1] -> (N, C, h, w); decoder: back to (N, 3, H', W'), which is resized to the images.
    size: shorter side at which images are looked at; None: as they are.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, size: int | None) -> None:
        super().__init__()
        if size is not None and size < 1:
            raise UserError(f"size={size}: give the shorter side in pixels at which the style network sees images")
        self.encoder, self.decoder, self.size = encoder.eval(), decoder.eval(), size
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> Stylist:  # noqa: ARG002
        """Stays in eval mode, whatever holds it."""
        return super().train(False)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Features of uint8 images or floats in [0, 1]; of grey ones those of the same grey in three channels."""
        device = images.device
        if next((p.device for p in self.parameters()), device) != device:
            self.to(device)
        try:
            return torch.cat([self.encoder(self._seen(part)) for part in images.split(_AT_ONCE)])
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            height, width = images.shape[-2:]
            raise UserError(
                f"the style network cannot take images of {height}×{width} at size={self.size} ({error}): give a "
                "larger size, and images of one or three channels"
            ) from error

    @torch.no_grad()
    def styles(self, images: Tensor) -> Tensor:
        """(N, D) float32: μ and σ of every channel of the features, of VGG-19 those of four levels."""
        levels = _LEVELS if isinstance(self.encoder, nn.Sequential) and len(self.encoder) == _LEVELS[-1] + 1 else ()
        found = []
        for part in images.split(_AT_ONCE):
            features, parts = self._seen(part), []
            if levels and isinstance(self.encoder, nn.Sequential):
                for place, layer in enumerate(self.encoder):
                    features = layer(features)
                    if place in levels:
                        parts += channel_statistics(features)
            else:
                parts += channel_statistics(self.encoder(features))
            found.append(torch.cat(parts, 1).flatten(1))
        return torch.cat(found)

    def _seen(self, images: Tensor) -> Tensor:
        seen = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        seen = seen.expand(-1, 3, -1, -1) if seen.shape[1] == 1 else seen
        height, width = seen.shape[-2:]
        if self.size is None or self.size == min(height, width):
            return seen
        scale = self.size / min(height, width)
        size = (round(height * scale), round(width * scale))
        return F.interpolate(seen, size=size, mode="bilinear", antialias=True)

    @torch.no_grad()
    def decode(self, features: Tensor, like: Tensor) -> Tensor:
        """Pictures of features, float32 in [0, 1], with the height, width and channels of ``like`` (N, C, H, W)."""
        pictures = []
        for part in features.split(_AT_ONCE):
            shown = self.decoder(part)
            if shown.shape[-2:] != like.shape[-2:]:
                shown = F.interpolate(shown, size=like.shape[-2:], mode="bilinear", antialias=True)
            pictures.append(shown.clamp(0, 1))
        picture = torch.cat(pictures)
        return picture.mean(1, keepdim=True) if like.shape[1] == 1 else picture

    def __repr__(self) -> str:
        return f"Stylist(weights={model_fingerprint(self.encoder)}+{model_fingerprint(self.decoder)}, size={self.size})"


def as_pixels(picture: Tensor, like: Tensor) -> Tensor:
    """A picture in [0, 1] in the type of ``like``: uint8 is rounded."""
    if like.dtype == torch.uint8:
        return (picture * 255).round().to(torch.uint8)
    return picture.to(like.dtype)


def in_unit(images: Tensor) -> Tensor:
    """uint8 images or floats as float32 in [0, 1]."""
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()


def check_share(name: str, value: float) -> float:
    """``value`` itself, if it is a share."""
    if isinstance(value, bool) or not 0 <= value <= 1:
        raise UserError(f"{name}={value} is no share: give a number from 0 to 1")
    return value
