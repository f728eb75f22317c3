"""IPF-RDA, Figure 5: for how many images the gradient hardly changes under attack.

    augwise reproduce ipf-rda/figure-5 --scale short --data cifar10 npz:cifar10.npz

Paper: for over 98 % of CIFAR-10's training images the change is below 1 % of the gradient; that is why maps made by an
attack are said to say what saliency says. Settings: network, attack and norm are not stated; ResNet-18 trained as in
Table I, PGD of 20 steps, ‖Δg‖₂ / ‖g‖₂ of the gradient of the label's cross-entropy in pixels. Hours (estimated): full 2
for the network, then minutes. Wary: on small networks nothing like it is seen; see `augwise analyse gradients`, which
also computes both sides of Eq. 3 and 4.
"""

from __future__ import annotations

from . import ipf_rda
from .analysed import Analysed
from .recipe import Job, Place, Recipe, Scale
from .training import training


def job(scale: Scale, place: Place) -> Job | None:  # noqa: ARG001
    """A plainly trained network under PGD."""
    w = scale.words
    network = training(ipf_rda.settings(scale, "cifar10", "ResNet-18"))
    return Analysed(network, "gradients", (("epsilon", w["attacked"]), ("limit", w["shown"])))


RECIPE = Recipe(
    name="ipf-rda/figure-5",
    title="images whose gradient changes by less than 1 % under attack",
    source="IPF-RDA, Figure 5",
    tables=("ipf-rda/figure-5",),
    job=job,
    hardware="one current data-centre GPU",
    measured=lambda _place: "share",
    claim="Over 98 % of the images lie below 1 %.",
    wary=("The attack, its ε and the norm are not stated: 8/255, and 1/255 at the scale tiny.",),
    scales={
        "full": Scale("CIFAR-10, ResNet-18, 300 epochs; 10 000 training images", "about 2 GPU hours a run", 3,
                      words={**ipf_rda.FULL, "attacked": "8/255", "shown": 10_000}),
        "short": Scale("CIFAR-10, ResNet-18, 30 epochs; 2 000 training images", "about 15 GPU minutes a run", 3,
                       words={**ipf_rda.SHORT, "attacked": "8/255", "shown": 2_000}),
        "tiny": Scale(f"{ipf_rda.DIGITS}; 100 of them attacked", "about a minute on two cores", 2,
                      words={**ipf_rda.TINY, "attacked": "1/255", "shown": 100}),
    },
)  # fmt: skip
