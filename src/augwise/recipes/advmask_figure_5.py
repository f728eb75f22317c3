"""AdvMask, Figure 5: where ResNet-50 looks in flowers, after methods that delete.

    augwise reproduce advmask/figure-5 --scale full --data flowers102 flowers102:DIR

Paper: pictures without numbers; after AdvMask the map covers almost the entire flower. Settings: networks as in Table
5. Beside the pictures: the share of the image where the map is at least half of its maximum, over 256 test images.
Hours: full about 12 for the six networks of a seed on one current data-centre GPU, estimated. Wary: a map that covers
more need not cover more of the flower; the pictures are of the first test image of each class, not chosen.
"""

from __future__ import annotations

from . import advmask_table_5, ipf_rda
from .pictured import Beside
from .recipe import Job, Place, Recipe, Scale
from .training import Training

_CONTROL = "control AdvMask"
_ROWS = ("baseline", "Cutout", "GridMask", "Random Erasing", "AdvMask", _CONTROL)


def job(scale: Scale, place: Place) -> Job | None:
    """One job for all rows: the same images, side by side; its networks are those of Table 5."""
    networks = []
    for row in _ROWS:
        network = advmask_table_5.job(scale, Place("advmask/table-5", "accuracy", row))
        assert isinstance(network, Training)
        networks.append((row, network))
    return Beside(tuple(networks), scale.words["shown"]) if place.row in _ROWS else None


RECIPE = Recipe(
    name="advmask/figure-5",
    title="where networks look in flowers, after methods that delete",
    source="AdvMask, Figure 5",
    tables=("advmask/figure-5-covers", "advmask/figure-5-accuracy"),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "baseline" else ("baseline", column),
    measured=lambda place: f"{place.row} {'covers' if place.table.endswith('covers') else 'accuracy'}",
    more_rows=(_CONTROL,),
    claim="After AdvMask the map covers almost the entire object.",
    wary=("The share that a map covers says nothing of what lies under it: look at the pictures.",),
    scales={
        "full": Scale(
            "Oxford Flowers of 102 classes at 224 px, ResNet-50 from scratch, 300 epochs", "about 12 GPU hours a seed",
            3, words={**ipf_rda.FULL, "shown": 256},
        ),
        "short": Scale(
            "Oxford Flowers at 224 px, ResNet-50 from scratch, 30 epochs", "about 90 GPU minutes a seed", 1,
            words={**ipf_rda.SHORT, "shown": 256},
        ),
        "tiny": Scale(
            ipf_rda.DIGITS, "about 3 minutes on two cores", 2, words={**ipf_rda.TINY, "shown": 200},
        ),
    },
)  # fmt: skip
