"""DCutMix, Table 4: does confidence tell images of no known class? ImageNet-O, AUPR.

    augwise reproduce dcutmix/table-4 --scale full --data imagenet imagenet:DIR imagenet-o folder:DIR

Paper: training without mixing is the best, 16.96 %, DCutMix 16.73, CutMix 15.85. ResNet-50 networks are those of Table
3. Hours (estimated): full 400 GPU hours for each network, then minutes. Wary: AUPR depends on the share of foreign
images, which is its chance level; the score is the highest softmax probability.
"""

from __future__ import annotations

from . import dcutmix_table_3
from .analysed import Analysed
from .dcutmix import against_baseline
from .recipe import Job, Place, Recipe, Scale
from .training import Training


def job(scale: Scale, place: Place) -> Job | None:
    """The network of Table 3's row, asked about images of other things."""
    network = dcutmix_table_3.job(scale, Place("dcutmix/table-3-left", place.row, "top-1"))
    if not isinstance(network, Training):
        return None
    settings = (("foreign", scale.words.get("foreign", "imagenet-o")), ("limit", scale.words.get("limit")))
    return Analysed(network, "ood", settings)


RECIPE = Recipe(
    name="dcutmix/table-4",
    title="images of no known class",
    source="DCutMix, Table 4",
    tables=("dcutmix/table-4",),
    job=job,
    hardware="eight current data-centre GPUs for the networks",
    against=against_baseline,
    measured=lambda _place: "aupr",
    claim="DMixup and DCutMix keep more of the plain network’s detection than Mixup and CutMix.",
    wary=("The plain network is the best in the paper’s own table.",),
    scales={
        "full": Scale("ImageNet, ResNet-50, 300 epochs; ImageNet-O", "about 400 GPU hours a network", 1),
        "short": Scale(
            "ImageNet, ResNet-50, 18 epochs, baseline, CutMix and DCutMix; ImageNet-O",
            "about 24 GPU hours a network",
            1,
            rows=("baseline", "CutMix", "DCutMix"),
            words={"epochs": 18},
        ),
        "tiny": Scale(
            "handwritten digits at 16 px for ImageNet, noise for ImageNet-O, the small CNN for ResNet-50, 20 epochs",
            "about 3 minutes on two cores",
            2,
            words=dict(dcutmix_table_3.RECIPE.scales["tiny"].words) | {"foreign": "noise", "limit": 300},
        ),
    },
)
