"""DCutMix, Figure 2: images whose loss varies much with what is mixed over them, and images whose loss does not.

    augwise reproduce dcutmix/figure-2 --scale short --data cifar100 npz:cifar100.npz

Paper: pictures, of ImageNet by their looks, without numbers. Settings: CIFAR-100 (that of Figure 5a) in its place, and
its scores: the coefficient of variation of an image's loss over 10 mixtures of three images. Beside the pictures: the
mean score of the tenth of the images at either end. Hours: full about 12 on one current data-centre GPU, nearly all of
it the scoring network's training, estimated. Wary: deviation over mean is large where the mean is small, so that these
are easy images first of all.
"""

from __future__ import annotations

from dataclasses import replace

from . import dcutmix_figure_5a
from .chosen import Scored
from .recipe import Job, Place, Recipe, Scale


def job(scale: Scale, place: Place) -> Job | None:  # noqa: ARG001 - one job answers both rows
    """The scores of all training images."""
    return Scored(replace(dcutmix_figure_5a.choice(scale, "high CV", 0.1), seed=None))


RECIPE = Recipe(
    name="dcutmix/figure-2",
    title="images whose loss varies most and least under mixing",
    source="DCutMix, Figure 2",
    tables=("dcutmix/figure-2",),
    job=job,
    hardware="one current data-centre GPU",
    measured=lambda place: "highest" if place.row.startswith("most") else "lowest",
    claim="There are images whose loss hangs on what covers them, and others on which it does not.",
    wary=("Other images than the paper’s.",),
    scales={
        "full": Scale("CIFAR-100, scores by PyramidNet-110 of 300 epochs", "about 12 GPU hours", 1,
                      words=dcutmix_figure_5a.RECIPE.scales["full"].words),
        "short": Scale("CIFAR-100, scores by PyramidNet-110 of 40 epochs", "about 90 GPU minutes", 1,
                       words=dcutmix_figure_5a.RECIPE.scales["short"].words),
        "tiny": Scale("300 handwritten digits at 16 px, scores by the small CNN", "a minute on two cores", 2,
                      words=dcutmix_figure_5a.RECIPE.scales["tiny"].words),
    },
)  # fmt: skip
