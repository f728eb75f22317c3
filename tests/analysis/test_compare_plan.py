"""Which runs a comparison consists of: what coincides is run once, what differs never shares a name."""

import dataclasses
from pathlib import Path

import pytest

from augwise import catalogue
from augwise.analysis import compare_words as words
from augwise.analysis.compare_plan import Cell, CompareConfig, Run, arms_of, cells, plan, run_of, strongest
from augwise.analysis.compare_runs import build
from augwise.catalogue import Entry, find, methods
from augwise.errors import UserError

BOTH = {"windows": ("clipped", "inside")}
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


def test_what_has_no_regions_gets_no_window_and_what_has_no_guard_one_arm():
    config = CompareConfig(methods=("mixup", "crop"), strengths=(1, 4.0), estimators=("area",), seeds=1, **BOTH)
    runs = {run for run in plan(config) if run.method == "mixup" and run.arm == "guarded"}
    assert [dict(run.options) for run in runs if dict(run.options)["alpha"] == 1] == [
        {"alpha": 1, "quantile": 0.6, "labels": "importance"}
    ]
    crops = [run for run in plan(config) if run.method == "crop"]
    assert [(run.arm, dict(run.options)) for run in crops] == [("plain", {"padding": 1}), ("plain", {"padding": 4})]
    for run in plan(config):
        if run.method is not None:
            find(run.method, methods()).load()(**dict(run.options))


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
        *(
            ({name: ()}, f"--{name} needs")
            for name in ("methods", "quantiles", "shapes", "follows", "rules", "labels", "arms")
        ),
        ({"estimators": ()}, "--estimators"),
        ({"soften_strength": 1.5}, "--soften-strength 1.5"),
        ({"soften_power": 0.0}, "--soften-power 0"),
        ({"estimators": ("live",), "shapes": ("superpixel",)}, "live has no stored maps"),
        ({"share": (Path("nowhere"),)}, "--share nowhere"),
        ({"maps_from": Path("nowhere")}, "--maps-from nowhere"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(wrong, says):
    with pytest.raises(UserError, match=says):
        CompareConfig(**wrong).check()


def test_left_out_strengths_are_the_usual_ones():
    config = CompareConfig(methods=("cutout", "randaugment", "trivialaugment", "cutmix"), estimators=("cdiea",))
    assert {c.method: c.strength for c in cells(config)} == {
        "cutout": 16, "randaugment": None, "trivialaugment": 16, "cutmix": 16,
    }  # fmt: skip
    options = {c.method: dict(run_of(config, c, "guarded", 0).options) for c in cells(config)}
    assert "magnitude" not in options["randaugment"]
    assert options["randaugment"]["length"] == options["trivialaugment"]["length"] == 16
    usual = CompareConfig(methods=("cutout",), strengths=(16,), estimators=("cdiea",))
    both = CompareConfig(methods=("cutout",), estimators=("cdiea",))
    assert plan(usual) == plan(both)


def test_one_length_for_all_where_it_is_said():
    """The paper's l: 8 on CIFAR-100, whatever the method does with its region."""
    config = CompareConfig(methods=("cutout", "randaugment", "trivialaugment", "cutmix"), length=8)
    for cell in cells(config):
        assert dict(run_of(config, cell, "guarded", 0).options)["length"] == 8
        plain = dict(run_of(config, cell, "plain", 0).options)
        assert plain.get("length") == (8 if cell.method in ("cutout", "cutmix") else None)
    said = CompareConfig(methods=("cutout",), strengths=(12,), length=8)
    assert dict(run_of(said, cells(said)[0], "plain", 0).options)["length"] == 12


def test_quantiles_share_the_plain_arm():
    config = CompareConfig(quantiles=(0.2, 0.6), estimators=("cdiea",), seeds=1)
    runs = plan(config)
    assert [run.arm for run in runs] == ["baseline", "plain", "guarded", "control", "guarded", "control"]
    assert {dict(run.options)["quantile"] for run in runs if run.arm == "guarded"} == {0.2, 0.6}


def test_shapes_are_for_what_is_pasted_back():
    config = CompareConfig(
        methods=("cutout", "trivialaugment"), shapes=("rectangle", "points", "superpixel"),
        windows=("clipped", "inside"), estimators=("cdiea",), seeds=1,
    )  # fmt: skip
    found = {(c.method, c.shape, c.window) for c in cells(config)}
    squares = {(m, "rectangle", w) for m in ("cutout", "trivialaugment") for w in ("clipped", "inside")}
    assert found == squares | {("trivialaugment", "points", ""), ("trivialaugment", "superpixel", "")}
    runs = plan(config)
    assert len([r for r in runs if r.method == "trivialaugment" and r.arm == "plain"]) == 1
    assert {r.shape for r in runs if r.method == "cutout"} == {"rectangle"}
    assert {r.shape for r in runs if r.arm == "guarded"} == {"rectangle", "points", "superpixel"}


def test_softened_labels_leave_the_method_plain():
    config = CompareConfig(rules=("guard", "soften"), strengths=(8,), estimators=("occlusion", "centre"), seeds=1)
    soft = {c.estimator: c for c in cells(config) if c.rule == "soften"}
    guard = next(c for c in cells(config) if c.rule == "guard")
    assert run_of(config, soft["occlusion"], "plain", 0) == run_of(config, guard, "plain", 0)
    for arm in ("guarded", "control", "smoothing"):
        run = run_of(config, soft["occlusion"], arm, 0)
        assert dict(run.options) == {"length": 8, "window": "clipped"}
        assert (run.soften, run.estimator, run.arm) == ((1.0, 2.0), "occlusion", arm)
    assert run_of(config, soft["centre"], "control", 0) == run_of(config, soft["centre"], "guarded", 0)
    assert arms_of(config, soft["occlusion"]) == ["plain", "guarded", "control", "smoothing"]
    assert arms_of(config, guard) == ["plain", "guarded", "control"]
    # baseline, plain, guard: 2 + 1 (a prior is its own control), soften: 3 + 2
    assert len(plan(config)) == 1 + 1 + 3 + 5


def test_live_maps_have_every_arm_but_one_nobody_can_measure():
    config = CompareConfig(estimators=("live", "saliency"), rules=("guard", "soften"), seeds=1)
    config.check()
    live = [c for c in cells(config) if c.estimator == "live"]
    assert [arms_of(config, c) for c in live] == [["plain", "guarded", "control"]] * 2
    assert run_of(config, live[0], "guarded", 0).estimator == "live"
    assert len([run for run in plan(config) if run.arm == "plain"]) == 1


def test_single_methods_have_rows_and_maps_of_their_own():
    config = CompareConfig(
        methods=("cutmix", "dcutmix", "cutout", "advmask"), strengths=(8, 16), estimators=("cdiea", "occlusion"),
        seeds=1,
        values=(
            ("dcutmix", "k", 2), ("dcutmix", "k", 5), ("cutmix", "alpha", 0.5), ("cutmix", "length", 8.0),
            ("advmask", "share", 0.3),
        ),
        maps_of=(("advmask", "uniform"), ("cutout", "centre")),
    )  # fmt: skip
    config.check()
    found = {(c.method, c.option, c.strength, c.estimator) for c in cells(config)}
    both = ("cdiea", "occlusion")
    assert found == {
        *(("cutmix", "alpha", 0.5, e) for e in both), *(("cutmix", "", 8, e) for e in both),
        ("dcutmix", "", 2, ""), ("dcutmix", "", 5, ""), ("cutout", "", 8, "centre"), ("cutout", "", 16, "centre"),
        ("advmask", "", 0.3, "uniform"),
    }  # fmt: skip
    assert config.every_estimator == ("cdiea", "occlusion", "uniform", "centre")
    for cell in cells(config):
        build(run_of(config, cell, "plain", 0))
    beta = next(c for c in cells(config) if c.option)
    assert dict(run_of(config, beta, "guarded", 0).options) == {
        "alpha": 0.5, "labels": "importance", "quantile": 0.6, "window": "clipped",
    }  # fmt: skip
    assert (words.method(vars(beta)), words.value(vars(beta), "strength")) == ("cutmix alpha 0.5", "alpha 0.5")
    usual = CompareConfig(methods=("dcutmix",), estimators=("cdiea",), seeds=1)
    said = CompareConfig(methods=("dcutmix",), estimators=("cdiea",), seeds=1, values=(("dcutmix", "k", 3.0),))
    assert plan(usual) == plan(said)


def test_maps_that_nobody_asks_for_are_not_made():
    own = (("cutout", "occlusion"), ("cutmix", "saliency"))
    config = CompareConfig(methods=("cutout",), estimators=("cdiea",), maps_of=own, values=(("dcutmix", "k", 5),))
    config.check()
    assert config.every_estimator == ("occlusion",)
    assert {cell.method for cell in cells(config)} == {"cutout"}


def test_plain_arms_alone_make_no_rows_of_what_only_guards_have():
    config = CompareConfig(
        methods=("cutmix", "mixup", "trivialaugment"), estimators=("cdiea", "occlusion"), quantiles=(0.2, 0.6),
        labels=("importance", "half"), shapes=("rectangle", "points"), follows=("image", "map"), arms=("plain",),
        seeds=1, **BOTH,
    )  # fmt: skip
    assert cells(config) == [
        Cell("cutmix", 16, "clipped", "", None), Cell("cutmix", 16, "inside", "", None), Cell("mixup", 1, "", "", None),
        Cell("trivialaugment", 16, "", "", None),
    ]  # fmt: skip
    assert len(plan(config)) == 1 + 4


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"values": (("dcutmx", "k", 3),)}, "did you mean 'dcutmix'"),
        ({"values": (("cutout", "lenght", 3),)}, "--values cutout lenght: cutout has the options .*length"),
        ({"maps_of": (("dcutmx", "cdiea"),)}, "did you mean 'dcutmix'"),
        ({"maps_of": (("cutout", "cdeia"),)}, "did you mean 'cdiea'"),
    ],
)
def test_single_methods_that_are_not_there_are_refused(wrong, says):
    with pytest.raises(UserError, match=says):
        CompareConfig(methods=("cutout",), **wrong).check()


