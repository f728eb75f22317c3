"""Charts of an audit as SVG text, whose colours come from the page's style sheet, and photographs as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np

_WIDTH, _HEIGHT, _LEFT, _FOOT = 300, 110, 6, 30


def histogram(counts: Sequence[int], label: str, mean: float) -> str:
    """Counts in equal bins of [0, 1] as bars, the mean as a line.

    label: of the axis; the chart is hidden from screen readers, which have the table.
    """
    top, wide = max(max(counts), 1), (_WIDTH - 2 * _LEFT) / len(counts)
    height = _HEIGHT - _FOOT
    bars = []
    for i, count in enumerate(counts):
        tall = height * count / top
        if count:
            bars.append(
                f'<rect x="{_LEFT + i * wide + 0.5:.1f}" y="{height - tall:.1f}" width="{wide - 1:.1f}" '
                f'height="{max(tall, 1):.1f}"><title>{100 * i / len(counts):.0f} to '
                f"{100 * (i + 1) / len(counts):.0f} %: {count} images</title></rect>"
            )
    at = _LEFT + mean * (_WIDTH - 2 * _LEFT)
    ticks = "".join(
        f'<text x="{_LEFT + share * (_WIDTH - 2 * _LEFT):.1f}" y="{height + 12}" text-anchor="{anchor}">'
        f"{100 * share:.0f} %</text>"
        for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" class="histogram" aria-hidden="true" focusable="false">'
        f'<g class="bars">{"".join(bars)}</g>'
        f'<line class="axis" x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{height}" y2="{height}"/>'
        f'<line class="mean" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{height}"/>'
        f'<g class="ticks">{ticks}<text x="{_WIDTH / 2}" y="{height + 26}" text-anchor="middle">{label}</text></g>'
        "</svg>"
    )


def photograph(pixels: np.ndarray, largest: int) -> str:
    """(H, W, C) uint8 as a JPEG data URI, no side longer than ``largest``."""
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    image.thumbnail((largest, largest))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
