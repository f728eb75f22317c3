"""How much a smoothing arm spreads: what the softened arm doubts on average, over the run's own batches."""

import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.analysis.compare_looks import mean_doubt
from augwise.labels import MixedLabels
from augwise.training.config import TrainConfig
from augwise.training.train import training_batches


class Doubting(nn.Module):
    """Doubt = (1 − v)², v the share of evidence left, as soft labels have it; keeps what it said."""

    def __init__(self):
        super().__init__()
        self.said = []

    def forward(self, batch):
        left = batch.importance.as_subclass(Tensor).sum((1, 2)) / batch.evidence
        self.said.append((1 - left) ** 2)
        labels = MixedLabels.of(batch.labels)
        return batch._replace(labels=labels._replace(doubt=self.said[-1]))


@pytest.fixture(scope="module")
def data():
    source = aw.open_source("digits", limit=45)
    return source, aw.ImportanceStore.from_maps(source, torch.rand(45, 32, 32))


CONFIG = TrainConfig(batch_size=20, epochs=3, out=None, quiet=True)


def test_it_is_the_mean_over_an_epoch_of_what_the_labels_doubt(data):
    source, store = data
    step = Doubting()
    found = mean_doubt(training_batches(CONFIG, source, store, [aw.Cutout(12), step]))
    said = torch.cat(step.said)
    assert len(said) == 40  # the incomplete batch is left out, as in training
    assert 0 < float(said.min()) < float(said.max())
    assert found == pytest.approx(float(said.mean()), rel=1e-6)


def test_the_batches_are_those_of_the_run(data):
    """Same crop, same square, same order as in the run with seed 0; another seed has others."""
    source, store = data
    first, second, other = (
        training_batches(c, source, store, [aw.Cutout(12)])
        for c in (CONFIG, CONFIG, TrainConfig(batch_size=20, epochs=3, out=None, quiet=True, seed=1))
    )
    for a, b, c in zip(first.epoch(0), second.epoch(0), other.epoch(0), strict=True):
        assert torch.equal(a.images, b.images)
        assert not torch.equal(a.images, c.images)
    seen = []
    aw.train(
        CONFIG, source=source, test=source, maps=store, steps=[aw.Cutout(12)],
        observe=lambda _, after: seen.append(after) or {},
    )  # fmt: skip
    batch = next(iter(first.epoch(0)))
    assert torch.equal(batch.images, seen[0].images.as_subclass(Tensor))


def test_crop_and_method_both_take_evidence(data):
    source, store = data
    whole = TrainConfig(batch_size=20, out=None, quiet=True, crop_padding=0)
    assert mean_doubt(training_batches(whole, source, store, [Doubting()])) == pytest.approx(0, abs=1e-9)
    cropped = mean_doubt(training_batches(CONFIG, source, store, [Doubting()]))
    assert cropped > 0
    assert mean_doubt(training_batches(CONFIG, source, store, [aw.Cutout(12), Doubting()])) > cropped
