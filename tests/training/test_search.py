"""Architecture search: who learns on which half, one step by hand, the warm-up, resume to the byte, bad input."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from augwise.data import Normalize, Resident, open_source
from augwise.data.sources import Subset
from augwise.errors import UserError
from augwise.models import Genotype
from augwise.models.supernet import Supernet
from augwise.randomness import stream
from augwise.subset_file import SubsetFile, labels_hash
from augwise.training.batches import ResidentReader, channel_statistics
from augwise.training.devices import accelerator_for
from augwise.training.halves import Halves, halves_of
from augwise.training.loop import fit
from augwise.training.objectives.search import ArchitectureSearch
from augwise.training.optimizers import Schedule
from augwise.training.search import search
from augwise.training.search_config import SearchConfig
from augwise.transforms import RandomCrop

SMALL = {"size": 8, "limit": 60, "batch_size": 12, "channels": 8, "layers": 3, "device": "cpu", "quiet": True}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return open_source("digits", size=8, limit=60, progress=False)


def built(source, *, batch_size=12, epochs=2, warmup=1, seed=0):
    """(objective, network) as a search has them, without augmentation."""
    reader = ResidentReader(Resident.load(source, None, "cpu", progress=False))
    rows = halves_of(source, 0, batch_size, "the data")
    scaled = [lambda batch: batch._replace(images=batch.images.float() / 255)]
    halves = Halves(reader, reader, rows, scaled, seed=seed, batch_size=batch_size, epochs=epochs, warmup=warmup,
                    channels_last=False)  # fmt: skip
    torch.manual_seed(4)
    network = Supernet(10, channels=8, layers=3)
    weights = torch.optim.SGD(network.weights(), 0.1, momentum=0.9, weight_decay=3e-4)
    adam = torch.optim.Adam(network.architecture(), 6e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    return ArchitectureSearch(network, weights, adam, halves), network


def values(network):
    """Copies of (α and β, everything else)."""
    learned = {id(p) for p in network.architecture()}
    state = [(id(p) in learned, p.detach().clone()) for p in network.parameters()]
    return [v for a, v in state if a], [v for a, v in state if not a]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_halves_are_disjoint_and_each_class_is_cut_in_two(digits):
    first, second = halves_of(digits, 5, 20, "the data")
    assert sorted([*first, *second]) == list(range(60))
    for label in range(10):
        counts = [(digits.labels[rows] == label).sum() for rows in (first, second)]
        assert counts == [3, 3]
    other, _ = halves_of(digits, 6, 20, "the data")
    assert sorted(other) != sorted(first)


def test_every_step_of_every_epoch_keeps_the_halves_apart(digits):
    objective, _ = built(digits, epochs=5)
    first, second = halves_of(digits, 0, 12, "the data")
    halves = objective.halves
    assert len(halves) == 3  # 30 images in steps of 12
    seen: tuple[list, list] = ([], [])
    for epoch in range(5):
        pairs = list(halves.epoch(epoch))
        assert [pair.second is None for pair in pairs] == [epoch < 1] * 3
        for pair in pairs:
            seen[0].extend(pair.first.indices.tolist())
            seen[1].extend([] if pair.second is None else pair.second.indices.tolist())
        late = next(iter(halves.epoch(epoch, 2)))
        assert torch.equal(late.first.images, pairs[2].first.images)
        if epoch:  # and each half has an order of its own
            places = [
                np.searchsorted(rows, found[-36:]).tolist() for rows, found in zip((first, second), seen, strict=True)
            ]
            assert places[0] != places[1]
    for rows, found, places in ((first, seen[0], 5 * 36), (second, seen[1], 4 * 36)):
        counts = np.bincount(found, minlength=60)
        assert len(found) == places
        assert counts[rows].min() >= counts[rows].max() - 2
        assert counts.sum() == counts[rows].sum()


def test_one_step_by_hand(digits):
    """The mixture moves on the second half alone, then the weights on the first, at the mixture's new place."""
    objective, network = built(digits, batch_size=30, epochs=1, warmup=0)
    (pair,) = objective.halves.epoch(0)
    expected = copy.deepcopy(network)
    learned, weights = expected.architecture(), list(expected.weights())
    for parameter in learned:
        parameter.requires_grad_(True)
    adam = torch.optim.Adam(learned, 6e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    functional.cross_entropy(expected(pair.second.images), pair.second.labels).backward()
    adam.step()
    expected.zero_grad()
    functional.cross_entropy(expected(pair.first.images), pair.first.labels).backward()
    norm = torch.stack([w.grad.norm() for w in weights]).norm()
    assert norm > 0.05  # so that clipping is seen
    with torch.no_grad():
        for w in weights:
            w -= 0.1 * (w.grad * (0.05 / norm) + 3e-4 * w)  # the learning rate's first step is the full one
    fit(objective, accelerator_for("cpu"), Schedule(1), clip=0.05, quiet=True)
    for mine, theirs in zip(values(network), values(expected), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-7)
    assert all(p.grad is None for p in network.architecture())


def test_warm_up_moves_the_weights_alone(digits):
    objective, network = built(digits)
    after = []
    before = values(network)
    fit(
        objective,
        accelerator_for("cpu"),
        Schedule(2),
        quiet=True,
        on_epoch=lambda row: after.append((row, values(network))),
    )
    (warm, (kept, moved)), (late, (changed, _)) = after
    assert same(before[0], kept)
    assert not same(before[1], moved)
    assert not any(torch.equal(a, b) for a, b in zip(kept, changed, strict=True))
    assert "architecture_loss" not in warm
    assert "architecture_loss" in late


@pytest.mark.parametrize("warmup", [1, 0])
def test_what_the_second_half_shows_matters_after_the_warm_up_alone(digits, warmup):
    second = halves_of(digits, 0, 12, "the data")[1]
    ends = []
    for inverted in (False, True):
        objective, network = built(digits, epochs=1, warmup=warmup)
        images = objective.halves.parts[1].reader.resident.images
        if inverted:
            images[torch.from_numpy(second)] = 255 - images[torch.from_numpy(second)]
        fit(objective, accelerator_for("cpu"), Schedule(1), quiet=True)
        ends.append(values(network))
    assert same(ends[0][0], ends[1][0]) == bool(warmup)
    assert same(ends[0][1], ends[1][1]) == bool(warmup)


def test_interrupted_it_ends_with_the_same_bytes(tmp_path):
    config = SearchConfig(**SMALL, epochs=4, architecture_lr=0.05, out=tmp_path / "whole")
    whole = search(config)
    again = SearchConfig(**SMALL, epochs=4, architecture_lr=0.05, out=tmp_path / "broken", checkpoint_steps=1)
    for epoch in (2, 3):

        def fall(row, epoch=epoch):
            if row["epoch"] == epoch:
                raise RuntimeError("killed")

        with pytest.raises(RuntimeError, match="killed"):
            search(again, on_epoch=fall)
        assert not (tmp_path / "broken" / "results.json").exists()
    broken = search(again)
    assert [row["epoch"] for row in broken["curve"]] == [1, 2, 3, 4]
    assert [{**row, "seconds": 0} for row in broken["curve"]] == [{**row, "seconds": 0} for row in whole["curve"]]
    assert broken["mixtures"] == whole["mixtures"]
    bytes_of = [(tmp_path / name / "genotype.json").read_bytes() for name in ("whole", "broken")]
    assert bytes_of[0] == bytes_of[1]
    assert not list((tmp_path / "broken").glob("*.pt"))
    assert json.loads((tmp_path / "whole" / "results.json").read_text()) == whole
    assert Genotype.load(tmp_path / "whole" / "genotype.json").plain == whole["genotype"]
    assert whole["curve"][0]["alpha_entropy_normal"] == pytest.approx(np.log(8), abs=1e-5)  # warm-up
    assert whole["curve"][0]["beta_entropy_normal"] == pytest.approx(np.mean(np.log([2, 3, 4, 5])), abs=1e-5)
    assert whole["curve"][-1]["alpha_entropy_normal"] < np.log(8) - 1e-3

    assert search(config, on_epoch=lambda _: pytest.fail("searched again")) == whole
    with pytest.raises(UserError, match=r"belongs to another run: config\.seed: 0 there, 1 now"):
        search(SearchConfig(**SMALL, epochs=4, architecture_lr=0.05, seed=1, out=tmp_path / "whole"))
    with pytest.raises(UserError, match=r"config\.epochs: 4 there, 5 now"):
        search(SearchConfig(**SMALL, epochs=5, architecture_lr=0.05, out=tmp_path / "whole"))


def test_a_search_learns_as_its_settings_say(tmp_path, digits):
    """Crop, momentum, clipping, and Adam with the betas of the paper and a decay of its own, over four steps."""
    told = SMALL | {"batch_size": 15, "crop_padding": 2, "lr": 0.2, "clip": 0.3, "momentum": 0.8, "weight_decay": 0.02}
    told |= {"architecture_lr": 0.05, "architecture_weight_decay": 0.5, "channels_last": False, "warmup_epochs": 0}
    found = search(SearchConfig(**told, epochs=2, seed=3, out=tmp_path / "s"))
    reader = ResidentReader(Resident.load(digits, None, "cpu", progress=False))
    steps = [RandomCrop((8, 8), padding=2), nn.Identity(), Normalize(*channel_statistics(reader))]
    halves = Halves(reader, reader, halves_of(digits, 0, 15, "the data"), steps, seed=3, batch_size=15, epochs=2,
                    warmup=0, channels_last=False)  # fmt: skip
    with stream("supernet", 3):
        network = Supernet(10, 3, channels=8, layers=3, seed=3)
    weights = torch.optim.SGD(network.weights(), 0.2, momentum=0.8, weight_decay=0.02)
    adam = torch.optim.Adam(network.architecture(), 0.05, betas=(0.5, 0.999), weight_decay=0.5)
    objective = ArchitectureSearch(network, weights, adam, halves)
    fitted = fit(objective, accelerator_for("cpu"), Schedule(2), seed=3, clip=0.3, quiet=True)
    for row, expected in zip(found["curve"], fitted.curve, strict=True):
        assert row["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-5)
        assert row["architecture_loss"] == pytest.approx(expected["architecture_loss"], rel=1e-5)
    for kind in ("normal", "reduction"):
        for name, part in network.mixture(kind)._asdict().items():
            torch.testing.assert_close(torch.tensor(found["mixtures"][kind][name]), part.detach(), rtol=1e-4, atol=1e-6)


# Bad input


def subset_of(source, rows, path):
    rows = np.asarray(sorted(rows))
    hashes = np.array([source.fingerprint(int(r)) for r in rows], dtype=np.uint64)
    return SubsetFile(rows, hashes, len(source), labels_hash(np.asarray(source.labels))).save(path)


def test_a_subset_that_leaves_a_class_empty_is_refused_before_anything_is_read(tmp_path):
    whole = open_source("digits", progress=False)
    some = np.flatnonzero(whole.labels != 3)[:200]
    path = subset_of(whole, some, tmp_path / "some.npz")
    with pytest.raises(UserError, match=r"some.npz leaves 1 of 10 classes with fewer than two images.*: 3 \(0\)"):
        search(SearchConfig(subset=path, size=8, batch_size=50, out=tmp_path / "s", quiet=True))
    one = [*some, np.flatnonzero(whole.labels == 3)[0]]
    path = subset_of(whole, one, tmp_path / "one.npz")
    with pytest.raises(UserError, match=r"3 \(1\)"):
        search(SearchConfig(subset=path, size=8, batch_size=50, out=tmp_path / "s", quiet=True))
    assert list((tmp_path / "s").iterdir()) == []


def test_the_subset_counts_by_its_images_not_by_its_name(tmp_path):
    whole = open_source("digits", progress=False)
    rows = [r for label in range(10) for r in np.flatnonzero(whole.labels == label)[:4]]
    small = SMALL | {"limit": None, "batch_size": 10}
    path = subset_of(whole, rows, tmp_path / "a.npz")
    found = search(SearchConfig(**small, epochs=1, subset=path, out=tmp_path / "s"))
    assert found["data"]["subset"]["images"] == 40 == sum(found["data"]["halves"])
    assert Genotype.load(tmp_path / "s" / "genotype.json").about["subset"]["images"] == 40
    moved = path.rename(tmp_path / "b.npz")
    assert search(SearchConfig(**small, epochs=1, subset=moved, out=tmp_path / "s")) == found
    other = subset_of(whole, [*rows[1:], np.flatnonzero(whole.labels == 0)[9]], tmp_path / "c.npz")
    with pytest.raises(UserError, match="belongs to another run"):
        search(SearchConfig(**small, epochs=1, subset=other, out=tmp_path / "s"))


def test_what_cannot_be_meant(tmp_path, digits):
    for options, told in (
        ({"epochs": 0}, "epochs=0 is not positive"),
        ({"warmup_epochs": 5, "epochs": 5}, "leaves no epoch"),
        ({"layers": 2}, "give 3 cells or more"),
        ({"channels": 12}, "a multiple of 8 channels"),
        ({"momentum": -1.0}, "momentum=-1.0 is below 0"),
        ({"precision": "fp8"}, "use one of auto"),
    ):
        with pytest.raises(UserError, match=told):
            search(SearchConfig(**{**SMALL, **options}, out=tmp_path / "s"))
    assert not (tmp_path / "s").exists()
    with pytest.raises(UserError, match="batch_size=31 is more than the 30 images of a half of limit=60: give 30"):
        search(SearchConfig(**SMALL | {"batch_size": 31}, out=tmp_path / "s"))
    with pytest.raises(UserError, match="fewer than two images"):
        halves_of(Subset(digits, np.flatnonzero(digits.labels)), 0, 12, "the data")
    (tmp_path / "s" / "results.json").write_text('{"kind": "train"}')
    with pytest.raises(UserError, match="holds the results of 'train'"):
        search(SearchConfig(**SMALL, out=tmp_path / "s"))
