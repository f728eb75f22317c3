"""DCutMix, Figure 5b: what a search costs against how good its network is, on all images and on parts of them.

    augwise reproduce dcutmix/figure-5b --scale short --jobs 1 --data cifar100 npz:cifar100.npz

Paper: on a part of high CV the search is 7.7 times as fast at comparable accuracy, and the network better than that of
as many random images; all images are searched on for fewer epochs instead (10, of which 5 for the weights alone, at the
left end). The figure prints no numbers. Settings: a column is a cost, a share t of each class for 50 epochs, or all
images for 50 t epochs, half of them at first for the weights alone, at most 15; networks of PC-DARTS for CIFAR,
trained and tested on CIFAR-100. Hours (estimated): full about 6 GPU hours a run and 12 for the network that CV asks,
short 1 and 1. Wary: t of the 7.7 is not stated, here it is a tenth; which network measures CV is not stated either.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainConfig
from .dcutmix_search import CIFAR, DIGITS, searched
from .recipe import Job, Place, Recipe, Scale
from .searched import Faster, Search, retrained

WHOLE, RANDOM = "whole CIFAR-100, fewer epochs", "as many random images"
CV = "high-CV sub-sampled CIFAR-100"
_SPEED = "search time reduction"


def job(scale: Scale, place: Place) -> Job | None:
    """The row's images at the column's cost; the table of times compares two of them."""
    words = scale.words
    if place.column == _SPEED:
        if place.table != "dcutmix/figure-5b" or place.row == WHOLE:
            return None
        measure = "cv" if place.row == CV else "random"
        return Faster(searched(words, "cifar100", measure, words["share"]), searched(words, "cifar100", None))
    share = float(place.column.removeprefix("t="))
    if "stand_in" in words:
        train, cutout = TrainConfig(**DIGITS), None
    else:
        train, cutout = TrainConfig(data="cifar100", **CIFAR), 16
        if "epochs" in words:
            train = replace(train, epochs=words["epochs"], eval_last=5)
    return retrained(_search(scale, place.row, share), train, cutout)


def _search(scale: Scale, row: str, share: float) -> Search:
    if row != WHOLE and share < 1:
        return searched(scale.words, "cifar100", "cv" if row == CV else "random", share)
    whole = searched(scale.words, "cifar100", None)
    if share == 1:  # the same for all rows
        return whole
    epochs = max(2, round(share * whole.config.epochs))
    return replace(whole, config=replace(whole.config, epochs=epochs, warmup_epochs=min(15, epochs // 2)))


def against(row: str, column: str) -> tuple[str, str] | None:
    """At the same cost, against chance; what all rows share is compared with nothing."""
    return None if row == RANDOM or column in (_SPEED, "t=1.0") else (RANDOM, column)


def measured(place: Place) -> str:
    """Which of a job's numbers."""
    if place.column == _SPEED:
        return "times"
    return "search_hours" if place.table.endswith("cost") else "accuracy"


RECIPE = Recipe(
    name="dcutmix/figure-5b",
    title="what a search costs against how good its network is",
    source="DCutMix, Figure 5b",
    tables=("dcutmix/figure-5b", "dcutmix/figure-5b-accuracy", "dcutmix/figure-5b-cost"),
    job=job,
    hardware="one current data-centre GPU",
    against=against,
    measured=measured,
    more_rows=(RANDOM,),
    drawn=("dcutmix/figure-5b-cost", "dcutmix/figure-5b-accuracy"),
    claim="At the same cost a part of high CV gives a better network than chance, and than fewer epochs on all images.",
    wary=(
        "Search cost is the search’s alone: the network that CV asks, and asking it, are not in it, as in the paper.",
        "Times are of this machine and of what ran beside: give --jobs 1.",
    ),
    scales={
        "full": Scale(
            "CIFAR-100: 50 epochs of search on 10, 20, 50 % and all, networks of 36 channels and 20 cells, 600 epochs",
            "about 6 GPU hours a run, and 12 for the network that CV asks", 3, words={"share": 0.1},
        ),
        "short": Scale(
            "CIFAR-100: 50 epochs of search on 10, 20 % and all, networks of 36 channels and 20 cells, 50 epochs",
            "about 1 GPU hour a run, and 1 for the network that CV asks", 3,
            columns=(_SPEED, "t=0.1", "t=0.2", "t=1.0"),
            words={"share": 0.1, "epochs": 50, "asked": 30},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 400 of them, for CIFAR-100; 3 narrow cells, 10 epochs of search on 20 and "
            "50 % and on all, 12 of training",
            "about 4 minutes on two cores", 2, columns=(_SPEED, "t=0.2", "t=0.5", "t=1.0"),
            words={"share": 0.2, "stand_in": True},
        ),
    },
)  # fmt: skip
