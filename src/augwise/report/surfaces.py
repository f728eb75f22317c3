"""A function of two variables as SVG: bands of equal height from above, and the surface itself from the side.

Several pictures can share levels, colours and heights, so that they can be compared. Written like `charts`: words in
the page's colours outside the drawing, a title and a description inside. Writes no file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .charts import WIDTH, Chart, _chart, _text, number, ticks

_LEFT, _TOP, _SIDE = 46, 14, 250
_MOST = 14  # levels
_AZIMUTH, _ELEVATION = math.radians(-52), math.radians(28)


@dataclass(frozen=True)
class Heights:
    """What several pictures share: levels, ascending, and whether height is the logarithm of the value."""

    levels: tuple[float, ...]
    logarithmic: bool

    @classmethod
    def of(cls, values: Sequence[np.ndarray]) -> Heights:
        """Round levels over all values that are finite; logarithmic (1, 2, 5, 10 ...) where they span a decade."""
        every = np.concatenate([v[np.isfinite(v)].ravel() for v in values])
        low, high = float(every.min()), float(every.max())
        if low > 0 and high / low >= 10:
            return cls(_decades(low, high), True)
        return cls(tuple(ticks(low, high, 12)), False)

    def share(self, value: Any) -> Any:
        """Where a value lies between the lowest and the highest level, in [0, 1] within them."""
        low, high = self.levels[0], self.levels[-1]
        if self.logarithmic:
            return np.log(np.maximum(value, low * 1e-3) / low) / np.log(high / low)
        return (np.asarray(value) - low) / ((high - low) or 1)

    def text(self, value: float) -> str:
        """A level for readers."""
        return f"{value:g}" if self.logarithmic else number(value, self.levels)


def _decades(low: float, high: float) -> tuple[float, ...]:
    """Round numbers from at most low to at least high: 1, 1.5, 2, 3, 5, 7 times powers of ten; where these are too many
    1, 2, 5, else powers of ten alone."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for among in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,)):
        known = [float(f"{m}e{e}") for e in powers for m in among]
        below, above = max(k for k in known if k <= low), min(k for k in known if k >= high)
        chosen = tuple(k for k in known if below <= k <= above)
        if len(chosen) <= _MOST:
            break
    return chosen


def contours(
    title: str, x: Sequence[float], y: Sequence[float], values: np.ndarray, heights: Heights, name: str
) -> Chart:
    """values[j, i] at (x[i], y[j]) as bands between the levels, seen from above; the middle is marked."""
    from matplotlib.figure import Figure

    place = _Frame(x, y)
    shown = np.ma.masked_invalid(np.clip(values, heights.levels[0], heights.levels[-1]))
    if heights.logarithmic:
        shown = np.ma.log(shown)
    edges = [math.log(v) if heights.logarithmic else v for v in heights.levels]
    bands = Figure().subplots().contourf(x, y, shown, levels=edges).get_paths()
    parts = []
    for b, band in enumerate(bands):
        if band.codes is not None:  # None: no value lies in this band
            path = _path(np.asarray(band.vertices), np.asarray(band.codes), place)
            parts.append(f'<path fill="{_colour((b + 0.5) / len(bands))}" fill-rule="evenodd" d="{path}"/>')
    cross = f"M{place.x(0) - 5:.1f} {place.y(0):.1f}h10M{place.x(0):.1f} {place.y(0) - 5:.1f}v10"
    parts.append(f'<path d="{cross}" stroke="#000" stroke-width="4" opacity=".6"/>')
    parts.append(f'<path d="{cross}" stroke="#fff" stroke-width="1.6"/>')
    parts += place.axes() + _scale_of(heights, name)
    return _chart(title, _TOP + _SIDE + 44, parts, _told(values, name))


def surface(
    title: str, x: Sequence[float], y: Sequence[float], values: np.ndarray, heights: Heights, name: str
) -> Chart:
    """The same as a surface seen from the side; its height and colour are those of the levels."""
    n, m = len(x), len(y)
    share = np.clip(heights.share(values), 0, 1)
    u = np.linspace(-1, 1, n)[None, :].repeat(m, 0)
    v = np.linspace(-1, 1, m)[:, None].repeat(n, 1)
    across, up, depth = _seen(u, v, 1.1 * share)
    sx, sy = (lambda a: WIDTH / 2 + 12 + 104 * a), (lambda b: 196 - 104 * b)
    cells = [
        (depth[j : j + 2, i : i + 2].mean(), j, i)
        for j in range(m - 1)
        for i in range(n - 1)
        if np.isfinite(values[j : j + 2, i : i + 2]).all()
    ]
    parts = _box(heights, sx, sy, name)
    for _, j, i in sorted(cells, reverse=True):
        corners = [(j, i), (j, i + 1), (j + 1, i + 1), (j + 1, i)]
        points = " ".join(f"{sx(across[c]):.1f},{sy(up[c]):.1f}" for c in corners)
        colour = _colour(float(share[j : j + 2, i : i + 2].mean()))
        parts.append(f'<polygon points="{points}" fill="{colour}" stroke="#0005" stroke-width=".5"/>')
    return _chart(title, 288, parts, _told(values, name))