@pytest.fixture
def catalogue_of_later(monkeypatch):
    """Methods as they are to come, made of what there is: one that looks at maps when plain, one without a guard."""
    grown = (
        *catalogue.ENTRIES,
        Entry("masked", "image", "transforms.policies:colorjitter", "", needs_map=True),
        Entry("moved", "deletion", "transforms.crop_flip:RandomCrop", "", "padding", usual=4),
    )
    monkeypatch.setattr(catalogue, "ENTRIES", grown)


@pytest.mark.usefixtures("catalogue_of_later")
def test_a_method_that_needs_maps_has_them_in_every_arm():
    config = CompareConfig(methods=("masked",), estimators=("uniform", "corners"), seeds=1)
    for cell in cells(config):
        plain, guarded = (run_of(config, cell, arm, 0) for arm in ("plain", "guarded"))
        assert (plain.estimator, plain.options) == (cell.estimator, ())
        assert dict(guarded.options) == {"quantile": 0.6, "window": "clipped", "length": 16}
    assert len([run for run in plan(config) if run.arm == "plain"]) == 2
    points = CompareConfig(methods=("masked",), estimators=("uniform", "corners"), arms=("plain",), seeds=1)
    points.check()
    assert [run.estimator for run in plan(points)] == [None, "uniform", "corners"]
    with pytest.raises(UserError, match="masked looks at importance maps"):
        CompareConfig(methods=("masked",), estimators=(), arms=("plain",)).check()


