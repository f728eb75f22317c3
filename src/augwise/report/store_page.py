"""The page of a store beside its images: its maps as a whole, class by class, and one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .estimate_page import class_words, map_tiles
from .figures import heat, overlay, picture
from .page import Facts, Page
from .text import share

if TYPE_CHECKING:
    from ..analysis.map_statistics import MapStatistics

_LARGEST = 160  # pixels a side: there are hundreds of pictures


@dataclass(frozen=True)
class Shown:
    """One image of the gallery: (H, W, 3) uint8 pixels, its map (H, W) float32, and what stands under it."""

    image: np.ndarray
    importance: np.ndarray
    row: int
    key_points: int | None
    failed: bool


def page(
    *,
    title: str,
    subtitle: str,
    note: str,
    statistics: MapStatistics,
    prior: np.ndarray,
    prior_centre: float,
    only_failed: bool,
    albums: Mapping[str, Sequence[Shown]],
    facts: Facts,
) -> Page:
    """The page that the verb ``show`` writes.

    note: a sentence above the numbers, "" for none; statistics: of the maps whose images are there; prior: (H, W) map
    of the centre prior, prior_centre its share in the middle quarter; albums: the images that are shown, by class;
    only_failed: whether they were chosen so.
    """
    numbers, mean_map = statistics
    images = {row["class"]: row["images"] for row in numbers["per_class"]}
    at = {name: f"class-{i}" for i, name in enumerate(albums)}
    return Page(
        "store",
        title=title,
        version=__version__,
        subtitle=subtitle,
        facts=facts,
        words={
            "note": note,
            "tiles": [*map_tiles(numbers), ("middle quarter", share(numbers["centre"]), "of the importance")],
            **class_words(numbers, at),
            "looked_at": numbers["looked_at"],
            "total": numbers["done"],
            "centre": numbers["centre"],
            "mean_map": picture(heat(mean_map)),
            "prior_map": picture(heat(prior)),
            "prior_centre": prior_centre,
            "only_failed": only_failed,
            "albums": [
                {"id": at[name], "name": name, "images": images[name], "shown": [_item(s) for s in shown]}
                for name, shown in albums.items()
            ],
            "count": sum(map(len, albums.values())),
        },
    )


def _item(shown: Shown) -> dict[str, Any]:
    return {
        "image": picture(shown.image, _LARGEST),
        "map": picture(overlay(shown.image, shown.importance), _LARGEST),
        "row": shown.row,
        "key_points": shown.key_points,
        "failed": shown.failed,
    }
