"""Every mixer of the catalogue beside torchvision, timm and Kornia: time, and cost in units of torchvision's CutMix.

    python -m benchmarks.mixing --json mixing.json

A batch of 128 float images of 32 px, or of 32 of 224 px, with labels of 10 classes, in memory; one thread. Every image
of ours draws its own numbers; torchvision draws once for a batch, timm here for every image ("elem"), Kornia for every
image too. Mixers that look at maps are given them. ``NAME_SIDE_ms`` is the median of a batch, images and labels;
``NAME_SIDE_to_torchvision_cutmix`` the same as a multiple of ``torchvision_cutmix_SIDE_ms``. With `mixing_solvers`,
what it measures of mixers that solve a problem per batch is added. Peers that are not installed are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import util
from typing import Any

from ._common import medians_ms, run, version  # before torch: it sets the thread variables

# isort: split
import torch
from torch import Tensor
from torchvision.transforms import v2

import augwise as aw
from augwise import catalogue

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
BATCH = {32: 128, 224: 32}
CLASSES = 10
OF_BETA = {"alpha": 1.0}
"""What peers' CutMix draws; of entries whose strength is a length, too, so that all paste as much."""
ALSO = {"dmixup_k5": ("dmixup", {"k": 5}), "dcutmix_k5": ("dcutmix", {"k": 5})}
Calls = dict[str, Callable[[], Any]]


def data(side: int) -> aw.Batch:
    """Random pictures and sparse maps."""
    generator = torch.Generator().manual_seed(side)
    n = BATCH[side]
    images = torch.rand(n, 3, side, side, generator=generator)
    maps = torch.rand(n, side, side, generator=generator) * (torch.rand(n, side, side, generator=generator) < 0.15)
    return aw.Batch.of(images, torch.arange(n) % CLASSES, maps).to(DEVICE)


def options(entry: catalogue.Entry) -> dict[str, Any]:
    """A mixer's usual strength; Beta(1, 1) where that would be a length."""
    if not entry.strength or entry.usual is None:
        return {}
    return dict(OF_BETA) if entry.strength == "length" else {entry.strength: entry.usual}


def named(entry: catalogue.Entry) -> str:
    """``dcutmix_k3`` for what takes several images, else the entry's name."""
    return f"{entry.name}_k{entry.usual}" if entry.strength == "k" else entry.name


def ours(batch: aw.Batch) -> Calls:
    """Every mixer of the catalogue, plain, on a batch with maps only where it looks at them."""
    known = {name: entry for name, entry in catalogue.methods().items() if entry.kind == "mixing"}
    made = {named(entry): (entry, options(entry)) for entry in known.values()}
    made |= {name: (known[of], own) for name, (of, own) in ALSO.items()}
    bare = batch._replace(importance=None, evidence=torch.zeros_like(batch.evidence))
    calls: Calls = {}
    for name, (entry, own) in made.items():
        mixer = entry.load()(**own)
        given = batch if mixer.guarded else bare
        calls[name] = lambda mixer=mixer, given=given: mixer(given)
    return calls


def peers(batch: aw.Batch) -> Calls:
    """Mixup and CutMix of other libraries."""
    images, labels = batch.images.as_subclass(Tensor), batch.labels
    calls: Calls = {}
    for name, mixer in (("cutmix", v2.CutMix(num_classes=CLASSES)), ("mixup", v2.MixUp(num_classes=CLASSES))):
        calls[f"torchvision_{name}"] = lambda mixer=mixer: mixer(images, labels)
    if version("timm"):
        from timm.data.mixup import Mixup

        for name, cut in (("cutmix", 1.0), ("mixup", 0.0)):
            both = Mixup(mixup_alpha=1.0 - cut, cutmix_alpha=cut, mode="elem", num_classes=CLASSES)
            # It writes into what it is given: a training loop reads each batch once, so it gets one to spoil.
            calls[f"timm_{name}_elem"] = lambda both=both: both(images.clone(), labels)
    if version("kornia"):
        import kornia.augmentation as K

        cutmix, mixup = K.RandomCutMixV2(data_keys=["input", "class"]), K.RandomMixUpV2(data_keys=["input", "class"])
        calls |= {"kornia_cutmix": lambda: cutmix(images, labels), "kornia_mixup": lambda: mixup(images, labels)}
    return calls


def measure() -> dict[str, Any]:
    warnings.simplefilter("ignore")  # peers' deprecations
    torch.manual_seed(0)
    results: dict[str, Any] = {"device": DEVICE.type}
    for side in BATCH:
        batch = data(side)
        taken = medians_ms({**ours(batch), **peers(batch)}, budget=0.8, rounds=4)
        results |= {f"{name}_{side}_ms": ms for name, ms in taken.items()}
        unit = taken["torchvision_cutmix"]
        results |= {f"{name}_{side}_to_torchvision_cutmix": ms / unit for name, ms in taken.items()}
    if util.find_spec("benchmarks.mixing_solvers"):
        from . import mixing_solvers  # pyright: ignore[reportAttributeAccessIssue]

        results |= mixing_solvers.measure()
    return results


if __name__ == "__main__":
    run(__doc__, measure)
