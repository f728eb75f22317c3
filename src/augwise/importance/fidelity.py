"""Erasure fidelity: how well a map's score of a region predicts what erasing that region does to a classifier.

The quick yardstick of maps. What depends on the classifier alone, the drops, is apart from what depends on the map
alone, the scores: drops cost forward passes and are computed once, scores of any number of maps cost next to nothing.
Tensors in, tensors out; touches no files and no progress.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .. import randomness
from ..boxes import box_spans, fill_boxes
from ..errors import UserError
from ..importance_map import ImportanceMap
from ..integral_images import check_values
from ..windows import Grid, Window, resolve_length
from .class_score import log_probability
from .classifier import check_eval, check_pixels
from .fill import Fill, check_fill, colour_of

FEWEST = 3
"""Windows per image below which a rank correlation is ±1 whatever the map says."""


class Erased(NamedTuple):
    """What erasing windows does to a classifier.

    drops: (N, K) float64, log p_y(x) − log p_y(x with window k filled), in nats; negative where erasing helped.
    log_probability: (N,) float64, log p_y(x) of the whole image. right: (N,) bool, the largest logit is the label's.
    """

    drops: Tensor
    log_probability: Tensor
    right: Tensor


def erasure_fidelity(
    model: nn.Module,
    importance: Tensor,
    images: Tensor,
    labels: Tensor,
    seeds: Sequence[int],
    *,
    length: int | float = 0.375,
    windows: int = 24,
    window: Window = "inside",
    fill: Fill = "mean",
    batch_size: int = 256,
) -> Tensor:
    """Spearman's rank correlation over random windows S of each image, between IS(S) and the drop that erasing S costs:

        ρ_S( Σ_{p ∈ S} η(p),  log p_y(x) − log p_y(x with S filled) )        IS: IPF-RDA, Eq. 11

    1: the map orders the windows as the classifier does; 0: it knows nothing of them; −1: it has them upside down. A
    map that scores all windows of an image alike tells them in no order: 0. Where every window costs the same there is
    nothing to predict: NaN.

    model: frozen, in eval mode, pixels in [0, 1] to logits (N, classes); importance: (N, H, W) ≥ 0, stretched over the
    image where its grid is another. images: (N, C, H, W) float in [0, 1]; labels: (N,) int64; seeds: one 32-bit seed
    per image, which draws its windows.
    length: side of the windows, pixels or a share of the shorter side; windows: how many per image, all different;
    window: "inside" the image, so all of one area, or "clipped" at its border, where a large window also scores and
    costs more for being large: then `spearman` can take out the area. fill: what erases, the image's own mean colour or
    one value in [0, 1]. batch_size: images per forward pass.

    Returns (N,) float64 on the device of the images. An image's value does not depend on its neighbours. Costs
    ``windows`` + 1 forward passes per image; for several maps take them apart: `random_windows` and `erasure_drops`
    once, then `window_scores` and `fidelity` for each.
    """
    height, width = images.shape[-2:]
    boxes = random_windows(seeds, height, width, length, windows, window).to(images.device)
    erased = erasure_drops(model, images, labels, boxes, fill, batch_size)
    return fidelity(window_scores(importance, boxes, (height, width)), erased.drops)


def random_windows(
    seeds: Sequence[int], height: int, width: int, length: int | float, count: int = 24, window: Window = "inside"
) -> Tensor:
    """``count`` different windows of each image, uniform over all there are: (N, count, 4) int64 boxes on the CPU.

    A box is (top, left, bottom, right), the last two exclusive. Raises `UserError` where so many do not fit.
    """
    side = resolve_length(length, height, width)
    if side >= min(height, width):
        raise UserError(
            f"length={length} is {side} pixels, and images are {height}x{width}: give less than the shorter side, or "
            "there is nothing left to compare"
        )
    if count < FEWEST:
        raise UserError(f"windows={count} rank nothing: give at least {FEWEST}, 24 or more for a steady number")
    grid = Grid.of(torch.empty(1, height + 1, width + 1), side, window)
    rows, columns = grid.shape
    if count > rows * columns:
        raise UserError(
            f"windows={count}: only {rows * columns} windows of {side} pixels fit into {height}x{width}; give fewer, "
            "or a shorter length"
        )
    if not len(seeds):
        return torch.zeros(0, count, 4, dtype=torch.int64)
    cells = torch.stack(
        [torch.randperm(rows * columns, generator=randomness.generator("windows", seed))[:count] for seed in seeds]
    )
    return torch.stack(grid.spans(cells // columns, cells % columns), 2)


@torch.no_grad()
def erasure_drops(
    model: nn.Module, images: Tensor, labels: Tensor, boxes: Tensor, fill: Fill = "mean", batch_size: int = 256
) -> Erased:
    """What each window costs the true class, see `Erased`: one forward pass per window and one of the image itself.

    images: (N, C, H, W) float in [0, 1]; labels: (N,) int64; boxes: (N, K, 4), from `random_windows`.
    """
    check_eval(model)
    check_fill(fill)
    check_pixels(images)
    n, k = boxes.shape[:2]
    colour = colour_of(images, fill)
    whole = torch.cat([boxes.new_zeros(n, 1, 4), boxes], 1).flatten(0, 1).to(images.device)  # an empty box comes first
    scores, right, finite = [], [], torch.ones((), dtype=torch.bool, device=images.device)
    for which in torch.arange(n * (k + 1), device=images.device).split(batch_size):
        image = which // (k + 1)
        erased = fill_boxes(images[image], whole[which], colour[image], inplace=True)
        # Channels last, as convolutions like them: twice as fast on a processor.
        logits = model(erased.contiguous(memory_format=torch.channels_last)).double()
        finite &= logits.isfinite().all()  # looked at in the end, or every batch would wait for the device
        scores.append(log_probability(logits, labels[image]))
        right.append(logits.argmax(1) == labels[image])
    if not scores:
        empty = torch.zeros(0, dtype=torch.float64, device=images.device)
        return Erased(empty.view(0, k), empty, empty.bool())
    if not bool(finite):
        raise UserError("the model returns NaN or infinite logits: check its weights")
    score = torch.cat(scores).view(n, k + 1)
    return Erased(score[:, :1] - score[:, 1:], score[:, 0], torch.cat(right).view(n, k + 1)[:, 0])


def window_scores(importance: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """IS(S) of every window, the sum of the map over it: (N, H, W), (N, K, 4) -> (N, K) float64.

    size: height and width of the images that the boxes lie in; maps of another grid are stretched over them first.
    Products with masks, not differences of an integral image: where a map is zero the score is exactly zero, and sums
    of as many key points of equal weight are equal, so that ties are ties.
    """
    maps = importance.as_subclass(Tensor)
    if maps.ndim != 3 or len(maps) != len(boxes):
        raise UserError(f"maps {tuple(maps.shape)} for windows of {len(boxes)} images: give one map (H, W) per image")
    check_values(maps)
    if tuple(maps.shape[1:]) != tuple(size):
        from torchvision.transforms.v2 import functional as V

        maps = V.resize(ImportanceMap(maps.float()), list(size), antialias=True).as_subclass(Tensor)
    rows, columns = box_spans(boxes.to(maps.device), *size)
    return ((rows.double() @ maps.double()) * columns).sum(2)


def fidelity(scores: Tensor, drops: Tensor, areas: Tensor | None = None) -> Tensor:
    """`spearman` of scores and drops, (N, K) both, to (N,), with 0 where the scores are constant but the drops are not.

    A map without an opinion, as a failed attack leaves it, predicts nothing; left out, it would count as well as the
    maps that a method did find. Constant drops stay NaN: no map can predict them. areas: (N, K), see `spearman`.
    """
    found = spearman(scores, drops, areas)
    known = spearman(drops, drops, areas)  # 1, or NaN where there is nothing to predict
    return torch.where(found.isnan() & ~known.isnan(), 0.0, found)


def spearman(x: Tensor, y: Tensor, given: Tensor | None = None) -> Tensor:
    """Spearman's rank correlation of each row: (N, K), (N, K) -> (N,) float64 in [−1, 1]; ties take average ranks.

    NaN where x or y is constant. given: (N, K), the partial correlation at equal ranks of it:

        ρ_{xy·z} = (ρ_xy − ρ_xz ρ_yz) / √((1 − ρ_xz²)(1 − ρ_yz²))

    which is ρ_xy where given is constant, and NaN where x or y is no more than a function of given's rank.
    """
    a, b = _centred(x), _centred(y)
    if given is not None:
        z = _centred(given)
        a, b = _without(a, z), _without(b, z)
    lengths = [_length(a), _length(b)]
    product = (a * b).sum(1) / torch.where(lengths[0] * lengths[1] > 0, lengths[0] * lengths[1], torch.nan)
    return product.clamp(-1, 1)


def average_ranks(values: Tensor) -> Tensor:
    """Ranks from 1 along each row of (N, K), float64; equal values share the mean of their ranks. Work grows as K²."""
    less = (values[:, None, :] < values[:, :, None]).sum(2)
    equal = (values[:, None, :] == values[:, :, None]).sum(2)
    return less.double() + (equal.double() + 1) / 2


def _centred(values: Tensor) -> Tensor:
    ranks = average_ranks(values)
    return ranks - ranks.mean(1, keepdim=True)


def _without(ranks: Tensor, given: Tensor) -> Tensor:
    """What a straight line over the given ranks does not explain; nothing at all where only rounding is left."""
    share = (ranks * given).sum(1, keepdim=True) / given.square().sum(1, keepdim=True).clamp_min(1e-300)
    rest = ranks - share * given
    return torch.where(_length(rest)[:, None] > 1e-9 * _length(ranks)[:, None], rest, 0.0)


def _length(ranks: Tensor) -> Tensor:
    return ranks.square().sum(1).sqrt()
