"""Jobs that search an architecture and train it anew. A search is made once for all jobs that need the same one, below
``HOME/prepared``, and so are the images that it is made on (`Choice`).

What a search costs is its own time: neither the network that chooses the images nor their choice is in it, as in
DCutMix. Times are of this machine and of what runs beside: such recipes ask for ``--jobs 1``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..training.config import TrainConfig
from ..training.search_config import SearchConfig
from .chosen import Choice
from .claims import waited
from .prepared import measured_here
from .recipe import Outcome, Where, key_of
from .training import Training

_ELSEWHERE = ("out", "quiet", "device", "threads", "seed", "checkpoint_steps", "checkpoint_seconds", "subset")
SHAPE = ("darts_imagenet", (3, 224, 224), 1000)
"""The network whose size is told, whatever is trained: that of the paper's tables."""


@dataclass(frozen=True)
class Search:
    """An architecture search on a part of the images, None for all. config: how, with data called as recipes call them;
    its limit is of the images before a part is chosen."""

    config: SearchConfig
    part: Choice | None = None

    def identity(self) -> dict[str, Any]:
        """All that decides its result but the seed."""
        usual = asdict(SearchConfig())
        config = {k: v for k, v in asdict(self.config).items() if k not in _ELSEWHERE and v != usual[k]}
        told = "all" if self.part is None else f"{self.part.measure}-{self.part.share:g}"
        part = None if self.part is None else self.part.told()
        return {"name": f"search-{self.config.data}-{told}", "search": config, "part": part}

    def check(self, where: Where) -> None:
        """`UserError` for images that are not there."""
        from ..data.sources import open_source

        self.config.check()
        c = self.config
        open_source(where.source(c.data), c.split, size=c.size, limit=1, progress=False)
        if self.part is not None:
            self.part.check(where)

    def kept(self, seed: int, where: Where) -> Path:
        """The folder of this seed's search, made by whoever comes first."""
        from ..training.search import search

        home = where.home / "prepared" / key_of(self) / f"s{seed}"  # pyright: ignore[reportArgumentType]
        with waited(home / "claim.json"):
            if not (home / "search" / "results.json").exists():
                search(self._settings(seed, home, where))
        return home / "search"

    def _settings(self, seed: int, home: Path, where: Where) -> SearchConfig:
        settings = replace(
            self.config,
            data=where.source(self.config.data),
            device=where.device,
            threads=where.threads or self.config.threads,
            seed=seed,
            out=home / "search",
            quiet=True,
        )
        if self.part is None:
            return settings
        return replace(settings, subset=self.part.file(where, seed), limit=None)


@dataclass(frozen=True)
class Retrained:
    """Search, then train the network. genotype: a search, or a published genotype's name; training: how it is trained,
    with a model such as ``darts_c8_l5:GENOTYPE``, in which the last word stands for what was found.

    Measured: what the training does; parameters and operations, in millions, of the network for ImageNet; of a search
    its search_hours and gpu_days.
    """

    genotype: Search | str
    training: Training

    def identity(self) -> dict[str, Any]:
        found = self.genotype if isinstance(self.genotype, str) else self.genotype.identity()
        name = found if isinstance(found, str) else found["name"]
        return {"name": f"{name}-retrained", "genotype": found, "training": self.training.identity()}

    def check(self, where: Where) -> None:
        if isinstance(self.genotype, Search):
            self.genotype.check(where)
        self.training.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        from ..models.genotype import GENOTYPE, genotype
        from ..training.search import network_size

        measured: dict[str, float | None] = {}
        name, seconds = self.genotype, 0.0
        if isinstance(name, Search):
            kept = name.kept(seed, where)
            seconds = _seconds(kept)
            measured = {"search_hours": seconds / 3600, "gpu_days": seconds / 86400}
            name = str(kept / GENOTYPE)
        size = network_size(genotype(name), *SHAPE)
        measured["parameters"] = size["parameters"] / 1e6
        measured["operations"] = (size["multiply_adds"] + size["elementwise"]) / 1e6
        word = self.training.train.model.partition(":")[0]
        trained = replace(self.training, train=replace(self.training.train, model=f"{word}:{name}"))
        outcome = trained.run(seed, folder / "retrained", where)
        return outcome._replace(measured=outcome.measured | measured, seconds=seconds + outcome.seconds)


@dataclass(frozen=True)
class Faster:
    """How many times as long one search takes as another. Measured: times."""

    search: Search
    than: Search

    def identity(self) -> dict[str, Any]:
        return {"name": "faster", "search": self.search.identity(), "than": self.than.identity()}

    def check(self, where: Where) -> None:
        self.search.check(where)
        self.than.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:  # noqa: ARG002 - both lie below HOME/prepared
        one, other = (_seconds(search.kept(seed, where)) for search in (self.search, self.than))
        return measured_here({"times": other / one}, one + other, where)


def _seconds(folder: Path) -> float:
    return json.loads((folder / "results.json").read_text())["seconds"]


def retrained(genotype: Search | str, train: TrainConfig, cutout: int | None) -> Retrained:
    """The job, with Cutout of that length in the training, as PC-DARTS has it on CIFAR."""
    return Retrained(genotype, Training(train, (("cutout", (("length", cutout),)),) if cutout else ()))
