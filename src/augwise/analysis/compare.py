"""Plain, guarded and control side by side: maps once, then every distinct run, then the table and the page.

Everything lands in one folder and is resumable: finished runs are kept under a name that depends on all that could
change their result, so a comparison can be stopped, continued and extended (more seeds, strengths, estimators).
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..catalogue import estimators, find
from ..errors import UserError
from .compare_plan import Arm, Cell, CompareConfig, Run, cells, plan, run_of
from .compare_pooled import class_changes, listed, overall
from .compare_runs import Job, build, comparison_sources, run_all
from .compare_table import as_text, baseline, best_strengths, table

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.sources import Source
    from ..importance.attached import AttachedMaps
    from ..importance.estimator import Estimator
    from ..importance.store import ImportanceStore

# Settings of a run that do not change its result, or that are the run's own.
_ELSEWHERE = ("out", "seed", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds", "device", "num_workers")
_ELSEWHERE += ("broken",)  # shows in the data
_LOOKED_AT = 512  # images on which the share of area and importance touched is measured
_PIXELS = 8_000_000  # and at most so many pixels of them: 159 images of 224 px
_CANDIDATES, _SHOWN = 64, 6  # images that the gallery is chosen from, and that it shows


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
    out = _folder(config)
    data = comparison_sources(config.train)
    _rehearse(config, data.train)
    known = _known(out)
    base = base_model(config, data.train, data.test)
    stores = {name: _maps(config, name, out, base, data.train) for name in config.estimators}
    touched = _touched(config, stores, data.train)
    jobs = _jobs(config, out, stores)
    keys = {job.run: job.key for job in jobs}
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
            tick=lambda: _write(out, config, report, results, touched, keys),
        )
    finally:
        report = _write(out, config, report, results, touched, keys)
        from ..report.build import report as write_page
        from ..report.gallery import group, write_gallery

        galleries = _galleries(config, stores, data.train)
        write_gallery(out, [group(heading, pictures) for heading, pictures in galleries.items()])
        write_page(out)
    if not config.train.quiet:
        print((out / "table.txt").read_text())
        print(f"{out / 'results.json'}  {out / 'report.html'}")
        print(describe_left_out(report["data"]["left_out"]), end="")
    return report


def _folder(config: CompareConfig) -> Path:
    from ..files import require_writable

    if config.train.out is None:
        raise UserError("a comparison needs a folder for its runs: give --out")
    require_writable(config.train.out)
    return config.train.out


def base_model(config: CompareConfig, train_source: Source, test: Source) -> dict[str, Any]:
    """Train (or find) the classifier that a comparison's maps look into, in ``OUT/base``.

    It sees the same images with crop and flip alone. Returns its results.json.
    """
    from ..training.train import train

    settings = _run_settings(config, _folder(config) / "base")
    if config.base_epochs is not None:
        settings = replace(settings, epochs=config.base_epochs)
    # A seed of its own: no arm shares its initial weights with the network behind the maps.
    return train(replace(settings, seed=1_000, quiet=config.train.quiet), source=train_source, test=test)


def _estimator(config: CompareConfig, name: str) -> Estimator:
    make: Any = find(name, estimators()).load()
    return make(epsilon=config.epsilon, steps=config.attack_steps) if name == "cdiea" else make()


def _rehearse(config: CompareConfig, source: Source) -> None:
    """Every estimator and every arm once, on two grey images of the data's size: what does not fit says so now."""
    import torch

    from .touched import touched

    height, width = _shape(config, source)
    for name in config.estimators:
        _estimator(config, name).check(height, width)
    for cell in cells(config):
        for arm in config.arms:
            step = build(run_of(config, cell, arm, 0))
            assert step is not None
            touched(step, torch.ones(2, height, width))


def _shape(config: CompareConfig, source: Source) -> tuple[int, int]:
    """Height and width of what the method's steps see."""
    size = config.train.size
    if config.train.crop == "resized" and size is not None:
        return size, size
    return source[0][0].shape[-2], source[0][0].shape[-1]


def _known(out: Path) -> dict[str, dict[str, Any]]:
    """Outcomes by key of the runs that an earlier ``results.json`` in this folder lists.

    So a comparison goes on from its results alone, where the folders of its runs were not kept.
    """
    try:
        runs = json.loads((out / "results.json").read_text())["runs"]
        return {run["key"]: {k: v for k, v in run.items() if k not in ("key", "run")} for run in runs if "key" in run}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _run_settings(config: CompareConfig, folder: Path) -> Any:
    """Training settings of a single run; the data come as objects."""
    return replace(config.train, out=folder, val_share=0.0, limit=None, eval_limit=None, quiet=True, tensorboard=False)


def _maps(config: CompareConfig, name: str, out: Path, base: dict[str, Any], source: Source) -> ImportanceStore:
    """The store of one estimator, computed, resumed or found complete."""
    from ..importance.estimate import estimate
    from ..training.devices import device_name
    from ..training.trained import trained

    method = _estimator(config, name)
    model = trained(out / "base", base["data"]["classes"]).model if method.needs_model else None
    where, progress = device_name(config.train.device), not config.train.quiet
    # Of images of any size whole ones are looked at, so that a map goes through whatever crop its image does.
    size = config.train.size if config.train.crop == "resized" else None
    store = estimate(model, source, out / "maps" / name, method, device=where, progress=progress, size=size)
    if not config.train.quiet:
        from .estimate_maps import describe

        print(f"maps: {describe(store.summary())}")
    return store


def _about(store: ImportanceStore) -> dict[str, Any]:
    return store.summary() | {"method": store.meta["arguments"]}


