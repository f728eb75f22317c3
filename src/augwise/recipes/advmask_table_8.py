"""AdvMask, Table 8: the attack's points hidden themselves, in place of squares on them. CIFAR-10.

    augwise reproduce advmask/table-8 --scale full --columns ResNet-18 --data cifar10 npz:cifar10.npz

Paper: ResNet-18: attack-point mask 92.96, baseline 95.28, AdvMask 96.23 % accuracy; ResNet-50 94.52, 94.12, 96.69.
Settings: the mask hides all points as squares of one pixel, as often as AdvMask masks. Both have a control by other
images' points. Hours: full about 2 (ResNet-18) or 8 (ResNet-50) per run on one current data-centre GPU, estimated.
Wary: of an image with more than 256 points not all are hidden; the same numbers differ from Table 1 as in Table 7.
"""

from __future__ import annotations

from . import advmask, ipf_rda
from .recipe import Job, Place, Recipe, Scale

_MASK = "attack-point mask"
_ONE_PIXEL = {"lengths": (1, 1), "share": 1.0, "least": 1.0, "overlap": 0.0}


def job(scale: Scale, place: Place) -> Job | None:
    """Points or squares by the row, with the column's network."""
    train = advmask.settings(scale, "cifar10", place.column)
    if not place.row.endswith(_MASK):
        return advmask.job_of(scale, train, place.row, "cifar10")
    return advmask.job_of(scale, train, place.row.replace(_MASK, "AdvMask"), "cifar10", options=_ONE_PIXEL)


RECIPE = Recipe(
    name="advmask/table-8",
    title="points hidden, or squares on them",
    source="AdvMask, Table 8",
    tables=("advmask/table-8",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else ("baseline", column),
    more_rows=(f"control {_MASK}", "control AdvMask"),
    claim="Squares on the points help, the points alone do not (ResNet-50: 0.4 points).",
    wary=("The paper’s baseline and AdvMask here differ from its Table 1.",),
    scales={
        "full": Scale("CIFAR-10, ResNet-18 and ResNet-50, 300 epochs", "2 to 8 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale("CIFAR-10, ResNet-18, 30 epochs", "about 12 GPU minutes a run", 5, columns=("ResNet-18",),
                       words=ipf_rda.SHORT),
        "tiny": Scale(ipf_rda.DIGITS, "about 3 minutes on two cores", 2, columns=("ResNet-18",), words=ipf_rda.TINY),
    },
)  # fmt: skip
