"""A whole data set on the training device: no workers, no copies, batches by indexing.

Reads its source and store once; afterwards touches its own tensors alone.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as V
from tqdm import tqdm

from ..errors import UserError
from ..sample import Batch
from .collate import check_alike
from .sources import Source, as_source
from .with_importance import attach, fit, total


@final
class Resident:
    """Images, labels and maps of a data set on one device.

    images: (N, C, H, W) uint8; labels: (N,) int64; maps: (N, h, w) uint8 with scale (N,) float32 (superpixel maps:
    float32, scale 1), or both None; indices: (N,) int64, rows in the source. stretch: (N,) float32, how many times
    wider than high each image was before it was stretched to the square that is kept, or None. Make one with
    `Resident.load`.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        maps: Tensor | None,
        scale: Tensor | None,
        class_names: list[str],
        stretch: Tensor | None = None,
    ) -> None:
        self.stretch = stretch
        self.images, self.labels, self.maps, self.scale = images, labels, maps, scale
        self.indices = torch.arange(len(images), device=images.device)
        self.class_names = class_names

    @classmethod
    def load(
        cls,
        source: Any,
        store: Any = None,
        device: torch.device | str = "cpu",
        progress: bool = True,
        size: int | None = None,
    ) -> Resident:
        """Read a whole source (and its maps) onto a device.

        source: a `Source` or any map-style data set, all images of one size unless ``size`` is given; store: see
        `WithImportance`. size: keep every image whole, stretched to a square of so many pixels; `stretch` tells its
        shape before that.
        Raises `UserError` where sizes differ or the device has too little memory.
        """
        source = as_source(source)
        attached = attach(store, source)
        first = source[0][0]
        if first.dtype != torch.uint8:
            raise UserError(
                f"image 0 of {source.name} has type {first.dtype}: a source gives uint8 pixels from 0 to 255 "
                "(floats in [0, 1]: (image * 255).round().to(torch.uint8))"
            )
        grid = 0 if attached is None else _map_bytes(attached)
        shape = tuple(first.shape) if size is None else (first.shape[0], size, size)
        check_memory(len(source) * (math.prod(shape) + grid), torch.device(device))
        images = torch.empty(len(source), *shape, dtype=torch.uint8)
        stretch = None if size is None else torch.empty(len(source))
        for i in tqdm(range(len(source)), desc=f"reading {source.name}", disable=not progress, leave=False):
            image = source[i][0]
            if stretch is not None:
                stretch[i] = image.shape[-1] / image.shape[-2]
                image = V.resize(image, list(shape[1:]), antialias=True)
            check_alike(images[0], image, 0, i)
            images[i] = image
        maps = scale = None
        if attached is not None:
            maps, scale = (torch.as_tensor(part).to(device) for part in attached.packed())
        stretch = None if stretch is None else stretch.to(device)
        return cls(images.to(device), _labels(source).to(device), maps, scale, list(source.class_names), stretch)

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, rows: Tensor) -> Batch:
        """The images of these rows, (n,) int64 on any device, as a fresh `Batch`: uint8 images, float32 maps."""
        rows = rows.to(self.images.device, non_blocking=True)
        importance = evidence = None
        if self.maps is not None and self.scale is not None:
            importance = self.maps[rows].float() * self.scale[rows][:, None, None]
            importance = fit(importance, *self.images.shape[-2:])
            evidence = total(importance)
        return Batch.of(self.images[rows], self.labels[rows], importance, self.indices[rows], evidence)


def check_memory(needed: int, device: torch.device) -> None:
    """Raise `UserError` if ``needed`` bytes are more than nine tenths of what the device has free."""
    free = free_bytes(device)
    if free is not None and needed > 0.9 * free:
        raise UserError(
            f"the data set needs {needed / 2**30:.1f} GiB on {device}, which has {free / 2**30:.1f} GiB free: read it "
            "through WithImportance and a DataLoader instead, use smaller images (size=), or fewer (limit=)"
        )


def free_bytes(device: torch.device) -> int | None:
    """Bytes of memory that are free on a device; None where that is not known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if device.type != "cpu" or not meminfo.is_file():
        return None
    fields = (line.split() for line in meminfo.read_text().splitlines())
    return next((int(parts[1]) * 1024 for parts in fields if parts[0] == "MemAvailable:"), None)


def _labels(source: Source) -> Tensor:
    return torch.as_tensor(source.labels, dtype=torch.int64).clone()


def _map_bytes(attached: Any) -> int:
    """Bytes of one map; foreign maps, which do not say, have one for each pixel."""
    known = getattr(attached, "packed_bytes", None)
    return math.prod(attached.read(0).shape[-2:]) if known is None else known
