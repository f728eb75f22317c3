"""IPF-RDA, Table V: Cutout, KeepCutout and guarded Cutout by the square's side, CIFAR-10, ResNet-18.

    augwise reproduce ipf-rda/table-5 --scale full --data cifar10 npz:cifar10.npz

Paper: at side 16 errors 4.4, 3.9 and 3.58 %; guarded Cutout is best at all five sides, at 20 more than at 16, though
the text says 16. The first two columns are KeepAugment's figures. Settings (KeepAugment's, not printed): all three are
trained as in Section IV-A. KeepCutout is the same guard by the saliency of the model in training, at the same quantile,
60 %. Both have a control of their own. Hours: full about 2 per run on one current data-centre GPU, KeepCutout 4,
estimated. Wary: at side 16 the paper's IPF-Cutout has 3.58 here, 3.22 in Table I and 3.14 in Table VI; the larger the
square, the more a clipped window lets a guard erase less.
"""

from __future__ import annotations

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_CONTROLS = ("control KeepCutout", "control Cutout")


def job(scale: Scale, place: Place) -> Job | None:
    """The column's arm of Cutout with the row's side."""
    side = int(place.row.split()[1]) // scale.words.get("shrink", 1)
    train = ipf_rda.settings(scale, "cifar10", "ResNet-18")
    return ipf_rda.guarded(scale, train, place.column, "cifar10", length=side)


def _against(row: str, column: str) -> tuple[str, str] | None:
    if column == "KeepCutout":
        return row, "IPF-Cutout"  # the paper's question
    return None if column == "Cutout" else (row, "Cutout")


RECIPE = Recipe(
    name="ipf-rda/table-5",
    title="guarded Cutout and KeepCutout by the square’s side",
    source="IPF-RDA, Table V",
    tables=("ipf-rda/table-5",),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_columns=_CONTROLS,
    claim="Guarded Cutout errs less than Cutout and KeepCutout at every side.",
    wary=("Cutout and KeepCutout are KeepAugment’s printed figures, of other settings.",),
    scales={
        "full": Scale("CIFAR-10, ResNet-18, 300 epochs", "about 2 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale(
            "CIFAR-10, ResNet-18, 30 epochs; sides 8, 16, 24", "about 12 GPU minutes a run", 3,
            rows=("length 8", "length 16", "length 24"), words=ipf_rda.SHORT,
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; sides 8 and 16", "about 5 minutes on two cores", 2,
            rows=("length 8", "length 16"), words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
