"""One-pass maps: the losses by hand, the network on digits it has not seen, its file, and its use in a loop."""

from __future__ import annotations

import json
import pickle
from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import augwise as aw
from augwise import UserError, randomness
from augwise.data import ArraySource, Resident
from augwise.fingerprints import model_fingerprint
from augwise.importance import one_pass_losses as losses
from augwise.importance.one_pass import load_one_pass, read_out, save_one_pass
from augwise.importance.one_pass_features import feature_layer, features_of
from augwise.importance.one_pass_network import OnePassNetwork
from augwise.models.small_cnn import SmallCNN
from augwise.training.one_pass import _rate, moved_boxes, moved_images

SIDE = 16


@cache
def digits(split: str) -> Resident:
    return Resident.load(aw.open_source("digits", split, size=SIDE), progress=False)


@cache
def classifier() -> nn.Module:
    """A small CNN that tells most digits of 16 px, in a second."""
    torch.manual_seed(0)
    model, data = SmallCNN(10), digits("train")
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for _ in range(3):
        for rows in torch.randperm(len(data)).split(50):
            loss = F.cross_entropy(model(data.images[rows] / 255), data.labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


def blind() -> nn.Module:
    model = SmallCNN(10).eval()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def settings(**changes) -> aw.OnePassSettings:
    return aw.OnePassSettings(**{"epochs": 2, "windows": 6, "batch_size": 20, **changes})


@pytest.fixture
def few() -> ArraySource:
    data = digits("train")
    return ArraySource(data.images[:60], data.labels[:60].numpy(), [str(i) for i in range(10)], "few", flip=True)


@pytest.fixture
def network(tmp_path) -> aw.OnePass:
    """Untrained, of 3 channels and 4 classes, trained for "erasing" as far as its file knows."""
    return aw.OnePass.load(written(tmp_path / "net.safetensors"))


def written(path, seed: int = 0, **about):
    torch.manual_seed(seed)
    architecture = {"channels": 3, "classes": 4, "width": 24}
    about = {"architecture": architecture, "layer": None, "objective": "erasing", "sharpness": 1.0} | about
    about |= {"classes": list("abcd"), "classifier": "f", "image": [3, SIDE, SIDE], "data": "toy"}
    save_one_pass(OnePassNetwork(**about["architecture"]), about, path)
    return path


def test_box_scores_are_the_sums_and_their_gradient_is_the_window():
    maps = torch.randn(3, 5, 9, dtype=torch.float64, requires_grad=True)
    boxes = losses.random_boxes(3, 7, 5, 9, 1, 4, randomness.generator("a"))
    scores = losses.box_scores(maps, boxes)
    for i, each in enumerate(boxes.tolist()):
        for k, (top, left, bottom, right) in enumerate(each):
            assert scores[i, k].item() == pytest.approx(maps[i, top:bottom, left:right].sum().item(), abs=1e-12)
    top, left, bottom, right = boxes[1, 2].tolist()
    expected = torch.zeros_like(maps)
    expected[1, top:bottom, left:right] = 1
    torch.testing.assert_close(torch.autograd.grad(scores[1, 2], maps)[0], expected, rtol=0, atol=1e-12)


def test_windows_are_squares_inside_of_every_side_and_place():
    boxes = losses.random_boxes(400, 8, 7, 10, 2, 4, randomness.generator("b")).flatten(0, 1)
    top, left, bottom, right = boxes.unbind(1)
    assert torch.equal(bottom - top, right - left)
    assert set((bottom - top).tolist()) == {2, 3, 4}
    of_two = boxes[bottom - top == 2]
    assert len({tuple(b) for b in of_two.tolist()}) == 6 * 9
    assert int(bottom.max()) == 7
    assert int(right.max()) == 10


def test_erasing_loss_by_hand():
    drops = torch.tensor([[1.0, 2.0, 4.0, -1.0], [3.0, 0.0, 1.0, 1.0]], dtype=torch.float64)
    assert losses.erasing_loss(5 * drops - 7, drops).item() == pytest.approx(0, abs=1e-9)
    assert losses.erasing_loss(-drops, drops).item() == pytest.approx(2, abs=1e-9)
    scores = torch.randn(2, 4, dtype=torch.float64)
    expected = 1 - torch.stack([torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(scores, drops, strict=True)])
    assert losses.erasing_loss(scores, drops).item() == pytest.approx(expected.mean().item(), abs=1e-9)
    assert torch.autograd.gradcheck(lambda s: losses.erasing_loss(s, drops), scores.requires_grad_())


def test_windows_that_cost_all_the_same_teach_nothing():
    scores = torch.randn(2, 4, requires_grad=True)
    loss = losses.erasing_loss(scores, torch.ones(2, 4))
    loss.backward()
    assert loss.item() == pytest.approx(1, abs=1e-5)
    assert scores.grad is not None
    assert scores.grad.abs().max() < 1e-5


class Linear(nn.Module):
    """Two classes: logits (0, Σ weight · x)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images: Tensor) -> Tensor:
        score = (images * self.weight).sum((1, 2, 3))
        return torch.stack([torch.zeros_like(score), score], 1)


def test_attack_loss_and_its_gradient_by_hand():
    """A linear classifier: ∂L/∂m_p = (p_1 − [y* = 1]) Σ_c w_cp δ_cp + ν s / P."""
    generator = randomness.generator("d")
    weight, images, delta = (torch.rand(2, 3, 4, generator=generator, dtype=torch.float64) - 0.5 for _ in range(3))
    images, delta = images[None] + 0.5, delta[None] / 10
    mask = torch.rand(1, 3, 4, generator=generator, dtype=torch.float64).requires_grad_()
    loss = losses.attack_loss(Linear(weight), images, torch.tensor([1]), delta, mask, nu=3.0)
    score = (weight * (images + delta * mask)).sum()
    share = (mask > 0.5).double().mean()
    assert loss.item() == pytest.approx((F.softplus(-score) + 3 * share * mask.mean()).item(), abs=1e-12)
    expected = (torch.sigmoid(score) - 1) * (weight * delta[0]).sum(0) + 3 * share / 12
    torch.testing.assert_close(torch.autograd.grad(loss, mask)[0][0], expected.detach())


def test_the_dense_attack_goes_as_far_as_it_may_along_the_gradient():
    weight = torch.tensor([[[0.5, -0.2, 0.3], [-1.0, 0.1, 2.0]]])
    images = torch.tensor([[[[0.5, 0.5, 0.98], [0.01, 0.5, 0.5]]]])
    delta = losses.dense_attack(Linear(weight), images, torch.tensor([1]), epsilon=0.1, steps=3)
    expected = torch.tensor([[[[0.1, -0.1, 0.02], [-0.01, 0.1, 0.1]]]])
    torch.testing.assert_close(delta, expected)


def test_images_and_windows_move_together():
    """A window painted into an image lies, after both have moved, where the moved window says."""
    generator = randomness.generator("e")
    boxes = losses.random_boxes(40, 1, 8, 11, 2, 4, generator)
    images = torch.zeros(40, 1, 8, 11)
    for image, (top, left, bottom, right) in zip(images, boxes[:, 0].tolist(), strict=True):
        image[:, top:bottom, left:right] = 1
    mirrored = torch.rand(40, generator=generator) < 0.5
    moved = torch.stack([torch.randint(-2, 3, (40,), generator=generator) for _ in range(2)], 1)
    after, where = moved_images(images, mirrored, moved), moved_boxes(boxes, mirrored, moved, 8, 11)
    for i, (top, left, bottom, right) in enumerate(where[:, 0].tolist()):
        assert bool((after[i, :, top:bottom, left:right] == 1).all())
        picture = images[i].flip(-1) if mirrored[i] else images[i]
        padded = F.pad(picture[None], (3, 3, 3, 3), mode="reflect")[0]
        down, across = moved[i].tolist()
        assert torch.equal(after[i], padded[:, 3 - down : 11 - down, 3 - across : 14 - across])


@pytest.mark.parametrize("steps", [1, 5])
def test_the_dense_attack_moves_twice_epsilon_in_all(steps):
    model, images = deepcopy(classifier()).double(), torch.rand(6, 3, SIDE, SIDE, dtype=torch.float64)
    targets = torch.arange(6)
    delta = losses.dense_attack(model, images, targets, 0.1, steps, momentum=0.5)
    expected, velocity = torch.zeros_like(images), torch.zeros_like(images)
    for _ in range(steps):
        seen = (images + expected).requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(model(seen), targets, reduction="sum"), seen)
        velocity = 0.5 * velocity + grad / grad.abs().sum((1, 2, 3), keepdim=True)
        expected = (expected - 0.2 / steps * velocity.sign()).clamp(-0.1, 0.1)
        expected = (images + expected).clamp(0, 1) - images
    torch.testing.assert_close(delta, expected, rtol=0, atol=1e-12)


def test_raw_numbers_become_importance():
    raw = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(read_out(raw, "erasing", 7.0), (1 + raw.exp()).log())
    torch.testing.assert_close(read_out(raw, "attack", 7.0), 1 / (1 + (-7 * raw).exp()))


def test_the_network_normalises_colours_and_shrinks_large_images():
    torch.manual_seed(3)
    architecture = {"channels": 3, "classes": 4, "width": 24}
    own = OnePassNetwork(**architecture, mean=[0.2, 0.5, 0.4], std=[0.1, 0.3, 0.2]).eval()
    plain = OnePassNetwork(**architecture, mean=[0.0] * 3, std=[1.0] * 3).eval()
    plain.load_state_dict({k: v for k, v in own.state_dict().items() if k not in ("mean", "std")}, strict=False)
    images = torch.rand(2, 3, 20, 17)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.2, 0.5, 0.4], [0.1, 0.3, 0.2]))
    torch.testing.assert_close(own(images), plain((images - mean) / std), rtol=1e-4, atol=1e-5)
    large = torch.rand(1, 3, 80, 160)
    assert own(large).shape == (1, 4, 8, 16)
    small = F.interpolate(large, (32, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(own(large), own(small))
    assert own(torch.rand(1, 3, 64, 48)).shape == (1, 4, 16, 12)


def test_features_are_the_last_that_still_say_where():
    images = torch.rand(1, 3, 32, 32)
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(4), nn.Conv2d(4, 5, 2), nn.Conv2d(5, 6, 2))
    assert feature_layer(layers, images) == ("2", 5)  # 7 x 7; the next has 6 x 6
    torch.testing.assert_close(features_of(layers, "2", images), layers[:3](images))
    assert not any(module._forward_hooks for module in layers.modules())
    with pytest.raises(UserError, match=r"no feature maps of 7x7 or more .*--look image"):
        feature_layer(layers[:1], images[..., :6, :16])
    assert feature_layer(aw.models.build("resnet18", num_classes=4, seed=0).eval(), images)[0].startswith("layer3")


class Noting(nn.Module):
    """The classifier, which notes the pictures that it was shown, to the nearest of 256 levels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.seen = classifier(), []

    def forward(self, images: Tensor) -> Tensor:
        self.seen += list((images.detach() * 255).round().to(torch.uint8))
        return self.inner(images)


@pytest.mark.parametrize(("flip", "shift"), [(False, 0.0), (True, 0.0), (False, 0.1), (None, 0.1)])
def test_training_mirrors_and_moves_as_it_is_told(flip, shift, few, tmp_path):
    model = Noting().eval()
    chosen = settings(objective="attack", attack_steps=1, epsilon=1e-6, flip=flip, shift=shift)
    aw.train_one_pass(model, few, tmp_path / "a.safetensors", chosen, progress=False)
    far = range(-round(shift * SIDE), round(shift * SIDE) + 1)
    ways = [(m, y, x) for m in ([False, True] if flip in (True, None) else [False]) for y in far for x in far]
    known = {}
    for way in ways:
        mirrored, moved = torch.tensor([way[0]] * 60), torch.tensor([way[1:]] * 60)
        known |= {picture.numpy().tobytes(): way for picture in moved_images(few.images, mirrored, moved)}
    seen = [known[picture.numpy().tobytes()] for picture in model.seen]  # nothing else was shown
    assert {y for _, y, _ in seen} == {x for _, _, x in seen} == set(far)
    assert {m for m, _, _ in seen} == {m for m, _, _ in ways}


def test_the_network_knows_the_colours_of_its_images(tmp_path):
    images = torch.randint(0, 200, (24, 3, 8, 12), dtype=torch.uint8)
    images[:, 1], images[:, 2] = images[:, 1] // 4, 77
    data = ArraySource(images, np.arange(24) % 10, [str(i) for i in range(10)], "coloured")
    chosen = settings(epochs=1, windows=3)
    network = aw.train_one_pass(classifier(), data, tmp_path / "a.safetensors", chosen, progress=False)
    pixels = images.double() / 255
    architecture = network.about["architecture"]
    assert architecture["mean"] == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    expected = pixels.std((0, 2, 3), correction=0).tolist()
    assert architecture["std"] == pytest.approx([*expected[:2], 1.0], abs=1e-6)  # a channel that says nothing


def test_the_rate_rises_and_falls():
    rates = [_rate(step / 1000) for step in range(1001)]
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert 0 < rates[0] < 0.1
    assert (rates[100], rates[550]) == pytest.approx((1, 0.5))
    assert rates[1000] == pytest.approx(0)


EFFECTS = {
    "erasing": {"lr": 1e-3, "weight_decay": 0.5, "seed": 1, "windows": 5, "shortest": 0.4, "longest": 0.7},
    "attack": {"epsilon": 0.1, "attack_steps": 1, "nu": 1.0, "sharpness_start": 1.0, "sharpness_end": 5.0},
}


@pytest.mark.parametrize("objective", EFFECTS)
def test_every_setting_has_its_effect(objective, few, tmp_path):
    """No two trainings that differ in one setting end in the same network."""
    few = ArraySource(few.images[:12, :, ::2, ::2], few.labels[:12], few.class_names, "few")
    found = []
    for i, change in enumerate([{}, {}, *({name: value} for name, value in EFFECTS[objective].items())]):
        chosen = settings(objective=objective, batch_size=6, windows=4, epochs=1)
        path = tmp_path / f"{i}.safetensors"
        network = aw.train_one_pass(classifier(), few, path, replace(chosen, **change), progress=False)
        found.append(network.fingerprint)
    assert found[0] == found[1]
    assert len(set(found[1:])) == len(EFFECTS[objective]) + 1


@pytest.mark.parametrize("look", ["image", "features"])
def test_beats_a_centre_prior_on_new_digits(look, tmp_path):
    model, test = classifier(), digits("test")
    images, labels = test.images[:200].float() / 255, test.labels[:200]
    chosen = aw.OnePassSettings(look=look, epochs=8, windows=16, batch_size=40)
    source = aw.open_source("digits", size=SIDE, limit=500)
    network = aw.train_one_pass(model, source, tmp_path / "digits.safetensors", chosen, progress=False)
    maps = network.maps(images, labels, model), aw.CentrePrior().estimate(None, images, labels, [0] * 200).importance
    own, prior = (aw.erasure_fidelity(model, m, images, labels, range(200), length=6).nanmean() for m in maps)
    assert own > prior + 0.1


@pytest.mark.parametrize(("objective", "stops"), [("erasing", (4, 7, 7)), ("attack", (4, 20))])
def test_interrupted_and_gone_on_with_it_is_the_same_file(objective, stops, few, tmp_path):
    class Stopping(nn.Module):
        """The classifier, until it has been asked so many times."""

        def __init__(self, left: int) -> None:
            super().__init__()
            self.inner, self.left = classifier(), left

        def forward(self, images: Tensor) -> Tensor:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            return self.inner(images)

    def train(name: str, model: nn.Module) -> bytes:
        path = tmp_path / name / "a.safetensors"
        chosen = settings(objective=objective, look="features")
        aw.train_one_pass(model.eval(), few, path, chosen, progress=False, checkpoint_seconds=0)
        assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]
        return path.read_bytes()

    whole = train("whole", Stopping(10**6))
    for left in stops:  # in the windows, in the first epoch (from there it begins again), in the second
        with pytest.raises(KeyboardInterrupt):
            train("stopped", Stopping(left))
    assert train("stopped", Stopping(10**6)) == whole
    assert train("stopped", Stopping(10**6)) == whole  # finished: found, not trained


