"""IPF-RDA, Figure 8 (c) and (d): how large the region, how strict the guard. CIFAR-10.

    augwise reproduce ipf-rda/figure-8 --scale full --data cifar10 npz:cifar10.npz

Paper: no numbers; l from 8 to 24 at τ 60 % is best at 16, τ from 20 to 80 % at l 16 is best at 60 %. Settings (method
and network are not printed): Cutout, whose length the text refers to, on ResNet-18, sides 8 to 24 in steps of 4, τ in
steps of 20 %. Each side has its own plain row and control: a longer square is harder plain, too. Hours: full about 2
per run on one current data-centre GPU, estimated. Wary: chosen on test errors, as the paper's; Table V is best at 20,
not at 16.
"""

from __future__ import annotations

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_ARMS = {"Cutout": "Cutout", "IPF-Cutout": "IPF-Cutout", "control": "control Cutout"}


def job(scale: Scale, place: Place) -> Job | None:
    """The column's arm at the row's l and τ."""
    words = place.row.replace(",", "").split()
    side, quantile = int(words[1]) // scale.words.get("shrink", 1), int(words[3]) / 100
    train = ipf_rda.settings(scale, "cifar10", "ResNet-18")
    row = _ARMS[place.column]
    return ipf_rda.guarded(scale, train, row, "cifar10", length=side, quantiles=(quantile,))


RECIPE = Recipe(
    name="ipf-rda/figure-8",
    title="the region’s side and the guard’s quantile",
    source="IPF-RDA, Figure 8",
    tables=("ipf-rda/figure-8",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if column == "Cutout" else (row, "Cutout"),
    more_columns=("control",),
    claim="l 16 and τ 60 % are best.",
    wary=("The figure has no numbers in the text, and names neither method nor network.",),
    scales={
        "full": Scale("CIFAR-10, ResNet-18, 300 epochs", "about 2 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale(
            "CIFAR-10, ResNet-18, 30 epochs; l 8, 16, 24, τ 20, 60, 80 %", "about 12 GPU minutes a run", 3,
            rows=("l 8, τ 60 %", "l 16, τ 60 %", "l 24, τ 60 %", "l 16, τ 20 %", "l 16, τ 80 %"), words=ipf_rda.SHORT,
        ),
        "tiny": Scale(
            f"{ipf_rda.DIGITS}; l 8 and 16, τ 20 and 60 %", "about 4 minutes on two cores", 2,
            rows=("l 8, τ 60 %", "l 16, τ 60 %", "l 16, τ 20 %"), words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
