"""AdvMask, Table 1: methods that delete, CIFAR-10 and CIFAR-100, five networks.

    augwise reproduce advmask/table-1 --scale full --rows ResNet-18 --data cifar10 npz:cifar10.npz \
        --data cifar100 npz:cifar100.npz

Paper: ResNet-18, CIFAR-10: baseline 95.28, Cutout 96.01, GridMask 96.38, AdvMask 96.44 % accuracy; CIFAR-100 77.54,
78.04, 75.23, 78.43. Number of runs not printed, no deviations. Settings and what the paper leaves open: `advmask`.
Beside it AdvMask by the points of other images. Hours: full about 2 (ResNet-18) to 25 (Shake-Shake) per run on one
current data-centre GPU, estimated. Wary: some cells are copied; GridMask is better on WRN-28-10; the released program
makes most of its masks without any point and reports the best test epoch.
"""

from __future__ import annotations

from . import advmask, ipf_rda
from .recipe import Job, Place, Recipe, Scale

_DATA = {"advmask/table-1-cifar-10": "cifar10", "advmask/table-1-cifar-100": "cifar100"}
_CONTROL = "control AdvMask"


def job(scale: Scale, place: Place) -> Job | None:
    """The column's method with the row's network on the table's data."""
    data = _DATA[place.table]
    return advmask.job_of(scale, advmask.settings(scale, data, place.row), place.column, data)


def _against(row: str, column: str) -> tuple[str, str] | None:
    return None if column == "baseline" else (row, "baseline")


RECIPE = Recipe(
    name="advmask/table-1",
    title="methods that delete, CIFAR-10 and CIFAR-100",
    source="AdvMask, Table 1",
    tables=tuple(_DATA),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_columns=(_CONTROL,),
    claim="AdvMask is best with every network (the table has one exception).",
    wary=("Which cells are the authors’ own runs differs from row to row.",),
    scales={
        "full": Scale("both CIFARs, five networks, 300 epochs (Shake-Shake 1800)", "2 to 25 GPU hours a run", 3,
                      words=ipf_rda.FULL),
        "short": Scale("both CIFARs, ResNet-18, 30 epochs", "about 12 GPU minutes a run", 5, rows=("ResNet-18",),
                       words=ipf_rda.SHORT),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; Cutout, GridMask, AdvMask", "about 4 minutes on two cores", 2, rows=("ResNet-18",),
            columns=("baseline", "Cutout", "GridMask", "AdvMask", _CONTROL), words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
