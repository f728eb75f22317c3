"""Losses of mixed labels: torch's own where a picture shows one class, and linear in what it shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

import augwise as aw
from augwise import losses
from augwise.errors import UserError
from augwise.labels import MixedLabels
from reference import dense_labels as slow

CLASSES, N = 7, 9
SMOOTHINGS = (0.0, 0.3)


def logits(dtype: torch.dtype = torch.float32) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return (torch.randn(N, CLASSES, generator=g) * 4).to(dtype).requires_grad_()


def mixed(k: int = 3, doubt: bool = True) -> MixedLabels:
    """Classes that repeat within a row, weights of which one is 0 and one 1, doubts of which one is 1."""
    g = torch.Generator().manual_seed(k)
    weights = torch.rand(N, k, generator=g)
    weights[0] = torch.eye(k)[0]
    doubts = torch.rand(N, generator=g) * doubt
    doubts[1] = float(doubt)
    return MixedLabels(torch.randint(0, CLASSES, (N, k), generator=g), weights / weights.sum(1, keepdim=True), doubts)


def per_class() -> Tensor:
    return torch.linspace(0.2, 3, CLASSES)


def same(ours: Tensor, theirs: Tensor, x: Tensor) -> None:
    """Values and gradients."""
    torch.testing.assert_close(ours, theirs)
    given = torch.linspace(-1, 2, max(1, ours.numel())).view(ours.shape).to(ours.dtype)
    mine, other = (torch.autograd.grad(loss, x, given)[0] for loss in (ours, theirs))
    torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_plain_labels_are_torchs_cross_entropy(dtype, smoothing, weighted, reduction):
    x, y = logits(dtype), torch.randint(0, CLASSES, (N,))
    w = per_class().to(dtype) if weighted else None
    ours = MixedLabels.of(y).cross_entropy(x, smoothing, reduction, w)
    same(ours, F.cross_entropy(x, y, w, reduction=reduction, label_smoothing=smoothing), x)


@pytest.mark.parametrize(("reduction", "theirs"), [("batchmean", "mean"), ("sum", "sum"), ("none", "none")])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
def test_mixed_labels_are_torchs_cross_entropy_of_the_dense_target(smoothing, weighted, reduction, theirs):
    x, labels, w = logits(), mixed(), per_class() if weighted else None
    target = labels.dense(CLASSES)
    ours = labels.cross_entropy(x, smoothing, reduction, w)
    same(ours, F.cross_entropy(x, target, w, reduction=theirs, label_smoothing=smoothing), x)


def test_the_weighted_mean_is_over_what_the_pictures_show():
    x, labels, w = logits(), mixed(doubt=False), per_class()
    weight = sum(
        float(labels.weights[n, k]) * float(w[labels.classes[n, k]])
        for n in range(N)
        for k in range(labels.classes.shape[1])
    )
    ours = labels.cross_entropy(x, class_weights=w)
    torch.testing.assert_close(ours * weight, labels.cross_entropy(x, reduction="sum", class_weights=w))
    doubted = labels._replace(doubt=torch.rand(N))  # like smoothing, it does not enter the divisor
    total = doubted.cross_entropy(x, reduction="sum", class_weights=w)
    torch.testing.assert_close(doubted.cross_entropy(x, class_weights=w) * weight, total)
    even = torch.full((CLASSES,), 3.0)
    torch.testing.assert_close(labels.cross_entropy(x, class_weights=even), labels.cross_entropy(x))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("factor", [None, 2.5, "per class"])
@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("k", [1, 3])
def test_bce_is_torchs_of_the_dense_target(k, smoothing, factor, reduction):
    x, labels = logits(), MixedLabels.of(torch.randint(0, CLASSES, (N,))) if k == 1 else mixed(k)
    weight = per_class() if factor == "per class" else None if factor is None else torch.tensor(factor)
    target = labels.dense(CLASSES, smoothing)
    theirs = F.binary_cross_entropy_with_logits(x, target, pos_weight=weight, reduction=reduction)
    same(labels.bce(x, smoothing, reduction, weight), theirs, x)


@pytest.mark.parametrize(
    "given", [2.5, torch.tensor(2.5), per_class().double()], ids=["number", "tensor of one", "float64"]
)
def test_a_weight_where_a_class_is_there_may_be_a_number_and_of_any_precision(given):
    x, labels, weight = logits(), mixed(), torch.as_tensor(given).float()
    for ours in (labels.bce(x, pos_weight=given), aw.BinaryCrossEntropy(given)(x, labels)):
        same(ours, F.binary_cross_entropy_with_logits(x, labels.dense(CLASSES), pos_weight=weight), x)
    focal = labels.binary_focal(x, pos_weight=weight)
    assert focal.dtype == torch.float32
    torch.testing.assert_close(aw.BinaryFocalLoss(pos_weight=given)(x, labels), focal)


def test_bce_keeps_its_digits_where_all_is_sure():
    """What large logits would lose must cancel exactly, not to float32's last digit of 30."""
    y = torch.arange(3)
    x = torch.full((3, 3), -30.0).masked_fill_(torch.eye(3, dtype=torch.bool), 30.0)
    found = MixedLabels.of(y).bce(x, reduction="sum")
    assert 0 < float(found) == pytest.approx(9 * 9.36e-14, rel=0.01)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, 0.7), (0.0, 0.25), (3.0, None)])
