"""AdvMask's attack: equal to its slow reference, independent of neighbours, right where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from augwise.errors import UserError
from augwise.importance import sparse
from augwise.importance.advmask import AdvMaskAttack, momentum_pgd, uniform_start
from augwise.importance.cdiea import CDIEA
from augwise.importance.encoders import initial_linear
from reference.attacked import Evidence, H, K, W, pictures
from reference.sparse import advmask as slow_advmask

SEEDS = [11, 7, 42, 3, 99, 5]


def linear() -> nn.Module:
    """The linear encoder's first weights as a layer of its own."""
    weight, bias = initial_linear(3, H, W, 0, torch.float64, torch.device("cpu"))
    layer = nn.Linear(3 * H * W, H * W, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return nn.Sequential(nn.Flatten(0), layer, nn.Unflatten(0, (H, W)))


@pytest.mark.parametrize("target", ["untargeted", "most_likely"])
def test_batch_equals_the_slow_reference(target):
    model, images, labels = pictures(6)
    constants = {"steps": 40, "dense_steps": 15, "epsilon": 0.1, "constant": 0.2}
    method = AdvMaskAttack(target=target, **constants)
    found = sparse.attack(model, images, labels, method, SEEDS)
    noise = uniform_start(images, method.epsilon, SEEDS)
    made = []
    for i in range(len(images)):
        towards = None if target == "untargeted" else int(found.targets[i])
        delta, mask, attempts = slow_advmask(
            model, images[i], int(labels[i]), noise[i], linear, target=towards, **constants
        )
        made.append(attempts)
        torch.testing.assert_close(found.delta[i], delta, rtol=0, atol=1e-12)
        assert torch.equal(found.mask[i], mask & (delta != 0).any(0))
    if target == "untargeted":
        assert set(made) == {0, 1, 2}, f"attempts {made}: not every way was gone"
    assert 0 < found.mask.double().mean() < 0.9


def test_every_constant_is_the_references():
    model, images, labels = pictures(4)
    shared = {"steps": 24, "dense_steps": 9, "epsilon": 0.12, "beta": 0.03, "gamma": 4.0, "constant": 0.3, "leak": 0.2}
    shared |= {"alpha_start": 1.0, "alpha_end": 40.0}
    method = AdvMaskAttack(
        **shared, momentum=0.6, encoder_lr=0.03, encoder_momentum=0.5, encoder_weight_decay=0.02, last_phase=0.4,
        last_phase_factor=3.0, binary_share=0.6,
    )  # fmt: skip
    found = sparse.attack(model, images, labels, method, SEEDS[:4])
    noise = uniform_start(images, method.epsilon, SEEDS[:4])
    for i in range(len(images)):
        delta, mask, _ = slow_advmask(
            model, images[i], int(labels[i]), noise[i], linear, **shared, sigma=0.6, sgd=(0.03, 0.5, 0.02),
            last=(0.4, 3.0, 0.6),
        )  # fmt: skip
        torch.testing.assert_close(found.delta[i], delta, rtol=0, atol=1e-12)
        assert torch.equal(found.mask[i], mask & (delta != 0).any(0))
    assert found.success.any()


@pytest.mark.parametrize("kind", ["linear", "unet", "none"])
def test_an_image_does_not_depend_on_its_neighbours(kind):
    model, images, labels = pictures(5)
    labels[2] = (labels[2] + 1) % K
    method = AdvMaskAttack(steps=25, dense_steps=10, target="random", encoder_kind=kind)
    together = sparse.attack(model, images, labels, method, SEEDS[:5])
    for i, seed in enumerate(SEEDS[:5]):
        alone = sparse.attack(model, images[i : i + 1], labels[i : i + 1], method, [seed])
        torch.testing.assert_close(together.delta[i], alone.delta[0], rtol=0, atol=1e-12)
        assert torch.equal(together.mask[i], alone.mask[0])
        assert together.success[i] == alone.success[0]


def test_the_start_is_each_images_own_and_uniform():
    noise = uniform_start(torch.zeros(3, 3, 40, 41), 0.1, [1, 2, 1])
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])
    assert noise.abs().max() <= 0.1
    assert noise.abs().mean().item() == pytest.approx(0.05, rel=0.03)
    assert abs(noise.mean().item()) < 2e-3