def _jobs(config: CompareConfig, out: Path, stores: dict[str, ImportanceStore]) -> list[Job]:
    defaults = asdict(type(config.train)())
    settings = {k: v for k, v in asdict(config.train).items() if k not in _ELSEWHERE and v != defaults[k]}
    identity = {
        name: json.dumps([store.meta[k] for k in ("method", "arguments", "model", "seed")], default=str)
        for name, store in stores.items()
    }
    jobs = []
    for run in plan(config):
        folder = out / "runs" / run.key(settings, identity)
        store = out / "maps" / run.estimator if run.estimator else None
        jobs.append(Job(config.train, replace(_run_settings(config, folder), seed=run.seed), run, store))
    return jobs


def _touched(
    config: CompareConfig, stores: dict[str, ImportanceStore], source: Source
) -> dict[tuple[Cell, Arm], dict[str, float | None]]:
    """What every arm of every cell overwrites, measured on the same images, of all classes, with the same draws."""
    from ..data.sources import limited
    from .touched import touched

    height, width = _shape(config, source)
    some = limited(source, min(_LOOKED_AT, max(1, _PIXELS // (height * width))), 0)
    found: dict[tuple[Cell, Arm], dict[str, float | None]] = {}
    for cell in cells(config):
        own, foreign = _guides(stores.get(cell.estimator), some, height, width)
        for arm in config.arms:
            step = build(run_of(config, cell, arm, 0))
            assert step is not None
            found[cell, arm] = touched(step, own, foreign if arm == "control" else own).means()
            if not cell.estimator:
                found[cell, arm]["importance_touched"] = None
    return found


def _guides(store: ImportanceStore | None, some: Source, height: int, width: int) -> tuple[Tensor, Tensor]:
    """(N, height, width) maps of the images, their own and the control's; flat ones without a store."""
    import torch

    from ..data.resident import fit

    if store is None:
        return torch.ones(len(some), height, width), torch.ones(len(some), height, width)
    maps, rows = store.attach(some), range(len(some))
    return fit(maps.read(rows), height, width), fit(maps.deranged(0).read(rows), height, width)


def _galleries(config: CompareConfig, stores: dict[str, ImportanceStore], source: Source) -> dict[str, list[Any]]:
    """Some images through every arm, at each method's greatest strength; which ones, `telling` says."""
    from ..data.sources import limited
    from .gallery import examples, telling

    some = limited(source, _CANDIDATES, 0)
    names = [some.class_names[label] for label in some.labels]
    galleries = {}
    for cell in cells(config):
        last = cell.strength == max(config.strengths) and cell.window == config.windows[-1]
        if not (last and cell.estimator):
            continue
        maps = stores[cell.estimator].attach(some)
        images, own = _seen(config, some, maps)
        _, foreign = _seen(config, some, maps.deranged(0))
        steps = {arm: build(run_of(config, cell, arm, 0)) for arm in config.arms}
        arms = {arm: step for arm, step in steps.items() if step is not None}
        title = f"{cell.method} {cell.strength:g}, {cell.window} windows, {cell.estimator} maps"
        galleries[title] = telling(examples(images, own, foreign, names, arms), _SHOWN)
    return galleries


def _seen(config: CompareConfig, source: Source, maps: AttachedMaps) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and maps (N, H, W) as images are measured: of photographs the centre crop."""
    from torch import Tensor

    from ..data import WithImportance, collate
    from ..training.views import seen

    data = WithImportance(source, maps)
    batch = collate([seen(data.read(i), config.train) for i in range(len(data))])
    assert batch.importance is not None
    return batch.images.as_subclass(Tensor), batch.importance.as_subclass(Tensor)


def _write(
    out: Path,
    config: CompareConfig,
    report: dict[str, Any],
    results: dict[Run, dict[str, Any]],
    touched: dict[tuple[Cell, Arm], dict[str, float | None]],
    keys: dict[Run, str],
) -> dict[str, Any]:
    """Table and results as far as the runs have come."""
    from ..files import write_atomically
    from ..training.results import write_json

    rows, base = table(config, results, touched), baseline(config, results)
    report = report | {
        "done": len(results),
        "complete": len(results) == report["planned"],
        "baseline": base,
        "table": rows,
        "median_last_ten": {
            "baseline": baseline(config, results, "median_last_ten"),
            "table": table(config, results, touched, "median_last_ten"),
        },
        "overall": overall(config, results),
        "best": best_strengths(config, results),
        "class_changes": class_changes(config, results, report["data"]["classes"]),
        "curves": _curves(config, results, "curve"),
        "loss_curves": _curves(config, results, "loss_curve"),
        "runs": listed(results, keys),
        "seconds": sum(outcome["seconds"] for outcome in results.values()),
    }
    write_json(out / "results.json", report)
    text = as_text(rows, base) + "\n"
    write_atomically(out / "table.txt", lambda file: file.write(text.encode()))
    return report


def _curves(config: CompareConfig, results: dict[Run, dict[str, Any]], name: str) -> dict[str, dict[str, list[float]]]:
    """Mean of a curve that runs recorded (of test accuracy, of training loss) over the finished runs of each arm, for
    every method at its greatest strength."""
    found: dict[str, dict[str, list[float]]] = {}
    for cell in cells(config):
        if cell.strength != max(config.strengths):
            continue
        curves = {}
        for arm in config.arms:
            runs = [run_of(config, cell, arm, seed) for seed in range(config.seeds)]
            each = [results[run].get(name) or [] for run in runs if run in results]
            if each and len({len(curve) for curve in each}) == 1 and len(each[0]) > 1:
                curves[arm] = [sum(values) / len(each) for values in zip(*each, strict=True)]
        if curves:
            found[f"{cell.method} {cell.strength:g}, {cell.window}, {cell.estimator}"] = curves
    return found
