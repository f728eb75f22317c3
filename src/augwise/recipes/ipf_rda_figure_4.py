"""IPF-RDA, Figure 4: how well features keep the classes apart: Dunn index and accuracy, from scratch and transferred.

    augwise reproduce ipf-rda/figure-4 --scale short --data cifar10 npz:cifar10.npz cifar100 npz:cifar100.npz

Paper: Fast-AutoAugment, ResNet-50, CIFAR-10: 96.06 → 96.95 % with the guard, transferred from CIFAR-100 92.26 → 93.45;
the Dunn index rises in both, from values of 1e-6 to 1e-5. Settings: as Table VIII. Hours (estimated): full 9 per run on
one current data-centre GPU. Wary: the paper's Eq. 13 does not say between what the distance of two classes is: here
the closest two points, over the largest mean distance within a class, on the features; t-SNE of every run stands in its
job's folder. So small an index hangs on single pairs of images.
"""

from __future__ import annotations

from dataclasses import replace

from . import ipf_rda
from .analysed import Analysed
from .recipe import Job, Place, Recipe, Scale
from .training import Training, training

_ROWS = ("Fast-AutoAugment", "IPF-Fast-AutoAugment", "control Fast-AutoAugment")


def job(scale: Scale, place: Place) -> Job | None:
    """One job answers both tables."""
    network, limit = _network(scale, place), scale.words["shown"]
    return Analysed(network, "embedding", (("limit", limit),))


def _network(scale: Scale, place: Place) -> Training:
    w = scale.words
    if place.column == "trained on CIFAR-10":
        train = ipf_rda.settings(scale, "cifar10", w["network"])
        return ipf_rda.guarded(scale, train, place.row, "cifar10")
    first = ipf_rda.guarded(scale, ipf_rda.settings(scale, "cifar100", w["network"]), place.row, "cifar100")
    tuned = ipf_rda.settings(scale, "cifar10", w["network"], epochs=w["tuned"], lr=0.01)
    return replace(training(replace(tuned, **w["then"])), first=first)


RECIPE = Recipe(
    name="ipf-rda/figure-4",
    title="how well features keep the classes apart",
    source="IPF-RDA, Figure 4",
    tables=("ipf-rda/figure-4-dunn", "ipf-rda/figure-4-accuracy"),
    job=job,
    hardware="one current data-centre GPU",
    against=ipf_rda.against_plain,
    measured=lambda place: "dunn" if place.table.endswith("dunn") else "accuracy",
    more_rows=_ROWS[2:],
    claim="With the guard classes lie farther apart, from scratch and after transfer.",
    wary=("The Dunn index is a ratio of one distance to another: it hangs on the two closest images of all.",),
    scales={
        "full": Scale(
            "ResNet-50, 300 epochs of CIFAR-10, or of CIFAR-100 and then 30 of CIFAR-10; all test images",
            "about 9 GPU hours a run", 3,
            words={**ipf_rda.FULL, "network": "ResNet-50", "tuned": 30, "then": {}, "shown": None},
        ),
        "short": Scale(
            "ResNet-18, 30 epochs of CIFAR-10, or of CIFAR-100 and then 10 of CIFAR-10; 2 000 test images",
            "about 20 GPU minutes a run", 3,
            words={**ipf_rda.SHORT, "network": "ResNet-18", "tuned": 10, "then": {}, "shown": 2_000},
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}, then 5 epochs of 100 other digits; 200 test images", "about 5 minutes on two cores", 2,
            words={
                **ipf_rda.TINY, "network": "ResNet-18", "tuned": 5, "shown": 200,
                "then": {"limit": 100, "data_seed": 1, "lr": 0.01},
            },
        ),
    },
)  # fmt: skip
