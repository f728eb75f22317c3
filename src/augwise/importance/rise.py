"""RISE: importance of a pixel as what the classifier scores, on average, when a random mask lets it be seen.

Asks for scores alone, no gradients, so it takes any classifier. Touches nothing but tensors and the frozen model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from .class_score import log_probability
from .estimator import Estimated, Estimator
from .fill import Fill, check_fill, colour_of
from .grid import Grid, check_cells, check_grid, map_size, pool, square_cells, tents

Score = Literal["probability", "log_probability"]


class Masks(NamedTuple):
    """Random masks before they are drawn out to pixels, a few numbers each; see `draw_masks` and `upsampled`.

    cells: (M, rows + 1, columns + 1) float32 of 0 and 1, on the CPU; shift: (M, 2) int64, how many pixels of the
    enlarged cells are cut off above and on the left; size: height and width of the image.
    """

    cells: Tensor
    shift: Tensor
    size: tuple[int, int]

    def rows(self, which: slice) -> Masks:
        """Some of the masks."""
        return Masks(self.cells[which], self.shift[which], self.size)


def draw_masks(
    count: int, height: int, width: int, cells: int, probability: float, generator: torch.Generator | None = None
) -> Masks:
    """The random numbers of ``count`` masks (Petsiuk et al. 2018, section 3.2).

    cells: cells along the shorter side; the longer one has as many as make them about square. Each is open (1) with
    ``probability``. One cell more than fits goes along each side, so that a shift of up to a cell leaves no gap.
    """
    grid = square_cells(cells, height, width)
    pitch = torch.tensor([-(-height // grid[0]), -(-width // grid[1])])
    opened = randomness.uniform(count, grid[0] + 1, grid[1] + 1, generator=generator) < probability
    return Masks(opened.float(), randomness.integers(pitch, count, 2, generator=generator), (height, width))


def upsampled(masks: Masks, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tensor:
    """The masks as pictures, (M, H, W) in [0, 1]: cells enlarged bilinearly to the next whole number of pixels each,
    then shifted. As separable weights, so that it is two small matrix products per mask."""
    down, across = (
        tents(nodes * -(-size // (nodes - 1)), nodes)[masks.shift[:, axis, None] + torch.arange(size)]
        for axis, (nodes, size) in enumerate(zip(masks.cells.shape[1:], masks.size, strict=True))
    )
    down, opened, across = (t.to(device, dtype, non_blocking=True) for t in (down, masks.cells, across))
    return down @ opened @ across.mT


def rise(scores: Tensor, masks: Masks, probability: float, centred: bool = True) -> Tensor:
    """Maps (B, H, W), of any sign, from the scores (B, M) of B images under each of M masks.

        η(p) = Σ_i s_i M_i(p) / (M · probability)                               (the paper's Eq. 6)
        η(p) = Σ_i (s_i - s̄) M_i(p) / Σ_i (M_i(p) - M̄(p))²                      (centred)

    The centred form is the slope of the score over how much of p is seen: what seeing p adds, all else at random, in
    units of the score. It takes out the mean score, which is the same at every pixel and most of the paper's map.
    """
    height, width = masks.size
    count = scores.shape[1]
    if centred:
        scores = scores - scores.mean(1, keepdim=True)
    total = scores.new_zeros(len(scores), height * width)
    first, second = (scores.new_zeros(height * width) for _ in range(2))
    for part in _parts(count, 64):
        seen = upsampled(masks.rows(part), scores.device, scores.dtype).flatten(1)
        total += scores[:, part] @ seen
        first, second = first + seen.sum(0), second + seen.square().sum(0)
    if not centred:
        return (total / (count * probability)).view(-1, height, width)
    spread = second - first.square() / count
    # A pixel that every mask shows alike has taught nothing.
    known = spread > 1e-6 * count
    return torch.where(known, total / torch.where(known, spread, 1), 0).view(-1, height, width)


@dataclass(frozen=True)
class RISE(Estimator):
    """η(p) = how much the class's score rises with how much of pixel p random masks let through, never below zero.

    Randomized input sampling (Petsiuk, Das and Saenko 2018): masks of coarse random cells, enlarged bilinearly and
    shifted at random; the classifier scores the image through each. The map is the mean of the masks by their scores,
    less what all pixels share (``centred``, see `rise`), else as the paper prints it (Eq. 6). What a mask hides takes
    the image's own mean colour, in the paper black.

    All images see the same masks, drawn from ``mask_seed``: an image's map depends on no other image, and masks are
    made once per batch. Few masks make a noisy map. Unit: of the score; dense. Returns maps (B, H, W), or of the size
    `map_size` tells where a grid is used: then a cell is the mean of its pixels before the clamp.
    """

    masks: int = 200
    """masks, a forward pass each; the paper takes 4000 and 8000 at 224 px"""
    cells: int = 7
    """cells of a mask along the shorter side; the paper's 7 at 224 px"""
    probability: float = 0.5
    """probability that a cell is seen"""
    score: Score = "probability"
    """of the true class: its probability, as in the paper, or its log-probability, which still tells pixels apart where
    the classifier is sure"""
    centred: bool = True
    """without what all pixels share; no: the paper's map"""
    fill: Fill = "mean"
    """what hidden pixels fade to: the image's own mean colour, or one value in [0, 1]"""
    mask_seed: int = 0
    """decides the masks, which all images share"""
    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""
    batch_size: int = 256
    """masked images per forward pass; bounds the memory"""

    name: ClassVar[str] = "rise"

    def __post_init__(self) -> None:
        check_grid(self.grid)
        for name, least in (("masks", 2), ("cells", 1), ("batch_size", 1)):
            if getattr(self, name) < least:
                raise UserError(f"{name}={getattr(self, name)}: give at least {least}")
        if not 0 < self.probability < 1:
            raise UserError(f"probability={self.probability} is out of range: give one between 0 and 1, such as 0.5")
        if self.score not in get_args(Score):
            raise UserError(f"score={self.score!r} is unknown: use 'probability' or 'log_probability'")
        if self.score == "log_probability" and not self.centred:
            raise UserError("score='log_probability' is below zero everywhere: its map needs centred=True")
        check_fill(self.fill)

    def check(self, height: int, width: int) -> None:
        check_cells(self.cells, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return f"{self.masks} forward passes per image"

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        assert model is not None
        height, width = images.shape[-2:]
        self.check(height, width)
        generator = randomness.generator(self.mask_seed, self.name)
        masks = draw_masks(self.masks, height, width, self.cells, self.probability, generator)
        maps = rise(self._scores(model, images, labels, masks), masks, self.probability, self.centred)
        importance = pool(maps, *self.map_size(height, width)).clamp_min(0)
        return Estimated(importance.float(), torch.zeros(len(images), dtype=torch.bool, device=images.device))

    @torch.no_grad()
    def _scores(self, model: nn.Module, images: Tensor, labels: Tensor, masks: Masks) -> Tensor:
        """(B, M) of the images' type, float32 at least."""
        exact = torch.promote_types(images.dtype, torch.float32)
        hidden = colour_of(images, self.fill)
        columns = []
        for part in _parts(self.masks, self.batch_size):
            seen = upsampled(masks.rows(part), images.device, images.dtype)[:, None]
            scores = []
            pairs = torch.arange(len(images) * len(seen), device=images.device)
            for which in pairs.split(self.batch_size):
                image, mask = which // len(seen), which % len(seen)
                shown = torch.lerp(hidden[image], images[image], seen[mask])
                score = log_probability(model(shown).to(exact), labels[image])
                scores.append(score.exp() if self.score == "probability" else score)
            columns.append(torch.cat([images.new_empty(0, dtype=exact), *scores]).view(len(images), len(seen)))
        return torch.cat(columns, 1)


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(begin, min(begin + size, count)) for begin in range(0, count, size))
