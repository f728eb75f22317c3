"""Pictures for a page: pixels and charts as text that stands inside the HTML. Writes no file."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np

# Okabe and Ito's palette: told apart by colour-blind readers, and on light and dark ground.
COLOURS = {"baseline": "#888888", "plain": "#0072B2", "guarded": "#D55E00", "control": "#009E73"}
MARKERS = {"plain": "o", "guarded": "s", "control": "^"}
_INK = "#123456"  # stands for the page's own text colour until the chart is embedded


def png(pixels: np.ndarray, scale: int = 1) -> str:
    """(H, W, C) or (H, W) uint8 as a data URI; every pixel becomes scale × scale, unsmoothed."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(pixels.repeat(scale, 0).repeat(scale, 1)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def overlay(image: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """The map in warm colours over a dimmed grey image, (H, W, 3) uint8; the map's maximum is full colour."""
    from matplotlib import colormaps

    grey = image.mean(2) * 0.5
    top = float(importance.max())
    share = importance / top if top > 0 else np.zeros_like(importance)
    warm = colormaps["inferno"](share)[:, :, :3] * 255
    strength = np.sqrt(share)[:, :, None]
    return (grey[:, :, None] * (1 - strength) + warm * strength).round().astype(np.uint8)


def strength_curves(rows: list[dict[str, Any]], baseline: dict[str, Any] | None, option: str) -> str:
    """Accuracy of every arm over the method's strength, with one standard deviation, as SVG text.

    rows: the table's rows of one method, window and estimator, two or more strengths.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.1), layout="constrained")
    axes = figure.subplots()
    rows = sorted(rows, key=lambda r: r["strength"])
    for arm in ("plain", "guarded", "control"):
        points = [(r["strength"], r["arms"][arm]) for r in rows if arm in r["arms"]]
        if points:
            x = [p[0] for p in points]
            y, error = [100 * p[1]["mean"] for p in points], [100 * (p[1]["std"] or 0) for p in points]
            axes.errorbar(x, y, error, color=COLOURS[arm], marker=MARKERS[arm], capsize=3, label=arm)
    if baseline:
        axes.axhline(100 * baseline["mean"], color=COLOURS["baseline"], linestyle="--", label="without")
    axes.set_xlabel(option)
    axes.set_ylabel("test accuracy, %")
    axes.set_xticks(sorted({r["strength"] for r in rows}))
    return _svg(figure, axes)


def training_curves(curves: dict[str, list[float]], first: int = 1) -> str:
    """Mean test accuracy of each arm over the epochs that were measured, as SVG text; shares in [0, 1];
    first: the epoch of the first value."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(5.2, 3.1), layout="constrained")
    axes = figure.subplots()
    for arm, values in curves.items():
        axes.plot(range(first, first + len(values)), [100 * v for v in values], color=COLOURS.get(arm, _INK), label=arm)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("test accuracy, %")
    return _svg(figure, axes)


def _svg(figure: Any, axes: Any) -> str:
    axes.legend(frameon=False, labelcolor=_INK, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_INK)
    axes.tick_params(colors=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.grid(axis="y", color="#888888", alpha=0.3, linewidth=0.6)
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "augwise"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(
        r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL
    )  # who drew it, with links
    return text.replace(_INK, "currentColor")
