"""Search a method's options: try settings, choose on validation images, then measure the choice on the test images.

Everything lands in one folder. results.json is written after every setting; the same command goes on from it and makes
the search that would have been made without the interruption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..catalogue import Entry, find, methods
from ..errors import UserError
from . import tune_words as words
from .compare_config import LIVE
from .compare_runs import Job, Sources, comparison_sources, execute, run_all
from .compare_share import counting, identity_of, out_folder, run_settings
from .statistics import paired, summarise
from .training_data import shaped, whole_split
from .tune_bench import STORED, Bench
from .tune_config import TuneConfig as TuneConfig
from .tune_sampler import optuna, propose
from .tune_space import default_options, default_setting, parameters, settled, template_of, within
from .tune_trial import Trial, best_of, history, trained

if TYPE_CHECKING:
    from .compare_plan import Run

_FRESH = 10_000  # seeds of the last runs begin here, far from those that the search has seen
_REFUSED = 50  # settings refused in a row after which the ranges are to blame
ARMS = ("best", "own", "without")
_DIFFERENCES = (("best", "own"), ("best", "without"), ("own", "without"))


def tune(
    config: TuneConfig, method: str = "advmask", options: Mapping[str, Any] | None = None, *, command: str = ""
) -> dict[str, Any]:
    """Search a method's options (or go on with a search) and write ``results.json``, ``table.txt``, ``report.html``.

        aw.tune(aw.TuneConfig(maps="digits.maps"), "advmask")
        aw.tune(aw.TuneConfig(trials=10), "cutout", {"length": aw.Between(8, 24)})

    Settings are proposed by Optuna (`tune_sampler.propose`), trained on the training images without those that
    ``train.val_share`` sets aside, and chosen by the accuracy on those, at the last epoch, mean over the seeds. Number
    0 is the method's own setting; training without the method is measured beside. At the end the setting that won, the
    method's own and none are trained with ``config.finals`` fresh seeds each and measured on the test images, paired by
    seed: the test images choose nothing.

    method: a name of the catalogue. options: its options, each a value that stays, or a `Between` or a `OneOf` that is
    searched (inside a pair, too); without any of those the ranges that are built in, which AdvMask has. command heads
    the page. Returns the content of ``results.json``.

    Raises `UserError` before anything is trained: without Optuna, validation images, ranges or maps that are needed,
    for a folder that holds another search, and where the method refuses its own setting.
    """
    from ..training.views import resolved

    config.check()
    module = optuna()
    entry = find(method, methods())
    template = template_of(entry, options or {})
    config = replace(config, train=resolved(config.train))
    _check_maps(config, entry, template)
    out = out_folder(config.train, "a search")
    data = comparison_sources(config.train)
    assert data.validation is not None
    bench = Bench(config, entry, out, data.train, data.validation)
    identity = _identity(bench, template)
    found = _found(out, identity)
    own = Trial(0, default_setting(entry, template), default_options(entry, template))
    bench.rehearse(own.options or {})
    _prepare_maps(bench, template)
    report = _begun(bench, template, data, identity, command, module.__version__) | found
    try:
        _search(bench, template, own, report)
        if config.finals:
            _finals(bench, report)
    finally:
        if report["trials"]:
            report = _write(bench, report)
            from ..report.build import report as write_page

            write_page(out)
    if not config.train.quiet:
        print((out / "table.txt").read_text())
        print(f"{out / 'results.json'}  {out / 'report.html'}")
    return report


def _check_maps(config: TuneConfig, entry: Entry, template: Mapping[str, Any]) -> None:
    asked = [name for name in ("quantile", "threshold") if template.get(name) is not None]
    if config.maps is None and (entry.needs_map or asked):
        why = "looks at importance maps" if entry.needs_map else f"with --{asked[0]} looks at importance maps"
        raise UserError(f"{entry.name} {why}: give --maps FOLDER (augwise estimate makes them), or --maps live")
    if config.maps not in (None, LIVE):
        from ..importance.store import ImportanceStore

        ImportanceStore(config.maps)  # says what is wrong with it


def _identity(bench: Bench, template: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides what a search finds, but for how long it goes on."""
    from ..importance.store import ImportanceStore
    from ..training.checkpoint import plain
    from ..training.run_data import source_fingerprint

    c = bench.config
    return plain(
        {
            "method": bench.entry.name,
            "options": {name: str(value) if parameters({name: value}) else value for name, value in template.items()}
            | {name: str(r) for name, r in parameters(template).items()},
            "train": counting(asdict(c.train), asdict(type(c.train)())) | {"seed": c.train.seed},
            "data": source_fingerprint(bench.train),
            "validation": source_fingerprint(bench.validation),
            "maps": c.maps if bench.store is None else identity_of(ImportanceStore(bench.store)),
            "seeds": c.seeds,
            "stop_after": c.stop_after,
            "search_seed": c.search_seed,
        }
    )


