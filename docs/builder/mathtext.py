"""Formulas as small drawings inside the page: no script, no fonts from elsewhere, in the colour of the text.

A math renderer for Sphinx, by matplotlib's own TeX subset.
"""

from __future__ import annotations

from html import escape
from typing import Any

from docutils import nodes

_SIZE = 100.0  # units per em inside a drawing


def svg(formula: str, display: bool = False) -> str:
    """One formula as an ``<svg>`` whose height and baseline are in units of the surrounding text."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import TextPath

    text = " ".join(formula.split())
    drawn = text.replace(r"\frac", r"\dfrac") if display else text
    path = TextPath(
        (0, 0), f"${drawn}$", size=_SIZE, prop=FontProperties(family="DejaVu Serif", math_fontfamily="stix")
    )
    box = path.get_extents()
    pad = 4.0
    left, bottom, width, height = box.x0 - pad, min(box.y0, 0) - pad, box.width + 2 * pad, 0.0
    height = box.y1 + pad - bottom
    names = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}
    steps = []
    for points, kind in path.iter_segments(curves=True, simplify=False):
        numbers = " ".join(f"{v:.0f}" for v in _flipped(points, bottom + height, left))
        steps.append("Z" if kind == Path.CLOSEPOLY else names[kind] + numbers)
    em = 1.15 if display else 1.06
    style = f"height:{height / _SIZE * em:.3f}em;vertical-align:{bottom / _SIZE * em:.3f}em"
    return (
        f'<svg class="math" role="img" aria-label="{escape(text, quote=True)}" style="{style}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}"><path fill="currentColor" d="{"".join(steps)}"/></svg>'
    )


def _flipped(points: Any, top: float, left: float) -> list[float]:
    return [top - v if i % 2 else v - left for i, v in enumerate(points)]


def _inline(translator: Any, node: nodes.Element) -> None:
    translator.body.append(svg(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="formula" tabindex="0">{svg(node.astext(), display=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Entry point of a Sphinx extension."""
    app.add_html_math_renderer("drawn", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
