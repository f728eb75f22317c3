"""Training on a chosen part of the images: the right ones, chosen by a network of its own, once for all runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import augwise as aw
from augwise.recipes.chosen import Choice, Chosen, Scored
from augwise.recipes.contents import find_recipe
from augwise.recipes.recipe import Place, Where, key_of
from augwise.recipes.training import converged, training
from augwise.report.gallery import read_gallery
from augwise.subset_file import SubsetFile
from augwise.training.config import TrainConfig

SMALL = TrainConfig(size=16, limit=80, eval_limit=40, epochs=2, batch_size=8, threads=1)


@pytest.fixture
def where(tmp_path):
    return Where(tmp_path / "home", device="cpu", threads=1)


def test_the_highest_of_each_class_and_nothing_else_is_trained_on(tmp_path, where):
    choice = Choice(SMALL, "cv", 0.3, more=(("mixes", 4),))
    job = Chosen(training(SMALL), choice)
    found = job.run(0, tmp_path / "run", where)
    file = choice.file(where, 0)
    rows = SubsetFile.load(file).rows
    all_rows = aw.open_source("digits", "train", size=16, limit=80).rows  # among all digits
    with np.load(file.parent / "scores.npz") as given:
        scores, labels = given["scores"], given["labels"]
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        kept = np.isin(all_rows[own], rows)
        assert kept.sum() == round(0.3 * len(own))
        assert scores[own[kept]].min() >= scores[own[~kept]].max()
    told = json.loads((tmp_path / "run" / "results.json").read_text())
    assert told["data"]["train"] == len(rows)
    by_hand = aw.train(replace(SMALL, subset=file, limit=None, seed=0, out=tmp_path / "hand", quiet=True, device="cpu"))
    assert found.measured["accuracy"] == by_hand["test"]["last_accuracy"]
    assert found.curve == [row["test_accuracy"] for row in by_hand["curve"]]


def test_scores_are_made_once_and_chance_is_drawn_by_every_seed(where):
    high, low, deviation, chance = (
        Choice(SMALL, measure, 0.2, rule, more)
        for measure, rule, more in (
            ("mean", "top", (("mixes", 3),)), ("mean", "bottom", (("mixes", 3),)), ("std", "top", (("mixes", 3),)),
            ("random", "top", ()),
        )
    )  # fmt: skip
    files = [choice.file(where, 0) for choice in (high, low, deviation)]
    assert len({file.parent.parent for file in files}) == 1  # one network
    mixes = [file.parent.glob("mixes-*.npz").__next__().read_bytes() for file in files]
    assert mixes[0] == mixes[1] == mixes[2]
    first, second = (set(SubsetFile.load(file).rows.tolist()) for file in files[:2])
    assert not first & second
    assert high.file(where, 5) == files[0]
    drawn = [SubsetFile.load(chance.file(where, seed)).rows.tolist() for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    assert SubsetFile.load(chance.file(where, 0)).rows.tolist() == drawn[0]


def test_a_choice_that_was_killed_before_its_end_is_made_again(tmp_path, where):
    """The subset's file is there before the scores are."""
    job = Scored(Choice(SMALL, "cv", 0.1, more=(("mixes", 4),)))
    whole = job.run(0, tmp_path / "whole", where)
    home = job.choice.file(where, 0).parent
    for name in ("scores.npz", "gallery.json", "results.json"):
        (home / name).unlink()
    again = job.run(0, tmp_path / "again", where)
    assert again.measured == whole.measured
    assert (tmp_path / "again" / "gallery.json").read_bytes() == (tmp_path / "whole" / "gallery.json").read_bytes()


def test_a_choice_names_its_job():
    choice = Choice(SMALL, "cv", 0.2)
    jobs = [Chosen(training(SMALL), c) for c in (
        choice, replace(choice, measure="std"), replace(choice, share=0.3), replace(choice, rule="bottom"),
        replace(choice, more=(("mixes", 3),)), replace(choice, scorer=replace(SMALL, epochs=3)),
        replace(choice, seed=3),
    )]  # fmt: skip
    assert len({key_of(job) for job in jobs}) == len(jobs)
    assert key_of(Chosen(training(replace(SMALL, epochs=5)), choice)) != key_of(jobs[0])


def test_both_ends_of_the_scores_are_shown(tmp_path, where):
    job = Scored(Choice(SMALL, "cv", 0.1, more=(("mixes", 4),), seed=None))
    found = job.run(0, tmp_path / "a", where).measured
    other = job.run(1, tmp_path / "b", where).measured  # another network's scores
    assert found["highest"] > found["lowest"]
    assert found != other
    (home,) = [p.parent for p in (where.home / "prepared").glob("scorer-*/cv-*/scores.npz")][:1]
    with np.load(home / "scores.npz") as given:
        scores = sorted(given["scores"])
    assert np.mean(scores[:8]) in (pytest.approx(found["lowest"]), pytest.approx(other["lowest"]))
    assert np.mean(scores[-8:]) in (pytest.approx(found["highest"]), pytest.approx(other["highest"]))
    highest, lowest = read_gallery(tmp_path / "a")["groups"]
    assert highest["title"].startswith("Highest")
    for top, low in zip(highest["examples"], lowest["examples"], strict=True):
        assert min(float(t["caption"]) for t in top["tiles"]) >= max(float(t["caption"]) for t in low["tiles"])


def test_of_the_head_alone_the_first_stage_is_the_same():
    recipe = find_recipe("ipf-rda/table-8")
    for scale in recipe.scales.values():
        whole, alone = (
            recipe.job(scale, Place("ipf-rda/table-8", "Cutout", column)) for column in ("IPF", "IPF, head alone")
        )
        assert whole.first == alone.first
        assert whole.first.arm == "guarded"
        assert (whole.train.only_head, alone.train.only_head) == (False, True)
    assert recipe.against("Cutout", "control, head alone") == ("Cutout", "original, head alone")


def test_when_a_curve_has_converged():
    """The mean of the last tenth is 0.9; within half a point of it first after the third epoch."""
    curve = [0.5, 0.89, 0.895, 0.92, 0.8, *[0.9] * 15]
    assert converged(curve) == 3
    assert converged([0.2]) == 1
    assert converged([0.9, 0.1]) == 1  # what falls has been there from the first
