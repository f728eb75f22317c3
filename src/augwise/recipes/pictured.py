"""Jobs for the papers' pictures: what methods make of images, what mixtures show, where networks look.

Each leaves ``gallery.json`` in its folder, which the page of ``reproduce`` shows (of the first seed), and numbers that
say over many images what the pictures show of a few.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalogue import find, methods
from .prepared import Prepared, measured_here, sources_of
from .recipe import Outcome, Where
from .training import Training

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..analysis.gallery import Example
    from ..data.sources import Source
    from ..importance.attached import AttachedMaps
    from ..importance.store import ImportanceStore

_MEASURED, _CANDIDATES = 512, 64
_SHOWN, _MIXTURES = 3, 6
_IN_PLACE = ("deletion", "image", "mixing")  # kinds of methods that leave what they do not change in its place


@dataclass(frozen=True)
class Augmented:
    """Images through one method, plain, guarded and by another image's map, from the same draws.

    method: what pages call it; ways: for each arm the training that has it; nothing is trained but the model behind the
    maps. Measured: ``ARM evidence`` and ``ARM area``, the mean shares of an image's importance and area that the arm
    overwrites. Pictures are of those images of which the plain arm overwrites most importance, which flatters the
    others.
    """

    method: str
    ways: tuple[tuple[str, Training], ...]

    def identity(self) -> dict[str, Any]:
        told = {name: way.identity() for name, way in self.ways}
        return {"name": f"pictures-{self._guarded.steps[-1][0]}", "ways": told}

    def check(self, where: Where) -> None:
        self._guarded.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        from ..analysis.gallery import examples, telling
        from ..analysis.touched import touched

        began = time.monotonic()
        entry = find(self._guarded.steps[-1][0], methods())
        arms, moves = {name: _step(way) for name, way in self.ways}, entry.kind not in _IN_PLACE
        images, own, foreign, names = _images(self._guarded, seed, where, _MEASURED)
        measured: dict[str, float | None] = {}
        for name, step in arms.items():
            guide = foreign if name == "control" else own
            seen = touched(step, own, guide, key=("pictures", seed), moves=moves).means()
            measured |= {f"{name} evidence": seen["importance_touched"], f"{name} area": seen["area_touched"]}
        few = slice(_CANDIDATES)
        found = examples(images[few], own[few], foreign[few], names[few], arms, ("pictures", seed), moves=moves)
        _write(folder, self.method, "", [_as_tiles(e) for e in telling(found, _SHOWN)])
        return measured_here(measured, time.monotonic() - began, where)

    @property
    def _guarded(self) -> Training:
        """The one that has maps."""
        return next(way for _, way in self.ways if way.maps is not None)


@dataclass(frozen=True)
class Mixed:
    """The same images mixed in several ways, from the same seed; every image is mixed.

    ways: trainings by name whose last step cuts images together, at least one of which has maps. Measured: ``NAME
    evidence``, the mean share of an image's importance that is in view, over all images of all mixtures.
    """

    ways: tuple[tuple[str, Training], ...]

    def identity(self) -> dict[str, Any]:
        return {"name": "pictures-mixed", "ways": {name: way.identity() for name, way in self.ways}}

    def check(self, where: Where) -> None:
        self.ways[0][1].check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        import torch

        from ..report.figures import picture, pixels
        from ..sample import Batch

        began = time.monotonic()
        mapped = next(way for _, way in self.ways if way.maps is not None)
        images, own, _, names = _images(mapped, seed, where, _MEASURED)
        mixers = {name: _step(way, p=1.0) for name, way in self.ways}
        measured: dict[str, float | None] = {}
        rows = torch.arange(len(images))
        mixtures = {}
        for name, mixer in mixers.items():
            measured[f"{name} evidence"] = float(in_view(mixer, own, seed).mean())
            mixtures[name] = _mixed(mixer, Batch.of(images, rows, own), seed)
        examples = []
        for i in range(min(_MIXTURES, len(images))):
            tiles: list[dict[str, Any]] = [{"name": "first image", "image": picture(pixels(_plain(images[i])))}]
            for name, batch in mixtures.items():
                shares = [(names[int(row)], float(w)) for row, w in _parts(batch.labels, i)]
                told = ", ".join(f"{label} ({100 * w:.0f} %)" for label, w in shares if w >= 0.005)
                tiles.append({"name": name, "image": picture(pixels(_plain(batch.images[i]))), "caption": told})
            examples.append({"label": names[i], "tiles": tiles})
        _write(folder, "Mixtures", "Under each mixture its label.", examples)
        return measured_here(measured, time.monotonic() - began, where)


def in_view(mixer: nn.Module, importance: Tensor, seed: int) -> Tensor:
    """Of mixtures that cut images together: for every image in every mixture, the share of its importance in view.

    importance: (N, H, W) ≥ 0; images of zeros count nowhere. Pixels that carry number and importance of their image
    through the mixer tell, whatever it moves or scales by whole pixels.
    """
    import torch

    from ..sample import Batch

    total = importance.sum((1, 2))
    number = torch.arange(len(importance), dtype=torch.float32)[:, None, None].expand_as(importance)
    share = importance / total.clamp_min(1e-12)[:, None, None]
    carried = torch.stack([number, share, torch.zeros_like(share)], 1)
    batch = _mixed(mixer, Batch.of(carried, torch.arange(len(importance)), importance), seed)
    seen = _plain(batch.images)
    kept = []
    for i in range(len(importance)):
        owner, values = seen[i, 0].round().long(), seen[i, 1]
        for row, weight in _parts(batch.labels, i):
            if weight > 0 and total[row] > 0:
                kept.append(values[owner == row].sum())
    return torch.stack(kept)


@dataclass(frozen=True)
class Beside:
    """Where several networks look in the same test images. Measured: ``NAME accuracy`` and ``NAME covers``, the mean
    share of an image where the class activation map is at least half of its maximum."""

    networks: tuple[tuple[str, Training], ...]
    limit: int | None = 256

    def identity(self) -> dict[str, Any]:
        told = {name: network.identity() for name, network in self.networks}
        return {"name": "cam", "networks": told, "limit": self.limit}

    def check(self, where: Where) -> None:
        for _, network in self.networks:
            network.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        from ..analysis.analyse import analyse
        from ..analysis.analyse_config import AnalyseCam, AnalyseRuns
        from ..report.gallery import read_gallery, write_gallery

        began = time.monotonic()
        names = [name for name, _ in self.networks]
        runs = tuple(network.kept(seed, where) for _, network in self.networks)
        out = folder / "analysis"
        with contextlib.redirect_stdout(io.StringIO()):
            found = analyse(AnalyseCam(AnalyseRuns(runs, device=where.device, out=out, quiet=True), limit=self.limit))
        measured: dict[str, float | None] = {}
        for name, run in zip(names, found["runs"], strict=True):
            measured |= {f"{name} accuracy": run["accuracy"], f"{name} covers": run["covers"]}
        called = dict(zip((run["name"] for run in found["runs"]), names, strict=True))
        groups = read_gallery(out)["groups"]
        for group in groups:
            for example in group["examples"]:
                example["tiles"] = [
                    tile | {"name": called.get(tile["name"], tile["name"])} for tile in example["tiles"]
                ]
        write_gallery(folder, groups)
        return measured_here(measured, time.monotonic() - began, where)


def leave_maps(folder: Path, store: ImportanceStore, source: Source, count: int) -> None:
    """Pictures of images and their maps, the classes as evenly as they allow."""
    from ..analysis.gallery import map_examples

    found = [_as_tiles(example) for example in map_examples(store, source, count)]
    _write(folder, "Points of importance", "", found)


def _images(way: Training, seed: int, where: Where, count: int) -> tuple[Tensor, Tensor, Tensor, list[str]]:
    """Training images (n, C, H, W) uint8, their maps, those of others (n, H, W), and the names of their classes; other
    images for another seed."""
    from ..data.sources import limited

    assert way.maps is not None
    sources = sources_of(way.train, where)
    store = Prepared(way.train, way.maps, way.noise).store(where, sources)
    some = limited(sources.train, min(count, len(sources.train)), seed)
    maps = store.attach(some)
    return (
        _pixels(some),
        _read(maps, some),
        _read(maps.deranged(seed), some),
        [some.class_names[y] for y in some.labels],
    )


def _pixels(source: Source) -> Tensor:
    import torch

    return torch.stack([_plain(source[i][0]) for i in range(len(source))])


def _read(maps: AttachedMaps, source: Source) -> Tensor:
    from ..data.resident import fit

    return _plain(fit(maps.read(range(len(source))), *source[0][0].shape[-2:])).float()


def _plain(values: Tensor) -> Tensor:
    from torch import Tensor

    return values.as_subclass(Tensor)


def _step(way: Training, **options: Any) -> nn.Module:
    method, given = way.steps[-1]
    return find(method, methods()).load()(**(dict(given) | options))


def _mixed(mixer: nn.Module, batch: Any, seed: int) -> Any:
    from ..randomness import stream

    with stream("pictures", seed):
        return mixer(batch)


def _parts(labels: Any, row: int) -> list[tuple[int, float]]:
    """The images of a mixture, as their labels say, and the weights of those, the largest first."""
    found: dict[int, float] = {}
    for label, weight in zip(labels.classes[row].tolist(), labels.weights[row].tolist(), strict=True):
        found[label] = found.get(label, 0.0) + weight
    return sorted(found.items(), key=lambda part: -part[1])


def _as_tiles(example: Example) -> dict[str, Any]:
    from ..report.figures import overlay, picture

    tiles: list[dict[str, Any]] = [
        {"name": "image", "image": picture(example.image)},
        {"name": "importance", "image": picture(overlay(example.image, example.importance))},
    ]
    for arm, (image, area, importance) in example.arms.items():
        told = f"{100 * importance:.0f} % of the importance, {100 * area:.0f} % of the area"
        tiles.append({"name": arm, "image": picture(image), "caption": told})
    return {"label": example.label, "tiles": tiles}


def _write(folder: Path, title: str, text: str, examples: Sequence[Mapping[str, Any]]) -> None:
    from ..report.gallery import write_gallery

    folder.mkdir(parents=True, exist_ok=True)
    write_gallery(folder, [{"title": title, "text": text, "examples": list(examples)}])
