"""RISE, SmoothGrad, Grad-CAM, the graded attack, ink the slow way: one image, one mask or copy, one pixel at a time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def rise_mask(cells: Tensor, shift: tuple[int, int], height: int, width: int) -> Tensor:
    """One mask as RISE's section 3.2 has it: enlarge by whole numbers, then cut the image's size out at the shift."""
    rows, columns = cells.shape
    tall, wide = (-(-height // (rows - 1)), -(-width // (columns - 1)))
    large = F.interpolate(cells[None, None].double(), (rows * tall, columns * wide), mode="bilinear")[0, 0]
    return large[shift[0] : shift[0] + height, shift[1] : shift[1] + width]


def rise(score, image: Tensor, masks: list[Tensor], fill: Tensor, probability: float, centred: bool) -> Tensor:
    """score: image (C, H, W) -> float. Returns the map (H, W) float64, not clamped."""
    _, height, width = image.shape
    scores = [score(image * m.to(image) + fill.view(-1, 1, 1) * (1 - m.to(image))) for m in masks]
    result = torch.zeros(height, width).double()
    for y in range(height):
        for x in range(width):
            seen = torch.tensor([float(m[y, x]) for m in masks]).double()
            found = torch.tensor(scores).double()
            if centred:  # the slope of the least-squares line
                seen, found = seen - seen.mean(), found - found.mean()
                result[y, x] = (seen * found).sum() / (seen * seen).sum()
            else:
                result[y, x] = (seen * found).sum() / (probability * len(masks))
    return result


def smoothgrad(score, image: Tensor, generator, copies: int, noise: float, signed: bool) -> Tensor:
    """score: image (C, H, W) -> scalar tensor. Returns the largest channel of the averaged gradient, (H, W)."""
    sigma = noise * (image.max() - image.min())
    total = torch.zeros_like(image)
    for _ in range(copies):
        noisy = (image + sigma * torch.randn(image.shape, generator=generator).to(image)).requires_grad_()
        score(noisy).backward()
        total += noisy.grad if signed else noisy.grad.abs()
    return (total / copies).abs().amax(0)


def grad_cam(score, features: Tensor) -> Tensor:
    """score: feature map (K, h, w) -> scalar tensor. Selvaraju et al.'s Eq. 1 and 2, (h, w)."""
    features = features.detach().requires_grad_()
    score(features).backward()
    _, height, width = features.shape
    result = torch.zeros(height, width).to(features)
    for k, channel in enumerate(features.detach()):
        weight = sum(features.grad[k, y, x] for y in range(height) for x in range(width)) / (height * width)
        result += weight * channel
    return result.clamp_min(0)


def erasing_attack(
    score, image: Tensor, fill: Tensor, rows: int, columns: int, steps: int, nu: float, rate: float, momentum: float
) -> Tensor:
    """score: image (C, H, W) -> scalar tensor. What each cell cost the score on the way, (rows, columns)."""
    logits = torch.full((rows, columns), -2.0).to(image)
    velocity, cost = torch.zeros_like(logits), torch.zeros_like(logits)
    for _ in range(steps):
        mask = (1 / (1 + (-logits).exp())).requires_grad_()
        large = F.interpolate(mask[None, None], image.shape[1:], mode="bilinear")[0, 0]
        score(image * (1 - large) + fill.view(-1, 1, 1) * large).backward()
        cost -= mask.grad
        opened = sum(float(m) > 0.5 for m in mask.detach().flatten()) / mask.numel()
        push = mask.grad / mask.grad.abs().max() + nu * opened
        velocity = momentum * velocity + push * 4 * (mask * (1 - mask)).detach()
        logits = logits - rate * velocity
    return cost / steps


def ink(image: Tensor, background: list[float]) -> Tensor:
    """Root mean square distance of each pixel's colour from the background's, (H, W)."""
    channels, height, width = image.shape
    result = torch.zeros(height, width).to(image)
    for y in range(height):
        for x in range(width):
            result[y, x] = (
                sum((float(image[c, y, x]) - background[c]) ** 2 for c in range(channels)) / channels
            ) ** 0.5
    return result
