"""Pictures beside each other on a page of ``analyse`` or ``reproduce``: strips out of what galleries hold.

An example is ``{"label", "tiles": [{"name", "image"}]}``; an image is `figures.Picture`. Under a tile stands its name,
and, where it says so, more in ``caption``; or what a classifier takes it for: ``guess``, whether that is ``right``, how
``sure`` it is, and where it looks (``cam``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Strip = tuple[str, list[tuple[Any, str, str]]]
"""What a strip is of, and its pictures: each with words for those who cannot see it, and its caption."""


def strips(examples: Sequence[Mapping[str, Any]]) -> list[Strip]:
    """A strip for each example."""
    return [_strip(example["label"], example["tiles"]) for example in examples]


def _strip(label: str, tiles: Sequence[Mapping[str, Any]]) -> Strip:
    shown = [(tile["image"], _words(tile, label), caption(tile)) for tile in tiles]
    looks = [
        (tile["cam"], f"where the classifier looks in the {tile['name']}", f"{tile['name']}: Grad-CAM")
        for tile in tiles
        if "cam" in tile
    ]
    return label, [*shown, *looks]


def _words(tile: Mapping[str, Any], label: str) -> str:
    drawn_over = "guess" in tile and "cam" not in tile
    return f"where {tile['name']} sees {label}" if drawn_over else f"{tile['name']} of {label}"


def caption(tile: Mapping[str, Any]) -> str:
    """What stands under a tile."""
    if "caption" in tile:
        return f"{tile['name']}: {tile['caption']}"
    if "guess" not in tile:
        return tile["name"]
    sure = f"{100 * tile['sure']:.0f} %"
    if "cam" in tile:  # how probable it finds the label
        return f"{tile['name']}: {'' if tile['right'] else 'taken for ' + tile['guess'] + ', '}{sure}"
    return f"{tile['name']}: {'right' if tile['right'] else 'taken for ' + tile['guess']}, {sure}"
