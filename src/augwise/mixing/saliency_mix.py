"""Paste the box around the most salient pixel of another image into each image (SaliencyMix)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import randomness
from ..sample import Batch
from ..schedule import Probability
from .base import Mixer
from .dcutmix import mix_nested
from .saliency_dcutmix import Saliency, check_saliency, salient_pixels
from .several import Draw, check_pair
from .shares import Labels, check_labels
from .stick_breaking import paste_nested


def clipped_boxes(centre: Tensor, sizes: Tensor, height: int, width: int) -> Tensor:
    """(N, 4) int64 boxes (top, left, bottom, right) of these sizes (N, 2) that begin at centre - size // 2, cut off at
    the border of the picture; centre: (N, 2) int64."""
    whole = torch.tensor([height, width], device=centre.device)
    begin = centre - sizes // 2
    return torch.cat([begin.clamp_min(0), torch.minimum(begin + sizes, whole)], 1)


class SaliencyMix(Mixer):
    """`CutMix` whose box shows the most salient part of the partner (Uddin et al., ICLR 2021, section 3).

    λ ~ Beta(alpha, alpha) for each image; the box of round(H √(1 - λ)) by round(W √(1 - λ)) lies around the partner's
    most salient pixel, cut off at the border, and is pasted at the same place. The partner's weight is its exact share
    of the pixels.

    alpha: of the beta distribution; 1 (the paper): uniform.
    saliency: "fine", of the pixels (`fine_grained`, which the paper takes from OpenCV), "spectral"
        (`spectral_residual`), or "map": the importance map of the batch; a map of zeros counts as unknown, and the box
        may then lie anywhere.
    labels: "area", "importance" or "half", as in `CutMix`; the last two need maps.
    p: probability that an image is mixed at all, in Python a `Ramp` too; the released program's for CIFAR is 0.5.
    per_batch: one λ for the whole batch. The box stays that of each image's own partner, where the released program
        takes one image's box for all.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first, see `CutMix`.

    The mixed map joins the maps as the images are joined; ``evidence`` becomes that of the base image plus what the box
    brought.
    """

    without_maps = "take the saliency of the pixels, saliency='fine' or 'spectral', with labels='area'"

    def __init__(
        self,
        alpha: float = 1.0,
        saliency: Saliency = "fine",
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.draw = Draw(check_pair(alpha), p, per_batch)
        self.saliency: Saliency = check_saliency(saliency)
        self.labels: Labels = check_labels(labels)
        self.normalize = normalize

    @property
    def guarded(self) -> bool:
        return self.saliency == "map" or self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n, (height, width) = len(batch.images), batch.images.shape[-2:]
        mixed = self.draw.mixed(n, generator)
        pasted = self.draw.shares(n, generator)[:, 1:]
        anywhere = randomness.uniform(n, 2, generator=generator)
        rows = self.draw.rows(n, generator)
        sides = torch.tensor([height, width], dtype=torch.float64)
        sizes = (sides * pasted.sqrt()).round().long() * mixed[:, None]
        peak = salient_pixels(batch, self.saliency, anywhere)
        device = peak.device
        boxes = clipped_boxes(peak[rows[:, 1].to(device)], sizes.to(device, non_blocking=True), height, width)
        return {"rows": rows, "boxes": boxes[:, None]}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        return mix_nested(batch, params["rows"], params["boxes"], None, self.labels, self.normalize)

    def mix_masks(self, masks: Tensor, params: dict[str, Any]) -> Tensor:
        return paste_nested(masks, params["rows"], params["boxes"])

    def extra_repr(self) -> str:
        return f"{self.draw.text(self.labels, self.normalize)}, saliency={self.saliency!r}"
