"""IPF-RDA, Table X: what guarded TrivialAugment puts back: a square, or all important points.

    augwise reproduce ipf-rda/table-10 --scale full --columns "CIFAR-10 / ResNet-18" --data cifar10 npz:cifar10.npz

Paper: CIFAR-10, ResNet-18: points 5.60, squares 3.18 % error; CIFAR-100, ResNet-50: 21.32 and 18.35. Settings as in
Table I. Beside both stand their controls and plain TrivialAugment. Hours: full about 2 (ResNet-18) or 8 (ResNet-50) per
run on one current data-centre GPU, estimated. Wary: the paper's points are worse than plain TrivialAugment (3.23) by
more than two points, a size that nothing in the text explains; points are those at or above the 60 % quantile of the
image's pixels, which of a sparse map are all its key points.
"""

from __future__ import annotations

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_POINTS, _SQUARE = "point-level preservation", "IPF-TrivialAugment"
_MORE = ("TrivialAugment", f"control {_POINTS}", "control TrivialAugment")


def job(scale: Scale, place: Place) -> Job | None:
    """The row's shape and arm on the column's data with its network."""
    name, network = place.column.split(" / ")
    data = ipf_rda.DATA[name]
    points = place.row.endswith(_POINTS)
    row = place.row.replace(_POINTS, "TrivialAugment") if points else place.row
    row = _SQUARE if points and row == "TrivialAugment" else row
    shapes = ("points",) if points else ("rectangle",)
    return ipf_rda.guarded(scale, ipf_rda.settings(scale, data, network), row, data, shapes=shapes)


RECIPE = Recipe(
    name="ipf-rda/table-10",
    title="squares or points put back after TrivialAugment",
    source="IPF-RDA, Table X",
    tables=("ipf-rda/table-10",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "TrivialAugment" else ("TrivialAugment", column),
    more_rows=_MORE,
    claim="Points put back are worse than squares.",
    wary=("The paper’s points are far worse than TrivialAugment without any guard.",),
    scales={
        "full": Scale(
            "both CIFARs, ResNet-18 and ResNet-50, 300 epochs", "2 to 8 GPU hours a run", 3, words=ipf_rda.FULL
        ),
        "short": Scale(
            "CIFAR-10, ResNet-18, 30 epochs", "about 12 GPU minutes a run", 5, columns=("CIFAR-10 / ResNet-18",),
            words=ipf_rda.SHORT,
        ),
        "tiny": Scale(
            ipf_rda.DIGITS, "about 3 minutes on two cores", 2, columns=("CIFAR-10 / ResNet-18",), words=ipf_rda.TINY
        ),
    },
)  # fmt: skip
