"""AdvMask, Figure 7: test error during training, ResNet-18 on CIFAR-10, methods that delete.

    augwise reproduce advmask/figure-7 --scale full --data cifar10 npz:cifar10.npz

Paper: curves without numbers; AdvMask is clearly better after the third drop of the learning rate, and more so after
the fourth. Settings: lr 0.1, × 0.2 at epochs 60, 120, 160, 220 and 280 of 300; all else as in Table 1. Every epoch is
measured; the curves stand on the page. Hours: full about 2 per run on one current data-centre GPU, estimated. Wary: the
control, by other images' points, tells how much of a lower curve any squares would have brought.
"""

from __future__ import annotations

from dataclasses import replace

from . import advmask, ipf_rda
from .recipe import Job, Place, Recipe, Scale

_DROPS = (60, 120, 160, 220, 280)
_CONTROL = "control AdvMask"


def job(scale: Scale, place: Place) -> Job | None:
    """The row's method, measured after every epoch."""
    train = advmask.settings(scale, "cifar10", place.column)
    drops = tuple(train.epochs * drop // 300 for drop in _DROPS)
    train = replace(train, schedule="steps", milestones=drops, gamma=0.2, eval_last=None)
    return advmask.job_of(scale, train, place.row, "cifar10")


RECIPE = Recipe(
    name="advmask/figure-7",
    title="errors during training, methods that delete",
    source="AdvMask, Figure 7",
    tables=("advmask/figure-7",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else ("baseline", column),
    more_rows=(_CONTROL,),
    claim="AdvMask’s curve lies lowest after the third drop of the learning rate.",
    wary=("The figure has no numbers in the text; the cells are errors after the last epoch.",),
    scales={
        "full": Scale("CIFAR-10, ResNet-18, 300 epochs", "about 2 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale("CIFAR-10, ResNet-18, 30 epochs", "about 15 GPU minutes a run", 3, words=ipf_rda.SHORT),
        "tiny": Scale(ipf_rda.DIGITS, "about 3 minutes on two cores", 2, words=ipf_rda.TINY),
    },
)
