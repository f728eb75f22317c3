"""Plain, guarded and control of every method, and the map of every estimator, on the same digits."""

from __future__ import annotations

from typing import Any

import torch

from augwise import catalogue
from augwise.analysis.gallery import examples
from augwise.analysis.touched import touched
from augwise.report.figures import overlay

from .digits import SHOWN, digits, estimated
from .pictures import Strips, Tile

DRAWS = 1000

STRONG: dict[str, dict[str, Any]] = {
    "cutout": {"length": 16, "window": "inside"},
    "cutmix": {"length": 18, "window": "inside"},
    "cdiea": {"epsilon": 32 / 255},
    "occlusion": {"stride": 2},
}
"""Options that show best at 32 px, for entries whose defaults do not, or that have none."""


def methods() -> Strips:
    """Rows of image, map, plain, guarded, control."""
    shown = digits()
    foreign = shown.maps.roll(1, 0)
    strips = {name: _arms(entry, shown, foreign) for name, entry in catalogue.methods().items()}
    return {**strips, "front": strips["cutout"][1:3]}


def averages() -> dict[str, str]:
    """Of every method, what its arms lose on average over many draws of the digits shown, as a sentence."""
    shown = digits()
    own = shown.maps.repeat(DRAWS // len(SHOWN), 1, 1)
    foreign = shown.maps.roll(1, 0).repeat(DRAWS // len(SHOWN), 1, 1)
    said = {}
    for name, entry in catalogue.methods().items():
        make, options = entry.load(), STRONG.get(name, {})
        arms = {"plain": (make(**options), own), "guarded": (make(**options, quantile=0.6), own)}
        arms["control"] = make(**options, quantile=0.6), foreign
        lost = {arm: touched(step, own, guide, key=("docs",)).means() for arm, (step, guide) in arms.items()}
        shares = ", ".join(f"{arm} {100 * (m['importance_touched'] or 0):.0f} %" for arm, m in lost.items())
        settings = ", ".join(f"{k}={v!r}" for k, v in {**options, "quantile": 0.6}.items())
        said[name] = f"Over {DRAWS} draws of these digits (`{settings}`) the arms lose on average: {shares}."
    return said


def _arms(entry: catalogue.Entry, shown: Any, foreign: torch.Tensor) -> list[list[Tile]]:
    make, options = entry.load(), STRONG.get(entry.name, {})
    arms = {
        "plain": make(**options),
        "guarded": make(**options, quantile=0.6),
        "control": make(**options, quantile=0.6),
    }
    rows = []
    for e in examples(shown.images, shown.maps, foreign, shown.names, arms, key=("docs", 2)):
        row = [
            Tile(e.image, "image", f"handwritten digit {e.label}"),
            Tile(overlay(e.image, e.importance), "importance", f"importance of the pixels of the digit {e.label}"),
        ]
        for arm, (picture, area, importance) in e.arms.items():
            lost = f"{100 * importance:.0f} % lost"
            alt = f"digit {e.label} after {entry.name}, {arm}: {lost} of the importance, {100 * area:.0f} % of the area"
            row.append(Tile(picture, f"{arm}: {lost}", alt))
        rows.append(row)
    return rows


def estimators() -> Strips:
    """For each estimator a row of images and a row of maps."""
    shown = digits()
    plain = [
        Tile(_pixels(image), name, f"handwritten digit {name}")
        for image, name in zip(shown.images, shown.names, strict=True)
    ]
    strips: Strips = {}
    for name, entry in catalogue.estimators().items():
        maps = estimated(entry.load()(**STRONG.get(name, {})), shown.images, shown.labels, shown.model)
        row = [
            Tile(overlay(t.pixels, m.numpy()), "map", f"{name}: importance of the pixels of the digit {t.caption}")
            for t, m in zip(plain, maps, strict=True)
        ]
        strips[name] = [plain, row]
    names = list(strips)
    strips["estimators"] = [
        [plain[i]._replace(caption="image"), *(strips[n][1][i]._replace(caption=n) for n in names)]
        for i in range(len(SHOWN) - 1)
    ]
    return strips


def _pixels(image: torch.Tensor) -> Any:
    return image.as_subclass(torch.Tensor).permute(1, 2, 0).contiguous().numpy()
