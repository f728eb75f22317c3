"""IPF-RDA, Figure 7: test error during training, ResNet-110 on CIFAR-10: baseline, Cutout, guarded Cutout.

    augwise reproduce ipf-rda/figure-7 --scale full --data cifar10 npz:cifar10.npz

Paper: no numbers; the guarded curve lies lowest, most so after the second drop of the learning rate. Settings: lr 0.1,
× 0.2 at epochs 60, 120, 160 and 200 of 300; all else as in Section IV-A. Every epoch is measured; the curves stand on
the page. Hours: full about 3 per run on one current data-centre GPU, estimated. Wary: the control tells whether the
curve is lower because evidence is kept, or because a clipped square lies farther out.
"""

from __future__ import annotations

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_DROPS = (60, 120, 160, 200)


def job(scale: Scale, place: Place) -> Job | None:
    """The row's arm of Cutout, measured after every epoch."""
    epochs = scale.words["epochs"]
    drops = tuple(epochs * drop // 300 for drop in _DROPS)
    train = ipf_rda.settings(scale, "cifar10", place.column, schedule="steps", milestones=drops, eval_last=None)
    return ipf_rda.guarded(scale, train, place.row, "cifar10")


RECIPE = Recipe(
    name="ipf-rda/figure-7",
    title="errors during training with and without the guard",
    source="IPF-RDA, Figure 7",
    tables=("ipf-rda/figure-7",),
    job=job,
    hardware="one current data-centre GPU",
    against=ipf_rda.against,
    more_rows=ipf_rda.controls("Cutout"),
    claim="The guarded curve lies below Cutout’s from early on.",
    wary=("The figure has no numbers in the text; the cells are errors after the last epoch.",),
    scales={
        "full": Scale("CIFAR-10, ResNet-110, 300 epochs", "about 3 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale("CIFAR-10, ResNet-110, 30 epochs", "about 20 GPU minutes a run", 3, words=ipf_rda.SHORT),
        "tiny": Scale(
            ipf_rda.DIGITS, "about 2 minutes on two cores", 2,
            words={
                **ipf_rda.TINY,
                "stand_in": {k: v for k, v in ipf_rda.TINY["stand_in"].items() if k != "eval_last"},
            },
        ),
    },
)  # fmt: skip
