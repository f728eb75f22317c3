"""DCutMix, Table 6: architectures searched on all and on a part of the images, and trained on ImageNet.

    augwise reproduce dcutmix/table-6 --scale full --jobs 1 --data imagenet imagenet:DIR \
        --data cifar10 npz:cifar10.npz --data cifar100 npz:cifar100.npz

Paper: searched by PC-DARTS on the CIFAR-100 images of highest CV in 0.01 GPU days, with 24.3 % error; on all of
CIFAR-100 in 0.1 GPU days, with 23.8 %. Settings: a tenth of each class by CV (t is not stated), asked of PyramidNet-110
(the network is not stated); a row of chance beside it; "PC-DARTS (ImageNet)" trains the genotype that PC-DARTS
publishes. Sizes at every scale are those of the network for ImageNet, with normalisation, activation and pooling
counted, by which the published genotypes have the 597 and 586 million that the table prints. Hours (estimated): full
about 60 GPU hours a run, 12 more for the network that CV asks. Wary: neither the colour jitter nor the linear schedule
of PC-DARTS; a search has a few steps at the scale tiny.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainConfig
from .dcutmix_search import CIFAR, DIGITS, IMAGENET, searched
from .recipe import Job, Place, Recipe, Scale
from .searched import retrained

_CV, _RANDOM = "PC-DARTS (high-CV sub-sampled CIFAR-100)", "PC-DARTS (random sub-sampled CIFAR-100)"
_SEARCHED = {
    "PC-DARTS (CIFAR-10)": ("cifar10", None),
    "PC-DARTS (CIFAR-100)": ("cifar100", None),
    _CV: ("cifar100", "cv"),
    _RANDOM: ("cifar100", "random"),
}
_MEASURED = {"error": "accuracy", "params": "parameters", "flops": "operations", "search-cost": "gpu_days"}


def job(scale: Scale, place: Place) -> Job | None:
    """One job answers all four tables; top-1 alone, this project measures no top-5 error in training."""
    if place.column == "top-5":
        return None
    words, cost = scale.words, place.table.endswith("search-cost")
    if "stand_in" in words:
        train, cutout = TrainConfig(**DIGITS), None
    elif "epochs" in words:
        train, cutout = replace(TrainConfig(data="cifar100", **CIFAR), epochs=words["epochs"], eval_last=5), 16
    else:
        train, cutout = TrainConfig(**IMAGENET), None
    if place.row == "PC-DARTS (ImageNet)":  # its search is not run again
        return None if cost else retrained("pc_darts_imagenet", train, cutout)
    if place.row not in _SEARCHED:
        return None
    data, measure = _SEARCHED[place.row]
    return retrained(searched(words, data, measure, words["share"]), train, cutout)


def against(row: str, column: str) -> tuple[str, str] | None:
    """In error: a part by CV is compared with a part by chance, and that with all images."""
    if column != "top-1":
        return None
    if row == _CV:
        return _RANDOM, column
    return ("PC-DARTS (CIFAR-100)", column) if row == _RANDOM else None


RECIPE = Recipe(
    name="dcutmix/table-6",
    title="architectures searched on a part of the images",
    source="DCutMix, Table 6",
    tables=(
        "dcutmix/table-6-error", "dcutmix/table-6-params", "dcutmix/table-6-flops", "dcutmix/table-6-search-cost",
    ),
    job=job,
    hardware="eight current data-centre GPUs for ImageNet, one for the searches",
    against=against,
    measured=lambda place: _MEASURED[place.table.removeprefix("dcutmix/table-6-")],
    more_rows=(_RANDOM,),
    claim="Searched on a part chosen by CV, a network is as good as searched on all images, in a tenth of the time.",
    wary=(
        "In the paper’s own table the part’s network is worse than that of all CIFAR-100 images (24.3 against 23.8 %).",
        "Search cost is the search’s alone: the network that CV asks, and asking it, are not in it, as in the paper.",
        "Times are of this machine and of what ran beside: give --jobs 1.",
        "Other methods’ rows, and what the search on ImageNet cost, stand as published.",
    ),
    scales={
        "full": Scale(
            "searches of 50 epochs on CIFAR-10, CIFAR-100 and a tenth of it; ImageNet at 224 px, 250 epochs",
            "about 60 GPU hours a run, and 12 for the network that CV asks", 1, columns=("top-1", "million parameters",
            "million FLOPs", "GPU days"), words={"share": 0.1},
        ),
        "short": Scale(
            "searches of 50 epochs on CIFAR-100 and a tenth of it; trained on CIFAR-100 for ImageNet, 50 epochs",
            "about 1 GPU hour a run, and 1 for the network that CV asks", 3,
            rows=("PC-DARTS (CIFAR-100)", _CV, _RANDOM, "PC-DARTS (ImageNet)"),
            columns=("top-1", "million parameters", "million FLOPs", "GPU days"),
            words={"share": 0.1, "epochs": 50, "asked": 30},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 400 of them, for CIFAR-100 and ImageNet; a quarter for a tenth; 3 narrow "
            "cells, 10 epochs of search, 12 of training",
            "about 3 minutes on two cores", 2,
            rows=("PC-DARTS (CIFAR-100)", _CV, _RANDOM, "PC-DARTS (ImageNet)"),
            columns=("top-1", "million parameters", "million FLOPs", "GPU days"),
            words={"share": 0.25, "stand_in": True},
        ),
    },
)  # fmt: skip
