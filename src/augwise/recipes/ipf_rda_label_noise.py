"""IPF-RDA, Section V: does a guard help where half of the labels are wrong?

    augwise reproduce ipf-rda/label-noise --scale short --data cifar100 npz:cifar100.npz

Paper: CIFAR-100, 50 % noise; error 36.35 % without, 36.80 with TrivialAugment, 36.40 with guarded TrivialAugment: the
map of an image explains the label that it was given, right or wrong. Network, epochs and seeds are not stated: the
paper's own for CIFAR-100 (ResNet-18, 300 epochs, lr 0.1). Here beside it the control, maps of what the base model
predicts instead, and this project's answer: guard as often as the label is to be believed (`aw.TrustedGuard`, by the
losses after a sixth of the epochs). Hours: full about 3 per run on one current data-centre GPU. Wary: one number each
in the paper, without deviations.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainConfig
from .recipe import Job, Place, Recipe, Scale
from .training import Arm, Maps, training

_ARMS: dict[str, Arm] = {
    "TrivialAugment": "plain",
    "IPF-TrivialAugment": "guarded",
    "control TrivialAugment": "control",
    "IPF-TrivialAugment, predicted labels": "guarded",
    "IPF-TrivialAugment, trusted labels": "trusted",
}


def job(scale: Scale, place: Place) -> Job | None:
    """TrivialAugment in one arm; everybody, base model and maps included, sees the wrong labels."""
    w = scale.words
    train = replace(TrainConfig(data="cifar100", epochs=w["epochs"], model="resnet18", eval_last=10), **w["stand_in"])
    if place.row == "baseline":
        return training(train, noise=0.5).with_seeded_data()
    options = (("epsilon", w["epsilon"]), ("steps", w["attack_steps"]))
    maps = Maps("cdiea", options, of="predicted" if "predicted" in place.row else "given")
    arm = _ARMS[place.row]
    return training(train, "trivialaugment", arm, maps, noise=0.5, length=w["length"]).with_seeded_data()


def _against(row: str, column: str) -> tuple[str, str] | None:
    if row == "baseline":
        return None
    return ("baseline" if row == "TrivialAugment" else "TrivialAugment"), column


RECIPE = Recipe(
    name="ipf-rda/label-noise",
    title="TrivialAugment under 50 % label noise, guarded by maps of wrong labels",
    source="IPF-RDA, Section V",
    tables=("ipf-rda/section-5-label-noise",),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_rows=tuple(_ARMS)[2:],
    claim="The guard undoes most of what TrivialAugment costs, and does not reach training without it.",
    wary=("One number each in the paper, without deviations; its difference of 0.4 points may be the seed’s.",),
    scales={
        "full": Scale(
            "CIFAR-100, ResNet-18, 300 epochs",
            "about 3 GPU hours a run",
            3,
            words={"epochs": 300, "length": 8, "epsilon": 8 / 255, "attack_steps": 100, "stand_in": {}},
        ),
        "short": Scale(
            "CIFAR-100, ResNet-18, 30 epochs",
            "about 20 GPU minutes a run",
            5,
            words={"epochs": 30, "length": 8, "epsilon": 8 / 255, "attack_steps": 100, "stand_in": {"eval_last": 5}},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px, 500 of them, for CIFAR-100, the small CNN for ResNet-18, 40 epochs",
            "about 5 minutes on two cores",
            2,
            words={
                "epochs": 40, "length": 8, "epsilon": 32 / 255, "attack_steps": 40,
                "stand_in": {
                    "data": "digits", "model": "small_cnn", "size": 16, "limit": 500, "batch_size": 25, "lr": 0.05,
                    "crop_padding": 1,
                },
            },
        ),
    },
)  # fmt: skip
