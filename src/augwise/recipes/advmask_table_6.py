"""AdvMask, Table 6: sparse attacks, success and norms at ε = 8/255 and 16/255.

    augwise reproduce advmask/table-6 --scale short --data cifar10 npz:cifar10.npz

Paper: targeted attacks on CIFAR-10; AdvMask's attack has the smallest ℓ0, SAPF the smallest ℓ2 at 8/255 (0.523 against
0.532). The attacked network is not stated: ResNet-18, trained as in Table 1 (30 epochs at the scale short). Hours
(estimated): full 1 GPU hour for the network, 2 for the attacks. Wary: C&W-ℓ0 and SAPF have no bound of their own and
exceed ε; ℓ0 counts changed pixels here, the paper does not say whether it counts pixels or channel values.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainConfig
from .analysed import Analysed
from .recipe import Job, Place, Recipe, Scale
from .training import Training

_ATTACKS = {
    "JSMA": "jsma",
    "PGD-l0+linf": "pgd-l0",
    "GreedyFool": "greedy",
    "C&W-l0": "cw-l0",
    "SAPF": "sapf",
    "AdvMask sparse attack": "advmask_attack",
}
_CDIEA, _REFINED = "CDIEA (IPF-RDA)", "AdvMask sparse attack, refined"
_ALL = _ATTACKS | {_CDIEA: "cdiea", _REFINED: "advmask_attack-refined"}
_EPSILONS = ("8/255", "16/255")


def job(scale: Scale, place: Place) -> Job | None:  # noqa: ARG001
    """One job holds all attacks at both bounds: they are ranked on the same images."""
    w = scale.words
    train = replace(TrainConfig(data="cifar10", model="resnet18", epochs=w["epochs"], eval_last=5), **w["stand_in"])
    settings = {
        "attacks": tuple(_ALL.values()),
        "data": train.data,
        "epsilons": w.get("epsilons", _EPSILONS),
        "limit": w["limit"],
        "steps": w["steps"],
        "target": "random",
    }
    return Analysed(Training(train), "attacks", tuple(sorted(settings.items())))


def measured(place: Place) -> str:
    """The job's number of a place: attack, bound and what the table is of."""
    what = place.table.rpartition("-")[2]
    return f"{_ALL[place.row]} {place.column.removeprefix('epsilon ')} {what}"


RECIPE = Recipe(
    name="advmask/table-6",
    title="sparse attacks: success, ℓ0, ℓ2, ℓ∞",
    source="AdvMask, Table 6",
    tables=("advmask/table-6-asr", "advmask/table-6-l0", "advmask/table-6-l2", "advmask/table-6-linf"),
    job=job,
    hardware="one current data-centre GPU",
    measured=measured,
    more_rows=(_CDIEA, _REFINED),
    claim="AdvMask’s attack succeeds as often as the others and changes the fewest pixels.",
    wary=(
        "C&W-ℓ0 and SAPF exceed ε in the paper, too.",
        "An attack that gives up on hard images looks sparse: augwise attack-table also counts failures as all pixels.",
    ),
    scales={
        "full": Scale(
            "CIFAR-10, ResNet-18, 300 epochs; 1 000 images, targets at random",
            "about 3 GPU hours",
            3,
            words={"epochs": 300, "limit": 1_000, "steps": 100, "stand_in": {}},
        ),
        "short": Scale(
            "CIFAR-10, ResNet-18, 30 epochs; 256 images, targets at random",
            "about half a GPU hour",
            3,
            words={"epochs": 30, "limit": 256, "steps": 100, "stand_in": {}},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 300 of them, for CIFAR-10, the small CNN for ResNet-18, 12 epochs; 24 images",
            "about 4 minutes on two cores",
            2,
            columns=("epsilon 16/255",),
            words={
                "epochs": 12,
                "limit": 24,
                "steps": 40,
                "epsilons": ("16/255",),
                "stand_in": {"data": "digits", "model": "small_cnn", "size": 16, "limit": 300, "batch_size": 30},
            },
        ),
    },
)
