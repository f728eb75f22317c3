"""Pruning: what is left fools, no pixel of it can be spared, neighbours do not matter, a known answer is found."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.errors import UserError
from augwise.importance import sparse
from augwise.importance.cdiea import CDIEA, wrong_class
from augwise.importance.margin import margin, margin_gradient
from augwise.importance.pruning import project_l0, prune, ranks, refine
from importance.test_cdiea import Evidence, pictures
from reference.pruning import fewest, fooled, sequential_prune, spare

EPSILON = 0.3


def attacked(batch: int, target: bool = False) -> tuple[nn.Module, Tensor, Tensor, Tensor | None, Tensor, Tensor]:
    """Fooled images with perturbations at the corners of the box, every pixel open."""
    model, images, labels = pictures(batch)
    targets = wrong_class(model(images), labels, "most_likely", []) if target else None
    low, high = (-images).clamp_min(-EPSILON), (1 - images).clamp_max(EPSILON)
    delta = torch.zeros_like(images)
    for _ in range(15):
        _, grad = margin_gradient(model, images + delta, labels, targets)
        delta = (delta + 0.1 * grad.sign()).clamp(low, high)
    assert (margin(model(images + delta), labels, targets) > 0).sum() >= batch - 2
    return model, images, labels, targets, delta, torch.ones_like(images[:, 0], dtype=torch.bool)


@pytest.mark.parametrize("target", [False, True])
def test_what_is_left_fools_and_no_pixel_of_it_can_be_spared(target):
    model, images, labels, targets, delta, mask = attacked(7, target)
    kept = prune(model, images, labels, delta, mask, targets, batch_size=5)
    fewer = 0
    for i in range(len(images)):
        t = None if targets is None else int(targets[i])
        at = int(labels[i]), delta[i], kept[i], t
        if not fooled(model, images[i] + delta[i], at[0], t, 1e-4):
            assert torch.equal(kept[i], mask[i] & (delta[i] != 0).any(0))
            continue
        assert fooled(model, images[i] + delta[i] * kept[i], at[0], t, 1e-4)
        assert spare(model, images[i], *at, 1e-4) == []
        fewer += int(kept[i].sum() < mask[i].sum())
    assert fewer >= 5


def test_it_is_no_worse_than_closing_one_after_the_other():
    model, images, labels, _, delta, mask = attacked(7)
    kept = prune(model, images, labels, delta, mask)
    slow = [sequential_prune(model, *at, 1e-4) for at in zip(images, labels.tolist(), delta, mask, strict=True)]
    assert kept.sum() < torch.stack(slow).sum()


def test_an_image_does_not_depend_on_its_neighbours():
    model, images, labels, _, delta, mask = attacked(6)
    mask[2, :3] = False  # unequal work
    together = prune(model, images, labels, delta, mask)
    moved, support = refine(model, images, labels, delta, mask, EPSILON, rounds=5)
    for i in range(6):
        one = slice(i, i + 1)
        assert torch.equal(prune(model, images[one], labels[one], delta[one], mask[one])[0], together[i])
        alone = refine(model, images[one], labels[one], delta[one], mask[one], EPSILON, rounds=5)
        torch.testing.assert_close(alone[0][0], moved[i], rtol=0, atol=1e-12)
        assert torch.equal(alone[1][0], support[i])
    assert torch.equal(prune(model, images, labels, delta, mask, batch_size=4), together)


def test_an_image_that_is_mistaken_already_needs_no_pixel_and_one_that_is_not_fooled_keeps_all():
    model, images, labels, _, delta, mask = attacked(4)
    wrong = (labels + 1) % 4
    assert not prune(model, images, wrong, delta * 0.01, mask).any()
    still = prune(model, images, labels, delta * 1e-6, mask)
    assert torch.equal(still, mask & (delta != 0).any(1))
    assert not prune(model, images[:0], labels[:0], delta[:0], mask[:0]).any()


def linear(batch: int = 5) -> tuple[nn.Module, Tensor, Tensor, list[int]]:
    """A linear classifier, images of class 0, and the fewest pixels that turn each at EPSILON."""
    weights = torch.randn(3, 6, 5, dtype=torch.float64) * torch.linspace(0.1, 2, 30).view(6, 5)
    images = torch.rand(batch, 3, 6, 5, dtype=torch.float64)
    model = Evidence(weights, float((images * weights).sum((1, 2, 3)).min()) - 4.0).eval()
    labels = torch.zeros(batch, dtype=torch.int64)
    scores = model(images)[:, 0]
    least = []
    for image, score in zip(images, scores.tolist(), strict=True):
        room = torch.where(weights > 0, image.clamp_max(EPSILON), (1 - image).clamp_max(EPSILON))
        least.append(fewest(weights, room, score))
    return model, images, labels, least


def test_the_fewest_pixels_of_a_linear_classifier_are_found():
    model, images, labels, least = linear()
    assert min(least) >= 2
    found = sparse.attack(model, images, labels, CDIEA(epsilon=EPSILON, beta=EPSILON / 4, steps=60, nu=0.0))
    assert found.success.all()
    before = found.mask.sum((1, 2)).tolist()
    assert all(b > n for b, n in zip(before, least, strict=True)), "nothing to prune"
    _, mask = refine(model, images, labels, found.delta, found.mask, EPSILON, slack=1e-9)
    assert mask.sum((1, 2)).tolist() == least
    # What the attack holds at the corners already needs no moving.
    corners = torch.where(model.weights > 0, (-images).clamp_min(-EPSILON), (1 - images).clamp_max(EPSILON))
    pruned = prune(model, images, labels, corners, torch.ones_like(found.mask), slack=1e-9)
    assert pruned.sum((1, 2)).tolist() == least


@pytest.mark.parametrize("exchange", [True, False])
def test_refine_keeps_its_bounds_and_beats_pruning(exchange):
    model, images, labels, _, delta, mask = attacked(6)
    before = images.clone(), delta.clone(), mask.clone()
    kept = prune(model, images, labels, delta, mask)
    moved, support = refine(model, images, labels, delta, mask, EPSILON, exchange=exchange)
    for now, then in zip((images, delta, mask), before, strict=True):
        assert torch.equal(now, then), "an input was changed"
    assert support.sum() < kept.sum()
    assert moved.abs().max() <= EPSILON
    assert 0 <= (images + moved).min() <= (images + moved).max() <= 1
    assert torch.equal((moved != 0).any(1) & support, support)
    assert not moved.masked_select(~support[:, None]).any()
    won = margin(model(images + delta), labels) > 1e-4
    assert (margin(model(images + moved), labels) > 1e-4)[won].all()
    for i in won.nonzero()[:, 0].tolist():
        assert spare(model, images[i], int(labels[i]), moved[i], support[i], None, 1e-4) == []


def test_projection_is_the_nearest_point():
    delta = torch.randn(4, 3, 3, 2, dtype=torch.float64)
    low, high = torch.full_like(delta, -0.4), torch.rand_like(delta)
    k = torch.tensor([0, 1, 3, 6])
    found = project_l0(delta, low, high, k)
    clipped = delta.clamp(low, high)
    for i in range(4):
        best = min(
            (delta[i] - clipped[i] * chosen.view(3, 2)).square().sum().item()
            for chosen in (torch.tensor([bool(n >> b & 1) for b in range(6)]) for n in range(64))
            if chosen.sum() <= k[i]
        )
        assert (delta[i] - found[i]).square().sum().item() == pytest.approx(best)
        assert (found[i] != 0).any(0).sum() <= k[i]
    assert ranks(torch.tensor([[0.3, 0.1, 0.3, -1.0]])).tolist() == [[2, 1, 3, 0]]


def test_bad_input_is_refused():
    model, images, labels, _, delta, mask = attacked(2)
    with pytest.raises(UserError, match="training mode"):
        aw.prune(model.train(), images, labels, delta, mask)
    with pytest.raises(UserError, match="training mode"):
        aw.refine(model, images, labels, delta, mask, EPSILON, rounds=0)
    model.eval()
    with pytest.raises(UserError, match="bool mask"):
        prune(model, images, labels, delta, mask.double())
    with pytest.raises(UserError, match="delta of the images' shape"):
        prune(model, images, labels, delta[:, :1], mask)
    with pytest.raises(UserError, match="steps >= 1"):
        aw.refine(model, images, labels, delta, mask, EPSILON, steps=0)


def test_margin_by_hand():
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 5.0]])
    assert margin(logits, torch.tensor([0, 1])).tolist() == [-1.0, 0.0]
    assert margin(logits, torch.tensor([0, 0]), torch.tensor([2, 1])).tolist() == [-1.0, 0.0]
    assert not (margin(logits * torch.nan, torch.tensor([0, 1])) > 0).any()
