"""What the tests of sparse attacks attack: a small network, and a classifier whose answer can be had by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

H, W, K = 7, 5, 4


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    """A small network with batch statistics of its own, easily fooled."""
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2),
        nn.Tanh(),
        nn.Flatten(),
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model.append(nn.Linear(8 * 3 * 2, K))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.6)
        model[1].running_mean.normal_(std=0.2)
        model[1].running_var.uniform_(0.5, 2)
    return model.to(dtype).eval().requires_grad_(False)


def pictures(batch: int, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor, Tensor]:
    """The network, random images with pixels at and near 0 and 1, and what the network takes them for."""
    model, images = network(dtype), torch.rand(batch, 3, H, W, dtype=dtype)
    images[:, :, 0] = 0
    images[:, 1, 1] = 1
    images[:, :, 2, ::2] = 0.99
    images[:, 2, 3] = 0.004
    return model, images, model(images).argmax(1)


class Evidence(nn.Module):
    """Two classes; class 0 by the sum over channels of weighted pixels. The answer can be had by hand."""

    def __init__(self, weights: Tensor, threshold: float) -> None:
        super().__init__()
        self.weights, self.threshold = weights, threshold

    def forward(self, x: Tensor) -> Tensor:
        score = (x * self.weights).sum((1, 2, 3)) - self.threshold
        return torch.stack([score, -score], 1)
