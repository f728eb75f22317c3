"""``analyse cam``: where several networks look in the same images (IPF-RDA, Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..importance.grid import stretch
from ..importance.store import ImportanceStore
from ..report.figures import image_picture, map_picture
from ..transforms.kept import important_points
from .activation_maps import class_map, correlation, ends_in_pooling, mass_within, spread
from .analyse_config import AnalyseCam
from .analyse_runs import Images, Subject, bar_of, check_answers, described, images_of, opened
from .hessian import exact


def cam(config: AnalyseCam, out: Path) -> dict[str, Any]:
    """Of every run: accuracy, and of the class activation map of the label of every image, see `class_map`, the mean
    share of the image that it covers (``covers``: where it is at least half of its maximum); of every two runs the mean
    correlation of their maps over images; pictures, which stand in ``gallery.json``.

    maps: the share of a map's mass on the ``share`` most important pixels of the image by the store, on those of
    another image of the store (``on_other``), and the share of the area that they are (``area``). Images without
    importance, and maps of zeros, count in none of the means.
    """
    from ..report.gallery import within, write_gallery

    subjects = opened(config.on)
    images = images_of(config.on, subjects[0], config.limit)
    check_answers(subjects, images)
    important = _Important(config, images) if config.maps is not None else None
    shown = _first_of_classes(images.labels, config.shown)
    found, pairs, tiles = {s.name: _Found() for s in subjects}, _pairs(subjects), dict[int, dict[str, Any]]()
    begin = 0
    with exact(), bar_of(len(images), "class activation maps", config.on.quiet) as bar:
        for pixels, labels in images.batches(config.on.batch_size):
            cams = {s.name: class_map(s.model, pixels, labels, config.layer) for s in subjects}
            with torch.no_grad():
                answers = {s.name: s.model(pixels).softmax(1) for s in subjects}
            for name, p in answers.items():
                found[name].add(cams[name], p.argmax(1) == labels)
            if important is not None:
                masks = important.read(begin, pixels)
                for name, maps in cams.items():
                    found[name].cover(maps, *masks)
            for (a, b), alike in pairs.items():
                alike.append(correlation(cams[a], cams[b]).cpu())
            for row in [r for r in shown if begin <= r < begin + len(pixels)]:
                i = row - begin
                looks = {name: (cams[name][i], answers[name][i]) for name in cams}
                tiles[row] = _example(pixels[i], int(labels[i]), subjects[0].data["classes"], looks)
            begin += len(pixels)
            bar.update(len(pixels))
        first = next(images.batches(min(8, config.on.batch_size)))[0]
        kinds = {s.name: "CAM" if ends_in_pooling(s.model, first, config.layer) else "Grad-CAM" for s in subjects}
    write_gallery(out, within([{"title": "Pictures", "examples": [tiles[row] for row in shown]}]))
    return {
        "data": described(config.on, images),
        "maps": None if config.maps is None else str(config.maps),
        "runs": [s.about() | {"kind": kinds[s.name], **found[s.name].told()} for s in subjects],
        "pairs": [{"runs": list(names), **_mean("alike", alike)} for names, alike in pairs.items()],
    }


class _Found:
    """What one run's maps are like, batch by batch."""

    def __init__(self) -> None:
        self.right: list[Tensor] = []
        self.empty: list[Tensor] = []
        self.covers: list[Tensor] = []
        self.covered: dict[str, list[Tensor]] = {}

    def add(self, maps: Tensor, right: Tensor) -> None:
        self.right.append(right.cpu())
        self.empty.append((maps.amax((1, 2)) == 0).cpu())
        self.covers.append(spread(maps).cpu())

    def cover(self, maps: Tensor, own: Tensor, other: Tensor) -> None:
        some = own.any(2).any(1) & other.any(2).any(1) & (maps.amax((1, 2)) > 0)
        for name, values in (
            ("on_important", mass_within(maps, own)),
            ("on_other", mass_within(maps, other)),
            ("area", own.float().mean((1, 2))),
        ):
            self.covered.setdefault(name, []).append(values[some].cpu())

    def told(self) -> dict[str, Any]:
        covers = torch.cat(self.covers)
        covers = covers[covers.isfinite()]
        told: dict[str, Any] = {
            "accuracy": _share(self.right),
            "empty": _share(self.empty),
            "covers": covers.double().mean().item() if len(covers) else None,
        }
        for name in ("on_important", "on_other", "area"):
            values = torch.cat(self.covered[name]) if name in self.covered else torch.zeros(0)
            told[name] = values.mean().item() if len(values) else None
        return told


class _Important:
    """The most important pixels of each image by a store, and of another image, as masks of the image's size."""

    def __init__(self, config: AnalyseCam, images: Images) -> None:
        assert config.maps is not None
        self.quantile = 1 - config.share
        self.own = ImportanceStore(config.maps).attach(images.source)
        self.other = self.own.deranged(config.on.seed)

    def read(self, begin: int, pixels: Tensor) -> tuple[Tensor, Tensor]:
        rows, (height, width) = np.arange(begin, begin + len(pixels)), pixels.shape[-2:]
        own, other = (
            important_points(stretch(maps.read(rows), height, width), self.quantile).to(pixels.device)
            for maps in (self.own, self.other)
        )
        return own, other


def _share(parts: list[Tensor]) -> float:
    return torch.cat(parts).double().mean().item()


def _pairs(subjects: Sequence[Subject]) -> dict[tuple[str, str], list[Tensor]]:
    return {(a.name, b.name): [] for a, b in combinations(subjects, 2)}


def _mean(name: str, parts: list[Tensor]) -> dict[str, Any]:
    """Over the images where both maps vary."""
    values = torch.cat(parts)
    values = values[values.isfinite()]
    return {name: values.double().mean().item() if len(values) else None, "images": len(values)}


def _first_of_classes(labels: np.ndarray, count: int) -> list[int]:
    """The first image of each class, as many classes as wanted, in the images' order."""
    _, first = np.unique(labels, return_index=True)
    return sorted(int(i) for i in first)[:count]


def _example(
    image: Tensor, label: int, classes: Sequence[str], looks: dict[str, tuple[Tensor, Tensor]]
) -> dict[str, Any]:
    """The image, and over it the map of every run with what it takes the image for and how sure it is."""
    tiles: list[dict[str, Any]] = [{"name": "original", "image": image_picture(image)}]
    for name, (found, p) in looks.items():
        guess = int(p.argmax())
        tiles.append(
            {
                "name": name,
                "image": map_picture(image, found),
                "guess": classes[guess],
                "right": guess == label,
                "sure": float(p[guess]),
            }
        )
    return {"label": classes[label], "tiles": tiles}
