"""LP-A3, Table 1: FixMatch with and without LP-A3, few labels.

    augwise reproduce lp-a3/table-1 --scale full --columns "CIFAR-10 / 40 labels" --data cifar10 npz:cifar10.npz

Paper: CIFAR-10 with 40 labels 89.51 and 92.39 % (FixMatch, then with LP-A3), three trials, 2^18 steps. Settings as in
its program (batch 64 + 448, lr 0.03, cosine 7/16, average 0.999, margin 0.002 and 0.02, 90 % of the images after 5 ·
1024 steps); WRN-28-2, WRN-28-8 for CIFAR-100. Hours (estimated): full about 6 per run on one current data-centre GPU,
with LP-A3 three times that. Wary: InfoMin's rows are copied figures; the program reports means of the last 20
evaluations, this project the last epoch; its own rows "(tangent)" are this project's form of LP-A3.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainConfig
from ..training.learn_config import LearnConfig
from .recipe import Job, Place, Recipe, Scale
from .training import training

_LPA3 = {"FixMatch": {}, "FixMatch + LP-A3": {"lpa3": True}}
_TANGENT = "FixMatch + LP-A3 (tangent)"
_LPA3[_TANGENT] = {"lpa3": True, "lpa3_form": "tangent"}
_DATA = {"CIFAR-10": "cifar10", "CIFAR-100": "cifar100", "STL-10": "stl10-fold0"}
_NETWORKS = {"CIFAR-10": "fixmatch_wrn28_2", "CIFAR-100": "fixmatch_wrn28_8", "STL-10": "fixmatch_wrn37_2"}


def job(scale: Scale, place: Place) -> Job | None:
    """FixMatch on the column's data and labels."""
    if place.row not in _LPA3:
        return None
    name, _, labels = place.column.partition(" / ")
    labelled = int(labels.split()[0])
    w = scale.words
    learn = LearnConfig(objective="fixmatch", labelled=labelled, epoch_steps=w["epoch_steps"], **_LPA3[place.row])
    if learn.lpa3:
        margin = 0.02 if name == "CIFAR-100" else 0.002
        learn = replace(learn, lpa3_ratio=0.9, lpa3_margin=margin, lpa3_warmup_epochs=w["warmup"])
    train = TrainConfig(
        data=_DATA[name], model=_NETWORKS[name], epochs=w["epochs"], batch_size=w["batch"], learn=learn, lr=0.03,
        schedule="cosine_7_16", ema=w["ema"], weight_decay=1e-3 if name == "CIFAR-100" else 5e-4, eval_last=20,
    )  # fmt: skip
    if "stand_in" in w:
        train = replace(train, **w["stand_in"])
    return training(train).with_seeded_data()


def _against(row: str, column: str) -> tuple[str, str] | None:
    return ("FixMatch", column) if row in _LPA3 and row != "FixMatch" else None


RECIPE = Recipe(
    name="lp-a3/table-1",
    title="FixMatch with few labels, with and without LP-A3",
    source="LP-A3, Table 1",
    tables=("lp-a3/table-1",),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_rows=(_TANGENT,),
    claim="LP-A3 improves FixMatch on every data set and number of labels.",
    wary=(
        "The seed draws the labelled images, too; with 40 labels that alone moves accuracy by points.",
        "InfoMin’s rows are figures that the paper took from others.",
    ),
    scales={
        "full": Scale(
            "the paper’s data and networks, 2^18 steps of 64 + 448 images",
            "about 6 GPU hours a run, with LP-A3 20",
            3,
            words={"epochs": 256, "epoch_steps": 1024, "warmup": 5, "batch": 64, "ema": 0.999},
        ),
        "short": Scale(
            "CIFAR-10 with 40 and 250 labels, WRN-28-2, 2^14 steps",
            "about 25 GPU minutes a run, with LP-A3 75",
            3,
            columns=("CIFAR-10 / 40 labels", "CIFAR-10 / 250 labels"),
            words={"epochs": 64, "epoch_steps": 256, "warmup": 5, "batch": 64, "ema": 0.999},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px for CIFAR-10, the small CNN for WRN-28-2, 40 labels, 300 steps of 16 + 112",
            "minutes on two cores",
            2,
            columns=("CIFAR-10 / 40 labels",),
            words={
                "epochs": 15, "epoch_steps": 20, "warmup": 3, "batch": 16, "ema": 0.99,
                "stand_in": {"data": "digits", "model": "small_cnn", "size": 16, "crop_padding": 2},
            },
        ),
    },
)  # fmt: skip
