"""Learning from few labels and LP-A3 in training: who keeps a label, which views, which loss, and exact resume."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.data import ArraySource, Normalize, Resident
from augwise.errors import UserError
from augwise.training.batches import ResidentReader
from augwise.training.config import TrainConfig
from augwise.training.few_labels import FewLabels, Views, labelled_rows
from augwise.training.learn_config import LearnConfig
from augwise.training.objectives.farther import Farther
from augwise.training.objectives.fixmatch import FixMatch
from augwise.training.objectives.flexmatch import FlexMatch
from augwise.training.objectives.uda import UDA
from augwise.training.optimizers import Schedule
from augwise.training.streams import stream_rows
from augwise.training.train import train
from reference.training_toys import network, source

CONFIG = TrainConfig(
    epochs=2,
    batch_size=4,
    lr=0.05,
    crop_padding=1,
    flip=False,
    precision="fp32",
    device="cpu",
    quiet=True,
    tensorboard=False,
    learn=LearnConfig(objective="fixmatch", labelled=9, unlabelled_ratio=3, epoch_steps=4, confidence=0.35),
)
DATA = {"source": source(70, seed=1), "test": source(40, seed=2)}


def run(config: TrainConfig = CONFIG, model: nn.Module | None = None, **parts):
    return train(config, **{**DATA, "model": model or network(), **parts})


def learning(**changes) -> TrainConfig:
    return replace(CONFIG, out=None, learn=replace(CONFIG.learn, **changes))


# who keeps a label


def test_labels_are_kept_evenly_and_by_the_data_seed_alone():
    labels = np.array([0] * 50 + [1] * 30 + [2] * 4)
    for count in (3, 7, 12, 20):
        rows = labelled_rows(labels, count, 3, seed=1)
        assert len(np.unique(rows)) == count
        per_class = np.bincount(labels[rows], minlength=3)
        assert per_class[:2].max() - per_class[:2].min() <= 1
        assert per_class[2] == min(4, per_class[2])
        assert per_class[2] >= min(4, per_class[:2].min())
    assert not np.array_equal(labelled_rows(labels, 12, 3, 1), labelled_rows(labels, 12, 3, 2))
    assert set(labelled_rows(labels, 6, 3, 1)) < set(labelled_rows(labels, 12, 3, 1))  # the same ones first
    torch.manual_seed(99)
    assert np.array_equal(labelled_rows(labels, 12, 3, 1), labelled_rows(labels, 12, 3, 1))


def test_which_image_is_kept_is_even():
    labels = np.arange(20) % 2
    times = sum(np.bincount(labelled_rows(labels, 6, 2, seed), minlength=20) for seed in range(400))
    assert abs(times - 120).max() < 5 * math.sqrt(400 * 0.3 * 0.7)


def test_fewer_labels_than_classes_are_refused():
    with pytest.raises(UserError, match="labelled=2 are fewer labels than the 3 classes"):
        labelled_rows(np.arange(9) % 3, 2, 3, 0)
    with pytest.raises(UserError, match="labelled=10 are more than the 9"):
        labelled_rows(np.arange(9) % 3, 10, 3, 0)
    with pytest.raises(UserError, match="class 3 has no training image"):
        labelled_rows(np.arange(9) % 3, 9, 4, 0)


def test_the_labelled_images_are_a_subset_file_of_the_run(tmp_path):
    result = run(replace(CONFIG, out=tmp_path))
    file = aw.SubsetFile.load(tmp_path / "labelled.npz")
    assert np.array_equal(file.rows, labelled_rows(np.asarray(DATA["source"].labels), 9, 3, 0))
    assert result["data"]["labelled"] == 9
    file.check("toy", np.asarray(DATA["source"].labels), DATA["source"].fingerprint)


def test_other_labels_are_never_looked_at():
    """Whoever has no label may have any: the run is the same."""
    true = DATA["source"]
    kept = labelled_rows(np.asarray(true.labels), 9, 3, 0)
    labels = np.asarray(true.labels).copy()
    for i in range(70):  # turn round every label that has no say in who keeps one
        changed = labels.copy()
        changed[i] = (changed[i] + 1) % 3
        if i not in kept and np.array_equal(labelled_rows(changed, 9, 3, 0), kept):
            labels = changed
    assert (labels != true.labels).sum() > 40
    images = torch.stack([true[i][0] for i in range(70)])
    lying = ArraySource(images, labels, list(true.class_names), "toy")
    for objective in ("fixmatch", "uda", "flexmatch"):
        config = learning(objective=objective, lpa3=True, lpa3_ratio=0.5, lpa3_confidence=0.0)
        a, b = network(), network()
        run(config, a)
        run(config, b, source=lying)
        assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# which views


def batches(seed: int = 0, **changes) -> FewLabels:
    reader = ResidentReader(Resident.load(DATA["source"], progress=False))
    given = {"batch_size": 4, "ratio": 3, "steps": 4, "seed": seed, **changes}
    rows = labelled_rows(np.asarray(DATA["source"].labels), 9, 3, 0)
    shared = [aw.RandomCrop((8, 8), padding=2)]
    return FewLabels(reader, reader, rows, shared, [aw.Cutout(3)], [Normalize([0.5] * 3, [0.25] * 3)], **given)


def test_every_image_comes_once_before_any_comes_again():
    rows = np.array([3, 5, 8, 13, 21])
    stream = np.concatenate([stream_rows(rows, 7, first, 4) for first in range(0, 20, 4)])
    for turn in range(4):
        assert sorted(stream[5 * turn : 5 * turn + 5]) == [3, 5, 8, 13, 21]
    assert len({tuple(stream[5 * turn : 5 * turn + 5]) for turn in range(4)}) > 1
    assert np.array_equal(stream_rows(rows, 7, 3, 14), stream[3:17])


def test_views_are_of_the_same_images_and_differ():
    given = batches()
    steps = [views for epoch in range(3) for views in given.epoch(epoch)]
    assert len(steps) == 12
    seen = torch.cat([views.weak.indices for views in steps])
    assert sorted(seen[:70].tolist()) == list(range(70))
    for views in steps:
        assert len(views.labelled.images) == 4
        assert set(views.labelled.indices.tolist()) <= set(given.rows.tolist())
        assert torch.equal(views.labelled.labels, torch.from_numpy(DATA["source"].labels)[views.labelled.indices])
        assert torch.equal(views.weak.indices, views.strong.indices)
        assert bool((views.weak.labels == -1).all())
        assert not torch.equal(views.weak.images, views.strong.images)
    same = [torch.equal(a.weak.images, b.weak.images) for a, b in zip(steps, batches().epoch(0), strict=False)]
    assert all(same[:4])
    assert not torch.equal(steps[0].weak.indices, next(batches(seed=1).epoch(0)).weak.indices)


def test_steps_from_the_middle_and_in_two_processes_are_the_same():
    whole = list(batches().epoch(1))
    for a, b in zip(whole[2:], batches().epoch(1, 2), strict=True):
        assert all(torch.equal(x.images, y.images) for x, y in zip(a, b, strict=True))
    parts = [list(batches(rank=rank, processes=2).epoch(1)) for rank in range(2)]
    for step, views in enumerate(whole):
        for i, part in enumerate(views):
            both = torch.cat([parts[rank][step][i].images for rank in range(2)])
            assert torch.equal(both, part.images)


def test_a_pass_over_the_others_is_an_epoch_unless_said():
    assert len(batches(steps=None)) == 70 // 12
    with pytest.raises(UserError, match="a step takes 120 images without labels, but there are 70"):
        batches(steps=None, ratio=30)


# which loss


class Fixed(nn.Module):
    """Says what it was told to say, whatever it sees."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> Tensor:
        assert len(images) == len(self.logits)
        return self.logits


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in row)
    return [math.exp(v) / total for v in row]