def _found(out: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """Trials of an earlier call; `UserError` where they are of another search."""
    from ..training.checkpoint import refuse_other

    file = out / "results.json"
    try:
        report = json.loads(file.read_text())
        there, kept = report["identity"], {name: report[name] for name in ("without", "trials")}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file} holds no search that can go on: give another --out folder") from None
    refuse_other(there, identity, out)
    return kept


def _prepare_maps(bench: Bench, template: Mapping[str, Any]) -> None:
    """What is found once for all runs; `UserError` where the store lacks images."""
    from ..importance.store import ImportanceStore

    if bench.store is None:
        return
    store, t = ImportanceStore(bench.store), bench.config.train
    shape = template.get("shape", "rectangle")
    if "superpixel" in (shape, *getattr(shape, "choices", ())):
        shaped(store, "superpixel", bench.train, whole_split(t), progress=not t.quiet)
    else:
        store.attach(bench.train)


def _begun(
    bench: Bench, template: Mapping[str, Any], data: Sources, identity: dict[str, Any], command: str, version: str
) -> dict[str, Any]:
    """The report of a search before its first trial."""
    from ..data.sources import left_out
    from ..training.checkpoint import plain
    from ..training.devices import accelerator_for
    from ..training.results import environment

    c = bench.config
    device = accelerator_for(c.train.device, c.train.precision).device
    return {
        "kind": "tune",
        "augwise": __version__,
        "command": command,
        "config": plain(asdict(c)),
        "identity": identity,
        "method": {"name": bench.entry.name, "summary": bench.entry.summary},
        "ranges": {name: plain(asdict(r)) for name, r in parameters(template).items()},
        "fixed": plain({n: v for n, v in template.items() if not parameters({n: v})}),
        "data": {
            "name": data.train.name,
            "train": len(data.train),
            "validation": len(bench.validation),
            "test": len(data.test),
            "classes": list(data.train.class_names),
            "left_out": [list(file) for file in left_out(data.train, data.test)],
        },
        "environment": environment(device) | {"optuna": version},
        "without": None,
        "trials": [],
        "best": None,
        "final": None,
    }


def _search(bench: Bench, template: Mapping[str, Any], own: Trial, report: dict[str, Any]) -> None:
    """Fill the report's trials up to as many as are wanted."""
    from tqdm import tqdm

    from ..training.checkpoint import plain

    c, ranges = bench.config, parameters(template)
    trials = [Trial.of(row) for row in report["trials"]]
    done = len(trained(trials)) + (report["without"] is not None)
    if done > c.trials:
        return
    with tqdm(total=c.trials + 1, initial=done, desc="settings", disable=c.train.quiet, smoothing=0.3) as bar:

        def told(name: str) -> Any:
            def tell(epoch: int, accuracy: float) -> None:
                best = best_of(trials)
                text = f"{name}, epoch {epoch}/{c.train.epochs}: {100 * accuracy:.1f} %"
                bar.set_postfix_str(text + (f"; best {100 * (best.accuracy or 0):.1f} %" if best else ""))

            return tell

        if report["without"] is None:
            without = bench.tried(Trial(-1, {}, None), told=told("without"))
            report["without"] = plain(asdict(without))
            _record(bench, report, without)
            bar.update()
        while len(trained(trials)) < c.trials:
            number = len(trials)
            trial = own
            if number:
                known = [k for k in history(trials, ranges) if within(template, k.setting)]
                setting = propose(ranges, known, number, c.search_seed)
                trial = Trial(number, setting, settled(template, setting))
            trial = bench.tried(trial, trials, told(f"number {number}"))
            trials.append(trial)
            report["trials"].append(plain(asdict(trial)))
            _record(bench, report, trial)
            bar.update(trial.state != "refused")
            _check_refusals(trials)


