"""Ramps, and who tells them how far training is: the batch path, the sample path with workers, a loop of one's own."""

from __future__ import annotations

import threading

import pytest
import torch
from torch.utils.data import DataLoader

import augwise as aw
from augwise import schedule
from augwise.training.batches import Batches, LoaderReader, ResidentReader
from reference.training_toys import source

EPOCHS = 4
RAMP = aw.Ramp(1.0, start=0.0, over=0.75)  # 1/3, 2/3, 1, 1 in four epochs


def expected(epoch: int) -> float:
    return min(1.0, (epoch + 1) / EPOCHS / 0.75)


class Told(torch.nn.Module):
    """A step that writes the probability of the moment into its images."""

    def forward(self, item):
        now = schedule.current(RAMP)
        if isinstance(item, aw.Sample):
            return item._replace(image=torch.full_like(item.image.float(), now))
        return item._replace(images=torch.full_like(item.images.float(), now))


def test_a_ramp_is_a_line_and_then_flat():
    ramp = aw.Ramp(0.8, start=0.2, over=0.5)
    assert [ramp.at(s) for s in (0, 0.125, 0.25, 0.5, 0.75, 1)] == pytest.approx([0.2, 0.35, 0.5, 0.8, 0.8, 0.8])
    assert aw.Ramp(0.8).at(0) == 0
    assert aw.Ramp(0.8).at(1) == 0.8
    assert aw.Ramp(0.1, start=0.9).at(0.5) == pytest.approx(0.5)  # falling is a line, too
    assert repr(ramp) == "Ramp(to=0.8, start=0.2, over=0.5)"


def test_progress_holds_inside_and_is_put_back():
    assert schedule.current(0.3) == 0.3
    assert schedule.current(RAMP) == 1
    with aw.progress(0.25):
        assert schedule.current(RAMP) == pytest.approx(1 / 3)
        assert schedule.current(0.3) == 0.3
        with aw.progress(0.0):
            assert schedule.current(RAMP) == 0
        with schedule.progress_of(0, None):  # not known: what was said goes on
            assert schedule.current(RAMP) == pytest.approx(1 / 3)
    with pytest.raises(ZeroDivisionError), aw.progress(0.1):
        1 / 0  # noqa: B018
    assert schedule.current(RAMP) == 1


def test_the_last_epoch_has_the_full_value_and_the_first_a_little():
    """AdvMask's released program: 0.8 e / E with epochs counted from 1."""
    found = []
    for epoch in range(6):  # two more than were announced
        with schedule.progress_of(epoch, EPOCHS):
            found.append(schedule.current(aw.Ramp(0.8)))
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_batches_tell_the_epoch_around_each_batch_alone():
    reader = ResidentReader(aw.Resident.load(source(), progress=False))
    batches = Batches(reader, [], [Told()], batch_size=12, epochs=EPOCHS)
    for epoch in range(EPOCHS):
        for batch in batches.epoch(epoch):
            assert torch.allclose(batch.images, torch.tensor(expected(epoch)))
            assert schedule.current(RAMP) == 1  # while the batch is used, nothing is said
    later = [b.images for b in batches.epoch(2, start=3)]
    assert all(torch.equal(a, b.images) for a, b in zip(later, list(batches.epoch(2))[3:], strict=True))
    with aw.progress(0.0):
        silent = next(Batches(reader, [], [Told()], batch_size=12).epoch(3))
        assert (silent.images == 0).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_know_the_epoch_from_their_key_in_persistent_workers_too(workers):
    data = aw.WithImportance(source(), transform=Told(), epochs=EPOCHS)
    reader = LoaderReader(data, torch.device("cpu"), workers)
    try:
        batches = Batches(reader, batch_size=12)
        for epoch in range(EPOCHS):
            assert all(torch.allclose(b.images, torch.tensor(expected(epoch))) for b in batches.epoch(epoch))
    finally:
        reader.close()
    assert (data[0].image == 1).all()  # without a key: as it is said, and nobody says anything
    with aw.progress(0.25):
        assert torch.allclose(data[0].image, torch.tensor(1 / 3))


def test_a_loop_of_ones_own_with_a_sampler():
    data = aw.WithImportance(source(), transform=aw.Cutout(4, p=aw.Ramp(1.0), fill=1.0), seed=3, epochs=2)
    sampler = aw.EpochSampler(len(data), seed=3)
    shares = []
    for _ in range(2):
        batch = next(iter(DataLoader(data, batch_size=70, sampler=sampler, collate_fn=aw.collate)))
        erased = (batch.images == 255).all(1).flatten(1).any(1)
        shares.append(float(erased.double().mean()))
    assert 0.25 < shares[0] < 0.75
    assert shares[1] == 1
    told = []
    thread = threading.Thread(target=lambda: told.append(schedule.current(RAMP)))
    with aw.progress(0.0):
        thread.start()
        thread.join()
    assert told == [1]  # as the docstring says: in this thread alone


@pytest.mark.parametrize(("where", "loader"), [("steps", "resident"), ("transform", "workers")])
def test_training_drives_both_paths(where, loader):
    told: list[float] = []

    class Ask(torch.nn.Module):
        def forward(self, item):
            told.append(schedule.current(aw.Ramp(0.9)))
            return item

    config = aw.TrainConfig(epochs=3, batch_size=35, device="cpu", threads=1, loader=loader, out=None, quiet=True)
    aw.train(config, source=source(), test=source(), **{where: [Ask()]})
    assert sorted(set(told)) == pytest.approx([0.3, 0.6, 0.9])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.Ramp(0.8, over=0.0), "over=0.0"),
        (lambda: aw.Ramp(0.8, over=80), "over=80"),
        (lambda: aw.progress(1.5).__enter__(), r"progress\(1.5\)"),
        (lambda: aw.progress(-0.1).__enter__(), r"progress\(-0.1\)"),
        (lambda: aw.Cutout(4, p=aw.Ramp(1.2)), "Ramp"),
        (lambda: aw.Cutout(4, p=aw.Ramp(0.8, start=-0.2)), "start=-0.2"),
        (lambda: aw.Cutout(4, p=True), "p=True"),
        (lambda: aw.WithImportance(source(), epochs=0), "epochs=0"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()
