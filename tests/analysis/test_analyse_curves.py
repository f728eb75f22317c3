"""Arms, curves and gains of finished runs, against the runs' own files, and the page that shows them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import augwise as aw
from augwise.analysis.run_arms import read_problems
from augwise.errors import UserError
from augwise.training.config import TrainConfig
from augwise.training.learn_config import LearnConfig
from augwise.training.train import train

FEW = LearnConfig(objective="fixmatch", labelled=20, epoch_steps=2, unlabelled_ratio=1)
LPA3 = {"lpa3": True, "lpa3_form": "tangent", "lpa3_ratio": 0.5}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two problems. Digits: plain and RandAugment, with and without LP-A3, two seeds; few labels: one run."""
    home = tmp_path_factory.mktemp("curves")
    base = TrainConfig(size=16, limit=60, eval_limit=40, epochs=3, batch_size=20, quiet=True, device="cpu", threads=1)
    for seed in (0, 1):
        for arm, learn, steps in (
            ("lpa3", LearnConfig(**LPA3), []),
            ("plain", LearnConfig(), []),
            ("both", LearnConfig(**LPA3), [aw.RandAugment(1, 5)]),
            ("randaugment", LearnConfig(), [aw.RandAugment(1, 5)]),
        ):
            out = home / f"{arm}-{seed}"
            train(replace(base, seed=seed, data_seed=seed, learn=learn, out=out), steps=steps)
    train(replace(base, learn=FEW, out=home / "few", limit=None))
    return home


def told(folder):
    return json.loads((folder / "results.json").read_text())


def test_arms_are_runs_that_differ_in_seed_alone(runs):
    digits, few = read_problems(sorted(path for path in runs.iterdir() if path.is_dir()))[::-1]
    if few.settings["labelled"] is None:
        digits, few = few, digits
    assert [arm.name for arm in digits.arms] == [
        "supervised",
        "RandAugment",
        "LP-A3 tangent, LP-A3 ratio 0.5",
        "LP-A3 tangent, LP-A3 ratio 0.5, RandAugment",
    ]
    assert [sorted(arm.runs) for arm in digits.arms] == [[0, 1]] * 4
    for arm, folder in zip(digits.arms, ("plain", "randaugment", "lpa3", "both"), strict=True):
        results = [told(runs / f"{folder}-{seed}") for seed in (0, 1)]
        assert arm.accuracy == {seed: r["test"]["last_accuracy"] for seed, r in enumerate(results)}
        expected = {i + 1: [r["curve"][i]["test_accuracy"] for r in results] for i in range(3)}
        assert {epoch: sorted(v) for epoch, v in arm.curve("test_accuracy").items()} == {
            epoch: sorted(v) for epoch, v in expected.items()
        }
    plain, randaugment, lpa3, both = digits.arms
    assert [digits.twin(arm) for arm in digits.arms] == [None, None, plain, randaugment]
    assert lpa3 is not both
    assert digits.name == "digits, 16 px, 60 images"
    assert (few.name, [arm.name for arm in few.arms]) == ("digits, 16 px, 20 labels", ["fixmatch"])


def test_page_and_results_say_what_the_runs_measured(runs, tmp_path):
    folders = tuple(
        runs / name for name in ("both-0", "both-1", "randaugment-0", "randaugment-1", "plain-0", "plain-1")
    )
    found = aw.analyse(aw.AnalyseCurves(aw.FinishedRuns(folders, tmp_path)), "augwise analyse curves")
    (problem,) = found["problems"]
    plain, randaugment, both = problem["arms"]
    last = {name: [told(runs / f"{name}-{s}")["test"]["last_accuracy"] for s in (0, 1)] for name in ("plain", "both")}
    last["randaugment"] = [told(runs / f"randaugment-{s}")["test"]["last_accuracy"] for s in (0, 1)]
    assert both["accuracy"]["mean"] == pytest.approx(np.mean(last["both"]))
    assert both["accuracy"]["std"] == pytest.approx(np.std(last["both"], ddof=1))
    assert both["gain"]["mean"] == pytest.approx(np.mean(last["both"]) - np.mean(last["plain"]))
    assert both["twin"] == "RandAugment"
    assert both["gain_of_lpa3"]["mean"] == pytest.approx(np.mean(last["both"]) - np.mean(last["randaugment"]))
    assert plain["gain"] is None
    assert plain["twin"] is None
    for arm, name in ((plain, "plain"), (randaugment, "randaugment"), (both, "both")):
        curves = np.array([[row["test_accuracy"] for row in told(runs / f"{name}-{s}")["curve"]] for s in (0, 1)])
        assert [row["mean"] for row in arm["curve"]] == pytest.approx(curves.mean(0).tolist())
        reached = np.flatnonzero(curves.mean(0) >= np.mean(last["plain"]))
        assert arm["reached"] == (reached[0] + 1 if len(reached) else None)
    distances = [told(runs / f"both-{s}")["curve"][-1]["lpa3_distance"] for s in (0, 1)]
    assert both["distance"] == pytest.approx(np.mean(distances))
    assert plain["distance"] is None
    page = (tmp_path / "report.html").read_text()
    assert f"{100 * np.mean(last['both']):.1f} ± {100 * np.std(last['both'], ddof=1):.1f}" in page
    assert "Of 1 arm with LP-A3 beside the same without it" in page
    assert (tmp_path / "pictures" / "problem-0-convergence.svg").exists()


