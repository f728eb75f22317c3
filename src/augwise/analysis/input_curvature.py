"""Gradient and curvature of a classifier's loss in its input, exact for networks of ReLUs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


def input_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """∂ L(x, y) / ∂x of the cross-entropy in nats, image by image: (N, C, H, W).

    model: in eval mode, so that images do not depend on each other; images: (N, C, H, W) float; labels: (N,) int64.
    """
    with torch.enable_grad():
        given = images.detach().requires_grad_(True)
        loss = nn.functional.cross_entropy(model(given), labels, reduction="sum")
        return torch.autograd.grad(loss, given)[0]


def widened(values: Tensor) -> Tensor:
    """In float64, on the CPU where the device has none."""
    return (values.cpu() if values.device.type == "mps" else values).double()


@dataclass(frozen=True)
class InputCurvature:
    """The Hessian of the loss in the image, H = Mᵀ M, of every image of a batch.

    roots: M, (N, K, D): M_k = √p_k (J_k − Σ_j p_j J_j), with J_k = ∂ logit_k / ∂x and p the softmax; D = C·H·W.
    values: (N, K) eigenvalues of H that need not be 0, ascending, float64; turned: (N, K, K) float64, column i of it
    times M is the eigenvector of value i, times √value.

    Of a network of linear pieces (ReLU, max-pooling, linear and normalisation layers) this is the Hessian of the piece
    that the image lies in. Of others it is its Gauss-Newton part: how the logits themselves bend is left out.
    """

    roots: Tensor
    values: Tensor
    turned: Tensor

    def times(self, vectors: Tensor) -> Tensor:
        """H v: vectors (N, C, H, W), returned likewise."""
        flat = vectors.flatten(1).to(self.roots)
        inner = torch.einsum("nkd,nd->nk", self.roots, flat)
        return torch.einsum("nkd,nk->nd", self.roots, inner).view(vectors.shape)

    def bound(self, gradients: Tensor, epsilon: float) -> Tensor:
        """Σ_i |e^{ελ_i} − 1| · |gᵀ v_i| · ‖v_i‖, the right side of IPF-RDA's Eq. 4, with ‖v_i‖ = 1: (N,) float64.

        gradients: (N, C, H, W), g of each image; epsilon: as printed, the bound of the perturbation. What is too
        large for a float64 is infinite.
        """
        inner = torch.einsum("nkd,nd->nk", self.roots, gradients.flatten(1).to(self.roots))
        along = torch.einsum("nk,nki->ni", widened(inner), self.turned).abs()  # |gᵀ v_i| · √λ_i
        top = self.values.amax(1, keepdim=True)
        some = self.values > 1e-12 * top
        grown = (
            torch.expm1(epsilon * self.values.clamp_min(0)) / self.values.clamp_min(torch.finfo(top.dtype).tiny).sqrt()
        )
        # An infinite growth of nothing is nothing.
        return torch.where(some & (along > 0), grown * along, 0.0).sum(1)


def input_curvature(model: nn.Module, images: Tensor) -> InputCurvature:
    """One forward pass, and one pass back for each of the K classes. Labels do not matter: the loss is log Σ exp of the
    logits minus the label's own, which is linear in them. Arguments as for `input_gradient`."""
    with torch.enable_grad():
        given = images.detach().requires_grad_(True)
        logits = model(given)
        classes = logits.shape[1]
        rows = [
            torch.autograd.grad(logits[:, k].sum(), given, retain_graph=k < classes - 1)[0].flatten(1)
            for k in range(classes)
        ]
    jacobian, p = torch.stack(rows, 1), logits.detach().softmax(1)
    mean = torch.einsum("nk,nkd->nd", p, jacobian)
    roots = p.sqrt()[:, :, None] * (jacobian - mean[:, None])
    wide = widened(roots)
    values, turned = torch.linalg.eigh(wide @ wide.mT)
    return InputCurvature(roots, values, turned)
