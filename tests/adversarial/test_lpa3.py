"""LP-A3 against a model solved by hand, its margin on models at random, and the model left exactly as it was."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.adversarial.lpa3 import LPA3
from reference import lpa3 as by_hand


class Plane(nn.Module):
    """Images of two pixels; φ is their direction, the logits are linear."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.see = nn.Flatten()
        self.head = nn.Linear(2, len(weights), bias=False).double()
        self.head.weight.data = torch.from_numpy(weights)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.see(images))


def toy(channels: int = 3, classes: int = 4, seed: int = 0, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A small convolutional network whose batch-norm layers have statistics of their own, in training mode."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Dropout(0.5),
        nn.Conv2d(8, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, classes),
    ).to(dtype)
    for module in model:
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.2, 2)
    model[-1].weight.data *= 4
    return model


def some(n: int = 7, dtype: torch.dtype = torch.float32, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 3, 9, 8, generator=generator).to(dtype), torch.arange(n) % 4


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def log_probability(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).log_softmax(1).gather(1, labels[:, None])[:, 0]


# the steps, by hand


WEIGHTS = np.array([[3.0, -1.0], [-2.0, 2.5], [0.5, 1.0]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"margin": 0.002, "multiplier": 30.0, "rise": 3.0},
        {"slope": "difference", "decay": 0.5},
        {"step": 0.3, "margin": 0.05, "cap": 0.1, "back_off": 4},
        {"back_off": 0},
        {"form": "tangent"},
        {"form": "tangent", "iterations": 4, "stride": 0.05, "decay": 0.3, "cap": 0.03, "back_off": 5, "low": 0.05},
        {"low": 0.3, "high": 0.7, "margin": 0.2},
    ],
)
def test_every_step_is_the_one_computed_by_hand(options: dict[str, Any]):
    torch.manual_seed(3)
    images = (torch.rand(40, 1, 1, 2, dtype=torch.float64) * 0.4 + 0.3).contiguous()
    labels = torch.arange(40) % 3
    attack = LPA3(Plane(WEIGHTS), ["see"], noise=0.02, **options)
    moved = attack.augment(images, labels, seeded(5))

    settings = {
        "low": 0.0,
        "high": 1.0,
        **{name: getattr(attack, name) for name in ("margin", "step", "multiplier", "decay", "rise", "stride")},
        **{name: getattr(attack, name) for name in ("form", "slope", "cap", "iterations")},
        **{name: value for name, value in options.items() if name in ("low", "high")},
    }
    seed = int(torch.randint(2**62, (), generator=seeded(5)))
    noise = (torch.rand(images.shape, generator=torch.Generator().manual_seed(seed)).double() * 2 - 1) * 0.02
    unsafe = 0
    for i, image in enumerate(images):
        hand = by_hand.Attack(image.flatten().numpy(), WEIGHTS, np.eye(3)[int(labels[i])], settings)
        delta = hand.within(noise[i].flatten().numpy())
        delta = hand.tangent(delta) if attack.form == "tangent" else hand.lagrangian(delta)
        unsafe += hand.look(delta) > attack.margin
        expected = hand.backed_off(delta, attack.back_off)
        np.testing.assert_allclose(
            moved.images[i].flatten().numpy(), expected, rtol=0, atol=1e-7
        )  # norms have 1e-8 or 1e-10 added

        assert float(moved.distance[i]) == pytest.approx(by_hand.chord(expected, hand.x), abs=1e-7)
        assert float(moved.drop[i]) == pytest.approx(
            hand.clean - by_hand.log_probability(expected, WEIGHTS, hand.target), abs=1e-7
        )
    if not {"cap", "low"} & set(options):
        assert unsafe  # the back-off had something to do


def test_gradients_by_hand_are_gradients():
    # The reference is trusted with derivatives, so they are checked by differences first.
    x, other, target = np.array([0.3, 0.8]), np.array([0.5, 0.6]), np.array([0.0, 0.7, 0.3])
    for function, gradient in (
        (lambda z: by_hand.chord(z, other), by_hand.chord_gradient(x, other)),
        (
            lambda z: by_hand.log_probability(z, WEIGHTS, target),
            by_hand.log_probability_gradient(x, WEIGHTS, target),
        ),
    ):
        for k in range(2):
            step = np.eye(2)[k] * 1e-6
            assert (function(x + step) - function(x - step)) / 2e-6 == pytest.approx(gradient[k], abs=1e-7)


