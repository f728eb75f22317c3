"""IPF-RDA, Table XI: hours of CDIEA's maps of CIFAR-100 beside hours of training.

    augwise reproduce ipf-rda/table-11 --scale full --jobs 1 --data cifar100 npz:cifar100.npz

Paper: CDIEA 2.5 GPU hours on one 2080 Ti; training ResNet-18 4.3, ResNet-50 9.1, WRN-28-10 21.4, Shake-Shake 44.5 on
two. Settings: the maps are made in full and timed; of training five epochs are timed and counted up to 300 (Shake-Shake
1800; the paper's number is not printed), in batches of 256. Hours: full about 4 for all, most of them the base model's,
on one current data-centre GPU, estimated. Wary: what else runs on the machine shows; the base model behind the maps is
trained apart and not counted, as in the paper; the paper's Shake-Shake time does not fit 1800 epochs beside ResNet-18's
300.
"""

from __future__ import annotations

from dataclasses import replace

from . import ipf_rda
from .measuring import Attack, Cost
from .prepared import Prepared
from .recipe import Job, Place, Recipe, Scale
from .training import training

_CDIEA = "CDIEA"


def job(scale: Scale, place: Place) -> Job | None:
    """Training with the column's network, or the maps."""
    w = scale.words
    if place.column == _CDIEA:
        return Attack(Prepared(ipf_rda.settings(scale, "cifar100", "ResNet-18"), ipf_rda.maps(scale)))
    train = ipf_rda.settings(scale, "cifar100", place.column)
    timed = replace(train, epochs=w["timed"], batch_size=min(256, w["largest"]), eval_last=1)
    return Cost(training(timed), 1800 if "Shake" in place.column else 300)


RECIPE = Recipe(
    name="ipf-rda/table-11",
    title="what the maps of CIFAR-100 cost beside training",
    source="IPF-RDA, Table XI",
    tables=("ipf-rda/table-11",),
    job=job,
    hardware="one current data-centre GPU",
    measured=lambda _place: "hours",
    claim="The maps cost less than training any of the networks once.",
    wary=(
        "Times are of this machine and of what ran beside: give --jobs 1.",
        "Training is timed for a few epochs and counted up.",
    ),
    scales={
        "full": Scale(
            "CIFAR-100, maps of all images, five epochs timed of each network", "about 4 GPU hours", 1,
            words={**ipf_rda.FULL, "timed": 5, "largest": 256},
        ),
        "short": Scale(
            "CIFAR-100, ResNet-18 of 30 epochs behind the maps, three epochs timed", "about 30 GPU minutes", 1,
            columns=("ResNet-18", _CDIEA), words={**ipf_rda.SHORT, "timed": 3, "largest": 256},
        ),
        "tiny": Scale(
            "300 handwritten digits at 16 px, the small CNN, three epochs timed", "a minute on two cores", 2,
            columns=("ResNet-18", _CDIEA), words={**ipf_rda.TINY, "timed": 3, "largest": 25},
        ),
    },
)  # fmt: skip