@pytest.mark.parametrize("towards", [True, False])
def test_dense_attack_moves_the_loss_and_keeps_its_bounds(towards):
    model, images, labels = pictures(4)
    classes = (labels + 1) % K if towards else labels
    delta = momentum_pgd(
        model, images, torch.zeros_like(images), classes, towards=towards, epsilon=0.02, steps=10, beta=0.004,
        momentum=0.9,
    )  # fmt: skip
    before, after = (nn.functional.cross_entropy(model(x), classes, reduction="none") for x in (images, images + delta))
    assert (after < before).all() if towards else (after > before).all()
    assert delta.abs().max() <= 0.02
    assert ((images + delta >= 0) & (images + delta <= 1)).all()


def minimal() -> tuple[nn.Module, Tensor, Tensor]:
    """A linear classifier whose smallest set is known. Four pixels of three channels weigh 0.27, 0.21, 0.15 and 0.09,
    the others 0.003; epsilon = 0.1 moves the score by 0.3 times the weight. The score is 0.183, the three largest move
    it by 0.189, the two largest by 0.144, so the largest three are the only three that change the class."""
    weights = torch.full((1, 1, 5, 7), 0.003)
    for place, weight in (((0, 0), 0.27), ((4, 6), 0.21), ((2, 3), 0.15), ((1, 5), 0.09)):
        weights[0, 0, place[0], place[1]] = weight
    images = torch.full((2, 3, 5, 7), 0.5)
    model = Evidence(weights, (images[0] * weights[0]).sum().item() - 0.183).eval()
    return model, images, (weights[0] >= 0.15).expand(2, -1, -1)


@pytest.mark.parametrize("target", ["untargeted", "least_likely"])
def test_the_smallest_set_of_a_linear_classifier_is_found(target):
    model, images, smallest = minimal()
    method = AdvMaskAttack(epsilon=0.1, beta=0.025, target=target)
    found = sparse.attack(model, images, torch.zeros(2, dtype=torch.int64), method, [0, 1])
    assert found.success.all()
    assert torch.equal(found.mask, smallest)


def test_loss_is_one_at_nothing_gained_zero_at_the_dense_attack_and_leaks_beyond():
    logits = torch.tensor([[3.0, 0, 0], [0, 1.0, 2.0]], dtype=torch.float64)
    ce = -logits.log_softmax(1)[:, 0]
    method = AdvMaskAttack(leak=0.1)
    start = sparse.Start(logits, torch.tensor([0, 0]), torch.stack([ce, -ce], 1), torch.ones(2, dtype=torch.bool))
    assert method.class_loss(logits, start).tolist() == pytest.approx([0, 0])
    certain = torch.tensor([[60.0, 0, 0]] * 2, dtype=torch.float64)
    assert method.class_loss(certain, start).tolist() == pytest.approx([1, 1])
    beyond = logits - torch.tensor([[2.0, 0, 0]], dtype=torch.float64)
    expected = 0.1 * (1 - -beyond.log_softmax(1)[:, 0] / ce)
    torch.testing.assert_close(method.class_loss(beyond, start), expected)
    assert (expected < 0).all()


def test_sparsity_weight_and_alpha_follow_the_paper():
    method = AdvMaskAttack(gamma=10.0, constant=2.0, steps=60, alpha_start=1.0, alpha_end=31.0)  # half a unit a step
    assert method.sparsity_weight(torch.tensor([0.0, 0.5])).tolist() == [2.0, 7.0]
    mask = torch.full((2, 10, 10), 0.001)
    mask[1, 0, :2] = 0.5  # 98 % binary
    alpha = torch.tensor([3.0, 4.0])
    assert method.next_alpha(49, alpha, mask).tolist() == [3.5, 4.5]
    assert method.next_alpha(50, alpha, mask).tolist() == [3.0, 9.0]
    assert method.next_alpha(torch.tensor([50, 3]), alpha, mask).tolist() == [3.0, 4.5]
    assert CDIEA(steps=60).next_alpha(torch.tensor([3, 3]), alpha, mask).tolist() == pytest.approx([4.665, 5.665])


