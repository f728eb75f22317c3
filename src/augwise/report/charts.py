"""Charts as SVG text that stands inside a page: its font, its colours (light and dark), readable at phone width.

A chart is 360 units wide, so that at 390 pixels of screen one unit is one pixel. Colours come from the page's style
by class (plain, guarded, control, baseline), never from here; shapes differ too, so that colour is not needed. Every
chart has a title and a description that says in words what it shows. Writes no file.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NamedTuple

WIDTH = 360
_LEGEND = 18  # between two lines of a legend


class Chart(NamedTuple):
    """title: for the caption; svg: the drawing, with title and description inside."""

    title: str
    svg: str


@dataclass(frozen=True)
class Series:
    """One line. points: (x, y); bars: (low, high) of each point, None for those without; style: the class that
    colours it and chooses its marker; marked: draw the points; dashed: draw the line so; joined: draw the line at all,
    else the points alone."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str = "plain"
    bars: Sequence[tuple[float, float] | None] = ()
    marked: bool = True
    dashed: bool = False
    joined: bool = True


@dataclass(frozen=True)
class Cloud:
    """Points of one kind: (x, y)."""

    name: str
    points: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """One row of a forest plot: a mean with its interval (None without one); sure: filled marker."""

    label: str
    mean: float
    low: float | None
    high: float | None
    style: str = "guarded"
    sure: bool = True


def line_chart(
    title: str, series: Sequence[Series], x_label: str, y_label: str, *, x_ticks: Sequence[float] | None = None,
    integers: bool = False, y_span: tuple[float, float] | None = None,
) -> Chart:  # fmt: skip
    """Lines over a common axis. x_ticks: where to label x (default: round numbers); integers: no fractions on x;
    y_span: what the y axis holds at least, to give several charts the same one."""
    lines = _legend_lines(series)
    lower = _LEGEND * (len(lines) - 1)
    top, bottom, left, right, height = 40 + lower, 42, 46, 12, 256 + lower
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points] + [v for s in series for bar in s.bars if bar for v in bar]
    ys += y_span or ()
    y_ticks = ticks(min(ys), max(ys))
    x_ticks = list(x_ticks) if x_ticks is not None else ticks(min(xs), max(xs), 6, integers, inside=True)
    y = _scale(min(y_ticks[0], *ys), max(y_ticks[-1], *ys), height - bottom, top)
    pad = 0.04 * (max(xs) - min(xs)) if len({*xs}) > 1 else 1
    x = _scale(min(xs) - pad, max(xs) + pad, left, WIDTH - right)
    parts = [_legend(lines), f'<text class="tick" x="0" y="{top - 9}">{escape(y_label)}</text>']
    for value in y_ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(_text(left - 6, y(value) + 4, number(value, y_ticks), "tick", "end"))
    base = height - bottom
    parts.append(f'<line class="axis" x1="{left}" x2="{WIDTH - right}" y1="{base}" y2="{base}"/>')
    parts += [_text(x(value), base + 16, number(value, x_ticks), "tick", "middle") for value in x_ticks]
    parts.append(_text((left + WIDTH - right) / 2, base + 34, x_label, "tick", "middle"))
    for s in series:
        parts.append(_line(s, x, y))
    return _chart(title, height, parts, _told(series, x_label, y_label))


def forest(
    title: str, groups: Iterable[tuple[str, Sequence[Estimate]]], unit: str, *, zero: float | None = 0.0,
    span: tuple[float, float] | None = None,
) -> Chart:  # fmt: skip
    """Intervals under each other, by group. zero: where to draw the line of no difference (None: none).

    span: the range of the axis, to give several plots the same one.
    """
    groups = [(heading, rows) for heading, rows in groups if rows]
    rows = [row for _, members in groups for row in members]
    low, high = span or extent(rows, zero)
    left = min(170, 14 + max(_width(row.label) for row in rows))
    height, step = 10, 21
    x_ticks = ticks(low, high, 6, inside=True)
    x = _scale(low, high, left + 8, WIDTH - 10)
    parts: list[str] = []
    for heading, members in groups:
        if heading:
            height += 24
            parts.append(_text(0, height - 6, heading, "head"))
        for row in members:
            parts.append(_estimate(row, height + step / 2, left, x))
            height += step
    frame = [
        f'<line class="grid" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="8" y2="{height + 4}"/>' for v in x_ticks if v != zero
    ]
    if zero is not None:
        frame.append(f'<line class="axis" x1="{x(zero):.1f}" x2="{x(zero):.1f}" y1="8" y2="{height + 4}"/>')
    frame += [_text(x(v), height + 18, number(v, x_ticks), "tick", "middle") for v in x_ticks]
    middle = min((left + WIDTH - 10) / 2, WIDTH - _width(unit) / 2)
    frame.append(_text(middle, height + 35, unit, "tick", "middle"))
    told = "; ".join(f"{heading}: {'; '.join(_words(r) for r in members)}" for heading, members in groups)
    return _chart(title, height + 42, frame + parts, f"{told} ({unit}).")


