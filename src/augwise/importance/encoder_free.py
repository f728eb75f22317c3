"""The sparse attack without an encoder: what the network between perturbation and mask is worth, as an ablation.

Touches nothing but tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .encoders import Encoder


class FreeLogits(Encoder):
    """No network: one free number per pixel is the mask's logit, F(delta) = theta, trained by the same SGD.

    It begins at 0, a mask of one half everywhere, and knows nothing of the perturbation, which therefore receives no
    gradient through it. shape: (B, C, H, W) of the perturbations.
    """

    def __init__(
        self,
        shape: torch.Size,
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.lr, self.momentum, self.weight_decay, self.channels = lr, momentum, weight_decay, shape[1]
        self.theta = torch.zeros(shape[0], *shape[2:], dtype=dtype, device=device)
        self.velocity = torch.zeros_like(self.theta)

    def forward(self, delta: Tensor) -> Tensor:  # noqa: ARG002
        return self.theta.clone()

    def backward(self, grad: Tensor) -> Tensor:
        self._grad = grad
        return torch.zeros_like(grad)[:, None].expand(-1, self.channels, -1, -1)

    def step(self) -> None:
        self.velocity.mul_(self.momentum).add_(self._grad).add_(self.theta, alpha=self.weight_decay)
        self.theta.sub_(self.velocity, alpha=self.lr)

    def restart(self, rows: Tensor) -> None:
        """The logits of these rows of the batch begin anew, at 0."""
        self.theta[rows] = 0
        self.velocity[rows] = 0

    def keep(self, rows: Tensor) -> None:
        """Only these rows go on, in this order."""
        self.theta, self.velocity = self.theta[rows], self.velocity[rows]
