"""Recipes as plans: what is run, that it goes on after a kill to the same bytes, and what the table says of it."""

from __future__ import annotations

import importlib
import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import augwise as aw
from augwise.analysis.predicted import predicted_labels
from augwise.analysis.statistics import holm, p_value, paired
from augwise.catalogue import estimators, find, methods
from augwise.errors import UserError
from augwise.recipes.analysed import OTHER_SEED, Analysed
from augwise.recipes.contents import RECIPES, WITHIN, find_recipe, listing
from augwise.recipes.measuring import Attack, Cost, Overhead
from augwise.recipes.prepared import Prepared
from augwise.recipes.published import Table, Value, tables
from augwise.recipes.recipe import SCALES, Outcome, Place, Recipe, Scale, Where, key_of
from augwise.recipes.reproduce import Plan, ReproduceConfig, plan_of, reproduce, states, write
from augwise.recipes.reproduced import verdict
from augwise.recipes.training import Maps, Training, training
from augwise.report.gallery import read_gallery
from augwise.training.config import TrainConfig
from augwise.training.learn_config import LearnConfig
from augwise.training.results import write_json
from augwise.training.trained import trained

SMALL = TrainConfig(size=16, limit=60, eval_limit=40, epochs=2, batch_size=20, threads=1)
NAME = "lp-a3/table-3"
ROWS = ("ResNet-18 / baseline", "ResNet-18 / RandAugment")


def call(out, *more, rows=ROWS):
    words = ["reproduce", NAME, "--seeds", "1", "--jobs", "1", "--device", "cpu", "--quiet", "--out", str(out), *more]
    return [sys.executable, "-m", "augwise", *words, "--rows", *rows]


def test_every_recipe_says_what_it_is_and_plans_its_scales():
    for name in RECIPES:
        recipe = find_recipe(name)
        assert recipe.name == name
        assert set(recipe.scales) == set(SCALES)
        for scale in recipe.scales.values():
            places = recipe.places(scale)
            assert places
            for place in places:
                other = recipe.against(place.row, place.column)
                assert other is None or Place(place.table, *other) in places, (name, place)
            distinct = {json.dumps(job.identity(), sort_keys=True, default=str) for job in places.values()}
            assert len({key_of(job) for job in places.values()}) == len(distinct)
        assert name in listing()


def test_rows_are_found_in_any_case_and_counts_are_told(tmp_path):
    config = ReproduceConfig(NAME, rows=("resnet-18 / BASELINE",), seeds=3, out=tmp_path)
    assert {place.row for place in plan_of(config).asked} == {"ResNet-18 / baseline"}
    assert "ResNet-18 / baseline, DermaMNIST (lp-a3/table-3): 0 of 3 seeds done" in states(plan_of(config))


def test_every_printed_table_is_some_recipe_s():
    """Nothing that the papers print is left out; a part of a recipe is found by its own name, too."""
    told = {one.id for name in RECIPES for one in find_recipe(name).published()}
    gains_alone = {"lp-a3/figure-5"}  # one difference, which the claim of its recipe tells
    assert set(tables()) - told <= gains_alone
    for part, whole in WITHIN.items():
        assert find_recipe(part).name == whole
        assert f"{part}: a part of {whole}" in listing()


def test_the_figures_in_a_recipe_s_head_are_printed_in_its_tables():
    """Numbers with two decimals, where the head says what the paper has: cells, deviations, or differences of cells."""
    for name, module in RECIPES.items():
        head = importlib.import_module(f"augwise.recipes.{module}").__doc__ or ""
        told = re.split("Settings|Hours", head.partition("Paper:")[2])[0]
        assert told, f"{module} does not say what the paper has"
        cells = [value for table in find_recipe(name).published() for value in table.cells.values()]
        means = {value.mean for value in cells}
        known = means | {value.std for value in cells if value.std is not None}
        known |= {round(abs(a - b), 2) for a in means for b in means}
        for figure in re.findall(r"(?<![\d.])\d+\.\d\d(?![\d.])", told):
            assert float(figure) in known, f"{module}: {figure}"


def trainings(job):
    """Those that a job is made of."""
    parts = [job, *(getattr(job, name, None) for name in ("first", "training", "than", "network"))]
    parts += [part for name in ("ways", "networks") for _, part in getattr(job, name, ())]
    return [part for part in parts if isinstance(part, Training)]


