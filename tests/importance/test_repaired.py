"""A data set that is mended while its store is unfinished: the maps are those of a fresh run, and no work is lost."""

from __future__ import annotations

import contextlib
import itertools
import shutil

import numpy as np
import pytest

from augwise.errors import UserError
from augwise.importance import store_files
from augwise.importance.estimate import Plan, estimate
from augwise.importance.store import ImportanceStore
from reference.store_case import Noisy, Pictures, arrays, classifier, contents

N, CHUNK = 30, 4


def run(folder, data, **options):
    return estimate(classifier(), data, folder, Noisy(), progress=False, **options)


def stop(folder, done_chunks):
    """As an interrupted run leaves it: only these chunks are done, of one other chunk a part says so."""
    status = arrays(folder)["status"]
    for chunk in range(-(-len(status) // CHUNK)):
        if chunk not in done_chunks:
            status[CHUNK * chunk : CHUNK * (chunk + 1)] = 0
            values = np.load(folder / "maps.npy")
            values[CHUNK * chunk : CHUNK * (chunk + 1)] = 7
            np.save(folder / "maps.npy", values)
    first = next(c for c in range(99) if c not in done_chunks)
    status[CHUNK * first] = 1
    np.save(folder / "status.npy", status)
    meta = folder / "meta.json"
    meta.write_text(meta.read_text().replace('"complete": true', '"complete": false'))


def changed(rows_repaired=(), rows_removed=()):
    data = Pictures(N)
    for row in rows_repaired:
        data.items[row] = (Pictures(N, seed=9).items[row][0], data.items[row][1])
    return data.of([row for row in range(N) if row not in rows_removed])


CASES = [((14,), ()), ((13, 27), ()), ((), (14,)), ((), (12, 13, 14, 15, 22)), ((29,), (12,)), ((12, 16), (20, 28))]


@pytest.mark.parametrize(("repaired", "removed"), CASES)
def test_a_store_resumed_after_repair_equals_a_fresh_one(tmp_path, repaired, removed):
    data = changed(repaired, removed)
    run(tmp_path / "a.maps", Pictures(N))
    stop(tmp_path / "a.maps", {0, 1, 2})
    plan = run(tmp_path / "a.maps", data, dry_run=True)
    assert isinstance(plan, Plan)
    assert (plan.rows, plan.pending) == (len(data), len(data) - 12)
    run(tmp_path / "a.maps", data)
    fresh = run(tmp_path / "fresh.maps", data)
    if not (repaired and removed):
        assert contents(tmp_path / "a.maps") == contents(tmp_path / "fresh.maps")
    same_maps(ImportanceStore(tmp_path / "a.maps"), fresh, data)


def test_what_a_half_written_chunk_says_is_not_believed_of_another_image(tmp_path):
    data = changed((), (28,))
    run(tmp_path / "a.maps", Pictures(N))
    stop(tmp_path / "a.maps", range(7))  # row 28 says done, row 29 takes its place
    run(tmp_path / "a.maps", data)
    run(tmp_path / "fresh.maps", data)
    assert contents(tmp_path / "a.maps") == contents(tmp_path / "fresh.maps")


def same_maps(store, fresh, data):
    assert len(store) == len(data)
    got, wanted = store.attach(data, verify=True), fresh.attach(data)
    a, b = got.read(range(len(data))).numpy(), wanted.read(range(len(data))).numpy()
    np.testing.assert_allclose(a, b, atol=b.max() / 200)  # float32 depends on which images share a chunk
    np.testing.assert_array_equal(got.failed, wanted.failed)


@pytest.mark.parametrize(
    ("done", "repaired", "removed", "again"),
    [
        ({0, 2, 4, 6}, (5, 13), (), 0),
        ({0, 2, 4, 5}, (), (5, 13), 0),
        ({0, 2, 4, 5}, (), (4, 5, 6, 7, 13, 14, 28, 29), 4),  # six free places, four pending images behind
        ({0, 2, 4, 7}, (), (5, 6, 13, 24), 2),  # nothing pending behind chunk 7: its two images move
        ({2, 3, 4, 5, 6, 7}, (), (0, 1, 2, 3, 5, 6, 7), 10),  # chunks 7, 6 and 5 fill seven places
        ({0, 2, 4, 7}, (13,), (5, 6, 9, 29), 2),  # a finished map of a gone image stays, unless its chunk moves
    ],
)
def test_what_several_processes_left_is_not_lost(tmp_path, done, repaired, removed, again):
    data, folder = changed(repaired, removed), tmp_path / "a.maps"
    run(folder, Pictures(N))
    stop(folder, done)
    before = arrays(folder)
    key = dict(zip(before["hashes"].tolist(), before["maps"], strict=True))
    finished = {int(h) for c in done for h in before["hashes"][CHUNK * c : CHUNK * (c + 1)]}
    plan = run(folder, data, dry_run=True)
    run(folder, data)
    store = ImportanceStore(folder)
    fresh = run(tmp_path / "fresh.maps", data)
    here = {int(h) for h in fresh.hashes}
    assert set(store.hashes.tolist()) >= here
    assert len(set(store.hashes.tolist())) == len(store)
    for row in np.flatnonzero(~np.isin(store.hashes, list(here))):  # of images that are gone, only finished maps stay
        np.testing.assert_array_equal(store.maps[row], key[int(store.hashes[row])])
    unfinished = len(here - finished)
    assert isinstance(plan, Plan)
    assert unfinished <= plan.pending <= unfinished + again
    kept = [row for row, h in enumerate(store.hashes.tolist()) if h in finished]
    equal = sum(np.array_equal(store.maps[row], key[int(store.hashes[row])]) for row in kept)
    assert equal >= len(kept) - again
    got = store.attach(data)
    wanted = fresh.attach(data).read(range(len(data))).numpy()
    np.testing.assert_allclose(got.read(range(len(data))).numpy(), wanted, atol=wanted.max() / 200)


def test_every_moment_at_which_it_may_be_killed_is_mended(tmp_path):
    """Each file before or after its step; what is written last is tried with all that comes before it."""
    data, folder, fresh = changed((), (14, 21)), tmp_path / "a.maps", tmp_path / "fresh.maps"
    run(folder, Pictures(N))
    stop(folder, {0, 1, 2})
    run(fresh, data)
    before = arrays(folder)
    hashes = np.delete(before["hashes"], [14, 21])
    labels = np.delete(before["labels"], [14, 21])
    status = before["status"].copy()
    status[12:] = 0
    steps = [
        ("status", status),
        ("hashes", np.concatenate([hashes, np.zeros(2, np.uint64)])),
        ("labels", np.concatenate([labels, np.full(2, -1)])),
    ]
    for done in range(4):
        copy = tmp_path / f"killed{done}.maps"
        shutil.copytree(folder, copy)
        for name, values in itertools.islice(steps, done):
            np.save(copy / f"{name}.npy", values)
        run(copy, data)
        assert contents(copy) == contents(fresh)
    copy = tmp_path / "shrunk.maps"  # meta.json is written, the files are still long
    shutil.copytree(folder, copy)
    for name, values in steps:
        np.save(copy / f"{name}.npy", values)
    meta = copy / "meta.json"
    meta.write_text(meta.read_text().replace(" 30\n", " 28\n"))
    run(copy, data)
    assert contents(copy) == contents(fresh)


@pytest.mark.parametrize("write", range(9))
@pytest.mark.parametrize("removed", [(5, 6, 13, 24), (5, 6), (28,)])
def test_stopped_before_any_of_its_writes_it_is_mended(tmp_path, monkeypatch, write, removed):
    """Whatever is written in which order: first of what is settled, then of the chunks."""
    data, folder = changed((), removed), tmp_path / "a.maps"
    run(folder, Pictures(N))
    stop(folder, {0, 2, 4, 7} if len(removed) > 1 else range(7))
    fresh, real, written = run(tmp_path / "fresh.maps", data), store_files.write_rows, []

    def stopping(*arguments):
        if len(written) == write:
            raise InterruptedError
        written.append(arguments[1])
        real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(store_files, "write_rows", stopping)
        with contextlib.suppress(InterruptedError):
            run(folder, data)
    run(folder, data)
    same_maps(ImportanceStore(folder), fresh, data)


def test_a_store_that_was_growing_is_mended_in_each_of_its_batches(tmp_path):
    """Begun with 14 images, grown to 30, two lost: as if begun with 13 and grown to 28."""
    folder, fresh = tmp_path / "a.maps", tmp_path / "fresh.maps"
    run(folder, Pictures(14))
    run(folder, Pictures(N))
    stop(folder, {0, 1})
    data = changed((), (9, 20))
    run(folder, data)
    run(fresh, changed((), (9, *range(14, 30))))
    run(fresh, data)
    assert contents(folder) == contents(fresh)


def test_what_is_done_about_lost_images_is_told(tmp_path, capsys):
    run(tmp_path / "a.maps", Pictures(N))
    stop(tmp_path / "a.maps", {0, 1, 2})
    estimate(classifier(), changed((17,), (14, 21)), tmp_path / "a.maps", Noisy())
    told = capsys.readouterr().err
    assert "3 are no longer in the data; 1 of their places go to new images, 2 are taken away" in told


def test_a_finished_store_keeps_maps_of_images_that_are_gone(tmp_path):
    run(tmp_path / "a.maps", Pictures(N))
    before = contents(tmp_path / "a.maps")
    run(tmp_path / "a.maps", changed((), (3, 29)))
    assert contents(tmp_path / "a.maps") == before
    with pytest.raises(UserError, match="none of these"):
        run(tmp_path / "a.maps", Pictures(3, seed=5))


def test_a_finished_store_is_not_written_to_on_another_machine(tmp_path):
    run(tmp_path / "a.maps", Pictures(N))
    meta = tmp_path / "a.maps" / "meta.json"
    meta.write_text(meta.read_text().replace('"device": "cpu"', '"device": "elsewhere"'))
    before = contents(tmp_path / "a.maps")
    assert "elsewhere" in meta.read_text()
    run(tmp_path / "a.maps", Pictures(N))
    assert contents(tmp_path / "a.maps") == before
