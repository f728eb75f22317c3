"""A whole search, small: validation images alone choose, what was stopped goes on, what is refused is recorded."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import optuna
import pytest

import augwise as aw
from augwise.analysis import tune_bench
from augwise.analysis.compare_runs import comparison_sources
from augwise.analysis.tune_bench import Bench
from augwise.analysis.tune_sampler import Known, falls_behind, propose
from augwise.analysis.tune_trial import Trial, best_of
from augwise.catalogue import find, methods
from augwise.cli import main
from augwise.data import open_source

RANGES = {"length": aw.Between(4, 40)}  # of 32 pixels: Cutout refuses more


def config(out, **changes):
    train = aw.TrainConfig(
        limit=80, eval_limit=100, val_share=0.1, epochs=1, batch_size=5, lr=0.05, crop_padding=0, device="cpu", out=out,
        seed=2, quiet=True,
    )  # fmt: skip
    return aw.TuneConfig(train, **({"trials": 3, "finals": 0, "jobs": 1} | changes))


def listed(report):
    """All that a search found, without the time it took."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in [report["without"], *report["trials"]] if row]


def refusing(report):
    return [row for row in report["trials"] if row["state"] == "refused"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("search")
    return out, aw.tune(config(out, finals=2), "cutout", RANGES, command="augwise tune")


# What it does ---------------------------------------------------------------------------------------------------------


def test_the_methods_own_setting_and_none_are_measured_with_the_rest(done):
    out, report = done
    assert report["complete"]
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(report))
    own, *others = report["trials"]
    assert (own["number"], own["options"], own["setting"]) == (0, {"length": 16}, {"length": 16})
    assert report["without"]["options"] is None
    assert sum(row["state"] == "whole" for row in report["trials"]) == 3
    assert all(4 <= row["options"]["length"] <= 40 for row in others)
    assert report["data"]["validation"] == 100
    assert len({row["accuracy"] for row in report["trials"]}) > 1
    assert report["environment"]["optuna"] == optuna.__version__
    best = max(report["trials"], key=lambda row: (row["accuracy"] or 0, -row["number"]))
    assert report["best"] == best["number"]


def test_validation_images_alone_choose_and_are_not_trained_on(tmp_path, monkeypatch):
    """No run of a search is given a test image: not its source, not its name."""
    seen = []
    train = aw.train

    def noted(settings, *, source, test, **more):
        seen.append((settings, source, test))
        return train(settings, source=source, test=test, **more)

    monkeypatch.setattr("augwise.training.train.train", noted)
    report = aw.tune(config(tmp_path, trials=2), "cutout", {"length": aw.Between(4, 12)})
    assert len(seen) == 3
    tests = {open_source("digits", "test").fingerprint(i) for i in range(len(open_source("digits", "test")))}
    for settings, source, validation in seen:
        images = [{part.fingerprint(i) for i in range(len(part))} for part in (source, validation)]
        assert not images[0] & images[1]
        assert not (images[0] | images[1]) & tests
        assert (settings.limit, settings.val_share, settings.seed) == (None, 0, 2)
    assert report["final"] is None
    assert "the test images have not been asked" in report_text(tmp_path) or report["best"] == 0


def report_text(out):
    return (out / "table.txt").read_text()


