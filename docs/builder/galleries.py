"""Plain, guarded and control of every method, and the map of every estimator, on the same digits."""

from __future__ import annotations

import inspect
from typing import Any

import torch

import augwise as aw
from augwise import catalogue, randomness
from augwise.analysis.gallery import examples
from augwise.analysis.touched import erases, touched
from augwise.report.figures import overlay

from .digits import SHOWN, digits, estimated, one_pass
from .mixed import Shares, barred, in_words, shares_of, tinted
from .pictures import Strips, Tile

ARMS = ("plain", "guarded", "control")
DRAWS, TRIES = 1000, 30

STRONG: dict[str, dict[str, Any]] = {
    "cutout": {"length": 16, "window": "inside"},
    "cutmix": {"length": 18, "window": "inside"},
    "crop": {"padding": 8},
    "cdiea": {"epsilon": 32 / 255},
    "advmask_attack": {"epsilon": 32 / 255},
    "occlusion": {"stride": 2},
}
"""Options that show best at 32 px, for entries whose defaults do not, or that have none."""


def methods() -> Strips:
    """Rows of image, map, plain, guarded, control, from draws that come near the average and in which arms differ."""
    strips, front = {}, []
    for name, entry in catalogue.methods().items():
        usual = _lost(entry, DRAWS // len(SHOWN), 0).mean(1)
        tries = [_lost(entry, 1, key) for key in range(TRIES)]
        far = [float((lost.mean(1) - usual).abs().sum() + _same(lost)) for lost in tries]
        key = far.index(min(far))
        strips[name] = _arms(entry, key)
        if name == "cutout":
            front = (tries[key][0] - tries[key][1]).argsort(descending=True)[:2].tolist()
    return {**strips, "front": [strips["cutout"][row] for row in sorted(front)]}


def averages() -> dict[str, str]:
    """Of every method, what its arms lose on average over many draws of the digits shown, as a sentence."""
    said = {}
    for name, entry in catalogue.methods().items():
        lost = _lost(entry, DRAWS // len(SHOWN), 0).mean(1).tolist()
        words = ", ".join(f"{arm} {_word(entry, share)}" for arm, share in zip(arms_of(entry), lost, strict=True))
        settings = ", ".join(f"{k}={v!r}" for k, v in _options(entry, "guarded").items())
        given = f" (`{settings}`)" if settings else ""
        said[name] = f"On average over {DRAWS} draws{given}: {words}."
    return said


def puts_back(entry: catalogue.Entry) -> bool:
    """Whether what counts is what the guard restores: the method itself may change every pixel."""
    return entry.kind == "image" and not erases(entry.load()().wrapped)


def _word(entry: catalogue.Entry, lost: float) -> str:
    """What is told below a picture: the share of importance lost, or put back after a whole-image transform."""
    if puts_back(entry):
        return f"{100 * (1 - lost):.0f} % put back"
    return f"{100 * lost:.0f} % lost"


def _same(lost: torch.Tensor) -> float:
    """Share of the images in which the first two of the arms lose the same."""
    return float((lost[0] == lost[1]).double().mean()) if len(lost) > 1 else 0.0


def arms_of(entry: catalogue.Entry) -> tuple[str, ...]:
    """The arms that a method has: without a guard the plain one alone."""
    return ARMS if "quantile" in inspect.signature(entry.load()).parameters else ARMS[:1]


def _options(entry: catalogue.Entry, arm: str) -> dict[str, Any]:
    guard = {"quantile": 0.6} if arm != "plain" and len(arms_of(entry)) > 1 else {}
    return {**STRONG.get(entry.name, {}), **guard}


def _made(entry: catalogue.Entry) -> dict[str, Any]:
    return {arm: entry.load()(**_options(entry, arm)) for arm in arms_of(entry)}


def _lost(entry: catalogue.Entry, times: int, key: int) -> torch.Tensor:
    """(arms, images) share of importance that each arm overwrites, over ``times`` draws of every digit."""
    own, foreign = (m.repeat(times, 1, 1) for m in (digits().maps, digits().maps.roll(1, 0)))
    lost = [
        touched(
            step, own, foreign if arm == "control" else own, key=("docs", key), moves=entry.kind == "geometry"
        ).importance
        for arm, step in _made(entry).items()
    ]
    return torch.stack(lost)


def _arms(entry: catalogue.Entry, key: int) -> list[list[Tile]]:
    shown, rows = digits(), []
    foreign = shown.maps.roll(1, 0)
    moves, made = entry.kind == "geometry", _made(entry)
    images = tinted(shown.images) if entry.kind == "mixing" else shown.images
    found = examples(images, shown.maps, foreign, shown.names, made, key=("docs", key), moves=moves)
    shares = _shares(entry, made, key)
    for i, e in enumerate(found):
        row = [
            Tile(barred(e.image, [(i, 1.0)]) if shares else e.image, "image", f"handwritten digit {e.label}"),
            Tile(overlay(e.image, e.importance), "importance", f"importance of the pixels of the digit {e.label}"),
        ]
        for arm, (picture, _, importance) in e.arms.items():
            word = _word(entry, importance)
            alt = f"digit {e.label} after {entry.name}, {arm}, importance {word}"
            if shares:
                label = in_words(shares[arm][i], shown.names)
                picture, word, alt = barred(picture, shares[arm][i]), f"{word}; {label}", f"{alt}, label {label}"
            row.append(Tile(picture, f"{arm}: {word}", alt))
        rows.append(row)
    return rows


def _shares(entry: catalogue.Entry, made: dict[str, Any], key: int) -> dict[str, list[Shares]]:
    """Of a mixer's arms, who is in each of the pictures that `_arms` shows; empty for other methods."""
    if entry.kind != "mixing":
        return {}
    shown, found = digits(), {}
    for arm, step in made.items():
        maps = shown.maps.roll(1, 0) if arm == "control" else shown.maps
        with randomness.stream("docs", key):
            found[arm] = shares_of(step(aw.Batch.of(shown.images, torch.arange(len(shown.images)), maps)).labels)
    return found


def estimators() -> Strips:
    """For each estimator a row of images and a row of maps."""
    shown = digits()
    plain = [
        Tile(_pixels(image), name, f"handwritten digit {name}")
        for image, name in zip(shown.images, shown.names, strict=True)
    ]
    strips: Strips = {}
    for name, entry in catalogue.estimators().items():
        method = one_pass() if name == "one_pass" else entry.load()(**STRONG.get(name, {}))
        maps = estimated(method, shown.images, shown.labels, shown.model)
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
