"""The usual network of style transfer, VGG-19 up to relu4_1 and its mirror image, from files that the user has.

Weights are never fetched: those in circulation come with terms of their own.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ..errors import UserError
from .weights import read_weights

_ENCODER = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, 256, "pool", 512)
_DECODER = (256, "up", 256, 256, 256, 128, "up", 128, 64, "up", 64)


def vgg_encoder() -> nn.Sequential:
    """VGG-19 up to relu4_1 with padding by reflection, after a 1×1 convolution that takes pixels in [0, 1] to VGG's
    own (Huang and Belongie, ICCV 2017); (N, 3, H, W) -> (N, 512, H/8, W/8), sides rounded up."""
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    channels = 3
    for step in _ENCODER:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        else:
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, step, 3), nn.ReLU()]
            channels = step
    return nn.Sequential(*layers)


def mirrored_decoder() -> nn.Sequential:
    """The mirror image of `vgg_encoder`, pooling replaced by the nearest pixel; (N, 512, h, w) -> (N, 3, 8h, 8w)."""
    layers: list[nn.Module] = []
    channels = 512
    for step in _DECODER:
        if isinstance(step, str):
            layers.append(nn.Upsample(scale_factor=2))
        else:
            layers += [nn.ReflectionPad2d(1), nn.Conv2d(channels, step, 3), nn.ReLU()]
            channels = step
    return nn.Sequential(*layers, nn.ReflectionPad2d(1), nn.Conv2d(channels, 3, 3))


def style_network(encoder: str | Path, decoder: str | Path) -> tuple[nn.Sequential, nn.Sequential]:
    """`vgg_encoder` and `mirrored_decoder` with weights, for `StyleMix` and `StyleCutMix`.

    encoder, decoder: files of state dicts, safetensors or what `torch.save` wrote, in which nothing but tensors is
        read; the names are those of two ``nn.Sequential`` in the order above, "0.weight", "2.weight" and so on, as in
        the files ``vgg_normalised.pth`` and ``decoder.pth`` that PyTorch versions of AdaIN use. An encoder's later
        layers are left out.

    Raises `UserError` for a file that is not there, is damaged, or holds the weights of another network.
    """
    return _loaded(vgg_encoder(), encoder, deeper=True), _loaded(mirrored_decoder(), decoder, deeper=False)


def _loaded(network: nn.Sequential, path: str | Path, deeper: bool) -> nn.Sequential:
    found, own = read_weights(path), network.state_dict()
    odd = [k for k in own if k not in found or found[k].shape != own[k].shape]
    if not deeper:
        odd += [k for k in found if k not in own]
    if odd:
        raise UserError(
            f"{path} holds another network, which shows at {odd[0]}: give "
            + ("VGG-19 with a 1×1 convolution before it" if deeper else "the mirror image of VGG-19 up to relu4_1")
            + ", see aw.models.style_network"
        )
    network.load_state_dict({k: found[k] for k in own})
    return network.eval().requires_grad_(False)
