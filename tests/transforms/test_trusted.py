"""A guard by how far a label is to be believed: all of it, none of it, and as often as that says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.data import Relabelled, noisy_labels, run_steps
from augwise.errors import UserError
from augwise.training.config import TrainConfig
from augwise.training.learn_config import LearnConfig
from augwise.training.train import train
from reference.training_toys import network, source

GUARDED, PLAIN = aw.Cutout(4, quantile=0.3), aw.Cutout(4)


def batch(n: int = 12) -> aw.Batch:
    g = torch.Generator().manual_seed(1)
    images, maps = torch.rand(n, 3, 10, 9, generator=g), torch.rand(n, 10, 9, generator=g)
    return aw.Batch.of(images, torch.arange(n) % 3, maps, torch.arange(n))


def equal(a: aw.Batch, b: aw.Batch) -> torch.Tensor:
    assert a.importance is not None
    assert b.importance is not None
    same = (a.images == b.images).flatten(1).all(1)
    assert torch.equal(same, (a.importance == b.importance).flatten(1).all(1))
    return same


def seeded(step, given: aw.Batch, seed: int = 5) -> aw.Batch:
    torch.manual_seed(seed)
    return step(given)


def test_full_trust_is_the_guard_and_none_the_plain_form():
    given = batch()
    whole, none, half = (aw.TrustedGuard(GUARDED, PLAIN, torch.full((12,), t)) for t in (1.0, 0.0, 0.5))
    guarded, plain, mixed = (seeded(step, given) for step in (whole, none, half))
    assert int(equal(guarded, plain).sum()) < 12
    left = guarded.importance.sum() / given.importance.sum(), plain.importance.sum() / given.importance.sum()
    assert left[0] > left[1]
    assert bool((equal(mixed, guarded) | equal(mixed, plain)).all())
    one = aw.TrustedGuard(GUARDED, PLAIN, torch.tensor([1.0] * 6 + [0.0] * 6))
    split = seeded(one, given)
    assert bool(equal(split, guarded)[:6].all())
    assert bool(equal(split, plain)[6:].all())
    assert torch.equal(split.labels, given.labels)
    assert torch.equal(split.evidence, given.evidence)


def test_trust_is_how_often():
    trust = torch.linspace(0, 1, 12)
    step, given, times = aw.TrustedGuard(lambda b: b._replace(images=b.images * 0), lambda b: b, trust), batch(), 0
    for seed in range(400):
        times = times + (seeded(step, given, seed).images == 0).flatten(1).all(1).float()
    assert bool(((times / 400 - trust).abs() < 5 * (trust * (1 - trust) / 400).sqrt() + 1e-6).all())


def test_rows_are_those_of_the_data_set():
    given = batch()
    trust = torch.zeros(40)
    trust[30:36] = 1
    shifted = given._replace(indices=torch.arange(12) + 27)
    step = aw.TrustedGuard(lambda b: b._replace(images=b.images * 0), lambda b: b, trust)
    dark = (step(shifted).images == 0).flatten(1).all(1)
    assert dark.tolist() == [False] * 3 + [True] * 6 + [False] * 3
    with pytest.raises(UserError, match="rows 0 to 11 of their data set, trust is of 7 images"):
        aw.TrustedGuard(GUARDED, PLAIN, torch.ones(7))(given)


def test_a_sample_is_a_batch_of_one():
    given = batch(1)
    sample = aw.Sample(given.images[0], aw.ImportanceMap(given.importance[0]), 0, 0, float(given.evidence[0]))
    step = aw.TrustedGuard(GUARDED, PLAIN, np.ones(1))
    one, many = seeded(step, sample), seeded(step, given)
    assert torch.equal(one.image, many.images[0])
    assert torch.equal(one.importance, many.importance[0])
    assert type(one.importance) is aw.ImportanceMap
    assert torch.equal(run_steps([step], sample, 1).image, run_steps([step], sample, 1).image)


def test_it_needs_the_maps_that_its_guard_needs(tmp_path):
    step = aw.TrustedGuard(GUARDED, PLAIN, torch.ones(70))
    config = TrainConfig(epochs=1, batch_size=16, crop_padding=0, flip=False, device="cpu", quiet=True, out=None)
    data = {"source": source(70, seed=1), "test": source(20, seed=2)}
    with pytest.raises(UserError, match="TrustedGuard is guarded"):
        train(config, **data, model=network(), steps=[step])
    maps = aw.estimate(None, data["source"], tmp_path / "maps", aw.CentrePrior(), progress=False)
    result = train(config, **data, model=network(), steps=[step], maps=maps)
    assert 0 < result["curve"][0]["importance_erased"] < 1


def test_trust_finds_wrong_labels():
    easy = source(300, seed=4)
    labels = noisy_labels(easy.labels, easy.class_names, 0.4, "symmetric", 0)
    learn = LearnConfig(noise=0.4)
    config = TrainConfig(
        epochs=6, batch_size=16, lr=0.1, crop_padding=0, flip=False, device="cpu", quiet=True, out=None, learn=learn
    )
    model = network(dropout=0)
    result = train(config, source=easy, test=source(50, seed=5), model=model)
    seen = aw.Normalized(model, result["data"]["mean"], result["data"]["std"]).eval()
    trust = aw.label_trust(seen, Relabelled(easy, labels), progress=False)
    right = labels == easy.labels
    assert trust.shape == (300,)
    assert trust[right].mean() - trust[~right].mean() > 0.3


def test_what_cannot_be_meant():
    for trust in (torch.tensor([0.5, 1.2]), torch.tensor([float("nan")]), torch.ones(2, 2)):
        with pytest.raises(UserError, match="give \\(N,\\) numbers in \\[0, 1\\]"):
            aw.TrustedGuard(GUARDED, PLAIN, trust)
