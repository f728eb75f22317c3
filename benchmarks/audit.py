"""Audit: images per second, all included and through the pipeline alone, beside the bare transform.

512 images of 32 px (noise), the small CNN as reference model, maps computed as it goes.
"""

from __future__ import annotations

import statistics
from typing import Any

from . import _common  # sets the thread variables, so before torch

import torch  # isort: skip

import augwise as aw
from augwise.analysis.pipelines import RECIPES
from augwise.data import ArraySource

IMAGES, SIDE, CLASSES = 512, 32, 10
PIPELINES = ("crop-flip", "resized-crop", "trivialaugment", "randaugment", "torchvision-train", "timm-train", "cutmix")


def measure() -> dict[str, Any]:
    """Per pipeline: seconds of a whole audit with and without a model, images/s followed, images/s of the bare
    transform on the same images and in the form it was made for (mixers: in batches of 32), and their ratio."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, SIDE, SIDE), dtype=torch.uint8)
    source = ArraySource(images, torch.arange(IMAGES).remainder(CLASSES).numpy(), list("0123456789"), "noise")
    model = aw.Normalized(aw.models.build("small_cnn", CLASSES, seed=0), [0.5] * 3, [0.25] * 3).eval()
    results: dict[str, Any] = {"images": IMAGES, "side": SIDE}
    for name in PIPELINES:
        package = RECIPES[name].package
        if package is not None and _common.version(package) is None:
            continue
        make, key = RECIPES[name].make, name.replace("-", "_")
        bare = _bare(make(SIDE, CLASSES), images, mixes=name == "cutmix")
        rates, seconds = [], {}
        for given in (model, None):
            found = [aw.audit(source, make(SIDE, CLASSES), model=given, progress=False, cases=0) for _ in range(3)]
            rates += [f.transforms[0].images_per_second for f in found]
            seconds[given is None] = statistics.median(f.seconds for f in found)
        results[f"{key}_audit_s"] = seconds[False]
        results[f"{key}_audit_without_model_s"] = seconds[True]
        results[f"{key}_followed_per_s"] = statistics.median(rates)
        results[f"{key}_bare_per_s"] = bare
        results[f"{key}_bare_over_followed"] = bare / statistics.median(rates)
    return results


def _bare(transform: Any, images: torch.Tensor, mixes: bool) -> float:
    """Images per second of the transform as its users call it: on PIL images if it is of torchvision's v1 or timm."""
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    if mixes:
        batches, labels = (images.float() / 255).split(32), torch.arange(32) % CLASSES
        return IMAGES / statistics.median(_common.seconds_of(lambda: [transform(b, labels) for b in batches], 1.0, 3))
    v1 = not isinstance(transform, v2.Transform)
    items = [v2.functional.to_pil_image(i) if v1 else tv_tensors.Image(i) for i in images]
    return IMAGES / statistics.median(_common.seconds_of(lambda: [transform(i) for i in items], 1.0, 3))


if __name__ == "__main__":
    _common.run(__doc__, measure)
