"""Join two images along the blobs of a random field of low frequencies (FMix)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..sample import Batch
from ..schedule import Probability
from .base import Mixer
from .several import Draw, assembled, check_pair
from .shares import Labels, check_labels


def low_pass(noise: Tensor, decay: float) -> Tensor:
    """Noise in which a frequency f counts by f^-δ (Harris et al. 2020, section 4): F⁻¹(F(noise) / f^δ).

    f is √(f_y² + f_x²) in cycles per pixel, at least one cycle on the longer side. Real white noise gives just what
    the paper's Re(F⁻¹(Z / f^δ)) with complex white Z is.

    noise: (N, H, W) float; decay: δ ≥ 0. Returns (N, H, W).
    """
    if not len(noise):
        return noise.clone()  # torch 2.11 has no transform of nothing
    height, width = noise.shape[-2:]
    vertical = torch.fft.fftfreq(height, device=noise.device)[:, None]
    horizontal = torch.fft.rfftfreq(width, device=noise.device)
    frequency = (vertical.square() + horizontal.square()).sqrt().clamp_min(1 / max(height, width))
    return torch.fft.irfft2(torch.fft.rfft2(noise) / frequency**decay, s=(height, width))


def largest(field: Tensor, counts: Tensor) -> Tensor:
    """(N, H, W) bool: where the ``counts[i]`` largest values of each field (N, H, W) lie, and all that equal the least
    of them; counts: (N,) int64, 0 to H · W."""
    flat = field.flatten(1)
    if not flat.numel():
        return torch.zeros_like(field, dtype=torch.bool)
    place = (flat.shape[1] - counts).clamp(0, flat.shape[1] - 1)
    if field.device.type == "cpu":
        # NumPy's partition of one row at a time: sorting them all takes ten times as long.
        rows = zip(flat.numpy(), place.tolist(), strict=True)
        least = torch.tensor([np.partition(row, k)[k] for row, k in rows], dtype=flat.dtype)
    else:
        least = flat.sort(1).values.gather(1, place.to(flat.device, non_blocking=True)[:, None])[:, 0]
    some = (counts > 0).to(field.device, non_blocking=True)
    return (field >= least[:, None, None]) & some[:, None, None]


def paste_masked(images: Tensor, partner: Tensor, mask: Tensor) -> Tensor:
    """Each image with its partner's pixels where the mask (N, H, W) is true; images: (N, C, H, W), or maps (N, H, W);
    partner: (N,) int64, row of the other image."""
    images = images.as_subclass(Tensor)
    mask = mask.to(images.device, non_blocking=True)
    mask = mask[:, None] if images.ndim == 4 else mask
    return torch.where(mask, images[partner.to(images.device, non_blocking=True)], images)


class FMix(Mixer):
    """Two images joined along a random field of low frequencies G (Harris et al. 2020, arXiv 2002.12047, section 4).

    λ ~ Beta(alpha, alpha) for each image, and the partner shows where G is among its round((1 - λ) H W) largest
    values: a few blobs of any shape, whose border is as rough as ``decay`` says.

    alpha: of the beta distribution; 1 (the paper): uniform.
    decay: δ of the field's spectrum f^-δ; 3 (the paper) makes few smooth blobs, 0 single pixels.
    labels: "area": the partner's weight is its exact share of the pixels. "importance": the share of the picture's
        importance that it brought (IPF-RDA, Eq. 12); "half": the mean of the two. The last two need maps.
    p: probability that an image is mixed at all, in Python a `Ramp` too.
    per_batch: one λ and one field for the whole batch, as in the released program: far cheaper on large images.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first, see `CutMix`.

    The mixed map joins the maps as the images are joined; ``evidence`` becomes that of the base image plus what the
    partner brought.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        decay: float = 3.0,
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= decay <= 10:
            raise UserError(f"decay={decay} is out of range: give 0 (single pixels) to 10 (one blob); 3 is usual")
        self.draw = Draw(check_pair(alpha), p, per_batch)
        self.decay = decay
        self.labels: Labels = check_labels(labels)
        self.normalize = normalize

    @property
    def guarded(self) -> bool:
        return self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n, (height, width) = len(batch.images), batch.images.shape[-2:]
        mixed = self.draw.mixed(n, generator)
        pasted = self.draw.shares(n, generator)[:, 1]
        noise = self.draw.normal(n, height, width, generator=generator)
        rows = self.draw.rows(n, generator)
        counts = (pasted * (height * width)).round().long()
        once = slice(0, 1) if self.draw.per_batch and n else slice(None)
        noise = noise[once].to(batch.images.device, non_blocking=True)
        mask = largest(low_pass(noise, self.decay), counts[once]).expand(n, height, width)
        return {"rows": rows, "mask": mask & mixed.to(mask.device, non_blocking=True)[:, None, None]}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        rows, mask = params["rows"], params["mask"]
        partner, area, maps = rows[:, 1], mask.double().mean((1, 2)), None
        if batch.importance is not None:
            mixed = paste_masked(batch.importance, partner, mask)
            shown = [(mixed * part).sum((1, 2), dtype=torch.float64) for part in (~mask, mask)]
            maps = mixed, torch.stack(shown, 1)
        images = paste_masked(batch.images, partner, mask)
        areas = torch.stack([1 - area, area], 1)
        return assembled(batch, rows, images, areas, maps, self.labels, self.normalize)

    def mix_masks(self, masks: Tensor, params: dict[str, Any]) -> Tensor:
        return paste_masked(masks, params["rows"][:, 1], params["mask"])

    def extra_repr(self) -> str:
        return f"{self.draw.text(self.labels, self.normalize)}, decay={self.decay}"
