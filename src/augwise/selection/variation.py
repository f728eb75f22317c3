"""How uncertain a classifier is of an image when others are mixed into it: the loss over many mixes (DCutMix).

Every draw of an image is keyed by (seed, row), so its numbers depend on nothing else: not on the batch, its size, or
where work was resumed (in float arithmetic, as far as the convolution library allows).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from ..importance.job import frozen
from ..labels import MixedLabels
from ..mixing.stick_breaking import layers, stick_breaking_boxes, visible_areas
from .kept import Kept, identity_of
from .pictures import Pictures, check_batch_size

AnchorMixer = Literal["dcutmix", "dmixup"]
ALPHA = (2 / 9, 2 / 9)
"""The paper's parameters of the two images that are mixed into the anchor."""
_BLOCK = 128  # anchors computed together


class Variation(NamedTuple):
    """What became of N images under M mixes each.

    losses: (N, M) float32, cross-entropy of every mixed picture against its mixed label, in nats (Eq. 8).
    predictive: (N, C) float32, the mean over the mixes of the softmax output, p(l | x) ≈ 1/M Σ_m f_W (Eq. 6, 7): a
        Monte-Carlo average, rows sum to 1.
    """

    losses: np.ndarray
    predictive: np.ndarray


class AnchorDraw(NamedTuple):
    """Everything random of one anchor's M mixes. partners: (M, K - 1) int64 rows of the data set, none the anchor's,
    none twice in a mix; shares: φ, (M, K) float64, the anchor's first; position: (M, K - 1, 2) float64 in [0, 1)."""

    partners: Tensor
    shares: Tensor
    position: Tensor


def draw_mixes(row: int, images: int, anchor_share: float, alpha: Sequence[float], mixes: int, seed: int) -> AnchorDraw:
    """The mixes of one row of a data set of so many images, by (seed, row) alone.

    The anchor's φ_1 is fixed; the others share what is left: φ_2 ... φ_K ~ (1 − φ_1) Dir(alpha).
    """
    generator = randomness.generator(seed, "variation", row)
    others = (1 - anchor_share) * randomness.dirichlet(alpha, mixes, generator=generator)
    shares = torch.cat([torch.full((mixes, 1), anchor_share, dtype=torch.float64), others], 1)
    position = randomness.uniform(mixes, len(alpha), 2, generator=generator)
    taken = torch.full((mixes, 1), row)
    for k in range(len(alpha)):
        other = randomness.integers(images - 1 - k, mixes, generator=generator)
        for column in taken.sort(1).values.T:  # counted among the rows that are still free
            other += other >= column
        taken = torch.cat([taken, other[:, None]], 1)
    return AnchorDraw(taken[:, 1:], shares, position)


def mix_anchors(
    anchors: Tensor, others: Tensor, shares: Tensor, position: Tensor, mixer: AnchorMixer = "dcutmix"
) -> tuple[Tensor, Tensor]:
    """Pictures of K images each whose first image is the anchor, and the weights of their labels.

    anchors: (B, C, H, W) float; others: (B, K - 1, C, H, W); shares: φ, (B, K), rows sum to 1; position: (B, K - 1, 2)
    in [0, 1), of the boxes. "dcutmix": the anchor is the base image, the others lie in nested boxes (Eq. 4, 5), and
    weights are exact shares of the pixels; all anchors with one φ_1 keep the same number of pixels. "dmixup": a
    blend Σ_k φ_k x_k, and weights are φ.
    Returns (B, C, H, W) and (B, K) float64.
    """
    if mixer == "dmixup":
        parts = torch.cat([anchors[:, None], others], 1)
        return torch.einsum("bk,bkchw->bchw", shares.to(parts), parts), shares.double()
    height, width = anchors.shape[-2:]
    boxes = stick_breaking_boxes(shares, height, width, position)
    which = layers(boxes.to(anchors.device), height, width)
    mixed = anchors
    for k in range(others.shape[1]):
        mixed = torch.where((which == k + 1)[:, None], others[:, k], mixed)
    return mixed, visible_areas(boxes, height, width)