@pytest.mark.parametrize("kind", [FixMatch, UDA, FlexMatch])
def test_losses_are_those_of_a_slow_loop(kind):
    logits = torch.randn(4 + 12 + 12, 3) * (0.8 if kind is FlexMatch else 2)
    model = Fixed(logits)
    given = batches()
    views = next(given.epoch(0))
    objective = kind(model, torch.optim.SGD(model.parameters(), 0.1), given, 0.7, 0.5)
    statuses = torch.tensor([0] * 30 + [1] * 20 + [2] * 5 + [-1] * 15)
    if kind is FlexMatch:
        objective.last.copy_(statuses)
    step = objective.loss(model, views)

    labelled, weak, strong = (part.tolist() for part in logits.split([4, 12, 12]))
    labels = views.labelled.labels.tolist()
    expected = sum(-math.log(softmax(row)[y]) for row, y in zip(labelled, labels, strict=True)) / 4
    other = sure = 0.0
    for w, s in zip(weak, strong, strict=True):
        p, q = softmax(w), softmax(s)
        top = p.index(max(p))
        needed = 0.7
        if kind is FlexMatch:
            beta = {0: 30 / 30, 1: 20 / 30, 2: 5 / 30}[top]
            needed = 0.7 * beta / (2 - beta)
        if max(p) < needed:
            continue
        sure += 1 / 12
        target = softmax([v / 0.4 for v in w]) if kind is UDA else [float(c == top) for c in range(3)]
        other += sum(-t * math.log(v) for t, v in zip(target, q, strict=True)) / 12
    assert 0 < sure < 1
    assert float(step.loss.detach()) == pytest.approx(expected + 0.5 * other, rel=1e-5)
    assert float(step.measures["sure"]) == pytest.approx(sure)
    # No gradient through what the weak view said.
    step.loss.backward()
    assert not bool(model.logits.grad[4:16].any())
    assert bool(model.logits.grad[:4].any())
    assert bool(model.logits.grad[16:].any())
    if kind is FlexMatch:
        for row, w in zip(views.weak.indices.tolist(), weak, strict=True):
            p = softmax(w)
            assert int(objective.last[row]) == (p.index(max(p)) if max(p) >= 0.7 else int(statuses[row]))


