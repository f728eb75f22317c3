"""What the tables of AdvMask share: its rows by this project's names, its settings, and where it is silent, this
project's.

Stated (Sections 4.1 and 4.2): training as in IPF-RDA but Shake-Shake's lr 0.01; squares of 2 to 15 pixels on 20 to 40 %
of the picture with overlap 0.1 (CIFAR-100: 5 to 20, 6 to 50 %, 0.2); the share of masked images rises to 80 %; AdvMask
comes after the other method. Silent: the attacked model, its ε and steps. Here: ResNet-18, plainly trained on the same
images, ε 8/255, 100 steps. A control row masks by the points of another image: what it gains too, any squares gain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..training.config import TrainConfig
from . import ipf_rda
from .prepared import Maps
from .recipe import Scale
from .training import Training, training

CIFAR_100 = {"lengths": (5 / 32, 20 / 32), "share": 0.5, "least": 0.12, "overlap": 0.2}
"""Also for other data, by the advice of Section 5.4 (sides up to 65 %, up to half of the picture)."""
_BEFORE: dict[str, tuple[str, dict[str, Any]]] = {
    "Mixup": ("mixup", {"alpha": 1.0}),
    "CutMix": ("cutmix", {"alpha": 1.0, "p": 0.5}),
    "AutoAugment": ("autoaugment", {}),
    "Fast-AutoAugment": ("fastautoaugment", {}),
    "TrivialAugment": ("trivialaugment", {}),
}
OTHERS = tuple(_BEFORE)
LARGER = {"alpha_end": 5.0, "unet_alpha_end": 5.0}
"""Of the attack on Tiny-ImageNet and Oxford Flowers."""


def settings(scale: Scale, data: str, network: str) -> TrainConfig:
    """How a network is trained on one of the CIFARs."""
    changes = {"lr": 0.01} if network.startswith("Shake") else {}
    return ipf_rda.settings(scale, data, network, **changes)


def maps(scale: Scale) -> Maps:
    """The points of AdvMask's own attack."""
    return ipf_rda.maps(scale, "advmask_attack")


def job_of(
    scale: Scale,
    train: TrainConfig,
    row: str,
    data: str,
    shown: Maps | None = None,
    options: Mapping[str, Any] | None = None,
) -> Training:
    """The job of baseline, X, AdvMask, AdvMask-X, KeepX, and of the last three by other images' maps (control).

    shown: maps other than those of `maps`; options: of AdvMask, other than the data's.
    """
    name = row.removeprefix("control ")
    if not name.startswith("AdvMask"):
        if row == "Mixup":
            return training(train, "mixup", windows=())
        return ipf_rda.guarded(scale, train, row, data)
    other = name.removeprefix("AdvMask").removeprefix("-")
    before = [_BEFORE[other]] if other else []
    own = ({} if data == "cifar10" else CIFAR_100) if options is None else options
    found = training(train, "advmask", "plain", shown or maps(scale), before=before, options=own, windows=())
    return found if name == row else replace(found, arm="control")


def against(row: str) -> str | None:
    """What a row is compared with: AdvMask-X with X, its control and all others with the baseline."""
    name = row.removeprefix("control ")
    if name.startswith("AdvMask-"):
        return name.removeprefix("AdvMask-")
    return None if row == "baseline" else "baseline"
