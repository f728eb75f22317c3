"""Jobs that measure something other than a trained network's accuracy: attacks, and what things cost.

Times are of this machine and of what runs beside: such recipes ask for ``--jobs 1``.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from ..training.config import TrainConfig
from .pictured import leave_maps
from .prepared import BASE_SEED, Prepared, device_of, measured_here, sources_of
from .recipe import Outcome, Where
from .training import Training


@dataclass(frozen=True)
class Attack:
    """Maps of a data set by a base model of the seed's own. Measured: success_rate and share of pixels, both as shares,
    key_points per image, and the hours that the maps took, the base model apart. shown: so many images with their maps
    are left as pictures."""

    maps: Prepared
    shown: int = 0

    def identity(self) -> dict[str, Any]:
        from ..analysis.compare_share import counting

        train = counting(asdict(self.maps.base_settings()), asdict(TrainConfig()))
        shown = {"shown": self.shown} if self.shown else {}
        return {"name": f"maps-{self.maps.train.data}", "train": train, "maps": asdict(self.maps.maps), **shown}

    def check(self, where: Where) -> None:
        sources_of(self.maps.train, where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        from ..importance.estimate import estimate
        from .claims import waited

        base = (*self.maps.maps.base, ("seed", BASE_SEED + seed))
        own = replace(self.maps, maps=replace(self.maps.maps, base=base))
        sources = sources_of(own.train, where)
        with waited(own.home(where) / "claim.json"):
            method, model, source = own.looking(where, sources)
        # From the beginning: half of an interrupted one would be no time.
        shutil.rmtree(folder / "maps", ignore_errors=True)
        start = time.perf_counter()
        store = estimate(model, source, folder / "maps", method, device=device_of(where), progress=not where.quiet)
        seconds = time.perf_counter() - start
        found = store.summary()
        points = found["mean_key_points"]
        measured: dict[str, float | None] = {
            "success_rate": found["success_rate"],
            "key_points": points,
            "pixel_share": points / (store.height * store.width),
            "hours": seconds / 3600,
        }
        if self.shown:
            leave_maps(folder, store, source, self.shown)
        shutil.rmtree(folder / "maps")  # what is asked is counted
        return measured_here(measured, seconds, where)


@dataclass(frozen=True)
class Cost:
    """The hours that ``epochs`` epochs of a training take, by the median of the few that are run."""

    training: Training
    epochs: int

    def identity(self) -> dict[str, Any]:
        told = self.training.identity()
        return {**told, "name": f"cost-{told['name']}", "counted": self.epochs}

    def check(self, where: Where) -> None:
        self.training.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        outcome = self.training.run(seed, folder / "run", where)
        return outcome._replace(measured={"hours": self.epochs * _epoch(folder / "run") / 3600}, curve=[])


@dataclass(frozen=True)
class Overhead:
    """By which share an epoch of one training is longer than of another, both by their median (``overhead``), and one
    over the other (``ratio``)."""

    training: Training
    than: Training

    def identity(self) -> dict[str, Any]:
        told = self.training.identity()
        return {"name": f"overhead-{told['name']}", "training": told, "than": self.than.identity()}

    def check(self, where: Where) -> None:
        self.training.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        than = self.than.run(seed, folder / "than", where)
        outcome = self.training.run(seed, folder / "run", where)
        ratio = _epoch(folder / "run") / _epoch(folder / "than")
        measured: dict[str, float | None] = {"overhead": ratio - 1, "ratio": ratio}
        return Outcome(measured, [], than.seconds + outcome.seconds, outcome.environment)


def _epoch(folder: Path) -> float:
    """Seconds of an epoch, the first one, in which things begin, left out where there are others."""
    from ..training.results import RESULTS

    seconds = [row["seconds"] for row in json.loads((folder / RESULTS).read_text())["curve"]]
    return median(seconds[1:] or seconds)


@dataclass(frozen=True)
class Size:
    """What a network's prediction for one image costs. Measured: operations in ``giga`` and ``mega``, multiply-adds and
    what normalisation, ReLU and pooling do (`models.Counted`), and ``parameters`` in millions; nothing is trained."""

    model: str
    image: tuple[int, int, int]
    classes: int

    def identity(self) -> dict[str, Any]:
        return {"name": f"size-{self.model.replace(':', '_')}", **asdict(self)}

    def check(self, where: Where) -> None:
        """Needs nothing."""

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:  # noqa: ARG002 - there is nothing to draw or write
        from .. import models

        began = time.perf_counter()
        found = models.counted(models.build(self.model, self.classes, self.image[0], seed=0), self.image)
        operations = found.all_operations
        measured: dict[str, float | None] = {
            "giga": operations / 1e9, "mega": operations / 1e6, "parameters": found.parameters / 1e6,
        }  # fmt: skip
        return measured_here(measured, time.perf_counter() - began, where)
