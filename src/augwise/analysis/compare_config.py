"""The settings of a comparison, for the command line and for Python, and what cannot be meant. Imports no torch."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from ..catalogue import Entry, estimators, find, methods
from ..errors import UserError
from ..training.config import TrainConfig
from .presets import preset

Window = Literal["clipped", "inside"]
Shape = Literal["rectangle", "points", "superpixel"]
Rule = Literal["guard", "soften", "labels"]
Follow = Literal["image", "map"]

LIVE = "live"
"""Stands among the estimators for the saliency of the model in training (KeepAugment), which no store holds."""
LENGTH = 16
"""Side of the region that an image-level method puts back, in pixels, unless somebody says otherwise."""


@dataclass(frozen=True)
class CompareConfig:
    """Methods × strengths × windows × estimators × seeds, each plain, guarded and control, paired by seed."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How every arm is trained."""
    methods: tuple[str, ...] = ("cutout",)
    """Augmentation methods, by name."""
    strengths: tuple[float, ...] = ()
    """Values of the option that makes a method stronger (the side length of Cutout's square, say); below 1, shares of
    the shorter side. Left out: each method's usual one."""
    values: tuple[tuple[str, str, float], ...] = ()
    """Rows of single methods in place of their strengths above: a method, one of its options and the option's value, in
    turn, such as: dcutmix k 3 dcutmix k 5 cutmix alpha 1."""
    windows: tuple[Window, ...] = ("clipped",)
    """Windows clipped at the border as in the papers, or inside the image: equal area, so a guard cannot merely erase
    less. None at all: each method's own."""
    estimators: tuple[str, ...] = ("cdiea", "occlusion")
    """Importance estimators, by name. Their maps are computed once, with a base model trained on the same images;
    live: the saliency of the model in training, anew at every step."""
    maps_of: tuple[tuple[str, str], ...] = ()
    """Estimators of single methods in place of those above: a method and an estimator, in turn, such as: puzzlemix
    live."""
    arms: tuple[Literal["plain", "guarded", "control", "smoothing"], ...] = (
        "plain", "guarded", "control", "smoothing",
    )  # fmt: skip
    """Which arms to run; smoothing belongs to the rule soften alone."""
    seeds: int = 3
    """Runs per arm, seeds 0 to n - 1. Three give a 95 % interval of 2.5 standard deviations, eight of 0.84."""
    quantiles: tuple[float, ...] = (0.6,)
    """Shares of an image's windows, by ascending score, that count as unimportant."""
    length: int | float | None = None
    """Side of a method's region where no strength says it, above all of what is pasted back after a whole-image method:
    pixels, or below 1 a share of the shorter side. Left out: what is usual for the method, else 16."""
    shapes: tuple[Shape, ...] = ("rectangle",)
    """What is pasted back after a whole-image method."""
    follows: tuple[Follow, ...] = ("image",)
    """Where that comes from after a method that moves things. image: its place in the image as it was, the papers' way;
    map: the place that the method moved it to."""
    rules: tuple[Rule, ...] = ("guard",)
    """What a map is for. guard: it steers where the method strikes. soften: the method is plain in all arms, and the
    label learns how much evidence is left. labels: a mixing method is plain in all arms, and the two labels are weighed
    by importance."""
    labels: tuple[Literal["importance", "half"], ...] = ("importance",)
    """How mixing methods weigh labels where a map is consulted: by importance, or by half importance, half area."""
    soften_strength: float = 1.0
    """Of the rule soften: s in doubt = s (1 - v)^k, v the share of evidence that is left."""
    soften_power: float = 2.0
    """Of the rule soften: k in doubt = s (1 - v)^k."""
    epsilon: float = 8 / 255
    """CDIEA's largest change of a pixel, in [0, 1]."""
    attack_steps: int = 100
    """CDIEA's number of steps."""
    base_epochs: int | None = None
    """Epochs of the base model that the maps come from; default: as many as an arm trains."""
    maps_from: Path | None = None
    """Folder of a finished training run on the same classes whose model makes the maps in place of the base model."""
    share: tuple[Path, ...] = ()
    """Folders of other comparisons: their base model, maps and finished runs are used where all that decides the
    result is the same."""
    jobs: int | None = None
    """Runs at the same time, one thread each on a CPU; default: one per core on a CPU, one on a GPU."""

    @property
    def every_estimator(self) -> tuple[str, ...]:
        """The estimators that any method asks for, in the order in which they are named."""
        general = any(name not in {method for method, _ in self.maps_of} for name in self.methods)
        own = (estimator for method, estimator in self.maps_of if method in self.methods)
        return tuple(dict.fromkeys((*(self.estimators if general else ()), *own)))

    @classmethod
    def preset(cls, name: str, train: TrainConfig | None = None, **changes: Any) -> CompareConfig:
        """The comparison that `analysis.presets` lists under ``name``, such as "ten-methods" or "lengths".

        train: how every arm is trained; what the preset fixes of it (the crop that is the method's own) is set in it.
        changes: fields of the preset to set otherwise.
        """
        chosen = preset(name)
        settings = dict(chosen.changes) | changes
        return cls(train=replace(train or TrainConfig(), **chosen.train), **settings)

    def check(self) -> None:
        """Refuse what cannot be run, before anything is."""
        for name in ("methods", "quantiles", "shapes", "follows", "rules", "labels", "arms"):
            if not getattr(self, name):
                raise UserError(f"--{name} needs at least one value")
        found = [find(name, methods()) for name in self.methods]
        for name in (*self.estimators, *(estimator for _, estimator in self.maps_of)):
            if name != LIVE:
                find(name, estimators(), also=(LIVE,))
        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds}: at least one run per arm is needed")
        if self.jobs is not None and self.jobs < 1:
            raise UserError(f"--jobs {self.jobs}: give 1 or more, or leave it out for one per core")
        self._check_rules()
        self._check_single_methods()
        if not self.estimators and set(self.arms) - {"plain"}:
            raise UserError("guarded and control arms need --estimators; or give --arms plain")
        given = {method for method, _ in self.maps_of}
        asking = [entry.name for entry in found if entry.needs_map and entry.name not in given]
        if asking and not self.estimators:
            raise UserError(f"{asking[0]} looks at importance maps, guarded or not: give --estimators")
        if self.maps_from is not None and not (self.maps_from / "results.json").is_file():
            raise UserError(f"--maps-from {self.maps_from} is no finished training run: give the folder of one")
        for folder in self.share:
            if not folder.is_dir():
                raise UserError(f"--share {folder} is no folder: give those of comparisons, or leave it out")

    def _check_single_methods(self) -> None:
        """A method that is not compared may be named: a preset knows more of them than are asked for."""
        for name, _ in self.maps_of:
            find(name, methods())
        for name, option, _ in self.values:
            known = takes(find(name, methods()))
            if option not in known:
                raise UserError(f"--values {name} {option}: {name} has the options {', '.join(sorted(known))}")

    def _check_rules(self) -> None:
        for value in self.quantiles:
            if not 0 < value <= 1:
                raise UserError(f"--quantiles {value}: give shares in (0, 1], 0.6 in the papers")
        if not 0 < self.soften_strength <= 1:
            raise UserError(f"--soften-strength {self.soften_strength}: give the largest doubt, above 0 and up to 1")
        if not self.soften_power > 0:
            raise UserError(f"--soften-power {self.soften_power}: give a number above 0; 2 is the usual one")
        if LIVE in self.every_estimator and "superpixel" in self.shapes:
            raise UserError("--estimators live has no stored maps to find superpixels for: compare it in a run apart")


@lru_cache(maxsize=256)
def takes(entry: Entry) -> frozenset[str]:
    """Names of a method's options."""
    return frozenset(inspect.signature(entry.load()).parameters)