def test_another_training_in_its_place_is_refused_by_name(few, tmp_path):
    path = tmp_path / "a.safetensors"
    network = aw.train_one_pass(classifier(), few, path, settings(), progress=False)
    assert network.objective == "erasing"
    assert network.classifier == model_fingerprint(classifier())
    with pytest.raises(UserError, match=r"settings\.windows: 6 there, 7 now"):
        aw.train_one_pass(classifier(), few, path, settings(windows=7), progress=False)
    with pytest.raises(UserError, match="classifier"):
        aw.train_one_pass(SmallCNN(10).eval(), few, path, settings(), progress=False)


def test_the_file_gives_back_the_same_maps_and_knows_its_network(network, tmp_path):
    images, labels = torch.rand(4, 3, SIDE, 20), torch.tensor([0, 3, 1, 3])
    maps = network.maps(images, labels)
    again = aw.OnePass(path=str(network.path), fingerprint=network.fingerprint)
    assert torch.equal(again.maps(images, labels), maps)
    assert torch.equal(pickle.loads(pickle.dumps(network)).maps(images, labels), maps)
    assert maps.shape == (4, SIDE, 20)
    assert bool((maps > 0).all())
    other = written(tmp_path / "other.safetensors", seed=1)
    with pytest.raises(UserError, match="holds the network"):
        aw.OnePass(path=other, fingerprint=network.fingerprint)


