"""DCutMix, Figure 3: how flat the loss is around the trained weights: largest eigenvalue, and noise on the weights.

    augwise reproduce dcutmix/figure-3 --scale short --data cifar100 npz:cifar100.npz

Paper: PyramidNet on CIFAR-100; with DCutMix the loss is the flattest, along the Hessian's leading directions
(PyHessian) and under Gaussian noise on the weights. The figure prints no numbers. Settings: networks as in Table 1;
depth and noise are not stated, PyramidNet-110 and σ = 0.01. Hours (estimated): full 12 per run on one current
data-centre GPU. Wary: directions in units of the weights make a network of larger weights look flatter (`augwise
analyse landscape` has filter-normalised ones); one network differs from the next of the same training, too.
"""

from __future__ import annotations

from . import dcutmix_table_1
from .analysed import Analysed
from .dcutmix import DIGITS, against_baseline
from .recipe import Job, Place, Recipe, Scale
from .training import Training


def job(scale: Scale, place: Place) -> Job | None:
    """The network of Table 1, looked at; one job answers both tables."""
    network = dcutmix_table_1.job(scale, Place("dcutmix/table-1-cifar-100", place.row, place.column))
    if not isinstance(network, Training):
        return None
    return Analysed(network, "curvature", (("limit", scale.words["shown"]), ("sigma", 0.01)))


RECIPE = Recipe(
    name="dcutmix/figure-3",
    title="how flat the loss is around the trained weights",
    source="DCutMix, Figure 3",
    tables=("dcutmix/figure-3-eigenvalue", "dcutmix/figure-3-noise"),
    job=job,
    hardware="one current data-centre GPU",
    against=against_baseline,
    measured=lambda place: "eigenvalue" if place.table.endswith("eigenvalue") else "accuracy",
    claim="With DCutMix the loss is the flattest.",
    wary=("Largest eigenvalues of the loss on test images, which the paper’s picture is of as well.",),
    scales={
        "full": Scale(
            "CIFAR-100, PyramidNet-110, 300 epochs; 1 000 test images",
            "about 12 GPU hours a run",
            3,
            words={"shown": 1_000},
        ),
        "short": Scale(
            "CIFAR-100, PyramidNet-110, 60 epochs; 1 000 test images",
            "about 2.5 GPU hours a run",
            3,
            words={"epochs": 60, "shown": 1_000},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 300 of them, for CIFAR-100, the small CNN, 20 epochs; 200 test images",
            "about 5 minutes on two cores",
            2,
            words={"stand_in": DIGITS, "shown": 200},
        ),
    },
)