def _seen(u: np.ndarray, v: np.ndarray, w: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Orthographic: (across, up, depth) of points of the unit box; the larger the depth, the farther away."""
    ca, sa, ce, se = math.cos(_AZIMUTH), math.sin(_AZIMUTH), math.cos(_ELEVATION), math.sin(_ELEVATION)
    across, away = ca * u - sa * v, sa * u + ca * v
    return np.asarray(across), np.asarray(se * away + ce * w), np.asarray(ce * away - se * w)


def _box(heights: Heights, sx: Any, sy: Any, name: str) -> list[str]:
    """The floor, and the heights of levels on the farthest upright edge's two neighbours."""

    def at(u: float, v: float, w: float) -> tuple[float, float]:
        a, b, _ = _seen(np.array(u), np.array(v), w)
        return float(sx(a)), float(sy(b))

    corners = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
    floor = "M" + "L".join("{:.1f} {:.1f}".format(*at(u, v, 0)) for u, v in corners) + "Z"
    parts = [f'<path class="axis" fill="none" d="{floor}"/>']
    far = max(corners, key=lambda c: float(_seen(np.array(c[0]), np.array(c[1]), 0)[2]))
    left = min(corners, key=lambda c: at(*c, 0)[0])
    right = max(corners, key=lambda c: at(*c, 0)[0])
    every = math.ceil(len(heights.levels) / 8)  # more would stand on each other
    for i, level in enumerate(heights.levels):
        w = 1.1 * float(heights.share(level))
        line = [at(*left, w), at(*far, w), at(*right, w)]
        parts.append('<path class="grid" fill="none" d="M' + "L".join(f"{a:.1f} {b:.1f}" for a, b in line) + '"/>')
        if i % every == 0:
            parts.append(_text(line[0][0] - 5, line[0][1] + 4, heights.text(level), "tick", "end"))
    parts.append(_text(0, 12, name, "tick"))
    for (one, other), label in (((corners[0], corners[1]), "direction 1"), ((corners[1], corners[2]), "direction 2")):
        a, b = at(*one, 0), at(*other, 0)
        anchor = "end" if label == "direction 1" else "start"
        shift = -6 if anchor == "end" else 6
        parts.append(_text((a[0] + b[0]) / 2 + shift, (a[1] + b[1]) / 2 + 18, label, "tick", anchor))
    return parts


class _Frame:
    """Places of a square drawing seen from above, its axes and their ticks."""

    def __init__(self, x: Sequence[float], y: Sequence[float]) -> None:
        self.spans = (x[0], x[-1]), (y[0], y[-1])

    def x(self, value: float) -> float:
        low, high = self.spans[0]
        return _LEFT + _SIDE * (value - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.spans[1]
        return _TOP + _SIDE * (high - value) / (high - low)

    def axes(self) -> list[str]:
        base, parts = _TOP + _SIDE, []
        xs, ys = (ticks(*span, 5, inside=True) for span in self.spans)
        parts += [_text(self.x(v), base + 16, number(v, xs), "tick", "middle") for v in xs]
        parts += [_text(_LEFT - 6, self.y(v) + 4, number(v, ys), "tick", "end") for v in ys]
        parts.append(_text(_LEFT + _SIDE / 2, base + 34, "direction 1 (across) and 2 (up)", "tick", "middle"))
        return parts


def _scale_of(heights: Heights, name: str) -> list[str]:
    """The bands' colours with their levels, at the right."""
    count = len(heights.levels) - 1
    left, top, step = _LEFT + _SIDE + 12, _TOP + 18, min(22.0, (_SIDE - 18) / count)
    parts = [_text(WIDTH, _TOP + 4, name, "tick", "end")]
    for b in range(count):
        y = top + step * (count - 1 - b)
        parts.append(
            f'<rect x="{left}" y="{y:.1f}" width="14" height="{step:.1f}" fill="{_colour((b + 0.5) / count)}"/>'
        )
    for i, level in enumerate(heights.levels):
        parts.append(_text(left + 18, top + step * (count - i) + 4, heights.text(level), "tick"))
    return parts


def _path(points: np.ndarray, codes: np.ndarray, place: _Frame) -> str:
    """A path of matplotlib's, of straight lines alone, as SVG has it."""
    words = {1: "M", 2: "L"}
    return "".join(
        f"{words[code]}{place.x(px):.1f} {place.y(py):.1f}" if code in words else "Z"
        for (px, py), code in zip(points, codes, strict=True)
    )


def _colour(share: float) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return to_hex(colormaps["viridis"](min(max(share, 0.0), 1.0)))


def _told(values: np.ndarray, name: str) -> str:
    m, n = values.shape
    middle, ends = values[m // 2, n // 2], values[np.isfinite(values)]
    text = f"{name}: {middle:.4g} in the middle, from {ends.min():.4g} to {ends.max():.4g} over the plane"
    lost = int((~np.isfinite(values)).sum())
    return text + (f"; not finite at {lost} points." if lost else ".")