def test_what_recipes_ask_for_can_be_made():
    """Settings, methods and estimators of every place at every scale; no data."""
    jobs = [job for name in RECIPES for scale in find_recipe(name).scales.values()
            for job in find_recipe(name).places(scale).values()]  # fmt: skip
    made = set()
    for one in (one for job in jobs for one in trainings(job)):
        one.train.check()
        for method, options in one.steps:
            if (method, options) not in made:
                find(method, methods()).load()(**dict(options))
        made |= set(one.steps)
        if one.maps is not None and not one.maps.live and one.maps not in made:
            made.add(one.maps)
            Prepared(one.train, one.maps).base_settings().check()
            find(one.maps.estimator, estimators()).load()(**dict(one.maps.options))
    assert len(made) > 50


def test_what_the_tiny_scale_asks_for_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path))  # people of digits are written there
    where = Where(tmp_path, device="cpu", threads=1)
    for name in RECIPES:
        for job in find_recipe(name).places(find_recipe(name).scales["tiny"]).values():
            job.check(where)


def test_images_that_a_question_needs_are_asked_for_by_name(tmp_path):
    for settings in ((("foreign", "imagenet-o"),), (("known", "imagenet-a"),)):
        job = Analysed(training(SMALL), "ood", settings)
        with pytest.raises(UserError, match=f"{settings[0][1]} is needed: give --data"):
            job.check(Where(tmp_path))
        there = f"images:{tmp_path}" if settings[0][0] == "foreign" else str(tmp_path)
        job.check(Where(tmp_path, {settings[0][1]: there}))


def test_guarded_rows_have_maps_and_plain_ones_none():
    """Unless the method is made of maps."""
    for name in RECIPES:
        for place, job in find_recipe(name).places(find_recipe(name).scales["full"]).items():
            for one in trainings(job):
                arm = one.arm != "plain" or any(find(method, methods()).needs_map for method, _ in one.steps)
                assert (one.maps is not None) == arm, (name, place)
            if isinstance(job, Training) and "control" in f"{place.row} {place.column}":
                assert (job.first or job).arm == "control", (name, place)


def test_a_job_s_name_changes_with_all_that_decides_it_and_nothing_else():
    plain = training(SMALL, "cutout", length=8)
    others = [
        training(SMALL, "cutout", length=6),
        training(SMALL, "cutout", "guarded", length=8),
        training(SMALL, "cutout", "control", length=8),
        training(SMALL, "cutout", "guarded", Maps("centre"), length=8),
        training(SMALL, "cutout", "guarded", Maps("cdiea", of="predicted"), length=8),
        training(SMALL, "cutout", length=8, noise=0.5),
        training(SMALL, "cutout", length=8).with_seeded_data(),
        training(aw.TrainConfig(size=16, limit=60, epochs=3, batch_size=20), "cutout", length=8),
        training(SMALL),
    ]
    assert len({key_of(job) for job in (plain, *others)}) == 1 + len(others)
    same = training(aw.TrainConfig(**{**SMALL.__dict__, "quiet": True, "device": "cpu"}), "cutout", length=8)
    assert key_of(same) == key_of(plain)


