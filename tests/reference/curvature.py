"""The Hessian of a small network's loss written out, number by number, by torch's own functional derivatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def explicit_hessian(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """(P, P) of the mean cross-entropy in all parameters, in the order of ``named_parameters``, one row at a time."""
    names, shapes = zip(*((name, p.shape) for name, p in model.named_parameters()), strict=True)
    start = torch.cat([p.detach().flatten() for p in model.parameters()])

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([shape.numel() for shape in shapes])
        state = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(model, state, (images,)), labels)

    vector = start.requires_grad_(True)
    slope = torch.autograd.grad(loss(vector), vector, create_graph=True)[0]
    return torch.stack([torch.autograd.grad(s, vector, retain_graph=True)[0] for s in slope])
