"""DCutMix, Table 1: mixing and regularisation, CIFAR-100 and CIFAR-10, PyramidNet-110 and -200.

    augwise reproduce dcutmix/table-1 --scale short --data cifar100 npz:cifar100.npz

Paper: DCutMix has the lowest error of all (16.95 and 13.86 % on CIFAR-100, 2.42 % on CIFAR-10), CutMix is below
DMixup everywhere. K and α: DMixup 3 and 1/3, DCutMix 5 and 0.2 (PyramidNet-110); 3 and 1, 5 and 1 (PyramidNet-200);
on CIFAR-10 5 and 0.2, 3 and 1/3. Number of runs not stated. Hours: full about 12 per run with PyramidNet-110, 60 with
PyramidNet-200, on one current data-centre GPU. Wary: bold type in the table is not always the lowest number.
StochDepth, DropBlock and StyleMix, which needs a trained decoder, stand as published.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .dcutmix import DIGITS, against_baseline, cifar, mixed
from .recipe import Job, Place, Recipe, Scale
from .training import Training

_NETWORKS = {"PyramidNet-110": "pyramidnet110_a64", "PyramidNet-200": "pyramidnet200_a240"}
_DRAWS: dict[tuple[str, str], dict[str, Any]] = {
    ("cifar-100", "PyramidNet-110"): {"DMixup": (3, 1 / 3), "DCutMix": (5, 0.2)},
    ("cifar-100", "PyramidNet-200"): {"DMixup": (3, 1.0), "DCutMix": (5, 1.0)},
    ("cifar-10", "PyramidNet-200"): {"DMixup": (5, 0.2), "DCutMix": (3, 1 / 3)},
}
"""K and α by data and network (Section IV-A.1)."""


def job(scale: Scale, place: Place) -> Job | None:
    """The row's method with the column's network."""
    data = place.table.removeprefix("dcutmix/table-1-")
    train = cifar(data.replace("-", ""), _NETWORKS[place.column], scale.words)
    if place.row == "baseline":
        return Training(train)
    if place.row == "Label Smoothing":
        return Training(replace(train, label_smoothing=0.1))
    if place.row == "Manifold Mixup":
        early = ("features.2",) if train.model == "small_cnn" else ("stem", "layer1")
        return Training(train, manifold=("input", *early))
    if place.row == "Cutout":
        return Training(train, (("cutout", (("length", 8 if train.data == "digits" else 16),)),))
    if place.row in ("Mixup", "CutMix"):
        return mixed(train, place.row.lower(), (("alpha", 1.0),))
    if place.row in ("DMixup", "DCutMix"):
        k, alpha = _DRAWS[data, place.column][place.row]
        return mixed(train, place.row.lower(), (("k", k), ("alpha", alpha)))
    return None


RECIPE = Recipe(
    name="dcutmix/table-1",
    title="mixing and regularisation on CIFAR-100 and CIFAR-10",
    source="DCutMix, Table 1",
    tables=("dcutmix/table-1-cifar-100", "dcutmix/table-1-cifar-10"),
    job=job,
    hardware="one current data-centre GPU",
    against=against_baseline,
    claim="DMixup improves on Mixup, and DCutMix on CutMix, which is the best of the others.",
    wary=(
        "How often a batch is mixed is not stated; 0.5, as in CutMix’s program for CIFAR.",
        "The paper prints no deviations and no number of runs.",
    ),
    scales={
        "full": Scale("CIFAR-100 and CIFAR-10, PyramidNet-110 and -200, 300 epochs", "12 to 60 GPU hours a run", 3),
        "short": Scale(
            "CIFAR-100 with PyramidNet-110, 60 epochs",
            "about 2.5 GPU hours a run",
            3,
            columns=("PyramidNet-110",),
            words={"epochs": 60},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 300 of them, for CIFAR-100, the small CNN for PyramidNet-110, 20 epochs",
            "about 4 minutes on two cores",
            2,
            rows=("baseline", "Cutout", "Mixup", "CutMix", "DMixup", "DCutMix", "Label Smoothing", "Manifold Mixup"),
            columns=("PyramidNet-110",),
            words={"stand_in": DIGITS},
        ),
    },
)
