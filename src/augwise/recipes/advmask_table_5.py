"""AdvMask, Table 5: methods that delete, Oxford Flowers, ResNet-50.

    augwise reproduce advmask/table-5 --scale full --data flowers102 flowers102:DIR

Paper: baseline 80.20, Cutout 88.53, GridMask 90.19, AdvMask 91.57 % accuracy. Epochs, size, squares, number of classes
and where the network starts are not printed. Settings: the 102 classes that its reference has, the official training
images at 224 px, padded by 28, from scratch, 300 epochs of SGD in batches of 64 at lr 0.05: gains of eleven points fit
no network that knows ImageNet. α to 5, squares as on CIFAR-100. Hours: full about 2 per run on one current data-centre
GPU, estimated; the maps, by U-Nets, an hour. Wary: with 1 020 training images seeds differ by points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..training.config import TrainConfig
from . import advmask, ipf_rda
from .prepared import Maps
from .recipe import Job, Place, Recipe, Scale

_CONTROL = "control AdvMask"


def settings(scale: Scale) -> TrainConfig:
    """How a network is trained on the flowers."""
    w = scale.words
    train = TrainConfig(
        data="flowers102", size=224, crop_padding=28, model="torchvision:resnet50", epochs=w["epochs"], batch_size=64,
        lr=0.05, eval_last=10,
    )  # fmt: skip
    return replace(train, **w.get("stand_in", {}))


def maps(scale: Scale, estimator: str = "advmask_attack", attack: Mapping[str, float] = advmask.LARGER) -> Maps:
    """Points by an attack on a ResNet-18 of the flowers; attack: how it is set for larger images."""
    found = ipf_rda.maps(scale, estimator, "torchvision:resnet18", batch_size=64, lr=0.05)
    return ipf_rda.of_larger(scale, found, **attack)


def job(scale: Scale, place: Place) -> Job | None:
    """The column's method."""
    return advmask.job_of(scale, settings(scale), place.column, "flowers102", maps(scale))


def _against(row: str, column: str) -> tuple[str, str] | None:
    return None if column == "baseline" else (row, "baseline")


RECIPE = Recipe(
    name="advmask/table-5",
    title="methods that delete, Oxford Flowers",
    source="AdvMask, Table 5",
    tables=("advmask/table-5",),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_columns=(_CONTROL,),
    claim="AdvMask is best, by 11 points over the baseline.",
    wary=("The paper prints neither epochs, size, number of classes nor whether the network knew ImageNet.",),
    scales={
        "full": Scale(
            "Oxford Flowers of 102 classes at 224 px, ResNet-50 from scratch, 300 epochs", "about 2 GPU hours a run", 3,
            words=ipf_rda.FULL,
        ),
        "short": Scale(
            "Oxford Flowers at 224 px, ResNet-50 from scratch, 30 epochs; Cutout, GridMask, AdvMask",
            "about 15 GPU minutes a run", 3, columns=("baseline", "Cutout", "GridMask", "AdvMask", _CONTROL),
            words=ipf_rda.SHORT,
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; Cutout, GridMask, AdvMask", "about 2 minutes on two cores", 2,
            columns=("baseline", "Cutout", "GridMask", "AdvMask", _CONTROL), words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