@pytest.mark.usefixtures("catalogue_of_later")
def test_a_method_without_a_guard_is_plain_under_it_and_whole_under_soft_labels():
    config = CompareConfig(methods=("moved",), estimators=("cdiea", "occlusion"), quantiles=(0.2, 0.6), seeds=1)
    assert cells(config) == [Cell("moved", 4, "", "", None)]
    assert [run.arm for run in plan(config)] == ["baseline", "plain"]
    soft = CompareConfig(methods=("moved",), estimators=("cdiea",), rules=("soften",), strengths=(4, 8), seeds=1)
    assert [run.arm for run in plan(soft)][:5] == ["baseline", "plain", "guarded", "control", "smoothing"]
    assert {dict(run.options).get("padding") for run in plan(soft)} == {None, 4, 8}


def test_of_a_dense_map_the_top_share_stands_for_its_key_points():
    config = CompareConfig(methods=("advmask",), estimators=("cdiea", "uniform", "saliency", "live"), seeds=1)
    for arm in ("plain", "guarded", "control"):
        top = {c.estimator: dict(run_of(config, c, arm, 0).options).get("top") for c in cells(config)}
        assert top == {"cdiea": None, "uniform": None, "saliency": 0.15, "live": 0.15}


def test_where_evidence_returns_to_is_for_methods_that_move_things():
    moving, still = ("trivialaugment", "autoaugment"), ("cutout", "cutmix", "gridmask", "advmask", "colorjitter")
    config = CompareConfig(methods=(*moving, *still), follows=("image", "map"), estimators=("cdiea",), seeds=1)
    both = {(m, f) for m in moving for f in ("image", "map")}
    assert {(c.method, c.follow) for c in cells(config)} == both | {(m, "image") for m in still}
    for cell in cells(config):
        plain, guarded, control = (dict(run_of(config, cell, a, 0).options) for a in ("plain", "guarded", "control"))
        assert "follow" not in plain
        assert guarded.get("follow") == control.get("follow") == ("map" if cell.follow == "map" else None)
        assert getattr(build(run_of(config, cell, "guarded", 0)), "follow", "image") == cell.follow
    assert len([run for run in plan(config) if run.arm == "plain"]) == len(moving + still)


