"""Questions of the verb ``analyse`` about what classifiers answer. Touches no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from .analyse_on import AnalyseRuns, at_least, different


@dataclass(frozen=True)
class AnalyseRobustness:
    """Accuracy under ℓ∞ attacks that see the network itself (white-box) or another one (grey-box, black-box)."""

    on: AnalyseRuns
    """Runs and images."""
    grey: tuple[Path, ...] = ()
    """Runs of the same architecture and another seed: all --runs are shown the images that fool these (grey-box)."""
    black: tuple[Path, ...] = ()
    """Runs of another architecture, likewise (black-box)."""
    attacks: tuple[Literal["fgsm", "pgd"], ...] = ("fgsm", "pgd")
    """fgsm: one step; pgd: many, from a random start."""
    epsilons: tuple[str, ...] = ("1/255", "2/255", "4/255", "8/255")
    """Largest change of a pixel value in [0, 1], as 8/255 or 0.03."""
    steps: int = 20
    """Steps of pgd."""
    alpha: float | None = None
    """Size of a step of pgd, as a share of epsilon; left out: 2.5 / steps, so that the edge can be reached from
    anywhere (Madry et al. 2018)."""
    random_start: bool = True
    """Begin pgd at a random place in the ball, else at the image."""
    limit: int | None = 1000
    """Only this many images, a seeded subset with balanced classes."""
    resamples: int = 2000
    """Resamples of the bootstrap over images."""

    @property
    def step(self) -> float:
        """Size of a step of pgd, as a share of epsilon."""
        return 2.5 / self.steps if self.alpha is None else self.alpha

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not self.attacks or not self.epsilons:
            raise UserError("--attacks and --epsilons need at least one value each")
        unknown = [name for name in self.attacks if name not in ("fgsm", "pgd")]
        if unknown:
            raise UserError(f"attack {unknown[0]!r} is unknown: use fgsm or pgd")
        for flag in ("grey", "black"):
            different(f"--{flag}", getattr(self, flag))
        at_least("steps", self.steps, 1)
        at_least("limit", self.limit, 1)
        at_least("resamples", self.resamples, 100)
        if not 0 < self.step <= 2.5:
            raise UserError(f"--alpha {self.alpha}: give the step as a share of epsilon, above 0 and at most 2.5")


@dataclass(frozen=True)
class AnalyseOod:
    """Whether confidence tells images of no known class from those of a known one: AUPR, AUROC, FPR95."""

    on: AnalyseRuns
    """Runs and the images of known classes."""
    foreign: tuple[str, ...] = ()
    """Images of other things, one or more of: a data source (cifar100, npz:FILE, folder:DIR), images:DIR for all image
    files below a folder, or noise (uniform in every pixel, as many as there are known images). They are resized as the
    runs' own images are."""
    foreign_split: str = "test"
    """Split of a foreign data source."""
    foreign_limit: int | None = None
    """Only this many images of each foreign source."""
    limit: int | None = None
    """Only this many images of known classes."""
    resamples: int = 1000
    """Resamples of the bootstrap over images."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if not self.foreign:
            raise UserError(
                "--foreign names no images of other things: give cifar100, folder:DIR, images:DIR or noise, say"
            )
        different("--foreign", self.foreign)
        at_least("foreign_limit", self.foreign_limit, 2)
        at_least("limit", self.limit, 2)
        at_least("resamples", self.resamples, 100)


@dataclass(frozen=True)
class AnalyseNatural:
    """Natural adversarial images in the layouts of ImageNet-A (known classes) and ImageNet-O (of no known class)."""

    on: AnalyseRuns
    """Runs; their own images are the known ones beside --unknown."""
    known: Path | None = None
    """Folder of class folders with hard images of known classes (ImageNet-A): accuracy."""
    unknown: Path | None = None
    """Folder of class folders with images of no known class (ImageNet-O; the folders name the known classes that they
    resemble): AUPR against the runs' own images of those classes. Files without class folders are taken against all."""
    mapping: Path | None = None
    """JSON file of {"folder name": "class name of the runs"} for the class folders of both (a number counts the runs'
    classes from 0); or, for runs on imagenet or tiny-imagenet, the folder of that set, which has a name for every
    WordNet id; left out: the folders have the classes' names."""
    limit: int | None = None
    """Only this many of the runs' own images."""
    resamples: int = 1000
    """Resamples of the bootstrap over images."""
    bins: int = 15
    """Bins of the calibration error."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        if self.known is None and self.unknown is None:
            raise UserError("give --known, --unknown or both: folders such as imagenet-a and imagenet-o")
        at_least("limit", self.limit, 2)
        at_least("resamples", self.resamples, 100)
        at_least("bins", self.bins, 1)


@dataclass(frozen=True)
class AnalyseCalibration:
    """How far confidence can be believed: calibration errors of several kinds, reliability, temperature."""

    on: AnalyseRuns
    """Runs and images."""
    bins: int = 15
    """Bins of confidence."""
    limit: int | None = None
    """Only this many images, a seeded subset with balanced classes."""
    resamples: int = 1000
    """Resamples of the bootstrap over images, for the interval of the expected error."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.on.check()
        at_least("bins", self.bins, 1)
        at_least("limit", self.limit, 2)
        at_least("resamples", self.resamples, 100)