def test_a_map_is_its_images_and_labels_alone(network):
    images, labels = torch.rand(5, 3, 17, 33), torch.tensor([2, 0, 1, 3, 2])
    maps = network.maps(images, labels)
    alone = torch.cat([network.maps(images[i : i + 1], labels[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(maps, alone, rtol=1e-4, atol=1e-5)
    assert (network.maps(images, labels.flip(0))[2] == maps[2]).all()
    assert not torch.equal(network.maps(images, (labels + 1) % 4), maps)
    mixed = aw.MixedLabels(torch.stack([labels, labels.flip(0)], 1), torch.tensor([[0.7, 0.3]] * 5), torch.zeros(5))
    raw = load_one_pass(network.path).network
    both = 0.7 * raw.of(images, labels) + 0.3 * raw.of(images, labels.flip(0))
    torch.testing.assert_close(network.maps(images, mixed), read_out(both, "erasing", 1.0), rtol=1e-4, atol=1e-5)


def test_large_images_give_a_grid(network):
    found = network.estimate(None, torch.rand(2, 3, 90, 130), torch.tensor([0, 1]), [0, 0])
    assert found.importance.shape == (2, 56, 56)
    assert not found.failed.any()


def test_a_store_says_which_network_made_it_but_not_where_that_lay(few, tmp_path):
    model = classifier()
    network = aw.train_one_pass(model, few, tmp_path / "a.safetensors", settings(look="features"), progress=False)
    store = aw.estimate(model, few, tmp_path / "maps", network, progress=False)
    arguments = store.meta["arguments"]
    assert arguments["fingerprint"] == network.fingerprint
    assert arguments["classifier"] == store.meta["model"]
    assert "path" not in arguments
    (tmp_path / "moved.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes())
    moved = aw.OnePass.load(tmp_path / "moved.safetensors")
    assert len(aw.estimate(model, few, tmp_path / "maps", moved, progress=False)) == len(few)
    aw.estimate(model, few, tmp_path / "quick", moved, precision="bf16", progress=False)
    quick, usual = (np.load(tmp_path / name / "maps.npy").astype(int) for name in ("quick", "maps"))
    # Its passes stay in float32; the other layout of the weights may round a few of the 8 bits otherwise.
    assert np.abs(quick - usual).max() <= 1
    assert (quick != usual).mean() < 0.005
    with pytest.raises(UserError, match="training mode"):
        network.maps(few.images[:2] / 255, torch.zeros(2, dtype=torch.long), deepcopy(model).train())
    with pytest.raises(UserError, match="reads the features of the classifier"):
        aw.LiveOnePass(network, classifier=SmallCNN(10).eval())
    with pytest.raises(UserError, match="give that model"):
        aw.LiveOnePass(network)
    batch = aw.Batch.of(digits("test").images[:3], digits("test").labels[:3])
    live = aw.LiveOnePass(network, classifier=model)(batch)
    expected = network.maps(batch.images.as_subclass(Tensor) / 255, batch.labels, model)
    assert torch.equal(live.importance.as_subclass(Tensor), expected)


def test_live_maps_are_those_of_the_pictures_as_they_are(network):
    images = torch.randint(0, 256, (4, 3, SIDE, SIDE), dtype=torch.uint8)
    batch = aw.Batch.of(images, torch.tensor([0, 1, 2, 3]))
    live = aw.LiveOnePass(network)
    result = live(batch)
    maps = network.maps(images / 255, batch.labels)
    assert torch.equal(result.importance.as_subclass(Tensor), maps)
    torch.testing.assert_close(result.evidence, maps.sum((1, 2)))
    assert torch.equal(result.images, images)
    for floats in (images / 255, (images / 255).double()):
        told = live(batch._replace(images=batch.images.__class__(floats)))
        torch.testing.assert_close(told.importance.as_subclass(Tensor), maps)
    assert not list(live.parameters())
    with randomness.stream("control"):
        foreign = aw.LiveOnePass(network, control=True)(batch).importance.as_subclass(Tensor)
    rows = [int((maps == f).all((1, 2)).nonzero()) for f in foreign]
    assert sorted(rows) == [0, 1, 2, 3]
    assert all(row != i for i, row in enumerate(rows))
    steps = [aw.RandomHorizontalFlip(), live, aw.Cutout(6, quantile=0.5, window="inside")]
    pipeline = aw.BatchPipeline(steps, seed=0)
    assert (pipeline(batch, 0, 0).importance == 0).any()
    assert live(aw.Batch.of(images[:0], torch.zeros(0, dtype=torch.int64))).importance.shape == (0, SIDE, SIDE)


def test_live_maps_train(network, tmp_path):
    images = torch.randint(0, 256, (40, 3, SIDE, SIDE), dtype=torch.uint8)
    data = ArraySource(images, np.arange(40) % 4, list("abcd"), "noise")
    config = aw.TrainConfig(epochs=1, batch_size=20, out=tmp_path / "run", quiet=True, tensorboard=False)
    steps = [aw.LiveOnePass(network), aw.Cutout(6, quantile=0.6)]
    result = aw.train(config, source=data, test=data, steps=steps)
    assert 0 < result["curve"][0]["importance_erased"] < 1
    assert network.fingerprint in result["identity"]["steps"][0]


def broken(path, change):
    change(path)
    return path


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda p: p / "none.safetensors", "is not there"),
        (lambda p: p, "is a folder"),
        (lambda p: broken(p / "a", lambda f: f.write_bytes(b"no")), "no safetensors file"),
        (lambda p: broken(p / "a", lambda f: torch.save({"a": torch.zeros(2)}, f)), "no safetensors file"),
        (lambda p: broken(p / "a", lambda f: f.write_bytes(_weights({"w": torch.zeros(2)}))), "no one-pass network"),
        (lambda p: broken(p / "a", lambda f: f.write_bytes(_weights({"w": torch.ones(2)}, kind="one_pass"))), "format"),
        (lambda p: written(p / "a", objective="other"), "lacks a known objective"),
        (lambda p: written(p / "a", layer=None, architecture={"channels": 3, "classes": 4, "width": 25}), "width=25"),
    ],
)  # fmt: skip
def test_files_of_other_kinds_are_refused(make, says, tmp_path):
    with pytest.raises(UserError, match=says):
        aw.OnePass.load(make(tmp_path))


def _weights(tensors: dict[str, Tensor], **about) -> bytes:
    from safetensors.torch import save

    return save(tensors, {"augwise": json.dumps(about)} if about else None)


def test_bad_images_labels_and_settings(network, few, tmp_path):
    for images, labels, says in [
        (torch.rand(2, 1, SIDE, SIDE), [0, 1], "3 channels"),
        (torch.rand(2, 3, 7, SIDE), [0, 1], "8 pixels"),
        (torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8), [0, 1], "float pixels"),
        (torch.rand(2, 3, SIDE, SIDE), [0, 4], "knows 4 classes"),
    ]:
        with pytest.raises(UserError, match=says):
            network.maps(images, torch.tensor(labels))
    with pytest.raises(UserError, match="--path FILE"):
        aw.OnePass().check(32, 32)
    for changes, says in [
        ({"objective": "other"}, "objective='other'"),
        ({"look": "far"}, "look='far'"),
        ({"windows": 2}, "windows=2"),
        ({"shortest": 0.6}, "two shares"),
        ({"epsilon": 8}, "8/255"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"shift": 0.5}, "shift=0.5"),
    ]:
        with pytest.raises(UserError, match=says):
            aw.train_one_pass(classifier(), few, tmp_path / "a.safetensors", settings(**changes), progress=False)
    for model, path, says in [
        (classifier(), tmp_path / "a.pt", "ends with .safetensors"),
        (SmallCNN(10), tmp_path / "a.safetensors", "training mode"),
        (SmallCNN(3).eval(), tmp_path / "b.safetensors", "knows 3 classes"),
        (SmallCNN(10, 1).eval(), tmp_path / "c.safetensors", "does not take images"),
        (blind(), tmp_path / "d.safetensors", "same logits for all of"),
        (classifier(), written(tmp_path / "e.safetensors"), "belongs to another run: settings: unset there"),
    ]:
        with pytest.raises(UserError, match=says):
            aw.train_one_pass(model, few, path, settings(), progress=False)
    assert not list(tmp_path.glob("*.checkpoint.pt"))
