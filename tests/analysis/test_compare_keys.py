"""The names of finished runs stay what they are, whatever a comparison learns: else hundreds of runs are lost."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from augwise.analysis.compare_plan import CompareConfig, Run, cells, plan, run_of
from augwise.analysis.compare_pooled import completed, restored
from augwise.analysis.compare_share import counting
from augwise.training.config import TrainConfig

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "cifar10_5k" / "results.json"
DATA = "npz:/tmp/data/cifar10.npz"  # the name that the data had when the runs were made; the file keeps its end alone
MAPS = {"cdiea": "some identity", "occlusion": "another"}


@pytest.fixture(scope="module")
def recorded():
    """155 runs that were finished before there were rules, shapes or several quantiles."""
    return json.loads(RESULTS.read_text())


def settings(train):
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in train.items()}
    return counting(given | {"data": DATA}, asdict(TrainConfig()))


def test_names_of_runs_that_used_no_map_are_found_again(recorded):
    config, results = restored(recorded)
    counts = settings(recorded["config"]["train"])
    keys = {run.key(counts, MAPS) for run in plan(config) if run.estimator is None}
    listed = {run["key"] for run in recorded["runs"] if run["run"]["estimator"] is None}
    assert keys == listed
    assert len(listed) == 5 * (1 + 6)
    assert set(plan(config)) == set(results)


def test_the_name_of_a_guarded_run_is_made_as_it_was(recorded):
    """The scheme of before, written out."""
    config, _ = restored(recorded)
    counts = settings(recorded["config"]["train"])
    for run in plan(config):
        if run.estimator is None:
            continue
        identity = {
            "train": counts,
            "seed": run.seed,
            "method": run.method,
            "options": dict(run.options),
            "maps": MAPS[run.estimator],
            "control": run.arm == "control",
        }
        digest = hashlib.blake2b(json.dumps(identity, sort_keys=True, default=str).encode(), digest_size=6).hexdigest()
        assert run.key(counts, MAPS) == f"{run.method}-{run.estimator}-{run.arm}-s{run.seed}-{digest}"


def test_options_of_before_are_the_options_of_now():
    """What trivialaugment and cutmix were given when their strength was said."""
    config = CompareConfig(methods=("trivialaugment", "cutmix"), strengths=(16,), estimators=("cdiea",))
    found = {cell.method: run_of(config, cell, "guarded", 0).options for cell in cells(config)}
    assert found["trivialaugment"] == (("length", 16), ("quantile", 0.6), ("window", "clipped"))
    assert found["cutmix"] == (("labels", "importance"), ("length", 16), ("quantile", 0.6), ("window", "clipped"))
    plain = {cell.method: run_of(config, cell, "plain", 0).options for cell in cells(config)}
    assert plain == {"trivialaugment": (), "cutmix": (("length", 16), ("window", "clipped"))}


def test_what_is_new_changes_the_name():
    run = Run("guarded", 0, "cutout", (("length", 8),), "cdiea")
    names = {
        each.key({}, MAPS)
        for each in (
            run,
            replace(run, soften=(1.0, 2.0)),
            replace(run, soften=(0.5, 2.0)),
            replace(run, soften=(1.0, 1.0)),
            replace(run, options=(("length", 8), ("shape", "superpixel"))),
        )
    }
    names |= {replace(run, arm="smoothing", soften=(1.0, 2.0)).key({}, MAPS).split("-")[-1]}
    assert len({name.split("-")[-1] for name in names}) == 6


def test_an_older_results_file_is_read_as_it_was_meant(recorded):
    config, results = restored(recorded)
    assert config.quantiles == (0.6,)
    older = {k: v for k, v in recorded.items() if k not in ("overall", "class_changes")}
    again = completed(older)
    assert again["overall"]["guarded-plain"] == pytest.approx(recorded["overall"]["guarded-plain"])
    assert again["overall"]["guarded-control"]["mean"] == pytest.approx(recorded["overall"]["guarded-control"]["mean"])
    assert len(results) == 155
