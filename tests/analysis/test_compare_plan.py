"""Which runs a comparison consists of: what coincides is run once, what differs never shares a name."""

import dataclasses

import pytest

from augwise.analysis.compare_plan import Cell, CompareConfig, Run, cells, plan, run_of
from augwise.errors import UserError

TWO = {"estimators": ("cdiea", "occlusion"), "windows": ("clipped", "inside"), "seeds": 2}


def test_cutout_runs_every_arm_once():
    config = CompareConfig(methods=("cutout",), strengths=(8, 12, 16), **TWO)
    runs = plan(config)
    assert len(runs) == len(set(runs))
    # per seed: baseline, 6 plain (whatever the maps), 12 guarded, 12 control
    assert len(runs) == 2 * (1 + 6 + 12 + 12)
    assert len(cells(config)) == 12


def test_the_plain_arm_of_a_policy_is_one_run_for_all_guards():
    config = CompareConfig(methods=("trivialaugment",), strengths=(8, 16), **TWO)
    plain = {run for run in plan(config) if run.arm == "plain"}
    assert {run.options for run in plain} == {()}
    assert len(plain) == 2  # one per seed
    assert len({run for run in plan(config) if run.arm == "guarded"}) == 2 * 2 * 2 * 2


def test_a_prior_is_its_own_control():
    config = CompareConfig(strengths=(16,), estimators=("centre",), seeds=1)
    cell = cells(config)[0]
    assert run_of(config, cell, "control", 0) == run_of(config, cell, "guarded", 0)
    assert [run.arm for run in plan(config)] == ["baseline", "plain", "guarded"]


def test_options_fit_the_method():
    config = CompareConfig(methods=("cutout", "trivialaugment", "cutmix", "randaugment"), strengths=(12.0,))
    options = {c.method: dict(run_of(config, c, "guarded", 0).options) for c in cells(config)}
    assert options["cutout"] == {"length": 12, "window": "clipped", "quantile": 0.6}
    assert isinstance(options["cutout"]["length"], int)  # pixels, not a share
    assert options["cutmix"]["labels"] == "importance"
    assert options["randaugment"]["magnitude"] == 12
    assert "length" in options["trivialaugment"]
    share = run_of(config, Cell("cutout", 0.5, "inside", "cdiea"), "plain", 0)
    assert dict(share.options) == {"length": 0.5, "window": "inside"}


def test_importance_labels_compare_maps_in_one_unit():
    config = CompareConfig(methods=("cutmix",), estimators=("cdiea", "occlusion"))
    normalized = {c.estimator: dict(run_of(config, c, "guarded", 0).options).get("normalize") for c in cells(config)}
    assert normalized == {"cdiea": None, "occlusion": True}


def test_a_stopped_comparison_has_all_arms_at_fewer_seeds():
    runs = plan(CompareConfig(strengths=(8, 16), **TWO))
    half = runs[: len(runs) // 2]
    assert {run.seed for run in half} == {0}


def test_the_name_of_a_run_changes_with_all_that_counts():
    run = Run("guarded", 0, "cutout", (("length", 8),), "cdiea")
    maps = {"cdiea": "a", "occlusion": "b"}
    names = {
        run.key({"epochs": 2}, maps),
        run.key({"epochs": 3}, maps),
        run.key({"epochs": 2}, maps | {"cdiea": "other"}),
        dataclasses.replace(run, seed=1).key({"epochs": 2}, maps),
        dataclasses.replace(run, arm="control").key({"epochs": 2}, maps),
        dataclasses.replace(run, options=(("length", 9),)).key({"epochs": 2}, maps),
        dataclasses.replace(run, estimator="occlusion").key({"epochs": 2}, maps),
    }
    assert len(names) == 7
    assert run.key({"epochs": 2}, maps) == run.key({"epochs": 2}, maps | {"occlusion": "changed"})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"methods": ("cutut",)}, "did you mean 'cutout'"),
        ({"estimators": ("cdeia",)}, "did you mean 'cdiea'"),
        ({"seeds": 0}, "--seeds 0"),
        ({"jobs": 0}, "--jobs 0"),
        ({"quantiles": (0.6, 1.5)}, "--quantiles 1.5"),
        ({"quantiles": ()}, "--quantiles"),
        ({"estimators": ()}, "--estimators"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(wrong, says):
    with pytest.raises(UserError, match=says):
        CompareConfig(**wrong).check()
