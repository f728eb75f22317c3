"""IPF-RDA, Table VIII: what carries over: trained on CIFAR-100 with each method, then fine-tuned on CIFAR-10.

    augwise reproduce ipf-rda/table-8 --scale full --rows "Fast-AutoAugment" --data cifar10 npz:cifar10.npz \
        --data cifar100 npz:cifar100.npz

Paper: Fast-AutoAugment 92.26 → 93.45 % accuracy, the largest gain; others 0.2 to 0.6. Three seeds. Settings: the
network is printed for Fast-AutoAugment alone (ResNet-50, Fig. 4) and taken for all; the fine-tuning is not printed,
here 30 epochs of the whole network at lr 0.01, cosine, with crop and flip alone, so that the methods differ in the
first stage only; this project's columns "head alone" train the last layer on frozen features (lr 0.1). The first stage
is as in Table I, each seed its own. Hours: full about 9 per run on one current data-centre GPU, estimated. Wary: 92 %
is less than the same network reaches on CIFAR-10 from scratch (95.66 in Table I), so the paper tuned briefly or the
last layers alone; HaS is missing there.
"""

from __future__ import annotations

from dataclasses import replace

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale
from .training import training

_PREFIX = {"original": "", "IPF": "IPF-", "control": "control "}
_HEAD = ", head alone"


def job(scale: Scale, place: Place) -> Job | None:
    """Fine-tuning after the row's method in the column's arm, of the whole network or of its head alone."""
    w = scale.words
    if place.row not in ipf_rda.METHODS:
        return None
    train = ipf_rda.settings(scale, "cifar100", w["network"])
    arm = place.column.removesuffix(_HEAD)
    first = ipf_rda.guarded(scale, replace(train, **w["first"]), f"{_PREFIX[arm]}{place.row}", "cifar100")
    tuned = ipf_rda.settings(scale, "cifar10", w["network"], epochs=w["tuned"], lr=0.01)
    tuned = replace(tuned, **w["then"])
    if arm != place.column:
        tuned = replace(tuned, only_head=True, lr=0.1)
    return replace(training(tuned), first=first)


def _against(row: str, column: str) -> tuple[str, str] | None:
    arm = column.removesuffix(_HEAD)
    return None if arm == "original" else (row, "original" + column.removeprefix(arm))


RECIPE = Recipe(
    name="ipf-rda/table-8",
    title="from CIFAR-100 to CIFAR-10, with and without the guard",
    source="IPF-RDA, Table VIII",
    tables=("ipf-rda/table-8",),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_columns=("control", *(arm + _HEAD for arm in _PREFIX)),
    claim="What was trained with the guard is better after fine-tuning.",
    wary=("The paper’s fine-tuning is not printed; its accuracies are below those of training from scratch.",),
    scales={
        "full": Scale(
            "ResNet-50, 300 epochs of CIFAR-100, then 30 of CIFAR-10", "about 9 GPU hours a run", 3,
            words={**ipf_rda.FULL, "network": "ResNet-50", "tuned": 30, "first": {}, "then": {}},
        ),
        "short": Scale(
            "ResNet-18, 30 epochs of CIFAR-100, then 10 of CIFAR-10; Cutout, Fast-AutoAugment, TrivialAugment",
            "about 15 GPU minutes a run", 3, rows=("Cutout", "Fast-AutoAugment", "TrivialAugment"),
            words={**ipf_rda.SHORT, "network": "ResNet-18", "tuned": 10, "first": {}, "then": {}},
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS} of the first stage, then 5 epochs of 100 other digits; Cutout and TrivialAugment",
            "about 5 minutes on two cores", 2, rows=("Cutout", "TrivialAugment"),
            words={
                **ipf_rda.TINY, "network": "ResNet-18", "tuned": 5, "first": {},
                "then": {"limit": 100, "data_seed": 1, "lr": 0.01},
            },
        ),
    },
)  # fmt: skip
