"""IPF-RDA, Table I: ten methods with and without the guard, CIFAR-10 and CIFAR-100, seven networks.

    augwise reproduce ipf-rda/table-1 --scale full --columns ResNet-18 --data cifar10 npz:cifar10.npz \
        --data cifar100 npz:cifar100.npz

Paper: Cutout on ResNet-18 3.99 → 3.22 % error (CIFAR-10), 21.96 → 21.47 (CIFAR-100); the guard helps in all 120 pairs,
by 0.02 to 4.90 points. Three seeds, no deviations. Settings and what the paper leaves open: `ipf_rda`. Here beside it
the control, the same guard with another image's map. Hours: full about 2 per run for ResNet-18 on one current
data-centre GPU, 8 for ResNet-50, 10 for WRN-28-10, 25 to 150 for Shake-Shake and PyramidNet (hours here are estimates).
Wary: many plain cells are figures of other papers; windows are clipped at the border, so a guard also erases less; the
released program reports the best test epoch; PyramidNet's depth and width are not printed.
"""

from __future__ import annotations

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_SOME = ("baseline", *ipf_rda.arms("Cutout", "TrivialAugment"))
_DATA = {"ipf-rda/table-1-cifar-10": "cifar10", "ipf-rda/table-1-cifar-100": "cifar100"}


def job(scale: Scale, place: Place) -> Job | None:
    """The row's method in its arm, on the table's data, with the column's network."""
    data = _DATA[place.table]
    return ipf_rda.guarded(scale, ipf_rda.settings(scale, data, place.column), place.row, data)


RECIPE = Recipe(
    name="ipf-rda/table-1",
    title="ten methods with and without the guard, CIFAR-10 and CIFAR-100",
    source="IPF-RDA, Table I",
    tables=tuple(_DATA),
    job=job,
    hardware="one current data-centre GPU",
    against=ipf_rda.against,
    more_rows=ipf_rda.controls(*ipf_rda.METHODS),
    claim="The guard lowers the error of every method with every network.",
    wary=(
        "Many of the paper’s plain numbers are copied from other papers, its guarded ones are its own.",
        "With windows clipped at the border a guard also erases less: what the control gains too is no evidence kept.",
    ),
    scales={
        "full": Scale(
            "both CIFARs, seven networks, 300 epochs (Shake-Shake, PyramidNet: 1800)",
            "2 (ResNet-18) to 150 GPU hours a run", 3, words=ipf_rda.FULL,
        ),
        "short": Scale(
            "both CIFARs, ResNet-18, 30 epochs; Cutout, CutMix, GridMask, TrivialAugment",
            "about 12 GPU minutes a run", 5,
            rows=("baseline", *ipf_rda.arms("Cutout", "CutMix", "GridMask", "TrivialAugment")),
            columns=("ResNet-18",), words=ipf_rda.SHORT,
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; Cutout and TrivialAugment", "about 5 minutes on two cores", 2,
            rows=_SOME, columns=("ResNet-18",), words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
