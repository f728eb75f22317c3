"""What the verb ``fidelity`` is asked for. Touches no torch, so that ``--help`` answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..training.config import ImageSize


@dataclass(frozen=True)
class FidelityConfig:
    """How well maps predict what erasing costs a network: the one that made them, and others."""

    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102 or imagenet, each also as NAME:DIR."""
    split: str = "test"
    """Split whose images are looked at."""
    subset: Path | None = None
    """Only the images that this file of augwise select names."""
    limit: int | None = 2000
    """Only this many images, a seeded subset with balanced classes."""
    run: Path | None = None
    """Folder of a finished training run: the network that makes the maps."""
    other: tuple[Path, ...] = ()
    """Folders of further runs on the same classes: does what the maps say hold for these networks too?"""
    train_other: int | None = None
    """Train so many networks as the run was trained, from other seeds, into OUT/networks. Left out: 1 where there is no
    --other, else 0."""
    model: str | None = None
    """Without a run: small_cnn, resnet18, wrn28_10 and more, timm:NAME or torchvision:NAME."""
    checkpoint: Path | None = None
    """Without a run: the file of the model's weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    estimators: tuple[str, ...] = ()
    """Estimators to judge, by name, with their defaults; centre and uniform always run beside them. Left out: all that
    fit the images. For options of an estimator compute its maps with augwise estimate and give them as --maps."""
    maps: tuple[Path, ...] = ()
    """Folders of importance stores of these images, judged too."""
    windows: int = 24
    """Random windows per image, all different."""
    length: int | float = 0.375
    """Side of a window: pixels (12), or a share of the shorter side (0.375)."""
    window: Literal["inside", "clipped"] = "inside"
    """inside: all windows of one area. clipped: centres anywhere, cut off at the border, as Cutout's; the table then
    also has the correlation at equal area."""
    fill: Literal["mean"] | float = "mean"
    """What erases: the image's own mean colour, or one value in [0, 1]."""
    only_right: bool = False
    """Leave out, on every network, the images that it gets wrong; they are counted either way."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width; needed where files differ in size.
    Left out: that of the run."""
    fit: Literal["crop", "stretch"] | None = None
    """How images of other shapes become squares of that size, as for augwise estimate: crop the middle, or stretch the
    whole. Left out: stretch for a run that was trained with crop=resized, else crop."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or check all files first and leave such out."""
    resamples: int = 2000
    """Resamples of the bootstrap over images."""
    cases: int = 6
    """Images on the page whose maps stand side by side."""
    seed: int = 0
    """Seed of windows, estimators and bootstrap; each image's numbers depend on its bytes and this alone."""
    data_seed: int = 0
    """Seed of limit, as in train."""
    batch_size: int | None = None
    """Erased images per forward pass; left out: 256 up to 64 px, 64 above."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    out: Path = Path("fidelity")
    """Folder for results.json, table.txt, images.npz, report.html, and the maps, networks and drops it computes."""
    quiet: bool = False
    """No progress bar."""

    def check(self) -> None:
        """`UserError` for what cannot be meant, before anything is read."""
        for name, least in (("windows", 3), ("resamples", 100), ("cases", 0), ("limit", 3), ("batch_size", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")
        if self.train_other is not None and self.train_other < 0:
            raise UserError(f"--train-other {self.train_other}: give how many networks to train, 0 for none")
        if self.train_other and self.run is None:
            raise UserError("--train-other trains more networks like a run: give --run, the folder of that run")
        _different("--other", [path.resolve() for path in self.other])
        _different("--maps", [path.resolve() for path in self.maps])
        if self.run is not None and self.run.resolve() in [path.resolve() for path in self.other]:
            raise UserError(f"--other {self.run} is the run that makes the maps: give another network")


def _different(flag: str, paths: Sequence[Path]) -> None:
    twice = [path for path in paths if paths.count(path) > 1]
    if twice:
        raise UserError(f"{flag} names {twice[0]} twice: give each once")
