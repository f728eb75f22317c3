"""U-Net encoders of the sparse attack, for images on which a fully connected layer would be too large.

A network per image, trained under `torch.func.vmap` over stacked parameters, so that an image's result does not depend
on its neighbours; and one network for the whole batch, as a comparison. Touches nothing but tensors.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as F

from .. import randomness
from ..errors import UserError
from .encoders import Encoder

WIDTH = 8
"""Channels at full resolution; twice and four times as many at half and a quarter of it."""

Parameters = dict[str, Tensor]


def unet(parameters: Parameters, delta: Tensor) -> Tensor:
    """A small U-Net (Ronneberger, Fischer and Brox 2015): (N, C, H, W) -> (N, H, W), any height and width.

    Three resolutions, one 3x3 convolution, instance norm and ReLU at each on the way down and up, a 1x1 convolution at
    the end. Instance norm because batch norm would join the images, and because it takes the scale out of a
    perturbation that lies below epsilon. What is narrow is widened by nearest neighbours: they fit odd sides, and their
    gradient is summed in the same order every time on a GPU too, which bilinear's is not.
    """
    fine = _block(parameters, "fine", delta)
    half = _block(parameters, "half", _narrow(fine))
    quarter = _block(parameters, "quarter", _narrow(half))
    half = _block(parameters, "half_up", torch.cat([half, _widen(quarter, half)], 1))
    fine = _block(parameters, "fine_up", torch.cat([fine, _widen(half, fine)], 1))
    return F.conv2d(fine, parameters["head.weight"], parameters["head.bias"])[:, 0]


def _block(parameters: Parameters, name: str, x: Tensor) -> Tensor:
    # a bias before the norm would be taken out by it
    x = F.conv2d(x, parameters[f"{name}.weight"], padding=1)
    # not F.group_norm, which refuses the single pixel that is left of a tiny image
    return torch.group_norm(x, x.shape[1], parameters[f"{name}.scale"], parameters[f"{name}.shift"]).relu()


def _narrow(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, ceil_mode=True)


def _widen(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="nearest")


@lru_cache(maxsize=2)
def initial_unet(channels: int, seed: int, dtype: torch.dtype, device: torch.device) -> Parameters:
    """First parameters of `unet` for images of so many channels, by PyTorch's initialisation: weights and bias
    U(-c, c), c = 1/sqrt(fan in); scales 1, shifts 0.

    Drawn in float64 on the CPU, then converted: the same numbers for every dtype and device.
    """
    generator = randomness.generator(seed, "unet encoder", channels, WIDTH)

    def drawn(shape: tuple[int, ...], fan_in: int) -> Tensor:
        bound = 1 / math.sqrt(fan_in)
        return torch.empty(shape, dtype=torch.float64).uniform_(-bound, bound, generator=generator)

    parameters = {}
    blocks = {"fine": (channels, 1), "half": (WIDTH, 2), "quarter": (2 * WIDTH, 4)}
    blocks |= {"half_up": (6 * WIDTH, 2), "fine_up": (3 * WIDTH, 1)}
    for name, (inputs, times) in blocks.items():
        outputs = times * WIDTH
        parameters[f"{name}.weight"] = drawn((outputs, inputs, 3, 3), 9 * inputs)
        parameters[f"{name}.scale"] = torch.ones(outputs, dtype=torch.float64)
        parameters[f"{name}.shift"] = torch.zeros(outputs, dtype=torch.float64)
    parameters["head.weight"] = drawn((1, WIDTH, 1, 1), WIDTH)
    parameters["head.bias"] = drawn((1,), WIDTH)
    return {name: value.to(device=device, dtype=dtype) for name, value in parameters.items()}


class UNet(Encoder):
    """One small U-Net per image, each trained by SGD with momentum and weight decay on its own image alone.

    The parameters of all images are stacked and `unet` is mapped over them, which runs as grouped convolutions;
    gradients come from ordinary autograd through the map (mapping the gradient instead is slower). Exactly the SGD of
    `torch.optim.SGD`, image by image; all begin with the same weights.

    shape: (B, C, H, W) of the perturbations; seed: of the first weights.
    """

    def __init__(
        self,
        shape: torch.Size,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        seed: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay
        self.initial = initial_unet(shape[1], seed, dtype, device)
        self.parameters = self._first(shape[0])
        self.velocity = {name: torch.zeros_like(value) for name, value in self.parameters.items()}

    def _first(self, batch: int) -> Parameters:
        return {name: value.expand(batch, *value.shape).clone() for name, value in self.initial.items()}

    def _network(self, parameters: Parameters, delta: Tensor) -> Tensor:
        return vmap(unet)(parameters, delta[:, None])[:, 0] if len(delta) else delta.sum(1)

    def forward(self, delta: Tensor) -> Tensor:
        with torch.enable_grad():
            self._input = delta.detach().requires_grad_()
            self._seen = {name: value.detach().requires_grad_() for name, value in self.parameters.items()}
            self._output = self._network(self._seen, self._input)
        return self._output.detach()

    def backward(self, grad: Tensor) -> Tensor:
        inputs = [self._input, *self._seen.values()]
        to_input, *to_parameters = torch.autograd.grad(self._output, inputs, grad, materialize_grads=True)
        self._grads = dict(zip(self._seen, to_parameters, strict=True))
        del self._output, self._seen  # the activations, which would otherwise stay beside those of the next step
        return to_input

    @torch.no_grad()
    def step(self) -> None:
        for name, value in self.parameters.items():
            gradient = self._grads[name].add_(value, alpha=self.weight_decay)
            value.sub_(self.velocity[name].mul_(self.momentum).add_(gradient), alpha=self.lr)

    def restart(self, rows: Tensor) -> None:
        """The networks of these rows of the batch begin anew, from their first weights."""
        for name, first in self.initial.items():
            self.parameters[name][rows] = first
            self.velocity[name][rows] = 0

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on, in this order."""
        self.parameters = {name: value[rows] for name, value in self.parameters.items()}
        self.velocity = {name: value[rows] for name, value in self.velocity.items()}


class SharedUNet(UNet):
    """One small U-Net for all images of the batch, trained on the mean of their losses.

    **An image's result then depends on its neighbours**, on the size of the batch and on the images' order in the data:
    for comparison only, never chosen unless asked for. It cannot take new images into a running batch.
    """

    def _first(self, batch: int) -> Parameters:  # noqa: ARG002
        return {name: value.clone() for name, value in self.initial.items()}

    def _network(self, parameters: Parameters, delta: Tensor) -> Tensor:
        return unet(parameters, delta) if len(delta) else delta.sum(1)

    def backward(self, grad: Tensor) -> Tensor:
        to_input = super().backward(grad)
        self._grads = {name: value / max(len(grad), 1) for name, value in self._grads.items()}
        return to_input

    def restart(self, rows: Tensor) -> None:  # noqa: ARG002
        raise UserError(
            "a U-Net shared by the batch cannot take new images in while it runs: use encoder_kind='unet', or a batch "
            "that stays as it is"
        )

    def keep(self, rows: Tensor) -> None:
        """The network is that of those who stay."""
