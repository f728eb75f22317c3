"""Batches: readers agree, starts agree, processes together see what one sees, measures are per batch."""

import multiprocessing

import numpy as np
import pytest
import torch
from torch import Tensor

import augwise as aw
from augwise.data import Normalize, Resident, WithImportance
from augwise.errors import UserError
from augwise.labels import MixedLabels
from augwise.training.batches import (
    Batches,
    LoaderReader,
    ResidentReader,
    channel_statistics,
    evaluation_batches,
    importance_lost,
)
from reference.training_toys import source

CPU = torch.device("cpu")


def _maps(n=70, side=8):
    return torch.rand(n, side, side, generator=torch.Generator().manual_seed(3)).numpy().astype(np.float32)


class Maps:
    """The least that attached maps are."""

    def __init__(self, maps):
        self.maps = maps

    def __len__(self):
        return len(self.maps)

    def read(self, index):
        return self.maps[index]

    def packed(self):
        top = self.maps.max((1, 2))
        return np.round(self.maps / top[:, None, None] * 255).astype(np.uint8), (top / 255).astype(np.float32)


def _batches(reader=None, **options):
    reader = reader or ResidentReader(Resident.load(source(), progress=False))
    shared = [aw.RandomCrop(8, padding=2), aw.RandomHorizontalFlip()]
    options = {"seed": 4, "batch_size": 12, **options}
    return Batches(reader, shared, [aw.Cutout(3)], [Normalize([0.4] * 3, [0.2] * 3)], **options)


def test_an_epoch_is_every_image_at_most_once_without_the_incomplete_batch():
    batches = _batches()
    rows = [torch.cat([b.indices for b in batches.epoch(e)]) for e in (0, 1)]
    assert len(batches) == 5
    assert len(rows[0]) == len(set(rows[0].tolist())) == 60
    assert rows[0].tolist() != rows[1].tolist()


def test_images_are_plain_normalised_and_in_the_memory_format_asked_for():
    batch = next(_batches(channels_last=True).epoch(0))
    assert type(batch.images) is Tensor
    assert batch.images.dtype == torch.float32
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert next(_batches().epoch(0)).images.is_contiguous()


def test_from_step_s_on_they_are_the_same_batches():
    whole = list(_batches().epoch(3))
    for start in (1, 4):
        for a, b in zip(whole[start:], _batches().epoch(3, start), strict=True):
            assert torch.equal(a.images, b.images)
            assert torch.equal(a.labels, b.labels)


def test_resident_and_loader_with_0_and_2_workers_give_the_same_batches():
    resident = _batches()
    readers = [LoaderReader(WithImportance(source()), CPU, workers) for workers in (0, 2)]
    for epoch, start in ((0, 0), (1, 0), (2, 3)):
        passes = [b.epoch(epoch, start) for b in (resident, *map(_batches, readers))]
        for one, *others in zip(*passes, strict=True):
            for other in others:
                assert torch.equal(one.images, other.images)
                assert torch.equal(one.labels, other.labels)
                assert torch.equal(one.indices, other.indices)
    for reader in readers:
        reader.close()


def test_two_processes_together_see_what_one_sees():
    whole = _batches()
    parts = [_batches(rank=rank, processes=2) for rank in (0, 1)]
    for one, *two in zip(whole.epoch(1, 2), *(p.epoch(1, 2) for p in parts), strict=True):
        assert torch.equal(one.images, torch.cat([p.images for p in two]))
        assert torch.equal(one.indices, torch.cat([p.indices for p in two]))
    with pytest.raises(UserError, match="12 cannot be shared by 5 processes"):
        _batches(processes=5)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(UserError, match="batch_size=71 is more than the 70 training images"):
        _batches(batch_size=71)


def test_importance_erased_is_measured_between_the_shared_steps_and_the_end():
    maps = _maps()
    reader = ResidentReader(Resident.load(source(), Maps(maps), progress=False))
    seen = []

    def observe(before, after):
        seen.append((before, after))
        return importance_lost(before, after)

    batches = _batches(reader, observe=observe)
    for _ in batches.epoch(0):
        before, after = seen[-1]
        erased = (before.images.as_subclass(Tensor) != after.images.as_subclass(Tensor)).any(1)
        assert 0 < erased.float().mean() < 0.5
        shares = [
            (m.as_subclass(Tensor)[e].sum() / m.as_subclass(Tensor).sum()).item()
            for m, e in zip(before.importance, erased, strict=True)
        ]
        assert batches.measured["importance_erased"].item() == pytest.approx(np.mean(shares), abs=2e-3)
    assert len(seen) == 5


