"""Jobs on a part of the images: a network scores them all, some are chosen, and another network is trained on those.

The network that scores and its scores are made once for all jobs that need the same ones, below ``HOME/prepared``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..analysis.select_config import MIXED, Measure, SelectConfig
from ..analysis.select_run import NAMES
from ..training.config import TrainConfig
from .claims import waited
from .prepared import BASE_SEED, measured_here, settings_of, sources_of
from .recipe import Outcome, Where
from .training import Training


@dataclass(frozen=True)
class Choice:
    """Which images: the share of each class whose scores by ``measure`` are highest ("top") or lowest ("bottom").

    scorer: how the network that is asked is trained, on all the images; seed: with which seed, None for that of the run
    that takes the images, so that every run has scores of its own. more: further settings of `SelectConfig`. With the
    measure "random" nothing is asked, and every run's seed draws other images.
    """

    scorer: TrainConfig
    measure: Measure
    share: float
    rule: Literal["top", "bottom"] = "top"
    more: tuple[tuple[str, Any], ...] = ()
    seed: int | None = BASE_SEED

    def told(self) -> dict[str, Any]:
        """As plain data, what decides the images."""
        from ..analysis.compare_share import counting

        return {
            "scorer": counting(asdict(self.scorer), asdict(TrainConfig())) | {"seed": self.seed},
            "measure": self.measure,
            "share": self.share,
            "rule": self.rule,
            "more": dict(self.more),
        }

    def home(self, where: Where, seed: int) -> Path:
        """A folder whose name changes with the network that scores for a run of this seed."""
        text = json.dumps(self.told()["scorer"] | {"seed": self._scored_by(seed)}, sort_keys=True, default=str)
        return where.home / "prepared" / f"scorer-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"

    def check(self, where: Where) -> None:
        """`UserError` where the images are not there."""
        sources_of(self.scorer, where)

    def _scored_by(self, seed: int) -> int:
        return seed if self.seed is None else self.seed

    def file(self, where: Where, seed: int) -> Path:
        """The subset file, made by whoever comes first."""
        from ..analysis.select_run import select_images
        from ..training.results import RESULTS

        home = self.home(where, seed)
        with waited(home / "claim.json"):
            config = self._config(where, seed)
            file = config.file(self.share)
            if not (config.out / RESULTS).exists():  # written last: scores and pictures are there as well
                if config.run is not None:
                    self._train(config.run, where, seed)
                config.out.mkdir(parents=True, exist_ok=True)
                if self.measure in MIXED:  # which share what they measure
                    for other in home.glob("*/mixes-*.npz"):
                        if other.parent != config.out:
                            shutil.copy(other, config.out)
                with contextlib.redirect_stdout(io.StringIO()):
                    select_images(config)
        return file

    def _config(self, where: Where, seed: int) -> SelectConfig:
        chance = self.measure == "random"
        name = f"{self.measure}-{self.rule}-{self.share:g}" + (f"-s{seed}" if chance else "")
        more = dict(self.more)
        if more:
            text = json.dumps(more, sort_keys=True, default=str)
            name += "-" + hashlib.blake2b(text.encode(), digest_size=3).hexdigest()
        train, home = settings_of(self.scorer, where), self.home(where, seed)
        return SelectConfig(
            data=train.data, split=train.split, limit=train.limit, size=train.opened_size, data_seed=train.data_seed,
            run=None if chance else home / "base", measure=self.measure, rule=self.rule, fractions=(self.share,),
            seed=seed if chance or self.seed is None else 0, device=train.device, quiet=where.quiet, out=home / name,
            **more,
        )  # fmt: skip

    def _train(self, folder: Path, where: Where, seed: int) -> None:
        from ..analysis.compare_share import run_settings
        from ..training.train import train

        settings, sources = settings_of(self.scorer, where), sources_of(self.scorer, where)
        train(
            replace(run_settings(settings, folder), seed=self._scored_by(seed)), source=sources.train, test=sources.test
        )


@dataclass(frozen=True)
class Chosen:
    """A training on the chosen images alone."""

    training: Training
    choice: Choice

    def identity(self) -> dict[str, Any]:
        told, choice = self.training.identity(), self.choice.told()
        name = f"{choice['measure']}-{choice['rule']}-{choice['share']:g}-{told['name']}"
        return {**told, "name": name, "choice": choice}

    def check(self, where: Where) -> None:
        self.training.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        """``limit`` of the training is the scorer's: the file names some of those images."""
        train = replace(self.training.train, subset=self.choice.file(where, seed), limit=None)
        return replace(self.training, train=train).run(seed, folder, where)


@dataclass(frozen=True)
class Scored:
    """The scores themselves. Measured: ``highest`` and ``lowest``, the mean scores of the share of all images at either
    end; pictures of some of both, class by class."""

    choice: Choice

    def identity(self) -> dict[str, Any]:
        return {"name": f"scores-{self.choice.measure}", "choice": self.choice.told()}

    def check(self, where: Where) -> None:
        self.choice.check(where)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        import numpy as np

        from ..report.gallery import read_gallery, write_gallery

        began = time.monotonic()
        home = self.choice.file(where, seed).parent
        with np.load(home / "scores.npz") as found:
            scores = np.sort(found["scores"])
        count = max(1, round(self.choice.share * len(scores)))
        folder.mkdir(parents=True, exist_ok=True)
        write_gallery(folder, _ends(read_gallery(home)["groups"], NAMES[self.choice.measure]))
        measured: dict[str, float | None] = {
            "highest": float(scores[-count:].mean()),
            "lowest": float(scores[:count].mean()),
        }
        return measured_here(measured, time.monotonic() - began, where)


def _ends(groups: list[dict[str, Any]], measure: str) -> list[dict[str, Any]]:
    """The page's own pictures of the highest and lowest of each class, under one heading for each end."""
    made = []
    for end in ("highest", "lowest"):
        examples = []
        for group in groups:
            tiles = [
                {"name": f"row {e['index']}", "image": e["image"], "caption": f"{e['score']:.3g}"}
                for e in group["examples"]
                if e["end"] == end
            ]
            examples.append({"label": group["title"], "tiles": tiles})
        made.append({"title": f"{end.capitalize()} {measure}", "text": "", "examples": examples})
    return made
