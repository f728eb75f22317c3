"""DCutMix, Figure 4: what mixtures of three show of their images, DCutMix and Saliency-DCutMix, with their labels.

    augwise reproduce dcutmix/figure-4 --scale short --data imagenet imagenet:DIR

Paper: two mixtures of ImageNet images, no numbers; Saliency-DCutMix contains the salient part of every image that its
label names. Settings: K = 3, α = 1/3, the same draws; saliency as in Table 3 (input gradients of a network trained
without mixing). Beside the pictures: the mean share of an image's saliency that is in view, over 512 mixtures. Hours:
full about 400 (the network's training) on one current data-centre GPU, short 20, estimated. Wary: the share is of the
same saliency that Saliency-DCutMix centres its boxes on, whose largest value alone it looks at.
"""

from __future__ import annotations

from . import dcutmix_table_3
from .pictured import Mixed
from .recipe import Job, Place, Recipe, Scale
from .training import Training

_ROWS = ("DCutMix", "Saliency-DCutMix")


def job(scale: Scale, place: Place) -> Job | None:  # noqa: ARG001 - one job answers both rows
    """The mixers of Table 3."""
    ways = []
    for row in _ROWS:
        way = dcutmix_table_3.job(scale, Place("dcutmix/table-3-left", row, "top-1"))
        assert isinstance(way, Training)
        ways.append((row, way))
    return Mixed(tuple(ways))


RECIPE = Recipe(
    name="dcutmix/figure-4",
    title="what mixtures show of their images",
    source="DCutMix, Figure 4",
    tables=("dcutmix/figure-4",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if row == "DCutMix" else ("DCutMix", column),
    measured=lambda place: f"{place.row} evidence",
    claim="Saliency-DCutMix contains the salient information of all K images.",
    wary=("The share in view is of the saliency that Saliency-DCutMix follows itself.",),
    scales={
        name: Scale(about, hours, 1, words=dcutmix_table_3.RECIPE.scales[name].words)
        for name, about, hours in (
            ("full", "ImageNet, saliency by a ResNet-50 of 300 epochs", "about 400 GPU hours"),
            ("short", "ImageNet, saliency by a ResNet-50 of fewer epochs, as in Table 3", "about 20 GPU hours"),
            ("tiny", "300 handwritten digits at 16 px, saliency by the small CNN", "a minute on two cores"),
        )
    },
)