def histogram(
    title: str, edges: Sequence[float], counts: Sequence[float], x_label: str, *, style: str = "plain",
    y_label: str = "images", mean: float | None = None,
) -> Chart:  # fmt: skip
    """Counts between edges; len(edges) = len(counts) + 1. mean: on the x axis, drawn as a line."""
    top, bottom, left, right, height = 26, 42, 46, 12, 220
    y_ticks = ticks(0, max(1, *counts), 4)
    y = _scale(0, y_ticks[-1], height - bottom, top)
    x = _scale(edges[0], edges[-1], left, WIDTH - right)
    base = height - bottom
    parts = [f'<text class="tick" x="0" y="{top - 12}">{escape(y_label)}</text>']
    for value in y_ticks:
        parts.append(f'<line class="grid" x1="{left}" x2="{WIDTH - right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(_text(left - 6, y(value) + 4, number(value, y_ticks), "tick", "end"))
    parts.append(f'<g class="{style}">')
    for (a, b), count in zip(pairwise(edges), counts, strict=True):
        if count:
            parts.append(
                f'<rect class="mark" stroke="none" x="{x(a) + 0.5:.1f}" width="{max(0.8, x(b) - x(a) - 1):.1f}" '
                f'y="{y(count):.1f}" height="{base - y(count):.1f}"/>'
            )
    parts.append(f'</g><line class="axis" x1="{left}" x2="{WIDTH - right}" y1="{base}" y2="{base}"/>')
    x_ticks = ticks(edges[0], edges[-1], 6, inside=True)
    parts += [_text(x(value), base + 16, number(value, x_ticks), "tick", "middle") for value in x_ticks]
    parts.append(_text((left + WIDTH - right) / 2, base + 34, x_label, "tick", "middle"))
    told = "; ".join(
        f"{_short(a)} to {_short(b)}: {_short(c)}" for (a, b), c in zip(pairwise(edges), counts, strict=True)
    )
    if mean is not None:
        parts.append(f'<path class="line" stroke-dasharray="5 4" d="M{x(mean):.1f} {top}V{base}"/>')
        told += f"; mean {_short(mean)}"
    return _chart(title, height, parts, f"{y_label} by {x_label}: {told}.")


def scatter(title: str, clouds: Sequence[Cloud]) -> Chart:
    """Clouds of points in a plane whose units mean nothing: x and y have one scale, and no numbers.

    Up to ten clouds differ in shape, and have a legend; of more, looks repeat and each name stands in its cloud.
    """
    few = len(clouds) <= len(_LOOKS)
    lines = _wrapped(clouds) if few else []
    top, side = 8 + _LEGEND * len(lines), WIDTH - 16
    every = [p for cloud in clouds for p in cloud.points]
    spans = [(min(p[i] for p in every), max(p[i] for p in every)) for i in (0, 1)]
    unit = max(b - a for a, b in spans) or 1.0
    (x, y), room = ((a + b) / 2 for a, b in spans), side - 16
    parts = [f'<rect class="grid" fill="none" x="8" y="{top}" width="{side}" height="{side}"/>']
    for row, line in enumerate(lines):
        at = 8.0
        for number, name in line:
            style, hollow, draw = _LOOKS[number]
            parts.append(
                f'<g class="{style}"><path class="{_kind(hollow)}" d="{_moved(draw, at + 5, 9 + _LEGEND * row)}"/></g>'
            )
            parts.append(_text(at + 14, 13 + _LEGEND * row, name, "name"))
            at += _width(name) + 30
    for i, cloud in enumerate(clouds):
        style, hollow, draw = _LOOKS[i % len(_LOOKS)]
        placed = [
            (8 + side / 2 + (p[0] - x) / unit * room, top + side / 2 - (p[1] - y) / unit * room) for p in cloud.points
        ]
        path = "".join(_moved(draw, *at) for at in placed)
        parts.append(f'<g class="{style}"><path class="{_kind(hollow)}" stroke-width="1" d="{path}"/></g>')
        if not few:
            middle = [sorted(at[k] for at in placed)[len(placed) // 2] for k in (0, 1)]
            parts.append(_text(middle[0], middle[1] + 4, _cut(cloud.name, 80), "head", "middle"))
    told = "; ".join(f"{c.name}: {len(c.points)}, about {_about(c.points)}" for c in clouds)
    return _chart(
        title, top + side + 8, parts, f"Points of {len(clouds)} kinds in a plane, around their medians. {told}."
    )


def extent(rows: Iterable[Estimate], zero: float | None = 0.0) -> tuple[float, float]:
    """The range that holds all intervals, and zero."""
    values = [v for r in rows for v in (r.mean, r.low, r.high) if v is not None]
    values += [] if zero is None else [zero]
    low, high = min(values), max(values)
    room = 0.03 * (high - low) or 0.5
    return low - room, high + room


def ticks(low: float, high: float, count: int = 5, integers: bool = False, inside: bool = False) -> list[float]:
    """About ``count`` round numbers, 1, 2, 2.5 or 5 times a power of ten apart, from at most ``low`` to at least
    ``high`` (inside: within low and high instead)."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / max(1, count - 1)
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    step = max(1.0, round(step)) if integers else step
    first, last = (math.ceil, math.floor) if inside else (math.floor, math.ceil)
    a, b = first(low / step - (1e-9 if inside else -1e-9)), last(high / step + (1e-9 if inside else -1e-9))
    return [round(i * step, 12) for i in range(a, b + 1)] or [low]


def number(value: float, among: Sequence[float]) -> str:
    """A tick's text, with as many digits as its neighbours need, a true minus sign, and k for thousands."""
    if max(map(abs, among)) >= 10_000:
        return f"{value / 1000:g}k".replace("-", "−") if value else "0"
    gaps = [abs(b - a) for a, b in pairwise(among)] or [abs(value) or 1]
    digits = max(0, -math.floor(math.log10(min(gaps)) + 1e-9))
    needed = next((d for d in range(digits + 2) if all(abs(round(v, d) - v) < 1e-9 for v in among)), digits)
    return f"{value:.{needed}f}".replace("-", "−")


def _scale(low: float, high: float, start: float, stop: float) -> Scale:
    return Scale(low, (stop - start) / ((high - low) or 1), start)


class Scale(NamedTuple):
    """A value's place on the drawing: start + (value − low) · slope."""

    low: float
    slope: float
    start: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) * self.slope


def _chart(title: str, height: float, parts: list[str], description: str) -> Chart:
    drawing = "".join(parts)
    name = "x" + hashlib.blake2b(f"{title}{description}{drawing}".encode(), digest_size=5).hexdigest()
    svg = (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>{drawing}</svg>'
    )
    return Chart(title, svg)


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _legend_lines(series: Sequence[Series]) -> list[list[Series]]:
    """The series of a legend, in as few lines as its width allows; a single series needs none."""
    if len(series) < 2:
        return [[]]
    lines: list[list[Series]] = [[]]
    for s in series:
        if sum(_width(other.name) + 33 for other in [*lines[-1], s]) > WIDTH:
            lines.append([])
        lines[-1].append(s)
    return lines


def _legend(lines: list[list[Series]]) -> str:
    """Markers and names in rows from the right, above the drawing."""
    parts = []
    for row, series in enumerate(lines):
        x, y = float(WIDTH - 8), 9 + _LEGEND * row
        for s in reversed(series):
            x -= _width(s.name)
            parts.append(_text(x, y + 4, s.name, "name"))
            x -= 13
            sign = f'<line class="line" x1="{x - 7:.1f}" x2="{x + 7:.1f}" y1="{y}" y2="{y}"{_dash(s)}/>' * s.joined
            parts.append(f'<g class="{s.style}">{sign}{_marker(s.style, x, y) if s.marked else ""}</g>')
            x -= 20
    return "".join(parts)


def _line(s: Series, x: Scale, y: Scale) -> str:
    path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in s.points)
    parts = [f'<polyline class="line" points="{path}"{_dash(s)}/>'] if s.joined else []
    for (a, _), bar in zip(s.points, s.bars, strict=False):
        if bar is not None:
            parts.append(
                f'<path class="line" style="stroke-width:1.2" d="M{x(a):.1f} {y(bar[0]):.1f}V{y(bar[1]):.1f}"/>'
            )
    if s.marked:
        parts += [_marker(s.style, x(a), y(b)) for a, b in s.points]
    return f'<g class="{s.style}">{"".join(parts)}</g>'


def _dash(s: Series) -> str:
    return ' stroke-dasharray="5 4"' if s.dashed else ""


def _marker(style: str, x: float, y: float, sure: bool = True) -> str:
    """Circle, square, triangle or diamond, so that arms can be told apart without colour; hollow where not sure."""
    kind = "mark" if sure else "mark hollow"
    if style == "guarded":
        return f'<rect class="{kind}" stroke-width="1.6" x="{x - 3.6:.1f}" y="{y - 3.6:.1f}" width="7.2" height="7.2"/>'
    if style == "control":
        return f'<path class="{kind}" stroke-width="1.6" d="M{x:.1f} {y - 4.6:.1f}l4.6 8h-9.2z"/>'
    if style == "smoothing":
        return f'<path class="{kind}" stroke-width="1.6" d="M{x:.1f} {y - 4.8:.1f}l4.8 4.8l-4.8 4.8l-4.8 -4.8z"/>'
    return f'<circle class="{kind}" stroke-width="1.6" cx="{x:.1f}" cy="{y:.1f}" r="3.8"/>'


def _estimate(row: Estimate, y: float, left: float, x: Scale) -> str:
    parts = [_text(8, y + 4, _cut(row.label, left - 14), "name"), f'<g class="{row.style}">']
    if row.low is not None and row.high is not None:
        parts.append(f'<path class="line" d="M{x(row.low):.1f} {y:.1f}H{x(row.high):.1f}"/>')
    parts.append(_marker(row.style, x(row.mean), y, row.sure) + "</g>")
    return "".join(parts)


# Drawn around (0, 0), to follow a move there: shapes of about equal size, closed, filled or hollow.
_CIRCLE = "m-2.4 0a2.4 2.4 0 1 0 4.8 0a2.4 2.4 0 1 0-4.8 0z"
_SQUARE = "m-2.2-2.2h4.4v4.4h-4.4z"
_TRIANGLE = "m0-2.9l2.8 4.9h-5.6z"
_DIAMOND = "m0-3l3 3l-3 3l-3-3z"
_CROSS = "m-.9-2.8h1.8v1.9h1.9v1.8h-1.9v1.9h-1.8v-1.9h-1.9v-1.8h1.9z"
_SHAPES = (
    ("plain", _CIRCLE), ("guarded", _SQUARE), ("control", _TRIANGLE), ("smoothing", _DIAMOND), ("baseline", _CROSS),
)  # fmt: skip
_LOOKS = [(style, hollow, shape) for hollow in (False, True) for style, shape in _SHAPES]


def _kind(hollow: bool) -> str:
    return "mark hollow" if hollow else "mark"


def _moved(shape: str, x: float, y: float) -> str:
    return f"M{x:.1f} {y:.1f}{shape}"


def _wrapped(clouds: Sequence[Cloud]) -> list[list[tuple[int, str]]]:
    """Number and name of each cloud, in as few lines of a legend as its width allows."""
    lines: list[list[tuple[int, str]]] = [[]]
    used = 0.0
    for i, cloud in enumerate(clouds):
        name = _cut(cloud.name, WIDTH - 40)
        if lines[-1] and used + _width(name) + 30 > WIDTH:
            lines, used = [*lines, []], 0.0
        lines[-1].append((i, name))
        used += _width(name) + 30
    return lines


def _about(points: Sequence[Sequence[float]]) -> str:
    return ", ".join(_short(sorted(p[k] for p in points)[len(points) // 2]) for k in (0, 1))


def _cut(text: str, room: float) -> str:
    if _width(text) <= room + 6:
        return text
    return text[: max(3, int(room / 6.4))].rstrip() + "…"


def _width(text: str) -> float:
    """About how wide a text of 12 units is; the page's font is not known here."""
    return 6.4 * len(text)


def _told(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """The numbers in words; of long lines the first, the last and the range."""
    words = []
    for s in series:
        points = s.points
        if len(points) > 8:
            values = [b for _, b in points]
            text = f"from {_short(points[0][1])} at {_short(points[0][0])} to {_short(points[-1][1])} at "
            text += f"{_short(points[-1][0])}, between {_short(min(values))} and {_short(max(values))}"
        else:
            text = ", ".join(f"{_short(b)} at {_short(a)}" for a, b in points)
        words.append(f"{s.name}: {text}")
    return f"{y_label} over {x_label}. {'; '.join(words)}."


def _words(row: Estimate) -> str:
    text = f"{row.label} {_short(row.mean)}"
    return text if row.low is None or row.high is None else f"{text}, from {_short(row.low)} to {_short(row.high)}"


def _short(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
