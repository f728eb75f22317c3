"""Training settings of a search on the training images and measuring them on the validation images.

The test images are out of its reach. A run lives in a folder of its own, from which it goes on if it is interrupted,
until it is recorded and the folder is cleared away.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalogue import Entry
from ..errors import UserError
from .compare_config import LIVE
from .compare_plan import Run
from .compare_runs import maps_of, steps_of
from .compare_share import run_settings
from .tune_config import TuneConfig
from .tune_sampler import falls_behind
from .tune_trial import Trial

if TYPE_CHECKING:
    from ..data.sources import Source

STORED = "stored"
"""Stands as the estimator of runs whose maps come from a store that was given."""
Told = Callable[[int, float], Any]


class _Stopped(Exception):
    """Ends a run that is behind."""

    def __init__(self, epoch: int, accuracy: float) -> None:
        super().__init__(f"behind the median of the settings before it after epoch {epoch}")
        self.epoch, self.accuracy = epoch, accuracy


@dataclass(frozen=True)
class Bench:
    """What all settings of a search share: how they are trained, on which images, and which images choose."""

    config: TuneConfig
    entry: Entry
    out: Path
    train: Source
    validation: Source

    @property
    def store(self) -> Path | None:
        """Folder of the maps, where they are stored."""
        return None if self.config.maps is None or self.config.maps == LIVE else Path(self.config.maps)

    def run(self, options: dict[str, Any] | None, seed: int) -> Run:
        """One run with the method's options; None: without the method."""
        if options is None:
            return Run("baseline", seed)
        estimator = STORED if self.store is not None else self.config.maps and LIVE
        return Run("plain", seed, self.entry.name, tuple(sorted(options.items())), estimator)

    def rehearse(self, options: dict[str, Any]) -> None:
        """`UserError` where the method refuses its options, or images of this size: it is shown two grey ones."""
        import torch

        from ..data.pipeline import check_guards
        from .touched import touched

        run = self.run(options, 0)
        *before, method = steps_of(run)
        check_guards([*before, method], self.store is not None, "give --maps FOLDER, or --maps live")
        if run.shape == "superpixel":
            if run.estimator == LIVE:
                raise UserError("--shape superpixel needs maps that are stored: give --maps FOLDER in place of live")
            return  # it wants maps that grey images have not
        t, size = self.config.train, self.train[0][0].shape[-2:]
        height, width = (t.size, t.size) if t.crop == "resized" and isinstance(t.size, int) else size
        touched(method, torch.ones(2, height, width), moves=self.entry.kind == "geometry")

    def tried(self, trial: Trial, others: Sequence[Trial] = (), told: Told | None = None) -> Trial:
        """The trial with what became of it. others: trials before it, with whose median it is compared.

        told: called with every epoch of the first seed and its accuracy. What the method refuses, and training that
        ends with a `UserError`, is recorded, unless the method's own setting (number 0) or none (-1) is tried: then
        every other one would meet the same.
        """
        begun = time.monotonic()
        state = "refused"
        try:
            if trial.options is not None:
                self.rehearse(trial.options)
            state = "failed"
            trial = self._trained(trial, others, told)
        except UserError as error:
            if trial.number <= 0:
                raise
            trial = replace(trial, state=state, reason=str(error))
        return replace(trial, seconds=time.monotonic() - begun)

    def clear(self, trial: Trial) -> None:
        """Remove the folders of a trial's runs, once it is recorded elsewhere."""
        for seed in range(self.config.seeds):
            shutil.rmtree(self._folder(trial, seed), ignore_errors=True)

    def _trained(self, trial: Trial, others: Sequence[Trial], told: Told | None) -> Trial:
        rivals = [other.curve for other in others if other.state == "whole"]
        results = []
        for seed in range(self.config.seeds):
            try:
                # The first seed alone is compared: all that comes before another seed's end is known from it.
                results.append(self._once(trial, seed, rivals if seed == 0 else [], told if seed == 0 else None))
            except _Stopped as stopped:
                found = {"accuracy": stopped.accuracy, "accuracies": (stopped.accuracy,), "epochs": stopped.epoch}
                return replace(trial, state="stopped", reason=str(stopped), **found)
        accuracies = tuple(result["test"]["last_accuracy"] for result in results)
        curve = tuple(row["test_accuracy"] for row in results[0]["curve"] if "test_accuracy" in row)
        return replace(
            trial,
            accuracy=sum(accuracies) / len(accuracies),
            accuracies=accuracies,
            curve=curve,
            epochs=len(results[0]["curve"]),
        )

    def _once(self, trial: Trial, seed: int, rivals: list[tuple[float, ...]], told: Told | None) -> dict[str, Any]:
        """The results of one run, what it calls its test images being the validation images."""
        from ..training.train import train

        config = self.config
        run = self.run(trial.options, config.train.seed + seed)

        def on_epoch(row: dict[str, float]) -> None:
            if "test_accuracy" not in row:
                return
            epoch, accuracy = int(row["epoch"]), row["test_accuracy"]
            if told is not None:
                told(epoch, accuracy)
            if falls_behind(accuracy, epoch, rivals, config.train.epochs, config.stop_after):
                raise _Stopped(epoch, accuracy)

        return train(
            replace(run_settings(config.train, self._folder(trial, seed)), seed=run.seed),
            source=self.train,
            test=self.validation,
            maps=maps_of(run, self.store, self.train) if run.estimator == STORED and self.store else None,
            steps=steps_of(run),
            on_epoch=on_epoch,
        )

    def _folder(self, trial: Trial, seed: int) -> Path:
        name = "without" if trial.number < 0 else f"trial-{trial.number:03d}"
        return self.out / "runs" / f"{name}-{seed}"
