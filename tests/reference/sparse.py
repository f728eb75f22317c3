"""CDIEA as IPF-RDA's Algorithm 1 reads, one image at a time: an explicit layer, torch's SGD, autograd throughout."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def cdiea(
    model: nn.Module,
    image: Tensor,
    target: int,
    weight: Tensor,
    bias: Tensor,
    *,
    steps: int = 100,
    epsilon: float = 8 / 255,
    beta: float = 2 / 255,
    sigma: float = 0.9,
    nu: float = 10.0,
    alpha_start: float = 0.1,
    alpha_end: float = 100.0,
    gradient: str = "full",
    look: Callable[[Tensor, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Image (C, H, W), the encoder's first weight (H W, C H W) and bias (H W,) -> delta (C, H, W), mask m > 0.5 (H, W).

    Beyond the paper: x + delta is kept in [0, 1], and ``gradient="direct"`` cuts the path through the encoder.
    look: is shown delta and m (1, H, W) of every step.
    """
    _, height, width = image.shape
    encoder = nn.Linear(weight.shape[1], weight.shape[0], dtype=image.dtype, device=image.device)
    with torch.no_grad():
        encoder.weight.copy_(weight)
        encoder.bias.copy_(bias)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    delta, g, alpha = torch.zeros_like(image), torch.zeros_like(image), alpha_start
    alpha_step = (alpha_end - alpha_start) / steps
    for t in range(steps):
        delta.requires_grad_()
        seen = delta if gradient == "full" else delta.detach()
        m = torch.sigmoid(alpha * encoder(seen.flatten())).view(1, height, width)
        if look is not None:
            look(delta.detach(), m.detach())
        mu = nu * (m > 0.5).double().mean().item()
        logits = model((image + delta * m)[None])
        loss = F.cross_entropy(logits, torch.tensor([target], device=image.device)) + mu * m.abs().sum() / m.numel()
        optimizer.zero_grad()
        loss.backward(inputs=[delta, *encoder.parameters()])
        g = sigma * g + delta.grad / delta.grad.abs().sum()
        delta = (delta.detach() - beta * g.sign()).clamp(-epsilon, epsilon)
        delta = (image + delta).clamp(0, 1) - image
        optimizer.step()
        binary = ((m < 0.01).double().mean() + (m > 0.99).double().mean()).item()
        alpha += 10 * alpha_step if t / steps > 0.9 and binary < 0.99 else alpha_step
    with torch.no_grad():
        m = torch.sigmoid(alpha * encoder(delta.flatten())).view(height, width)
    return delta, m > 0.5