def mixed_losses(
    model: nn.Module,
    dataset: Any,
    *,
    mixer: AnchorMixer = "dcutmix",
    anchor_share: float = 1 / 3,
    alpha: Sequence[float] = ALPHA,
    mixes: int = 10,
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    path: str | Path | None = None,
    progress: bool = True,
) -> Variation:
    """The loss distribution L_i = {L_{i,m}} of every image under M mixes, and its predictive mean (DCutMix, Eq. 6-8).

    The image is the anchor: its share φ_1 is fixed, while K - 1 other images of the data set, drawn anew for each
    mix, share the rest, φ_2 ... φ_K ~ (1 − φ_1) Dir(alpha), in boxes anywhere (γ). L_{i,m} = −Σ_k λ_k log p_{y_k},
    λ the exact shares of the pixels.

    model: takes pixels in [0, 1] (`Normalized`), in eval mode. dataset: a `Source` or any map-style data set, all
        images of one size, at least K of them.
    mixer: "dcutmix" or "dmixup", see `mix_anchors`. anchor_share: φ_1 in (0, 1), 1/3 by default; the paper does not
        give it, but its alpha of 2/9 = (1 − 1/3)/3 fits that. alpha: K - 1 numbers above 0. mixes: M, 10 in the paper.
    batch_size: mixed pictures per forward pass. device: where to compute, by default where the model is.
    path: keep what is done in this file; the same call goes on from it. A file of another model, other data or
        settings is refused.
    """
    _check(mixer, anchor_share, alpha, mixes)
    check_batch_size(batch_size)
    with frozen(model, device) as where:
        pictures = Pictures(dataset, where, progress)
        if len(pictures) <= len(alpha):
            raise UserError(
                f"{len(pictures)} images are too few to mix {len(alpha)} others into each: give more, or fewer alpha"
            )
        pictures.check(model)
        classes = model(pictures.batch(torch.zeros(1, dtype=torch.int64))).shape[1]
        drawn: dict[str, Any] = {"anchor_share": anchor_share, "alpha": tuple(alpha), "mixes": mixes, "seed": seed}
        arrays = {
            "losses": np.full((len(pictures), mixes), np.nan, np.float32),
            "predictive": np.full((len(pictures), classes), np.nan, np.float32),
        }
        kept = Kept(arrays, None if path is None else Path(path), identity_of(model, pictures, mixer=mixer, **drawn))

        def compute(rows: slice) -> dict[str, np.ndarray]:
            anchors = range(rows.start, rows.stop)
            draws = [draw_mixes(row, len(pictures), **drawn) for row in anchors]
            losses, outputs = _asked(model, pictures, anchors, draws, mixer, batch_size)
            return {"losses": losses.numpy(), "predictive": outputs.numpy()}

        return Variation(**kept.fill(_BLOCK, compute, "mixing", progress))


@torch.no_grad()
def _asked(
    model: nn.Module,
    pictures: Pictures,
    anchors: range,
    draws: Sequence[AnchorDraw],
    mixer: AnchorMixer,
    batch_size: int,
) -> tuple[Tensor, Tensor]:
    """Losses (n, M) and mean outputs (n, C) of some anchors."""
    every = AnchorDraw(*(torch.cat(parts) for parts in zip(*draws, strict=True)))
    mixes = len(draws[0].shares)
    own = torch.tensor(anchors).repeat_interleave(mixes)
    losses, outputs = [], []
    for start in range(0, len(own), batch_size):
        part = slice(start, start + batch_size)
        rows = torch.cat([own[part, None], every.partners[part]], 1)
        parts = pictures.batch(rows.flatten()).unflatten(0, rows.shape)
        mixed, weights = mix_anchors(parts[:, 0], parts[:, 1:], every.shares[part], every.position[part], mixer)
        logits = model(mixed).float()
        weights = weights.float().to(logits.device)
        labels = MixedLabels(pictures.labels[rows.to(logits.device)], weights, torch.zeros_like(weights[:, 0]))
        losses.append(labels.cross_entropy(logits, reduction="none").cpu())
        outputs.append(logits.softmax(1).double().cpu())
    loss = torch.cat(losses).view(-1, mixes)
    if not bool(torch.isfinite(loss).all()):
        raise UserError("the model returns NaN or infinite logits for mixed images: check its weights")
    return loss, torch.cat(outputs).unflatten(0, (-1, mixes)).mean(1).float()


def coefficient_of_variation(losses: np.ndarray) -> np.ndarray:
    """CV = σ(L_i) / m(L_i) of every image's losses, (N,) float64: the paper's measure, of which the highest are kept
    (DCutMix, Sec. III-C and Eq. 9). High where an image is easy under some mixes and hard under others.

    losses: (N, M). σ divides by M; dividing by M - 1 would order the images alike. 0 where all losses are 0.
    """
    losses = np.asarray(losses, dtype=np.float64)
    mean, deviation = losses.mean(1), losses.std(1)
    return np.divide(deviation, mean, out=np.zeros_like(mean), where=mean > 0)


def _check(mixer: str, anchor_share: float, alpha: Sequence[float], mixes: int) -> None:
    if mixer not in get_args(AnchorMixer):
        raise UserError(f"mixer={mixer!r} is unknown: use one of {', '.join(get_args(AnchorMixer))}")
    if not 0 < anchor_share < 1:
        raise UserError(f"anchor_share={anchor_share}: give a share above 0 and below 1, such as 1/3")
    if not len(alpha) or not all(0 < a < float("inf") for a in alpha):
        raise UserError(f"alpha={tuple(alpha)}: give a number above 0 for each image that is mixed in, such as 2/9 2/9")
    if mixes < 2:
        raise UserError(f"mixes={mixes} shows no variation: give at least 2, 10 in the paper")
