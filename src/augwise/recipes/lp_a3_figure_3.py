"""LP-A3, Figure 3: skin images through RandAugment and LP-A3, and where a ResNet-18 looks in them.

    augwise reproduce lp-a3/figure-3 --scale full

Paper: pictures without numbers; RandAugment leads to wrong predictions and other heat maps, LP-A3 keeps both. Settings:
DermaMNIST's test images, the network of Table 3; RandAugment 2 operations of magnitude 9, LP-A3 at its margin 0.02, the
lagrangian form; Grad-CAM in place of Score-CAM. Beside the pictures: the share of the right answers that are kept, over
256 images. Hours: full about half an hour on one current data-centre GPU, estimated. Wary: LP-A3 looks at the very
classifier that judges it and keeps its margin by construction; RandAugment does not know it.
"""

from __future__ import annotations

from . import lp_a3_table_3
from .analysed import Analysed
from .recipe import Job, Place, Recipe, Scale
from .training import Training


def job(scale: Scale, place: Place) -> Job | None:  # noqa: ARG001 - one job answers both rows
    """The plain network of Table 3, asked."""
    network = lp_a3_table_3.job(scale, Place("lp-a3/table-3", "ResNet-18 / baseline", "DermaMNIST"))
    assert isinstance(network, Training)
    return Analysed(network, "farther", (("limit", 256),))


RECIPE = Recipe(
    name="lp-a3/figure-3",
    title="what augmentation leaves of what a classifier sees",
    source="LP-A3, Figure 3",
    tables=("lp-a3/figure-3",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "RandAugment" else ("RandAugment", column),
    measured=lambda place: f"{place.row} kept",
    claim="LP-A3 keeps the label and where the network looks, RandAugment loses both.",
    wary=("LP-A3 asks the classifier that judges it.",),
    scales={
        name: Scale(about, hours, seeds, words=lp_a3_table_3.RECIPE.scales[name].words)
        for name, about, hours, seeds in (
            ("full", "DermaMNIST at 28 px, ResNet-18, 100 epochs", "about half a GPU hour a run", 3),
            ("short", "DermaMNIST at 28 px, ResNet-18, 30 epochs", "about 6 GPU minutes a run", 3),
            ("tiny", "300 handwritten digits at 16 px, the small CNN, 12 epochs", "a minute on two cores", 2),
        )
    },
)
