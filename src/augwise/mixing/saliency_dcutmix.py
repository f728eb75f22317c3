"""Several images in one picture, each showing the part of it that matters most (Saliency-DCutMix).

With importance maps this is this project's guarded mixing of K images: what is pasted is evidence, not background.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from ..sample import Batch
from ..schedule import Probability
from .base import Mixer
from .dcutmix import mix_nested
from .several import Alpha, Draw, check_alpha
from .shares import Labels, check_labels
from .stick_breaking import paste_nested, stick_breaking_boxes
from .visual_saliency import fine_grained, spectral_residual

Saliency = Literal["map", "fine", "spectral"]
Place = Literal["nearest", "uniform"]
_OF_PIXELS: dict[str, Callable[[Tensor], Tensor]] = {"fine": fine_grained, "spectral": spectral_residual}


def peaks(saliency: Tensor) -> Tensor:
    """(N, 2) int64 row and column of the largest value of each map (N, H, W); the first in reading order of several."""
    flat = saliency.as_subclass(Tensor).flatten(1).argmax(1)
    width = saliency.shape[2]
    return torch.stack([flat.div(width, rounding_mode="floor"), flat % width], 1)


def check_saliency(saliency: Saliency) -> Saliency:
    """``saliency`` itself, if it is a source that exists."""
    if saliency not in get_args(Saliency):
        raise UserError(f"saliency={saliency!r} is unknown: use one of {', '.join(get_args(Saliency))}")
    return saliency


def salient_pixels(batch: Batch, saliency: Saliency, anywhere: Tensor) -> Tensor:
    """(N, 2) int64 row and column of the most salient pixel of each image, on the device of the images.

    saliency: "map" of the batch, or "fine" or "spectral" of its pixels; anywhere: (N, 2) uniforms, which choose the
    pixel of an image whose saliency is 0 everywhere, and so unknown.
    """
    if saliency == "map":
        assert batch.importance is not None
        found = batch.importance.as_subclass(Tensor)
    else:
        found = _OF_PIXELS[saliency](batch.images)
    device = batch.images.device
    whole = torch.tensor(batch.images.shape[-2:], device=device)
    free = (anywhere.to(device, non_blocking=True) * whole).long()
    if not len(found):
        return free
    known = found.amax((1, 2)) > 0
    return torch.where(known[:, None], peaks(found), free)


def around(peak: Tensor, sizes: Tensor, height: int, width: int) -> Tensor:
    """Top and left, (..., 2) int64, of windows of these sizes (..., 2) with the peak (..., 2) in the middle, moved just
    so far that they lie inside the picture."""
    most = torch.tensor([height, width], device=peak.device) - sizes
    return torch.minimum((peak - sizes // 2).clamp_min(0), most)


class SaliencyDCutMix(Mixer):
    """`DCutMix` whose pasted images show their most salient part (Saliency-DCutMix).

    The sizes of the nested boxes are those of stick breaking. What image k > 1 shows in its box is its own window of
    that size around its most salient pixel, moved inside the image where it would hang over; so areas follow φ as in
    `DCutMix`, and the salient object is in view. The paper's text says no more than that the centre of a patch is the
    most salient pixel.

    saliency: "map": the importance map of the batch, from a store or by the model in training (`LiveSaliency` as the
        step before); a map of zeros counts as unknown, and any window of its image may be shown. "fine" or "spectral":
        of the pixels alone, `fine_grained`, which the paper takes from OpenCV, or `spectral_residual`.
    place: where the box lies in the last image's box: "nearest" to the place that the window had in its own image, or
        "uniform" as in `DCutMix`.
    k: number of images; 1 leaves all as it is.
    alpha: of the Dirichlet distribution, one number for all images or one for each.
    labels: "area", "importance" or "half", as in `DCutMix`.
    p: probability that an image is mixed at all, in Python a `Ramp` too.
    per_batch: one φ and one set of sizes for the whole batch rather than per image.
    normalize: for labels by importance, make every map sum to 1 first, see `CutMix`.

    It draws the numbers of `DCutMix`, and a window of every image for the case that its saliency is unknown.
    """

    without_maps = "take the saliency of the pixels, saliency='fine' or 'spectral', with labels='area'"

    def __init__(
        self,
        k: int = 3,
        alpha: Alpha = 1.0,
        saliency: Saliency = "map",
        place: Place = "nearest",
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if place not in get_args(Place):
            raise UserError(f"place={place!r} is unknown: use one of {', '.join(get_args(Place))}")
        self.draw = Draw(check_alpha(alpha, k), p, per_batch)
        self.labels: Labels = check_labels(labels)
        self.saliency: Saliency = check_saliency(saliency)
        self.place: Place = place
        self.normalize = normalize

    @property
    def guarded(self) -> bool:
        return self.saliency == "map" or self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n, (height, width) = len(batch.images), batch.images.shape[-2:]
        mixed = self.draw.mixed(n, generator)
        shares = self.draw.shares(n, generator)
        position = self.draw.uniform(n, self.draw.k - 1, 2, generator=generator)
        anywhere = randomness.uniform(n, 2, generator=generator)
        rows = self.draw.rows(n, generator)
        boxes = stick_breaking_boxes(shares, height, width, position)
        device = batch.images.device
        boxes = boxes.to(device, non_blocking=True)
        corners = self._corners(batch, boxes, rows.to(device, non_blocking=True), anywhere)
        if self.place == "nearest":
            boxes = _moved(boxes, corners)
        return {"rows": rows, "boxes": boxes * mixed.to(device)[:, None, None], "corners": corners}

    def _corners(self, batch: Batch, boxes: Tensor, rows: Tensor, anywhere: Tensor) -> Tensor:
        """(N, K - 1, 2) top and left of what each image shows in its box."""
        height, width = batch.images.shape[-2:]
        peak = salient_pixels(batch, self.saliency, anywhere)
        return around(peak[rows[:, 1:]], boxes[..., 2:] - boxes[..., :2], height, width)

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        rows, boxes, corners = params["rows"], params["boxes"], params["corners"]
        return mix_nested(batch, rows, boxes, corners, self.labels, self.normalize)

    def mix_masks(self, masks: Tensor, params: dict[str, Any]) -> Tensor:
        return paste_nested(masks, params["rows"], params["boxes"], params["corners"])

    def extra_repr(self) -> str:
        how = self.draw.text(self.labels, self.normalize)
        return f"{how}, saliency={self.saliency!r}, place={self.place!r}"


def _moved(boxes: Tensor, corners: Tensor) -> Tensor:
    """The boxes (N, K - 1, 4), each as near to its window's own place as its parent allows."""
    moved = []
    low: Tensor | None = None
    high: Tensor | None = None
    for k in range(boxes.shape[1]):
        size = boxes[:, k, 2:] - boxes[:, k, :2]
        corner = corners[:, k]
        if low is not None and high is not None:
            corner = torch.minimum(torch.maximum(corner, low), high - size)
        low, high = corner, corner + size
        moved.append(torch.cat([low, high], 1))
    return torch.stack(moved, 1) if moved else boxes
