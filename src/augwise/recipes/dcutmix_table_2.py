"""DCutMix, Table 2: recent mixers on CIFAR-100, error and time, PreActResNet-18, WRN-16-8, ResNeXt-29-4-24.

    augwise reproduce dcutmix/table-2 --scale short --rows PreActResNet-18 --data cifar100 npz:cifar100.npz

Paper: DCutMix is below PuzzleMix with all three networks, Co-Mixup below DCutMix with two, at many times the time. K
and α are not stated: 3 and 1/3. Hours: full about 3 per run on one current data-centre GPU, Co-Mixup and PuzzleMix
twice that (this project's solve their masks in batch on the device; the paper's ratio of time, 29 for Co-Mixup, is of
their programs). Wary: PuzzleMix and Co-Mixup values are those of IPF-RDA's Table VII; whether they were run again is
not stated. StyleCutMix needs a trained decoder and stands as published.
"""

from __future__ import annotations

from dataclasses import replace

from .dcutmix import DIGITS, cifar, mixed, shorter
from .measuring import Overhead
from .recipe import Job, Place, Recipe, Scale
from .training import Maps, Training

_NETWORKS = {"PreActResNet-18": "preact_resnet18", "WRN-16-8": "wrn16_8", "ResNeXt-29-4-24": "resnext29_4x24d"}
_TIME = "dcutmix/table-2-time"
_LIVE = {"PuzzleMix": "puzzlemix", "Co-Mixup": "comixup"}


def job(scale: Scale, place: Place) -> Job | None:
    """The column's mixer with the row's network; of the table of times a few epochs, beside as many of the baseline,
    which is timed against itself as well."""
    if place.table == _TIME:
        found, plain = _training(scale, place), _training(scale, place._replace(column="baseline"))
        if found is None or plain is None:
            return None
        short, than = (replace(t, train=shorter(t.train, scale.words["timed"])) for t in (found, plain))
        return Overhead(short, than)
    return _training(scale, place)


def _training(scale: Scale, place: Place) -> Training | None:
    train = cifar("cifar100", _NETWORKS[place.row], scale.words)
    if place.column == "baseline":
        return Training(train)
    if place.column in ("Mixup", "CutMix"):
        return mixed(train, place.column.lower(), (("alpha", 1.0),))
    if place.column in ("DMixup", "DCutMix"):
        return mixed(train, place.column.lower(), (("alpha", 1 / 3), ("k", 3)))
    if place.column in _LIVE:
        return Training(train, ((_LIVE[place.column], ()),), maps=Maps("live"))
    return None


def _against(row: str, column: str) -> tuple[str, str] | None:
    return None if column == "baseline" else (row, "baseline")


RECIPE = Recipe(
    name="dcutmix/table-2",
    title="recent mixers on CIFAR-100",
    source="DCutMix, Table 2",
    tables=("dcutmix/table-2", _TIME),
    job=job,
    hardware="one current data-centre GPU",
    measured=lambda place: "ratio" if place.table == _TIME else "accuracy",
    against=_against,
    claim="DCutMix is below PuzzleMix with every network, and close to Co-Mixup in a fraction of its time.",
    wary=(
        "K and α of DMixup and DCutMix are not stated for this table: 3 and 1/3.",
        "The paper’s times are of other programs; here of this machine and of what ran beside: give --jobs 1 for them.",
    ),
    scales={
        "full": Scale("CIFAR-100, three networks, 300 epochs", "about 3 GPU hours a run", 3, words={"timed": 6}),
        "short": Scale(
            "CIFAR-100, PreActResNet-18, 40 epochs",
            "about 25 GPU minutes a run",
            3,
            rows=("PreActResNet-18",),
            words={"epochs": 40, "timed": 4},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 300 of them, for CIFAR-100, the small CNN for PreActResNet-18, 20 epochs",
            "about 4 minutes on two cores",
            2,
            rows=("PreActResNet-18",),
            words={"stand_in": DIGITS, "timed": 4},
        ),
    },
)
