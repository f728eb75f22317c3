"""IPF-RDA, Table VI: the guard by stored maps against KeepAugment, which asks the model in training.

    augwise reproduce ipf-rda/table-6 --scale full --columns ResNet-18 --data cifar10 npz:cifar10.npz \
        --data cifar100 npz:cifar100.npz

Paper: CIFAR-10, ResNet-110: Cutout 5.20, KeepCutout 4.50, IPF-Cutout 3.37 % error; CIFAR-100, ResNet-18: AutoAugment
20.22, KeepAutoAugment 19.70, IPF-AutoAugment 19.62. Settings: all are trained as in Section IV-A, KeepAugment at the
same quantile of regions, 60 %, each with its control. Hours: full about 2 (ResNet-18) to 10 (WRN-28-10) per run on one
current data-centre GPU, twice that with Keep, estimated. Wary: the CIFAR-100 numbers of AutoAugment and IPF-AutoAugment
are those of ResNet-18, WRN-28-10 and Shake-Shake in Table I, so the last two columns are very likely shifted; Cutout
and KeepCutout are copied; KeepAutoAugment there is a reproduction with an absolute threshold on the predicted class.
"""

from __future__ import annotations

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_OF = {"ipf-rda/table-6-cifar-10": "Cutout", "ipf-rda/table-6-cifar-100": "AutoAugment"}
_DATA = {"Cutout": "cifar10", "AutoAugment": "cifar100"}


def job(scale: Scale, place: Place) -> Job | None:
    """The row's arm with the column's network; each table has a method of its own."""
    method = ipf_rda.way(place.row).method
    if method != _OF[place.table]:
        return None
    data = _DATA[method]
    return ipf_rda.guarded(scale, ipf_rda.settings(scale, data, place.column), place.row, data)


def _against(row: str, column: str) -> tuple[str, str] | None:
    if row.startswith("Keep"):
        return f"IPF-{row.removeprefix('Keep')}", column  # the paper's question
    return ipf_rda.against_plain(row, column)


RECIPE = Recipe(
    name="ipf-rda/table-6",
    title="the guard by stored maps and by the model in training (KeepAugment)",
    source="IPF-RDA, Table VI",
    tables=tuple(_OF),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_rows=tuple(f"control {keep}{method}" for method in _DATA for keep in ("Keep", "")),
    claim="The guard by stored maps errs less than KeepAugment’s.",
    wary=(
        "The CIFAR-100 table’s last two columns are very likely WRN-28-10 and Shake-Shake, not what they are called.",
        "Cutout and KeepCutout are KeepAugment’s printed figures.",
    ),
    scales={
        "full": Scale("both CIFARs, three networks, 300 epochs", "2 to 20 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale(
            "both CIFARs, ResNet-18, 30 epochs", "about 15 GPU minutes a run", 3, columns=("ResNet-18",),
            words=ipf_rda.SHORT,
        ),
        "tiny": Scale(ipf_rda.DIGITS, "about 6 minutes on two cores", 2, columns=("ResNet-18",), words=ipf_rda.TINY),
    },
)  # fmt: skip
