"""IPF-RDA, Figure 6: where ResNet-50 looks in flowers, after Cutout and Random Erasing, with and without the guard.

    augwise reproduce ipf-rda/figure-6 --scale full --data flowers102 flowers102:DIR

Paper: pictures without numbers; after guarded training the map covers almost the entire flower and little background.
Settings, not printed: training as in AdvMask's Table 5 (from scratch, 224 px, 300 epochs); l half of the side. Beside
the pictures: the share of the image where the map is at least half of its maximum, over 256 test images. Hours: full
about 2 per run on one current data-centre GPU, estimated; the maps, by U-Nets, an hour. Wary: a map that covers more
need not cover more of the flower; the pictures are of the first test image of each class, not chosen.
"""

from __future__ import annotations

from . import advmask_table_5, ipf_rda
from .pictured import Beside
from .recipe import Job, Place, Recipe, Scale

_ROWS = ipf_rda.arms("Cutout", "Random Erasing")


def job(scale: Scale, place: Place) -> Job | None:
    """One job for all rows: the same images, side by side."""
    train = advmask_table_5.settings(scale)
    shown = advmask_table_5.maps(scale, "cdiea", ipf_rda.LARGER)
    networks = tuple((row, ipf_rda.guarded(scale, train, row, "flowers102", shown)) for row in _ROWS)
    return Beside(networks, scale.words["shown"]) if place.row in _ROWS else None


RECIPE = Recipe(
    name="ipf-rda/figure-6",
    title="where networks look in flowers, with and without the guard",
    source="IPF-RDA, Figure 6",
    tables=("ipf-rda/figure-6-covers", "ipf-rda/figure-6-accuracy"),
    job=job,
    hardware="one current data-centre GPU",
    against=ipf_rda.against_plain,
    measured=lambda place: f"{place.row} {'covers' if place.table.endswith('covers') else 'accuracy'}",
    more_rows=ipf_rda.controls("Cutout", "Random Erasing"),
    claim="Guarded methods look at almost the entire object.",
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
        "tiny": Scale(ipf_rda.DIGITS, "about 3 minutes on two cores", 2, words={**ipf_rda.TINY, "shown": 200}),
    },
)  # fmt: skip
