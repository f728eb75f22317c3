"""Sparse attacks as their papers read, one image at a time: an explicit network, torch's SGD, autograd throughout.

CDIEA is IPF-RDA's Algorithm 1; AdvMask's attack is Eq. 1 to 6 of its paper with the start, the schedule and the second
attempt of the code released for it.
"""

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
    sgd: tuple[float, float, float] = (0.01, 0.9, 5e-4),
    last: tuple[float, float, float] = (0.1, 10, 0.99),
    look: Callable[[Tensor, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """Image (C, H, W), the encoder's first weight (H W, C H W) and bias (H W,) -> delta (C, H, W), mask m > 0.5 (H, W).

    Beyond the paper: x + delta is kept in [0, 1], and ``gradient="direct"`` cuts the path through the encoder. sgd: the
    encoder's rate, momentum and weight decay; last: share of the last phase, how much faster alpha rises, until when.
    look: is shown delta and m (1, H, W) of every step.
    """
    _, height, width = image.shape
    encoder = nn.Linear(weight.shape[1], weight.shape[0], dtype=image.dtype, device=image.device)
    with torch.no_grad():
        encoder.weight.copy_(weight)
        encoder.bias.copy_(bias)
    optimizer = torch.optim.SGD(encoder.parameters(), lr=sgd[0], momentum=sgd[1], weight_decay=sgd[2])
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
        alpha += last[1] * alpha_step if t / steps > 1 - last[0] and binary < last[2] else alpha_step
    with torch.no_grad():
        m = torch.sigmoid(alpha * encoder(delta.flatten())).view(height, width)
    return delta, m > 0.5


def advmask(
    model: nn.Module,
    image: Tensor,
    label: int,
    start: Tensor,
    make_encoder: Callable[[], nn.Module],
    *,
    target: int | None = None,
    steps: int = 100,
    dense_steps: int = 80,
    epsilon: float = 8 / 255,
    beta: float = 2 / 255,
    sigma: float = 0.9,
    gamma: float = 10.0,
    constant: float = 1.0,
    leak: float = 0.05,
    alpha_start: float = 0.1,
    alpha_end: float = 100.0,
    sgd: tuple[float, float, float] = (0.01, 0.9, 5e-4),
    last: tuple[float, float, float] = (1 / 6, 10, 0.99),
) -> tuple[Tensor, Tensor, int]:
    """Image and first noise (C, H, W) -> delta (C, H, W), mask (H, W) bool, attempts made; 0 where the dense attack
    already fails. make_encoder: a fresh network (C, H, W) -> (H, W). target: the class to reach; None: away from label.
    sgd, last: as in `cdiea`.
    """

    def ce(x: Tensor) -> Tensor:
        return F.cross_entropy(model(x[None]), torch.tensor([label if target is None else target]))

    def clip(delta: Tensor) -> Tensor:
        return (image + delta.clamp(-epsilon, epsilon)).clamp(0, 1) - image

    def is_fooled(delta: Tensor) -> bool:
        return bool(model((image + delta)[None]).argmax(1) != label)

    delta, g = clip(start), torch.zeros_like(image)
    for _ in range(dense_steps):
        delta.requires_grad_()
        grad = torch.autograd.grad(ce(image + delta) if target is not None else -ce(image + delta), delta)[0]
        g = sigma * g + grad / grad.abs().sum()
        delta = clip(delta.detach() - beta * g.sign())
    dense, ce_init, ce_clean = delta, ce(image + delta).item(), ce(image).item()
    mask = torch.zeros(image.shape[1:], dtype=torch.bool)
    if not is_fooled(dense):
        return torch.zeros_like(image), mask, 0
    attempts = 0
    while attempts < 2:
        attempts += 1
        encoder, delta, g, alpha = make_encoder(), dense, torch.zeros_like(image), alpha_start
        optimizer = torch.optim.SGD(encoder.parameters(), lr=sgd[0], momentum=sgd[1], weight_decay=sgd[2])
        for t in range(steps):
            delta = delta.detach().requires_grad_()
            m = torch.sigmoid(alpha * encoder(delta))
            now = ce(image + delta * m)
            loss = (
                1 - now / ce_init if target is None else (now - ce_init) / max(ce_clean - ce_init, 0.6931471805599453)
            )
            loss = max(loss, leak * loss) + (constant + gamma * (m > 0.5).double().mean()) * m.sum() / m.numel()
            optimizer.zero_grad()
            loss.backward(inputs=[delta, *encoder.parameters()])
            g = sigma * g + delta.grad / delta.grad.abs().sum()
            delta = clip(delta.detach() - beta * g.sign())
            optimizer.step()
            rise, binary = (alpha_end - alpha_start) / steps, ((m < 0.01) | (m > 0.99)).double().mean().item()
            if t < round(steps * (1 - last[0])):
                alpha += rise
            elif binary < last[2]:
                alpha += last[1] * rise
        with torch.no_grad():
            mask = torch.sigmoid(alpha * encoder(delta)) > 0.5
        if is_fooled(delta * mask):
            break
        gamma /= 10
    return delta, mask, attempts
