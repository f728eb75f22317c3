"""What the verb ``select`` is asked for. Touches no torch, so that ``--help`` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..training.config import ImageSize

Measure = Literal["cv", "mean", "std", "random", "k-center", "mc-dropout", "el2n", "forgetting"]
MIXED = ("cv", "mean", "std")
"""Measures of an image's losses under mixing."""
TRAINED = ("el2n", "forgetting")
"""Measures that watch networks learn."""


@dataclass(frozen=True)
class SelectConfig:
    """Which images to train on: a score of each, and files that --subset reads."""

    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102 or imagenet, each also as NAME:DIR."""
    split: str = "train"
    """Split whose images are scored."""
    measure: Measure = "cv"
    """cv, mean, std: coefficient of variation, mean (the highest are hard) and standard deviation of an image's losses
    while others are mixed into it. random: chance. k-center: images that leave no other far away in the network's
    features. mc-dropout: uncertainty under dropout. el2n: error of young networks. forgetting: how often an image was
    forgotten."""
    fractions: tuple[float, ...] = (0.1,)
    """Shares of the images to keep; each gives a file of its own."""
    per_class: bool = True
    """Take that share of each class; without it of all images together."""
    rule: Literal["top", "bottom", "interval"] = "top"
    """The highest scores, the lowest, or every so-many-th in their order."""
    run: Path | None = None
    """Folder of a finished training run: the network that is asked. For el2n and forgetting, networks are trained as it
    was, without its method."""
    model: str | None = None
    """Without a run: small_cnn, resnet18, wrn28_10 and more, timm:NAME or torchvision:NAME."""
    checkpoint: Path | None = None
    """Without a run: the file of the model's weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    mixer: Literal["dcutmix", "dmixup"] = "dcutmix"
    """Of cv, mean, std: how others are mixed in, as boxes or as a blend."""
    anchor_share: float = 1 / 3
    """Of cv, mean, std: the share that the image itself keeps in every mix."""
    alpha: tuple[float, ...] = (2 / 9, 2 / 9)
    """Of cv, mean, std: one number for each image that is mixed in, by which they share the rest."""
    mixes: int = 10
    """Of cv, mean, std: mixes per image."""
    passes: int = 10
    """Of mc-dropout: passes per image."""
    dropout: float | None = None
    """Of mc-dropout: drop this share of the features before the last layer. Left out: the model's own dropout."""
    networks: int = 3
    """Of el2n: how many networks are trained (10 in the paper); of forgetting one is enough."""
    early: float = 0.1
    """Of el2n: after which share of their training the networks are asked."""
    subset: Path | None = None
    """Score only the images that this file of augwise select names."""
    limit: int | None = None
    """Only this many images, a seeded subset with balanced classes."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width; needed where files differ in size.
    Left out: that of the run."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or check all files first and leave such out."""
    cases: int = 5
    """Images on the page for each end of each class."""
    seed: int = 0
    """Seed of everything random; each image's draws depend on its row and this alone."""
    data_seed: int = 0
    """Seed of limit, as in train."""
    batch_size: int = 256
    """Images per forward pass."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    out: Path = Path("selection")
    """Folder for the subset files, scores.npz, results.json, table.txt and report.html."""
    quiet: bool = False
    """No progress bar."""

    def check(self) -> None:
        """`UserError` for what cannot be meant, before anything is read."""
        if not self.fractions:
            raise UserError("--fractions needs at least one share, such as 0.1")
        for fraction in self.fractions:
            if not 0 < fraction <= 1:
                raise UserError(f"--fractions {fraction}: give shares of the images, above 0 and up to 1")
        if len(set(self.fractions)) < len(self.fractions):
            raise UserError(f"--fractions {' '.join(map(str, self.fractions))}: give each once")
        at_least = {"networks": 1, "cases": 0, "limit": 1, "batch_size": 1, "mixes": 2, "passes": 2}
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
        if not 0 < self.early <= 1:
            raise UserError(f"--early {self.early}: give a share of training, above 0 and up to 1")
        if self.measure in TRAINED and self.run is None:
            raise UserError(f"--measure {self.measure} trains networks like a run: give --run, the folder of that run")

    def file(self, fraction: float) -> Path:
        """The subset file of one fraction, such as ``OUT/cv-top-0.1.npz``."""
        return self.out / f"{self.measure}-{self.rule}-{fraction:g}.npz"
