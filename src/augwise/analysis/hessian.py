"""Hessian times vector of a classifier's loss, exact and in bounded memory. Changes nothing of the model.

The Hessian itself has as many rows as there are weights; its product with a vector costs about seven forward passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from ..errors import UserError
from .directions import flat, shaped

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]
"""Gives (images, labels) batch by batch, the same ones at every call."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of (outputs, labels): the sum over the images."""


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Summed cross-entropy in nats."""
    return nn.functional.cross_entropy(logits, labels, reduction="sum")


@final
class HessianVector:
    """v ↦ H v, with H = ∂²L/∂θ² of the mean loss L over all images, by double backward (Pearlmutter 1994):

        H v = ∇_θ (∇_θ L · v)

    Batch by batch, so that memory is that of one batch, in the precision of the weights. The model must be in eval
    mode: batch statistics would make images depend on each other.

    batches: see `Batches`; loss: see `Loss`. v and H v: (P,) vectors of all parameters, see `directions.flat`.
    """

    def __init__(self, model: nn.Module, batches: Batches, loss: Loss = cross_entropy) -> None:
        if any(module.training for module in model.modules()):
            raise UserError("the model is in training mode, where its loss is no function of the weights: model.eval()")
        self.model, self.batches, self.loss = model, batches, loss
        self.parameters = list(model.parameters())
        self.size = sum(parameter.numel() for parameter in self.parameters)
        self.products = 0

    def __call__(self, vector: Tensor) -> Tensor:
        pieces, total, count = shaped(vector, self.parameters), torch.zeros_like(vector), 0
        with _differentiable(self.parameters), exact():
            for images, labels in self.batches():
                slope = self._gradient(images, labels, graph=True)
                along = sum((g * p).sum() for g, p in zip(slope, pieces, strict=True))
                count += len(labels)
                if isinstance(along, Tensor) and along.requires_grad:
                    total += flat(self._derived(along))
        self.products += 1
        return total / count

    def gradient(self) -> Tensor:
        """∇_θ L, (P,): nearly zero where the weights lie at the bottom of this loss."""
        total, count = torch.zeros(self.size, device=self.parameters[0].device, dtype=self.parameters[0].dtype), 0
        with _differentiable(self.parameters), exact():
            for images, labels in self.batches():
                total += flat(self._gradient(images, labels, graph=False))
                count += len(labels)
        return total / count

    def _gradient(self, images: Tensor, labels: Tensor, graph: bool) -> tuple[Tensor, ...]:
        return self._derived(self.loss(self.model(images), labels), create_graph=graph)

    def _derived(self, value: Tensor, create_graph: bool = False) -> tuple[Tensor, ...]:
        return torch.autograd.grad(value, self.parameters, create_graph=create_graph, materialize_grads=True)


@contextmanager
def _differentiable(parameters: list[nn.Parameter]) -> Iterator[None]:
    """Inside, derivatives by the parameters can be taken, also of a frozen model."""
    before = [parameter.requires_grad for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for parameter, wanted in zip(parameters, before, strict=True):
            parameter.requires_grad_(wanted)


@contextmanager
def exact() -> Iterator[None]:
    """Inside, float32 is float32 on a GPU too (no TF32), and attention is computed in the way that can be derived
    twice."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
