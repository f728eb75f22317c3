"""AdvMask, Table 3: AdvMask after other methods, CIFAR-100.

    augwise reproduce advmask/table-3 --scale full --columns ResNet-50 --data cifar100 npz:cifar100.npz

Paper: ResNet-50: Mixup 82.46 → 83.93 with AdvMask, CutMix 81.34 → 81.60 % accuracy; two of 15 pairs lose. Settings as
in Table 2, with CIFAR-100's squares. Hours: full about 2 (ResNet-44) to 10 (WRN-28-10) per run on one current
data-centre GPU, estimated. Wary: 81.34 stands three times; one printed gain, +0.50 for Fast-AutoAugment on WRN-28-10,
is 1.50 by its own numbers; its plain columns disagree with IPF-RDA's Table I where both have them.
"""

from __future__ import annotations

from . import advmask, ipf_rda
from .advmask_table_2 import MORE_ROWS, against
from .recipe import Job, Place, Recipe, Scale


def job(scale: Scale, place: Place) -> Job | None:
    """The row's methods with the column's network."""
    return advmask.job_of(scale, advmask.settings(scale, "cifar100", place.column), place.row, "cifar100")


RECIPE = Recipe(
    name="advmask/table-3",
    title="AdvMask after other methods, CIFAR-100",
    source="AdvMask, Table 3",
    tables=("advmask/table-3",),
    job=job,
    hardware="one current data-centre GPU",
    against=against,
    more_rows=MORE_ROWS,
    claim="AdvMask after another method improves it (the table has two exceptions).",
    wary=("81.34 is printed for three methods with ResNet-50; at least one number of the table is wrong.",),
    scales={
        "full": Scale("CIFAR-100, three networks, 300 epochs", "2 to 10 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale("CIFAR-100, ResNet-44, 30 epochs", "about 8 GPU minutes a run", 3, columns=("ResNet-44",),
                       words=ipf_rda.SHORT),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; CutMix and AutoAugment", "about 3 minutes on two cores", 2, columns=("ResNet-44",),
            rows=tuple(f"{p}{m}" for m in ("CutMix", "AutoAugment") for p in ("", "AdvMask-", "control AdvMask-")),
            words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
