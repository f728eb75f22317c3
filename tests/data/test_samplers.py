"""The order of an epoch is one; processes cut it into contiguous slices of each global batch."""

from __future__ import annotations

import numpy as np
import pytest

from augwise.data import EpochSampler, epoch_order
from augwise.errors import UserError


def indices(sampler):
    return [i for _, i in sampler]


def test_order_is_a_keyed_permutation():
    order = epoch_order(50, 7, 3)
    assert sorted(order.tolist()) == list(range(50))
    assert np.array_equal(order, epoch_order(50, 7, 3))
    assert not np.array_equal(order, epoch_order(50, 7, 4))
    assert not np.array_equal(order, epoch_order(50, 8, 3))
    assert epoch_order(4, 7, 3, shuffle=False).tolist() == [0, 1, 2, 3]


def test_sampler_yields_the_epochs_order_with_the_epoch():
    sampler = EpochSampler(20, seed=1)
    sampler.set_epoch(5)
    assert list(sampler) == [(5, i) for i in epoch_order(20, 1, 5).tolist()]


def test_passes_are_epochs_unless_set():
    sampler = EpochSampler(3, seed=1)
    assert [next(iter(sampler))[0] for _ in range(3)] == [0, 1, 2]  # passes that are broken off count too
    sampler.set_epoch(0)
    assert {e for e, _ in sampler} == {0}
    assert {e for e, _ in sampler} == {1}


@pytest.mark.parametrize(("n", "world", "b", "drop"), [(50, 3, 4, True), (50, 3, 4, False), (48, 2, 8, False)])
def test_processes_together_see_the_global_batches(n, world, b, drop):
    whole = indices(EpochSampler(n, 2, batch_size=b * world, drop_last=drop))
    parts = [EpochSampler(n, 2, rank=r, world_size=world, batch_size=b, drop_last=drop) for r in range(world)]
    lists = [indices(p) for p in parts]
    assert [len(p) for p in parts] == [len(x) for x in lists]
    assert len(whole) == (n // (b * world) * b * world if drop else n)
    for g in range(-(-len(whole) // (b * world))):
        cut = whole[g * b * world : (g + 1) * b * world]
        for r, local in enumerate(lists):
            assert local[g * b : (g + 1) * b] == cut[r * b : (r + 1) * b]
    assert sorted(i for local in lists for i in local) == sorted(whole)
    if drop:
        assert len({len(x) for x in lists}) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"rank": 2, "world_size": 2, "batch_size": 4},
        {"world_size": 2},
        {"drop_last": True},
        {"batch_size": 0},
        {"batch_size": 40, "drop_last": True},
    ],
)
def test_bad_arguments(arguments):
    with pytest.raises(UserError):
        EpochSampler(30, 0, **arguments)