def test_what_steers_nothing_makes_no_two_cells_of_one():
    """Under soft labels there is no quantile, no shape, no way back, no window of what is pasted and no other label."""
    config = CompareConfig(
        methods=("trivialaugment", "cutmix"), rules=("soften",), quantiles=(0.2, 0.6), shapes=("rectangle", "points"),
        follows=("image", "map"), labels=("importance", "half"), estimators=("cdiea",), seeds=1, **BOTH,
    )  # fmt: skip
    assert cells(config) == [
        Cell("trivialaugment", 16, "", "cdiea", None, rule="soften"),
        Cell("cutmix", 16, "clipped", "cdiea", None, rule="soften"),
        Cell("cutmix", 16, "inside", "cdiea", None, rule="soften"),
    ]


def test_labels_weighed_by_maps_leave_the_mixing_as_it_is():
    config = CompareConfig(
        methods=("cutmix", "mixup"), rules=("guard", "labels"), labels=("importance", "half"), quantiles=(0.2, 0.6),
        estimators=("cdiea",), seeds=1,
    )  # fmt: skip
    config.check()
    found = {(c.method, c.quantile, c.rule, c.labels) for c in cells(config)}
    steered = {(m, q, "guard", w) for m in ("cutmix", "mixup") for q in (0.2, 0.6) for w in ("importance", "half")}
    weighed = {(m, None, "labels", w) for m in ("cutmix", "mixup") for w in ("importance", "half")}
    assert (found, len(cells(config))) == (steered | weighed, 12)
    for cell in cells(config):
        assert arms_of(config, cell) == ["plain", "guarded", "control"]
        plain, guarded, control = (run_of(config, cell, arm, 0) for arm in ("plain", "guarded", "control"))
        steer = {} if cell.quantile is None else {"quantile": cell.quantile}
        assert dict(guarded.options) == dict(plain.options) | {"labels": cell.labels} | steer
        assert (guarded.options, guarded.estimator, guarded.soften) == (control.options, "cdiea", None)
        assert (plain.estimator, build(plain).labels, build(guarded).labels) == (None, "area", cell.labels)
    assert len([run for run in plan(config) if run.arm == "plain"]) == 2


