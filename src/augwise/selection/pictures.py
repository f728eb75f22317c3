"""Any map-style data set as batches of float images by row, kept in memory where they fit. Reads that set alone."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import UserError
from ..importance.job import check_model
from ..importance.rows import Rows, check_size

_KEPT = 1 << 30  # bytes of images that are kept rather than read anew
_LOOKED_AT = 8


@final
class Pictures:
    """Rows of a data set as ``(n, C, H, W)`` float32 images in [0, 1] on a device.

    dataset: a `Source` or any map-style data set, all images of one size. Data sets of up to ``kept`` bytes are read
    once, larger ones whenever a row is asked for.
    """

    def __init__(
        self, dataset: Any, device: torch.device | str = "cpu", progress: bool = True, kept: int = _KEPT
    ) -> None:
        self.rows = dataset if isinstance(dataset, Rows) else Rows(dataset)
        self.device = torch.device(device)
        self.progress = progress
        self.shape = tuple(self.rows[0][0].shape)
        self.labels = torch.from_numpy(self.rows.labels(progress).copy()).to(self.device)
        fits = len(self.rows) * torch.Size(self.shape).numel() <= kept
        self._kept: Tensor | None = None
        self._keeps = fits

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: Tensor) -> Tensor:
        """The images of these rows, (n,) int64 in any order, also the same row several times."""
        if self._keeps and self._kept is None:
            shown = tqdm(range(len(self)), f"reading {self.rows.name}", disable=not self.progress, leave=False, delay=2)
            self._kept = torch.stack([self._read(i) for i in shown]).to(self.device)
        if self._kept is not None:
            images = self._kept[rows.to(self.device)]
        else:
            different, place = rows.cpu().unique(return_inverse=True)
            images = torch.stack([self._read(i) for i in different.tolist()]).to(self.device)[place.to(self.device)]
        return images.float().div_(255)

    def _read(self, row: int) -> Tensor:
        image, _ = self.rows[row]
        check_size(image, self.shape, row)
        return image

    def check(self, model: nn.Module) -> None:
        """`UserError` unless the model, in eval mode, gives finite logits of these classes for some of these images."""
        spread = torch.linspace(0, len(self) - 1, min(len(self), _LOOKED_AT)).long()
        check_model(model, self.batch(spread), int(self.labels.max()), self.rows.class_names)


def home(model: nn.Module, device: torch.device | str | None) -> torch.device:
    """The device that was asked for, else the one that the model lies on."""
    if device is not None:
        return torch.device(device)
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def check_batch_size(batch_size: int) -> None:
    """`UserError` unless it is a number of images."""
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size}: give 1 or more images per forward pass")
