"""Breaking a picture among K images: nested boxes whose areas follow a draw of a Dirichlet distribution (DCutMix).

Pure functions on tensors; nothing here draws numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .. import regions


def stick_breaking_boxes(shares: Tensor, height: int, width: int, position: Tensor) -> Tensor:
    """Boxes in one another, so that about ``shares[k]`` of the picture is left to image k (DCutMix, Eq. 4, 5, Alg. 1).

    Image 0 has the whole picture. Of the box of image k - 1, h by w, the part v = φ_{k-1} / (1 - Σ_{j<k-1} φ_j) stays
    visible, and the box of image k is round(h √(1 - v)) by round(w √(1 - v)), anywhere inside it:

        y_k = y_{k-1} + ⌊u (h_{k-1} - h_k + 1)⌋,  x_k alike, so every place is as likely.

    The paper's Algorithm 1 as repaired: areas are counted in pixels, so sides that round to nothing leave an image, and
    all that would lie in it, without any.

    shares: φ, (N, K), rows sum to 1; position: u in [0, 1), (N, K - 1, 2) for y and x; both where draws are made, on
    the CPU. Returns (N, K - 1, 4) int64 (top, left, bottom, right): the boxes of images 1 ... K - 1.
    """
    # In NumPy: of so few numbers torch's bookkeeping would take most of the time.
    phi, u = shares.detach().double().numpy(), position.detach().double().numpy()
    left_over = np.clip(1 - phi.cumsum(1), 0, 1)  # what images from k + 1 on share
    before = np.concatenate([np.ones_like(left_over[:, :1]), left_over], 1)[:, :-1]
    passed_on = np.where(before > 0, left_over / np.maximum(before, 1e-300), 0.0)
    sides = np.sqrt(np.minimum(passed_on, 1, out=passed_on), out=passed_on)
    boxes = np.empty((len(phi), phi.shape[1] - 1, 2, 2))
    corner, size = np.zeros((len(phi), 2)), np.array([height, width], dtype=np.float64)
    for k in range(phi.shape[1] - 1):  # in whole numbers, which float64 holds exactly
        smaller = np.rint(size * sides[:, k, None])
        corner = corner + np.floor(u[:, k] * (size - smaller + 1))
        size = smaller
        boxes[:, k, 0], boxes[:, k, 1] = corner, corner + size
    return torch.from_numpy(boxes.astype(np.int64).reshape(len(phi), phi.shape[1] - 1, 4))


def visible_areas(boxes: Tensor, height: int, width: int) -> Tensor:
    """(N, K) float64: the share of the pixels that is left to each of K images, of which ``boxes`` (N, K - 1, 4) are
    the nested boxes of all but the first; rows sum to 1."""
    top, left, bottom, right = boxes.unbind(2)
    covered = F.pad((bottom - top) * (right - left), (1, 1))
    covered[:, 0] = height * width
    return (covered[:, :-1] - covered[:, 1:]).double() / (height * width)


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