def _record(bench: Bench, report: dict[str, Any], trial: Trial) -> None:
    """To disk first; then its runs are not needed any more."""
    _write(bench, report)
    bench.clear(trial)


def _check_refusals(trials: list[Trial]) -> None:
    last = trials[-_REFUSED:]
    if len(last) == _REFUSED and all(t.state == "refused" for t in last):
        raise UserError(
            f"the method refused {_REFUSED} settings in a row, the last one because: {last[-1].reason}. Give "
            "ranges that it can take"
        )


def _finals(bench: Bench, report: dict[str, Any]) -> None:
    """The winner, the method's own setting and none with fresh seeds, measured on the test images."""
    c, trials = bench.config, [Trial.of(row) for row in report["trials"]]
    best = best_of(trials)
    assert best is not None
    options = {"best": best.options, "own": trials[0].options, "without": None}
    if best.number == 0:
        del options["best"]
    seeds = range(_FRESH + c.train.seed, _FRESH + c.train.seed + c.finals)
    runs = {(arm, seed): bench.run(given, seed) for seed in seeds for arm, given in options.items()}
    jobs = {run: _job(bench, report, run) for run in runs.values()}
    results = _last_runs(c, list(jobs.values()))
    by_arm = {arm: {seed: results[runs[arm, seed]] for seed in seeds} for arm in options}
    scores = {arm: {seed: r["last_accuracy"] for seed, r in found.items()} for arm, found in by_arm.items()}
    report["final"] = {
        "seeds": list(seeds),
        "number": best.number,
        "arms": {arm: _measured(list(found.values())) for arm, found in by_arm.items()},
        "differences": {f"{a}-{b}": paired(scores[a], scores[b]) for a, b in _DIFFERENCES if {a, b} <= scores.keys()},
        "seconds": sum(r["seconds"] for r in results.values()),
    }


def _last_runs(config: TuneConfig, jobs: list[Job]) -> dict[Run, dict[str, Any]]:
    """What the last runs measured, those that are finished already not again."""
    from tqdm import tqdm

    results: dict[Run, dict[str, Any]] = {}
    if config.jobs != 1:
        run_all(jobs, results, config.jobs, quiet=config.train.quiet)
    else:  # a process of its own would be started for nothing
        for job in tqdm(jobs, desc="runs", unit="run", disable=config.train.quiet):
            results[job.run] = job.finished({}) or execute(job)
    return results


def _measured(outcomes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: {**summarise([o[measure] for o in outcomes]), "values": [o[measure] for o in outcomes]}
        for name, measure in (
            ("test", "last_accuracy"),
            ("median_last_ten", "median_last_ten"),
            ("validation", "validation_accuracy"),
        )
    }


def _job(bench: Bench, report: dict[str, Any], run: Run) -> Job:
    """A last run, under a name that changes with all that could change its result."""
    identity = report["identity"]
    key = run.key({"search": identity}, {STORED: str(identity["maps"]), LIVE: LIVE})
    settings = replace(run_settings(bench.config.train, bench.out / "runs" / key), seed=run.seed)
    return Job(bench.config.train, settings, run, bench.store if run.estimator == STORED else None)


def _write(bench: Bench, report: dict[str, Any]) -> dict[str, Any]:
    """results.json and table.txt as far as the search has come."""
    from ..files import write_atomically
    from ..training.results import write_json

    trials = [Trial.of(row) for row in report["trials"]]
    best = best_of(trials)
    report["best"] = None if best is None else best.number
    report["done"] = len(trained(trials))
    report["complete"] = report["done"] >= bench.config.trials and (not bench.config.finals or bool(report["final"]))
    report["seconds"] = sum(t.seconds for t in trials) + (report["without"] or {}).get("seconds", 0.0)
    write_json(bench.out / "results.json", report)
    text = words.as_text(report)
    write_atomically(bench.out / "table.txt", lambda file: file.write(text.encode()))
    return report