def test_flexmatch_counts_nobody_yet_as_unsure():
    model = Fixed(torch.zeros(28, 3))
    objective = FlexMatch(model, torch.optim.SGD(model.parameters(), 0.1), batches(), 0.9)
    few = objective.target(torch.tensor([[2.0, 0, 0]]), torch.tensor([5])).weight
    assert few.tolist() == [1.0]  # no class is known: every prediction counts
    objective.last[:20] = 0  # 20 of 70: held against the 50 that are not sure
    assert objective.target(torch.tensor([[-1.0, 2, 0]]), torch.tensor([6])).weight.tolist() == [1.0]
    beta = 20 / 50
    for top, weight in ((0.9 * beta / (2 - beta) + 0.15, 1.0), (0.9 * beta / (2 - beta) - 0.15, 0.0)):
        other = (1 - top) / 2
        logits = torch.tensor([[top, other, other]]).log()
        if top > other:
            assert objective.target(logits, torch.tensor([6])).weight.tolist() == [weight]


def test_what_flexmatch_has_learned_of_every_image_goes_with_its_state():
    model = Fixed(torch.zeros(28, 3))
    one, other = (FlexMatch(model, torch.optim.SGD(model.parameters(), 0.1), batches(), 0.9) for _ in range(2))
    one.last.copy_(torch.tensor([0] * 40 + [1] * 8 + [-1] * 22))
    said, rows = torch.tensor([[2.0, 0.5, 0], [0, 1.0, 0]]), torch.tensor([5, 6])
    assert other.target(said, rows).weight.tolist() == [1.0, 1.0]  # as if nobody were known
    other.load_state_dict(one.state_dict())
    assert other.target(said, rows).weight.tolist() == [0.0, 1.0]


def test_labelled_images_alone_are_smoothed():
    torch.manual_seed(6)
    logits = torch.randn(28, 3)
    model, given = Fixed(logits), batches()
    views = next(given.epoch(0))
    step = FixMatch(model, torch.optim.SGD(model.parameters(), 0.1), given, 0.1, 0.5, 0.2).loss(model, views)
    labelled, weak, strong = logits.split([4, 12, 12])
    few = nn.functional.cross_entropy(labelled, views.labelled.labels, label_smoothing=0.2)
    torch.testing.assert_close(step.loss, few + 0.5 * nn.functional.cross_entropy(strong, weak.argmax(1)))


# LP-A3


