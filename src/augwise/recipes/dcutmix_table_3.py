"""DCutMix, Table 3: ImageNet, ResNet-50; mixers (left), and how many images to mix (right).

    augwise reproduce dcutmix/table-3 --scale full --rows baseline CutMix DCutMix --data imagenet imagenet:DIR

Paper: DCutMix does not beat CutMix in top-1 (21.76 against 21.40 %), Saliency-DCutMix just does (21.38); error is not
monotonic in K. Hours: full about 400 GPU hours per run (300 epochs). Which saliency Saliency-DCutMix looks at stands in
the paper by reference only: input gradients of a network trained without mixing, here. Wary: the same K = 3 stands as
21.62 (α = 1, right) and 21.76 (α = 1/3, left).
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainConfig
from .dcutmix import DIGITS, IMAGENET, against_baseline, mixed, shorter
from .recipe import Job, Place, Recipe, Scale
from .training import Maps, Training


def job(scale: Scale, place: Place) -> Job | None:
    """The row's mixer; top-1 alone, this project measures no top-5 error in training."""
    if place.column != "top-1":
        return None
    train = TrainConfig(data="imagenet", model="torchvision:resnet50", **IMAGENET)
    if "stand_in" in scale.words:
        train = replace(train, **scale.words["stand_in"])
    elif "epochs" in scale.words:
        train = shorter(train, scale.words["epochs"])
    name, _, k = place.row.partition(" K=")
    if name == "baseline":
        return Training(train)
    if name == "Manifold Mixup":
        early = ("features.2",) if train.model == "small_cnn" else ("maxpool", "layer1")
        return Training(train, manifold=("input", *early))
    if name in ("Mixup", "CutMix"):
        alpha = 0.2 if name == "Mixup" else 1.0
        return mixed(train, name.lower(), (("alpha", alpha),), p=1.0)
    draws = (("alpha", 1.0 if k else 1 / 3), ("k", int(k or 3)))
    if name in ("DMixup", "DCutMix"):
        return mixed(train, name.lower(), draws, p=1.0)
    if name == "Saliency-DCutMix":
        return mixed(train, "saliencydcutmix", draws, p=1.0, maps=Maps(scale.words.get("maps", "saliency")))
    return None


RECIPE = Recipe(
    name="dcutmix/table-3",
    title="mixers on ImageNet, and how many images to mix",
    source="DCutMix, Table 3",
    tables=("dcutmix/table-3-left", "dcutmix/table-3-right"),
    job=job,
    hardware="eight current data-centre GPUs",
    against=lambda row, column: None if "K=" in row else against_baseline(row, column),
    claim="DMixup improves on Mixup and Manifold Mixup; Saliency-DCutMix is the best.",
    wary=(
        "DCutMix does not beat CutMix in the paper’s own table.",
        "Saliency here is the input gradient of a network trained without mixing; the paper’s is by reference only.",
    ),
    scales={
        "full": Scale("ImageNet at 224 px, ResNet-50, 300 epochs", "about 400 GPU hours a run", 1),
        "short": Scale(
            "ImageNet at 224 px, ResNet-50, 18 epochs, baseline, CutMix, DCutMix and Saliency-DCutMix",
            "about 24 GPU hours a run",
            1,
            rows=("baseline", "CutMix", "DCutMix", "Saliency-DCutMix"),
            columns=("top-1",),
            words={"epochs": 18},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 300 of them, for ImageNet, the small CNN for ResNet-50, 20 epochs",
            "about 5 minutes on two cores",
            2,
            rows=("baseline", "Mixup", "CutMix", "DMixup", "DCutMix", "Saliency-DCutMix"),
            columns=("top-1",),
            words={"stand_in": DIGITS | {"crop": "pad", "loader": "resident", "num_workers": 0}},
        ),
    },
)