def test_what_mixes_no_labels_is_plain_where_they_are_weighed():
    config = CompareConfig(methods=("cutout", "trivialaugment"), rules=("labels",), estimators=("cdiea",), seeds=1)
    assert cells(config) == [
        Cell("cutout", 16, "clipped", "", None, rule="labels"),
        Cell("trivialaugment", 16, "", "", None, rule="labels"),
    ]
    assert [run.arm for run in plan(config)] == ["baseline", "plain", "plain"]
    needing = CompareConfig(methods=("advmask",), rules=("labels",), estimators=("cdiea",), seeds=1)
    assert [run.estimator for run in plan(needing)] == [None, "cdiea"]


def test_maps_of_the_model_in_training_share_no_unit():
    for rule in ("guard", "labels"):
        config = CompareConfig(methods=("cutmix",), rules=(rule,), estimators=("live", "cdiea", "centre"))
        options = {c.estimator: dict(run_of(config, c, "guarded", 0).options) for c in cells(config)}
        assert {name: given.get("normalize") for name, given in options.items()} == {
            "live": True, "cdiea": None, "centre": None,
        }  # fmt: skip


def test_flat_maps_are_their_own_control():
    config = CompareConfig(estimators=("area", "uniform"), rules=("soften",), seeds=1)
    area, uniform = cells(config)
    assert run_of(config, area, "control", 0) == run_of(config, area, "guarded", 0)
    assert run_of(config, uniform, "control", 0) != run_of(config, uniform, "guarded", 0)


def test_windows_left_out_are_each_methods_own():
    config = CompareConfig(
        methods=("cutout", "randomerasing", "trivialaugment", "mixup"), windows=(), estimators=("cdiea",)
    )
    assert {c.method: c.window for c in cells(config)} == {
        "cutout": "clipped", "randomerasing": "inside", "trivialaugment": "clipped", "mixup": "",
    }  # fmt: skip


def test_a_method_without_a_usual_side_keeps_sizes_of_its_own():
    for config in (CompareConfig(methods=("randomerasing",)), CompareConfig(methods=("randomerasing",), length=8)):
        cell = cells(config)[0]
        assert cell.strength is None
        assert "length" not in dict(run_of(config, cell, "guarded", 0).options)
    said = CompareConfig(methods=("randomerasing",), strengths=(1.0, 0.5))
    sides = [dict(run_of(said, cell, "plain", 0).options)["length"] for cell in cells(said)[::2]]
    assert [(side, type(side)) for side in sides] == [(1, int), (0.5, float)]  # one pixel, half of the image


def test_the_strongest_cells_are_told_apart_by_shape_and_rule():
    config = CompareConfig(
        methods=("trivialaugment",), shapes=("rectangle", "superpixel"), rules=("guard", "soften"), strengths=(16, 8),
        estimators=("cdiea", "occlusion"),
    )  # fmt: skip
    found = [(c.rule, c.shape, c.estimator, c.strength) for c in strongest(config)]
    guards = {("guard", shape, e, 16) for shape in ("rectangle", "superpixel") for e in ("cdiea", "occlusion")}
    assert set(found) == guards | {("soften", "rectangle", e, 16) for e in ("cdiea", "occlusion")}
    assert len(found) == 6
    assert [(c.rule, c.shape, c.estimator) for c in strongest(config, most=5)] == [
        ("guard", "rectangle", "cdiea"), ("soften", "rectangle", "cdiea"),
    ]  # fmt: skip


def test_the_strongest_cells_stand_for_the_rest():
    config = CompareConfig(methods=("cutout", "cutmix"), strengths=(8, 16), windows=("clipped", "inside"))
    assert {(c.method, c.strength, c.window, c.estimator) for c in strongest(config)} == {
        (m, 16, "inside", e) for m in ("cutout", "cutmix") for e in ("cdiea", "occlusion")
    }
    assert [(c.method, c.estimator) for c in strongest(config, most=3)] == [("cutout", "cdiea"), ("cutmix", "cdiea")]