def test_binary_focal_is_torchvisions(gamma, alpha, reduction):
    x, y = logits(), torch.randint(0, CLASSES, (N,))
    theirs = sigmoid_focal_loss(x, F.one_hot(y, CLASSES).float(), -1 if alpha is None else alpha, gamma, reduction)
    same(MixedLabels.of(y).binary_focal(x, gamma, alpha, reduction=reduction), theirs, x)


@pytest.mark.parametrize("smoothing", SMOOTHINGS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("k", [1, 3])
def test_focal_losses_are_their_formulas(k, gamma, smoothing):
    labels, x, w = mixed(k), logits(), per_class()
    rows = zip(labels.classes.tolist(), labels.weights.tolist(), labels.doubt.tolist(), strict=True)
    dense = [slow.target(classes, weights, doubt, CLASSES, smoothing) for classes, weights, doubt in rows]
    softmax = [slow.focal(t, row, gamma, w.tolist()) for t, row in zip(dense, x.tolist(), strict=True)]
    ours = labels.focal(x, gamma, smoothing, "none", w)
    torch.testing.assert_close(ours.double(), torch.tensor(softmax, dtype=torch.float64), rtol=1e-5, atol=1e-6)
    each = [slow.binary_focal(t, row, gamma, 0.3, w.tolist()) for t, row in zip(dense, x.tolist(), strict=True)]
    ours = labels.binary_focal(x, gamma, 0.3, smoothing, "none", w)
    torch.testing.assert_close(ours.double(), torch.tensor(each, dtype=torch.float64), rtol=1e-5, atol=1e-6)


Loss = Callable[[MixedLabels, Tensor], Tensor]
EVERY: dict[str, Loss] = {
    "cross_entropy": lambda labels, x: labels.cross_entropy(x, 0.1, "none", per_class()),
    "focal": lambda labels, x: labels.focal(x, 1.5, 0.1, "none", per_class()),
    "bce": lambda labels, x: labels.bce(x, 0.1, "none", per_class()),
    "binary_focal": lambda labels, x: labels.binary_focal(x, 1.5, 0.3, 0.1, "none", per_class()),
}


@pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)
def test_a_mixture_costs_what_its_parts_cost(loss):
    """λ L(a) + (1 - λ) L(b), as in Mixup's own code."""
    x, share = logits(), torch.linspace(0, 1, N)
    a, b = (MixedLabels.of(torch.randint(0, CLASSES, (N,))) for _ in range(2))
    whole = loss(MixedLabels.mix([a, b], torch.stack([share, 1 - share], 1)), x)
    share = share.view(-1, *[1] * (whole.ndim - 1))
    torch.testing.assert_close(whole, share * loss(a, x) + (1 - share) * loss(b, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)
def test_the_order_of_columns_and_how_a_class_is_split_do_not_matter(loss):
    x, labels = logits(), mixed(3)
    turned = MixedLabels(labels.classes.flip(1), labels.weights.flip(1), labels.doubt)
    halves = MixedLabels(labels.classes.repeat(1, 2), labels.weights.repeat(1, 2) / 2, labels.doubt)
    for other in (turned, halves):
        torch.testing.assert_close(loss(labels, x), loss(other, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)
def test_extreme_logits_keep_finite_losses_and_gradients(loss):
    x = torch.full((N, CLASSES), -200.0)
    x[:, 0], x[0, 0] = 200.0, -200.0
    x.requires_grad_()
    for labels in (mixed(2, doubt=False), MixedLabels.of(torch.zeros(N, dtype=torch.int64))):
        value = loss(labels, x)
        (slope,) = torch.autograd.grad(value.sum(), x)
        assert value.isfinite().all()
        assert slope.isfinite().all()


def test_focus_below_one_has_slopes_where_a_class_is_certain():
    x = torch.tensor([[200.0, -200.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(MixedLabels.of(torch.tensor([0])).focal(x, 0.5), x)
    assert slope.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)
def test_half_precision_is_scored_in_float32(loss):
    x = logits().detach().bfloat16()
    assert torch.equal(loss(mixed(), x), loss(mixed(), x.float()))
    assert loss(mixed(), x).dtype == torch.float32


def test_an_empty_batch_sums_to_nothing():
    nothing = MixedLabels.of(torch.zeros(0, dtype=torch.int64))
    for name in EVERY:
        assert float(getattr(nothing, name)(torch.zeros(0, CLASSES), reduction="sum")) == 0


def test_nothing_is_made_for_every_class_but_what_the_logits_need(monkeypatch):
    """Of 1 000 classes a target would be as large as the logits: what is kept for the backward pass has none."""
    y = torch.arange(64)
    labels = MixedLabels.mix([MixedLabels.of(y), MixedLabels.of(y.flip(0))], torch.full((64, 2), 0.5))
    x = torch.randn(64, 1000, requires_grad=True)

    def kept(loss: Callable[[], Tensor]) -> int:
        sizes: dict[int, int] = {}

        def noted(t: Tensor) -> Tensor:
            sizes[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(noted, lambda t: t):
            loss()
        sizes.pop(x.untyped_storage().data_ptr(), None)
        return sum(sizes.values())

    whole = x.numel() * 4
    assert kept(lambda: labels.cross_entropy(x)) < 1.1 * whole  # the log-probabilities
    assert kept(lambda: labels.bce(x)) < 0.1 * whole
    assert kept(lambda: F.binary_cross_entropy_with_logits(x, labels.dense(1000))) > 0.9 * whole  # the law can fail
    monkeypatch.setattr(MixedLabels, "dense", None)
    labels.focal(x)
    labels.binary_focal(x)


WRONG = [
    ({"reduction": "average"}, "reduction='average' is unknown"),
    ({"label_smoothing": 1.5}, "label_smoothing=1.5 is no share"),
    ({"gamma": -1.0}, "gamma=-1.0 is no focus"),
    ({"class_weights": torch.ones(3)}, r"class_weights has shape \(3,\): give one number for each of 7"),
]


@pytest.mark.parametrize(("wrong", "says"), WRONG)
def test_settings_that_mean_nothing_are_refused(wrong, says):
    with pytest.raises(UserError, match=says):
        losses.focal(logits(), mixed(), **wrong)


def test_binary_settings_that_mean_nothing_are_refused():
    with pytest.raises(UserError, match=r"pos_weight has shape \(7, 1\)"):
        mixed().bce(logits(), pos_weight=torch.ones(CLASSES, 1))
    with pytest.raises(UserError, match=r"alpha=1\.2 shares the loss"):
        mixed().binary_focal(logits(), alpha=1.2)
    for make, says in (
        (lambda: aw.CrossEntropy(reduction="average"), "reduction='average'"),  # pyright: ignore
        (lambda: aw.BinaryCrossEntropy(label_smoothing=-0.1), "label_smoothing=-0.1"),
        (lambda: aw.FocalLoss(gamma=float("nan")), "gamma=nan"),
        (lambda: aw.BinaryFocalLoss(alpha=-1), "alpha=-1"),
    ):
        with pytest.raises(UserError, match=says):
            make()


def test_logits_and_labels_that_do_not_belong_together_are_refused():
    with pytest.raises(UserError, match=r"logits have shape \(9, 7\) for 8 labels"):
        MixedLabels.of(torch.zeros(8, dtype=torch.int64)).cross_entropy(logits())
    with pytest.raises(UserError, match="a label is -1: classes count from 0"):
        MixedLabels.of(torch.tensor([0, -1])).cross_entropy(torch.zeros(2, 3))
    for from_labels in (MixedLabels.dense, MixedLabels.present):
        with pytest.raises(UserError, match="a label is 9"):
            from_labels(MixedLabels.of(torch.tensor([9])), 9)


def test_criteria_are_the_functions_with_their_settings():
    x, labels, w = logits(), mixed(), per_class()
    pairs = [
        (aw.CrossEntropy(w, 0.1, "sum"), labels.cross_entropy(x, 0.1, "sum", w)),
        (aw.FocalLoss(1.5, w, 0.1, "none"), labels.focal(x, 1.5, 0.1, "none", w)),
        (aw.BinaryCrossEntropy(w, 0.1, "batchmean"), labels.bce(x, 0.1, "batchmean", w)),
        (aw.BinaryFocalLoss(1.5, 0.3, w, 0.1), labels.binary_focal(x, 1.5, 0.3, 0.1, "mean", w)),
    ]
    for criterion, expected in pairs:
        assert torch.equal(criterion(x, labels), expected)
        assert not criterion.state_dict()
        assert [b.device.type for b in criterion.to("meta").buffers()] == ["meta"]
    y = torch.randint(0, CLASSES, (N,))
    torch.testing.assert_close(aw.CrossEntropy()(x, y), F.cross_entropy(x, y))


def test_hard_labels_are_the_largest_of_the_dense_ones():
    labels = mixed(5, doubt=False)
    assert labels.hard().tolist() == labels.dense(CLASSES).argmax(1).tolist()
    split = MixedLabels(
        torch.tensor([[2, 5, 2], [4, 1, 0]]), torch.tensor([[0.3, 0.4, 0.3], [0.25, 0.5, 0.25]]), torch.zeros(2)
    )
    assert split.hard().tolist() == [2, 1]
    even = MixedLabels(torch.tensor([[6, 1]]), torch.tensor([[0.5, 0.5]]), torch.ones(1))
    assert even.hard().tolist() == [6]  # the base image's
    y = torch.randint(0, CLASSES, (N,))
    assert torch.equal(MixedLabels.of(y).hard(), y)


def test_present_says_which_classes_a_picture_shows():
    labels = MixedLabels(
        torch.tensor([[2, 5, 2], [4, 1, 0]]), torch.tensor([[0.1, 0.8, 0.1], [1.0, 0, 0]]), torch.ones(2)
    )
    assert labels.present(6).tolist() == [[0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 0]]
    assert labels.present(6, least=0.15).tolist() == [[0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 0]]
    assert labels.present(6, least=0.25).tolist() == [[0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 1, 0]]


def test_torchmetrics_takes_hard_dense_and_present_labels():
    from torchmetrics.classification import MulticlassAccuracy, MultilabelAveragePrecision
    from torchmetrics.regression import KLDivergence

    x, labels = logits().detach(), mixed(3, doubt=False)
    accuracy = MulticlassAccuracy(CLASSES, average="micro")
    accuracy.update(x, labels.hard())
    assert float(accuracy.compute()) == pytest.approx(float((x.argmax(1) == labels.hard()).float().mean()))
    ranked = MultilabelAveragePrecision(CLASSES)
    ranked.update(x.softmax(1), labels.present(CLASSES))
    assert 0 < float(ranked.compute()) <= 1
    apart = KLDivergence()
    apart.update(labels.dense(CLASSES), x.softmax(1))
    t = labels.dense(CLASSES)
    expected = labels.cross_entropy(x) + torch.special.xlogy(t, t).sum(1).mean()
    assert float(apart.compute()) == pytest.approx(float(expected), rel=1e-4)
