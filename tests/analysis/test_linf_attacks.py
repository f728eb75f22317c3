"""FGSM and PGD where the answer is known by hand, and what holds for every network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from augwise.analysis.linf_attacks import fgsm, pgd
from reference.training_toys import network


class Linear(nn.Module):
    """Logits W x: the gradient of the cross-entropy is Σ_c (p_c − [c = y]) W_c."""

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, images):
        return images.flatten(1) @ self.weight.T


def binary(shape=(1, 2, 3)):
    """Two classes that differ by w: the attack on class 0 goes along sign(w), on class 1 against it."""
    w = torch.tensor([2.0, -1.0, 0.5, -0.25, 0.0, 3.0])
    return Linear(torch.stack([torch.zeros(6), w])), w.view(shape)


def test_fgsm_on_a_linear_model_is_known():
    model, w = binary()
    images, labels = torch.rand(5, 1, 2, 3) * 0.5 + 0.25, torch.tensor([0, 1, 1, 0, 1])
    found = fgsm(model, images, labels, 0.125)
    side = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    assert torch.equal(found.images, images + 0.125 * side * w.sign())
    assert not found.blind.any()
    margin = (found.images - images).flatten(1) @ w.flatten()
    torch.testing.assert_close(margin, 0.125 * side.flatten() * w.abs().sum())


def test_pgd_on_a_linear_model_ends_in_the_corner():
    """The gradient's sign never changes, so enough steps from anywhere end where FGSM does; too few at start +
    steps."""
    model, w = binary()
    images, labels = torch.rand(4, 1, 2, 3) * 0.5 + 0.25, torch.tensor([0, 1, 0, 1])
    start = 2 * torch.rand(4, 1, 2, 3) - 1
    moved = w != 0
    corner = fgsm(model, images, labels, 0.1).images
    found = pgd(model, images, labels, 0.1, start, 20, 0.025).images
    torch.testing.assert_close(found[:, moved], corner[:, moved])
    torch.testing.assert_close(found[:, ~moved], (images + 0.1 * start)[:, ~moved])
    side = torch.where(labels == 0, 1.0, -1.0).view(-1, 1, 1, 1)
    few = pgd(model, images, labels, 0.1, torch.zeros_like(start), 3, 0.025).images
    torch.testing.assert_close(few, images + 0.075 * side * w.sign())


def test_pixels_stay_in_range_and_within_epsilon():
    model = network().eval()
    images, labels = torch.rand(6, 3, 7, 5), torch.arange(6) % 3
    images[0], images[1] = 0.0, 1.0
    for epsilon in (0.01, 0.3, 1.0):
        start = 2 * torch.rand(images.shape) - 1
        for found in (fgsm(model, images, labels, epsilon), pgd(model, images, labels, epsilon, start, 4, epsilon / 2)):
            assert found.images.min() >= 0
            assert found.images.max() <= 1
            assert (found.images - images).abs().max() <= epsilon + 1e-6
            assert not found.images.requires_grad


def test_attacks_raise_the_loss_pgd_more_and_leave_everything_else_alone():
    model = network(seed=2).eval().requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    images, labels = torch.rand(40, 3, 8, 6), torch.arange(40) % 3
    given = images.clone()

    def loss(pixels):
        return nn.functional.cross_entropy(model(pixels), labels).item()

    one = loss(fgsm(model, images, labels, 0.1).images)
    many = loss(pgd(model, images, labels, 0.1, torch.zeros_like(images), 20, 0.0125).images)
    assert loss(images) < one <= many + 1e-6
    assert torch.equal(images, given)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_an_image_does_not_depend_on_its_neighbours():
    model = network().eval()
    images, labels = torch.rand(5, 3, 6, 7), torch.tensor([0, 1, 2, 1, 0])
    start = 2 * torch.rand(images.shape) - 1
    together = pgd(model, images, labels, 0.05, start, 5, 0.02).images
    alone = torch.cat(
        [pgd(model, images[i : i + 1], labels[i : i + 1], 0.05, start[i : i + 1], 5, 0.02).images for i in range(5)]
    )
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_an_attack_that_sees_nothing_says_so():
    """So sure that float32 rounds its probability to 1: no gradient, no change."""
    model = Linear(torch.tensor([[1000.0] * 6, [-1000.0] * 6]))
    images, labels = torch.full((2, 1, 2, 3), 0.5), torch.tensor([0, 1])
    found = fgsm(model, images, labels, 0.1)
    assert found.blind.tolist() == [True, False]
    assert torch.equal(found.images[0], images[0])


def test_blind_is_what_saw_nothing_at_first():
    """Above the threshold of a ReLU there is a slope, until the attack has gone below it."""

    class Threshold(nn.Module):
        def forward(self, images):
            above = (images.mean((1, 2, 3)) - 0.45).relu()
            return torch.stack([torch.zeros_like(above), above], 1)

    images = torch.tensor([0.5, 0.3]).view(2, 1, 1, 1).expand(2, 1, 2, 3)
    found = pgd(Threshold(), images, torch.tensor([1, 1]), 0.2, torch.zeros(2, 1, 2, 3), 4, 0.1)
    assert found.blind.tolist() == [False, True]
    torch.testing.assert_close(found.images[:, 0, 0, 0], torch.tensor([0.4, 0.3]))


def test_no_steps_leave_the_start():
    model, _ = binary()
    images = torch.rand(2, 1, 2, 3) * 0.5 + 0.25
    start = 2 * torch.rand(images.shape) - 1
    found = pgd(model, images, torch.tensor([0, 1]), 0.1, start, 0, 0.1)
    torch.testing.assert_close(found.images, images + 0.1 * start)
    with pytest.raises(RuntimeError):
        pgd(model, images[:, :, :1], torch.tensor([0, 1]), 0.1, start[:, :, :1], 1, 0.1)
