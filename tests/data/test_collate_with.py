"""Mixing as a loader's ``collate_fn``: what a call of the mixer gives, in any process, of any data set of pairs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import augwise as aw
from augwise import catalogue, randomness
from augwise.data import ArraySource
from augwise.importance.store import ImportanceStore

H, W = 10, 14
MIXERS = [entry.name for entry in catalogue.methods().values() if entry.kind == "mixing"]


def marked(n: int = 24):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (n, 3, H, W), dtype=np.uint8))
    source = ArraySource(images, np.arange(n) % 3, list("abc"), "marked")
    return source, ImportanceStore.from_maps(source, rng.random((n, H, W), dtype=np.float32))


def made(name: str) -> aw.mixing.Mixer:
    return catalogue.methods()[name].load()(**({"length": 5} if name == "cutmix" else {}))


def same(a, b) -> bool:
    return all(
        torch.equal(x, y)
        for x, y in (
            (a.images, b.images), (a.importance, b.importance), (a.evidence, b.evidence), (a.indices, b.indices),
            *zip(a.labels, b.labels, strict=True),
        )
    )  # fmt: skip


@pytest.mark.parametrize("name", MIXERS)
def test_it_is_the_mixer_after_collation(name):
    source, store = marked()
    data = aw.WithImportance(source, store)
    samples = [data[i] for i in (3, 8, 1, 20, 5)]
    with randomness.stream("a test"):
        expected = made(name)(aw.collate(samples))
    with randomness.stream("a test"):
        found = aw.collate_with(made(name))(samples)
    assert isinstance(found, aw.Batch)
    assert same(found, expected)
    keyed = [aw.collate_with(made(name), seed=7)(samples) for _ in range(2)]
    assert same(*keyed)
    other = aw.collate_with(made(name), seed=8)(samples), aw.collate_with(made(name), seed=7)(samples[::-1])
    assert not any(torch.equal(o.images, keyed[0].images) for o in other)


def test_a_seed_leaves_torchs_own_stream_alone():
    source, _ = marked()
    samples = [aw.WithImportance(source)[i] for i in range(4)]
    state = torch.default_generator.get_state()
    aw.collate_with(aw.DCutMix(), seed=1)(samples)
    assert torch.equal(torch.default_generator.get_state(), state)


def batches(workers: int, mixer: aw.mixing.Mixer, epochs: int = 2) -> list[aw.Batch]:
    source, store = marked()
    data = aw.WithImportance(source, store, transform=aw.RandomHorizontalFlip(), seed=3)
    loader = DataLoader(
        data, 7, sampler=aw.EpochSampler(len(data), seed=3), num_workers=workers,
        collate_fn=aw.collate_with(mixer, seed=3),
    )  # fmt: skip
    return [batch for _ in range(epochs) for batch in loader]


def test_a_batch_is_mixed_alike_in_any_process():
    here, there = batches(0, aw.SaliencyDCutMix()), batches(2, aw.SaliencyDCutMix())
    assert len(here) == len(there) == 8
    assert all(map(same, here, there))
    assert all(isinstance(batch.labels, aw.MixedLabels) for batch in there)
    drawn = [tuple(batch.labels.weights[:3, 0].tolist()) for batch in here]
    assert len(set(drawn)) == 8  # the second epoch is another one


@pytest.mark.parametrize("workers", [0, 2])
def test_pairs_of_any_data_set(workers):
    images, labels = torch.rand(24, 3, H, W), torch.arange(24)
    data = TensorDataset(images, labels)
    mixed, mixed_labels = next(
        iter(DataLoader(data, 24, num_workers=workers, collate_fn=aw.collate_with(aw.DCutMix())))
    )
    assert type(mixed) is Tensor
    assert isinstance(mixed_labels, aw.MixedLabels)
    assert mixed.shape == images.shape
    where = (mixed[0, 0, :, :, None] == images[:, 0].permute(1, 2, 0)).double().mean((0, 1))  # whose pixels
    assert torch.allclose(mixed_labels.dense(24)[0].double(), where, atol=1e-6)
    dense = aw.collate_with(aw.DCutMix(), num_classes=24)
    mixed, targets = next(iter(DataLoader(data, 24, num_workers=workers, collate_fn=dense)))
    assert targets.shape == (24, 24)
    assert torch.allclose(targets.sum(1), torch.ones(24))
    loss = nn.functional.cross_entropy(torch.zeros(24, 24), targets)
    assert float(loss) == pytest.approx(np.log(24), rel=1e-5)


def test_soft_targets_of_samples():
    source, store = marked()
    samples = [aw.WithImportance(source, store)[i] for i in range(5)]
    batch = aw.collate_with(aw.CutMix(alpha=1.0), seed=1, num_classes=3)(samples)
    assert torch.equal(batch.labels, aw.collate_with(aw.CutMix(alpha=1.0), seed=1)(samples).labels.dense(3))


def test_it_can_be_sent_to_a_process():
    source, store = marked()
    samples = [aw.WithImportance(source, store)[i] for i in range(5)]
    collate = aw.collate_with(aw.CutMix(alpha=1.0, quantile=0.6), seed=1)
    assert same(pickle.loads(pickle.dumps(collate))(samples), collate(samples))


def test_a_ramp_is_refused_where_nobody_says_how_far_training_is():
    ramped = aw.CutMix(alpha=1.0, p=aw.Ramp(1.0))
    data = TensorDataset(torch.rand(4, 3, H, W), torch.arange(4))
    with aw.progress(0.5):
        assert next(iter(DataLoader(data, 4, collate_fn=aw.collate_with(ramped))))[0].shape == (4, 3, H, W)
    for mixer in (ramped, aw.DCutMix(p=aw.Ramp(1.0))):
        with pytest.raises(aw.UserError, match="Ramp, and a worker"):
            next(iter(DataLoader(data, 4, num_workers=1, collate_fn=aw.collate_with(mixer))))


def pairs(n: int = 3) -> list:
    return [(torch.rand(3, H, W), i) for i in range(n)]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.collate_with(aw.Cutout(4)), "got a Cutout: give a mixer"),
        (lambda: aw.collate_with(aw.DCutMix(), num_classes=0), "num_classes=0"),
        (lambda: aw.collate_with(aw.DCutMix(), seed=1)(pairs()), "seed=1 needs to know which images"),
        (lambda: aw.collate_with(aw.DCutMix(), seed=1)([aw.Sample(p[0], None, 0) for p in pairs()]), "index -1"),
        (lambda: aw.collate_with(aw.SaliencyDCutMix())(pairs()), "no importance maps"),
        (lambda: aw.collate_with(aw.DCutMix())([p[0] for p in pairs()]), "another form"),
        (lambda: aw.collate_with(aw.DCutMix())([(*p, 0) for p in pairs()]), "another form"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()
