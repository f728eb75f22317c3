"""Plain, guarded and control side by side: maps once, then every distinct run, then the table and the page.

Everything lands in one folder and is resumable: finished runs are kept under a name that depends on all that could
change their result, so a comparison can be stopped, continued and extended (more seeds, strengths, estimators).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..catalogue import find, methods
from . import compare_words as words
from .compare_config import LIVE
from .compare_looks import all_touched, mean_doubts, pictures, rehearse
from .compare_plan import Cell, CompareConfig, Run, arms_of, cells, plan, run_of, strongest
from .compare_pooled import by_rule, class_changes, listed, overall
from .compare_runs import Job, comparison_sources, run_all
from .compare_share import base_model, counting, identity_of, known_outcomes, maps, out_folder, run_settings
from .compare_table import as_text, baseline, best_strengths, table
from .training_data import shaped

if TYPE_CHECKING:
    from ..importance.store import ImportanceStore
    from .compare_looks import Touches


@dataclass(frozen=True)
class _Comparison:
    """What is there before the first run: settings, folder, and what was measured on the images."""

    config: CompareConfig
    out: Path
    touched: Touches
    doubts: dict[Cell, float]
    keys: dict[Run, str]


def compare(config: CompareConfig, *, title: str = "Comparison", command: str = "") -> dict[str, Any]:
    """Run a comparison (or what is left of it) and write ``results.json``, ``table.txt`` and ``report.html``.

    Data: a validation split is cut from the training data first (``train.val_share``), then ``train.limit`` images
    are taken; the test split is measured and chooses nothing. Maps come from a base model trained on the same images
    without the method. Everything lands in ``train.out``. Returns the content of ``results.json``.

    title and command head the page.
    """
    from ..data.image_files import describe_left_out
    from ..data.sources import left_out
    from ..training.views import resolved

    config.check()
    config = replace(config, train=resolved(config.train))
    out = out_folder(config.train, "a comparison")
    data = comparison_sources(config.train)
    rehearse(config, data.train)
    base = base_model(config, data.train, data.test)
    stores = {name: maps(config, name, base, data.train) for name in config.every_estimator if name != LIVE}
    for cell in cells(config):
        if cell.estimator in stores:
            shaped(stores[cell.estimator], cell.shape, data.train)  # what is found once for all runs
    doubts = mean_doubts(config, stores, data.train)
    jobs = _jobs(config, out, stores, doubts)
    keys = {job.run: job.key for job in jobs}
    own = _Comparison(config, out, all_touched(config, stores, data.train), doubts, keys)
    known = known_outcomes(config, list(keys), _identities(stores), base["data"])
    results: dict[Run, dict[str, Any]] = {}
    report = {
        "kind": "compare",
        "augwise": __version__,
        "title": title,
        "command": command,
        "config": json.loads(json.dumps(asdict(config), default=str)),
        "data": {k: base["data"][k] for k in ("name", "train", "test", "classes", "mean", "std")}
        | {"left_out": [list(file) for file in left_out(data.train, data.test)]},
        "environment": base["environment"],
        "needs_map": [name for name in config.methods if find(name, methods()).needs_map],
        "base": {
            "model": config.train.model,
            "epochs": base["config"]["epochs"],
            "accuracy": base["test"]["last_accuracy"],
        },
        "estimators": {name: _about(store) for name, store in stores.items()},
        "planned": len(jobs),
    }
    try:
        run_all(
            jobs,
            results,
            config.jobs,
            known=known,
            quiet=config.train.quiet,
            tick=lambda: _write(own, report, results),
        )
    finally:
        report = _write(own, report, results)
        from ..report.build import report as write_page
        from ..report.gallery import group, within, write_gallery

        galleries = pictures(config, stores, data.train)
        write_gallery(out, within([group(heading, shown) for heading, shown in galleries.items()]))
        write_page(out)
    print((out / "table.txt").read_text())
    print(f"{out / 'results.json'}  {out / 'report.html'}")
    print(describe_left_out(report["data"]["left_out"]), end="")
    return report


def _about(store: ImportanceStore) -> dict[str, Any]:
    return store.summary() | {"method": store.meta["arguments"]}


def _identities(stores: dict[str, ImportanceStore]) -> dict[str, str]:
    return {name: identity_of(store) for name, store in stores.items()} | {LIVE: "the model in training"}


def _jobs(
    config: CompareConfig, out: Path, stores: dict[str, ImportanceStore], doubts: dict[Cell, float] | None = None
) -> list[Job]:
    settings = counting(asdict(config.train), asdict(type(config.train)()))
    identities = _identities(stores)
    smoothed = {
        run_of(config, cell, "smoothing", seed): d for cell, d in (doubts or {}).items() for seed in range(config.seeds)
    }
    jobs = []
    for run in plan(config):
        folder = out / "runs" / run.key(settings, identities)
        store = out / "maps" / run.estimator if run.estimator and run.estimator != LIVE else None
        own = replace(run_settings(config.train, folder), seed=run.seed)
        jobs.append(Job(config.train, own, run, store, smoothed.get(run)))
    return jobs


def _write(own: _Comparison, report: dict[str, Any], results: dict[Run, dict[str, Any]]) -> dict[str, Any]:
    """Table and results as far as the runs have come."""
    from ..files import write_atomically
    from ..training.results import write_json

    config = own.config
    rows, base = table(config, results, own.touched, doubts=own.doubts), baseline(config, results)
    report = report | {
        "done": len(results),
        "complete": len(results) == report["planned"],
        "baseline": base,
        "table": rows,
        "median_last_ten": {
            "baseline": baseline(config, results, "median_last_ten"),
            "table": table(config, results, own.touched, "median_last_ten", own.doubts),
        },
        "overall": overall(config, results),
        "overall_by_rule": by_rule(config, results),
        "best": best_strengths(config, results),
        "class_changes": class_changes(config, results, report["data"]["classes"]),
        "curves": _curves(config, results, "curve"),
        "loss_curves": _curves(config, results, "loss_curve"),
        "runs": listed(results, own.keys),
        "seconds": sum(outcome["seconds"] for outcome in results.values()),
    }
    write_json(own.out / "results.json", report)
    without, notes = words.baseline(asdict(config.train)), words.notes(rows, report["needs_map"])
    text = as_text(rows, base, without, notes) + "\n"
    write_atomically(own.out / "table.txt", lambda file: file.write(text.encode()))
    return report


def _curves(config: CompareConfig, results: dict[Run, dict[str, Any]], name: str) -> dict[str, dict[str, list[float]]]:
    """Mean of a curve that runs recorded (of test accuracy, of training loss) over the finished runs of each arm, for
    the strongest cells."""
    found: dict[str, dict[str, list[float]]] = {}
    every = [vars(cell) for cell in strongest(config)]
    for cell in strongest(config):
        curves = {}
        for arm in arms_of(config, cell):
            runs = [run_of(config, cell, arm, seed) for seed in range(config.seeds)]
            each = [results[run].get(name) or [] for run in runs if run in results]
            if each and len({len(curve) for curve in each}) == 1 and len(each[0]) > 1:
                curves[arm] = [sum(values) / len(each) for values in zip(*each, strict=True)]
        if curves:
            where = words.where(vars(cell), words.varying(every))
            found[", ".join(filter(None, [words.method(vars(cell)), where]))] = curves
    return found
