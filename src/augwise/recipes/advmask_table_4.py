"""AdvMask, Figure 3 and Table 4: Tiny-ImageNet at 64 px, ImageNet's weights fine-tuned.

    augwise reproduce advmask/table-4 --scale full --data tiny-imagenet tiny-imagenet:DIR

Paper: accuracy of the baseline 61.38, 73.61, 81.55 % (ResNet-18, ResNet-50, WRN-50-2) and AdvMask's gain of 3.91, 6.57,
1.30 points, five trials; Table 4 has other methods without AdvMask (TrivialAugment 69.97 on ResNet-18, more than
AdvMask reaches). The gains stand as printed, this project's columns beside them are accuracies. Settings, not printed:
fine-tuning as in `ipf_rda_table_2`, α to 5, squares as on CIFAR-100. Hours: full 0.5 to 3 per run on one current
data-centre GPU, estimated. Wary: no cell agrees with IPF-RDA's Table II of the same data.
"""

from __future__ import annotations

from . import advmask, ipf_rda, ipf_rda_table_2
from .recipe import Job, Place, Recipe, Scale

_FIGURE, _TABLE = "advmask/figure-3", "advmask/table-4"
_OWN = ("AdvMask", "control AdvMask")


def job(scale: Scale, place: Place) -> Job | None:
    """The figure has networks in rows, the table has them in columns."""
    network, name = (place.row, place.column) if place.table == _FIGURE else (place.column, place.row)
    if name == "AdvMask gain" or network in _OWN or (place.table == _TABLE and name not in advmask.OTHERS):
        return None
    if place.table == _FIGURE and network in advmask.OTHERS:
        return None
    train, maps = ipf_rda_table_2.settings(scale, network), ipf_rda_table_2.maps(scale, "advmask_attack")
    shown = ipf_rda.of_larger(scale, maps, **advmask.LARGER)
    return advmask.job_of(scale, train, name, "tiny-imagenet", shown)


def _against(row: str, column: str) -> tuple[str, str] | None:
    return (row, "baseline") if column in _OWN else None


RECIPE = Recipe(
    name="advmask/table-4",
    title="Tiny-ImageNet with ImageNet’s weights",
    source="AdvMask, Figure 3 and Table 4",
    tables=(_FIGURE, _TABLE),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_columns=_OWN,
    claim="AdvMask improves the baseline with every network.",
    wary=("The networks begin with ImageNet’s weights; epochs and learning rate are not printed.",),
    scales={
        "full": Scale(
            "Tiny-ImageNet, three networks with ImageNet’s weights, 30 epochs", "0.5 to 3 GPU hours a run", 5,
            words={**ipf_rda.FULL, "epochs": 30, "base_epochs": 30},
        ),
        "short": Scale(
            "Tiny-ImageNet, ResNet-18 with ImageNet’s weights, 10 epochs", "about 10 GPU minutes a run", 3,
            rows=("ResNet-18", "Mixup", "TrivialAugment"), columns=("ResNet-18", "baseline", *_OWN),
            words={**ipf_rda.SHORT, "epochs": 10, "base_epochs": 10},
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}, from scratch", "about 2 minutes on two cores", 2,
            rows=("ResNet-18", "Mixup", "TrivialAugment"), columns=("ResNet-18", "baseline", *_OWN),
            words=ipf_rda_table_2.TINY,
        ),
    },
)  # fmt: skip
