"""AdvMask, Figure 6: seconds per epoch and epochs to converge, ResNet-18 on CIFAR-10.

    augwise reproduce advmask/figure-6 --scale full --jobs 1 --data cifar10 npz:cifar10.npz

Paper: a figure; AdvMask's epochs are not the shortest, but the fewest are needed to get to the best. Two 2080 Ti,
batches of 128, 8 workers, three trials. Settings: as Table 1, every epoch measured; AdvMask masks every image from the
first epoch on, as the paper has it here. Converged means: within half a point of the mean of the last tenth of the
epochs. Hours: full about 2 per run on one current data-centre GPU, estimated. Wary: under a cosine schedule everything
converges when the learning rate falls; here images lie on the device, so that times show what a method itself costs,
which workers would hide.
"""

from __future__ import annotations

from dataclasses import replace

from . import advmask, ipf_rda
from .recipe import Job, Place, Recipe, Scale

_CONTROL = "control AdvMask"
_TIMED = ("baseline", "Cutout", "GridMask", "CutMix", "AutoAugment", "AdvMask", _CONTROL)


def job(scale: Scale, place: Place) -> Job | None:
    """The row's method; both tables are of the same runs."""
    train = replace(advmask.settings(scale, "cifar10", place.column), eval_last=None)
    return advmask.job_of(scale, train, place.row, "cifar10", options={"p": 1.0})


RECIPE = Recipe(
    name="advmask/figure-6",
    title="seconds per epoch, and epochs to converge",
    source="AdvMask, Figure 6",
    tables=("advmask/figure-6-time", "advmask/figure-6-epochs"),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else (advmask.against(row) or "baseline", column),
    measured=lambda place: "seconds_per_epoch" if place.table.endswith("time") else "converged",
    more_rows=(_CONTROL,),
    claim="AdvMask needs the fewest epochs, at a competitive time for each.",
    wary=(
        "Times are of this machine and of what ran beside: give --jobs 1.",
        "What the paper calls convergence is not printed.",
    ),
    scales={
        "full": Scale("CIFAR-10, ResNet-18, 300 epochs", "about 2 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale(
            "CIFAR-10, ResNet-18, 30 epochs; some methods", "about 15 GPU minutes a run", 3, rows=_TIMED,
            words=ipf_rda.SHORT,
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; some methods", "about 3 minutes on two cores", 2, rows=_TIMED, words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
