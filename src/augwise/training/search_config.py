"""What the verb ``search`` is asked for. Touches no torch, so that ``--help`` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import UserError
from .config import Precision


@dataclass(frozen=True)
class SearchConfig:
    """Search two cells of a network by PC-DARTS: a supernet mixes all operations, and its mixture learns on one half of
    the images while its weights learn on the other. The same configuration and data give the same genotype, however
    often the search is interrupted."""

    # on what
    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102 or imagenet, each also as NAME:DIR."""
    split: str = "train"
    """Split that is searched on; it is cut into two halves, class by class."""
    subset: Path | None = None
    """Only the images that this file names, which augwise select wrote for this data and split: a tenth of them makes
    the search about ten times faster. Every class needs two images or more."""
    limit: int | None = None
    """Search on this many images only, a seeded subset with balanced classes, cut from the subset where there is
    one."""
    size: int | None = None
    """Resize images to this many pixels a side; needed where files differ in size."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or check all files first and leave such out."""
    data_seed: int = 0
    """Seed of limit and of the two halves."""

    # how long
    epochs: int = 50
    """Passes over the first half."""
    warmup_epochs: int | None = None
    """Epochs at the beginning in which weights learn alone, so that operations without weights get no lead; left out:
    three tenths of all, 15 of 50 as in the paper."""
    batch_size: int = 256
    """Images per step of each half; at most as many as the smaller half has."""

    # the supernet
    channels: int = 16
    """Channels of the first cells; a multiple of twice partial."""
    layers: int = 8
    """Cells, 3 or more, of which those at a third and at two thirds halve the map and double the channels."""
    partial: int = 4
    """K: one in so many channels is mixed, the others pass; 1 mixes all, as DARTS does."""
    edge_normalisation: bool = True
    """Weigh the edges into a node among each other; without it each counts alike, as in DARTS."""

    # how its weights learn (SGD without Nesterov's momentum), and its mixture (Adam)
    lr: float = 0.1
    """Highest learning rate of the weights; it falls to zero by a cosine, step by step."""
    momentum: float = 0.9
    """Momentum of the weights."""
    weight_decay: float = 3e-4
    """Weight decay of the weights."""
    clip: float = 5.0
    """Largest norm of the weights' gradient; a longer one is scaled down to it."""
    architecture_lr: float = 6e-4
    """Learning rate of the mixture, the same throughout; Adam's betas are 0.5 and 0.999."""
    architecture_weight_decay: float = 1e-3
    """Weight decay of the mixture."""

    # augmentation
    crop_padding: int = 4
    """Random crop out of the image padded by so many pixels; 0 for no crop."""
    flip: bool | None = None
    """Random horizontal flip; left out: what the data source says of itself (digits are not flipped)."""

    # machine
    seed: int = 0
    """Seed of weights, mixture, order and augmentation."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    precision: Precision = "auto"
    """fp32 or bf16 (mixed); auto is bf16 on CUDA, else fp32."""
    channels_last: bool = True
    """Keep images as (N, H, W, C) in memory, which convolutions like best."""
    compile: bool = False
    """Compile the supernet (torch.compile): a minute or more at the beginning, faster steps after it; for GPUs."""
    threads: int | None = None
    """Threads torch computes with on the CPU; left out: as torch is set."""

    # result
    out: Path = Path("search")
    """Folder for genotype.json, results.json, curve.csv, report.html and the checkpoint of an unfinished search. Train
    the network with augwise train --model darts:OUT/genotype.json."""
    checkpoint_steps: int | None = None
    """Also write the checkpoint every so many steps, not only after each epoch."""
    checkpoint_seconds: float | None = 60.0
    """Also write the checkpoint when this many seconds have passed since the last."""
    quiet: bool = False
    """No progress bar."""

    @property
    def warmup(self) -> int:
        """Epochs before the mixture learns."""
        return self.epochs * 3 // 10 if self.warmup_epochs is None else self.warmup_epochs

    @property
    def opening(self) -> dict[str, Any]:
        """How `open_source` opens the images."""
        return {"size": self.size, "subset": self.subset, "broken": self.broken, "progress": not self.quiet}

    def check(self) -> None:
        """`UserError` for what cannot be meant, before anything is read."""
        for name in ("epochs", "batch_size", "channels", "layers", "partial", "lr", "clip", "architecture_lr"):
            self._positive(name)
        for name in ("limit", "size", "threads", "checkpoint_steps", "checkpoint_seconds"):
            if getattr(self, name) is not None:
                self._positive(name)
        for name in ("momentum", "weight_decay", "architecture_weight_decay", "crop_padding"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name}={getattr(self, name)} is below 0: give 0 or more")
        if self.warmup_epochs is not None and not 0 <= self.warmup_epochs < self.epochs:
            raise UserError(
                f"warmup_epochs={self.warmup_epochs} leaves no epoch of epochs={self.epochs} in which the mixture "
                f"learns: give 0 to {self.epochs - 1}, or leave it out"
            )
        if self.layers < 3:
            raise UserError(f"layers={self.layers}: give 3 cells or more, two of them halve the map")
        if self.channels % (2 * self.partial):
            raise UserError(
                f"channels={self.channels} with partial={self.partial}: give a multiple of {2 * self.partial} channels"
            )
        for name, known in (("precision", ("auto", "fp32", "bf16")), ("broken", ("stop", "skip"))):
            if getattr(self, name) not in known:
                raise UserError(f"{name}={getattr(self, name)!r} is unknown: use one of {', '.join(known)}")

    def _positive(self, name: str) -> None:
        if not getattr(self, name) > 0:
            raise UserError(f"{name}={getattr(self, name)} is not positive: give a number above 0")
