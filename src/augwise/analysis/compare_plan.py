"""What a comparison runs: its settings, its arms, and which of them coincide. Imports no torch.

An *arm* is one way to train: the baseline (crop and flip alone), or a method plain, guarded by the image's own map, or
guarded by another image's map (control). What the control also gains over plain is not evidence-keeping.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..catalogue import Entry, estimators, find, methods
from ..errors import UserError
from ..training.config import TrainConfig

Arm = Literal["baseline", "plain", "guarded", "control"]
PRIORS = ("centre", "area")  # one map for all images: another image's map is its own, so control and guarded coincide


@dataclass(frozen=True)
class CompareConfig:
    """Methods × strengths × windows × estimators × seeds, each plain, guarded and control, paired by seed."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How every arm is trained."""
    methods: tuple[str, ...] = ("cutout",)
    """Augmentation methods, by name."""
    strengths: tuple[float, ...] = (16,)
    """Values of the option that makes a method stronger (the side length of Cutout's square, say); below 1, shares of
    the shorter side."""
    windows: tuple[Literal["clipped", "inside"], ...] = ("clipped",)
    """Windows clipped at the border as in the papers, or inside the image: equal area, so a guard cannot merely erase
    less."""
    estimators: tuple[str, ...] = ("cdiea", "occlusion")
    """Importance estimators, by name. Their maps are computed once, with a base model trained on the same images."""
    arms: tuple[Literal["plain", "guarded", "control"], ...] = ("plain", "guarded", "control")
    """Which arms to run."""
    seeds: int = 3
    """Runs per arm, seeds 0 to n - 1. Three give a 95 % interval of 2.5 standard deviations, eight of 0.84."""
    quantile: float = 0.6
    """Share of an image's windows, by ascending score, that count as unimportant."""
    epsilon: float = 8 / 255
    """CDIEA's largest change of a pixel, in [0, 1]."""
    attack_steps: int = 100
    """CDIEA's number of steps."""
    base_epochs: int | None = None
    """Epochs of the base model that the maps come from; default: as many as an arm trains."""
    jobs: int | None = None
    """Runs at the same time, one thread each on a CPU; default: one per core on a CPU, one on a GPU."""

    def check(self) -> None:
        """Refuse what cannot be run, before anything is."""
        for name in self.methods:
            find(name, methods())
        for name in self.estimators:
            find(name, estimators())
        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds}: at least one run per arm is needed")
        if self.jobs is not None and self.jobs < 1:
            raise UserError(f"--jobs {self.jobs}: give 1 or more, or leave it out for one per core")
        if not 0 < self.quantile <= 1:
            raise UserError(f"--quantile {self.quantile}: give a share in (0, 1], 0.6 in the papers")
        if not self.methods or not self.strengths or not self.windows:
            raise UserError("--methods, --strengths and --windows each need at least one value")
        if not self.estimators and set(self.arms) - {"plain"}:
            raise UserError("guarded and control arms need --estimators; or give --arms plain")


@dataclass(frozen=True)
class Cell:
    """One place of the table: a method at a strength and a window, and the estimator its guard uses."""

    method: str
    strength: float
    window: str
    estimator: str


@dataclass(frozen=True)
class Run:
    """One training run. ``options`` are the method's arguments; the same options and seed are the same run."""

    arm: Arm
    seed: int
    method: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    estimator: str | None = None

    def key(self, train: dict[str, Any], maps: dict[str, str]) -> str:
        """A name for the run's folder that changes with everything that could change its result.

        train: the training settings that count; maps: identity of every estimator's store.
        """
        identity = {
            "train": train,
            "seed": self.seed,
            "method": self.method,
            "options": dict(self.options),
            "maps": maps[self.estimator] if self.estimator else None,
            "control": self.arm == "control",
        }
        text = json.dumps(identity, sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return "-".join(filter(None, [self.method, self.estimator, self.arm, f"s{self.seed}", digest]))


def cells(config: CompareConfig) -> list[Cell]:
    """Every row of the table, in the order in which it is shown."""
    return [
        Cell(method, strength, window, estimator)
        for method in config.methods
        for strength in config.strengths
        for window in config.windows
        for estimator in config.estimators or ("",)
    ]


def run_of(config: CompareConfig, cell: Cell, arm: Arm, seed: int) -> Run:
    """The run behind one arm of a cell. Arms that coincide come out equal and are run once."""
    entry = find(cell.method, methods())
    if arm == "control" and cell.estimator in PRIORS:
        arm = "guarded"
    if arm == "plain" or entry.kind == "geometry":  # what has no guard has one arm
        return Run("plain", seed, cell.method, _plain(entry, cell))
    options = dict(_plain(entry, cell)) | {"quantile": config.quantile}
    if entry.window:
        options["window"] = cell.window
    if entry.strength == "length":
        options["length"] = _number(cell.strength)
    if entry.kind == "mixing":
        options["labels"] = "importance"
        if not find(cell.estimator, estimators()).shared_unit:
            options["normalize"] = True  # Eq. 12 weighs one image's importance against the other's
    return Run(arm, seed, cell.method, tuple(sorted(options.items())), cell.estimator)


def plan(config: CompareConfig) -> list[Run]:
    """Every distinct run, seeds outermost: a comparison stopped early has all arms at fewer seeds."""
    runs: dict[Run, None] = {}
    for seed in range(config.seeds):
        runs[Run("baseline", seed)] = None
        for cell in cells(config):
            for arm in config.arms:
                runs[run_of(config, cell, arm, seed)] = None
    return list(runs)


def _plain(entry: Entry, cell: Cell) -> tuple[tuple[str, Any], ...]:
    """Options of the plain arm: only what changes the plain method; the guard's own settings must not split it."""
    if entry.kind == "image":
        return ((entry.strength, _number(cell.strength)),) if entry.strength != "length" else ()
    options = ((entry.strength, _number(cell.strength)),)
    return (*options, ("window", cell.window)) if entry.window else options


def _number(value: float) -> int | float:
    """16.0 from the command line means 16 pixels; 0.5 stays a share."""
    return int(value) if float(value).is_integer() and value >= 1 else value


def run_folder(out: Path, key: str) -> Path:
    """Where a run keeps its results."""
    return out / "runs" / key
