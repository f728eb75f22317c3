"""The verb ``reproduce``: a table of a paper, run at a scale, beside the numbers that the paper prints.

    OUT/runs/JOB/sSEED    one run each: its own checkpoints, and at its end summary.json
    OUT/prepared          base models and maps, shared by runs
    OUT/PAPER/TABLE/SCALE results.json, table.txt, report.html, times.json, and pictures where there are some

Runs are claimed, so that any number of processes and machines may work in one folder; a name that changes with all that
decides a result keeps other settings apart. results.json depends on the results alone: stopped or killed, gone on with
or not, it ends the same. How long everything took stands in times.json.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from .. import __version__
from ..errors import UserError
from ..files import require_writable
from .claims import claimed, is_claimed
from .contents import find_recipe, listing
from .recipe import SCALES, Job, Place, Recipe, Where, key_of

_SUMMARY, _CLAIM, _RESULTS, _TIMES = "summary.json", "claim.json", "results.json", "times.json"


@dataclass(frozen=True)
class ReproduceConfig:
    """Run a table of a paper, or what is left of it, and lay it beside the paper's."""

    recipe: str = ""
    """Name of a table, such as ipf-rda/table-1; the first word after reproduce needs no flag."""
    list: bool = False
    """Show every table that there is, with its sizes and times, and stop."""
    scale: Literal["full", "short", "tiny"] = "tiny"
    """full: as in the paper; short: fewer epochs, seeds and columns; tiny: small stand-ins, in minutes. What exactly
    stands in the listing and on the page."""
    rows: tuple[str, ...] = ()
    """Only these rows of what the scale runs."""
    columns: tuple[str, ...] = ()
    """Only these columns of what the scale runs."""
    seeds: int | None = None
    """Runs of each place, seeds 0 to n - 1; left out: the scale's own number."""
    data: tuple[tuple[str, str], ...] = ()
    """Where data are, in pairs: the name that the listing calls them by and a data source, such as: cifar10
    npz:cifar10.npz."""
    out: Path = Path("reproduced")
    """Folder of all runs; several recipes and several machines may share it."""
    jobs: int | None = None
    """Runs at the same time on this machine, on a CPU one thread each; left out: one per core, and one on a GPU."""
    status: bool = False
    """Say what is done, running and left, and stop."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: bool = False
    """No progress bar."""


class Unit(NamedTuple):
    """One run: a job and a seed; several places may share it."""

    job: Job
    seed: int
    folder: Path

    @property
    def summary(self) -> dict[str, Any] | None:
        """What it came to, if it is finished."""
        try:
            return json.loads((self.folder / _SUMMARY).read_text())
        except (OSError, ValueError):  # not there, or damaged: then it is run again
            return None

    @property
    def state(self) -> str:
        """done, running or left."""
        if (self.folder / _SUMMARY).exists():
            return "done"
        return "running" if is_claimed(self.folder / _CLAIM) else "left"


@dataclass(frozen=True)
class Plan:
    """What a call is to run. places: every place of the scale; asked: those of this call; seeds: of those."""

    recipe: Recipe
    scale: str
    places: dict[Place, Job]
    asked: dict[Place, Job]
    seeds: int
    out: Path

    @property
    def folder(self) -> Path:
        """Of the results."""
        return self.out / self.recipe.name / self.scale

    def unit(self, job: Job, seed: int) -> Unit:
        """A run of a job."""
        return Unit(job, seed, self.out / "runs" / key_of(job) / f"s{seed}")

    def units(self) -> list[Unit]:
        """What is asked for, each once, seeds outermost: stopped early, all places have fewer seeds."""
        found: dict[Path, Unit] = {}
        for seed in range(self.seeds):
            for job in self.asked.values():
                unit = self.unit(job, seed)
                found.setdefault(unit.folder, unit)
        return list(found.values())


def reproduce(config: ReproduceConfig, command: str = "") -> dict[str, Any]:
    """Run a recipe (or what is left of it) and return the content of ``results.json``; see `ReproduceConfig`.

    Raises `UserError` for a recipe, scale, row or column that does not exist, and for data that are not there.
    """
    if config.list:
        print(listing())
        return {}
    plan = plan_of(config)
    if config.status:
        print(states(plan))
        return {}
    require_writable(plan.folder)
    _refuse_other(plan)
    where = _where(config)
    for job in {key_of(job): job for job in plan.asked.values()}.values():
        job.check(where)
    try:
        _run_all(config, plan)
    finally:
        results = write(plan, command)
    print((plan.folder / "table.txt").read_text())
    print(f"{plan.folder / _RESULTS}  {plan.folder / 'report.html'}")
    return results


def plan_of(config: ReproduceConfig) -> Plan:
    """What the configuration asks for."""
    if not config.recipe:
        raise UserError("name a table, such as ipf-rda/table-1; augwise reproduce --list shows what there is")
    recipe = find_recipe(config.recipe)
    if config.scale not in SCALES:
        raise UserError(f"--scale {config.scale}: use one of {', '.join(SCALES)}")
    scale = recipe.scale(config.scale)
    if config.seeds is not None and config.seeds < 1:
        raise UserError(f"--seeds {config.seeds}: give at least 1")
    if config.jobs is not None and config.jobs < 1:
        raise UserError(f"--jobs {config.jobs}: give 1 or more, or leave it out for one per core")
    asked = recipe.places(scale, config.rows, config.columns)
    if not asked:
        raise UserError(f"nothing of {recipe.name} is run there: its scale {config.scale} has {scale.about}")
    return Plan(recipe, config.scale, recipe.places(scale), asked, config.seeds or scale.seeds, config.out)


def states(plan: Plan) -> str:
    """How far the plan is, place by place."""
    units = plan.units()
    counts = {state: sum(unit.state == state for unit in units) for state in ("done", "running", "left")}
    lines = [f"{plan.recipe.name}, {plan.scale}: {', '.join(f'{n} {state}' for state, n in counts.items())}"]
    for place, job in plan.asked.items():
        own = [plan.unit(job, seed).state for seed in range(plan.seeds)]
        running = f", {own.count('running')} running" if "running" in own else ""
        told = f"{own.count('done')} of {plan.seeds} seeds done{running}"
        lines.append(f"  {place.row}, {place.column} ({place.table}): {told}")
    return "\n".join(lines)


def _where(config: ReproduceConfig) -> Where:
    return Where(config.out, dict(config.data), config.device)


def _refuse_other(plan: Plan) -> None:
    try:
        there = json.loads((plan.folder / _RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    told = (there.get("kind"), there.get("recipe"), there.get("scale")) if isinstance(there, dict) else None
    if told != ("reproduce", plan.recipe.name, plan.scale):
        raise UserError(
            f"{plan.folder / _RESULTS} holds other results, which would be lost: give another --out, or move it away"
        )


def _run_all(config: ReproduceConfig, plan: Plan) -> None:
    """Run what is left with as many processes as asked for, and report meanwhile."""
    from tqdm import tqdm

    units = plan.units()
    left = [unit for unit in units if unit.state != "done"]
    if not left:
        return
    processes, threads = _processes(config, len(left))
    bar = tqdm(total=len(units), initial=len(units) - len(left), desc="runs", unit="run", disable=config.quiet)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_work, args=(config, threads), daemon=True) for _ in range(processes)]
    try:
        for worker in workers:
            worker.start()
        told = time.monotonic()
        while any(worker.is_alive() for worker in workers):
            time.sleep(0.5)
            left = [unit for unit in left if unit.state != "done"]
            bar.update(len(units) - len(left) - bar.n)
            _end_on_failure(workers)
            if time.monotonic() - told > 30:
                write(plan)
                bar.refresh()
                told = time.monotonic()
        _end_on_failure(workers)
    finally:
        for worker in workers:
            if worker.is_alive():
                worker.terminate()
            worker.join()
        bar.update(sum(unit.state == "done" for unit in units) - bar.n)
        bar.close()


def _end_on_failure(workers: Sequence[Any]) -> None:
    failed = next((w.exitcode for w in workers if w.exitcode not in (None, 0)), None)
    if failed is not None:
        raise UserError(f"a run ended with status {failed}, see above; what is finished is kept, the same call goes on")


def _processes(config: ReproduceConfig, runs: int) -> tuple[int, int | None]:
    """How many at once and threads for each: single threads side by side beat several threads on one run."""
    import os

    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if config.device != "cpu" and torch.cuda.is_available():
        return min(config.jobs or 1, runs), None
    count = min(config.jobs or cores, runs)
    return count, max(1, cores // count)


def _work(config: ReproduceConfig, threads: int | None) -> None:
    """In a process of its own: take what nobody else does until all is done."""
    import sys

    import torch

    from ..analysis.compare_runs import start_worker

    start_worker(threads or torch.get_num_threads())
    plan = plan_of(config)
    where = Where(config.out, dict(config.data), config.device, threads)
    try:
        while left := [unit for unit in plan.units() if unit.state != "done"]:
            if not any(_take(unit, where) for unit in left):
                time.sleep(1.0)  # others are at what is left
    except UserError as error:
        print(f"augwise: {error}", file=sys.stderr)
        sys.exit(2)


def _take(unit: Unit, where: Where) -> bool:
    """Run one unit unless it is done or another's; whether it was run."""
    from ..training.results import write_json

    with claimed(unit.folder / _CLAIM) as ours:
        if not ours or unit.state == "done":
            return False
        outcome = unit.job.run(unit.seed, unit.folder, where)
        write_json(unit.folder / _SUMMARY, {"job": unit.job.identity(), "seed": unit.seed, **outcome._asdict()})
        return True


def write(plan: Plan, command: str = "") -> dict[str, Any]:
    """Results, table and page of what is done by now."""
    from ..files import write_atomically
    from ..report.build import report
    from ..report.gallery import within, write_gallery
    from ..report.reproduce_text import as_text
    from ..training.results import write_json
    from .reproduced import gathered, pictured

    found, times = gathered(plan)
    scale = plan.recipe.scale(plan.scale)
    results = {
        "kind": "reproduce",
        "augwise": __version__,
        "recipe": plan.recipe.name,
        "title": f"{plan.recipe.source}: {plan.recipe.title}",
        "command": command or f"augwise reproduce {plan.recipe.name} --scale {plan.scale}",
        "scale": plan.scale,
        "about": scale.about,
        "hardware": plan.recipe.hardware,
        "claim": plan.recipe.claim,
        "wary": list(plan.recipe.wary),
        "drawn": list(plan.recipe.drawn or ()),
        **found,
    }
    write_json(plan.folder / _RESULTS, results)
    write_json(plan.folder / _TIMES, times)
    write_atomically(plan.folder / "table.txt", lambda file: file.write(as_text(results).encode()))
    if pictures := pictured(plan):
        write_gallery(plan.folder, within(pictures))
    report(plan.folder)
    return results