def test_what_the_dense_attack_cannot_fool_has_failed_at_once():
    model, images, labels = pictures(4)
    far = Evidence(torch.zeros(1, 1, H, W), -1.0).double().eval()  # constant: no gradient at all
    estimated = AdvMaskAttack(steps=5).estimate(far, images, torch.zeros_like(labels), SEEDS[:4])
    assert estimated.failed.all()
    assert estimated.importance.eq(0).all()
    tiny = sparse.attack(model, images, labels, AdvMaskAttack(epsilon=1e-5, steps=5, dense_steps=5), SEEDS[:4])
    assert not tiny.success.any()
    assert tiny.delta.eq(0).all()


def test_a_certain_model_still_has_a_gradient():
    class Certain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = 4000 * x.mean((1, 2, 3)) - 1960  # 40: the softmax rounds to 1 in float32
            return torch.stack([score, -score], 1)

    images, labels = torch.full((1, 3, 6, 5), 0.5), torch.tensor([0])
    method = AdvMaskAttack(epsilon=0.1)
    start = method.start(Certain(), images, labels, Certain()(images), [0])
    assert start.possible.all()
    torch.testing.assert_close(start.scale, torch.tensor([[720.0, -720.0]]))


def test_a_second_attempt_has_a_tenth_of_gamma():
    first = AdvMaskAttack(gamma=20.0)
    second = first.retry()
    assert second == replace(first, gamma=2.0, attempts=1)
    assert second.retry() is None


@pytest.mark.parametrize("method", [CDIEA(steps=20), AdvMaskAttack(steps=20, dense_steps=10)], ids=lambda m: m.name)
def test_mistaken_images_are_attacked_or_refused_as_asked(method):
    model, images, labels = pictures(4)
    labels[1] = (labels[1] + 1) % K
    found = sparse.attack(model, images, labels, method)
    assert found.wrong_before.tolist() == [False, True, False, False]
    assert found.success[1]
    refused = sparse.attack(model, images, labels, replace(method, mistaken="fail"))
    assert refused.wrong_before.tolist() == [False, True, False, False]
    assert not refused.success[1]
    assert refused.delta[1].eq(0).all()
    assert torch.equal(refused.success[[0, 2, 3]], found.success[[0, 2, 3]])


@pytest.mark.parametrize("channels", [1, 9])
@pytest.mark.parametrize("kind", ["linear", "unet", "none"])
def test_any_number_of_channels(channels, kind):
    weights = torch.zeros(1, 1, 6, 8)
    weights[0, 0, 2:4, 3:5] = 1.0
    images = torch.full((2, channels, 6, 8), 0.5)
    model = Evidence(weights, channels * (2.0 - 0.3)).eval()
    for method in (CDIEA(epsilon=0.1, beta=0.025), AdvMaskAttack(epsilon=0.1, beta=0.025, dense_steps=20)):
        estimated = replace(method, encoder_kind=kind).estimate(
            model, images, torch.zeros(2, dtype=torch.int64), [1, 2]
        )
        assert not estimated.failed.any(), method.name
        assert estimated.importance[:, 2:4, 3:5].sum() > 0.9 * estimated.importance.sum(), method.name


def test_a_model_that_breaks_on_perturbed_images_is_named():
    class Breaks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x[:, :2, 0, 0] == 0.5, x[:, :2, 0, 0], torch.nan)

    with pytest.raises(UserError, match="NaN"):
        sparse.attack(Breaks().eval(), torch.full((1, 3, 4, 5), 0.5), torch.tensor([0]), AdvMaskAttack())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": 16}, "16/255"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"alpha_end": 0.05}, "sharper"),
        ({"alpha_end": float("inf")}, "finite"),
        ({"alpha_start": 0.0}, "alpha_start"),
        ({"unet_alpha_end": 0.01}, "unet_alpha_end"),
        ({"target": "likely"}, "untargeted"),
        ({"gamma": -1.0}, "gamma"),
        ({"gamma": float("inf")}, "gamma must be finite"),
        ({"constant": -1.0}, "constant"),
        ({"leak": 1.5}, "leak"),
        ({"dense_steps": 0}, "dense_steps"),
        ({"attempts": 0}, "attempts"),
        ({"encoder_kind": "conv"}, "shared_unet"),
        ({"mistaken": "skip"}, "fail"),
    ],
)
def test_wrong_constants_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        AdvMaskAttack(**wrong)