def test_lpa3_moves_the_weak_view_of_those_that_are_sure_after_the_warm_up():
    model, normalize, given = network(dropout=0).eval(), Normalize([0.5] * 3, [0.25] * 3), batches()
    views = next(given.epoch(0))
    views = Views(*(part._replace(images=part.images.clamp(-2, 2)) for part in views))
    with torch.no_grad():
        sure, predicted = model(views.weak.images.as_subclass(Tensor)).softmax(1).max(1)
    needed = float(sure.median())
    config = LearnConfig(
        lpa3=True, lpa3_weight=0.7, lpa3_margin=0.1, lpa3_auxiliary=False, lpa3_confidence=needed, lpa3_warmup_epochs=1
    )
    for confidence in (0.1, 0.99):  # of the strong view, which is another matter
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        plain = FixMatch(model, optimizer, given, confidence, 0.5)
        farther = Farther(model, config, 70, 3, normalize)
        objective = FixMatch(model, optimizer, given, confidence, 0.5, 0.0, farther)
        list(objective.phases(0))
        warm = objective.loss(model, views)
        torch.testing.assert_close(warm.loss, plain.loss(model, views).loss)
        assert "lpa3_loss" not in warm.measures
        list(objective.phases(1))
        torch.manual_seed(3)
        step = objective.loss(model, views)
        torch.manual_seed(3)
        moved = farther.attack.augment(views.weak.images.as_subclass(Tensor), predicted).images
        each = nn.functional.cross_entropy(model(moved), predicted, reduction="none")
        assert 0 < int((sure >= needed).sum()) < 12
        torch.testing.assert_close(step.loss - warm.loss, 0.7 * (each * (sure >= needed)).mean(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["tangent", "lagrangian"])
def test_strides_caps_and_noise_are_of_the_pixels_whatever_normalises_them(form):
    """x' of normalised images is that of the pixels as they are, where the model begins with normalising."""
    torch.manual_seed(0)
    model, pixels = network(dropout=0).eval(), torch.rand(6, 3, 8, 8)
    labels, normalize = torch.arange(6) % 3, Normalize([0.4] * 3, [0.2] * 3)
    config = LearnConfig(
        lpa3=True, lpa3_form=form, lpa3_margin=0.5, lpa3_auxiliary=False, lpa3_layers=("2", "4"), lpa3_iterations=2,
        lpa3_stride=0.05, lpa3_cap=0.03 if form == "lagrangian" else None,
    )  # fmt: skip
    farther = Farther(model, config, 70, 3, normalize)

    class Scaled(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images - 0.4) / 0.2

    ways = {"form": form, "margin": 0.5, "iterations": 2, "stride": 0.05, "cap": config.lpa3_cap}
    whole = aw.LPA3(nn.Sequential(Scaled(), model), ("1.2", "1.4"), **ways)
    torch.manual_seed(3)
    moved, _ = farther.move((pixels - 0.4) / 0.2, labels)
    torch.manual_seed(3)
    expected = whole.augment(pixels, labels).images
    assert float((expected - pixels).abs().max()) > 0.02
    torch.testing.assert_close(moved * 0.2 + 0.4, expected, atol=2e-4, rtol=0)


def test_what_was_moved_is_seen_through_the_second_set_of_norms_alone():
    torch.manual_seed(0)
    model, normalize = network(dropout=0), Normalize([0.5] * 3, [0.25] * 3)
    model[1].running_mean.normal_()
    images, labels = torch.rand(6, 3, 8, 8), torch.arange(6) % 3
    batch = aw.Batch.of(normalize(images), labels, None, torch.arange(6))
    config = LearnConfig(lpa3=True, lpa3_margin=0.1)
    farther = Farther(model, config, 70, 3, normalize)
    assert farther.auxiliary is not None
    (second,) = farther.auxiliary.layers
    assert all(torch.equal(second.state_dict()[k], v) for k, v in model[1].state_dict().items())  # it begins as that
    assert {id(p) for p in farther.parameters()} == {id(p) for p in second.parameters()}
    with torch.no_grad():
        for value in (second.weight, second.bias, second.running_mean):
            value.add_(torch.randn(6) / 2)
    twin = copy.deepcopy(model)
    twin[1].load_state_dict(second.state_dict())
    before = copy.deepcopy(model[1].state_dict())
    alone = Farther(twin, replace(config, lpa3_auxiliary=False), 70, 3, normalize)
    given, added = aw.MixedLabels.of(labels), []
    for net, part in ((model, farther), (twin, alone)):
        torch.manual_seed(3)
        added.append(part.add(net, batch, torch.zeros(6, 3), given, 0))
        added[-1].loss.backward()
    torch.testing.assert_close(added[0].loss, added[1].loss)
    torch.testing.assert_close(added[0].measures["lpa3_distance"], added[1].measures["lpa3_distance"])
    torch.testing.assert_close(second.weight.grad, twin[1].weight.grad)
    assert all(torch.equal(second.state_dict()[k], v) for k, v in twin[1].state_dict().items())
    assert all(torch.equal(model[1].state_dict()[k], v) for k, v in before.items())
    assert model[1].weight.grad is None


def test_lpa3_adds_the_loss_of_what_it_makes():
    torch.manual_seed(0)
    model = network(dropout=0).eval()  # so that one pass is like another
    images = torch.rand(6, 3, 8, 8)
    normalize = Normalize([0.5, 0.4, 0.3], [0.2, 0.25, 0.3])
    batch = aw.Batch.of(normalize(images), torch.arange(6) % 3, None, torch.arange(6))
    config = LearnConfig(lpa3=True, lpa3_weight=0.5, lpa3_margin=0.1, lpa3_auxiliary=False)
    farther = Farther(model, config, 70, 3, normalize)
    labels = aw.MixedLabels.of(batch.labels)
    torch.manual_seed(3)
    added = farther.add(model, batch, model(batch.images).detach(), labels, epoch=0)
    torch.manual_seed(3)
    moved = farther.attack.augment(batch.images.as_subclass(Tensor), batch.labels)
    expected = nn.functional.cross_entropy(model(moved.images), batch.labels)
    torch.testing.assert_close(added.loss, 0.5 * expected)
    assert float(added.measures["lpa3_distance"]) == pytest.approx(float(moved.distance.mean()))
    assert bool((moved.drop <= 0.1).all())
    pixels = moved.images * torch.tensor(normalize.std)[:, None, None] + torch.tensor(normalize.mean)[:, None, None]
    assert float(pixels.min()) >= -1e-5
    assert float(pixels.max()) <= 1 + 1e-5
    # Images that do not count add nothing.
    torch.manual_seed(3)
    counts = torch.tensor([True, False, True, True, False, False])
    some = farther.add(model, batch, model(batch.images).detach(), labels, 0, counts)
    each = nn.functional.cross_entropy(model(moved.images), batch.labels, reduction="none")
    torch.testing.assert_close(some.loss, 0.5 * (each * counts).mean())
    # Of those that are chosen, each by its own place.
    chosen = torch.tensor([1, 3])
    farther.scores.update(batch.indices, torch.zeros(6, 3))
    farther.scores.update(batch.indices, torch.eye(3)[[0] * 6] * 9 * torch.isin(torch.arange(6), chosen)[:, None])
    farther.config = replace(config, lpa3_ratio=0.3)
    torch.manual_seed(3)
    few = farther.add(model, batch, model(batch.images).detach(), labels, 0, counts)
    torch.manual_seed(3)
    moved = farther.attack.augment(batch.images.as_subclass(Tensor)[chosen], batch.labels[chosen])
    each = nn.functional.cross_entropy(model(moved.images), batch.labels[chosen], reduction="none")
    torch.testing.assert_close(few.loss, 0.5 * each[1] / 2)


def test_lpa3_chooses_the_least_consistent_and_waits(monkeypatch):
    model, normalize = network(dropout=0), Normalize([0.5] * 3, [0.25] * 3)
    batch = aw.Batch.of(torch.rand(6, 3, 8, 8), torch.arange(6) % 3, None, torch.arange(6) + 10)
    farther = Farther(model, LearnConfig(lpa3=True, lpa3_ratio=0.3, lpa3_warmup_epochs=2), 70, 3, normalize)
    chosen = []
    augment = farther.attack.augment
    monkeypatch.setattr(
        farther.attack, "augment", lambda images, *rest: chosen.append(images) or augment(images, *rest)
    )
    labels = aw.MixedLabels.of(batch.labels)
    before = steady = torch.randn(6, 3)
    for visit in range(3):
        logits = steady.clone()
        logits[[1, 4]] = torch.randn(2, 3) * 3 + 5 * visit * torch.eye(3)[visit % 3]
        if visit == 2:  # what is said now counts from the next time on
            logits[[0, 2]] = -9 * steady[[0, 2]]
            logits[[1, 4]] = before[[1, 4]]
        before = logits
        added = farther.add(model, batch, logits, labels, epoch=visit)
        if visit < 2:
            assert float(added.loss) == 0
            assert not added.measures
    (images,) = chosen
    assert torch.equal(images, batch.images.as_subclass(Tensor)[[1, 4]])


def test_supervised_training_with_lpa3():
    config = replace(CONFIG, epochs=3, batch_size=16, learn=LearnConfig(lpa3=True, lpa3_form="tangent", lpa3_ratio=0.5))
    result = run(replace(config, out=None))
    plain = run(replace(config, out=None, learn=LearnConfig()))
    row = result["curve"][-1]
    assert row["lpa3_distance"] > 0.01
    assert row["lpa3_margin_use"] <= 1
    assert 0.9 < row["lpa3_kept"] <= 1
    assert "lpa3_distance" not in plain["curve"][-1]
    assert row["train_loss"] != plain["curve"][-1]["train_loss"]


def test_a_second_set_of_norms_is_trained_on_them_alone():
    learn = LearnConfig(lpa3=True)
    model, other = network(dropout=0), network(dropout=0)
    run(replace(CONFIG, out=None, batch_size=16, learn=learn), model)
    run(replace(CONFIG, out=None, batch_size=16, learn=replace(learn, lpa3_auxiliary=False)), other)
    # Each step makes one update of the running statistics, or two where x' shares them: 70 // 16 = 4 steps, 2 epochs.
    assert int(model[1].num_batches_tracked) == 8
    assert int(other[1].num_batches_tracked) == 16
    run(replace(CONFIG, out=None, batch_size=16, learn=learn), network("group"))  # which has no such layers


# resume


class Stopped(Exception):
    pass


class StopAt(nn.Module):
    """A step that ends the run at its ``at``-th batch."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.count = at, 0

    def forward(self, batch: aw.Batch) -> aw.Batch:
        self.count += 1
        if self.count > self.at:
            raise Stopped
        return batch

    def __repr__(self) -> str:
        return "StopAt()"


LPA3 = {"lpa3": True, "lpa3_ratio": 0.5, "lpa3_auxiliary": True, "lpa3_confidence": 0.0}


@pytest.mark.parametrize("loader", ["resident", "workers"])
@pytest.mark.parametrize(
    "learn",
    [
        CONFIG.learn,
        replace(CONFIG.learn, **LPA3),
        replace(CONFIG.learn, objective="uda"),
        replace(CONFIG.learn, objective="flexmatch", confidence=0.36),
        LearnConfig(**{**LPA3, "lpa3_confidence": 0.9, "lpa3_among": "data"}),
    ],
    ids=["fixmatch", "fixmatch+lpa3", "uda", "flexmatch", "supervised+lpa3"],
)
def test_interrupted_and_resumed_it_is_the_same_run(tmp_path, learn, loader):
    size = 4 if learn.few_labels else 16

    def go(name, stop):
        config = replace(
            CONFIG, out=tmp_path / name, ema=0.9, checkpoint_steps=1, learn=learn, loader=loader, batch_size=size
        )
        return run(config, steps=[StopAt(stop), aw.Cutout(3)])

    whole = go("whole", 99)
    for stop in (2, 5):
        with pytest.raises(Stopped):
            go(f"at{stop}", stop)
        resumed = go(f"at{stop}", 99)
        assert resumed["test"] == whole["test"]
        for a, b in zip(resumed["curve"], whole["curve"], strict=True):
            assert {**a, "seconds": 0} == {**b, "seconds": 0}
        files = [tmp_path / at / "weights.safetensors" for at in (f"at{stop}", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_an_older_run_without_these_settings_is_not_disowned(tmp_path):
    config = replace(CONFIG, out=tmp_path, batch_size=16, learn=LearnConfig())
    first = run(config)
    found = json.loads((tmp_path / "results.json").read_text())
    del found["config"]["learn"], found["identity"]["config"]["learn"]
    (tmp_path / "results.json").write_text(json.dumps(found))
    assert run(config)["test"] == first["test"]
    with pytest.raises(UserError, match=r"config\.learn\.lpa3: False there, True now"):
        run(replace(config, learn=LearnConfig(lpa3=True)))


def test_settings_come_back_from_results():
    config = replace(CONFIG, learn=replace(CONFIG.learn, lpa3=True, lpa3_layers=("2", "5")))
    told = json.loads(json.dumps(asdict(config), default=str))["learn"]
    assert TrainConfig(learn=told).learn == config.learn
    assert LearnConfig.of({"noise": 0.5, "of a later version": 1}) == LearnConfig(noise=0.5)
    hash(TrainConfig(learn=told))


# schedule, strong view, what cannot be meant


def test_the_cosine_of_fixmatch():
    schedule = Schedule(10, "cosine_7_16")
    assert schedule.factor(0, 0, 5) == 1
    assert schedule.factor(5, 0, 5) == pytest.approx(math.cos(7 * math.pi / 32))
    assert schedule.factor(9, 4, 5) == pytest.approx(math.cos(7 * math.pi / 16 * 49 / 50))


def test_the_strong_view_where_nobody_says():
    steps = run(learning())["steps"]
    assert [step.split("(")[0] for step in steps] == ["RandAugment", "Cutout"]
    assert [step.split("(")[0] for step in run(learning(), steps=[aw.Cutout(2)])["steps"]] == ["Cutout"]


def test_guarded_strong_views_take_maps(tmp_path):
    store = aw.estimate(None, DATA["source"], tmp_path / "maps", aw.CentrePrior(), progress=False)
    seen: list[aw.Batch] = []

    class Look(nn.Module):
        def forward(self, batch: aw.Batch) -> aw.Batch:
            seen.append(batch)
            return batch

    run(replace(CONFIG, out=None), steps=[Look(), aw.Cutout(3, quantile=0.5)], maps=store)
    assert all(batch.importance is not None for batch in seen)
    assert len(seen) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": "mixmatch"}, "objective='mixmatch' is unknown: use one of supervised, uda, fixmatch"),
        ({"objective": "supervised"}, "labelled, unlabelled_ratio, epoch_steps, confidence have no use"),
        ({"labelled": None}, "objective=fixmatch learns from few labels: give labelled"),
        ({"labelled": 2}, "labelled=2 are fewer labels than the 3 classes"),
        ({"labelled": 71}, "labelled=71 are more than the 70"),
        ({"confidence": 1.0}, "confidence=1.0 is no probability to exceed"),
        ({"unlabelled_ratio": 0}, "unlabelled_ratio=0 is not positive"),
        ({"unlabelled_weight": -1.0}, "unlabelled_weight=-1.0: give 0 or more"),
        ({"lpa3_margin": 0.1}, "lpa3_margin has no use with lpa3 off"),
        ({"lpa3": True, "lpa3_margin": 0.0}, "lpa3_margin=0.0 is not positive"),
        ({"lpa3": True, "lpa3_ratio": 1.5}, "lpa3_ratio=1.5 is no share"),
        ({"lpa3": True, "lpa3_form": "newton"}, "lpa3_form='newton' is unknown"),
        ({"lpa3": True, "lpa3_layers": ("7",)}, "layer '7' is no part of the Sequential"),
    ],
)
def test_settings_that_cannot_be_meant(changes, message):
    with pytest.raises(UserError, match=message):
        run(learning(**changes))


def test_steps_that_ask_for_labels_are_refused():
    for step in (aw.CutMix(alpha=1.0), aw.LiveSaliency()):
        with pytest.raises(UserError, match="asks for labels, which objective=fixmatch does not have"):
            run(learning(), steps=[step])
    with pytest.raises(UserError, match="takes neither forward= nor redraw"):
        run(learning(), forward=lambda model, batch: (model(batch.images), batch.labels))


def test_views_count_as_the_images_without_labels():
    views = next(batches().epoch(0))
    assert isinstance(views, Views)
    assert views.images is views.weak.images
