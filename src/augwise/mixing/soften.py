"""Labels that know what was lost: doubt by the share of the evidence that a picture no longer shows.

A guard steers where an augmentation strikes; this lets the label say what it took. Nothing here draws numbers or
changes pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..labels import MixedLabels
from ..sample import Batch


def share_left(importance: Tensor, evidence: Tensor) -> Tensor:
    """v: the share of each image's evidence that is still to be seen, importance.sum() / evidence, in [0, 1].

    importance: (N, H, W); evidence: (N,), the sums of the maps when the samples were read. Returns (N,) float32; 1
    where evidence is 0: of an image that was never judged nothing is known to be lost.
    """
    # In float64, as `evidence` was summed: what is untouched must come out as 1, not nearly so.
    left = importance.as_subclass(Tensor).sum((1, 2), dtype=torch.float64).float()
    known = evidence > 0
    return torch.where(known, left / torch.where(known, evidence, 1.0), 1.0).clamp(0, 1)


def soften(labels: Tensor | MixedLabels, share_left: Tensor, strength: float = 1.0, power: float = 2.0) -> MixedLabels:
    """Labels with doubt d = s · (1 - v)^k, so that the true class of C keeps 1 - (1 - 1/C) d.

    At s = 1 this is Soft Augmentation's confidence (Liu et al., CVPR 2023) where v is the visible share of the area.

    labels: (N,) int64 or `MixedLabels`, whose classes and weights stay; share_left: v in [0, 1], (N,); strength: s in
    [0, 1]; power: k > 0, how late doubt sets in (2: half of the evidence lost is a quarter of the full doubt).
    """
    return doubted(labels, check_strength(strength) * (1 - share_left) ** check_power(power))


def doubted(labels: Tensor | MixedLabels, doubt: Tensor | float) -> MixedLabels:
    """Labels with ``doubt`` beside the doubt d0 that they have: 1 - (1 - d0)(1 - doubt), as if one after the other had
    replaced that share of the label by the uniform distribution. doubt: (N,) or one number, in [0, 1]."""
    labels = MixedLabels.of(labels)
    if isinstance(doubt, Tensor):
        doubt = doubt.to(labels.doubt.device, labels.doubt.dtype)
    return labels._replace(doubt=1 - (1 - labels.doubt) * (1 - doubt))


def check_strength(strength: float) -> float:
    """``strength`` itself, if it can be a largest doubt."""
    if not 0 <= strength <= 1:
        raise UserError(f"strength={strength} is out of range: give the doubt where all evidence is lost, from 0 to 1")
    return strength


def check_power(power: float) -> float:
    """``power`` itself, if doubt can grow with it."""
    if not power > 0:
        raise UserError(
            f"power={power} is not above 0: 1 lets doubt grow with the loss, 2 later; aw.SmoothLabels has one doubt "
            "for all"
        )
    return power


class SoftenLabels(nn.Module):
    """Let each label doubt as much as its picture has lost of its evidence: `Batch` in, `Batch` out.

        d = s · (1 - v)^k,    v = importance.sum() / evidence

    v is the share of the evidence that is left (`share_left`), so the target of the true class among C is
    1 - (1 - 1/C) · s · (1 - v)^k. This project's own; with flat maps (`FlatPrior`) v is the visible share of the area
    and at s = 1 the label is that of Soft Augmentation (Liu et al., CVPR 2023, arXiv 2211.04625).

    strength: s, the doubt where all evidence is lost, 0 to 1.
    power: k, above 0; small losses count less the larger it is.

    The evidence is noted when a sample is read, so whatever happened since counts, on the sample path and on the batch
    path: crops, erasing, policies that move the map. Stand it after them, before normalisation. Doubt that is there
    already combines, 1 - (1 - d0)(1 - d). Before a mixer, each image's doubt enters the mixed label with the image's
    share; after it, what was covered of the base image counts as lost, although the label's weights know of it too.
    """

    guarded = True
    """It looks at importance maps, and refuses to run without them."""
    needs_map = True
    """There is no form of it that works without them."""

    def __init__(self, strength: float = 1.0, power: float = 2.0) -> None:
        super().__init__()
        self.strength, self.power = check_strength(strength), check_power(power)

    def forward(self, batch: Batch) -> Batch:
        """The batch with `MixedLabels`; images and maps stay."""
        _check(self, batch)
        if batch.importance is None:
            raise UserError(
                "SoftenLabels got no importance maps, so nothing tells what was lost: read the data through "
                "aw.WithImportance with a store (for the visible share of the area one of aw.FlatPrior), or take "
                "aw.SmoothLabels"
            )
        left = share_left(batch.importance, batch.evidence)
        return batch._replace(labels=soften(batch.labels, left, self.strength, self.power))

    def extra_repr(self) -> str:
        return f"strength={self.strength}, power={self.power}"


class SmoothLabels(nn.Module):
    """The same doubt for every label, whatever its picture shows: plain label smoothing, `Batch` in, `Batch` out.

    What `SoftenLabels` has to beat at the same mean doubt. The target becomes (1 - doubt) t + doubt / C; doubt that is
    there already combines, 1 - (1 - d0)(1 - doubt).

    doubt: share of the label that is spread evenly over all classes, 0 to 1.
    """

    def __init__(self, doubt: float) -> None:
        super().__init__()
        if not 0 <= doubt <= 1:
            raise UserError(f"doubt={doubt} is out of range: give the share that is spread over all classes, 0 to 1")
        self.doubt = doubt

    def forward(self, batch: Batch) -> Batch:
        """The batch with `MixedLabels`; images and maps stay. Needs no maps."""
        _check(self, batch)
        return batch._replace(labels=doubted(batch.labels, self.doubt))

    def extra_repr(self) -> str:
        return f"doubt={self.doubt}"


def _check(step: nn.Module, batch: Any) -> None:
    if not isinstance(batch, Batch):
        raise UserError(
            f"{type(step).__name__} got a {type(batch).__name__}: it changes the labels of a Batch, so it stands after "
            "collation"
        )
    images, labels = batch.images, MixedLabels.of(batch.labels)
    if len(labels.classes) != len(images):
        raise UserError(
            f"{type(step).__name__} got {len(images)} images and {len(labels.classes)} labels: give one for each"
        )
    Batch.of(images, labels, batch.importance, batch.indices, batch.evidence)  # refuses what belongs to another batch
