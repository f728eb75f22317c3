"""A batch of pictures made together of a batch of images, salient and unlike one another (Co-Mixup)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .. import randomness
from ..errors import UserError
from ..sample import Batch
from ..schedule import Probability, check_probability, current
from .base import Mixer
from .blocks import blended, block_areas, block_sums, pick, shares, to_pixels
from .joint_masks import Weights, joint_masks, own_pictures
from .several import assembled
from .shares import Labels, check_labels

_NEVER = 1e3  # cost of an image that does not exist


class CoMixup(Mixer):
    """Make all pictures of a batch together, each of salient blocks of a few images, and no image in too many of them
    (Kim, Choo, Jeong and Song, ICLR 2021, arXiv 2102.03065).

        x~_j = Σ_k z_jk ⊙ x_k

    The batch is parted into groups; in each the masks z of as many pictures as there are images are chosen together, by
    the saliency that they show, smooth masks, diversity, and a Dirichlet prior over the images (`joint_masks`). Where
    the paper cuts a graph per picture, here all groups are solved side by side on the device, with what accuracy is
    said in the notes.

    Saliency is the importance map of the batch, from a store or by the model in training (`LiveSaliency` as the step
    before), which is the paper's form; a map of zeros counts as the same everywhere. Pictures go to the rows whose
    image they show most of, as far as that goes; a row's own image comes first in its label, with a weight of 0 where
    the picture shows nothing of it. Labels have as many columns as a group has images, most of weight 0. The label is
    the exact share of the pixels. The mixed map joins the maps as the images are joined; ``evidence`` becomes that of
    the row's own image plus what the others brought.

    alpha: of the Dirichlet prior over the images of a group; one draw for each group.
    blocks: to a side; where the number does not divide a side, blocks differ by a pixel.
    part: images in a group, at most; groups are drawn, and as equal as can be.
    beta, diversity: weights of the masks' smoothness, β, and of the price of an image that others show already, γ.
    threshold: τ, the share of a picture up to which the others may show an image for nothing.
    eta: weight of the prior.
    omega: ω, from 0 to 1: how much it counts for diversity how far apart the most salient places of two images are.
    iterations: over all pictures of a group.
    blend: whether two images may share a block, half and half.
    labels: "area", "importance" or "half", as in `DCutMix`.
    p: probability that a row is mixed at all, in Python a `Ramp` too; one that is not keeps its image, which may be
        shown in other rows.
    normalize: for labels by importance, make every map sum to 1 first, see `CutMix`.
    """

    def __init__(
        self,
        alpha: float = 2.0,
        blocks: int = 4,
        part: int = 20,
        beta: float = 0.32,
        diversity: float = 1.0,
        threshold: float = 0.83,
        eta: float = 0.05,
        omega: float = 0.001,
        iterations: int = 5,
        blend: bool = True,
        labels: Labels = "area",
        p: Probability = 1.0,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < alpha < math.inf:
            raise UserError(f"alpha={alpha} is no parameter of a Dirichlet distribution: give a number above 0")
        for name, value, what in (("blocks", blocks, "blocks to a side"), ("part", part, "images in a group"),
                                  ("iterations", iterations, "times to go over the pictures")):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{name}={value!r}: give a whole number of {what}, at least 1")
        for name, value in (("beta", beta), ("diversity", diversity), ("threshold", threshold), ("eta", eta)):
            if not 0 <= value < math.inf:
                raise UserError(f"{name}={value} is out of range: give 0 or more")
        if not 0 <= omega <= 1:
            raise UserError(f"omega={omega} is out of range: give a share from 0 to 1")
        self.alpha, self.blocks, self.part, self.eta, self.omega = alpha, blocks, part, eta, omega
        self.weights = Weights(beta, diversity, threshold)
        self.iterations, self.blend = iterations, blend
        self.labels: Labels = check_labels(labels)
        self.p: Probability = check_probability(p)
        self.normalize = normalize

    without_maps = "mix by one that needs no maps, such as DCutMix"

    @property
    def guarded(self) -> bool:
        return True

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n, size = len(batch.images), self._grid(batch.images)
        mixed = randomness.uniform(n, generator=generator) < current(self.p)
        start = randomness.uniform(n, size[0] * size[1], generator=generator)
        groups, largest = self._groups(n)
        prior = randomness.dirichlet((self.alpha,) * largest, groups, generator=generator)
        order = randomness.permutation(n, generator=generator)
        return {"mixed": mixed, "start": start, "prior": prior, "order": order}

    def _grid(self, images: Tensor) -> tuple[int, int]:
        return min(self.blocks, images.shape[-2]), min(self.blocks, images.shape[-1])

    def _groups(self, n: int) -> tuple[int, int]:
        """How many groups of a batch of n, and images in the largest of them."""
        groups = max(1, math.ceil(n / self.part))
        return groups, max(1, math.ceil(n / groups))

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        images, (height, width) = batch.images.as_subclass(Tensor), batch.images.shape[-2:]
        assert batch.importance is not None
        maps, size = batch.importance.as_subclass(Tensor), self._grid(batch.images)
        with torch.autocast(images.device.type, enabled=False):
            rows, masks = self._masks(maps, size, params)
            areas = (masks * block_areas((height, width), *size, images.device).flatten()[:, None]).sum(1)
            shown = (masks * block_sums(maps.double(), *size).flatten(1)[rows].mT).sum(1)
            picture, importance = _composed((images, maps), rows, masks.unflatten(1, size))
        return assembled(batch, rows, picture, areas, (importance, shown), self.labels, self.normalize)

    def _masks(self, maps: Tensor, size: tuple[int, int], params: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """(N, K) int64 rows of the images of each picture, its own first, and (N, n, K) float32 what it shows where."""
        n, device = len(maps), maps.device
        if not n:
            return torch.zeros(0, 1, dtype=torch.int64, device=device), maps.new_zeros(0, size[0] * size[1], 1)
        groups, largest = self._groups(n)
        # The last groups may be one image short: what stands there in its stead is never shown.
        present = torch.ones(groups, largest, dtype=torch.bool)
        present[groups - (groups * largest - n) :, -1] = False
        table = torch.zeros(groups, largest, dtype=torch.int64)
        table[present] = params["order"]
        where = torch.empty(n, dtype=torch.int64)
        where[params["order"]] = present.flatten().nonzero()[:, 0]
        start = (params["start"][table] * present.sum(1)[:, None, None]).long()
        table, present, where, start, prior, mixed = (
            t.to(device, non_blocking=True)
            for t in (table, present, where, start, params["prior"].float(), params["mixed"])
        )
        cost = -shares(maps, *size).flatten(1)[table].mT
        cost = cost - (self.eta / cost.shape[1]) * prior.clamp_min(1e-8).log()[:, None]
        cost = cost.masked_fill(~present[:, None], _NEVER)
        first = F.one_hot(start, largest).float() * present[:, :, None, None]
        pairs = _pairs(maps, table, present, self.omega)
        found = joint_masks(cost.contiguous(), pairs, first, size, self.weights, self.iterations, self.blend)
        picture = own_pictures(found.sum(2), present)
        found = found.gather(1, picture[:, :, None, None].expand_as(found)).flatten(0, 1)[where]
        own, group = (where % largest)[:, None], where.div(largest, rounding_mode="floor")
        columns = torch.arange(largest, device=device).expand(n, -1).scatter(1, own, 0)
        columns = torch.cat([own, columns[:, 1:]], 1)
        found = found.gather(2, columns[:, None].expand_as(found))
        rows = torch.arange(n, device=device)[:, None]
        sources = torch.where(present[group].gather(1, columns), table[group].gather(1, columns), rows)
        alone = torch.zeros_like(found)
        alone[..., 0] = 1
        return sources, torch.where(mixed[:, None, None], found, alone)

    def extra_repr(self) -> str:
        grid = f"alpha={self.alpha}, blocks={self.blocks}, part={self.part}, {self.weights}, eta={self.eta}"
        how = f"omega={self.omega}, iterations={self.iterations}, blend={self.blend}, labels={self.labels!r}"
        return f"{grid}, {how}, p={self.p}, normalize={self.normalize}"


def _pairs(maps: Tensor, table: Tensor, present: Tensor, omega: float) -> Tensor:
    """A = (1 - ω) I + ω C, (P, K, K): C the distances, |Δy| + |Δx|, of the most salient windows of a quarter of the
    side, scaled so that they sum to the number of images."""
    height, width = maps.shape[-2:]
    window = (max(1, height // 4), max(1, width // 4))
    maps = maps.float()
    rows, columns = (_windows(side, length, maps) for side, length in zip(maps.shape[1:], window, strict=True))
    found = rows @ (maps @ columns.T)  # a seventh of what pooling with overlap takes
    peak = found.flatten(1).argmax(1)
    place = torch.stack([peak.div(found.shape[2], rounding_mode="floor"), peak % found.shape[2]], 1)[table]
    apart = (place[:, :, None] - place[:, None]).abs().sum(3).float() * (present[:, :, None] & present[:, None])
    total = apart.sum((1, 2), keepdim=True)
    apart = torch.where(total > 0, apart / total.clamp_min(1) * present.sum(1)[:, None, None], apart)
    same = torch.eye(table.shape[1], device=maps.device)
    return (1 - omega) * same + omega * apart


def _windows(side: int, length: int, like: Tensor) -> Tensor:
    """(windows, side), of the type of ``like``: 1 where a window of this length, in each of its places, has a pixel."""
    first = torch.arange(side - length + 1, device=like.device)[:, None]
    pixel = torch.arange(side, device=like.device)
    return ((pixel >= first) & (pixel < first + length)).to(like.dtype)


def _composed(sources: Sequence[Tensor], rows: Tensor, masks: Tensor) -> list[Tensor]:
    """Σ_k z_k ⊙ x_k where a block shows one image, or two half and half, of images (N, C, H, W) and maps (N, H, W).

    rows: (N, K); masks: (N, h, w, K). Exact where there is one; integers are rounded.
    """
    height, width = sources[0].shape[-2:]
    pixels = torch.arange(height * width, device=masks.device)
    share, which = masks.topk(min(2, masks.shape[3]), 3)
    which = rows.gather(1, which.flatten(1)).view_as(which).movedim(3, 1)
    which = to_pixels(which, height, width).flatten(2)
    if which.shape[1] == 1:
        return [pick(images, which[:, 0], pixels) for images in sources]
    half = to_pixels(share[..., 1], height, width)
    return [blended(pick(images, which[:, 0], pixels), pick(images, which[:, 1], pixels), half) for images in sources]