def test_killed_and_started_again_it_ends_as_if_nothing_had_been(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(call(whole), check=True, capture_output=True, timeout=300)
    process = subprocess.Popen(call(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not list(killed.glob("runs/*/s0/summary.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)  # into the second run
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = list(killed.glob("runs/*/s0/summary.json"))
    assert len(done) == 1
    first = done[0].read_bytes()
    subprocess.run(call(killed), check=True, capture_output=True, timeout=300)
    results = [json.loads((out / NAME / "tiny" / "results.json").read_text()) for out in (whole, killed)]
    for found in results:
        found.pop("command")  # names the folder
    assert results[0] == results[1]
    assert (results[0]["done"], results[0]["left"]) == (2, 2)
    assert done[0].read_bytes() == first  # what was finished was not run again
    # More of it into the same folder: what is there stays, and the results tell of everything.
    subprocess.run(call(killed, rows=("ResNet-18 / LP-A3",)), check=True, capture_output=True, timeout=300)
    more = json.loads((killed / NAME / "tiny" / "results.json").read_text())
    assert (more["done"], more["left"]) == (3, 1)
    cells = more["tables"][0]["cells"]
    assert cells[ROWS[0]]["DermaMNIST"] == results[0]["tables"][0]["cells"][ROWS[0]]["DermaMNIST"]
    assert cells["ResNet-18 / LP-A3"]["DermaMNIST"]["n"] == 1
    page = (killed / NAME / "tiny" / "report.html").read_text()
    assert f"{cells['ResNet-18 / LP-A3']['DermaMNIST']['mean']:.2f} (76.22)" in page


def test_a_job_trains_what_augwise_train_does(tmp_path):
    """Guarded by an image's own map, and by another's; the same bytes as by hand."""
    maps = Maps("centre")
    for arm in ("guarded", "control"):
        job = training(SMALL, "cutout", arm, maps, length=8)
        found = job.run(3, tmp_path / f"job-{arm}", Where(tmp_path / "home", device="cpu", threads=1))
        source = aw.open_source("digits", "train", size=16, limit=60)
        test = aw.open_source("digits", "test", size=16, limit=40)
        store = aw.estimate(None, source, tmp_path / f"maps-{arm}", aw.CentrePrior(), progress=False)
        attached = store.attach(source)
        config = aw.TrainConfig(
            size=16, epochs=2, batch_size=20, seed=3, threads=1, out=tmp_path / arm, quiet=True, device="cpu"
        )
        by_hand = aw.train(
            config,
            source=source,
            test=test,
            maps=attached.deranged(3) if arm == "control" else attached,
            steps=[aw.Cutout(8, quantile=0.6)],
        )
        assert found.measured["accuracy"] == by_hand["test"]["last_accuracy"]
        assert found.curve == [row["test_accuracy"] for row in by_hand["curve"]]


def test_every_seed_lends_other_images_maps(tmp_path):
    job = training(SMALL, "cutout", "control", Maps("corners"), length=8)
    where = Where(tmp_path / "home", device="cpu", threads=1)
    job.run(3, tmp_path / "job", where)
    source, test = (aw.open_source("digits", split, size=16, limit=n) for split, n in (("train", 60), ("test", 40)))
    maps = aw.ImportanceStore(next((tmp_path / "home" / "prepared").iterdir()) / "maps").attach(source)
    config = replace(SMALL, seed=3, out=tmp_path / "hand", quiet=True, device="cpu")
    by_hand = aw.train(config, source=source, test=test, maps=maps.deranged(3), steps=[aw.Cutout(8, quantile=0.6)])
    told = json.loads((tmp_path / "job" / "results.json").read_text())
    assert [row["train_loss"] for row in told["curve"]] == [row["train_loss"] for row in by_hand["curve"]]


def test_maps_of_the_model_in_training_are_those_of_train(tmp_path):
    """Guarded and control, the live maps right before the method that they guide; the same bytes as by hand."""
    source = aw.open_source("digits", "train", size=16, limit=60)
    test = aw.open_source("digits", "test", size=16, limit=40)
    curves = []
    for arm in ("guarded", "control"):
        job = training(SMALL, "cutout", arm, Maps("live"), before=[("randaugment", {"magnitude": 3})], length=8)
        found = job.run(3, tmp_path / f"job-{arm}", Where(tmp_path / "home", device="cpu", threads=1))
        config = aw.TrainConfig(
            size=16, epochs=2, batch_size=20, seed=3, threads=1, out=tmp_path / arm, quiet=True, device="cpu"
        )
        first = find("randaugment", methods()).load()(magnitude=3)
        steps = [first, aw.LiveSaliency(control=arm == "control"), aw.Cutout(8, quantile=0.6)]
        by_hand = aw.train(config, source=source, test=test, steps=steps)
        told = json.loads((tmp_path / f"job-{arm}" / "results.json").read_text())
        assert told["steps"] == by_hand["steps"]
        assert [row["train_loss"] for row in told["curve"]] == [row["train_loss"] for row in by_hand["curve"]]
        assert found.measured["accuracy"] == by_hand["test"]["last_accuracy"]
        curves.append([row["train_loss"] for row in by_hand["curve"]])
    assert curves[0] != curves[1]
    assert not (tmp_path / "home").exists()  # nothing is prepared


def test_a_job_begins_where_another_ended(tmp_path):
    """Its network is trained once for all that begin with it, by the same seed; the same bytes as by hand."""
    before = training(SMALL, "cutout", "control", Maps("centre"), length=8)
    job = replace(training(replace(SMALL, epochs=1, data_seed=1)), first=before)
    where = Where(tmp_path / "home", device="cpu", threads=1)
    found = job.run(3, tmp_path / "job", where)
    (begun,) = (tmp_path / "home" / "prepared").glob("network-*/s*")
    assert begun.name == "s3"
    alone = before.run(3, tmp_path / "before", where)
    assert json.loads((begun / "results.json").read_text())["test"]["last_accuracy"] == alone.measured["accuracy"]
    config = replace(
        SMALL, epochs=1, data_seed=1, seed=3, out=tmp_path / "hand", quiet=True, device="cpu",
        checkpoint=begun / "weights.safetensors",
    )  # fmt: skip
    by_hand = aw.train(config)
    told = json.loads((tmp_path / "job" / "results.json").read_text())
    assert [row["train_loss"] for row in told["curve"]] == [row["train_loss"] for row in by_hand["curve"]]
    assert found.measured["accuracy"] == by_hand["test"]["last_accuracy"]
    stamp = (begun / "weights.safetensors").stat().st_mtime_ns
    replace(job, train=replace(job.train, lr=0.01)).run(3, tmp_path / "other", where)
    assert (begun / "weights.safetensors").stat().st_mtime_ns == stamp
    assert len({key_of(j) for j in (job, replace(job, first=None), replace(job, first=training(SMALL)))}) == 3


def test_maps_know_no_label_that_the_job_does_not(tmp_path):
    learn = LearnConfig(objective="uda", labelled=20, epoch_steps=2)
    train = replace(SMALL, learn=learn, batch_size=4)
    maps = Maps("saliency", of="predicted", base=(("batch_size", 10),))
    job = training(train, "cutout", "guarded", maps, length=8).with_seeded_data()
    job.run(1, tmp_path / "run", Where(tmp_path, device="cpu", threads=1))
    (home,) = (tmp_path / "prepared").iterdir()
    assert json.loads((home / "base" / "results.json").read_text())["data"]["train"] == 20
    store = aw.ImportanceStore(home / "maps")
    source = aw.open_source("digits", "train", size=16, limit=60, seed=1)
    predicted = predicted_labels(trained(home / "base").model, source, "cpu")
    assert store.labels.tolist() == predicted.tolist()


def test_attacks_and_times_are_measured(tmp_path):
    where = Where(tmp_path / "home", device="cpu", threads=1)
    maps = Maps("cdiea", (("epsilon", 0.3), ("steps", 20)), base=(("epochs", 4),))
    attack = Attack(Prepared(SMALL, maps))
    found = attack.run(2, tmp_path / "attack", where)
    (home,) = (tmp_path / "home" / "prepared").iterdir()
    source = aw.open_source("digits", "train", size=16, limit=60)
    base = trained(home / "base")
    assert base.run["config"]["seed"] == 1_002  # every seed attacks a network of its own
    store = aw.estimate(base.model, source, tmp_path / "own", aw.CDIEA(epsilon=0.3, steps=20), progress=False)
    told = store.summary()
    assert found.measured["success_rate"] == told["success_rate"]
    assert found.measured["key_points"] == told["mean_key_points"]
    assert found.measured["pixel_share"] == pytest.approx(np.count_nonzero(store.maps) / store.maps.size)
    plain, other = training(SMALL), training(SMALL, "cutout", length=8)
    outcome = Overhead(other, plain).run(0, tmp_path / "overhead", where)
    last = [
        json.loads((tmp_path / "overhead" / name / "results.json").read_text())["curve"][1]["seconds"]
        for name in ("run", "than")
    ]
    assert outcome.measured["overhead"] == pytest.approx(last[0] / last[1] - 1)
    cost = Cost(plain, 100).run(0, tmp_path / "cost", where)
    second = json.loads((tmp_path / "cost" / "run" / "results.json").read_text())["curve"][1]["seconds"]
    assert cost.measured["hours"] == pytest.approx(100 * second / 3600)
    assert len({key_of(job) for job in (attack, plain, Cost(plain, 100), Cost(plain, 50), Overhead(other, plain))}) == 5


def test_wrong_labels_are_wrong_for_everybody(tmp_path):
    job = training(SMALL, "cutout", "trusted", Maps("saliency"), length=8, noise=0.5).with_seeded_data()
    where = Where(tmp_path, device="cpu", threads=1)
    labels = [np.asarray(job.seeded(seed).sources(where).train.labels) for seed in (0, 1)]
    true = aw.open_source("digits", "train", size=16, limit=60, seed=0)
    assert 20 <= (labels[0] != true.labels).sum() <= 30
    job.run(0, tmp_path / "run", where)
    (home,) = (tmp_path / "prepared").iterdir()
    for name in ("base", "early"):
        told = json.loads((home / name / "results.json").read_text())
        assert told["config"]["learn"]["noise"] == 0  # the labels that it was given are wrong already
    steps = json.loads((tmp_path / "run" / "results.json").read_text())["steps"]
    assert steps[0].startswith("TrustedGuard(Cutout(")


def test_questions_are_asked_of_networks_that_are_trained_once(tmp_path):
    where = Where(tmp_path / "home", device="cpu", threads=1)
    network = training(SMALL)
    asked = (("access", "grey"), ("attack", "fgsm"), ("epsilon", "8/255"), ("limit", 30))
    found = Analysed(network, "robustness", asked, other=network).run(1, tmp_path / "grey", where)
    runs = []
    for seed in (1, 1 + OTHER_SEED):
        config = aw.TrainConfig(**{**SMALL.__dict__, "seed": seed, "out": tmp_path / str(seed), "quiet": True})
        aw.train(replace(config, device="cpu"))
        runs.append(tmp_path / str(seed))
    on = aw.AnalyseRuns((runs[0],), out=tmp_path / "by-hand", quiet=True, device="cpu")
    options = {"attacks": ("fgsm",), "epsilons": ("8/255",), "limit": 30}
    by_hand = aw.analyse(aw.AnalyseRobustness(on, grey=(runs[1],), **options))
    (row,) = [row for row in by_hand["rows"] if row["access"] == "grey"]
    assert found.measured == {"accuracy": row["accuracy"]["mean"]}
    assert found.measured["accuracy"] is not None

    made = sorted(tmp_path.glob("home/prepared/*/s*/weights.safetensors"))
    times = [path.stat().st_mtime_ns for path in made]
    assert len(made) == 2
    other = Analysed(network, "ood", (("foreign", "noise"), ("limit", 30))).run(1, tmp_path / "ood", where)
    told = json.loads((tmp_path / "ood" / "analysis" / "results.json").read_text())
    (row,) = [row for row in told["rows"] if row["score"] == "max_softmax"]
    assert other.measured == {"aupr": row["aupr"]["mean"]}
    assert [path.stat().st_mtime_ns for path in made] == times  # not trained again


def test_hard_images_stand_in_folders_of_their_classes(tmp_path):
    """By the folder's name, or by a file that names its class; the accuracy is of those classes alone."""
    source = aw.open_source("digits", "test", size=16, limit=40)
    rows = [i for i in range(40) if source.labels[i] in (2, 7)]
    for i in rows:
        for home, name in (("named", str(source.labels[i])), ("coded", f"n{source.labels[i]:08d}")):
            file = tmp_path / home / name / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(source[i][0].permute(1, 2, 0).numpy()).save(file)
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"n00000002": "2", "n00000007": "7"}))
    job = Analysed(training(SMALL), "natural", (("known", "imagenet-a"),))
    given = ({"imagenet-a": str(tmp_path / "named")},
             {"imagenet-a": str(tmp_path / "coded"), "imagenet-classes": str(names)})  # fmt: skip
    found = []
    for i, sources in enumerate(given):
        where = Where(tmp_path / "home", sources, device="cpu", threads=1)
        job.check(where)
        found.append(job.run(0, tmp_path / f"job-{i}", where).measured["accuracy"])
    network = trained(job.network.kept(0, Where(tmp_path / "home", device="cpu"))).model
    images = torch.stack([source[i][0] for i in rows]).float() / 255
    with torch.no_grad():
        among = network(images)[:, [2, 7]].argmax(1)
    assert found == [pytest.approx((among == torch.tensor([source.labels[i] == 7 for i in rows])).float().mean())] * 2
    with pytest.raises(UserError, match=r"imagenet-classes .* is not there"):
        job.check(Where(tmp_path, {"imagenet-a": str(tmp_path), "imagenet-classes": str(tmp_path / "none.json")}))


def test_what_augmentation_leaves_of_the_labels_is_that_of_analyse(tmp_path):
    where = Where(tmp_path / "home", device="cpu", threads=1)
    job = Analysed(training(replace(SMALL, epochs=6)), "farther", (("limit", 30),))
    found = job.run(0, tmp_path / "job", where).measured
    told = json.loads((tmp_path / "job" / "analysis" / "results.json").read_text())
    kept = {(row["method"], row["margin"]): row["kept"] for row in told["rows"]}
    assert found == {"RandAugment kept": kept["randaugment", None], "LP-A3 kept": kept["lpa3", 0.1]}
    (group,) = read_gallery(tmp_path / "job")["groups"]
    assert "cam" in group["examples"][0]["tiles"][0]


def test_operations_are_those_that_the_paper_prints(tmp_path):
    """At 224 px with ImageNet's stem for ResNets, at 32 px for the others; in the unit of the printed cell."""
    recipe = find_recipe("ipf-rda/table-12")
    (printed,) = [one for one in recipe.published() if one.id.endswith("flops")]
    for (row, column), value in printed.cells.items():
        place = Place(printed.id, row, column)
        found = recipe.job(recipe.scales["full"], place).run(0, tmp_path, Where(tmp_path)).measured
        assert found[recipe.measured(place)] == pytest.approx(value.mean, rel=0.007)
    assert recipe.job(recipe.scales["full"], Place(printed.id, "ResNet-18", "FLOPs (M)")) is None


class Given:
    """A job whose numbers are known."""

    def __init__(self, name, values):
        self.name, self.values = name, values

    def identity(self):
        return {"name": self.name}

    def check(self, where):
        pass

    def run(self, seed, folder, where):  # noqa: ARG002
        return Outcome({"accuracy": self.values[seed]}, [0.1, self.values[seed]], 1.0, {"cpu": "one"})


def given_plan(out, better="lower", metric="test error %"):
    values = {"plain": [0.90, 0.92, 0.91], "IPF": [0.93, 0.94, 0.95], "control": [0.90, 0.91, 0.92]}
    jobs = {name: Given(name, found) for name, found in values.items()}
    scale = Scale("made up", "none", 3)
    recipe = Recipe(
        "ipf-rda/given", "given", "nowhere", ("given",), {"tiny": scale}, lambda _, place: jobs[place.row], "none",
        against=lambda row, column: None if row == "plain" else ("plain", column), more_rows=("control",),
    )  # fmt: skip
    cells = {("plain", "net"): Value(9.5, None), ("IPF", "net"): Value(9.0, 0.1)}
    printed = Table("given", "given", metric, better, ("plain", "IPF"), ("net",), cells, {}, "")
    return recipe, printed, values, jobs, scale, out


def test_gains_are_counted_in_what_the_table_counts(tmp_path, monkeypatch):
    recipe, printed, values, _, scale, out = given_plan(tmp_path, metric="epochs to converge")
    monkeypatch.setattr("augwise.recipes.recipe.table", lambda _: printed)
    recipe = replace(recipe, measured=lambda _: "converged")
    places = recipe.places(scale)
    plan = Plan(recipe, "tiny", places, places, 3, out)
    for name, job in zip(values, places.values(), strict=True):
        for seed in range(3):
            unit = plan.unit(job, seed)
            unit.folder.mkdir(parents=True)
            outcome = Outcome({"converged": 10.0 * values[name][seed]}, [], 1.0, {})
            write_json(unit.folder / "summary.json", {"job": {}, "seed": seed, **outcome._asdict()})
    plan.folder.mkdir(parents=True)
    pair = write(plan)["pairs"][0]
    assert pair["unit"] == "epochs to converge"
    assert pair["gain"]["mean"] == pytest.approx(-10 * np.subtract(values["IPF"], values["plain"]).mean())  # fewer
    assert "epochs to converge (n = 3)" in (plan.folder / "table.txt").read_text()
    page = (plan.folder / "report.html").read_text()
    assert "gain, epochs to converge" in page
    assert "gain, points" not in page


def test_the_table_s_numbers_by_hand(tmp_path, monkeypatch):
    recipe, printed, values, _, scale, out = given_plan(tmp_path)
    monkeypatch.setattr("augwise.recipes.recipe.table", lambda _: printed)
    places = recipe.places(scale)
    plan = Plan(recipe, "tiny", places, places, 3, out)
    for job in places.values():
        for seed in (2, 0, 1):  # in whatever order they finish
            unit = plan.unit(job, seed)
            unit.folder.mkdir(parents=True)
            outcome = job.run(seed, unit.folder, None)
            write_json(unit.folder / "summary.json", {"job": {}, "seed": seed, **outcome._asdict()})
    plan.folder.mkdir(parents=True)
    found = write(plan)
    cell = found["tables"][0]["cells"]["IPF"]["net"]
    errors = 100 * (1 - np.array(values["IPF"]))
    assert cell["mean"] == pytest.approx(errors.mean())
    assert cell["std"] == pytest.approx(errors.std(ddof=1))
    assert (cell["published"], cell["published_std"], cell["n"]) == (9.0, 0.1, 3)
    ipf, control = found["pairs"]
    differences = 100 * (np.array(values["IPF"]) - np.array(values["plain"]))
    assert ipf["gain"]["mean"] == pytest.approx(differences.mean())  # fewer errors are a gain
    assert ipf["published"] == pytest.approx(0.5)
    assert control["published"] is None
    wanted = [
        p_value(paired(dict(enumerate(values[name])), dict(enumerate(values["plain"])))) for name in ("IPF", "control")
    ]
    assert [ipf["p"], control["p"]] == pytest.approx(holm(wanted))
    assert found["curves"]["given | IPF | net"] == pytest.approx([0.1, np.mean(values["IPF"])])
    text = (plan.folder / "table.txt").read_text()
    assert "6.00 ± 1.00 (9)" in text
    assert "9 of 9 runs are done" in text
    assert states(plan).startswith("ipf-rda/given, tiny: 9 done, 0 running, 0 left")


@pytest.mark.parametrize(
    ("low", "high", "published", "words"),
    [
        (0.1, 0.9, 0.5, "better, as the paper"),
        (0.1, 0.9, -0.5, "better, unlike the paper"),
        (-0.9, -0.1, 0.5, "worse, unlike the paper"),
        (-0.9, -0.1, None, "worse"),
        (-0.5, 0.9, 0.5, "no difference shown; the paper’s gain lies inside the interval"),
        (-0.5, 0.4, 0.5, "no difference shown; the paper’s gain lies outside the interval"),
        (None, None, 0.5, "too few seeds to say"),
    ],
)
def test_verdicts(low, high, published, words):
    mean = 0.0 if low is None else (low + high) / 2
    assert verdict({"n": 3, "mean": mean, "low": low, "high": high}, published) == words


def test_what_cannot_be_meant(tmp_path):
    def asked(name=NAME, **changes):
        return ReproduceConfig(name, out=tmp_path, quiet=True, device="cpu", **changes)

    for config, message in (
        (asked(""), "name a table"),
        (asked("lp-a3/table-4"), "did you mean lp-a3/table-"),
        (asked(scale="huge"), "full, short, tiny"),
        (asked(rows=("ResNet-19",)), "no row 'ResNet-19': use ResNet-18 / baseline"),
        (asked(columns=("Derma",)), "no column 'Derma': use DermaMNIST"),
        (asked("table-3"), "did you mean ipf-rda/table-3 or advmask/table-3 or dcutmix/table-3"),
        (asked(rows=("ResNet-50 / LP-A3",)), "does not run the row 'ResNet-50 / LP-A3': use ResNet-18 / baseline"),
        (asked(columns=("BloodMNIST",)), "does not run the column 'BloodMNIST': use DermaMNIST"),
        (asked(seeds=0), "--seeds 0"),
        (asked(jobs=0), "--jobs 0"),
        (asked(scale="full", columns=("DermaMNIST",), data=(("medmnist:dermamnist", "npz:no.npz"),)), "no.npz"),
    ):
        with pytest.raises(UserError, match=message):
            reproduce(config)
    folder = plan_of(asked()).folder
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"kind": "train"}))
    with pytest.raises(UserError, match="would be lost"):
        reproduce(asked())
    assert not (Path(tmp_path) / "runs").exists()
