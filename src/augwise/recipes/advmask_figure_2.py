"""AdvMask, Figure 2: which points the sparse attack masks in photographs.

    augwise reproduce advmask/figure-2 --scale full --data flowers102 flowers102:DIR

Paper: pictures of ImageNet and their masks, without numbers. Settings: photographs of Oxford Flowers take ImageNet's
place, which nobody attacks in passing: a ResNet-18 from scratch, the attack with α to 5 by U-Nets. Hours: full about 2
on one current data-centre GPU, estimated. Wary: how many points it takes depends on how sure the attacked model is.
"""

from __future__ import annotations

from . import advmask_table_5, ipf_rda
from .measuring import Attack
from .prepared import Prepared
from .recipe import Job, Place, Recipe, Scale

_SHOWN = 8


def job(scale: Scale, place: Place) -> Job | None:  # noqa: ARG001 - there is one
    """The attack on the training images."""
    return Attack(Prepared(advmask_table_5.settings(scale), advmask_table_5.maps(scale)), _SHOWN)


RECIPE = Recipe(
    name="advmask/figure-2",
    title="masks of the sparse attack",
    source="AdvMask, Figure 2",
    tables=("advmask/figure-2",),
    job=job,
    hardware="one current data-centre GPU",
    measured=lambda _place: "pixel_share",
    claim="The masks lie on the objects.",
    wary=("Other photographs than the paper’s.",),
    scales={
        "full": Scale("Oxford Flowers of 102 classes at 224 px, ResNet-18 of 300 epochs", "about 2 GPU hours", 1,
                      words=ipf_rda.FULL),
        "short": Scale("Oxford Flowers at 224 px, ResNet-18 of 30 epochs", "about 45 GPU minutes", 1,
                       words=ipf_rda.SHORT),
        "tiny": Scale("300 handwritten digits at 16 px, the small CNN, ε 32/255, 40 steps", "a minute on two cores", 2,
                      words=ipf_rda.TINY),
    },
)  # fmt: skip