def test_mixed_labels_mean_their_weighted_log_probability():
    labels = aw.MixedLabels(
        torch.tensor([[0, 1], [2, 0]]), torch.tensor([[0.7, 0.3], [0.5, 0.5]]), torch.tensor([0.0, 0.2])
    )
    images = torch.tensor([[0.3, 0.8], [0.6, 0.4]], dtype=torch.float64).view(2, 1, 1, 2)
    attack = LPA3(Plane(WEIGHTS), ["see"])
    moved = attack.augment(images, labels, seeded())
    dense = labels.dense(3).double().numpy()
    for i in range(2):
        before, after = (x[i].flatten().numpy() for x in (images, moved.images))
        drop = by_hand.log_probability(before, WEIGHTS, dense[i]) - by_hand.log_probability(after, WEIGHTS, dense[i])
        assert abs(drop) > 1e-4
        assert drop <= attack.margin + 1e-7
        assert float(moved.drop[i]) == pytest.approx(drop, abs=1e-6)


# the margin


@pytest.mark.parametrize("form", ["lagrangian", "tangent"])
@pytest.mark.parametrize("margin", [1e-3, 0.05, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_image_keeps_the_margin(form: Any, margin: float, dtype: torch.dtype):
    moved_at_all = 0
    for seed in range(6):
        model, (images, labels) = toy(seed=seed, dtype=dtype).eval(), some(16, dtype, seed)
        moved = LPA3(model, form=form, margin=margin).augment(images, labels, seeded(seed))
        drop = log_probability(model, images, labels) - log_probability(model, moved.images, labels)
        rounding = 1e-5 if dtype == torch.float32 else 1e-12
        assert float(drop.max()) <= margin + rounding
        assert bool((moved.drop <= margin).all())
        torch.testing.assert_close(moved.drop, drop, rtol=0, atol=rounding)
        assert float(moved.images.min()) >= 0
        assert float(moved.images.max()) <= 1
        away = aw.PerceptualDistance(model)
        torch.testing.assert_close(moved.distance, away(moved.images, images), rtol=1e-3, atol=1e-4)
        moved_at_all += int((moved.distance > 1e-3).sum())
    assert moved_at_all > 6 * 16 * 0.9


def test_without_back_off_margins_are_left():
    images, labels = some(32)
    moved = LPA3(toy(), back_off=0).augment(images, labels, seeded())
    assert int((moved.drop > 0.02).sum()) > 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_margin_holds_in_half_precision(dtype: torch.dtype):
    model, (images, labels) = toy(), some(16)
    with torch.autocast("cpu", dtype):
        moved = LPA3(model, margin=0.1).augment(images, labels, seeded())
    assert moved.images.dtype == torch.float32
    assert moved.distance.dtype == torch.float32
    assert bool((moved.drop <= 0.1).all())
    assert int((moved.distance > 1e-2).sum()) > 10
    with torch.autocast("cpu", dtype):
        drop = log_probability(model.eval(), images, labels) - log_probability(model, moved.images, labels)
    assert float(drop.max()) <= 0.1 + 20 * torch.finfo(dtype).eps


@pytest.mark.parametrize(("options", "forward", "backward"), [({}, 8, 5), ({"form": "tangent"}, 5, 2)])
def test_it_costs_the_passes_it_says(options: dict[str, Any], forward: int, backward: int):
    model, passes, back = toy(), [], []
    model[0].register_forward_hook(lambda *_: passes.append(1))
    model[0].register_full_backward_hook(lambda *_: back.append(1))
    LPA3(model, ["2", "7"], **options)(*some())
    assert (len(passes), len(back)) == (forward, backward)


# the model


@pytest.mark.parametrize(
    "options", [{}, {"norms": "batch"}, {"form": "tangent", "norms": "batch"}, {"slope": "difference", "back_off": 0}]
)
def test_the_model_is_as_it_was(options: dict[str, Any]):
    model = toy().train()
    model[1].eval()  # a frozen layer stays frozen
    model[5].weight.requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    before = copy.deepcopy(model)
    grads = [(p.grad, p.grad.clone()) for p in model.parameters()]
    images, labels = some()
    given = images.clone()
    farther = LPA3(model, **options)(images, labels)
    for (name, old), new in zip(before.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(old, new), name
    for old, new, (same, values) in zip(before.parameters(), model.parameters(), grads, strict=True):
        assert new.grad is same
        assert torch.equal(new.grad, values)
        assert old.requires_grad == new.requires_grad
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert [m.track_running_stats for m in model if isinstance(m, nn.BatchNorm2d)] == [True, True]
    assert not any(m._forward_hooks for m in model.modules())
    assert torch.equal(images, given)
    assert not farther.requires_grad
    assert not torch.equal(farther, images)


def test_the_model_is_as_it_was_when_the_attack_fails():
    model = toy().train()
    attack = LPA3(model, ["1"])  # written over by the ReLU behind it
    with pytest.raises(aw.UserError, match="written over"):
        attack(*some())
    assert all(m.training for m in model.modules())
    assert not any(m._forward_hooks for m in model.modules())


def test_no_image_depends_on_its_neighbours_with_fixed_norms():
    model, (images, labels) = toy(dtype=torch.float64), some(6, torch.float64)
    attack = LPA3(model, noise=1e-12)  # the noise is drawn for a whole batch
    together = attack.augment(images, labels, seeded()).images
    other = torch.cat([images[:1], images[1:].flip(0)])
    assert torch.allclose(attack.augment(other, labels, seeded()).images[0], together[0], atol=1e-9)
    batch = LPA3(model, noise=1e-12, norms="batch")
    assert not torch.allclose(
        batch.augment(other, labels, seeded()).images[0], batch.augment(images, labels, seeded()).images[0], atol=1e-4
    )


def test_it_draws_one_number_and_repeats_itself():
    model, (images, labels) = toy(), some()
    attack = LPA3(model)
    a, b, c = (attack(images, labels, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    torch.manual_seed(4)
    attack(images, labels)
    after = torch.get_rng_state()
    torch.manual_seed(4)
    torch.randint(2**62, ())
    assert torch.equal(torch.get_rng_state(), after)


def test_batches_keep_what_belongs_to_their_images():
    model, (images, labels) = toy(), some()
    maps = torch.rand(7, 9, 8)
    batch = aw.Batch.of(images, labels, maps, torch.arange(7) + 3)
    farther = LPA3(model)(batch, generator=seeded())
    assert torch.equal(farther.images, LPA3(model)(images, labels, seeded()))
    assert type(farther.images) is type(batch.images)
    assert torch.equal(farther.importance, batch.importance)
    assert torch.equal(farther.indices, batch.indices)
    assert farther.labels is labels


def test_normalised_pixels_with_their_own_bounds():
    mean, std = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    model, (images, labels) = toy(), some(5)
    scaled = (images - mean[:, None, None]) / std[:, None, None]
    attack = LPA3(model, low=(0 - mean) / std, high=(1 - mean) / std, noise=0.01)
    pixels = attack(scaled, labels) * std[:, None, None] + mean[:, None, None]
    assert float(pixels.min()) >= -1e-6
    assert float(pixels.max()) <= 1 + 1e-6
    with pytest.raises(aw.UserError, match=r"outside low=\[0.0\]"):
        LPA3(model)(scaled, labels)


def test_an_empty_batch():
    images, labels = some(0)
    moved = LPA3(toy()).augment(images, labels)
    assert moved.images.shape == (0, 3, 9, 8)
    assert moved.distance.shape == moved.drop.shape == moved.kept.shape == (0,)


def test_kept_tells_whose_label_was_lost():
    images, labels = torch.rand(64, 1, 1, 2, generator=seeded(2)).double(), torch.arange(64) % 3
    model = Plane(WEIGHTS)
    moved = LPA3(model, ["see"], margin=1.0).augment(images, labels, seeded())
    with torch.no_grad():
        before, after = model(images).argmax(1), model(moved.images).argmax(1)
    assert torch.equal(moved.kept, (after == labels) | (before != labels))
    assert 0 < int(moved.kept.sum()) < 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"margin": 0}, "margin=0: give a number above 0"),
        ({"margin": -0.1}, "margin=-0.1"),
        ({"margin": float("nan")}, "margin=nan"),
        ({"iterations": 0}, "iterations=0"),
        ({"step": -1.0}, "step=-1.0"),
        ({"cap": 0.0}, "cap=0.0"),
        ({"noise": 0.0}, "noise=0.0"),
        ({"back_off": -1}, "back_off=-1: give 0 or more"),
        ({"form": "newton"}, "form='newton' is unknown: use 'lagrangian' or 'tangent'"),
        ({"norms": "train"}, "norms='train' is unknown"),
        ({"slope": "exact"}, "slope='exact' is unknown"),
        ({"low": 1.0, "high": 0.0}, "leave no pixels"),
        ({"layers": ["layer9"]}, "layer 'layer9' is no part of the Sequential"),
        ({"layers": "2"}, "give the names of one layer or more"),
    ],
)
def test_settings_that_cannot_be_meant(options: dict[str, Any], message: str):
    with pytest.raises(aw.UserError, match=message.replace("(", r"\(")):
        LPA3(toy(), **options)


def test_images_and_labels_that_cannot_be_meant():
    attack, (images, labels) = LPA3(toy()), some()
    for given, message in (
        ((images * 255, labels), "pixels lie between"),
        ((images.where(images > 0.1, torch.nan), labels), "pixels lie between"),
        (((images * 255).byte(), labels), "uint8"),
        ((images[0], labels), r"give a batch \(N, C, H, W\)"),
        ((images, labels[:3]), "7 images and 3 labels"),
        ((images, labels.float()), "labels"),
        ((images, labels + 4), "a label is"),
        ((images,), "got no labels"),
    ):
        with pytest.raises(aw.UserError, match=message):
            attack(*given)
    with pytest.raises(aw.UserError, match="for 2 channels, the images have 3"):
        LPA3(toy(), low=(0.0, 0.0))(images, labels)
