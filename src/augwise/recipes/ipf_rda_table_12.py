"""IPF-RDA, Table XII: by how much the guard lengthens training, Cutout and AutoAugment.

    augwise reproduce ipf-rda/table-12 --scale full --jobs 1 --data cifar10 npz:cifar10.npz \
        --data cifar100 npz:cifar100.npz

Paper: 0.1 to 3.1 %, Shake-Shake with AutoAugment 9.6 % (the text says at most 3), on two 2080 Ti with batches of 256
and 8 workers; 1.82, 4.12 and 5.25 billion FLOPs, Shake-Shake 426.89 million. Settings: a run trains the plain method
and then the guarded one for a few epochs; the median epoch counts. FLOPs are counted, of the networks at 32 px and as
the paper's numbers fit: its ResNets with ImageNet's stem at 224 px. Hours: full less than 2 for all on one current
data-centre GPU, estimated. Wary: what else runs on the machine shows, and here images lie on the device, so that
nothing hides what a guard costs; negative numbers are noise.
"""

from __future__ import annotations

from dataclasses import replace

from . import ipf_rda
from .measuring import Overhead, Size
from .recipe import Job, Place, Recipe, Scale

_FLOPS = "ipf-rda/table-12-flops"
_PRINTED = ("FLOPs (G)", "FLOPs (M)")
_OWN = "as trained, 32 px (G)"


def _size(place: Place) -> Size | None:
    """The row's network as it is trained, or as the paper must have counted it; in the unit that it prints."""
    model = ipf_rda.NETWORKS[place.row]
    if place.column == _OWN:
        return Size(model, (3, 32, 32), 10)
    if place.column not in _PRINTED or (place.column == "FLOPs (M)") != place.row.startswith("Shake"):
        return None
    if place.row.startswith("ResNet"):
        return Size(f"torchvision:{model}", (3, 224, 224), 1000)
    return Size(model, (3, 32, 32), 10)


def job(scale: Scale, place: Place) -> Job | None:
    """The column's method, guarded and plain, with the row's network."""
    if place.table == _FLOPS:
        return _size(place)
    if " / " not in place.column:
        return None
    method, name = place.column.split(" / ")
    data, w = ipf_rda.DATA[name], scale.words
    train = ipf_rda.settings(scale, data, place.row)
    train = replace(train, epochs=w["timed"], batch_size=min(256, w["largest"]), eval_last=1)
    guarded, plain = (ipf_rda.guarded(scale, train, row, data) for row in (f"IPF-{method}", method))
    return Overhead(guarded, plain)


RECIPE = Recipe(
    name="ipf-rda/table-12",
    title="time that the guard adds to training",
    source="IPF-RDA, Table XII",
    tables=("ipf-rda/table-12-overhead", _FLOPS),
    job=job,
    hardware="one current data-centre GPU",
    measured=lambda place: "overhead" if place.table != _FLOPS else "mega" if "(M)" in place.column else "giga",
    more_columns=(_OWN,),
    claim="The guard adds no more than 3 % (the table has 9.6 % in one place).",
    wary=(
        "Times are of this machine and of what ran beside: give --jobs 1.",
        "FLOPs: multiply-adds, normalisation, ReLU and pooling; the paper’s ResNets fit at 224 px.",
    ),
    scales={
        "full": Scale(
            "both CIFARs, four networks, five epochs of each arm", "less than 2 GPU hours", 5,
            words={**ipf_rda.FULL, "base_epochs": 30, "timed": 6, "largest": 256},
        ),
        "short": Scale(
            "CIFAR-10, ResNet-18, three epochs of each arm", "about 20 GPU minutes, maps included", 3,
            rows=("ResNet-18",), columns=("Cutout / CIFAR-10", "AutoAugment / CIFAR-10", *_PRINTED, _OWN),
            words={**ipf_rda.SHORT, "timed": 4, "largest": 256},
        ),
        "tiny": Scale(
            "300 handwritten digits at 16 px, the small CNN, three epochs of each arm", "a minute on two cores", 2,
            rows=("ResNet-18",), columns=("Cutout / CIFAR-10", "AutoAugment / CIFAR-10", *_PRINTED, _OWN),
            words={**ipf_rda.TINY, "timed": 4, "largest": 25},
        ),
    },
)  # fmt: skip
