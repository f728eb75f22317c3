"""IPF-RDA, Table II: ten methods with and without the guard, Tiny-ImageNet at 64 px, ImageNet's weights fine-tuned.

    augwise reproduce ipf-rda/table-2 --scale full --columns ResNet-18 --data tiny-imagenet tiny-imagenet:DIR

Paper: Cutout on ResNet-18 31.73 → 28.94 % error; the guard helps in all 70 pairs. Three seeds, no deviations. Settings,
not printed: 30 epochs of SGD at lr 0.01, cosine, batches of 128, wd 5e-4, padded by 4, torchvision's weights (the
network is needed once), maps of a ResNet-18 fine-tuned likewise, α to 10, ν 100 (printed as γ). Measured on the
validation images. Hours: full 0.5 (ResNet-18) to 6 (ResNeXt-101) per run on one current data-centre GPU, estimated.
Wary: with pretrained weights these numbers say nothing of training from scratch; 17 cells are worse than the baseline,
14 of them DenseNet-201's; no cell agrees with AdvMask's Table 4 of the same data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..training.config import TrainConfig
from . import ipf_rda
from .prepared import Maps
from .recipe import Job, Place, Recipe, Scale

_DATA = "tiny-imagenet"
_NETWORKS = {
    "ResNet-18": "torchvision:resnet18",
    "ResNet-50": "torchvision:resnet50",
    "WRN-50-2": "torchvision:wide_resnet50_2",
    "DenseNet-121": "torchvision:densenet121",
    "DenseNet-201": "torchvision:densenet201",
    "ResNeXt-50": "torchvision:resnext50_32x4d",
    "ResNeXt-101": "torchvision:resnext101_32x8d",
}
TINY: dict[str, Any] = {
    **ipf_rda.TINY,
    "stand_in": {**ipf_rda.TINY["stand_in"], "eval_split": "test", "pretrained": False},
}


def settings(scale: Scale, network: str) -> TrainConfig:
    """How a network, as the columns call it, is fine-tuned."""
    train = TrainConfig(
        data=_DATA, eval_split="val", size=64, model=_NETWORKS[network], pretrained=True, epochs=scale.words["epochs"],
        batch_size=128, lr=0.01, eval_last=10,
    )  # fmt: skip
    return replace(train, **scale.words.get("stand_in", {}))


def maps(scale: Scale, estimator: str = "cdiea") -> Maps:
    """Maps of a fine-tuned ResNet-18."""
    return ipf_rda.maps(scale, estimator, "torchvision:resnet18", lr=0.01)


def job(scale: Scale, place: Place) -> Job | None:
    """The row's method in its arm, with the column's network."""
    shown = ipf_rda.of_larger(scale, maps(scale), **ipf_rda.LARGER)
    return ipf_rda.guarded(scale, settings(scale, place.column), place.row, _DATA, shown)


RECIPE = Recipe(
    name="ipf-rda/table-2",
    title="ten methods with and without the guard, Tiny-ImageNet",
    source="IPF-RDA, Table II",
    tables=("ipf-rda/table-2",),
    job=job,
    hardware="one current data-centre GPU",
    against=ipf_rda.against,
    more_rows=ipf_rda.controls(*ipf_rda.METHODS),
    claim="The guard lowers the error of every method with every network.",
    wary=(
        "The networks begin with ImageNet’s weights; the paper prints no settings of the fine-tuning.",
        "Starred in the paper, so copied: ResNet-18 of GridMask, HaS and AdvMask, WRN-50-2 of AdvMask.",
    ),
    scales={
        "full": Scale(
            "Tiny-ImageNet, seven networks with ImageNet’s weights, 30 epochs", "0.5 to 6 GPU hours a run", 3,
            words={**ipf_rda.FULL, "epochs": 30, "base_epochs": 30},
        ),
        "short": Scale(
            "Tiny-ImageNet, ResNet-18 with ImageNet’s weights, 10 epochs; Cutout, CutMix, TrivialAugment",
            "about 10 GPU minutes a run", 3,
            rows=("baseline", *ipf_rda.arms("Cutout", "CutMix", "TrivialAugment")), columns=("ResNet-18",),
            words={**ipf_rda.SHORT, "epochs": 10, "base_epochs": 10},
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}, from scratch; Cutout and TrivialAugment", "about 5 minutes on two cores", 2,
            rows=("baseline", *ipf_rda.arms("Cutout", "TrivialAugment")), columns=("ResNet-18",), words=TINY,
        ),
    },
)  # fmt: skip
