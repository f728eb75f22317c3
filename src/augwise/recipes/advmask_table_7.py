"""AdvMask, Table 7: whose points the squares stand on: random, corners, salient or attacked. CIFAR-10.

    augwise reproduce advmask/table-7 --scale full --columns ResNet-18 --data cifar10 npz:cifar10.npz

Paper: ResNet-18: baseline 95.28, random 95.66, corners 95.11, salient 95.78, AdvMask 96.23 % accuracy. Settings: of
dense maps the 15 % largest pixels are points, as many as the attack finds. Saliency is the base model's. Beside them
CDIEA's points and AdvMask by other images' points. Hours: full about 2 (ResNet-18) or 8 (ResNet-50) per run on one
current data-centre GPU, estimated. Wary: ResNet-50's baseline is 94.12 here and 95.66 in Table 1, AdvMask on ResNet-18
96.23 and 96.44; corners lose against the baseline, though the text says that all gain.
"""

from __future__ import annotations

from . import advmask, ipf_rda
from .recipe import Job, Place, Recipe, Scale

_POINTS = {
    "random points": "uniform",
    "corner points": "corners",
    "salient points": "saliency",
    "CDIEA’s points": "cdiea",
}
_MORE = ("CDIEA’s points", "control AdvMask")


def job(scale: Scale, place: Place) -> Job | None:
    """Squares on the row's points, with the column's network."""
    train = advmask.settings(scale, "cifar10", place.column)
    if place.row in _POINTS:
        maps = ipf_rda.maps(scale, _POINTS[place.row])
        return advmask.job_of(scale, train, "AdvMask", "cifar10", maps)
    return advmask.job_of(scale, train, place.row, "cifar10")


RECIPE = Recipe(
    name="advmask/table-7",
    title="whose points the squares stand on",
    source="AdvMask, Table 7",
    tables=("advmask/table-7",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else ("baseline", column),
    more_rows=_MORE,
    claim="The attack’s points are best.",
    wary=("The paper’s baseline and AdvMask here differ from its Table 1.",),
    scales={
        "full": Scale("CIFAR-10, ResNet-18 and ResNet-50, 300 epochs", "2 to 8 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale("CIFAR-10, ResNet-18, 30 epochs", "about 12 GPU minutes a run", 5, columns=("ResNet-18",),
                       words=ipf_rda.SHORT),
        "tiny": Scale(ipf_rda.DIGITS, "about 4 minutes on two cores", 2, columns=("ResNet-18",), words=ipf_rda.TINY),
    },
)  # fmt: skip
