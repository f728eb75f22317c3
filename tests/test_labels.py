"""Mixed labels equal the dense distribution they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from augwise.errors import UserError
from augwise.labels import MixedLabels
from reference import dense_labels as slow

CLASSES = 5


def labels(n: int, k: int, doubt: bool = True, seed: int = 0) -> MixedLabels:
    """Random ones; classes repeat within a row, some weights are zero."""
    g = torch.Generator().manual_seed(seed)
    weights = torch.rand(n, k, generator=g) * (torch.rand(n, k, generator=g) > 0.2) + 1e-3
    return MixedLabels(
        torch.randint(0, CLASSES, (n, k), generator=g),
        weights / weights.sum(1, keepdim=True),
        torch.rand(n, generator=g) if doubt else torch.zeros(n),
    )


def dense(mixed: MixedLabels, smoothing: float = 0.0) -> list[list[float]]:
    rows = zip(mixed.classes.tolist(), mixed.weights.tolist(), mixed.doubt.tolist(), strict=True)
    return [slow.target(classes, weights, doubt, CLASSES, smoothing) for classes, weights, doubt in rows]


def logits(n: int) -> Tensor:
    return torch.randn(n, CLASSES) * 3


@pytest.mark.parametrize("k", [1, 2, 4])
def test_dense(k: int) -> None:
    mixed = labels(7, k)
    found = mixed.dense(CLASSES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), torch.tensor(dense(mixed), dtype=torch.float64), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(7))


def test_repeated_classes_add_up() -> None:
    mixed = MixedLabels(torch.tensor([[2, 2, 0]]), torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([0.2]))
    torch.testing.assert_close(mixed.dense(4), torch.tensor([[0.25, 0.05, 0.65, 0.05]]))
    assert float(mixed.accuracy(torch.tensor([[0.0, 0.0, 1.0, 0.0]]))) == pytest.approx(0.75)


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_smoothing_moves_towards_the_uniform(smoothing: float) -> None:
    mixed, x = labels(7, 3), logits(7)
    target = torch.tensor(dense(mixed, smoothing), dtype=torch.float64)
    torch.testing.assert_close(mixed.dense(CLASSES, smoothing).double(), target, rtol=0, atol=1e-6)
    bce = F.binary_cross_entropy_with_logits(x.double(), target)
    torch.testing.assert_close(mixed.bce(x, smoothing).double(), bce, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("k", [1, 3])
def test_cross_entropy_is_that_of_the_dense_target(k: int, smoothing: float) -> None:
    mixed, x = labels(7, k), logits(7)
    expected = torch.tensor(
        [slow.cross_entropy(t, row) for t, row in zip(dense(mixed, smoothing), x.tolist(), strict=True)]
    )
    each = mixed.cross_entropy(x, smoothing, reduction="none")
    torch.testing.assert_close(each, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mixed.cross_entropy(x, smoothing), expected.mean(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mixed.cross_entropy(x, smoothing, "sum"), expected.sum(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_plain_labels_are_torchs_own_cross_entropy(smoothing: float, reduction: str) -> None:
    x, y = logits(9).requires_grad_(), torch.randint(0, CLASSES, (9,))
    ours = MixedLabels.of(y).cross_entropy(x, smoothing, reduction)
    theirs = F.cross_entropy(x, y, label_smoothing=smoothing, reduction=reduction)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(torch.autograd.grad(ours.sum(), x), torch.autograd.grad(theirs.sum(), x))


def test_gradient_is_softmax_minus_target() -> None:
    mixed, x = labels(6, 3), logits(6).requires_grad_()
    (found,) = torch.autograd.grad(mixed.cross_entropy(x, reduction="sum"), x)
    torch.testing.assert_close(found, x.detach().softmax(1) - mixed.dense(CLASSES), rtol=1e-4, atol=1e-6)


def test_bce_is_that_of_the_dense_target() -> None:
    mixed, x = labels(7, 3), logits(7)
    expected = torch.tensor(
        [slow.binary_cross_entropy(t, row) for t, row in zip(dense(mixed), x.tolist(), strict=True)]
    )
    torch.testing.assert_close(mixed.bce(x, reduction="none"), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mixed.bce(x), expected.mean(), rtol=1e-5, atol=1e-6)


def test_accuracy_is_the_weight_of_the_predicted_class() -> None:
    mixed, x = labels(50, 3), logits(50)
    expected = 0.0
    for row in range(50):
        best = int(x[row].argmax())
        expected += sum(float(mixed.weights[row, k]) for k in range(3) if int(mixed.classes[row, k]) == best) / 50
    assert float(mixed.accuracy(x)) == pytest.approx(expected, rel=1e-5)
    y = torch.randint(0, CLASSES, (50,))
    assert float(MixedLabels.of(y).accuracy(x)) == pytest.approx(float((x.argmax(1) == y).float().mean()))


@pytest.mark.parametrize("doubt", [False, True])
def test_mixing_what_is_mixed_is_the_mixture_of_the_dense_targets(doubt: bool) -> None:
    sources = [labels(8, k, doubt, seed=k) for k in (1, 3, 2)]
    shares = torch.rand(8, 3)
    shares[0] = torch.tensor([1.0, 0, 0])
    shares = shares / shares.sum(1, keepdim=True)
    mixed = MixedLabels.mix(sources, shares)
    expected = sum(shares[:, i : i + 1] * s.dense(CLASSES) for i, s in enumerate(sources))
    torch.testing.assert_close(mixed.dense(CLASSES), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(mixed.weights.sum(1), torch.ones(8))
    assert torch.equal(mixed.classes[:, 0], sources[0].classes[:, 0])
    assert mixed.classes.shape == (8, 6)
    torch.testing.assert_close(mixed.doubt, sum(shares[:, i] * s.doubt for i, s in enumerate(sources)))


def test_where_no_source_doubts_the_mixture_does_not():
    """Shares that sum to 1 but for rounding must not look like doubt, or losses would spread it over all classes."""
    shares = torch.rand(500, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shares = shares / shares.sum(1, keepdim=True)
    assert (shares.float().sum(1) != 1).any()
    plain = torch.arange(500)
    rows = torch.stack([torch.arange(500).roll(k) for k in range(3)], 1)
    sources = [MixedLabels.of(rows[:, k]) for k in range(3)]
    joined = [MixedLabels.joined(labels, rows, shares) for labels in (plain, MixedLabels.of(plain))]
    for mixed in (MixedLabels.mix(sources, shares), *joined):
        assert mixed.doubt.tolist() == [0.0] * 500


def test_labels_joined_by_rows_are_those_of_the_sources_mixed():
    rows, shares = torch.randint(0, 6, (6, 3)), torch.rand(6, 3).softmax(1)
    plain = torch.randint(0, CLASSES, (6,), dtype=torch.int32)
    for given in (labels(6, 2), plain):
        sources = [MixedLabels(*(part[rows[:, k]] for part in MixedLabels.of(given))) for k in range(3)]
        for mine, theirs in zip(MixedLabels.joined(given, rows, shares), MixedLabels.mix(sources, shares), strict=True):
            assert torch.equal(mine, theirs)
            assert mine.dtype == theirs.dtype


def test_mixing_nothing_but_doubt() -> None:
    lost = MixedLabels(torch.tensor([[1]]), torch.ones(1, 1), torch.ones(1))
    mixed = MixedLabels.mix([lost, lost], torch.tensor([[0.3, 0.7]]))
    torch.testing.assert_close(mixed.dense(4), torch.full((1, 4), 0.25))
    torch.testing.assert_close(mixed.weights, torch.tensor([[0.3, 0.7]]))


def test_mixing_a_row_with_itself_changes_nothing() -> None:
    mixed = labels(5, 2)
    again = MixedLabels.mix([mixed, mixed], torch.tensor([[0.25, 0.75]]).expand(5, 2))
    torch.testing.assert_close(again.dense(CLASSES), mixed.dense(CLASSES))


def test_of() -> None:
    y = torch.tensor([3, 0], dtype=torch.int32)
    plain = MixedLabels.of(y)
    assert plain.classes.tolist() == [[3], [0]]
    assert plain.classes.dtype == torch.int64
    assert plain.weights.tolist() == [[1], [1]]
    assert plain.doubt.tolist() == [0, 0]
    assert MixedLabels.of(plain) is plain
    assert MixedLabels.of(torch.zeros(0, dtype=torch.int64)).dense(CLASSES).shape == (0, CLASSES)
    for wrong in (torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2)):
        with pytest.raises(UserError, match="one integer class per image"):
            MixedLabels.of(wrong)


def test_unknown_reduction() -> None:
    with pytest.raises(UserError, match="reduction='average'"):
        labels(2, 2).cross_entropy(logits(2), reduction="average")


def test_low_precision_logits_are_scored_in_float32() -> None:
    mixed, x = labels(64, 3), logits(64)
    low = mixed.cross_entropy(x.bfloat16())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, mixed.cross_entropy(x.bfloat16().float()), rtol=1e-6, atol=0)


def test_to_moves_every_part() -> None:
    moved = labels(3, 2).to("meta")
    assert isinstance(moved, MixedLabels)
    assert {t.device.type for t in moved} == {"meta"}


def test_a_label_without_a_logit_is_told():
    labels = MixedLabels.of(torch.tensor([0, 9]))
    for loss in (labels.cross_entropy, labels.bce):
        with pytest.raises(UserError, match="a label is 9, but there are logits for 3 classes"):
            loss(torch.zeros(2, 3))
