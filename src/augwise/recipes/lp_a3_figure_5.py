"""LP-A3, Figure 5: what hangs on the margin σ and on the share of the images that are chosen.

    augwise reproduce lp-a3/figure-5 --scale short

Paper: accuracy over σ is a reversed U and above the baseline everywhere; 30 % of the images are enough for at least 2
points on MedMNIST, which no cell of Table 3 reaches. Settings: as Table 3, on OctMNIST, whose gain is the largest
there. Hours (estimated): full half a GPU hour a run. Wary: which data and which values the figure has is not in the
text; the released programs have one number for the margin and the first step, this project two.
"""

from __future__ import annotations

from dataclasses import replace

from . import lp_a3_table_3
from .recipe import Job, Place, Recipe, Scale
from .training import Training


def job(scale: Scale, place: Place) -> Job | None:
    """Table 3's job at another margin or share."""
    name, _, value = place.row.partition(" ")
    way = "baseline" if name == "baseline" else "LP-A3"
    found = lp_a3_table_3.job(scale, Place("lp-a3/table-3", f"ResNet-18 / {way}", place.column))
    if not isinstance(found, Training) or name == "baseline":
        return found
    changes = {"lpa3_margin": float(value)} if name == "margin" else {"lpa3_ratio": float(value.rstrip("%")) / 100}
    return replace(found, train=replace(found.train, learn=replace(found.train.learn, **changes)))


RECIPE = Recipe(
    name="lp-a3/figure-5",
    title="margin and share of the images",
    source="LP-A3, Figure 5",
    tables=("lp-a3/figure-5-sweeps",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else ("baseline", column),
    claim="LP-A3 is better than training without it at every margin that was tried.",
    wary=("The figure’s data and margins are not in the text.",),
    scales={
        "full": Scale(
            "OctMNIST at 28 px, ResNet-18, 100 epochs", "about half a GPU hour a run", 3, words={"epochs": 100}
        ),
        "short": Scale("OctMNIST at 28 px, ResNet-18, 20 epochs", "about 6 GPU minutes a run", 3, words={"epochs": 20}),
        "tiny": Scale(
            "handwritten digits at 16 px, 300 of them, for OctMNIST, the small CNN for ResNet-18, 12 epochs",
            "about 4 minutes on two cores",
            2,
            words=lp_a3_table_3.RECIPE.scales["tiny"].words,
        ),
    },
)
