"""Mixed pictures with their label bars: below each picture a bar that is divided as its label is.

Every image has a colour of its own, in the picture and in the bar, so that one sees whose each pixel is. Every mixer of
the catalogue gets the same images and the same stream of random numbers; DCutMix and Saliency-DCutMix also the same
boxes and partners (DCutMix, Fig. 4).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

import augwise as aw
from augwise import catalogue, randomness
from augwise.labels import MixedLabels
from augwise.mixing.base import label_sets
from augwise.mixing.saliency_dcutmix import around, peaks
from augwise.mixing.stick_breaking import paste_nested, stick_breaking_boxes, visible_areas
from augwise.report.figures import pixels

from .digits import digits
from .pictures import Strips, Tile, grown

COLOURS = ((244, 121, 32), (66, 135, 245), (46, 166, 111), (160, 90, 200))
"""Of the digits in the bars, in their order; told apart by those who see red and green alike, too."""
DOUBT = (150, 150, 150)
SCALE, BAR = 4, 16
TRIES = 40
USUAL: dict[str, dict[str, Any]] = {"cutmix": {"alpha": 1.0, "window": "inside"}}
"""Options of entries that need some, such that shares are drawn and boxes are seen whole."""

Shares = list[tuple[int, float]]
"""Of one picture: the rows of the images in it and their shares, the base image first; -1 for doubt."""


def tinted(images: Tensor) -> Tensor:
    """(N, 3, H, W) uint8 digits in shades of their colours: their ground, too, shows whose it is."""
    colours = torch.tensor(COLOURS).double()[:, :, None, None]
    dark, bright = 0.3 * colours, 0.35 * colours + 0.65 * 255
    return torch.lerp(dark, bright, images.as_subclass(Tensor).double() / 255).round().to(torch.uint8)


def shares_of(labels: Tensor | MixedLabels) -> list[Shares]:
    """Of every picture whose classes are rows of images: who is in it, each image once, nobody with less than 0.5 %."""
    given, found = MixedLabels.of(labels), []
    for classes, weights, doubt in zip(
        given.classes.tolist(), given.weights.tolist(), given.doubt.tolist(), strict=True
    ):
        parts = dict.fromkeys(classes, 0.0)
        for row, weight in zip(classes, weights, strict=True):
            parts[row] += weight * (1 - doubt)
        parts[-1] = doubt
        found.append([(row, share) for row, share in parts.items() if share >= 0.005])
    return found


def barred(picture: np.ndarray, shares: Shares) -> np.ndarray:
    """(H, W, 3) uint8, every pixel grown, with the bar below it."""
    large = grown(picture, SCALE)
    width = large.shape[1]
    edges = [round(float(edge) * width) for edge in np.cumsum([0.0, *(share for _, share in shares)])]
    edges[-1] = width
    bar = np.zeros((BAR, width, 3), np.uint8)
    for (row, _), (begin, end) in zip(shares, pairwise(edges), strict=True):
        bar[2:, begin:end] = DOUBT if row < 0 else COLOURS[row]
        if begin:
            bar[2:, begin - 1 : begin + 1] = 0
    return np.concatenate([large, bar])


def in_words(shares: Shares, names: list[str]) -> str:
    """``4: 61 %, 9: 39 %``; a picture of one image is that image."""
    if len(shares) == 1:
        return names[shares[0][0]]
    # No line breaks between a name, its share and the sign.
    parts = [f"{'doubt' if row < 0 else names[row]}:\N{NO-BREAK SPACE}{100 * share:.0f}" for row, share in shares]
    return ", ".join(f"{part}\N{NO-BREAK SPACE}%" for part in parts)


def mixers() -> Strips:
    """The digits as they are, then four pictures by every mixer, two groups in a line; and the pair of Fig. 4."""
    shown = digits()
    batch = aw.Batch.of(tinted(shown.images), torch.arange(len(shown.images)), shown.maps)
    made = {name: entry.load()(**USUAL.get(name, {})) for name, entry in _entries().items()}
    key = max(range(TRIES), key=lambda key: sum(_mixedness(_mixed(step, batch, key)) for step in made.values()))
    groups = [_tiles("Image", batch, shown.names)]
    groups += [_tiles(type(step).__name__, _mixed(step, batch, key), shown.names) for step in made.values()]
    lines = [groups[i] + (groups[i + 1] if i + 1 < len(groups) else []) for i in range(0, len(groups), 2)]
    return {"mixers": lines, "mixers-salient": _salient(batch, shown.names)}


def _salient(batch: aw.Batch, names: list[str]) -> list[list[Tile]]:
    """DCutMix and Saliency-DCutMix with the same shares, boxes and partners: they differ in what fills the boxes."""
    assert batch.importance is not None
    n, (height, width) = len(batch.images), batch.images.shape[-2:]
    with randomness.stream("docs", "salient"):
        shares, position = torch.tensor([[0.4, 0.3, 0.3]]).expand(n, -1), randomness.uniform(n, 2, 2)
    rows = torch.stack([torch.arange(n).roll(-k) for k in range(3)], 1)
    boxes = stick_breaking_boxes(shares, height, width, position)
    centres = peaks(batch.importance)[rows[:, 1:]]
    corners = around(centres, boxes[..., 2:] - boxes[..., :2], height, width)
    labels = label_sets(torch.arange(n), rows, visible_areas(boxes, height, width))

    def filled(own: Tensor | None) -> aw.Batch:
        return batch._replace(images=paste_nested(batch.images, rows, boxes, own), labels=labels)

    lines = (("Image", batch), ("DCutMix", filled(None)), ("Saliency-DCutMix", filled(corners)))
    return [_tiles(title, shown, names) for title, shown in lines]


def _entries() -> dict[str, catalogue.Entry]:
    return {name: entry for name, entry in catalogue.methods().items() if entry.kind == "mixing"}


def _mixed(step: Any, batch: aw.Batch, key: int) -> aw.Batch:
    with randomness.stream("docs", "mixers", key):
        return step(batch)


def _mixedness(batch: aw.Batch) -> float:
    """Mean entropy of the labels: large where no picture is nearly one image alone."""
    dense = MixedLabels.of(batch.labels).dense(len(batch.images))
    return float(-torch.special.xlogy(dense, dense).sum(1).mean())


def _tiles(title: str, batch: aw.Batch, names: list[str]) -> list[Tile]:
    tiles = []
    name = title.replace("Saliency", "Saliency\N{ZERO WIDTH SPACE}")  # where the longest may break in its narrow column
    for image, shares in zip(batch.images, shares_of(batch.labels), strict=True):
        words = in_words(shares, names)
        alt = f"{title}: a picture whose label is {words}"
        tiles.append(Tile(barred(pixels(image.as_subclass(Tensor)), shares), f"**{name}** {words}", alt))
    return tiles
