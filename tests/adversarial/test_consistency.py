"""Time consistency against a slow loop, and the augmentation of those alone whom it finds unsteady."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import augwise as aw
from augwise.labels import MixedLabels


class Slow:
    """One image at a time, in plain numbers."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.last: dict[int, list[float]] = {}
        self.score: dict[int, float] = {}

    def visit(self, index: int, logits: list[float], label: int | None) -> None:
        total = sum(math.exp(value) for value in logits)
        now = [math.exp(value) / total for value in logits]
        if index in self.last:
            old = self.last[index]
            y = old.index(max(old)) if label is None else label
            change = sum(p * math.log(p / q) for p, q in zip(old, now, strict=True)) + abs(math.log(old[y] / now[y]))
            self.score[index] = (1 - self.decay) * self.score.get(index, 0.0) - self.decay * change
        self.last[index] = now


@pytest.mark.parametrize("labelled", [False, True])
def test_scores_are_those_of_a_slow_loop(labelled: bool):
    scores, slow = aw.TimeConsistency(12, 3, decay=0.7), Slow(0.7)
    labels = torch.arange(12) % 3
    for _ in range(9):
        rows = torch.randperm(12)[:5]
        logits = torch.randn(5, 3) * 2
        scores.update(rows, logits, labels[rows] if labelled else None)
        for row, values in zip(rows.tolist(), logits.tolist(), strict=True):
            slow.visit(row, values, int(labels[row]) if labelled else None)
    assert len(slow.score) > 6
    for row, value in slow.score.items():
        assert float(scores.scores[row]) == pytest.approx(value, rel=1e-4, abs=1e-5)
        assert value < 0
    assert scores.visits.tolist() == [9 * 5 and sum(1 for _ in range(int(n))) for n in scores.visits]
    assert int(scores.visits.sum()) == 45


def steady(values: list[float]) -> aw.TimeConsistency:
    """Scores as given; NaN for images visited less than twice."""
    scores = aw.TimeConsistency(len(values), 3)
    scores.scores.copy_(torch.tensor(values).nan_to_num(0.0))
    scores.visits.copy_(torch.tensor([1 if math.isnan(v) else 2 for v in values]))
    return scores


