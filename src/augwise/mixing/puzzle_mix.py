"""Two images as a puzzle: each shows the blocks that matter most in it, moved to where there is room (PuzzleMix)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from ..sample import Batch
from ..schedule import Probability, check_probability, current
from .base import Mixer, label_pairs
from .blocks import blended, block_means, pick, shares, to_pixels
from .levels import minimise
from .shares import Labels, check_labels, partner_share
from .transport import transport

_LEVELS = (2, 3, 4)
_CERTAIN = 1e-4  # λ that near to 0 or 1 counts as this: the prior's logarithm stays finite


class MaskCosts(NamedTuple):
    """What a mask costs on a grid of blocks, as `levels.minimise` takes it.

    slopes: (M, N, h, w), each step of a block from the base image to its partner; down: (N, h - 1, w) and right:
    (N, h, w - 1), a difference of 1 between a block and the one below it, and right of it.
    """

    slopes: Tensor
    down: Tensor
    right: Tensor


def mask_costs(
    base: Tensor,
    partner: Tensor,
    base_maps: Tensor,
    partner_maps: Tensor,
    share: Tensor,
    blocks: int,
    beta: float = 1.2,
    gamma: float = 0.5,
    eta: float = 0.2,
    n_labels: int = 3,
    border: int = 4,
) -> MaskCosts:
    """PuzzleMix's objective for the mask, block by block (Kim, Choo and Song, ICML 2020, section 4).

    z_i in {0, 1/M, ..., 1} is the partner's share of block i, M = ``n_labels`` - 1, and up to a constant

        E(z) = Σ_i z_i s_ai + (1 - z_i) s_bi + β' Σ_(i,j) (z_i - z_j)² + γ β' Σ_(i,j) φ_ij - η / n Σ_i log p(z_i)

    over n blocks and their neighbours: the saliency that is not shown, s_a and s_b being each block's share of its
    image's; smoothness of the mask; φ, how far the colours differ where two blocks meet (`_seams`); and a binomial
    prior p(z = k/M) = C(M, k) (1 - λ)^k λ^(M - k). β' = β / (16 √n), as released. Unit: an image's whole saliency.

    base, partner: (N, C, H, W), uint8 or float in [0, 1], the two images of each pair; base_maps, partner_maps: (N, H,
    W); share: λ of the base image, (N,); blocks: to a side, fewer where the image has fewer pixels; border: pixels to
    either side of an edge whose mean colours are compared. The paper's values are the defaults.
    """
    rows, columns = grid_of(base.shape[-2:], blocks)
    n, steps = rows * columns, n_labels - 1
    lost = shares(base_maps, rows, columns) - shares(partner_maps, rows, columns)
    coupling = beta / (16 * math.sqrt(n))
    sides = [_cells(images, rows, columns, border) for images in (base, partner)]
    down, first, second = _seams([cells.mT for cells in sides], columns, rows)
    down, first, second = down.mT, first.mT, second.mT
    right, *across = _seams(sides, rows, columns)
    lost[:, :-1] += gamma * coupling * first
    lost[:, 1:] += gamma * coupling * second
    lost[:, :, :-1] += gamma * coupling * across[0]
    lost[:, :, 1:] += gamma * coupling * across[1]
    share = share.to(lost.device, torch.float32, non_blocking=True).clamp(_CERTAIN, 1 - _CERTAIN)
    k = torch.arange(steps, device=lost.device)
    prior = torch.logit(share) + torch.log((k + 1) / (steps - k))[:, None]
    slopes = lost / steps + eta / n * prior[..., None, None]
    return MaskCosts(slopes, coupling * (1 + gamma * down), coupling * (1 + gamma * right))


def grid_of(size: Sequence[int], blocks: int) -> tuple[int, int]:
    """Rows and columns of a grid of ``blocks`` to a side; as many as there are pixels where there are fewer."""
    return min(blocks, size[0]), min(blocks, size[1])


def _cells(images: Tensor, rows: int, columns: int, border: int) -> Tensor:
    """Mean colours of cells of about ``border`` pixels that tile every block, (N, C, rows · k, columns · l)."""
    height, width = images.shape[-2:]
    finer = (max(1, height // rows // border), max(1, width // columns // border))
    pixels = images.as_subclass(Tensor).float().contiguous()
    means = block_means(pixels, rows * finer[0], columns * finer[1])
    return means if images.is_floating_point() else means / 255


def _seams(sides: list[Tensor], rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """For every block and the one to its right: what φ adds to their coupling, and to the linear cost of either.

    With d(s, t) the mean |difference| of colours across the seam where the left block i shows image s and the right one
    j image t, the partner being 1,

        φ = z_i (d(1, 0) + d(1, 1) - d(0, 1) - d(0, 0)) / 2 + z_j (d(0, 1) + d(1, 1) - d(1, 0) - d(0, 0)) / 2
            + (z_i - z_j)² (d(1, 0) + d(0, 1) - d(1, 1) - d(0, 0)) / 2

    plus a constant: d itself where z is 0 or 1. Returned are the last coefficient, z_i's and z_j's, each (N, rows,
    columns - 1).
    """
    finer = sides[0].shape[-1] // columns
    left = [cells[..., finer - 1 : -1 : finer] for cells in sides]
    right = [cells[..., finer::finer] for cells in sides]
    d = [[block_means((a - b).abs().mean(1), rows, columns - 1) for b in right] for a in left] if columns > 1 else []
    if not d:
        none = sides[0].new_zeros(len(sides[0]), rows, 0)
        return none, none, none
    (same_base, to_partner), (to_base, same_partner) = d
    differ = (to_base + to_partner - same_partner - same_base) / 2
    leading = (to_base + same_partner - to_partner - same_base) / 2
    trailing = (to_partner + same_partner - to_base - same_base) / 2
    return differ, leading, trailing


class PuzzleMix(Mixer):
    """Show of two images the blocks that matter most in each (Kim, Choo and Song, ICML 2020, arXiv 2009.06962).

        x~ = (1 - z) ⊙ Π_a x_a + z ⊙ Π_b x_b

    z has a level for each block, by an objective of saliency shown, smooth masks, seams that do not show, and λ ~
    Beta(alpha, alpha) through a prior (`mask_costs`). Then blocks of both images, Π, move to where the mask shows them
    if their saliency is worth the way (`transport`). Where the paper cuts a graph per image, here the masks of a batch
    are solved together by message passing on the device (`levels.minimise`), with what accuracy is said in the notes.

    Saliency is the importance map of the batch, from a store or by the model in training (`LiveSaliency` as the step
    before), which is the paper's form; a map of zeros counts as the same everywhere. The label is the exact share of
    the pixels. The mixed map joins the maps as the images are joined, moved blocks with what they carry; ``evidence``
    becomes that of the base image plus what the partner brought, as in `CutMix`.

    alpha: of the beta distribution of λ.
    blocks: to a side; each image draws one of these numbers, 2, 4, 8 or 16 as released. Any size of image goes: where
        the number does not divide a side, blocks differ by a pixel.
    beta, seams, eta: weights of the mask's smoothness, of the colours along its seams and of the prior: β, γ (up to 1)
        and η.
    n_labels: levels of the mask, 2 (each block one image), 3 or 4.
    border: pixels on either side of a seam whose colours are compared.
    transport: whether blocks move.
    t_size: side of the blocks that move, in pixels, no larger than the mask's blocks; what is left over at the bottom
        and at the right where it does not divide a side stays in its place.
    t_cost: ξ, what a way across the picture costs, in units of the image's saliency.
    labels: "area", "importance" or "half", as in `CutMix`.
    p: probability that an image is mixed at all, in Python a `Ramp` too.
    per_batch: one λ and one number of blocks for the whole batch, as released, rather than for each image.
    normalize: for labels by importance, make the two maps of a pair sum to 1 first, see `CutMix`.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        blocks: Sequence[int] = (2, 4, 8, 16),
        beta: float = 1.2,
        seams: float = 0.5,
        eta: float = 0.2,
        n_labels: int = 3,
        border: int = 4,
        transport: bool = True,
        t_size: int = 4,
        t_cost: float = 0.8,
        labels: Labels = "area",
        p: Probability = 1.0,
        per_batch: bool = False,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < alpha < math.inf:
            raise UserError(f"alpha={alpha} is no parameter of a beta distribution: give a number above 0")
        self.blocks = tuple(blocks) if isinstance(blocks, Sequence) else ()
        if not self.blocks or not all(isinstance(b, int) and b >= 1 for b in self.blocks):
            raise UserError(
                f"blocks={blocks}: give whole numbers of blocks to a side in a row, such as (2, 4, 8, 16) or (4,)"
            )
        if n_labels not in _LEVELS:
            raise UserError(f"n_labels={n_labels} is out of range: a mask has 2, 3 or 4 levels")
        for name, value in (("beta", beta), ("eta", eta), ("t_cost", t_cost)):
            if not 0 <= value < math.inf:
                raise UserError(f"{name}={value} is out of range: it weighs a cost, so give 0 or more")
        if not 0 <= seams <= 1:
            raise UserError(f"seams={seams} is out of range: give 0 to 1, above which seams outweigh a smooth mask")
        for name, value in (("border", border), ("t_size", t_size)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"{name}={value!r}: give whole pixels, at least 1")
        self.alpha, self.beta, self.seams, self.eta = alpha, beta, seams, eta
        self.n_labels, self.border = n_labels, border
        self.transport, self.t_size, self.t_cost = transport, t_size, t_cost
        self.labels: Labels = check_labels(labels)
        self.p: Probability = check_probability(p)
        self.per_batch, self.normalize = per_batch, normalize

    without_maps = "mix by one that needs no maps, such as DCutMix"

    @property
    def guarded(self) -> bool:
        return True

    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        n = len(batch.images)
        mixed = randomness.uniform(n, generator=generator) < current(self.p)
        with randomness.shard(0, 1) if self.per_batch else nullcontext():
            drawn = 1 if self.per_batch else n
            share = randomness.beta(self.alpha, drawn, generator=generator).expand(n)
            number = randomness.integers(len(self.blocks), drawn, generator=generator).expand(n)
        partner = randomness.permutation(n, generator=generator)
        return {"mixed": mixed, "share": share, "blocks": torch.tensor(self.blocks)[number], "partner": partner}

    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        images, device = batch.images.as_subclass(Tensor), batch.images.device
        assert batch.importance is not None
        maps = batch.importance.as_subclass(Tensor)
        partner = params["partner"].to(device, non_blocking=True)
        with torch.autocast(device.type, enabled=False):
            mask, places = self._puzzle(images, maps, params)
            z = mask.flatten(1).double().mean(1)
            ours, theirs = _pair(maps, partner, places)
            brought = mask * theirs
            importance = (1 - mask) * ours + brought
            shown = brought.sum((1, 2), dtype=torch.float64)
            left = ((1 - mask) * ours).sum((1, 2), dtype=torch.float64)
            whole = maps.sum((1, 2), dtype=torch.float64)
            weight = partner_share(self.labels, z, left, shown, (whole, whole[partner]), self.normalize)
            picture = blended(*_pair(images, partner, places), mask)
        return Batch.of(
            picture,
            label_pairs(batch.labels, partner, weight),
            importance,
            batch.indices,
            batch.evidence + shown.to(batch.evidence.dtype),
        )

    def _puzzle(self, images: Tensor, maps: Tensor, params: dict[str, Any]) -> tuple[Tensor, Tensor | None]:
        """The partner's share of every pixel, (N, H, W), and which pixels of both images lie there, (2, N, H W)."""
        n, (height, width) = len(images), images.shape[-2:]
        mask = torch.zeros(n, height, width, device=images.device)
        moved = {}
        for number in sorted(set(params["blocks"].tolist())):  # images of one number are solved together
            rows = ((params["blocks"] == number) & params["mixed"]).nonzero()[:, 0]
            if not len(rows):
                continue
            a, b = (r.to(images.device, non_blocking=True) for r in (rows, params["partner"][rows]))
            costs = mask_costs(
                images[a], images[b], maps[a], maps[b], params["share"][rows], number,
                self.beta, self.seams, self.eta, self.n_labels, self.border,
            )  # fmt: skip
            levels = minimise(*costs)
            mask[a] = to_pixels(levels.float() / (self.n_labels - 1), height, width)
            side = min(self.t_size, height // levels.shape[1], width // levels.shape[2])
            moved.setdefault(side, []).append(torch.stack([a, b]))
        if not self.transport:
            return mask, None
        places = torch.arange(height * width, device=images.device).repeat(2, n, 1)
        for side, pairs in moved.items():
            both = torch.cat(pairs, 1)
            shown = mask[both[0]]
            seen = torch.cat([shown < 1, shown > 0])
            places[:, both[0]] = _moved(maps[both.flatten()], seen, side, self.t_cost).view(2, both.shape[1], -1)
        return mask, places

    def extra_repr(self) -> str:
        mask = f"alpha={self.alpha}, blocks={self.blocks}, beta={self.beta}, seams={self.seams}, eta={self.eta}"
        more = f"n_labels={self.n_labels}, border={self.border}, transport={self.transport}, t_size={self.t_size}"
        how = f"labels={self.labels!r}, p={self.p}, per_batch={self.per_batch}, normalize={self.normalize}"
        return f"{mask}, {more}, t_cost={self.t_cost}, {how}"


def _moved(maps: Tensor, seen: Tensor, side: int, cost: float) -> Tensor:
    """(N, H W): which pixel of its image lies at each place after the transport of blocks of ``side`` pixels."""
    height, width = maps.shape[-2:]
    down, across = height // side, width // side
    inner = (..., slice(0, down * side), slice(0, across * side))
    plan = transport(shares(maps[inner], down, across), block_means(seen[inner].float(), down, across), cost)
    corner = plan.div(across, rounding_mode="floor") * (side * width) + plan % across * side
    y, x = torch.arange(down * side, device=maps.device) % side, torch.arange(across * side, device=maps.device) % side
    places = torch.arange(height * width, device=maps.device).view(height, width).repeat(len(maps), 1, 1)
    places[inner] = to_pixels(corner, down * side, across * side) + (y[:, None] * width + x)
    return places.flatten(1)


def _pair(images: Tensor, partner: Tensor, places: Tensor | None) -> tuple[Tensor, Tensor]:
    """Every image and its partner, with their pixels at their places."""
    if places is None:
        return images, images[partner]
    own = torch.arange(len(images), device=images.device)
    return pick(images, own[:, None], places[0]), pick(images, partner[:, None], places[1])
