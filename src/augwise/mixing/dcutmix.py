"""Several images in one picture, each in a box inside the last one's (DCutMix)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..sample import Batch
from ..schedule import Probability
from .base import Mixer
from .several import Alpha, Draw, assembled, check_alpha
from .shares import Labels, check_labels
from .stick_breaking import layers, paste_nested, stick_breaking_boxes, visible_areas


class DCutMix(Mixer):
    """A picture of K images by stick breaking: φ ~ Dir(alpha_1, ..., alpha_K), and image k + 1 stands in a box inside
    the box of image k, so that about φ_k of the picture is left to image k (DCutMix, Eq. 4, 5 and Algorithm 1).

    Images come from K - 1 permutations of the batch and are pasted from the same place. The label is each image's exact
    share of the pixels, Σ_k λ_k y_k. With k=2 this is CutMix whose box lies inside the image.

    k: number of images; 1 leaves all as it is.
    alpha: of the Dirichlet distribution, one number for all images or one for each; small: mostly one image. The
        paper's: 1/3 for k=3, 0.2 or 1 for k=5. At 0.2 five images are hardly ever all visible: small boxes round to
        nothing, and their label weight with them.
    labels: "area"; by "importance": each image's share of the importance that the picture shows (IPF-RDA, Eq. 12, for K
        images); "half": the mean of the two. The last two need maps.
    p: probability that an image is mixed at all, in Python a `Ramp` too; the paper's CIFAR recipe has 0.5.
    per_batch: one φ and one set of boxes for the whole batch, as in the paper's pseudo-code, rather than per image.
    normalize: for labels by importance, make every map sum to 1 first, see `CutMix`.

    The mixed map joins the maps as the images are joined. ``evidence`` becomes that of the base image plus what the
    others brought, as in `CutMix`.
    """

    def __init__(
        self,
        k: int = 3,
        alpha: Alpha = 1.0,
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        self.draw = Draw(check_alpha(alpha, k), p, per_batch)
        self.labels: Labels = check_labels(labels)
        self.normalize = normalize

    @property
    def guarded(self) -> bool:
        return self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n, (height, width) = len(batch.images), batch.images.shape[-2:]
        mixed = self.draw.mixed(n, generator)
        shares = self.draw.shares(n, generator)
        position = self.draw.uniform(n, self.draw.k - 1, 2, generator=generator)
        rows = self.draw.rows(n, generator)
        boxes = stick_breaking_boxes(shares, height, width, position)
        return {"rows": rows, "boxes": boxes * mixed[:, None, None]}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        return mix_nested(batch, params["rows"], params["boxes"], None, self.labels, self.normalize)

    def mix_masks(self, masks: Tensor, params: dict[str, Any]) -> Tensor:
        return paste_nested(masks, params["rows"], params["boxes"])

    def extra_repr(self) -> str:
        return self.draw.text(self.labels, self.normalize)


def mix_nested(
    batch: Batch, rows: Tensor, boxes: Tensor, corners: Tensor | None, labels: Labels, normalize: bool
) -> Batch:
    """Pictures, maps, labels and evidence of K images in nested boxes; arguments as for `paste_nested`."""
    maps = None
    if batch.importance is not None:
        mixed = paste_nested(batch.importance.as_subclass(Tensor), rows, boxes, corners)
        maps = mixed, _by_layer(mixed, boxes)
    images = paste_nested(batch.images, rows, boxes, corners)
    areas = visible_areas(boxes, *batch.images.shape[-2:])
    return assembled(batch, rows, images, areas, maps, labels, normalize)


def _by_layer(maps: Tensor, boxes: Tensor) -> Tensor:
    """(N, K) float64: the importance of each image that the mixed maps show, summed where it lies: an exact 0 must
    stay one."""
    which = layers(boxes.to(maps.device, non_blocking=True), *maps.shape[-2:]).flatten(1)
    shown = torch.zeros(len(maps), boxes.shape[1] + 1, dtype=torch.float64, device=maps.device)
    return shown.scatter_add_(1, which, maps.flatten(1).double())