def margins(runs, to, values, **changes):
    """Runs that differ in LP-A3's margin alone: a real one's results under other settings."""
    for i, value in enumerate(values):
        made = told(runs / "lpa3-0")
        made["config"]["learn"] |= {"lpa3_margin": value} | changes
        made["test"]["last_accuracy"] = 0.5 + i / 10
        (to / f"m{i}").mkdir(parents=True)
        (to / f"m{i}" / "results.json").write_text(json.dumps(made))
    return [to / f"m{i}" for i in range(len(values))]


def test_a_number_that_three_arms_differ_in_is_drawn_over(runs, tmp_path):
    two = margins(runs, tmp_path / "two", (0.5, 0.02))
    assert read_problems(two)[0].dials() == []
    folders = margins(runs, tmp_path / "three", (0.5, 0.02, 0.1))
    others = margins(runs, tmp_path / "others", (0.3,), lpa3_ratio=0.9)  # differs in two numbers: not among them
    found = aw.analyse(aw.AnalyseCurves(aw.FinishedRuns((*folders, *others, runs / "plain-0"), tmp_path / "out")))
    (dial,) = found["problems"][0]["dials"]
    assert (dial["setting"], dial["values"], dial["beside"]) == ("lpa3_margin", [0.02, 0.1, 0.5], "supervised")
    assert [accuracy["mean"] for accuracy in dial["accuracies"]] == pytest.approx([0.6, 0.7, 0.5])
    assert dial["level"] == told(runs / "plain-0")["test"]["last_accuracy"]
    assert dial["plainest"] == dial["arms"][0]
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("What hangs on a number") < page.index("Accuracy by margin")


def test_a_number_is_compared_over_the_seeds_that_all_have(runs, tmp_path):
    folders = margins(runs, tmp_path / "three", (0.02, 0.1, 0.5))
    more = told(folders[0])
    more["config"]["seed"], more["test"]["last_accuracy"] = 7, 0.9
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "results.json").write_text(json.dumps(more))
    asked = aw.FinishedRuns((*folders, tmp_path / "more", runs / "plain-0", runs / "plain-1"), tmp_path / "out")
    (dial,) = aw.analyse(aw.AnalyseCurves(asked))["problems"][0]["dials"]
    assert dial["seeds"] == [0]
    assert [accuracy["mean"] for accuracy in dial["accuracies"]] == pytest.approx([0.5, 0.6, 0.7])
    assert dial["level"] == told(runs / "plain-0")["test"]["last_accuracy"]


def test_said_or_left_to_the_objective_a_setting_is_the_same(runs, tmp_path):
    """An older version wrote down what a newer one leaves to the objective."""
    for name, changes in (("old", {"mix_alpha": 4.0, "confidence": 0.95}), ("new", {"mix_alpha": None})):
        made = told(runs / "few")
        made["config"]["learn"] |= changes
        made["config"]["seed"] = len(name + str(changes))
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(made))
    (problem,) = read_problems([tmp_path / "old", tmp_path / "new"])
    assert len(problem.arms) == 1


def test_what_cannot_be_meant(runs, tmp_path):
    def asked(*folders, **more):
        return aw.AnalyseCurves(aw.FinishedRuns(folders, tmp_path / "out"), **more)

    again = tmp_path / "again"
    shutil.copytree(runs / "plain-0", again)
    damaged, unfinished = tmp_path / "damaged", tmp_path / "unfinished"
    for folder, file, content in ((damaged, "results.json", "{"), (unfinished, "checkpoint.pt", "")):
        folder.mkdir()
        (folder / file).write_text(content)
    for config, message in (
        (asked(), "names no run"),
        (asked(runs / "plain-0", runs / "plain-0"), "twice"),
        (asked(runs / "plain-0", again), "same run, seed and all"),
        (asked(tmp_path / "nowhere"), "holds no training run"),
        (asked(damaged), "train this run again"),
        (asked(unfinished), "not finished"),
        (asked(runs / "plain-0", pictures=runs / "plain-1"), "no folder of augwise analyse farther"),
    ):
        with pytest.raises(UserError, match=message):
            aw.analyse(config)
    assert not (tmp_path / "out" / "results.json").exists()


def test_pictures_of_farther_end_the_page(runs, tmp_path):
    on = aw.AnalyseRuns(runs=(runs / "plain-0",), out=tmp_path / "farther", quiet=True, device="cpu")
    aw.analyse(aw.AnalyseFarther(on, margins=(0.02,), limit=20, shown=2))
    config = aw.AnalyseCurves(aw.FinishedRuns((runs / "plain-0",), tmp_path / "out"), pictures=tmp_path / "farther")
    aw.analyse(config)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("How far, and what is kept") < page.index("Pictures: plain-0")
    assert page.count("Grad-CAM</figcaption>") == 6
