"""AdvMask, Table 2: AdvMask after other methods, CIFAR-10.

    augwise reproduce advmask/table-2 --scale full --columns ResNet-18 --data cifar10 npz:cifar10.npz

Paper: ResNet-18: AutoAugment 96.07 → 96.69 with AdvMask, CutMix 96.64 → 96.81 % accuracy; it helps in all 15 pairs.
Settings: each pair has a control, AdvMask by the points of other images. Mixup and CutMix are with Beta(1, 1), CutMix
for every second image; their labels stay as they are when squares come after them. Hours: full about 2 (ResNet-18) to
10 (WRN-28-10) per run on one current data-centre GPU, estimated. Wary: CutMix and Fast-AutoAugment on ResNet-44 are
below the paper's own baseline; KeepAugment is another paper's, here at the 60 % quantile.
"""

from __future__ import annotations

from . import advmask, ipf_rda
from .recipe import Job, Place, Recipe, Scale

_KEPT = ("KeepCutout", "KeepAutoAugment")
_CONTROLS = tuple(f"control {row}" for row in (*(f"AdvMask-{m}" for m in advmask.OTHERS), *_KEPT))
MORE_ROWS = ("Cutout", *_CONTROLS)


def job(scale: Scale, place: Place) -> Job | None:
    """The row's methods with the column's network."""
    return advmask.job_of(scale, advmask.settings(scale, "cifar10", place.column), place.row, "cifar10")


def against(row: str, column: str) -> tuple[str, str] | None:
    """AdvMask after a method, and KeepAugment, against the method alone; the tables have no baseline."""
    if "AdvMask" not in row:
        return ipf_rda.against_plain(row, column)
    other = advmask.against(row)
    return None if other is None else (other, column)


RECIPE = Recipe(
    name="advmask/table-2",
    title="AdvMask after other methods, CIFAR-10",
    source="AdvMask, Table 2",
    tables=("advmask/table-2",),
    job=job,
    hardware="one current data-centre GPU",
    against=against,
    more_rows=MORE_ROWS,
    claim="AdvMask after another method improves it.",
    wary=("Some plain methods are below the baseline in the paper, so that little is needed to improve them.",),
    scales={
        "full": Scale("CIFAR-10, three networks, 300 epochs", "2 to 10 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale("CIFAR-10, ResNet-18, 30 epochs", "about 12 GPU minutes a run", 3, columns=("ResNet-18",),
                       words=ipf_rda.SHORT),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; Mixup and TrivialAugment", "about 3 minutes on two cores", 2, columns=("ResNet-18",),
            rows=tuple(f"{p}{m}" for m in ("Mixup", "TrivialAugment") for p in ("", "AdvMask-", "control AdvMask-")),
            words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
