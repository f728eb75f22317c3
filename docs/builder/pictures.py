"""The site's pictures, drawn by the library itself, and the strips of Markdown that show them.

A strip is a figure per tile, with its own words for people who do not see it, so that pages need no wide images.
Drawing takes a classifier's training; it is done again only when the library or this folder has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import augwise as aw

from . import DOCS, MADE

PICTURES = MADE / "pictures"


class Tile(NamedTuple):
    """One picture: (H, W, 3) uint8, what is written below it, and what it shows in words."""

    pixels: np.ndarray
    caption: str
    alt: str


Strips = dict[str, list[list[Tile]]]
"""Rows of tiles by the name of their strip."""


def draw() -> dict[str, str]:
    """``strips/NAME.md`` for every strip; the pictures themselves go to ``reference/pictures``."""
    kept, key = PICTURES / "strips.json", _key()
    if kept.exists():
        known = json.loads(kept.read_text(encoding="utf-8"))
        if known["key"] == key:
            return known["strips"]
    from . import concepts, galleries, mixed

    texts: dict[str, str] = {}
    PICTURES.mkdir(parents=True, exist_ok=True)
    makers: Iterable[Callable[[], Strips]] = (
        galleries.methods,
        galleries.estimators,
        mixed.mixers,
        concepts.all_strips,
    )
    for make in makers:
        for name, rows in make().items():
            texts[f"strips/{name}.md"] = _strip(name, rows)
    for name, sentence in galleries.averages().items():
        texts[f"strips/{name}.md"] += sentence + "\n"
    kept.write_text(json.dumps({"key": key, "strips": texts}), encoding="utf-8")
    return texts


def _strip(name: str, rows: list[list[Tile]]) -> str:
    from PIL import Image

    widest = max(map(len, rows))
    parts = []
    for i, row in enumerate(rows):
        parts += [f"::::{{container}} strip tiles-{widest}", ""]
        for j, tile in enumerate(row):
            file = f"{name}-{i}-{j}.png"
            Image.fromarray(np.ascontiguousarray(tile.pixels)).save(PICTURES / file, optimize=True)
            # A path from the root of the sources: strips are included by pages of any folder.
            parts += [f":::{{figure}} /reference/pictures/{file}", f":alt: {tile.alt}", "", tile.caption, ":::", ""]
        parts += ["::::", ""]
    return "\n".join(parts)


def _key() -> str:
    digest = hashlib.blake2b(digest_size=16)
    for root in (Path(os.fspath(aw.__file__)).parent, DOCS / "builder"):
        for file in sorted(root.rglob("*.py")):
            digest.update(str(file.relative_to(root)).encode() + file.read_bytes())
    return digest.hexdigest()


def grown(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Every pixel as a square of scale × scale."""
    return pixels.repeat(scale, 0).repeat(scale, 1)


def outlined(
    pixels: np.ndarray, box: Iterable[int], colour: tuple[int, int, int], scale: int, width: int = 2
) -> np.ndarray:
    """A grown picture with the frame of a box (top, left, bottom, right, in pixels before it grew)."""
    top, left, bottom, right = (int(v) * scale for v in box)
    out = pixels.copy()
    for rows, columns in (
        (slice(top, top + width), slice(left, right)),
        (slice(bottom - width, bottom), slice(left, right)),
        (slice(top, bottom), slice(left, left + width)),
        (slice(top, bottom), slice(right - width, right)),
    ):
        out[rows, columns] = colour
    return out
