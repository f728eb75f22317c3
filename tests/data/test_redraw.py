"""A subset drawn anew: probabilities exact, expectation unbiased, draws keyed, and training weighs by it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.data import Redraw, RedrawSampler, limited, open_source
from augwise.data.redraw import ONE, inclusion, systematic
from augwise.errors import UserError
from augwise.selection import select
from augwise.training.batches import Batches, ResidentReader
from augwise.training.objectives.supervised import Supervised
from reference.training_toys import source

SKEWED = np.array([9.0, 0, 1, 3, 100, 0.5, 2, 40])


@pytest.mark.parametrize("scores", [SKEWED, np.ones(8), np.zeros(8), np.array([1e9, 1e-9, 0, 0, 0, 5, 1, 1])])
@pytest.mark.parametrize("count", [1, 3, 7, 8])
@pytest.mark.parametrize("uniform", [0.01, 0.3, 1.0])
def test_probabilities_are_those_of_the_formula(scores, count, uniform):
    parts = inclusion(scores, count, uniform)
    assert parts.sum() == count * ONE
    assert parts.min() > 0
    assert parts.max() <= ONE
    total = scores.sum()
    q = (1 - uniform) * (scores / total if total else np.full(8, 1 / 8)) + uniform / 8
    low, high = 0.0, count / q.min()  # min(1, c q) rises with c: find c by halving
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.minimum(1, middle * q).sum() < count else (low, middle)
    assert np.allclose(parts / ONE, np.minimum(1, high * q), atol=1e-8)
    assert (parts / ONE >= uniform * count / 8 - 1e-9).all()


@pytest.mark.parametrize("count", [1, 3, 6])
def test_the_expectation_is_exact(count):
    """Between two breakpoints every start draws the same, so the expectation over starts is a finite sum."""
    redraw = Redraw(SKEWED, count / 8, uniform=0.1)
    ((_, parts),) = redraw.groups
    loss = np.random.default_rng(0).normal(size=8)
    for order in (np.arange(8), np.random.default_rng(1).permutation(8)):
        ends = parts[order].cumsum()
        points = np.unique(np.concatenate([[0], ends % ONE, [ONE]]))
        seen, expected = np.zeros(8, np.int64), 0.0
        for start, stop in pairwise(points):
            drawn = systematic(parts, order, int(start))
            assert np.array_equal(drawn, systematic(parts, order, int(stop) - 1))
            assert len(set(drawn.tolist())) == len(drawn) == count
            seen[drawn] += stop - start
            expected += (stop - start) / ONE * (redraw.weights.numpy()[drawn] * loss[drawn]).sum() / count
        assert np.array_equal(seen, parts)  # to the last unit
        assert expected == pytest.approx(loss.mean(), abs=1e-6)


def test_drawn_images_come_as_often_as_they_should():
    redraw = Redraw(SKEWED, 0.5, uniform=0.2, seed=3)
    counts = np.zeros(8)
    for epoch in range(600):
        rows = redraw.rows(epoch)
        assert len(set(rows.tolist())) == len(rows) == redraw.count == 4
        counts[rows] += 1
    assert np.abs(counts / 600 - redraw.probability).max() < 0.07
    assert np.allclose(redraw.weights, 4 / (8 * redraw.probability))
    assert redraw.weights.max() <= 1 / 0.2 + 1e-6
    first = [redraw.rows(e)[0] for e in range(600)]  # the order is random: no image always comes first
    assert len(set(first)) == 8


def test_draws_are_keyed_by_seed_and_epoch():
    one, same, other = Redraw(SKEWED, 0.5, seed=1), Redraw(SKEWED, 0.5, seed=1), Redraw(SKEWED, 0.5, seed=2)
    for epoch in (5, 0, 3):
        assert np.array_equal(one.rows(epoch), same.rows(epoch))
    assert any(not np.array_equal(one.rows(e), other.rows(e)) for e in range(3))
    assert any(not np.array_equal(one.rows(0), one.rows(e)) for e in range(1, 4))


def test_every_class_gives_its_share():
    labels = np.array([0, 1, 0, 1, 0, 1, 0, 1, 1, 1, 3, 3])
    redraw = Redraw(np.arange(12.0), 0.5, labels)
    assert redraw.count == 6
    for epoch in range(5):
        assert np.bincount(labels[redraw.rows(epoch)]).tolist() == [2, 3, 0, 1]
    weighted = redraw.weights.numpy() * redraw.probability  # E of a weight where each of N counts alike
    assert np.allclose(weighted, 6 / 12)


def test_the_sampler_yields_epoch_and_index_for_every_process():
    redraw = Redraw(np.arange(20.0), 0.6, seed=4)
    sampler = RedrawSampler(redraw)
    assert list(sampler) == [(0, i) for i in redraw.rows(0).tolist()]
    assert list(sampler) == [(1, i) for i in redraw.rows(1).tolist()]
    sampler.set_epoch(7)
    assert [e for e, _ in sampler] == [7] * len(sampler)
    parts = [RedrawSampler(redraw, rank, 2, batch_size=3, drop_last=True) for rank in range(2)]
    both = [list(part) for part in parts]
    assert [i for _, i in both[0][:3] + both[1][:3] + both[0][3:] + both[1][3:]] == redraw.rows(0).tolist()
    assert torch.equal(sampler.weights, redraw.weights)


def test_samples_of_a_foreign_loop_know_their_epoch():
    data = source(12)
    sampler = RedrawSampler(Redraw(np.arange(12.0), 0.5))
    loader = torch.utils.data.DataLoader(aw.WithImportance(data), 3, sampler=sampler, collate_fn=aw.collate)
    seen = torch.cat([batch.indices for batch in loader])
    assert seen.tolist() == sampler.redraw.rows(0).tolist()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scores": np.array([1.0, -1])}, "not negative"),
        ({"scores": np.array([1.0, np.nan])}, "finite"),
        ({"scores": np.zeros(0)}, "one per image"),
        ({"fraction": 0}, "fraction=0"),
        ({"fraction": 1.5}, "fraction=1.5"),
        ({"fraction": 0.04}, "leaves nothing of 8 images"),
        ({"uniform": 0.0}, "uniform=0.0"),
        ({"labels": np.zeros(3, int)}, "8 scores and 3 labels"),
    ],
)
def test_bad_arguments(change, says):
    with pytest.raises(UserError, match=says):
        Redraw(**{"scores": SKEWED, "fraction": 0.5} | change)


# in training ---------------------------------------------------------------------------------------------------------


def test_batches_are_the_epochs_draw_and_their_loss_is_weighted():
    data, redraw = source(40), Redraw(np.arange(40.0), 0.5, seed=6)
    batches = Batches(ResidentReader(aw.Resident.load(data, progress=False)), seed=6, batch_size=8, redraw=redraw)
    assert len(batches) == 2
    for start in (0, 1):
        seen = [b.indices for b in batches.epoch(3, start)]
        assert torch.cat(seen).tolist() == redraw.rows(3)[8 * start : 16].tolist()
    (batch, *_) = batches.epoch(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    batch = batch._replace(images=batch.images.float())
    loss = Supervised(model, torch.optim.SGD(model.parameters(), 0.1), batches).loss(model, batch).loss
    each = torch.nn.functional.cross_entropy(model(batch.images), batch.labels, reduction="none")
    n, pi = redraw.count, redraw.probability[batch.indices]
    expected = sum(n / (40 * p) * x for p, x in zip(pi, each.tolist(), strict=True)) / 8
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_run_redraws_what_a_file_scored(tmp_path):
    whole = open_source("digits")
    select(whole, np.linspace(0, 1, 1000), 0.05, out=tmp_path / "s.npz")
    settings = {"batch_size": 25, "epochs": 2, "eval_limit": 20, "quiet": True, "out": None}
    config = aw.TrainConfig(subset=tmp_path / "s.npz", redraw=True, **settings)
    one, two = aw.train(config), aw.train(config)
    assert one["data"] | {"train": 1000, "redrawn": 50} == one["data"]
    assert one["curve"][1]["train_loss"] == two["curve"][1]["train_loss"]
    assert one["identity"]["redraw"] == two["identity"]["redraw"]
    fixed = aw.train(aw.TrainConfig(subset=tmp_path / "s.npz", **settings))
    assert fixed["data"]["train"] == 50
    assert "redraw" not in fixed["identity"]
    limit = aw.train(aw.TrainConfig(subset=tmp_path / "s.npz", redraw=True, limit=500, **settings))
    assert limit["data"] | {"train": 500, "redrawn": 30} == limit["data"]  # of 50 of a class 2.5, rounded up
    with pytest.raises(UserError, match="redraw draws by the scores in a subset file"):
        aw.TrainConfig(redraw=True).check()


def test_scores_follow_the_images_and_the_rule():
    whole = open_source("digits")
    part = limited(whole, 200, 0)
    scored = select(part, np.arange(200.0), 0.2)
    own = Redraw.of(scored, part)
    assert own.probability[:20].mean() < own.probability[-20:].mean()
    assert np.bincount(part.labels[own.rows(0)]).tolist() == [4] * 10
    low = Redraw.of(select(part, np.arange(200.0), 0.2, rule="bottom"), part)
    assert low.probability[:20].mean() > low.probability[-20:].mean()
    shifted = Redraw.of(select(part, np.arange(200.0) - 50, 0.2, per_class=False), part)
    assert shifted.count == 40
    with pytest.raises(UserError, match="800 of the 1000 images have no score"):
        Redraw.of(scored, whole)
