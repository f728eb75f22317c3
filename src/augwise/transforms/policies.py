"""Whole-image policies inside `Preserve`, one factory each, so that the command line can offer them.

Each returns `Preserve(policy)`: plain without a quantile, guarded with one (IPF-RDA, Alg. 2 (b)). In Python any
transform goes into `Preserve` directly; these add nothing but names and defaults.
"""

from __future__ import annotations

from typing import Literal

from torchvision.transforms import v2

from ..errors import UserError
from .auto_augment import AutoAugment
from .fast_auto_augment import FastAutoAugment
from .preserved import preserved
from .rand_augment import RandAugment
from .trivial_augment import TrivialAugment


@preserved
def trivialaugment() -> TrivialAugment:
    """TrivialAugment: one operation of 14 with a random magnitude for each image (Müller and Hutter 2021)."""
    return TrivialAugment()


@preserved
def randaugment(
    magnitude: int = 9,
    operations: int = 2,
) -> RandAugment:
    """RandAugment: a fixed number of operations at one magnitude (Cubuk et al. 2020).

    magnitude: strength of every operation, 0 to 30.
    operations: how many are applied one after the other.
    """
    if operations < 1:
        raise UserError(f"operations={operations} leaves images as they are: give at least 1")
    return RandAugment(operations, magnitude)


@preserved
def autoaugment(
    policy: Literal["cifar10", "imagenet", "svhn"] = "cifar10",
) -> AutoAugment:
    """AutoAugment: one of 25 published pairs of operations for each image (Cubuk et al. 2019).

    policy: the data set for which the pairs were searched.
    """
    return AutoAugment(policy)


@preserved
def fastautoaugment(
    policy: Literal["cifar10", "imagenet", "svhn"] = "cifar10",
) -> FastAutoAugment:
    """Fast AutoAugment: one of about 500 released pairs of operations for each image (Lim et al. 2019).

    policy: the data set for which the pairs were searched.
    """
    return FastAutoAugment(policy)


@preserved
def colorjitter(strength: float = 0.4) -> v2.ColorJitter:
    """ColorJitter of brightness, contrast and saturation by factors in [1 - strength, 1 + strength].

    strength: largest relative change, 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise UserError(f"strength={strength} is out of range: give the largest relative change, from 0 to 1")
    return v2.ColorJitter(brightness=strength, contrast=strength, saturation=strength)
