"""CDIEA: equal to its slow reference, independent of neighbours, inside its bounds, right where the answer is known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from augwise.errors import UserError
from augwise.importance import sparse
from augwise.importance.advmask import AdvMaskAttack
from augwise.importance.cdiea import CDIEA, wrong_class
from augwise.importance.descent import unit_l1
from augwise.importance.encoders import initial_linear
from reference.attacked import Evidence, H, K, W, network, pictures
from reference.sparse import cdiea as slow_cdiea


@pytest.mark.parametrize("gradient", ["full", "direct"])
def test_batch_equals_the_slow_reference(gradient):
    model, images, labels = pictures(4)
    method = CDIEA(steps=50, gradient=gradient)
    found = sparse.attack(model, images, labels, method)
    weight, bias = initial_linear(3, H, W, method.encoder_seed, torch.float64, torch.device("cpu"))
    for i in range(len(images)):
        target = model(images[i : i + 1])[0].topk(2).indices[1].item()
        delta, mask = slow_cdiea(model, images[i], target, weight, bias, steps=50, gradient=gradient)
        assert found.targets[i] == target
        torch.testing.assert_close(found.delta[i], delta, rtol=0, atol=1e-12)
        assert torch.equal(found.mask[i], mask & (delta != 0).any(0))
    assert 0 < found.mask.double().mean() < 0.9


def test_every_constant_is_the_references():
    model, images, labels = pictures(3)
    shared = {"steps": 30, "epsilon": 0.1, "beta": 0.03, "nu": 4.0, "alpha_start": 1.0, "alpha_end": 30.0}
    method = CDIEA(
        **shared, momentum=0.7, encoder_lr=0.05, encoder_momentum=0.5, encoder_weight_decay=0.02, encoder_seed=3,
        last_phase=0.4, last_phase_factor=5.0, binary_share=0.5, target="least_likely",
    )  # fmt: skip
    found = sparse.attack(model, images, labels, method)
    first = initial_linear(3, H, W, 3, torch.float64, torch.device("cpu"))
    for i in range(len(images)):
        target = model(images[i : i + 1])[0].argmin().item()
        delta, mask = slow_cdiea(
            model, images[i], target, *first, **shared, sigma=0.7, sgd=(0.05, 0.5, 0.02), last=(0.4, 5.0, 0.5)
        )
        torch.testing.assert_close(found.delta[i], delta, rtol=0, atol=1e-12)
        assert torch.equal(found.mask[i], mask & (delta != 0).any(0))


def test_an_image_does_not_depend_on_its_neighbours():
    model, images, labels = pictures(5)
    method, seeds = CDIEA(steps=40, target="random"), [11, 7, 42, 3, 99]
    together = method.estimate(model, images, labels, seeds)
    found = sparse.attack(model, images, labels, method, seeds)
    for i, seed in enumerate(seeds):
        alone = method.estimate(model, images[i : i + 1], labels[i : i + 1], [seed])
        delta = sparse.attack(model, images[i : i + 1], labels[i : i + 1], method, [seed]).delta
        torch.testing.assert_close(found.delta[i], delta[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(together.importance[i], alone.importance[0])
        assert together.failed[i] == alone.failed[0]


def test_gradient_direct_is_another_attack():
    model, images, labels = pictures(4)
    full, direct = (sparse.attack(model, images, labels, CDIEA(steps=30, gradient=g)) for g in ("full", "direct"))
    assert not torch.equal(full.delta, direct.delta)


class Watch(nn.Module):
    """Passes images on and checks that each is within epsilon of its original and in [0, 1]."""

    def __init__(self, model: nn.Module, images: Tensor, epsilon: float) -> None:
        super().__init__()
        self.model, self.images, self.epsilon, self.seen, self.farthest = model, images, epsilon, 0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        assert x.min() >= 0
        assert x.max() <= 1
        self.farthest = max(self.farthest, (x - self.images).abs().max().item())
        self.seen += 1
        return self.model(x)


@pytest.mark.parametrize("epsilon", [8 / 255, 0.3])
def test_perturbation_never_leaves_epsilon_and_the_valid_pixels(epsilon):
    model, images, labels = pictures(6, torch.float32)
    watch = Watch(model, images, epsilon).eval()
    found = sparse.attack(watch, images, labels, CDIEA(epsilon=epsilon, beta=epsilon / 3, steps=30))
    assert watch.seen == 32
    assert watch.farthest <= epsilon + 1e-7
    assert watch.farthest > 0.9 * epsilon, "never near the bound, so nothing was tested"
    assert found.delta.abs().max() <= torch.tensor(epsilon)
    assert ((images + found.delta >= 0) & (images + found.delta <= 1)).all()


def test_key_points_are_the_pixels_that_decide():
    # six pixels carry the evidence, all six must move by epsilon to change the class: 6 * 3 channels * 0.1 = 1.8 > 1.6
    weights = torch.zeros(1, 1, 8, 6)
    decisive = [(0, 0), (1, 4), (3, 2), (5, 5), (6, 1), (7, 3)]
    for row, column in decisive:
        weights[0, 0, row, column] = 1
    images = torch.full((2, 3, 8, 6), 0.5)
    model = Evidence(weights, 9 - 1.6).eval()  # 18 values of 0.5 sum to 9
    found = sparse.attack(model, images, torch.zeros(2, dtype=torch.int64), CDIEA(epsilon=0.1, beta=0.025))
    assert found.success.all()
    assert torch.equal(found.mask, (weights[0] > 0).expand(2, -1, -1))
    torch.testing.assert_close((found.delta * found.mask[:, None]).sum((1, 2, 3)), torch.tensor([-1.8, -1.8]))


def test_strong_pixels_are_preferred_to_weak_ones():
    # the four strong pixels suffice (4 * 3 * 0.1 * 2 = 2.4 > 2.2); the eight weak ones could add 0.05
    weights = torch.zeros(1, 1, 6, 8)
    weights[0, 0, 4, 1:5] = 2
    weights[0, 0, 1, :] = 0.02
    images = torch.full((1, 3, 6, 8), 0.5)
    model = Evidence(weights, (images * weights).sum().item() - 2.2).eval()
    found = sparse.attack(model, images, torch.tensor([0]), CDIEA(epsilon=0.1, beta=0.025))
    assert found.success.all()
    assert torch.equal(found.mask, weights[0] == 2)


def test_a_failed_image_has_a_zero_map_and_spoils_nothing():
    weights = torch.zeros(1, 1, 4, 5)
    weights[0, 0, 2, 1] = 1
    images = torch.full((2, 3, 4, 5), 0.2)
    images[1] = 0.9
    model = Evidence(weights, 0.5).eval()  # scores 0.1 and 2.2; three channels of epsilon change 0.3
    estimated = CDIEA(epsilon=0.1, beta=0.025).estimate(model, images, torch.tensor([0, 0]), [0, 0])
    assert estimated.failed.tolist() == [False, True]
    assert estimated.importance[0, 2, 1] > 0
    assert estimated.importance[1].eq(0).all()
    assert estimated.importance.dtype == torch.float32


def test_a_model_without_gradient_fails_without_nan():
    model = Evidence(torch.zeros(1, 1, 4, 5), -1.0).eval()
    images = torch.rand(3, 3, 4, 5)
    for method in (CDIEA(steps=20), CDIEA(steps=20, gradient="direct")):
        found = sparse.attack(model, images, torch.tensor([0, 0, 0]), method)
        assert not found.success.any()
        assert found.delta.isfinite().all()


def test_gradients_are_normalised_per_image_and_zero_stays_zero():
    grad = torch.randn(3, 2, 4, 5) * torch.tensor([1e-30, 0, 7]).view(3, 1, 1, 1)
    unit = unit_l1(grad)
    torch.testing.assert_close(unit.abs().sum((1, 2, 3)), torch.tensor([1.0, 0.0, 1.0]))
    assert torch.equal(unit.sign(), grad.sign())


def test_an_image_mistaken_from_the_start_counts_as_success_and_is_reported():
    model, images, labels = pictures(4)
    labels[1] = (labels[1] + 1) % K
    found = sparse.attack(model, images, labels, CDIEA(steps=30))
    assert found.wrong_before.tolist() == [False, True, False, False]
    assert found.success[1]
    assert found.targets[1] == model(images).argmax(1)[1]


def test_target_class():
    logits = torch.tensor([[5.0, 1, 3, 2], [5.0, 1, 3, 2]])
    labels = torch.tensor([0, 2])
    assert wrong_class(logits, labels, "most_likely", [0, 0]).tolist() == [2, 0]
    assert wrong_class(logits, labels, "least_likely", [0, 0]).tolist() == [1, 1]
    label = torch.full((600,), 2)
    drawn = wrong_class(torch.zeros(600, 4), label, "random", list(range(600)))
    assert torch.bincount(drawn, minlength=4)[2] == 0
    assert torch.bincount(drawn, minlength=4)[[0, 1, 3]].min() > 150
    with pytest.raises(UserError, match="two outputs"):
        wrong_class(torch.zeros(1, 1), torch.tensor([0]), "most_likely", [0])


def test_alpha_rises_faster_at_the_end_for_unfinished_masks_alone():
    method = CDIEA(steps=100, alpha_start=1.0, alpha_end=51.0)  # half a unit a step
    mask = torch.full((2, 10, 10), 0.001)
    mask[1, 0, :2] = 0.5  # 98 % binary
    alpha = torch.tensor([3.0, 4.0])
    assert method.next_alpha(90, alpha, mask).tolist() == [3.5, 4.5]
    assert method.next_alpha(91, alpha, mask).tolist() == [3.5, 9.0]


def test_importance_is_the_reciprocal_perturbation_with_a_floor():
    delta = torch.tensor([0.1, -0.3, 0.2, 0.001, 0.0, 0.002, 0.1, 0.1, 0.1]).view(3, 3).T.reshape(1, 3, 1, 3)
    mask = torch.tensor([[[True, True, False]]])
    assert sparse.importance(delta, mask, "mean", 0.02).flatten().tolist() == pytest.approx([5, 50, 0])
    assert sparse.importance(delta, mask, "max", 0.02).flatten().tolist() == pytest.approx([1 / 0.3, 50, 0])


@pytest.mark.parametrize("changed", [{}, {"reduce": "max"}, {"floor": 0.07}], ids=str)
def test_maps_are_the_importance_of_what_was_found(changed):
    model, images, labels = pictures(6)
    images[:, :, 4] = 0.01  # held at 0, where the floor decides
    method = CDIEA(steps=30, nu=1.0, epsilon=0.1, **changed)
    found = sparse.attack(model, images, labels, method)
    estimated = method.estimate(model, images, labels, [0] * 6)
    assert torch.equal(estimated.failed, ~found.success)
    for i in range(6):
        for y, x in found.mask[i].nonzero().tolist():
            sizes = [abs(v) for v in found.delta[i, :, y, x].tolist()]
            size = max(sizes) if method.reduce == "max" else sum(sizes) / 3
            expected = 1 / max(size, 0.1 / 4 if method.floor is None else method.floor)
            assert estimated.importance[i, y, x].item() == pytest.approx(expected * bool(found.success[i]), rel=1e-6)
    assert not estimated.importance[~found.mask].any()
    assert found.mask[found.success].any()


def test_with_a_unet_alpha_rises_to_the_unets_own_end():
    mask, alpha = torch.full((1, 6, 5), 0.5), torch.tensor([1.0])
    for method in (CDIEA, AdvMaskAttack):
        constants = {"steps": 10, "alpha_start": 1.0, "alpha_end": 91.0, "unet_alpha_end": 11.0}
        assert method(**constants).next_alpha(0, alpha, mask).item() == 10.0
        assert method(**constants, encoder_kind="unet").next_alpha(0, alpha, mask).item() == 2.0
        assert method(**constants).next_alpha(0, alpha, torch.full((1, 65, 5), 0.5)).item() == 2.0


def test_a_pixel_that_cannot_or_need_not_move_is_no_key_point():
    # one decisive pixel is grey, one is black and would have to get darker; nothing pulls at the other pixels or, with
    # nu = 0, at their masks, about half of which are open by the encoder's first weights
    weights = torch.zeros(1, 1, 4, 5)
    weights[0, 0, 2, 1] = weights[0, 0, 0, 4] = 1
    images = torch.full((1, 3, 4, 5), 0.5)
    images[:, :, 2, 1] = 0
    model = Evidence(weights, 1.45).eval()  # the score is 0.05
    found = sparse.attack(model, images, torch.tensor([0]), CDIEA(gradient="direct", nu=0.0))
    assert found.success.all()
    assert found.mask[0].nonzero().tolist() == [[0, 4]]


@dataclass(frozen=True)
class Untargeted(sparse.Recipe):
    """Another recipe, to show that the loop knows none: away from the label, random start, another attempt."""

    name = "untargeted"
    gamma: float = 1e6
    attempts: int = 2

    def start(self, model, images, labels, logits, seeds) -> sparse.Start:  # noqa: ARG002
        delta = torch.rand(images.shape, generator=torch.Generator().manual_seed(sum(seeds)), dtype=images.dtype) - 0.5
        return sparse.Start(delta, labels, torch.full_like(images[:, 0, 0, 0], 2.0), torch.arange(len(images)) != 1)

    def class_loss(self, logits: Tensor, start: sparse.Start) -> Tensor:
        return -nn.functional.cross_entropy(logits, start.targets, reduction="none") / start.scale

    def sparsity_weight(self, share: Tensor) -> Tensor:
        return self.gamma * share

    def next_alpha(self, step: int, alpha: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002
        return alpha + 2

    def retry(self) -> sparse.Recipe | None:
        return replace(self, gamma=1.0, attempts=self.attempts - 1) if self.attempts > 1 else None


def test_another_recipe_with_a_second_attempt():
    model, images, labels = pictures(4)
    once = sparse.attack(model, images, labels, Untargeted(steps=40, attempts=1))
    twice = sparse.attack(model, images, labels, Untargeted(steps=40))
    direct = sparse.attack(model, images, labels, Untargeted(steps=40, gamma=1.0, attempts=1))
    assert not once.success.any(), "with such a price on points nothing is fooled"
    assert twice.success.tolist() == direct.success.tolist()
    assert twice.success.sum() >= 2
    assert not twice.success[1], "an image not worth attacking has failed at once"
    assert twice.delta[1].eq(0).all()
    torch.testing.assert_close(twice.delta, direct.delta)


def test_a_start_outside_the_bounds_is_clipped():
    model, images, labels = pictures(1)
    watch = Watch(model, images, 8 / 255).eval()
    sparse.attack(watch, images, labels, Untargeted(steps=1, attempts=1))  # starts at up to 0.5
    assert watch.farthest <= 8 / 255 + 1e-7


def test_success_is_that_of_the_sparse_perturbation():
    model, images, labels = pictures(16)
    found = sparse.attack(model, images, labels, CDIEA(steps=40, nu=30.0, epsilon=0.05))
    dense = model(images + found.delta).argmax(1) != labels
    thin = model(images + found.delta * found.mask[:, None]).argmax(1) != labels
    assert torch.equal(found.success, thin)
    assert (dense & ~thin).any(), "both do the same, so nothing was tested"


def test_logits_that_are_not_finite_fool_nobody():
    logits = torch.tensor([[1.0, 2.0], [torch.nan, 0.0], [0.0, torch.inf], [2.0, 1.0]])
    assert sparse.fooled(logits, torch.tensor([0, 1, 0, 0])).tolist() == [True, False, False, False]


def test_an_empty_batch_passes():
    model, images, labels = pictures(1)
    estimated = CDIEA(steps=2).estimate(model, images[:0], labels[:0], [])
    assert estimated.importance.shape == (0, H, W)
    assert estimated.failed.shape == (0,)


def test_the_linear_encoder_is_refused_above_64_with_the_cure():
    CDIEA().check(64, 64)
    CDIEA().check(224, 65)  # a U-Net then
    with pytest.raises(UserError, match=r"224x65.*2\.5 GB.*encoder_kind='unet'"):
        CDIEA(encoder_kind="linear").check(224, 65)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": 8}, "8/255"),
        ({"epsilon": 0}, "epsilon"),
        ({"steps": 0}, "steps"),
        ({"momentum": 1.0}, "momentum"),
        ({"encoder_weight_decay": -1}, "encoder_weight_decay"),
        ({"target": "likely"}, "most_likely"),
        ({"gradient": "both"}, "direct"),
        ({"reduce": "sum"}, "mean"),
        ({"floor": 0.0}, "floor"),
        ({"encoder_weight_decay": float("nan")}, "encoder_weight_decay"),
        ({"nu": -1.0}, "nu"),
        ({"nu": float("inf")}, "nu must be finite"),
        ({"last_phase_factor": float("inf")}, "last_phase_factor must be finite"),
        ({"last_phase": 2.0}, "last_phase"),
    ],
)
def test_wrong_constants_are_named(wrong, message):
    with pytest.raises(UserError, match=message):
        CDIEA(**wrong)


def test_what_cannot_be_attacked_is_named():
    model, images, labels = pictures(2)
    with pytest.raises(UserError, match="eval"):
        sparse.attack(network().train(), images, labels, CDIEA())
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        sparse.attack(model, images * 255, labels, CDIEA())
    with pytest.raises(UserError, match="4 classes"):
        sparse.attack(model, images, labels + K, CDIEA())
    with pytest.raises(UserError, match=r"labels -1 to 0"):
        sparse.attack(model, images, torch.tensor([0, -1]), CDIEA())
    with pytest.raises(UserError, match=r"uint8.*images\.float\(\) / 255"):
        sparse.attack(model, (images * 255).to(torch.uint8), labels, CDIEA())
    broken = Evidence(torch.full((1, 1, H, W), torch.nan), 0.0).double().eval()
    with pytest.raises(UserError, match="NaN or infinite logits"):
        sparse.attack(broken, images, labels, CDIEA())
    with pytest.raises(UserError, match="needs a classifier"):
        CDIEA().estimate(None, images, labels, [0, 0])
