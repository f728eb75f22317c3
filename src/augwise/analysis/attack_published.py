"""Table 6 of Yang et al. 2023 (AdvMask): sparse attacks on CIFAR-10, as printed, for comparison beside one's own.

The network, the number of images and the steps are not stated; the caption says targeted, the objective is untargeted;
ℓ0 counts entries (its PGD row exceeds 1 024, the pixels of an image).
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """success: share in [0, 1]; entries: mean ℓ0; l2, linf: means."""

    success: float
    entries: float
    l2: float
    linf: float


ADVMASK_TABLE_6: dict[tuple[str, int], Published] = {
    ("JSMA", 8): Published(0.789, 440.8, 0.611, 0.031),
    ("PGD-ℓ0+ℓ∞", 8): Published(0.739, 1199.7, 1.078, 0.031),
    ("GreedyFool", 8): Published(1.0, 468.2, 0.547, 0.031),
    ("C&W-ℓ0", 8): Published(1.0, 326.6, 0.542, 0.068),
    ("SAPF", 8): Published(1.0, 321.8, 0.523, 0.085),
    ("AdvMask", 8): Published(1.0, 320.1, 0.532, 0.031),
    ("JSMA", 16): Published(0.973, 247.7, 0.896, 0.063),
    ("PGD-ℓ0+ℓ∞", 16): Published(0.728, 498.0, 1.390, 0.063),
    ("GreedyFool", 16): Published(1.0, 238.3, 0.707, 0.063),
    ("C&W-ℓ0", 16): Published(1.0, 136.7, 0.691, 0.118),
    ("SAPF", 16): Published(1.0, 133.7, 0.718, 0.159),
    ("AdvMask", 16): Published(1.0, 131.3, 0.689, 0.063),
}
"""By (attack, 255 · epsilon)."""

IPF_RDA_TABLE_9_PIXELS = 164.1
"""CDIEA at 8/255 on CIFAR-10, in pixels (IPF-RDA, Table IX); success 100 %."""
