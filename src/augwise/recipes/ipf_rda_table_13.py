"""IPF-RDA, Table XIII: whose points guide the guard: corners, saliency or CDIEA.

    augwise reproduce ipf-rda/table-13 --scale full --columns ResNet-18 --data cifar10 npz:cifar10.npz

Paper: CIFAR-10, ResNet-18: corners 3.66, saliency 3.52, CDIEA 3.18 % error, nothing 4.72. Settings: the method is not
printed; the last row equals IPF-TrivialAugment's in Table I, so it is TrivialAugment. Saliency there is of a pretrained
ResNet-50, here of a ResNet-50 trained on the same images. Beside them plain TrivialAugment, each map's control, and one
centre for all images, which needs no map of the image. Hours: full about 2 (ResNet-18) to 10 (WRN-28-10) per run on one
current data-centre GPU, estimated. Wary: plain TrivialAugment (3.23 in Table I) is better than the paper's guard by
corners or saliency.
"""

from __future__ import annotations

from . import ipf_rda
from .recipe import Job, Place, Recipe, Scale

_SOURCES = {
    "corner points": ("corners", "resnet18"),
    "salient points": ("saliency", "resnet50"),
    "CDIEA": ("cdiea", "resnet18"),
    "one centre for all": ("centre", "resnet18"),
}
_PLAIN = "TrivialAugment"


def job(scale: Scale, place: Place) -> Job | None:
    """TrivialAugment, guarded by the row's maps."""
    train = ipf_rda.settings(scale, "cifar10", place.column)
    if place.row in ("baseline", _PLAIN):
        return ipf_rda.guarded(scale, train, place.row, "cifar10")
    estimator, model = _SOURCES[place.row.removeprefix("control ")]
    row = f"control {_PLAIN}" if place.row.startswith("control ") else f"IPF-{_PLAIN}"
    return ipf_rda.guarded(scale, train, row, "cifar10", ipf_rda.maps(scale, estimator, model))


def _against(row: str, column: str) -> tuple[str, str] | None:
    if row == "baseline":
        return None
    return ("baseline" if row == _PLAIN else _PLAIN), column


RECIPE = Recipe(
    name="ipf-rda/table-13",
    title="whose points guide the guard",
    source="IPF-RDA, Table XIII",
    tables=("ipf-rda/table-13",),
    job=job,
    hardware="one current data-centre GPU",
    against=_against,
    more_rows=(_PLAIN, "one centre for all", *ipf_rda.controls("corner points", "salient points", "CDIEA")),
    claim="CDIEA’s points guide best.",
    wary=("Plain TrivialAugment stands in the paper’s Table I, better than two of the three guards here.",),
    scales={
        "full": Scale("CIFAR-10, three networks, 300 epochs", "2 to 10 GPU hours a run", 3, words=ipf_rda.FULL),
        "short": Scale(
            "CIFAR-10, ResNet-18, 30 epochs", "about 12 GPU minutes a run", 5, columns=("ResNet-18",),
            words=ipf_rda.SHORT,
        ),
        "tiny": Scale(ipf_rda.DIGITS, "about 5 minutes on two cores", 2, columns=("ResNet-18",), words=ipf_rda.TINY),
    },
)  # fmt: skip
