"""RandomResizedCrop of a batch, every image its own box, antialiased: against torchvision image by image and Kornia.

    python -m benchmarks.resized_crop --json resized_crop.json

128 × 3 × 256 × 256 uint8 to 224 px, with and without the map, on the GPU where there is one. ``by matrices`` is what
runs on a GPU, measured here wherever this runs; Kornia's takes floats and does not antialias by default.
"""

from __future__ import annotations

from typing import Any

from ._common import medians_ms, run, version  # first: it sets the thread variables  # isort: skip

import torch
from torchvision.transforms import v2

import augwise as aw
from augwise.transforms.resized_crop import resized_crop_by_matrices


def measure() -> dict[str, Any]:
    """Median milliseconds per batch."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    n = 128 if device.type == "cuda" else 32
    images = torch.randint(0, 256, (n, 3, 256, 256), dtype=torch.uint8, device=device)
    maps = torch.rand(n, 256, 256, device=device)
    batch = aw.Batch.of(images, torch.zeros(n, dtype=torch.int64, device=device), maps)
    bare = batch._replace(importance=None)
    ours, theirs = aw.RandomResizedCrop(224), v2.RandomResizedCrop(224, antialias=True)
    boxes = ours.make_params(images, None, None)["boxes"]
    functions: dict[str, Any] = {
        "ours, images": lambda: ours(bare),
        "ours, images and maps": lambda: ours(batch),
        "by matrices, images": lambda: resized_crop_by_matrices(images, boxes, (224, 224)),
        "torchvision, image by image": lambda: torch.stack([theirs(image) for image in images]),
    }
    if version("kornia"):
        from kornia.augmentation import RandomResizedCrop

        kornias, floats = RandomResizedCrop((224, 224), cropping_mode="resample"), images.float() / 255
        functions["kornia, floats, no antialiasing"] = lambda: kornias(floats)
    found = medians_ms(functions, budget=6.0 if device.type == "cpu" else 2.0, rounds=3)
    return {"device": device.type, "images": n, **{f"{name}, ms": ms for name, ms in found.items()}}


if __name__ == "__main__":
    run(__doc__, measure)
