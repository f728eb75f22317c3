"""What every question of the verb ``analyse`` is about: which runs, and on which images. Touches no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import UserError


@dataclass(frozen=True)
class AnalyseRuns:
    """Which trained classifiers are looked at side by side, and on which images."""

    runs: tuple[Path, ...]
    """Folders of finished training runs, all of the same data and classes; the first is what the others are compared
    with."""
    data: str | None = None
    """Data source whose images are looked at; left out: the runs' own."""
    split: str = "test"
    """Split whose images are looked at."""
    broken: Literal["stop", "skip"] | None = None
    """Image files that cannot be decoded: stop at the first, or skip them; left out: as the runs."""
    batch_size: int = 256
    """Images at once; bounds the memory, and changes results by rounding alone."""
    seed: int = 0
    """Seed of everything that is drawn; all runs get the same draws."""
    device: str = "auto"
    """auto, cpu, cuda or mps. All is computed in float32."""
    out: Path | None = None
    """Folder for results.json, report.html, pictures/ and what is kept to go on with; left out: the word itself."""
    quiet: bool = False
    """No progress bar."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant, before anything is read."""
        if not self.runs:
            raise UserError("--runs names no run: give the folder of at least one finished augwise train")
        different("--runs", self.runs)
        at_least("batch_size", self.batch_size, 1)


@dataclass(frozen=True)
class FinishedRuns:
    """Which training runs are read; their networks are not."""

    runs: tuple[Path, ...]
    """Folders of finished training runs, of as many settings, seeds and data sets as wanted. Of each data set the
    plainest runs, with the fewest unusual settings, are what the others are compared with."""
    out: Path | None = None
    """Folder for results.json, report.html and pictures/; left out: the word itself."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        if not self.runs:
            raise UserError("--runs names no run: give the folder of at least one finished augwise train")
        different("--runs", self.runs)


def at_least(name: str, value: float | None, least: int) -> None:
    """Raise `UserError` for a number below ``least``."""
    if value is not None and value < least:
        raise UserError(f"--{name.replace('_', '-')} {value}: give at least {least}")


def different(flag: str, given: tuple[str, ...] | tuple[float, ...] | tuple[Path, ...]) -> None:
    """Raise `UserError` for what is named twice."""
    known = [entry.resolve() if isinstance(entry, Path) else entry for entry in given]
    twice = [entry for entry in known if known.count(entry) > 1]
    if twice:
        raise UserError(f"{flag} names {twice[0]} twice: give each once")
