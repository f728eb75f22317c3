"""IPF-RDA, Table IX: how often CDIEA succeeds, with how many pixels, at ε 8/255.

    augwise reproduce ipf-rda/table-9 --scale full --data cifar10 npz:cifar10.npz --data cifar100 npz:cifar100.npz \
        --data tiny-imagenet tiny-imagenet:DIR --data market1501 market1501:DIR --data cuhk03 cuhk03:DIR

Paper: CIFAR-10 100 % with 164.1 pixels of 1 024, CIFAR-100 100 % with 172.5, Tiny-ImageNet 98.9 % with 248.75 of 4 096;
Market-1501 100 % with 1731.04 and CUHK03 99.9 % with 1889.9, of 49 152 by their shares. Settings, not printed: the
target model is a ResNet-18, all training images, 100 steps, but for the CIFARs with α to 10, ν 100; of people the
ResNet-50 that is behind the maps of `ipf-rda/table-3`, at 384 × 128, a U-Net for each image. The model is one for each
seed. Hours: full about 2 per run on one current data-centre GPU, of people 8, nearly all of it the model's training,
estimated. Wary: pixels are counted, once for all channels; an image that the model mistakes already counts as a success
with few pixels; a better trained model takes more of them.
"""

from __future__ import annotations

from dataclasses import replace

from . import ipf_rda, ipf_rda_table_3
from .measuring import Attack
from .prepared import Prepared
from .recipe import Job, Place, Recipe, Scale

_MEASURED = {
    "ipf-rda/table-9-asr": "success_rate", "ipf-rda/table-9-l0": "key_points", "ipf-rda/table-9-pixels": "pixel_share",
}  # fmt: skip


def job(scale: Scale, place: Place) -> Job | None:
    """The row's training images; all three tables are of one attack."""
    w = scale.words
    if place.row in ipf_rda_table_3.DATA:
        of_people = replace(scale, words=w["people"])
        train = ipf_rda_table_3.settings(of_people, ipf_rda_table_3.DATA[place.row])
        return Attack(Prepared(train, ipf_rda_table_3.maps(of_people)))
    data = ipf_rda.DATA[place.row]
    train, maps = ipf_rda.settings(scale, data, "ResNet-18"), ipf_rda.maps(scale)
    if data == "tiny-imagenet":
        train = replace(train, **w["tiny_imagenet"])
        maps = ipf_rda.of_larger(scale, maps, **ipf_rda.LARGER)
    return Attack(Prepared(train, maps))


_SIZE = {"tiny_imagenet": {"size": 64, "eval_split": "val", "crop_padding": 4}}

RECIPE = Recipe(
    name="ipf-rda/table-9",
    title="CDIEA’s success and number of pixels",
    source="IPF-RDA, Table IX",
    tables=tuple(_MEASURED),
    job=job,
    hardware="one current data-centre GPU",
    measured=lambda place: _MEASURED[place.table],
    claim="CDIEA succeeds nearly always, with a small share of the pixels.",
    wary=("The paper does not print the attacked model, which images, nor how many steps.",),
    scales={
        "full": Scale(
            "CIFAR-10, CIFAR-100 and Tiny-ImageNet, ResNet-18 of 300 epochs; Market-1501 and CUHK03, ResNet-50 of 120 "
            "epochs; 100 steps", "about 2 to 8 GPU hours a run", 3,
            words={**ipf_rda.FULL, **_SIZE, "people": ipf_rda_table_3.FULL},
        ),
        "short": Scale(
            "CIFAR-10, ResNet-18 of 30 epochs, 100 steps", "about 15 GPU minutes a run", 2, rows=("CIFAR-10",),
            words={**ipf_rda.SHORT, **_SIZE},
        ),
        "tiny": Scale(
            "300 handwritten digits at 16 px for CIFAR-10, the small CNN; pairs of digits at 32 × 16 for Market-1501, "
            "a narrow network; ε 32/255, 40 steps", "3 minutes on two cores", 2,
            rows=("CIFAR-10", "Market1501"),
            words={**ipf_rda.TINY, "people": ipf_rda_table_3.TINY},
        ),
    },
)  # fmt: skip
