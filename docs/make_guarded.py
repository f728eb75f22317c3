"""Draws docs/guarded.png, the README's picture: digits, occlusion maps, and Cutout plain, guarded and control.

    python -m docs.make_guarded QUICKSTART

QUICKSTART: folder of a finished ``augwise quickstart``, for its occlusion store.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from augwise import Cutout, ImportanceStore, open_source
from augwise.analysis.gallery import examples
from augwise.report.figures import overlay

SCALE, GAP = 4, 12


def main(quickstart: Path) -> None:
    """One row per image: picture, map, plain, guarded, control."""
    source = open_source("digits", limit=300)
    maps = ImportanceStore(quickstart / "maps" / "occlusion").attach(source)
    rows = [int(np.flatnonzero(source.labels == digit)[0]) for digit in (2, 3, 4, 6, 9)]
    images = torch.stack([source[row][0] for row in rows])
    steps = {
        "plain": Cutout(16, window="inside"),
        "guarded": Cutout(16, quantile=0.3, window="inside"),
        "control": Cutout(16, quantile=0.3, window="inside"),
    }
    names = [source.class_names[source.labels[row]] for row in rows]
    shown = examples(images, maps.read(rows), maps.deranged(0).read(rows), names, steps, key=("readme",))
    strips = [
        np.concatenate([e.image, overlay(e.image, e.importance), *(picture for picture, *_ in e.arms.values())], 0)
        for e in shown
    ]
    tiles = [strip.reshape(5, 32, 32, 3) for strip in strips]
    side = 32 * SCALE
    canvas = np.full((len(tiles) * (side + GAP) - GAP, 5 * (side + GAP) - GAP, 3), 255, np.uint8)
    for y, row in enumerate(tiles):
        for x, tile in enumerate(row):
            top, left = y * (side + GAP), x * (side + GAP)
            canvas[top : top + side, left : left + side] = tile.repeat(SCALE, 0).repeat(SCALE, 1)
    Image.fromarray(canvas).save(Path(__file__).with_name("guarded.png"), optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
