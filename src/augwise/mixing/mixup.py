"""Blend each image with another one (Mixup), evenly or so that each image's own evidence stays.

Where plain Mixup weighs all pixels of a pair alike, the guarded form weighs every pixel by whose evidence lies there.
It changes where the two images show, not how much of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import randomness, regions
from ..errors import UserError
from ..guard import Guard, check_length
from ..sample import Batch
from ..schedule import Probability, check_probability, current
from .base import Mixer, label_pairs
from .shares import Labels, check_labels, partner_share

LEVELS = 127
"""Steps in which `evidence_density` counts from 0 to 1: so few that a weight is looked up, not computed, per pixel."""
_STEPS = 16  # of the search for an offset, Newton's or halving: exact after 8 at sharpness 4, to 1e-8 at the sharpest
_EXACT = 1e-14  # what the mean of Λ may be off where the search ends before
_SHARPEST = 20
_CACHED = 1 << 17  # elements blended at once on a CPU: what its second-level cache holds
_WHOLE = 1 << 19  # of a batch of so few the slices' bookkeeping costs more than the cache saves


class Weights(NamedTuple):
    """Λ of every pixel, looked up where it is needed: (N, H, W) float64 would be the largest tensor of all.

    table: (N, K) float64, Λ of each of K steps; steps: (N, H, W) uint8, the step of each pixel; share: mean of Λ over
    the image, (N,) float64.
    """

    table: Tensor
    steps: Tensor
    share: Tensor

    @property
    def pixels(self) -> Tensor:
        """(N, H, W) float64."""
        return self.of(slice(None))

    def of(self, rows: slice, dtype: torch.dtype = torch.float64) -> Tensor:
        """Λ of some images, (n, H, W)."""
        steps = self.steps[rows]
        return self.table[rows].to(dtype).gather(1, steps.flatten(1).long()).view(steps.shape)


def mixup(images: Tensor, partner: Tensor, weights: Tensor | Weights) -> Tensor:
    """Λ a + (1 - Λ) b for every image a and its partner b; integers are rounded.

    images: (N, C, H, W), or maps (N, H, W); partner: (N,) int64, row of b; weights: Λ in [0, 1], (N,) one number for
    an image, or (N, H, W) one for each of its pixels, also as `Weights`. Blended in float32 (float64 images: float64).
    Exact where Λ is 0 or 1.
    """
    images = images.as_subclass(Tensor)
    exact = torch.float64 if images.dtype == torch.float64 else torch.float32
    partner = partner.to(images.device, non_blocking=True)
    if isinstance(weights, Tensor):
        weights = weights.to(exact).to(images.device, non_blocking=True)
    mixed = torch.empty_like(images)
    for rows in _chunks(images):
        share = weights.of(rows, exact) if isinstance(weights, Weights) else weights[rows]
        share = share.view(len(share), *[1] * (images.ndim - share.ndim), *share.shape[1:])
        blended = images.index_select(0, partner[rows]).to(exact).lerp_(images[rows].to(exact), share)
        mixed[rows] = blended if images.is_floating_point() else blended.round_()
    return mixed


def _chunks(batch: Tensor) -> Iterator[slice]:
    """Slices of the batch that fit into the cache of a CPU; on another device, or of a small batch, all of it."""
    n = max(1, len(batch))
    sliced = batch.device.type == "cpu" and batch.numel() > _WHOLE
    step = max(1, _CACHED * n // batch.numel()) if sliced else n
    return (slice(start, start + step) for start in range(0, len(batch), step))


def evidence_density(importance: Tensor, quantile: float, length: int | float) -> Tensor:
    """How much evidence lies around each pixel, in `LEVELS` steps from 0 to the image's own maximum.

    A pixel is evidence where η >= Q_τ and η > 0, with Q_τ the τ-``quantile`` of the image's pixels: every key point of
    a sparse map, the top 1 - τ of a dense one. Its density at p is the share of such pixels in the square of side
    ``length`` around p (clipped at the border), divided by its largest value in the image.

    importance: (N, H, W); length: pixels, or a share of the shorter side. Returns (N, H, W) uint8 in 0 ... `LEVELS`;
    a map of zeros stays zeros.
    """
    side = regions.resolve_length(length, *importance.shape[-2:])
    result = torch.empty(importance.shape, dtype=torch.uint8, device=importance.device)
    for rows in _chunks(importance):
        levels = regions.quantize(importance[rows])
        threshold = regions.thresholds(regions.integral(levels), 1, quantile, "inside")
        evidence = (levels >= threshold.to(torch.uint8)[:, None, None]) & (levels > 0)
        density = regions.scores(regions.integral(evidence.to(torch.uint8)), side, "clipped", "mean")
        greatest = density.amax((1, 2), keepdim=True)
        result[rows] = (density / torch.where(greatest > 0, greatest, 1.0)).mul_(LEVELS).round_()
    return result


def guarded_weights(ours: Tensor, theirs: Tensor, share: Tensor, sharpness: float, rescale: bool = True) -> Weights:
    """Mixing weights Λ(p) = σ(logit λ + β (s_a(p) - s_b(p)) + c) that favour the image with more evidence at p.

    ours, theirs: s_a and s_b as `evidence_density` counts them, (N, H, W); share: λ, (N,); sharpness: β >= 0, 0 gives
    Λ = λ exactly. rescale: choose c for each image so that the mean of Λ is λ; without it c = 0 and an image with much
    evidence takes more of the picture.
    """
    difference = (ours + (LEVELS - theirs)).to(torch.uint8)  # 0 ... 2 LEVELS
    counts = torch.zeros(len(ours), 2 * LEVELS + 1, dtype=torch.int64, device=ours.device)
    one = torch.ones((), dtype=torch.int64, device=ours.device)
    for rows in _chunks(difference):
        steps = difference[rows].flatten(1).long()
        counts[rows] = counts[rows].scatter_add(1, steps, one.expand_as(steps))
    frequency = counts.double() / max(1, difference[:1].numel())
    share = share.to(ours.device, torch.float64, non_blocking=True)
    rise = torch.linspace(-sharpness, sharpness, 2 * LEVELS + 1, dtype=torch.float64, device=ours.device).exp()
    offset = _offset(rise, frequency, share, sharpness) if rescale else torch.zeros_like(share)
    table = _sigmoid(share[:, None], offset.exp()[:, None] * rise)
    return Weights(table, difference, (table * frequency).sum(1))


def _sigmoid(share: Tensor, rise: Tensor) -> Tensor:
    """σ(logit λ + x) with rise = e^x: finite for λ = 0 and 1, and λ itself to the last bit where x = 0."""
    up = share * rise
    return up / (up + (1 - share))


def _offset(rise: Tensor, frequency: Tensor, share: Tensor, widest: float) -> Tensor:
    """c with Σ_k frequency_k σ(logit λ + log rise_k + c) = λ, for every image: Newton's method in a shrinking bracket.

    rise: (K,); frequency: (N, K); share: λ, (N,); the root lies within ± widest. Returns (N,).
    """
    low, high = torch.full_like(share, -widest), torch.full_like(share, widest)
    offset = torch.zeros_like(share)
    for _ in range(_STEPS):
        weight = _sigmoid(share[:, None], offset.exp()[:, None] * rise)
        part = weight * frequency
        mean = part.sum(1)
        found = (mean - share).abs() < _EXACT  # and stays, so that no other image of the batch decides its last bits
        if share.device.type == "cpu" and found.all():
            break
        above = mean > share
        low, high = torch.where(above, low, offset), torch.where(above, offset, high)
        step = offset - (mean - share) / (mean - (part * weight).sum(1))
        moved = torch.where((step >= low) & (step <= high), step, (low + high) / 2)
        offset = torch.where(found, offset, moved)
    return offset


class Mixup(Mixer):
    """Blend each image a of the batch with a partner b: x~ = Λ a + (1 - Λ) b; partners come from one permutation.

    Plain, Λ = λ everywhere, λ ~ Beta(alpha, alpha) for each image (Zhang et al. 2018, Eq. 1). Guarded (this project's
    own; IPF-RDA guards no Mixup), every pixel has a weight of its own that favours the image whose evidence lies there,

        Λ(p) = σ(logit λ + β (s_a(p) - s_b(p)) + c)

    where s(p) is how dense evidence lies around p (`evidence_density`), β the sharpness, and c such that the mean of Λ
    stays λ: the guard decides where an image shows, not how much of it.

    alpha: of the beta distribution; small: mostly one image; 1: uniform.
    quantile: τ; the share of an image's pixels, by ascending importance, that count as unimportant; evidence is the
        pixels with η >= Q_τ and η > 0. None: plain Mixup.
    labels: "area": the partner's weight is 1 - mean Λ. "importance": Σ (1 - Λ) η_b / (Σ Λ η_a + Σ (1 - Λ) η_b), the
        share of the picture's importance that the partner brought; the area share where either map is all zero.
        "half": the mean of the two. The last two need maps, with a quantile and without one.
    p: probability that an image is mixed at all, in Python a `Ramp` too; one that is not has weight 1 for
        itself and 0 for the partner.
    sharpness: β, from 0 (plain Mixup) to 20 (nearly a cut from one image to the other).
    length: side of the square around a pixel in which its evidence is counted: pixels (int), or share of the shorter
        side (float). It smooths: single key points would make speckles.
    rescale: keep the mean of Λ at λ; without it, whoever has more evidence gets more of the picture.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first; needed where values of different
        images' maps share no unit (occlusion, saliency).

    The mixed map is Λ η_a + (1 - Λ) η_b. ``evidence`` becomes that of the base image plus what the partner brought,
    Σ (1 - Λ) η_b, so importance.sum() / evidence stays in [0, 1] and falls by what of the base image's evidence faded.
    Plain and guarded draw the same numbers: the coin, the partner, λ.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        quantile: float | None = None,
        labels: Labels = "area",
        p: Probability = 1.0,
        sharpness: float = 4.0,
        length: int | float = 0.25,
        rescale: bool = True,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if not alpha > 0:
            raise UserError(f"alpha={alpha} is no parameter of a beta distribution: give a number above 0")
        if not 0 <= sharpness <= _SHARPEST:
            raise UserError(
                f"sharpness={sharpness} is out of range: give 0 (plain) to {_SHARPEST} (nearly a cut); 4 is usual"
            )
        self.labels: Labels = check_labels(labels)
        self.alpha, self.sharpness = alpha, sharpness
        self.length, self.rescale, self.normalize = check_length(length), rescale, normalize
        self.guard = Guard(quantile)
        self.p: Probability = check_probability(p)

    @property
    def guarded(self) -> bool:
        return self.guard.active or self.labels != "area"

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n = len(batch.images)
        mixed = randomness.uniform(n, generator=generator) < current(self.p)
        partner = randomness.permutation(n, generator=generator)
        share = randomness.beta(self.alpha, n, generator=generator)
        return {"partner": partner, "share": torch.where(mixed, share, 1.0)}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        partner, maps = params["partner"], None
        if batch.importance is not None:
            maps = batch.importance.as_subclass(Tensor)
        weights = self._weights(maps, partner, params["share"], batch.images.device)
        share = weights.share if isinstance(weights, Weights) else weights
        weight, importance, evidence = 1 - share, batch.importance, batch.evidence
        if maps is not None:
            importance = mixup(maps, partner, weights)
            whole = maps.sum((1, 2), dtype=torch.float64)
            both = whole, whole[partner.to(whole.device)]
            ours, theirs = _shown(maps, partner, weights, both)
            evidence = evidence + theirs.to(evidence.dtype)
            weight = partner_share(self.labels, weight, ours, theirs, both, self.normalize)
        return Batch.of(
            mixup(batch.images, partner, weights),
            label_pairs(batch.labels, partner, weight),
            importance,
            batch.indices,
            evidence,
        )

    def _weights(self, maps: Tensor | None, partner: Tensor, share: Tensor, device: torch.device) -> Tensor | Weights:
        """Λ, one number per image (N,) in the plain form, one per pixel in the guarded one."""
        share = share.to(device, non_blocking=True)
        if self.guard.quantile is None or maps is None or not len(maps):
            return share
        density = evidence_density(maps, self.guard.quantile, self.length)
        theirs = density[partner.to(density.device)]
        return guarded_weights(density, theirs, share, self.sharpness, self.rescale)

    def extra_repr(self) -> str:
        blend = f"alpha={self.alpha}, quantile={self.guard.quantile}, labels={self.labels!r}, p={self.p}"
        guard = f"sharpness={self.sharpness}, length={self.length}, rescale={self.rescale}"
        return f"{blend}, {guard}, normalize={self.normalize}"


def _shown(
    maps: Tensor, partner: Tensor, weights: Tensor | Weights, whole: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Importance of the base image, Σ Λ η_a, and of its partner, Σ (1 - Λ) η_b, in the picture: (N,) float64 each."""
    if isinstance(weights, Tensor):
        return weights * whole[0], (1 - weights) * whole[1]
    ours, theirs = torch.empty_like(whole[0]), torch.empty_like(whole[1])
    partner = partner.to(maps.device)
    for rows in _chunks(maps):
        pixels = weights.of(rows)
        ours[rows] = (pixels * maps[rows]).sum((1, 2))
        theirs[rows] = ((1 - pixels) * maps[partner[rows]]).sum((1, 2))
    return ours, theirs
