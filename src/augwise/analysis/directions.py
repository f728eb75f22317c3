"""Ways to walk away from a classifier's weights, and back again bit for bit. Changes weights only inside `moving`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .. import randomness

Direction = list[Tensor]
"""One tensor for each parameter of a model, in the order of ``named_parameters``."""

Place = Callable[[Sequence[Direction], Sequence[float]], None]


def gaussian(model: nn.Module, *key: int | str) -> Direction:
    """N(0, 1) for every weight, drawn on the CPU by the key and the parameter's name.

    Two models of one architecture get the same numbers, wherever they are: what differs between them is not the draw.
    """
    drawn = []
    for name, parameter in model.named_parameters():
        numbers = torch.randn(parameter.shape, generator=randomness.generator(*key, name))
        drawn.append(numbers.to(parameter.device, parameter.dtype))
    return drawn


def filter_normalised(direction: Direction, weights: Sequence[Tensor]) -> Direction:
    """d ← d / ‖d‖ · ‖θ‖ for every filter (Li et al. 2018, section 4): steps are then in units of the filter's own norm.

    A filter is what feeds one output: ``weight[i]`` of a convolution or linear layer. Parameters of one dimension
    (biases, scale and shift of a normalisation) stay where they are, as in the paper's own pictures: their direction
    is 0. So a network whose filters are scaled, which ReLU and normalisation undo, has the same landscape.
    """
    return [
        _scaled(d, w.detach()) if w.ndim > 1 else torch.zeros_like(d) for d, w in zip(direction, weights, strict=True)
    ]


def filter_norms(weight: Tensor) -> Tensor:
    """The norm of each filter of a weight, of shape (filters, 1, ...)."""
    return weight.flatten(1).norm(dim=1).view(-1, *[1] * (weight.ndim - 1))


def _scaled(direction: Tensor, weight: Tensor) -> Tensor:
    norms = filter_norms(direction)
    return direction * torch.where(norms > 0, filter_norms(weight) / norms.clamp_min(1e-30), 0.0)


def flat(direction: Sequence[Tensor]) -> Tensor:
    """All of it as one vector."""
    return torch.cat([part.reshape(-1) for part in direction])


def shaped(vector: Tensor, weights: Sequence[Tensor]) -> Direction:
    """The vector cut into tensors of the weights' shapes: `flat` undone."""
    parts = vector.split([w.numel() for w in weights])
    return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]


@contextmanager
def moving(model: nn.Module) -> Iterator[Place]:
    """Inside the block ``place(directions, steps)`` puts the weights to θ + Σₖ stepₖ · directionₖ, always from where
    they were at the beginning; after it they are as before, bit for bit. Buffers (running statistics) never move."""
    parameters = list(model.parameters())
    start = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def place(directions: Sequence[Direction], steps: Sequence[float]) -> None:
        for i, parameter in enumerate(parameters):
            parameter.copy_(start[i])
            for direction, step in zip(directions, steps, strict=True):
                if step:
                    parameter.add_(direction[i], alpha=step)

    try:
        yield place
    finally:
        place([], [])
