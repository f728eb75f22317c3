"""What the tables of IPF-RDA share: its methods and networks by this project's names, its settings, and where it is
silent, this project's.

Stated (Sections IV-A and IV-B): SGD with Nesterov momentum, lr 0.1, cosine, 300 epochs of batches of 128, weight decay
5e-4; Shake-Shake and PyramidNet 1800 of 256, 1e-3; images padded by 2, cropped and flipped; l 16, for CIFAR-100 8; τ
0.6. Silent: the model behind the maps, CDIEA's ε and steps in training, how a method is set. Here: ResNet-18, plainly
trained on the same images, for all columns; ε 8/255 and 100 steps; every method as its own paper has it, CutMix with
Beta(1, 1) for every second image, and of the same size guarded or not, so that a pair differs in the place alone. A
guarded CutMix weighs its labels by importance (Eq. 12), which its plain form does not. AdvMask's squares stand on
CDIEA's points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from ..training.config import TrainConfig
from .prepared import Maps
from .recipe import Scale
from .training import Arm, Training, training

METHODS = {
    "Cutout": "cutout",
    "CutMix": "cutmix",
    "AutoAugment": "autoaugment",
    "RandAugment": "randaugment",
    "Fast-AutoAugment": "fastautoaugment",
    "GridMask": "gridmask",
    "HaS": "hideandseek",
    "Random Erasing": "randomerasing",
    "AdvMask": "advmask",
    "TrivialAugment": "trivialaugment",
}
NETWORKS = {
    "ResNet-18": "resnet18",
    "ResNet-44": "resnet44",
    "ResNet-50": "resnet50",
    "ResNet-110": "resnet110",
    "WRN-28-10": "wrn28_10",
    "WRN-16-8": "wrn16_8",
    "Shake-Shake 26 2x32d": "shake26_2x32d",
    "Shake-Shake 26 2x96d": "shake26_2x96d",
    "PyramidNet+ShakeDrop": "pyramidnet272_a200",
    "PreActResNet-18": "preact_resnet18",
    "ResNeXt-29-4-24": "resnext29_4x24d",
}
DATA = {"CIFAR-10": "cifar10", "CIFAR-100": "cifar100", "Tiny-ImageNet": "tiny-imagenet"}
LENGTHS = {"cifar10": 16, "cifar100": 8, "tiny-imagenet": 16, "flowers102": 0.5, "market1501": 0.5, "cuhk03": 0.5}
"""l in pixels; of photographs, for which the paper has none, half of the shorter side, as of CIFAR-10."""

_LONG = ("shake26_2x32d", "shake26_2x96d", "pyramidnet272_a200")
_OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("advmask", "cifar100"): {"lengths": (5 / 32, 20 / 32), "share": 0.5, "least": 0.12, "overlap": 0.2},
    ("autoaugment", "tiny-imagenet"): {"policy": "imagenet"},
    ("fastautoaugment", "tiny-imagenet"): {"policy": "imagenet"},
}
"""By method and data: AdvMask's own for CIFAR-100 (its Section 4.2)."""

LARGER = {"alpha_end": 10.0, "nu": 100.0}
"""Of CDIEA on Tiny-ImageNet (Section IV-A, which calls ν γ)."""
FULL: dict[str, Any] = {"epochs": 300, "long": 1800, "base_epochs": 300, "epsilon": 8 / 255, "attack_steps": 100}
SHORT: dict[str, Any] = {**FULL, "epochs": 30, "long": 30, "base_epochs": 30}
TINY: dict[str, Any] = {
    "epochs": 20, "long": 20, "base_epochs": 20, "epsilon": 32 / 255, "attack_steps": 40, "shrink": 2,
    "stand_in": {
        "data": "digits", "model": "small_cnn", "size": 16, "limit": 300, "batch_size": 25, "lr": 0.05,
        "crop_padding": 1, "weight_decay": None, "eval_last": 1,
    },
}  # fmt: skip
"""Words of the scales; shrink: by how much shorter regions are, as the images are smaller."""
DIGITS = "300 handwritten digits at 16 px for the data, the small CNN for the network, 20 epochs, regions half as long"