def test_the_lowest_of_a_batch_and_of_all():
    scores = steady([-0.1, -5.0, math.nan, -0.3, -2.0, 0.0, -0.2, -1.0])
    rows = torch.tensor([6, 5, 4, 3, 2])
    assert scores.lowest(rows, 0.2).tolist() == [4]  # unknown first
    assert scores.lowest(rows, 0.4).tolist() == [2, 4]
    assert scores.lowest(rows, 0.41).tolist() == [2, 3, 4]  # a share is rounded up
    assert scores.lowest(rows, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert scores.lowest(rows, 0.6).tolist() == [2, 3, 4]
    assert len(aw.TimeConsistency(100, 2).lowest(torch.arange(100), 0.07)) == 7  # whatever floats make of 0.07 · 100
    assert scores.below(rows, 3 / 8).tolist() == [False, False, True, False, True]
    assert scores.below(torch.arange(8), 0.5).sum() == 4
    assert steady([-1.0] * 6).below(torch.arange(6), 0.1).all()  # ties all count
    assert aw.TimeConsistency(4, 2).lowest(torch.tensor([3, 1]), 0.5).tolist() == [0]


def test_scores_are_saved_and_go_on():
    scores = aw.TimeConsistency(6, 3)
    visits = [(torch.randperm(6), torch.randn(6, 3)) for _ in range(4)]
    for rows, logits in visits[:2]:
        scores.update(rows, logits)
    other = aw.TimeConsistency(6, 3)
    other.load_state_dict(scores.state_dict())
    for rows, logits in visits[2:]:
        scores.update(rows, logits)
        other.update(rows, logits)
    assert torch.equal(scores.scores, other.scores)
    assert not list(scores.parameters())


def test_half_the_memory():
    scores, half = aw.TimeConsistency(5, 4), aw.TimeConsistency(5, 4, dtype=torch.float16)
    assert half.previous.element_size() == 2
    for _ in range(3):
        logits = torch.randn(5, 4)
        scores.update(torch.arange(5), logits)
        half.update(torch.arange(5), logits)
    torch.testing.assert_close(half.scores, scores.scores, rtol=0.02, atol=0.02)


def batch(n: int = 6) -> aw.Batch:
    return aw.Batch.of(torch.rand(n, 3, 8, 6), torch.arange(n) % 3, torch.rand(n, 8, 6), torch.arange(n))


def darker(given: aw.Batch) -> aw.Batch:
    return given._replace(images=given.images * 0.5, labels=given.labels)


def test_only_the_chosen_are_augmented():
    given = batch()
    selective = aw.Selective(darker, steady([-1, -9, -2, -8, -7, -3.0]), 0.5)
    result = selective(given)
    for i in range(6):
        changed = i in (1, 3, 4)
        assert torch.equal(result.images[i], given.images[i] * (0.5 if changed else 1))
    assert type(result.images) is type(given.images)
    assert torch.equal(result.labels, given.labels)
    assert torch.equal(result.importance, given.importance)
    assert torch.equal(result.evidence, given.evidence)


def test_guarded_erasing_of_some_equals_erasing_them_alone():
    given = batch()
    cutout = aw.Cutout(4, quantile=0.5)
    torch.manual_seed(2)
    result = aw.Selective(cutout, steady([-1, -9, -2, -8, -7, -3.0]), 0.5)(given)
    rows = torch.tensor([1, 3, 4])
    torch.manual_seed(2)
    alone = cutout(aw.Batch.of(given.images[rows], given.labels[rows], given.importance[rows], rows))
    assert torch.equal(result.images[rows], alone.images)
    assert torch.equal(result.importance[rows].as_subclass(Tensor), alone.importance.as_subclass(Tensor))
    rest = torch.tensor([0, 2, 5])
    assert torch.equal(result.images[rest], given.images[rest])


@pytest.mark.parametrize("before", [False, True])
def test_mixing_some_keeps_the_labels_of_the_others(before: bool):
    given = batch()
    if before:
        given = aw.Mixup()(given)
    result = aw.Selective(aw.DCutMix(k=3), steady([-1, -9, -2, -8, -7, -3.0]), 0.5)(given)
    assert isinstance(result.labels, MixedLabels)
    dense, old = result.labels.dense(3), MixedLabels.of(given.labels).dense(3)
    torch.testing.assert_close(dense[[0, 2, 5]], old[[0, 2, 5]])
    assert not torch.equal(dense[[1, 3, 4]], old[[1, 3, 4]])
    torch.testing.assert_close(result.labels.weights.sum(1), torch.ones(6))


def test_chosen_among_all_data():
    scores = steady([-9, -8, -7, -1, -1, -1, -1, -1.0])
    some = aw.Batch.of(torch.rand(3, 3, 8, 6), torch.zeros(3).long(), None, torch.tensor([4, 1, 5]))
    assert aw.Selective(darker, scores, 3 / 8, among="data").chosen(some.indices).tolist() == [1]
    none = some._replace(indices=torch.tensor([4, 6, 5]))
    assert aw.Selective(darker, scores, 3 / 8, among="data")(none) is none


def test_the_input_is_not_modified():
    given = batch()
    images = given.images.clone()
    aw.Selective(darker, steady([-1.0] * 6), 1.0)(given)
    assert torch.equal(given.images, images)


def test_what_cannot_be_meant():
    scores = aw.TimeConsistency(4, 3)
    for ratio in (0, -0.5, 1.2, float("nan")):
        with pytest.raises(aw.UserError, match="is no share"):
            aw.Selective(darker, scores, ratio)
    with pytest.raises(aw.UserError, match="among='all'"):
        aw.Selective(darker, scores, 0.5, among="all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(aw.UserError, match="indices go from -1 to -1"):
        scores.lowest(torch.tensor([-1]), 0.5)
    with pytest.raises(aw.UserError, match="from 0 to 4, the scores are of 4 images"):
        scores.update(torch.arange(5), torch.randn(5, 3))
    with pytest.raises(aw.UserError, match=r"logits have shape \(2, 2\)"):
        scores.update(torch.arange(2), torch.randn(2, 2))
    with pytest.raises(aw.UserError, match="decay=0"):
        aw.TimeConsistency(4, 3, decay=0)
    with pytest.raises(aw.UserError, match="count=0"):
        aw.TimeConsistency(0, 3)
    smaller = aw.Selective(lambda b: b._replace(images=b.images[..., :4]), aw.TimeConsistency(6, 3), 0.5)
    with pytest.raises(aw.UserError, match="as many of the same size"):
        smaller(batch())
    ints = aw.Selective(lambda b: b._replace(images=(b.images * 255).byte()), aw.TimeConsistency(6, 3), 0.5)
    with pytest.raises(aw.UserError, match="keep their type"):
        ints(batch())
