"""The maps that a fidelity run judges: of estimators, computed into ``OUT/maps`` and timed, and of given stores."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from ..catalogue import Entry, estimators, find
from ..errors import UserError
from ..importance.attached import AttachedMaps
from ..importance.estimate import estimate
from ..importance.job import frozen
from ..importance.speed import wait_for
from ..importance.store import ImportanceStore
from .compare_share import ONE_PASS
from .estimate_maps import maps_done
from .fidelity_config import FidelityConfig

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..importance.estimator import Estimated, Estimator
    from ..importance.rows import Rows

MAPS, COSTS = "maps", "costs.json"
CENTRE, RANDOM = "centre", "uniform"
ALWAYS = (CENTRE, RANDOM)
"""Judged whatever was asked for: what knows only the place, and what knows nothing."""


@dataclass(frozen=True)
class Judged:
    """Maps of the images that are looked at. about: method, cost and whence, as JSON has them."""

    name: str
    maps: AttachedMaps
    about: dict[str, Any]


def judged(
    config: FidelityConfig, model: nn.Module, fingerprint: str, rows: Rows, device: str
) -> tuple[list[Judged], dict[str, str]]:
    """All maps, computed where they are not yet there, and the estimators that were left out with the reason."""
    given = [_given(path, rows, fingerprint) for path in config.maps]
    names = list(dict.fromkeys([*(config.estimators or estimators()), *ALWAYS]))
    chosen = {name: find(name, estimators()) for name in names}
    if clash := {maps.name for maps in given} & set(chosen):
        raise UserError(
            f"--maps names a store {clash.pop()!r} as an estimator is called, too: rename its folder, or leave the "
            "estimator out (centre and uniform always run)"
        )
    found, left_out = [], {}
    height, width = rows[0][0].shape[-2:]
    methods: dict[str, Estimator] = {}
    for name, entry in chosen.items():
        try:
            methods[name] = _made(entry, config, height, width)
        except (UserError, ImportError, TypeError) as error:
            if name in config.estimators:
                raise UserError(f"--estimators {name}: {error}") from error
            left_out[name] = str(error)
    for name, method in methods.items():
        try:
            _trial(method, model, rows, config.out / MAPS / name, device)
        except UserError as error:
            if name in config.estimators:
                raise
            left_out[name] = str(error)
            continue
        found.append(_computed(config, name, method, model, rows, device))
    return [*found, *given], left_out


def _made(entry: Entry, config: FidelityConfig, height: int, width: int) -> Estimator:
    """The estimator with its defaults, if it fits these images and windows."""
    if entry.name == "area" and config.window == "inside" and entry.name not in config.estimators:
        raise UserError("all windows inside the image have one area: it says something with --window clipped")
    if entry.name == ONE_PASS:
        raise UserError(
            "its network has to be trained first: compute its maps (augwise estimate --method one_pass --path "
            "FILE.safetensors --out X.maps) and give them as --maps X.maps"
        )
    method = entry.load()()
    method.check(height, width)
    return method


def _trial(method: Estimator, model: nn.Module, rows: Rows, folder: Path, device: str) -> None:
    """One image through the estimator: what it does not take shows now, and set-up is not timed."""
    if folder.exists():
        return
    image, label = rows[0]
    with frozen(model if method.needs_model else None, device) as where:
        pixels, labels = image[None].to(where).float() / 255, torch.tensor([label], device=where)
        method.estimate(model if method.needs_model else None, pixels, labels, [0])


def _computed(
    config: FidelityConfig, name: str, method: Estimator, model: nn.Module, rows: Rows, device: str
) -> Judged:
    folder = config.out / MAPS / name
    spent = _Spent(config.out / COSTS, name)
    left = len(rows) - min(maps_done(folder), len(rows))
    with tqdm(total=left, desc=f"maps by {name}", unit="img", disable=config.quiet or not left) as bar:

        def tell(images: int, seconds: float) -> None:
            spent.add(images, seconds)
            bar.update(images)

        try:
            store = estimate(
                model,
                rows.dataset,
                folder,
                timed(method, tell),
                seed=config.seed,
                device=device,
                progress=False,
                size=rows.size,
            )
        finally:  # what an interrupted call has spent counts, too
            spent.write()
    height, width = rows[0][0].shape[-2:]
    about = {"where": str(folder), "cost": method.cost(height, width), **spent.about(), "made_by_run": True}
    return _described(name, store, rows, about)


def _given(path: Path, rows: Rows, fingerprint: str) -> Judged:
    store = ImportanceStore(path)
    made_by = store.meta["model"]
    about = {"where": str(path), "cost": None, "images_timed": 0, "seconds_per_image": None}
    return _described(path.resolve().name, store, rows, about | {"made_by_run": made_by in (None, fingerprint)})


def _described(name: str, store: ImportanceStore, rows: Rows, about: dict[str, Any]) -> Judged:
    maps, meta = store.attach(rows), store.meta
    known = {"method": meta["method"], "arguments": meta["arguments"], "sparse": meta["sparse"]}
    return Judged(name, maps, known | about | {"failed": int(maps.failed.sum())})


def timed(method: Estimator, tell: Callable[[int, float], None]) -> Estimator:
    """The same estimator, which tells after each batch how many images took how many seconds."""

    class Timed(type(method)):  # no fields of its own: a store's meta.json must not tell the two apart
        def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:
            start = time.perf_counter()
            result = super().compute(model, images, labels, seeds)
            wait_for(images.device)
            tell(len(images), time.perf_counter() - start)
            return result

    fields = [f.name for f in dataclasses.fields(method) if f.init]  # pyright: ignore[reportArgumentType]
    return Timed(**{name: getattr(method, name) for name in fields})


class _Spent:
    """Images and seconds of one estimator over all calls on one folder, in ``costs.json``."""

    def __init__(self, file: Path, name: str) -> None:
        self.file, self.name = file, name
        self.images, self.seconds = 0, 0.0

    def add(self, images: int, seconds: float) -> None:
        self.images += images
        self.seconds += seconds

    def write(self) -> None:
        from ..training.results import write_json

        known = self._read()
        images, seconds = known.get(self.name, (0, 0.0))
        self.images, self.seconds = images + self.images, seconds + self.seconds
        if self.images != images:
            write_json(self.file, known | {self.name: (self.images, self.seconds)})

    def about(self) -> dict[str, Any]:
        return {
            "images_timed": self.images,
            "seconds_per_image": self.seconds / self.images if self.images else None,
        }

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