def test_the_last_runs_are_paired_and_fresh(done):
    out, report = done
    final = report["final"]
    assert final["number"] == report["best"]
    assert final["seeds"] == [10_002, 10_003]
    arms = {"own", "without"} | ({"best"} if report["best"] else set())
    assert set(final["arms"]) == arms
    for name, interval in final["differences"].items():
        first, second = (final["arms"][arm]["test"]["values"] for arm in name.split("-"))
        assert interval["mean"] == pytest.approx(np.mean(np.subtract(first, second)))
    settings = config(None).train
    data = comparison_sources(settings)
    settings = replace(settings, seed=10_003, val_share=0.0, limit=None, eval_limit=None)
    for arm in arms - {"without"}:
        step = aw.Cutout(**report["trials"][final["number"] if arm == "best" else 0]["options"])
        directly = aw.train(settings, source=data.train, test=data.test, steps=[step])
        assert directly["test"]["last_accuracy"] == final["arms"][arm]["test"]["values"][1]
    assert not list(out.glob("runs/*/weights*"))
    assert {p.parent.name.split("-")[-2] for p in out.glob("runs/*/summary.json")} == {"s10002", "s10003"}
    assert not list(out.glob("runs/trial-*"))
    assert "test accuracy, %, last epoch, 2 fresh seeds, paired" in report_text(out)
    # Nothing that is finished is done again, not even under the eyes of a watch.
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/summary.json")}
    again = aw.tune(config(out, finals=2), "cutout", RANGES)
    assert again["final"] == final
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_a_stopped_search_goes_on_as_if_it_had_not_been(done, tmp_path, monkeypatch):
    """Killed between two settings, and within the training of one: same settings, same accuracies."""
    _, report = done
    first = aw.tune(config(tmp_path, trials=2), "cutout", RANGES)
    assert listed(first) == listed(report)[: len(listed(first))]
    tried = Bench._once

    def interrupted(self, *given):
        tried(self, *given)
        raise KeyboardInterrupt

    monkeypatch.setattr(Bench, "_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        aw.tune(config(tmp_path), "cutout", RANGES)
    assert len(list(tmp_path.glob("runs/trial-*"))) == 1
    monkeypatch.undo()
    assert listed(aw.tune(config(tmp_path), "cutout", RANGES)) == listed(report)


def test_what_the_method_refuses_is_recorded_and_does_not_count(tmp_path):
    """A square of 33 pixels or more does not fit."""
    report = aw.tune(config(tmp_path, search_seed=3), "cutout", {"length": aw.Between(8, 200)})
    refused = refusing(report)
    assert refused
    assert all(row["options"]["length"] > 32 and str(row["options"]["length"]) in row["reason"] for row in refused)
    assert all(row["accuracy"] is None for row in refused)
    assert report["done"] == 3
    assert "refused by the method" in report_text(tmp_path)
    assert refused[0]["reason"].split(":")[0] in (tmp_path / "report.html").read_text()


@pytest.fixture
def bench(tmp_path):
    source = open_source("digits", limit=40)
    found = config(tmp_path)
    return Bench(
        replace(found, train=replace(found.train, epochs=2)), find("cutout", methods()), tmp_path, source, source
    )


def test_training_that_fails_is_recorded_but_not_of_the_methods_own_setting(bench, monkeypatch):
    def diverges(*_):
        raise aw.UserError("the loss became nan")

    monkeypatch.setattr(tune_bench, "falls_behind", diverges)
    failed = bench.tried(Trial(4, {"length": 8}, {"length": 8}))
    assert (failed.state, failed.reason, failed.accuracy) == ("failed", "the loss became nan", None)
    with pytest.raises(aw.UserError, match="the loss became nan"):
        bench.tried(Trial(0, {}, {"length": 16}))


def test_a_setting_that_is_behind_is_stopped_and_seeds_are_averaged(bench):
    bench = replace(bench, config=replace(bench.config, seeds=2))
    told = []
    good = [Trial(i, {}, {}, accuracy=1.0, curve=(1.0, 1.0)) for i in range(4)]
    stopped = bench.tried(Trial(4, {"length": 8}, {"length": 8}), good, lambda *said: told.append(said))
    assert (stopped.state, stopped.epochs, len(stopped.accuracies)) == ("stopped", 1, 1)
    assert told == [(1, stopped.accuracy)]
    bench.clear(stopped)
    patient = replace(bench, config=replace(bench.config, seeds=1, stop_after=1.0))
    assert patient.tried(Trial(4, {"length": 8}, {"length": 8}), good).state == "whole"
    bench.clear(Trial(4, {}, {}))
    whole = bench.tried(Trial(4, {"length": 8}, {"length": 8}), good[:3])
    assert (whole.state, whole.epochs, len(whole.curve)) == ("whole", 2, 2)
    assert whole.curve[0] == stopped.accuracy
    assert whole.curve[1] == whole.accuracies[0]
    assert whole.accuracy == pytest.approx(np.mean(whole.accuracies))
    assert len({*whole.accuracies}) == 2  # another seed, another network
    assert {p.name for p in bench.out.glob("runs/*")} == {"trial-004-0", "trial-004-1"}
    bench.clear(whole)
    assert not list(bench.out.glob("runs/*"))


# Its parts ------------------------------------------------------------------------------------------------------------


def test_proposals_depend_on_history_seed_and_number_alone():
    ranges = {"a": aw.Between(0.0, 1.0), "b": aw.Between(1, 64), "c": aw.OneOf(("x", "y"))}
    spoken, past = optuna.logging.get_verbosity(), []
    for number in range(16):
        made = propose(ranges, past, number, 5)
        assert made == propose(ranges, past, number, 5)
        assert all(r.holds(made[name]) for name, r in ranges.items())
        past.append(Known(made, -abs(made["a"] - 0.3) - 0.1 * (made["c"] == "x"), number % 5 != 4))
    assert propose(ranges, past, 16, 5) != propose(ranges, past, 16, 6)
    assert propose(ranges, past, 16, 5) != propose(ranges, past[:-1], 16, 5)
    assert optuna.logging.get_verbosity() == spoken


def test_proposals_go_to_where_it_was_good():
    """After forty settings on a slope those that follow stand higher than chance."""
    ranges = {"a": aw.Between(0.0, 1.0), "b": aw.Between(0.001, 1.0, log=True)}
    past = []
    for number in range(40):
        made = propose(ranges, past, number)
        past.append(Known(made, made["a"] - abs(np.log10(made["b"]) + 2)))
    late = [k.setting for k in past[20:]]
    assert np.mean([s["a"] for s in late]) > 0.7
    assert np.mean([abs(np.log10(s["b"]) + 2) for s in late]) < 0.5  # 0.83 by chance


def test_the_median_rule():
    others = [(0.1, 0.2, 0.3, 0.9)] * 2 + [(0.3, 0.6, 0.7, 0.9)] * 2  # medians 0.2, 0.4, 0.5
    assert falls_behind(0.39, 2, others, 4)
    assert not falls_behind(0.41, 2, others, 4)
    assert falls_behind(0.49, 3, others, 4)
    assert not falls_behind(0.0, 1, others, 4)  # too early
    assert falls_behind(0.0, 1, others, 4, after=0.25)
    assert not falls_behind(0.0, 4, others, 4)  # too late
    assert not falls_behind(0.0, 3, others, 4, after=1)
    assert not falls_behind(0.0, 2, others[1:], 4)  # too few
    assert not falls_behind(0.0, 2, [*others[1:], (0.9, 0.9)], 4)  # a curve with holes


def test_the_best_is_whole_and_the_earliest_of_equals():
    trials = [
        Trial(0, {}, {}, accuracy=0.5),
        Trial(1, {}, {}, accuracy=0.7),
        Trial(2, {}, {}, "stopped", accuracy=0.9),
        Trial(3, {}, {}, "refused"),
        Trial(4, {}, {}, accuracy=0.7),
    ]
    best = best_of(trials)
    assert best is not None
    assert best.number == 1
    assert best_of(trials[2:4]) is None


# What it refuses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "cutout"], "no ranges built in: give two values to search between, such as --length LOW HIGH"),
        (["--method", "cutout", "--length", "24", "8"], "--length 24 8: 24 to 8 is no range"),
        (["--val-share", "0"], "--val-share 0 leaves no images to choose on"),
        (["--maps", "{tmp}/none"], "none does not exist"),
        ([], "advmask looks at importance maps: give --maps"),
        (
            ["--method", "cutout", "--length", "8", "24", "--quantile", "0.6"],
            "cutout with --quantile looks at importance",
        ),
        (["--method", "cutout", "--length", "8", "24", "--trials", "0"], "--trials 0"),
        (["--method", "cutout", "--length", "8", "24", "--stop-after", "0"], "--stop-after 0"),
        (["--method", "randaugment", "--magnitude", "31", "--n", "1", "3"], "n"),
        (["--method", "hideandseek", "--p-hide", "0.1", "0.9", "--grid", "40"], "40"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(arguments, says, capsys, tmp_path):
    out = ["--out", f"{tmp_path}/search"]
    with pytest.raises(SystemExit) as stopped:
        main(["tune", *(a.replace("{tmp}", str(tmp_path)) for a in arguments), *out])
    assert stopped.value.code == 2
    assert says in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not list(tmp_path.glob("search/runs/*"))


def test_without_optuna_the_cure_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(aw.UserError, match=r'pip install "augwise\[tune\]"'):
        aw.tune(config(tmp_path / "search"), "cutout", RANGES)
    assert not (tmp_path / "search").exists()


def test_another_search_is_not_gone_on_with(done, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    before = (out / "results.json").read_bytes()
    for changed, ranges, says in (
        ({}, {"length": aw.Between(4, 30)}, "options.length: 4 to 40 there, 4 to 30 now"),
        ({"seeds": 2}, RANGES, "seeds: 1 there, 2 now"),
        ({"search_seed": 5}, RANGES, "search_seed: 0 there, 5 now"),
        ({"stop_after": 0.75}, RANGES, "stop_after: 0.5 there, 0.75 now"),
    ):
        with pytest.raises(aw.UserError, match=says):
            aw.tune(config(out, **changed), "cutout", ranges)
    assert (out / "results.json").read_bytes() == before
    (out / "results.json").write_text('{"kind": "train"}')
    with pytest.raises(aw.UserError, match="no search that can go on"):
        aw.tune(config(out), "cutout", RANGES)


def test_ranges_of_which_nothing_fits_end_the_search(tmp_path):
    with pytest.raises(aw.UserError, match=r"refused 50 settings in a row.*Give ranges that it can take"):
        aw.tune(config(tmp_path, trials=2), "cutout", {"length": aw.Between(100, 200)})
    assert len(refusing(json.loads((tmp_path / "results.json").read_text()))) == 50


def test_advmask_by_its_own_ranges_with_maps_of_the_whole_set(tmp_path):
    source = open_source("digits")
    maps = np.random.default_rng(0).random((len(source), 32, 32)) * 1.0
    aw.ImportanceStore.from_maps(source, maps, tmp_path / "d.maps")
    searched = replace(config(tmp_path / "search", trials=2), maps=tmp_path / "d.maps")
    report = aw.tune(searched, "advmask", {"top": 0.1})
    own, other = (row for row in report["trials"] if row["state"] == "whole")
    assert own["options"] == {"top": 0.1}
    assert set(other["options"]) == {"top", "lengths", "share", "least", "overlap"}
    assert set(other["setting"]) == {"lengths[0]", "lengths[1]", "share", "least", "overlap"}
    assert report["identity"]["maps"]
