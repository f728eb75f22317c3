"""The single runs of a comparison: one process each at a time, one thread each on a CPU, finished ones never again."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..catalogue import find, methods
from ..training.config import TrainConfig
from .compare_config import LIVE
from .compare_plan import Run
from .training_data import shaped, training_images

if TYPE_CHECKING:
    from torch import nn

    from ..data.sources import Source
    from ..importance.attached import AttachedMaps

_SUMMARY = "summary.json"


@dataclass(frozen=True)
class Job:
    """One run: the comparison's training settings (which say what the data are), the run's own, and its store.

    doubt: of a smoothing arm the share of every label that is spread evenly.
    """

    data: TrainConfig
    settings: TrainConfig
    run: Run
    store: Path | None
    doubt: float | None = None

    @property
    def folder(self) -> Path:
        """Where the run keeps its results."""
        assert self.settings.out is not None
        return self.settings.out

    @property
    def key(self) -> str:
        """The run's name; it changes with everything that could change its result."""
        return self.folder.name

    def finished(self, known: dict[str, dict[str, Any]]) -> dict[str, Any] | None:
        """What the run recorded, if it is complete: in its own folder, or in what an earlier results.json says."""
        try:
            return json.loads((self.folder / _SUMMARY).read_text())
        except (OSError, ValueError):  # not there, or damaged: then it is run again
            return known.get(self.key)


class Sources(NamedTuple):
    """Training, validation (None without ``val_share``) and test images of a comparison."""

    train: Source
    validation: Source | None
    test: Source


def comparison_sources(settings: TrainConfig) -> Sources:
    """The data of a comparison. Validation images are cut from the whole training split, before ``limit``."""
    from ..data.sources import open_source

    s = settings
    train, validation = training_images(s)
    test = open_source(s.data, s.eval_split, limit=s.eval_limit, seed=s.data_seed, **s.opening)
    return Sources(train, validation, test)


def build(run: Run) -> nn.Module | None:
    """The augmentation or mixer of a run; None for the baseline."""
    if run.method is None:
        return None
    entry, options = find(run.method, methods()), dict(run.options)
    return entry.load()(**options)


def steps_of(run: Run, doubt: float | None = None) -> list[nn.Module]:
    """All steps of a run in their order: live maps, the method, and what its labels learn.

    doubt: of a smoothing arm, see `Job`.
    """
    import augwise as aw

    method = build(run)
    steps = [] if method is None else [method]
    if run.estimator == LIVE:
        steps.insert(0, aw.LiveSaliency(control=run.arm == "control"))
    if run.soften is not None:
        if run.arm != "smoothing":
            steps.append(aw.SoftenLabels(*run.soften))
        elif doubt is not None:
            steps.append(aw.SmoothLabels(doubt))
        else:
            raise ValueError("a smoothing arm needs the doubt that it gives to every label")
    return steps


def maps_of(run: Run, store: Path, source: Source) -> AttachedMaps:
    """The maps that a run is shown: the store's, or superpixels of them, of each image itself or of another."""
    from ..importance.store import ImportanceStore

    maps = shaped(ImportanceStore(store), run.shape, source)
    return maps.deranged(run.seed) if run.arm == "control" else maps


def run_all(
    jobs: list[Job],
    results: dict[Run, dict[str, Any]],
    processes: int | None = None,
    *,
    known: dict[str, dict[str, Any]] | None = None,
    quiet: bool = False,
    tick: Callable[[], Any] = lambda: None,
) -> None:
    """Fill ``results`` run by run, those already finished first; ``tick`` is called twice a minute meanwhile.

    known: outcomes by the run's key that an earlier results.json holds.
    An interruption ends the processes; unfinished runs keep their own checkpoints and go on next time.
    """
    from tqdm import tqdm

    waiting = []
    for job in jobs:
        done = job.finished(known or {})
        if done is None:
            waiting.append(job)
        else:
            results[job.run] = done
    if not waiting:
        return
    count, threads = _workers(jobs[0].settings, processes, len(waiting))
    bar = tqdm(total=len(jobs), initial=len(results), desc="runs", unit="run", disable=quiet, smoothing=0.05)
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=start_worker, initargs=(threads,))
    ticked = time.monotonic()
    try:
        with _deaf_to_interrupts():
            left: dict[Future[dict[str, Any]], Job] = {pool.submit(execute, job): job for job in waiting}
        while left:
            for future in wait(left, timeout=1, return_when=FIRST_COMPLETED).done:
                results[left.pop(future).run] = future.result()
                bar.update()
            if time.monotonic() - ticked > 30:
                tick()
                ticked = time.monotonic()
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        bar.close()


def _workers(settings: TrainConfig, processes: int | None, runs: int) -> tuple[int, int]:
    """How many runs at once, and threads for each: single threads side by side beat several threads on one run."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    on_gpu = settings.device != "cpu" and torch.cuda.is_available()
    count = min(processes or (1 if on_gpu else cores), runs)
    return count, settings.threads or max(1, cores // count)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C, not even while they import torch: it is the parent's, which ends
    them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def start_worker(threads: int) -> None:
    """Of a process that runs: deaf to Ctrl-C, which is the parent's, gone when the parent is, and so many threads."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # also where no main thread could arrange it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """A parent that was killed could not end its processes, and whoever goes on there must be alone in the folder.

    Every checkpoint is written whole, so there is nothing to tidy up.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


_sources = lru_cache(maxsize=1)(comparison_sources)


def execute(job: Job) -> dict[str, Any]:
    """One run, in a process of its own: train, measure, write the summary last."""
    from ..training.results import WEIGHTS, write_json
    from ..training.train import train

    train_source, validation, test = _sources(job.data)
    result = train(
        job.settings,
        source=train_source,
        test=test,
        maps=None if job.store is None else maps_of(job.run, job.store, train_source),
        steps=steps_of(job.run, job.doubt),
        also={} if validation is None else {"validation": validation},
    )
    summary = {
        "last_accuracy": result["test"]["last_accuracy"],
        "median_last_ten": result["test"]["median_last_ten"],
        "validation_accuracy": result.get("also", {}).get("validation"),
        "train_loss": result["curve"][-1]["train_loss"],
        "seconds": result["seconds"],
        "per_class": [row["accuracy"] for row in result.get("per_class", [])],
        "loss_curve": [row["train_loss"] for row in result["curve"]],
        "curve": [row["test_accuracy"] for row in result["curve"] if row.get("test_accuracy") is not None],
    }
    if job.doubt is not None:
        summary["doubt"] = job.doubt
    (job.folder / WEIGHTS).unlink(missing_ok=True)  # hundreds of runs: what is needed of each stands in its summary
    write_json(job.folder / _SUMMARY, summary)
    return summary
