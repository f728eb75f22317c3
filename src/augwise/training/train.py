"""One supervised training run from a configuration: data, batches, model, loop, results.

Reads the data and the maps, writes into ``config.out``. Everything that can be wrong is found before the first step.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .. import __version__, models
from ..data import (
    Normalize,
    Source,
    as_source,
    left_out,
    who_is_who,
)
from ..data.pipeline import check_guards, flatten_steps, gives_importance
from ..errors import UserError
from ..files import require_writable
from ..fingerprints import hash_bytes
from ..models.genotype import GENOTYPE
from ..reid import Ranking
from ..sample import Batch
from . import optimizers
from .batches import Batches, Observe, Reader, evaluation_batches
from .checkpoint import Checkpoint, plain, refuse_other, save_weights
from .config import TrainConfig
from .devices import accelerator_for, emulation_note, threads
from .evaluate import accuracy, per_class, read_run
from .few_labels import labelled_rows, strong_view
from .identity_batches import IdentityOrder
from .learners import Learner
from .loop import fit
from .objectives.base import Objective
from .objectives.supervised import Forward
from .rank_people import embeddings, in_numbers, rank_people, row_of_curve
from .results import (
    CHECKPOINT,
    LABELLED,
    LABELS,
    RESULTS,
    WEIGHTS,
    environment,
    summary,
    tensorboard,
    to_tensorboard,
    write_results,
)
from .run_data import (
    RunData,
    check_unlabelled,
    labelled_file,
    maps_fingerprint,
    open_data,
    save_labels,
    source_fingerprint,
)
from .run_images import RunImages
from .run_network import check_apart, network_of
from .views import resolved, statistics

if TYPE_CHECKING:
    from accelerate import Accelerator

OnEpoch = Callable[[dict[str, float]], None]
# What may differ between two calls of one run: where and how it is watched, and what changes speed alone.
_FREE = ("out", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds", "device", "threads", "num_workers")
_FREE += ("broken",)  # which files are left out shows in the data itself
# A setting that a later version adds had this value in an older run, which it thus does not disown.
_DEFAULTS = {"config": {k: v for k, v in plain(asdict(TrainConfig())).items() if k not in _FREE}}


def train(
    config: TrainConfig,
    *,
    source: Any = None,
    test: Any = None,
    maps: Any = None,
    steps: Any = None,
    transform: Any = None,
    model: nn.Module | None = None,
    observe: Observe | None = None,
    also: Mapping[str, Any] | None = None,
    on_epoch: OnEpoch | None = None,
    forward: Forward | None = None,
) -> dict[str, Any]:
    """Train a classifier and return what ``results.json`` in ``config.out`` holds.

    source, test: data in place of ``config.data`` and ``config.subset`` (a `Source` or any map-style torch data set;
        with ``crop="resized"`` of images as they are, of any size); limit and val_share apply to it as well. test may
        be left out where val_share sets a part aside.
    maps: importance maps of the training images: an `ImportanceStore`, the path of one, or attached maps.
    steps: augmentations and mixers of the batch path, after crop and flip and before normalisation. Guarded ones need
        maps, or `LiveSaliency` before them, which is given the model in training.
    transform: augmentations of the sample path, before all those (after a random resized crop); needs
        ``loader="workers"``.
    model: a classifier in place of ``config.model``; it is trained in place.
    observe: called with each batch before and after ``steps``; returns scalars whose means become columns of the
        curve. By default the share of importance erased, where there are maps, and where labels are softened or
        smoothed their mean doubt.
    also: further data sets by name, measured once at the end: their accuracies stand under "also" in the result.
    on_epoch: called with each new row of the curve; what it raises ends the run.
    forward: what mixes inside the model, such as `ManifoldMixup`: called with model and batch in place of the model, it
        returns logits and `MixedLabels`. Its description, `repr`, is part of what the run is.

    Interrupted, the same call goes on where it stopped; finished, it returns the result without training. A folder
    that holds another run is refused with the difference named. The accuracies reported are the last epoch's (also of
    each class) and the median of the last ten epochs', on ``config.eval_split`` (or the part set aside), never the
    best.
    """
    config.check()
    config = resolved(config)
    if config.out is not None:
        if (Path(config.out) / "maps.npy").exists():
            raise UserError(f"{config.out} is an importance store: give the run a folder of its own (--out)")
        require_writable(Path(config.out))
    with threads(config.threads, config.num_workers):
        accelerator = accelerator_for(config.device, config.precision)
        note = "" if config.quiet else emulation_note(accelerator.device.type, config.precision)
        if note:
            print(note, file=sys.stderr)
        data = open_data(config, source, test, maps)
        run = _Run(config, accelerator, data, flatten_steps(steps), transform, model, forward)
        return run.finished() or run.go(observe, also or {}, on_epoch)


def training_batches(config: TrainConfig, source: Any, maps: Any = None, steps: Any = None) -> Batches:
    """The batches that `train` would train on, without training: augmented, on the device, not normalised.

    source, maps, steps: see `train`. The draws are those of the run with this configuration.
    """
    config.check()
    config = resolved(config)
    with threads(config.threads, config.num_workers):
        accelerator = accelerator_for(config.device, config.precision)
        source = as_source(source)
        run = _Run(config, accelerator, RunData(source, source, "", maps), flatten_steps(steps), None, None)
        return run.batches(run.images.training(), [])


class _Run:
    """The parts of one run, built in the order in which they can fail cheapest."""

    def __init__(
        self,
        config: TrainConfig,
        accelerator: Accelerator,
        data: RunData,
        steps: list[Callable[..., Any]],
        transform: Any,
        model: nn.Module | None,
        forward: Forward | None = None,
    ) -> None:
        if transform is not None and config.loader == "resident":
            raise UserError("transform acts on single samples: set loader='workers', or give it among steps")
        check_guards(
            steps,
            data.maps is not None,
            "give maps= (--maps FOLDER), or put aw.LiveSaliency() before it (--maps live)",
        )
        shape = models.cell_shape(config.model) if model is None else None
        check_apart(config, shape is not None or isinstance(model, models.CellNetwork))
        self.config, self.accelerator, self.data = config, accelerator, data
        self.labelled: np.ndarray | None = None
        if config.learn.objective != "supervised":
            check_unlabelled(steps, config, forward)
        if config.learn.few_labels:
            self.labelled = labelled_rows(
                np.asarray(data.train.labels), config.learn.labelled or 0, len(data.train.class_names), config.data_seed
            )
            steps = steps or strong_view()
        self.steps, self.transform, self.given, self.forward = steps, transform, model, forward
        self.live: list[Any] = [step for step in steps if gives_importance(step)]
        _check_live(self.live, flatten_steps(transform))
        self.images = RunImages(config, data, transform, accelerator)
        self.out = None if config.out is None else Path(config.out)
        self.settings = plain(asdict(config))
        self.identity = {
            "config": {k: v for k, v in self.settings.items() if k not in _FREE},
            "steps": [_describe(step) for step in [*flatten_steps(transform), *steps]],
            "model": None if model is None else models.fingerprint(model),
            "data": source_fingerprint(data.train),
            "test": source_fingerprint(self.images.seen(data.test)),
            "maps": maps_fingerprint(data.maps, data.train),
        }
        if forward is not None:
            self.identity["forward"] = _describe(forward)
        if shape is not None:
            self.identity["genotype"] = models.genotype(shape.genotype).plain
        if data.redraw is not None:
            self.identity["redraw"] = hash_bytes(data.redraw.weights.numpy().tobytes())

    def finished(self) -> dict[str, Any] | None:
        """The results, if this run is complete."""
        if self.out is None or not (self.out / RESULTS).exists():
            return None
        found = read_run(self.out / RESULTS)
        refuse_other(found["identity"], self.identity, self.out, _DEFAULTS)
        if self.accelerator.is_main_process:
            (self.out / CHECKPOINT).unlink(missing_ok=True)  # killed between results and this
        return found

    def go(self, observe: Observe | None, also: Mapping[str, Any], on_epoch: OnEpoch | None = None) -> dict[str, Any]:
        """Train, measure, write, and end whatever reads in the background, also when interrupted."""
        try:
            return self._go(observe, also, on_epoch)
        finally:
            self.images.close()
            for step in self.live:
                step.watch(None)

    def _go(self, observe: Observe | None, also: Mapping[str, Any], told: OnEpoch | None) -> dict[str, Any]:
        config = self.config
        checkpoint = self._checkpoint()
        if checkpoint is not None:
            checkpoint.load()  # refuse a foreign one before the images are read
        train = self.images.training()
        shape = self.images.shape(train)
        model = network_of(config, self.given, len(self.data.train.class_names), shape, self.accelerator)
        mean, std = statistics(config, shape[0]) or self.images.measured(train)
        for step in self.live:
            step.watch(model, mean, std)
        test = self.images.reader(self.images.seen(self.data.test))
        objective = self._objective(model, train, Normalize(mean, std), observe)

        def batches(reader: Reader) -> Iterator[Batch]:
            return evaluation_batches(reader, Normalize(mean, std), 256, **self._ways())

        def measure(candidate: nn.Module, reader: Reader = test) -> float:
            return accuracy(candidate, batches(reader), self.accelerator)

        def ranked(candidate: nn.Module, reader: Reader = test, of: Source = self.data.test) -> Ranking:
            found = embeddings(candidate, batches(reader), len(reader), self.accelerator)
            return rank_people(found, who_is_who(of))

        people = config.learn.of_people

        with self._written_to_tensorboard() as written:

            def on_epoch(row: dict[str, float]) -> None:
                for listener in filter(None, (written, told)):
                    listener(row)

            fitted = fit(
                objective,
                self.accelerator,
                optimizers.Schedule(
                    config.epochs,
                    config.schedule,
                    config.warmup_epochs,
                    config.milestones,
                    config.gamma,
                    config.warmup_from,
                ),
                seed=config.seed,
                clip=config.clip,
                ema=config.ema,
                evaluate=(lambda candidate: row_of_curve(ranked(candidate))) if people else measure,
                evaluate_last=config.eval_last,
                checkpoint=checkpoint,
                on_epoch=on_epoch,
                compile=config.compile,
                quiet=config.quiet,
            )
        results = self._results(fitted.curve, mean, std)
        others = {name: self.images.seen(as_source(given)) for name, given in also.items()}
        if people:
            results["retrieval"] = in_numbers(ranked(fitted.model))
            results["also"] = {
                name: ranked(fitted.model, self.images.reader(d), d).cmc[1] for name, d in others.items()
            }
        else:
            classes = list(self.data.train.class_names)
            results["per_class"] = per_class(fitted.model, batches(test), classes, self.accelerator)
            results["also"] = {name: measure(fitted.model, self.images.reader(d)) for name, d in others.items()}
        self._write(results, fitted.model, checkpoint)
        return results

    def _objective(self, model: nn.Module, reader: Reader, normalize: Normalize, observe: Observe | None) -> Objective:
        return Learner(
            self.config,
            model,
            reader,
            lambda: reader if self.config.loader == "resident" else self.images.training(),
            self.images.shared(reader),
            self.steps,
            normalize,
            self._ways(),
            lambda: self.batches(reader, [normalize], observe),
            len(self.data.train.class_names),
            self.labelled,
            self.forward,
        ).objective()

    def batches(self, reader: Reader, last: list[Normalize], observe: Observe | None = None) -> Batches:
        """What is trained on: shared steps, the method's, then ``last``."""
        return Batches(
            reader,
            self.images.shared(reader),
            self.steps,
            last,
            seed=self.config.seed,
            batch_size=self.config.batch_size,
            observe=observe,
            epochs=self.config.epochs,
            redraw=self.data.redraw,
            order=self._order(),
            **self._ways(),
        )

    def _order(self) -> IdentityOrder | None:
        """Identities by their images, where the objective compares those."""
        config, learn = self.config, self.config.learn
        if not learn.of_people:
            return None
        labels, people = np.asarray(self.data.train.labels), config.batch_size // learn.reid_images
        processes = self.accelerator.num_processes
        if people % processes or people < 2 * processes:
            raise UserError(
                f"the {people} identities of a step cannot be shared by {processes} processes, two or more each: give "
                "another batch_size"
            )
        return IdentityOrder(labels, people, learn.reid_images, config.seed)

    def _ways(self) -> dict[str, Any]:
        """This process's share of a batch, and the layout of images in memory."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        return {"rank": rank, "processes": processes, "channels_last": self.config.channels_last}

    def _checkpoint(self) -> Checkpoint | None:
        if self.out is None:
            return None
        circumstances = {
            "threads": torch.get_num_threads(),
            "device": self.accelerator.device.type,
            "processes": self.accelerator.num_processes,
            "torch": str(torch.__version__),
        }
        c = self.config
        return Checkpoint(
            self.out / CHECKPOINT, self.identity, circumstances, _DEFAULTS, c.checkpoint_steps, c.checkpoint_seconds
        )

    @contextmanager
    def _written_to_tensorboard(self) -> Iterator[Callable[[dict[str, float]], None] | None]:
        wanted = self.out is not None and self.config.tensorboard and self.accelerator.is_main_process
        writer = tensorboard(self.out) if wanted and self.out is not None else None
        if writer is None:
            yield None
            return
        try:
            yield lambda row: to_tensorboard(writer, row)
        finally:
            writer.close()

    def _results(self, curve: list[dict[str, float]], mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
        data = self.data
        return {
            "kind": "train",
            "augwise": __version__,
            "config": self.settings,
            "steps": self.identity["steps"],
            "data": {
                "name": data.train.name,
                "train": len(data.train),
                **({} if data.redraw is None else {"redrawn": data.redraw.count}),
                **({} if self.labelled is None else {"labelled": len(self.labelled)}),
                **({} if data.wrong is None else {"wrong_labels": data.wrong}),
                **self._few_images(),
                "test": len(data.test),
                "tested_on": data.tested_on,
                "classes": list(data.train.class_names),
                "flip": data.train.flip if self.config.flip is None else self.config.flip,
                "mean": list(mean),
                "std": list(std),
                "left_out": [list(file) for file in left_out(data.train, data.test)],
            },
            "environment": environment(self.accelerator.device),
            "precision": self.accelerator.mixed_precision,
            "processes": self.accelerator.num_processes,
            "test": summary(curve),
            "curve": curve,
            "seconds": sum(row["seconds"] for row in curve),
            "identity": self.identity,
        }

    def _few_images(self) -> dict[str, Any]:
        order = self._order()
        return {} if order is None else {"identities_with_few_images": order.few}

    def _write(self, results: dict[str, Any], model: nn.Module, checkpoint: Checkpoint | None) -> None:
        if self.out is not None and checkpoint is not None and self.accelerator.is_main_process:
            save_weights(model, self.out / WEIGHTS)
            if isinstance(model, models.CellNetwork):
                model.genotype.save(self.out / GENOTYPE)
            if self.data.true_labels is not None:
                save_labels(self.out / LABELS, np.asarray(self.data.train.labels), self.data.true_labels)
            if self.labelled is not None:
                labelled_file(self.data.train, self.labelled, self.config).save(self.out / LABELLED)
            write_results(results, self.out)
            checkpoint.remove()
        self.accelerator.wait_for_everyone()


def _check_live(live: Sequence[Any], transform: Sequence[Any]) -> None:
    """`UserError` where maps are to come from another model than the one in training, or where it cannot be asked."""
    for step in live:
        if step.model is not None:
            raise UserError(
                f"{type(step).__name__} has a model of its own, but asks the one that is trained here: leave its model "
                "out, or compute the maps of another model once, with aw.estimate"
            )
    misplaced = next((step for step in transform if gives_importance(step)), None)
    if misplaced is not None:
        raise UserError(
            f"{type(misplaced).__name__} asks the model in training, which transform, run where images are read, does "
            "not have: give it and what it guards among steps"
        )


def _describe(step: Any) -> str:
    """What a step is, without addresses in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", f"{step!r}")
