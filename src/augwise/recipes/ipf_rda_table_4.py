"""IPF-RDA, Table IV: UDA with 4 000 labels of CIFAR-10, its strong augmentation with and without the guard.

    augwise reproduce ipf-rda/table-4 --scale full --rows HaS IPF-HaS "control HaS" --data cifar10 npz:cifar10.npz

Paper: HaS 86.96 → 91.32 % accuracy, the largest gain; TrivialAugment 93.34 → 93.47. WRN-28-2, three seeds, accuracy and
precision. Settings of UDA, not printed: lr 0.03, cosine, batches of 64 + 448, 10^5 steps, confidence 0.8, temperature
0.4. Most images have no label, and the paper does not say of what their maps are: here a ResNet-18 trained on the
labelled images alone explains what it takes each image for. The seed draws the labelled images, too. Hours: full about
6 per run on one current data-centre GPU, estimated, and a store of maps per seed. Wary: the row's method is all of the
strong view (no Cutout after it), as "UDA with X" may be read; precision is the mean over classes.
"""

from __future__ import annotations

from dataclasses import replace

from ..training.config import TrainConfig
from ..training.learn_config import LearnConfig
from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_METHODS = tuple(method for method in ipf_rda.METHODS if method not in ("CutMix", "GridMask", "AdvMask"))


def job(scale: Scale, place: Place) -> Job | None:
    """UDA with the row's method; both columns are of one run."""
    w = scale.words
    learn = LearnConfig(objective="uda", labelled=w["labelled"], epoch_steps=w["epoch_steps"])
    train = TrainConfig(
        data="cifar10", model="wrn28_2", epochs=w["epochs"], batch_size=64, lr=0.03, learn=learn, eval_last=10,
    )  # fmt: skip
    train = replace(train, **w.get("stand_in", {}))
    maps = replace(ipf_rda.maps(scale), of="predicted")
    found = ipf_rda.guarded(scale, train, place.row, "cifar10", maps, also=("precision",))
    return found.with_seeded_data()


RECIPE = Recipe(
    name="ipf-rda/table-4",
    title="few labels: UDA with and without the guard",
    source="IPF-RDA, Table IV",
    tables=("ipf-rda/table-4",),
    job=job,
    hardware="one current data-centre GPU",
    against=ipf_rda.against_plain,
    measured=lambda place: place.column,
    more_rows=ipf_rda.controls(*_METHODS),
    claim="The guard raises accuracy and precision of every method.",
    wary=("The paper does not say what explains images without labels, nor UDA’s settings.",),
    scales={
        "full": Scale(
            "CIFAR-10 with 4 000 labels, WRN-28-2, 10^5 steps of 64 + 448", "about 6 GPU hours a run", 3,
            words={**ipf_rda.FULL, "epochs": 200, "epoch_steps": 500, "labelled": 4000},
        ),
        "short": Scale(
            "CIFAR-10 with 4 000 labels, WRN-28-2, 10^4 steps; Cutout, HaS, TrivialAugment",
            "about 40 GPU minutes a run", 3,
            rows=ipf_rda.arms("Cutout", "HaS", "TrivialAugment"),
            words={**ipf_rda.FULL, "epochs": 40, "epoch_steps": 250, "base_epochs": 100, "labelled": 4000},
        ),
        "tiny": Scale(
            "300 handwritten digits at 16 px, 100 with labels, the small CNN, 200 steps of 10 + 70; Cutout and HaS",
            "about 5 minutes on two cores", 2,
            rows=ipf_rda.arms("Cutout", "HaS"),
            words={
                **ipf_rda.TINY, "epochs": 20, "epoch_steps": 10, "labelled": 100, "base_epochs": 60,
                "stand_in": {**ipf_rda.TINY["stand_in"], "batch_size": 10},
            },
        ),
    },
)  # fmt: skip