class Way(NamedTuple):
    """A row: a method in an arm, and whether the maps are those of the model in training."""

    method: str
    arm: Arm
    live: bool = False


def way(row: str) -> Way:
    """What the name of a row says: X, IPF-X, KeepX, control X and control KeepX."""
    arm: Arm = "control" if row.startswith("control ") else "plain"
    name = row.removeprefix("control ")
    live = name.startswith("Keep")
    if arm == "plain" and (live or name.startswith("IPF-")):
        arm = "guarded"
    return Way(name.removeprefix("Keep").removeprefix("IPF-"), arm, live)


def controls(*methods: str) -> tuple[str, ...]:
    """This project's own rows: another image's map."""
    return tuple(f"control {method}" for method in methods)


def arms(*methods: str) -> tuple[str, ...]:
    """The three rows of each method."""
    return tuple(row for method in methods for row in (method, f"IPF-{method}", f"control {method}"))


def against(row: str, column: str) -> tuple[str, str] | None:
    """Guarded and control rows against the plain one, that against the baseline."""
    if row == "baseline":
        return None
    method, arm, _ = way(row)
    return ("baseline" if arm == "plain" else method), column


def against_plain(row: str, column: str) -> tuple[str, str] | None:
    """Of tables without baseline."""
    method, arm, _ = way(row)
    return None if arm == "plain" else (method, column)


def settings(scale: Scale, data: str, network: str, **changes: Any) -> TrainConfig:
    """How a network is trained on one of the CIFARs; changes: where a table differs."""
    w, model = scale.words, NETWORKS[network]
    train = TrainConfig(data=data, model=model, epochs=w["epochs"], batch_size=128, crop_padding=2, eval_last=10)
    if model in _LONG:
        train = replace(train, epochs=w["long"], batch_size=256, weight_decay=1e-3)
    return replace(train, **(changes | w.get("stand_in", {})))


def length(scale: Scale, data: str) -> int | float:
    """l for the scale's images."""
    found = LENGTHS[data]
    return found // scale.words.get("shrink", 1) if isinstance(found, int) else found


def maps(scale: Scale, estimator: str = "cdiea", model: str = "resnet18", **more: Any) -> Maps:
    """Maps whose base model is the same whatever network they guide; more: of the base model's training."""
    w = scale.words
    options: tuple[tuple[str, Any], ...] = ()
    if estimator in ("cdiea", "advmask_attack"):
        options = (("epsilon", w["epsilon"]), ("steps", w["attack_steps"]))
    base = {
        "model": model, "epochs": w["base_epochs"], "batch_size": 128, "lr": None, "weight_decay": None,
        "schedule": "cosine", "milestones": (), "gamma": 0.2, "eval_last": 1,
    } | more  # fmt: skip
    base |= {name: value for name, value in w.get("stand_in", {}).items() if name in base}
    return Maps(estimator, options, base=tuple(sorted(base.items())))


def of_larger(scale: Scale, found: Maps, **attack: float) -> Maps:
    """The same by the attack that the papers set for images larger than CIFAR's; not where digits stand in for them."""
    if "stand_in" in scale.words:
        return found
    return replace(found, options=(*found.options, *sorted(attack.items())))


def guarded(
    scale: Scale, train: TrainConfig, row: str, data: str, shown: Maps | None = None, **comparison: Any
) -> Training:
    """The job of a row: baseline, or a method in its arm; shown: maps other than CDIEA's of `maps`."""
    if row == "baseline":
        return training(train, also=comparison.get("also", ()))
    label, arm, live = way(row)
    method = METHODS[label]
    found = Maps("live") if live else shown or maps(scale)
    given: Mapping[str, Any] = {"windows": (), "length": length(scale, data)} | comparison
    options = _OPTIONS.get((method, data), {})
    if method == "cutmix":
        given, options = {**given, "values": (("cutmix", "alpha", 1.0),)}, {"p": 0.5}
    return training(train, method, arm, found, options=options, **given)
