"""Several images blended into one, with weights from a Dirichlet distribution (DMixup)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..sample import Batch
from ..schedule import Probability
from .base import Mixer
from .several import Alpha, Draw, assembled, check_alpha
from .shares import Labels, check_labels

_CACHED = 1 << 17  # elements blended at once on a CPU: what its second-level cache holds
_WHOLE = 1 << 19  # of a batch of so few the slices' bookkeeping costs more than the cache saves


def blend(images: Tensor, rows: Tensor, shares: Tensor) -> Tensor:
    """Σ_k φ_k x_{rows k} for every picture; integers are rounded.

    images: (N, C, H, W), or maps (N, H, W); rows: (N, K) int64; shares: φ, (N, K), rows sum to 1. Blended in float32
    (float64 images: float64); exactly the image itself where its φ is 1.
    """
    images = images.as_subclass(Tensor)
    exact = torch.float64 if images.dtype == torch.float64 else torch.float32
    rows = rows.to(images.device, non_blocking=True)
    shares = shares.to(exact).to(images.device, non_blocking=True)
    mixed = torch.empty_like(images)
    n = max(1, len(images))
    sliced = images.device.type == "cpu" and images.numel() > _WHOLE
    step = max(1, _CACHED * n // images.numel()) if sliced else n
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        total = None
        for k in range(rows.shape[1]):
            share = shares[part, k].view(-1, *[1] * (images.ndim - 1))
            source = images.index_select(0, rows[part, k]).to(exact)  # three times as fast as images[rows]
            total = source * share if total is None else total.addcmul_(source, share)
        assert total is not None
        mixed[part] = total if images.is_floating_point() else total.round_()
    return mixed


class DMixup(Mixer):
    """Blend K images: x~ = Σ_k φ_k x_k and y~ = Σ_k φ_k y_k with φ ~ Dir(alpha_1, ..., alpha_K) (DCutMix, Eq. 3).

    Images come from K - 1 permutations of the batch. With k=2 this is `Mixup` with Beta(alpha_1, alpha_2).

    k: number of images; 1 leaves all as it is.
    alpha: of the Dirichlet distribution, one number for all images or one for each; the paper has 1/3 or 1 for k=3,
        0.2 for k=5.
    labels: "area": φ. By "importance": φ_k η_k summed over the picture, as a share of the sum over all images (IPF-RDA,
        Eq. 12, for K images); "half": the mean of the two. The last two need maps.
    p: probability that an image is mixed at all, in Python a `Ramp` too.
    per_batch: one φ for the whole batch rather than one for each image.
    normalize: for labels by importance, make every map sum to 1 first, see `CutMix`.

    The mixed map is Σ_k φ_k η_k; ``evidence`` becomes that of the base image plus what the others brought.
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
        n = len(batch.images)
        mixed = self.draw.mixed(n, generator)
        shares = self.draw.shares(n, generator)
        rows = self.draw.rows(n, generator)
        alone = torch.eye(self.draw.k, dtype=shares.dtype)[:1]
        return {"rows": rows, "shares": torch.where(mixed[:, None], shares, alone)}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        rows, shares, maps = params["rows"], params["shares"], None
        if batch.importance is not None:
            before = batch.importance.as_subclass(Tensor)
            whole = before.sum((1, 2), dtype=torch.float64)[rows.to(before.device)]
            maps = blend(before, rows, shares), shares.to(whole.device) * whole
        images = blend(batch.images, rows, shares)
        return assembled(batch, rows, images, shares, maps, self.labels, self.normalize)

    def extra_repr(self) -> str:
        return self.draw.text(self.labels, self.normalize)
