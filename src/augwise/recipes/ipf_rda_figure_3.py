"""IPF-RDA, Figure 3: images of CIFAR-10 through each method, plain and guarded, and how much evidence each overwrites.

    augwise reproduce ipf-rda/figure-3 --scale short --data cifar10 npz:cifar10.npz

Paper: pictures without numbers; the guard keeps critical information or puts it back. Settings: maps and methods as in
Table I. Beside the pictures: the mean share of an image's importance that is overwritten, over 512 training images,
plain, guarded, and by another image's map. Hours (estimated): full 1 on one current data-centre GPU, nearly all of it
the model's training. Wary: the share is of the very maps that the guard follows, so that it must be small; whether the
evidence is in them is another question (`augwise fidelity`), and whether it helps is Table I.
"""

from __future__ import annotations

from . import ipf_rda
from .pictured import Augmented
from .recipe import Job, Place, Recipe, Scale

_PREFIX = {"plain": "", "guarded": "IPF-", "control": "control "}


def job(scale: Scale, place: Place) -> Job | None:
    """All arms of the row's method."""
    train = ipf_rda.settings(scale, "cifar10", "ResNet-18")
    ways = ((arm, ipf_rda.guarded(scale, train, prefix + place.row, "cifar10")) for arm, prefix in _PREFIX.items())
    return Augmented(place.row, tuple(ways))


RECIPE = Recipe(
    name="ipf-rda/figure-3",
    title="what methods make of images, with and without the guard",
    source="IPF-RDA, Figure 3",
    tables=("ipf-rda/figure-3",),
    job=job,
    hardware="one current data-centre GPU",
    against=lambda row, column: None if column == "plain" else (row, "plain"),
    measured=lambda place: f"{place.column} evidence",
    more_columns=("control",),
    claim="The guard keeps critical information from being removed, or restores it.",
    wary=(
        "The share is of the maps that the guard follows itself.",
        "Pictures are of images of which the plain method overwrites most importance, which flatters the others.",
        "A method of the whole image counts as changing every pixel.",
        "AdvMask masks the key points on purpose; its guard puts one square back.",
    ),
    scales={
        "full": Scale("CIFAR-10, maps by a ResNet-18 of 300 epochs", "about 1 GPU hour", 1, words=ipf_rda.FULL),
        "short": Scale("CIFAR-10, maps by a ResNet-18 of 30 epochs", "about 10 GPU minutes", 1, words=ipf_rda.SHORT),
        "tiny": Scale(
            "300 handwritten digits at 16 px, maps by the small CNN, regions half as long", "a minute on two cores", 2,
            words=ipf_rda.TINY,
        ),
    },
)  # fmt: skip