def test_importance_lost_counts_no_image_without_importance_and_no_mixture():
    images = torch.zeros(3, 3, 2, 2)
    full = torch.tensor([[[1.0, 1], [1, 1]], [[0, 0], [0, 0]], [[3, 0], [0, 1]]])
    left = torch.tensor([[[1.0, 1], [1, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 1]]])
    labels = torch.tensor([0, 1, 2])
    before, after = aw.Batch.of(images, labels, full), aw.Batch.of(images, labels, left)
    assert importance_lost(before, after)["importance_erased"].item() == pytest.approx((0.25 + 0.75) / 2)
    softened = after._replace(labels=MixedLabels.of(labels))
    assert importance_lost(before, softened) == importance_lost(before, after)
    two = MixedLabels(labels[:, None].expand(-1, 2), torch.full((3, 2), 0.5), torch.zeros(3))
    assert importance_lost(before, after._replace(labels=two)) == {}
    assert importance_lost(before._replace(importance=None), after._replace(importance=None)) == {}


def test_what_is_lost_after_mixing_is_measured_and_across_it_is_not():
    maps = torch.ones(2, 4, 4)
    hard = aw.Batch.of(torch.zeros(2, 3, 4, 4), torch.arange(2), maps)
    mixed = aw.CutMix(length=2)(hard)
    less = mixed.importance.as_subclass(Tensor).clone()
    less[:, :1] = 0
    erased = mixed._replace(importance=aw.ImportanceMap(less))
    assert importance_lost(mixed, erased)["importance_erased"].item() == pytest.approx(0.25)
    assert importance_lost(hard, mixed) == importance_lost(hard, erased) == {}


def test_evaluation_reads_all_images_once_in_order():
    reader = ResidentReader(Resident.load(source(11), progress=False))
    normalize = Normalize([0.4] * 3, [0.2] * 3)
    rows = torch.cat([b.indices for b in evaluation_batches(reader, normalize, 4)])
    assert rows.tolist() == list(range(11))
    shares = [
        torch.cat([b.indices for b in evaluation_batches(reader, normalize, 4, rank=r, processes=2)]) for r in (0, 1)
    ]
    assert sorted(torch.cat(shares).tolist()) == list(range(11))


def test_channel_statistics_are_those_of_all_pixels():
    data = source(70)
    data.images[:, 2] = 37
    reader = ResidentReader(Resident.load(data, progress=False))
    mean, std = channel_statistics(reader)
    pixels = data.images.double().transpose(0, 1).flatten(1) / 255
    assert mean == pytest.approx(pixels.mean(1).tolist(), rel=1e-12)
    assert std[:2] == pytest.approx(pixels.std(1, correction=0).tolist()[:2], rel=1e-9)
    assert std[2] == 1  # nothing to divide by
    some, _ = channel_statistics(reader, most=7)
    rows = np.linspace(0, 69, 7).astype(int)
    assert some == pytest.approx((data.images[rows].double() / 255).mean((0, 2, 3)).tolist(), rel=1e-12)


def test_workers_stay_for_all_epochs_and_end_with_the_reader():
    before = set(multiprocessing.active_children())
    reader = LoaderReader(aw.WithImportance(source(12, seed=0)), torch.device("cpu"), num_workers=2)
    first = [batch.labels.tolist() for batch in reader.read(0, [np.arange(6), np.arange(6, 12)])]
    workers = set(multiprocessing.active_children()) - before
    assert len(workers) == 2
    again = [batch.labels.tolist() for batch in reader.read(1, [np.arange(6), np.arange(6, 12)])]
    assert again == first
    assert set(multiprocessing.active_children()) - before == workers
    reader.close()
    reader.close()
    assert not any(worker.is_alive() for worker in workers)
