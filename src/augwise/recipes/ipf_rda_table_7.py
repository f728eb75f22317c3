"""IPF-RDA, Table VII: PuzzleMix, Co-Mixup and the guard, errors and seconds per epoch.

    augwise reproduce ipf-rda/table-7 --scale full --columns "CIFAR-100 / PreActResNet-18" "seconds per epoch" \
        --data cifar100 npz:cifar100.npz

Paper: CIFAR-100, PreActResNet-18: PuzzleMix 20.62, Co-Mixup 19.87, IPF-RDA 18.91 % error; 72.61, 192.37 and 42.31 s per
epoch on a 2080 Ti, 6.05, 16.03 and 6.03 hours in all, its maps included. Settings: which method is guarded is not
printed, TrivialAugment is taken for the row IPF-RDA; this project's own rows add its plain form and control, and
CutMix. Training as in Co-Mixup's program: SGD, lr 0.2, × 0.1 after a third and two thirds (100 and 200 of 300 epochs;
Tiny-ImageNet 600 and 900 of 1200), batches of 100, wd 1e-4. Both puzzles look at the saliency of the model in training.
Hours: full about 3 (PreActResNet-18) per run on one current data-centre GPU, Co-Mixup several times that, Tiny-ImageNet
40, estimated. Wary: the puzzles' numbers are copied; what runs beside a run changes its seconds: give --jobs 1 for
them.
"""

from __future__ import annotations

from . import ipf_rda
from .prepared import Maps
from .recipe import Job, Place, Recipe, Scale
from .training import training

_PUZZLES = {"PuzzleMix": "puzzlemix", "Co-Mixup": "comixup"}
_GUARDED = "IPF-RDA"
_TIME = "seconds per epoch"
_HOURS = "GPU hours"
_TIMED = "CIFAR-100 / PreActResNet-18"


def job(scale: Scale, place: Place) -> Job | None:
    """The row's method on the column's data with its network; the times are of the runs behind one column."""
    data, network = (_TIMED if place.column in (_TIME, _HOURS) else place.column).split(" / ")
    w, name = scale.words, ipf_rda.DATA[data]
    large = data == "Tiny-ImageNet"
    epochs = w["epochs"] * (4 if large else 1)
    train = ipf_rda.settings(
        scale, name, network, epochs=epochs, batch_size=100, lr=0.2, weight_decay=1e-4, schedule="steps",
        milestones=(epochs // 3, 2 * epochs // 3), gamma=0.1, **(w["tiny_imagenet"] if large else {}),
    )  # fmt: skip
    if place.row in _PUZZLES:
        return training(train, _PUZZLES[place.row], maps=Maps("live"))
    row = "IPF-TrivialAugment" if place.row == _GUARDED else place.row
    maps = ipf_rda.maps(scale)
    return ipf_rda.guarded(scale, train, row, name, ipf_rda.of_larger(scale, maps, **ipf_rda.LARGER) if large else maps)


def _against(row: str, column: str) -> tuple[str, str] | None:
    if column in (_TIME, _HOURS) or row in ("TrivialAugment", "CutMix"):
        return None
    if row in _PUZZLES:
        return _GUARDED, column  # the paper's question
    return ("TrivialAugment" if row == _GUARDED else ipf_rda.way(row).method), column


_ALL = ("PuzzleMix", "Co-Mixup", _GUARDED, "TrivialAugment", "control TrivialAugment")
_SIZE = {"tiny_imagenet": {"size": 64, "eval_split": "val", "crop_padding": 4}}

RECIPE = Recipe(
    name="ipf-rda/table-7",
    title="the guard against PuzzleMix and Co-Mixup",
    source="IPF-RDA, Table VII",
    tables=("ipf-rda/table-7", "ipf-rda/table-7-epoch-time", "ipf-rda/section-4f-gpu-hours"),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    measured=lambda place: {_TIME: "seconds_per_epoch", _HOURS: "hours"}.get(place.column, "accuracy"),
    more_rows=("TrivialAugment", "control TrivialAugment", *ipf_rda.arms("CutMix")),
    claim="The guard errs less than both puzzles, in less time.",
    wary=(
        "Which method is guarded is not printed; TrivialAugment is assumed.",
        "PuzzleMix and Co-Mixup are printed as their authors reported them.",
        "Seconds and hours are of this machine and of what ran beside; the maps’ cost is not in them.",
    ),
    scales={
        "full": Scale(
            "CIFAR-100 with three networks, Tiny-ImageNet with one, 300 and 1200 epochs", "3 to 100 GPU hours a run", 3,
            words={**ipf_rda.FULL, **_SIZE},
        ),
        "short": Scale(
            "CIFAR-100, PreActResNet-18, 30 epochs", "about 20 GPU minutes a run, Co-Mixup hours", 3,
            columns=(_TIMED, _TIME, _HOURS), words={**ipf_rda.SHORT, **_SIZE},
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}, cosine", "about 6 minutes on two cores", 2, rows=_ALL, columns=(_TIMED, _TIME, _HOURS),
            words={
                **ipf_rda.TINY,
                "stand_in": {**ipf_rda.TINY["stand_in"], "schedule": "cosine", "milestones": ()},
            },
        ),
    },
)  # fmt: skip
