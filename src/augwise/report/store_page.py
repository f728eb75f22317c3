"""The page of a store: what its maps look like as a whole, class by class, and one by one. Writes that one file."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .figures import overlay, png
from .page import Facts, write_page

if TYPE_CHECKING:
    from ..analysis.store_statistics import Overview

_SMALL = 48  # pixels a side up to which pictures are embedded as they are
_LARGEST = 160  # pixels a side of larger ones


@dataclass(frozen=True)
class Shown:
    """One image of the gallery: (H, W, 3) uint8 pixels, its map (H, W) float32, and what stands under it."""

    image: np.ndarray
    importance: np.ndarray
    row: int
    key_points: int | None
    failed: bool


@dataclass(frozen=True)
class Album:
    """The images of one class that are shown, and how many there are."""

    name: str
    images: int
    shown: Sequence[Shown]


def write_store_page(
    path: Path,
    *,
    title: str,
    subtitle: str,
    note: str,
    overview: Overview,
    prior: np.ndarray,
    prior_middle: float,
    sparse: bool,
    only_failed: bool,
    albums: Sequence[Album],
    facts: Facts,
) -> None:
    """Write the page.

    note: a sentence above the numbers, "" for none; prior: (H, W) map of the centre prior, prior_middle its share in
    the middle quarter; sparse: whether key points and failed attacks mean something; only_failed: whether the gallery
    was chosen so.
    """
    at = {album.name: f"class-{i}" for i, album in enumerate(albums)}
    write_page(
        path,
        "store",
        title=title,
        version=__version__,
        subtitle=subtitle,
        facts=facts,
        note=note,
        whole=overview.whole,
        classes=[{"share": each, "at": at.get(each.name)} for each in overview.classes],
        mean_map=_heat(overview.mean),
        prior_map=_heat(prior),
        prior_middle=prior_middle,
        sparse=sparse,
        only_failed=only_failed,
        albums=[
            {"id": at[album.name], "name": album.name, "images": album.images, "shown": [_item(s) for s in album.shown]}
            for album in albums
        ],
        count=sum(len(album.shown) for album in albums),
        total=overview.whole.images,
        number=lambda value: "–" if math.isnan(value) else f"{value:.1f}",
    )


def _item(shown: Shown) -> dict[str, Any]:
    side = max(shown.image.shape[:2])
    encode = png if side <= _SMALL else _thumbnail
    return {
        "image": encode(shown.image),
        "map": encode(overlay(shown.image, shown.importance)),
        "row": shown.row,
        "key_points": shown.key_points,
        "failed": shown.failed,
        "photo": side > _SMALL,
    }


def _thumbnail(pixels: np.ndarray) -> str:
    """A photograph at most `_LARGEST` pixels a side, as the data URI of a JPEG: a tenth of what a PNG takes."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _heat(importance: np.ndarray) -> str:
    """A map (H, W) in warm colours, its maximum the brightest, as the data URI of a PNG."""
    from matplotlib import colormaps

    top = float(importance.max())
    colours = colormaps["inferno"](importance / top if top > 0 else importance)[:, :, :3]
    return png((colours * 255).round().astype(np.uint8))
