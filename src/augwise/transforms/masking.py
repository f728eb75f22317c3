"""Methods that hide many parts of an image, inside `Preserve`: one factory each, for the command line to offer them.

Each returns ``Preserve(method)``: plain without a quantile, guarded with one (IPF-RDA, Alg. 2 (b)), which puts one
important region back. In Python the classes go into `Preserve` directly; these add nothing but names and defaults.
"""

from __future__ import annotations

from ..errors import UserError
from ..schedule import Probability, Ramp
from .adv_mask import AdvMask
from .erasing import Fill
from .grid_mask import GridMask
from .hide_and_seek import HideAndSeek
from .preserved import preserved


@preserved
def hideandseek(
    p_hide: float = 0.5,
    grid: tuple[int | float, ...] = (0, 16 / 224, 32 / 224, 44 / 224, 56 / 224),
    fill: Fill = "mean",
    p: float = 1.0,
) -> HideAndSeek:
    """HideAndSeek: divide the image into patches, hide each with a probability of its own (Singh and Lee 2017).

    p_hide: probability of each patch to be hidden.
    grid: sides of the patches, one of which each image draws: pixels, or shares of the shorter side; 0 hides nothing.
    fill: what is hidden shows "mean" (the image's own mean colour), "random" (noise), or a colour in [0, 1].
    p: probability that an image is changed at all.
    """
    return HideAndSeek(grid, p_hide, fill, p)


@preserved
def gridmask(
    ratio: float = 0.6,
    unit: tuple[int | float, int | float] = (96 / 224, 1.0),
    rotation: float = 360.0,
    fill: Fill = "mean",
    p: float = 0.8,
    over: float = 0.8,
) -> GridMask:
    """GridMask: delete a regular grid of squares (Chen et al. 2020).

    ratio: width of the stripes that stay as a share of a unit's side; the smaller, the more is deleted: (1 - ratio)²
        of the picture.
    unit: smallest and largest side of a unit, pixels or shares of the shorter side.
    rotation: largest angle in degrees by which the grid is turned; 0 for an upright grid.
    fill: what is deleted shows "mean" (the image's own mean colour), "random" (noise), or a colour in [0, 1].
    p: probability that an image is changed at all, at the end of its rise.
    over: share of training during which the probability rises from 0; 0: it is the same throughout.
    """
    return GridMask(unit, ratio, rotation, fill, _rising(p, over))


@preserved
def advmask(
    share: float = 0.4,
    lengths: tuple[int | float, int | float] = (2 / 32, 15 / 32),
    overlap: float = 0.1,
    top: float | None = None,
    fill: Fill = "mean",
    p: float = 0.8,
    over: float = 1.0,
    least: float = 0.5,
) -> AdvMask:
    """AdvMask: hide squares that stand on the key points of the image's map (Yang et al. 2023).

    share: largest share of the picture that is hidden.
    lengths: shortest and longest side of the squares of a mask, pixels or shares of the shorter side.
    overlap: most that two squares may share, as a share of their area.
    top: of a dense map, take this share of the pixels, those of highest importance, as points.
    fill: what is hidden shows "mean" (the image's own mean colour), "random" (noise), or a colour in [0, 1].
    p: probability that an image is masked at all, at the end of its rise.
    over: share of training during which the probability rises from 0; 0: it is the same throughout.
    least: smallest share that is hidden, as a part of the largest: 0.5 in the paper for CIFAR-10, 0.12 for CIFAR-100.
    """
    if not 0 < share <= 1:
        raise UserError(f"share={share} is out of range: give the largest share of the picture to hide, 0 < share <= 1")
    if not 0 < least <= 1:
        raise UserError(f"least={least} is out of range: give a part of share, 0 < least <= 1")
    return AdvMask(lengths, (share * least, share), overlap, fill, _rising(p, over), top)


def _rising(p: float, over: float) -> Probability:
    return Ramp(p, over=over) if over else p
