"""Selection one image, one mix and one pixel at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from augwise.selection.variation import draw_mixes


def mixed_loss(model: nn.Module, images: Tensor, labels: list[int], mixer: str, row: int, m: int, **how) -> tuple:
    """Loss and output of one mix of one row; images: (N, C, H, W) uint8."""
    draw = draw_mixes(row, len(images), **how)
    rows, shares = [row, *draw.partners[m].tolist()], draw.shares[m].tolist()
    _, channels, height, width = images.shape
    picture = torch.zeros(channels, height, width)
    weights = [0.0] * len(rows)
    if mixer == "dmixup":
        weights = shares
        for k, share in enumerate(shares):
            picture += share * images[rows[k]].float() / 255
    else:
        boxes = [(0, 0, height, width)]
        left = 1.0
        for k in range(len(rows) - 1):
            v = shares[k] / left if left > 0 else 1.0
            left -= shares[k]
            top, at, h, w = boxes[-1]
            # Python rounds halves to even, as torch does
            smaller = round(h * math.sqrt(max(0.0, 1 - v))), round(w * math.sqrt(max(0.0, 1 - v)))
            u = draw.position[m, k].tolist()
            boxes.append((top + int(u[0] * (h - smaller[0] + 1)), at + int(u[1] * (w - smaller[1] + 1)), *smaller))
        for y in range(height):
            for x in range(width):
                inside = [k for k, (top, at, h, w) in enumerate(boxes) if top <= y < top + h and at <= x < at + w]
                picture[:, y, x] = images[rows[inside[-1]], :, y, x].float() / 255
                weights[inside[-1]] += 1 / (height * width)
    output = model(picture[None])[0].softmax(0)
    loss = -sum(weights[k] * math.log(output[labels[rows[k]]].item()) for k in range(len(rows)))
    return loss, output.detach().numpy()


def greedy_centres(points: np.ndarray, count: int) -> list[int]:
    """The farthest point from all that were taken, again and again, by looking at every pair."""
    middle = points.mean(0)
    taken = [min(range(len(points)), key=lambda i: (math.dist(points[i], middle), i))]
    while len(taken) < count:
        left = [i for i in range(len(points)) if i not in taken]
        taken.append(max(left, key=lambda i: (min(math.dist(points[i], points[j]) for j in taken), -i)))
    return taken
