"""Breaking a picture among K images: nested boxes whose areas follow a draw of a Dirichlet distribution (DCutMix).

Pure functions on tensors; nothing here draws numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .. import regions


def stick_breaking_boxes(shares: Tensor, height: int, width: int, position: Tensor) -> Tensor:
    """Boxes in one another, so that about ``shares[k]`` of the picture is left to image k (DCutMix, Eq. 4, 5, Alg. 1).

    Image 0 has the whole picture. Of the box of image k - 1, h by w, the part v = φ_{k-1} / (1 - Σ_{j<k-1} φ_j) stays
    visible, and the box of image k is round(h √(1 - v)) by round(w √(1 - v)), anywhere inside it:

        y_k = y_{k-1} + ⌊u (h_{k-1} - h_k + 1)⌋,  x_k alike, so every place is as likely.

    The paper's Algorithm 1 as repaired: areas are counted in pixels, so sides that round to nothing leave an image, and
    all that would lie in it, without any.

    shares: φ, (N, K), rows sum to 1; position: u in [0, 1), (N, K - 1, 2) for y and x.
    Returns (N, K - 1, 4) int64 (top, left, bottom, right): the boxes of images 1 ... K - 1.
    """
    shares = shares.double()
    left_over = (1 - shares.cumsum(1)).clamp(0, 1)  # what images from k + 1 on share
    before = torch.cat([torch.ones_like(left_over[:, :1]), left_over], 1)[:, :-1]
    passed_on = torch.where(before > 0, left_over / before.clamp_min(1e-300), 0.0).clamp(max=1).sqrt()
    corner = torch.zeros(len(shares), 2, dtype=torch.float64, device=shares.device)
    size = torch.tensor([height, width], dtype=torch.float64, device=shares.device)
    boxes = []
    for k in range(shares.shape[1] - 1):  # in whole numbers, which float64 holds exactly
        smaller = (size * passed_on[:, k, None]).round_()
        corner = (size - smaller).add_(1).mul_(position[:, k]).floor_().add_(corner)
        size = smaller
        boxes += [corner, corner + size]
    if not boxes:
        return torch.empty(len(shares), 0, 4, dtype=torch.int64, device=shares.device)
    return torch.cat(boxes, 1).long().view(len(shares), shares.shape[1] - 1, 4)


def visible_areas(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, K) float64: the share of the pixels that is left to each of K images, of which ``boxes`` (N, K - 1, 4) are
    the nested boxes of all but the first; rows sum to 1."""
    sizes = (boxes[..., 2:] - boxes[..., :2]).prod(2).double() / (height * width)
    edge = torch.ones_like(sizes[:, :1]) if sizes.shape[1] else sizes.new_ones(len(sizes), 1)
    covered = torch.cat([edge, sizes, torch.zeros_like(edge)], 1)
    return covered[:, :-1] - covered[:, 1:]


def layers(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, H, W) int64: which of the K images each pixel shows."""
    result = torch.zeros(len(boxes), height, width, dtype=torch.int64, device=boxes.device)
    for k in range(boxes.shape[1]):
        result += regions.box_mask(boxes[:, k], height, width)
    return result


def paste_nested(images: Tensor, rows: Tensor, boxes: Tensor, corners: Tensor | None = None) -> Tensor:
    """One picture of K images each: image ``rows[:, 0]`` with the nested boxes filled from ``rows[:, 1:]``.

    images: (N, C, H, W), or maps (N, H, W); rows: (N, K) int64, of which the first column must be 0 ... N - 1; boxes:
    (N, K - 1, 4); corners: (N, K - 1, 2) top and left of the part of the other image, by default the same place.
    Returns a new tensor: the images that are pasted are the originals, so this cannot be done in place.
    """
    images = images.as_subclass(Tensor)
    if not boxes.shape[1]:
        return images.clone()
    result = images
    for k in range(boxes.shape[1]):
        corner = None if corners is None else corners[:, k]
        result = regions.paste_boxes(
            result, images, boxes[:, k], source_corner=corner, inplace=k > 0, source_rows=rows[:, k + 1]
        )
    return result
