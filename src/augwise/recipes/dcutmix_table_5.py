"""DCutMix, Table 5: accuracy under attack, and on natural adversarial images (ImageNet-A).

    augwise reproduce dcutmix/table-5 --scale full --data imagenet imagenet:DIR imagenet-a DIR

Paper: FGSM with the network's own gradients, PGD with those of a ResNet-50 of another seed (gray-box) and of a
ResNet-152 (black-box), ℓ∞, ε = 8/255; Saliency-DCutMix is the best throughout (41.37 % under FGSM), DCutMix is below
CutMix there (32.90 against 40.89) and on ImageNet-A (5.84 against 7.46). Hours (estimated): full 400 GPU hours for each
network. Wary: steps of PGD are not stated, 20 here; FGSM alone says little about robustness.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from . import dcutmix_table_3
from .analysed import Analysed
from .dcutmix import against_baseline
from .recipe import Job, Place, Recipe, Scale
from .training import Training

_ATTACKS = {
    "white-box FGSM": {"attack": "fgsm", "access": "white"},
    "gray-box PGD": {"attack": "pgd", "access": "grey"},
    "black-box PGD": {"attack": "pgd", "access": "black"},
}


def job(scale: Scale, place: Place) -> Job | None:
    """The network of Table 3's row under the column's attack; substitutes are trained without mixing."""
    network = dcutmix_table_3.job(scale, Place("dcutmix/table-3-left", place.row, "top-1"))
    if not isinstance(network, Training):
        return None
    limit = scale.words.get("limit", 5_000)
    if place.column == "ImageNet-A":
        known = scale.words.get("known", "imagenet-a")
        return None if known is None else Analysed(network, "natural", (("known", known),))
    asked: dict[str, Any] = _ATTACKS[place.column] | {"epsilon": "8/255", "limit": limit}
    other = None if asked["access"] == "white" else _substitute(scale, asked["access"])
    return Analysed(network, "robustness", tuple(sorted(asked.items())), other)


def _substitute(scale: Scale, access: str) -> Training:
    plain = dcutmix_table_3.job(scale, Place("dcutmix/table-3-left", "baseline", "top-1"))
    assert isinstance(plain, Training)
    other = scale.words.get("black", "torchvision:resnet152")
    return plain if access == "grey" else replace(plain, train=replace(plain.train, model=other))


RECIPE = Recipe(
    name="dcutmix/table-5",
    title="accuracy under attack and on ImageNet-A",
    source="DCutMix, Table 5",
    tables=("dcutmix/table-5",),
    job=job,
    hardware="eight current data-centre GPUs for the networks",
    against=against_baseline,
    claim="Mixing makes networks more robust, Saliency-DCutMix the most.",
    wary=("DCutMix is below CutMix for FGSM and on ImageNet-A in the paper’s own table.",),
    scales={
        "full": Scale("ImageNet, ResNet-50 and ResNet-152, 300 epochs; ImageNet-A", "about 400 GPU hours a network", 1),
        "short": Scale(
            "ImageNet, ResNet-50 and ResNet-152, 18 epochs, baseline, CutMix and DCutMix",
            "about 24 GPU hours a network",
            1,
            rows=("baseline", "CutMix", "DCutMix"),
            words={"epochs": 18},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px for ImageNet, the small CNN for ResNet-50, resnet9 for ResNet-152, 20 epochs",
            "about 4 minutes on two cores",
            2,
            columns=tuple(_ATTACKS),
            words=dict(dcutmix_table_3.RECIPE.scales["tiny"].words) | {"limit": 200, "known": None, "black": "resnet9"},
        ),
    },
)
