"""Jobs that search an architecture: what they do is what the verbs do, and each search is made once."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import augwise as aw
from augwise.models import genotype
from augwise.recipes.chosen import Choice
from augwise.recipes.dcutmix_figure_5b import CV, RANDOM, RECIPE, WHOLE
from augwise.recipes.published import table
from augwise.recipes.recipe import Place, Where, key_of
from augwise.recipes.searched import Faster, Search, retrained
from augwise.report.reproduce_page import page
from augwise.report.reproduce_text import cell_text
from augwise.subset_file import SubsetFile
from augwise.training.config import TrainConfig
from augwise.training.search_config import SearchConfig

SEARCH = SearchConfig(data="digits", size=8, limit=80, epochs=2, batch_size=10, channels=8, layers=3)
TRAIN = TrainConfig(
    data="digits", model="darts_c4_l3:GENOTYPE", size=8, limit=40, eval_limit=20, epochs=1, batch_size=20, drop_path=0.0
)
ASKED = TrainConfig(data="digits", size=8, limit=80, eval_limit=20, epochs=1, batch_size=20)


def test_a_job_searches_and_trains_as_the_verbs_do(tmp_path):
    where = Where(tmp_path / "home", device="cpu", threads=1)
    search = Search(SEARCH, Choice(ASKED, "cv", 0.5, seed=None))
    found = retrained(search, TRAIN, 4).run(3, tmp_path / "job", where)
    kept = search.kept(3, where)

    subset = SubsetFile.load(search.part.file(where, 3))
    assert len(subset) == 40
    run = tmp_path / "asked"  # every seed asks a network of its own
    aw.train(replace(ASKED, seed=3, threads=1, device="cpu", out=run, quiet=True, tensorboard=False))
    by_hand = aw.SelectConfig(
        run=run, limit=80, size=8, fractions=(0.5,), seed=3, cases=0, device="cpu", out=tmp_path / "select", quiet=True
    )
    aw.select_images(by_hand)
    assert SubsetFile.load(by_hand.file(0.5)).rows.tolist() == subset.rows.tolist()
    again = replace(
        SEARCH, limit=None, subset=by_hand.file(0.5), seed=3, device="cpu", threads=1, out=tmp_path / "s", quiet=True
    )
    aw.search(again)
    assert (tmp_path / "s" / "genotype.json").read_bytes() == (kept / "genotype.json").read_bytes()
    settings = replace(
        TRAIN, model=f"darts_c4_l3:{tmp_path / 's' / 'genotype.json'}", seed=3, device="cpu", threads=1,
        out=tmp_path / "t", quiet=True, tensorboard=False,
    )  # fmt: skip
    trained = aw.train(settings, steps=[aw.Cutout(4)])
    assert found.measured["accuracy"] == trained["test"]["last_accuracy"]

    told = json.loads((kept / "results.json").read_text())
    assert found.measured["search_hours"] == pytest.approx(told["seconds"] / 3600)
    assert found.measured["gpu_days"] == pytest.approx(told["seconds"] / 86400)
    again = json.loads((tmp_path / "job" / "retrained" / "results.json").read_text())
    assert found.seconds == pytest.approx(told["seconds"] + again["seconds"])
    size = told["networks"][1]
    assert size["model"] == "darts_imagenet"
    assert found.measured["parameters"] == pytest.approx(size["parameters"] / 1e6)

    whole, before = Search(SEARCH), (kept / "results.json").stat().st_mtime_ns
    times = Faster(search, whole).run(3, tmp_path / "faster", where).measured["times"]
    other = json.loads((whole.kept(3, where) / "results.json").read_text())
    assert times == pytest.approx(other["seconds"] / told["seconds"])
    assert (kept / "results.json").stat().st_mtime_ns == before  # not searched again
    assert other["data"]["images"] == 80


def test_a_published_genotype_is_trained_without_a_search(tmp_path):
    where = Where(tmp_path / "home", device="cpu", threads=1)
    job = retrained("pc_darts_imagenet", TRAIN, None)
    measured = job.run(0, tmp_path / "job", where).measured
    assert "search_hours" not in measured
    printed = table("dcutmix/table-6-params").value("PC-DARTS (ImageNet)", "million parameters")
    assert printed is not None
    assert measured["parameters"] == pytest.approx(printed.mean, abs=0.05)
    assert measured["operations"] == pytest.approx(597, abs=0.5)
    assert (
        genotype("pc_darts_imagenet").plain == aw.Genotype.load(tmp_path / "job" / "retrained" / "genotype.json").plain
    )


def test_a_search_s_name_changes_with_all_that_decides_it():
    searches = [
        Search(SEARCH),
        Search(replace(SEARCH, epochs=3)),
        Search(replace(SEARCH, warmup_epochs=0)),
        Search(SEARCH, Choice(ASKED, "cv", 0.5, seed=None)),
        Search(SEARCH, Choice(ASKED, "random", 0.5)),
        Search(SEARCH, Choice(ASKED, "random", 0.4)),
        Search(SEARCH, Choice(replace(ASKED, epochs=2), "cv", 0.5, seed=None)),
    ]
    assert len({key_of(retrained(search, TRAIN, None)) for search in searches}) == len(searches)
    free = replace(SEARCH, quiet=True, device="cpu", threads=3, seed=9)
    assert key_of(retrained(Search(free), TRAIN, None)) == key_of(retrained(Search(SEARCH), TRAIN, None))
    assert key_of(retrained("pc_darts_imagenet", TRAIN, None)) != key_of(retrained("pc_darts_cifar10", TRAIN, None))


def test_a_column_of_figure_5b_is_a_cost():
    """A share of the images for all epochs, or all images for as large a share of the epochs."""
    scale = RECIPE.scales["full"]
    jobs = {row: RECIPE.job(scale, Place("dcutmix/figure-5b-accuracy", row, "t=0.2")) for row in (WHOLE, RANDOM, CV)}
    whole, chance, varied = (jobs[row].genotype for row in (WHOLE, RANDOM, CV))
    assert (whole.part, whole.config.epochs, whole.config.warmup) == (None, 10, 5)  # the paper's left end
    assert (chance.config.epochs, chance.config.warmup) == (50, 15)
    assert (chance.part.measure, chance.part.share, chance.part.seed) == ("random", 0.2, None)
    assert (varied.part.measure, varied.part.share, varied.part.seed) == ("cv", 0.2, None)
    last = {key_of(RECIPE.job(scale, Place("dcutmix/figure-5b-accuracy", row, "t=1.0"))) for row in (WHOLE, RANDOM, CV)}
    assert len(last) == 1


def test_cost_is_drawn_against_what_it_buys():
    def cells(values):
        one = {"std": 0.5, "n": 3, "seeds": {}, "published": None, "published_std": None, "job": None}
        return {row: {c: {**one, "mean": v} for c, v in found.items()} for row, found in values.items()}

    rows = ["cv", "random"]
    shared = {"rows": rows, "columns": ["t=0.1", "t=1"], "note": "", "better": "higher"}
    paid = cells({"cv": {"t=1": 9.0, "t=0.1": 1.0}, "random": {"t=0.1": 1.5}})
    bought = cells({"cv": {"t=1": 70.0, "t=0.1": 65.0}, "random": {"t=0.1": 60.0}})
    results = {
        "title": "x", "augwise": "0.1.0", "scale": "tiny", "about": "", "done": 1, "running": 0, "left": 0, "claim": "",
        "wary": [], "pairs": [], "curves": {}, "jobs": {}, "environments": [], "command": "", "hardware": "",
        "tables": [
            {**shared, "id": "a", "title": "Cost", "metric": "hours", "cells": paid},
            {**shared, "id": "b", "title": "Accuracy", "metric": "accuracy %", "cells": bought},
        ],
    }  # fmt: skip
    (drawn,) = [s for s in page({**results, "drawn": ["a", "b"]}, {}).words["sections"] if s.anchor == "drawn"]
    assert "cv: 65 at 1, 70 at 9; random: 60 at 1.5" in drawn.charts[0].svg
    assert all(s.anchor != "drawn" for s in page(results, {}).words["sections"])


def test_small_costs_are_told_with_two_digits():
    cell = {"n": 2, "mean": 0.000345, "std": 0.00002, "published": 0.01}
    assert cell_text(cell) == "0.00034 ± 0.00002 (0.01)"
    assert cell_text({**cell, "mean": 0.0, "std": None}) == "0.00 (0.01)"
    assert cell_text({**cell, "mean": 4.214, "std": 0.1}) == "4.21 ± 0.10 (0.01)"
