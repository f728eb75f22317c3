"""Choosing training images: how uncertain each is under mixing, measures to compare with, and which to keep."""

from .choose import choose
from .el2n import el2n, error_norms
from .forgetting import forgetting_counts
from .k_center import k_center, k_center_order
from .mc_dropout import mc_dropout
from .mean import mean_loss
from .random import random_scores
from .select import select
from .std import loss_std
from .variation import Variation, coefficient_of_variation, mix_anchors, mixed_losses

__all__ = [
    "Variation",
    "choose",
    "coefficient_of_variation",
    "el2n",
    "error_norms",
    "forgetting_counts",
    "k_center",
    "k_center_order",
    "loss_std",
    "mc_dropout",
    "mean_loss",
    "mix_anchors",
    "mixed_losses",
    "random_scores",
    "select",
]
