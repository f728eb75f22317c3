"""Plain, guarded and control side by side: maps once, then every distinct run, then the table and the page.

Everything lands in one folder and is resumable: finished runs are kept under a name that depends on all that could
change their result, so a comparison can be stopped, continued and extended (more seeds, strengths, estimators).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalogue import estimators, find, methods
from ..errors import UserError
from ..training.config import TrainConfig
from .compare_plan import CompareConfig, Run, plan, run_folder
from .compare_table import as_text, baseline, best_strengths, table

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..importance.store import ImportanceStore

# Settings of a run that do not change its result, or that the run's name holds anyway.
_ELSEWHERE = ("out", "seed", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds")


def compare(config: CompareConfig, title: str = "Comparison") -> dict[str, Any]:
    """Run a comparison (or what is left of it) and write ``results.json``, ``table.txt`` and ``report.html``.

    Data: a validation split is cut from the training data first if ``train.val_share`` says so, then ``train.limit``
    images are taken; the test split is measured at the last epoch and chooses nothing. Maps come from a base model
    trained on the same images without the method. Returns the content of ``results.json``.
    """
    config.check()
    config.train.check()
    out = _folder(config)
    train, _, test = _sources(_data_settings(config.train))
    base = _base_model(config, out)
    stores = {name: _maps(config, name, out, base, train) for name in config.estimators}
    settings = _settings(config.train)
    identities = {name: _identity(store) for name, store in stores.items()}
    runs = plan(config)
    jobs = [_Job(config.train, run, run_folder(out, run.key(settings, identities)), _store(out, run)) for run in runs]
    results = {}
    state = {
        "kind": "compare",
        "title": title,
        "config": _plain(asdict(config)),
        "data": {"name": train.name, "train": len(train), "test": len(test), "classes": list(train.class_names)},
        "base": base["summary"],
        "estimators": {name: {"method": store.meta["method"], **store.summary()} for name, store in stores.items()},
        "environment": base["environment"],
        "planned": len(jobs),
    }
    try:
        _run_all(jobs, config, results, lambda: _write(out, config, state, results))
    finally:
        report = _write(out, config, state, results)
    _page(out, config, report)
    return report


@dataclass(frozen=True)
class _Job:
    train: TrainConfig
    run: Run
    folder: Path
    store: Path | None

    def finished(self) -> dict[str, Any] | None:
        """What the run recorded, if it is complete."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text()) if path.exists() else None


def _run_all(jobs: list[_Job], config: CompareConfig, results: dict, write: Any) -> None:
    """Fill ``results`` run by run; the table on disk is renewed every half minute."""
    from tqdm import tqdm

    waiting = []
    for job in jobs:
        done = job.finished()
        if done is None:
            waiting.append(job)
        else:
            results[job.run] = done
    workers, threads = _workers(config, len(waiting))
    bar = tqdm(total=len(jobs), initial=len(results), desc="runs", unit="run", disable=config.train.quiet)
    if not waiting:
        bar.close()
        return
    written = time.monotonic()
    # Spawned, not forked: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(threads,))
    try:
        left: dict[Future, _Job] = {pool.submit(_execute, job): job for job in waiting}
        while left:
            for future in wait(left, timeout=1, return_when=FIRST_COMPLETED).done:
                results[left.pop(future).run] = future.result()
                bar.update()
            if time.monotonic() - written > 30:
                write()
                written = time.monotonic()
    except BaseException:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        bar.close()


def _start_worker(threads: int) -> None:
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends the workers
    torch.set_num_threads(threads)


def _execute(job: _Job) -> dict[str, Any]:
    """One run, in a process of its own: train, measure on test and validation, write the summary last."""
    from ..data.resident import Resident
    from ..training.evaluate import accuracy
    from ..training.results import write_json
    from ..training.train import train

    settings = _data_settings(job.train)
    source, validation, test = _sources(settings)
    maps = None
    if job.store is not None:
        maps = _attached(settings, job.store)
        if job.run.arm == "control":
            maps = maps.deranged(job.run.seed)
    step = build(job.run)
    config = replace(job.train, seed=job.run.seed, out=job.folder, quiet=True, tensorboard=False, val_share=0.0)
    result = train(config, source=source, test=test, maps=maps, steps=[step] if step else [])
    summary = {
        "run": asdict(job.run),
        "last_accuracy": result["test"]["last_accuracy"],
        "median_last_ten": result["test"]["median_last_ten"],
        "validation_accuracy": None,
        "seconds": result["seconds"],
        "curve": [[row["train_loss"], row["test_accuracy"]] for row in result["curve"]],
    }
    write_json(job.folder / "summary.json", summary)
    return summary


def build(run: Run) -> Any:
    """The augmentation or mixer of a run; None for the baseline."""
    if run.method is None:
        return None
    return find(run.method, methods()).load()(**dict(run.options))
