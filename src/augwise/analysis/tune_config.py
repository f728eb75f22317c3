"""The settings of a search, for the command line and for Python, and what cannot be meant. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..errors import UserError
from ..training.config import TrainConfig


@dataclass(frozen=True)
class TuneConfig:
    """A search of a method's options by accuracy on validation images, and an honest last word on the test images."""

    train: TrainConfig = field(default_factory=lambda: TrainConfig(val_share=0.2, out=Path("tune")))
    """How every setting is trained. val_share is what settings are chosen on."""
    maps: Literal["live"] | Path | None = None
    """Folder of the importance store of the training images, for methods that look at maps; or live: the saliency of
    the model in training."""
    trials: int = 20
    """Settings that are trained, the method's own among them as number 0; those it refuses do not count. More than
    before goes on with an earlier search."""
    seeds: int = 1
    """Runs per setting, whose mean counts; every setting has the same seeds, so the same crops and order of images."""
    stop_after: float = 0.5
    """Share of the epochs after which a run is stopped that is behind the median of the settings before it; 1: never.
    Late is fair: what augments harder learns more slowly."""
    finals: int = 5
    """Fresh seeds with which the setting that won, the method's own and no method at all are trained once more and
    measured on the test images; 0 leaves the test images alone."""
    search_seed: int = 0
    """Seed of what is tried; apart from seed, which is that of the first run of every setting."""
    jobs: int | None = None
    """Last runs at the same time, in processes of their own with one thread each on a CPU; default: one per core on a
    CPU, one on a GPU. 1: one after the other in this process."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant, before anything is read."""
        self.train.check()
        if not self.train.val_share > 0:
            raise UserError(
                "--val-share 0 leaves no images to choose on, and the test images are never chosen on: give "
                "--val-share 0.2, say"
            )
        for name in ("trials", "seeds"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} {getattr(self, name)}: give 1 or more")
        if self.finals < 0:
            raise UserError(f"--finals {self.finals}: give how many fresh seeds, or 0 for none")
        if not 0 < self.stop_after <= 1:
            raise UserError(f"--stop-after {self.stop_after}: give a share of the epochs above 0; 1 stops none early")
        if self.jobs is not None and self.jobs < 1:
            raise UserError(f"--jobs {self.jobs}: give 1 or more, or leave it out for one per core")
