"""The importance map as a tensor type that torchvision's transforms move together with the image."""

from __future__ import annotations

from torchvision import tv_tensors


class ImportanceMap(tv_tensors.Mask):
    """(H, W) or (N, H, W) float32, one non-negative number per pixel: how much the pixel decides the class."""
