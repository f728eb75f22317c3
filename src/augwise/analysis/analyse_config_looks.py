"""Questions of the verb ``analyse`` about what classifiers look at and how they came to it. Touches no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from .analyse_on import AnalyseRuns, FinishedRuns, at_least, different


@dataclass(frozen=True)
class AnalyseCurves:
    """How fast training converges and where it ends: runs that differ in seed alone are one arm, with its mean curve,
    its gain, paired by seed, and, where arms differ in one number alone, how much hangs on it."""

    on: FinishedRuns
    """Runs."""
    pictures: Path | None = None
    """Folder of augwise analyse farther, whose pictures and numbers end the page."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()


@dataclass(frozen=True)
class AnalyseFarther:
    """What LP-A3 makes of images beside RandAugment: how far it goes, whether labels are kept, where the classifier
    looks."""

    on: AnalyseRuns
    """Runs and images."""
    form: Literal["lagrangian", "tangent"] = "lagrangian"
    """LP-A3's steps: the paper's, or this project's, which go as far in half the time."""
    margins: tuple[float, ...] = (0.002, 0.02, 0.1, 0.5)
    """Margins (nats) of LP-A3; pictures are of the middle one."""
    num_ops: int = 2
    """Operations of RandAugment."""
    magnitude: int = 9
    """Their strength, of 30."""
    layers: tuple[str, ...] = ()
    """Layers whose features tell the distance; left out: where the network's stages end."""
    layer: str | None = None
    """Layer whose Grad-CAM is drawn; left out: the last feature map."""
    limit: int | None = 256
    """Only this many images, a seeded subset with balanced classes."""
    shown: int = 6
    """Images in the pictures, each of another class."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not self.margins or not all(margin > 0 for margin in self.margins):
            raise UserError(f"--margins {' '.join(map(str, self.margins))}: give numbers above 0, such as 0.02")
        different("--margins", self.margins)
        at_least("num_ops", self.num_ops, 1)
        if not 0 <= self.magnitude <= 30:
            raise UserError(f"--magnitude {self.magnitude}: give 0 to 30")
        at_least("limit", self.limit, 2)
        at_least("shown", self.shown, 1)


@dataclass(frozen=True)
class AnalyseCam:
    """Where several networks look in the same images: class activation maps of the label side by side (IPF-RDA,
    Fig. 6)."""

    on: AnalyseRuns
    """Runs and images."""
    maps: Path | None = None
    """Store of importance maps of these images: how much of each activation map lies on the most important pixels."""
    share: float = 0.2
    """Share of an image's pixels that count as its most important ones, with --maps."""
    layer: str | None = None
    """Layer whose feature map is looked at; left out: the last one."""
    limit: int | None = 256
    """Only this many images, a seeded subset with balanced classes."""
    shown: int = 6
    """Images in the pictures, each of another class."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not 0 < self.share < 1:
            raise UserError(f"--share {self.share}: give a share of the pixels between 0 and 1, such as 0.2")
        at_least("limit", self.limit, 2)
        at_least("shown", self.shown, 1)


@dataclass(frozen=True)
class AnalyseEmbedding:
    """How well a network's features keep the classes apart: Dunn index, silhouette, and t-SNE (IPF-RDA, Fig. 4)."""

    on: AnalyseRuns
    """Runs and images."""
    perplexity: float = 30.0
    """How many neighbours t-SNE tries to keep near, about; fewer than there are images."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not 1 <= self.perplexity < float("inf"):
            raise UserError(f"--perplexity {self.perplexity}: give a number of neighbours, 1 or more, such as 30")
        at_least("limit", self.limit, 3)


@dataclass(frozen=True)
class AnalyseGradients:
    """How much an attack changes the gradient that saliency maps are made of (IPF-RDA, Fig. 5, Eq. 3 and 4)."""

    on: AnalyseRuns
    """Runs and images; the paper's are those of --split train."""
    attack: Literal["fgsm", "pgd"] = "pgd"
    """fgsm: one step; pgd: many, from a random start."""
    epsilons: tuple[str, ...] = ("1/255", "8/255")
    """Largest change of a pixel value in [0, 1], as 8/255 or 0.03."""
    steps: int = 20
    """Steps of pgd."""
    alpha: float | None = None
    """Size of a step of pgd, as a share of epsilon; left out: 2.5 / steps."""
    random_start: bool = True
    """Begin pgd at a random place in the ball, else at the image."""
    bound: bool = True
    """Also what Eq. 3 and 4 say, which takes a backward pass for every class."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes."""

    @property
    def step(self) -> float:
        """Size of a step of pgd, as a share of epsilon."""
        return 2.5 / self.steps if self.alpha is None else self.alpha

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if self.attack not in ("fgsm", "pgd"):
            raise UserError(f"attack {self.attack!r} is unknown: use fgsm or pgd")
        if not self.epsilons:
            raise UserError("--epsilons needs at least one value, such as 8/255")
        different("--epsilons", self.epsilons)
        at_least("steps", self.steps, 1)
        at_least("limit", self.limit, 1)
        if not 0 < self.step <= 2.5:
            raise UserError(f"--alpha {self.alpha}: give the step as a share of epsilon, above 0 and at most 2.5")
