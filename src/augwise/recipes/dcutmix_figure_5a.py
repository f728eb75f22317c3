"""DCutMix, Figure 5a: training on a part of CIFAR-100, chosen by each measure, with DCutMix.

    augwise reproduce dcutmix/figure-5a --scale short --data cifar100 npz:cifar100.npz

Paper: by high CV error is 5.79 points below random where a twentieth of the images is kept; low or high means and high
deviations are worse than random. PyramidNet, three seeds, 10 000 validation images. Settings: PyramidNet-110 trained
without mixing scores all images once (not stated); 10 mixtures with two others at α 2/9, the image itself keeps a
third; K-center on its features, MC dropout at 0.5. Shares keep the classes' sizes; all train for the same number of
epochs, with DCutMix (K = 3, α = 1/3). Hours: full about 12 for the scores and up to 4 per run on one current
data-centre GPU, estimated. Wary: the same number of epochs means a twentieth of the steps at t = 0.05, where every
network is far from done.
"""

from __future__ import annotations

from typing import Any

from .chosen import Choice, Chosen
from .dcutmix import DIGITS, cifar, mixed
from .recipe import Job, Place, Recipe, Scale

_MEASURES: dict[str, tuple[Any, Any]] = {
    "high CV": ("cv", "top"),
    "random": ("random", "top"),
    "low mean (easy)": ("mean", "bottom"),
    "high mean (hard)": ("mean", "top"),
    "high deviation": ("std", "top"),
    "MC dropout": ("mc-dropout", "top"),
    "k-center": ("k-center", "top"),
}
_ALL = "all images"
_ERROR = "dcutmix/figure-5a-error"


def choice(scale: Scale, row: str, share: float) -> Choice:
    """How a row chooses."""
    measure, rule = _MEASURES[row]
    more: tuple[tuple[str, Any], ...] = ()
    if measure in ("cv", "mean", "std"):
        more = (("mixes", 10),)
    elif measure == "mc-dropout":
        more = (("dropout", 0.5),)
    return Choice(cifar("cifar100", "pyramidnet110_a64", scale.words), measure, share, rule, more)


def job(scale: Scale, place: Place) -> Job | None:
    """Training on the row's choice of the column's share; all images stand in one column."""
    if place.table != _ERROR:
        return None
    train = cifar("cifar100", "pyramidnet110_a64", scale.words)
    training = mixed(train, "dcutmix", (("alpha", 1 / 3), ("k", 3)))
    if place.row == _ALL:
        return training
    return Chosen(training, choice(scale, place.row, float(place.column.removeprefix("t="))))


def _against(row: str, column: str) -> tuple[str, str] | None:
    return None if row in ("random", _ALL) else ("random", column)


RECIPE = Recipe(
    name="dcutmix/figure-5a",
    title="training on a chosen part of the images",
    source="DCutMix, Figure 5a",
    tables=(_ERROR, "dcutmix/figure-5a"),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    claim="High CV is better than random, most of all where few images are kept; all other measures are not.",
    wary=(
        "Which network scores, and how it was trained, is not stated.",
        "The row of all images is the same in every column.",
    ),
    scales={
        "full": Scale("CIFAR-100, PyramidNet-110, 300 epochs", "about 12 GPU hours, then up to 4 a run", 3),
        "short": Scale(
            "CIFAR-100, PyramidNet-110, 40 epochs; high CV, random, low and high means",
            "about 90 GPU minutes, then up to 30 a run", 3,
            rows=("high CV", "random", "low mean (easy)", "high mean (hard)"), words={"epochs": 40},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 300 of them, for CIFAR-100, the small CNN, 20 epochs in batches of 10",
            "about 3 minutes on two cores", 2, columns=("t=0.1", "t=0.3"),
            words={"stand_in": {**DIGITS, "batch_size": 10, "lr": 0.05}},
        ),
    },
)  # fmt: skip
