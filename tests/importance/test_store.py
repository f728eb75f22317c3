"""Stores: what is read is what was put in, row by row found by its image; nothing else can be read."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch

from augwise.errors import UserError
from augwise.importance.estimate import estimate
from augwise.importance.rows import Rows
from augwise.importance.store import ImportanceStore, pack
from reference.store_case import Noisy, Pictures, arrays, classifier


def random_maps(n=12, height=7, width=3, seed=0):
    generator = np.random.default_rng(seed)
    maps = generator.random((n, height, width)) ** 4 * 10.0 ** generator.integers(-20, 20, (n, 1, 1))
    return np.where(generator.random(maps.shape) < 0.3, 0, maps).astype(np.float32)


def test_quantisation_keeps_zeros_nonzeros_peak_and_half_a_step():
    maps = random_maps(200)
    maps[3] = 0
    maps[4] = np.float32(1e-45) * (maps[4] > 0)  # the smallest number there is
    packed, scale = pack(maps)
    assert packed.dtype == np.uint8
    assert scale.dtype == np.float32
    np.testing.assert_array_equal(packed == 0, maps == 0)
    np.testing.assert_array_equal(packed.max((1, 2)) == 255, [m.max() > 1e-40 for m in maps])
    error = np.abs(packed * scale[:, None, None].astype(np.float64) - maps)
    lifted = packed == 1  # non-zero values that would round to zero are kept at one step
    step = np.broadcast_to(scale[:, None, None].astype(np.float64), maps.shape)
    assert (error <= np.where(lifted, 1.0, 0.5 + 1e-4) * step).all()


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("kind", ["array", "tensor", "function"])
def test_own_maps_are_read_back(tmp_path, where, kind):
    data, maps = Pictures(12), random_maps()
    given = {"array": maps, "tensor": torch.from_numpy(maps), "function": lambda i: maps[i]}[kind]
    path = tmp_path / "own.maps" if where == "disk" else None
    attached = ImportanceStore.from_maps(data, given, path).attach(data)
    packed, scale = pack(maps)
    slow = np.stack([packed[i].astype(np.float32) * scale[i] for i in range(12)])
    assert (len(attached), attached.height, attached.width) == (12, 7, 3)
    order = [5, 0, 11, 5]
    np.testing.assert_array_equal(attached.read(order).numpy(), slow[order])
    np.testing.assert_array_equal(attached.read(torch.tensor(order)).numpy(), slow[order])
    for i in order:
        single = attached.read(i)
        assert single.dtype == torch.float32
        np.testing.assert_array_equal(single.numpy(), slow[i])
    whole, scales = attached.packed()
    np.testing.assert_array_equal(whole.numpy(), packed)
    np.testing.assert_array_equal(scales.numpy(), scale)
    assert not attached.failed.any()


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (random_maps(11), "11 maps for 12"),
        (np.where(np.arange(12)[:, None, None] == 7, np.nan, random_maps()), "row 7"),
        (np.where(np.arange(12)[:, None, None] == 7, -1e-9, random_maps()), "row 7"),
        (lambda i: random_maps()[i, : 7 - i // 11], "row 11"),
        (np.ones((12, 4)), "shape"),
    ],
)
def test_unusable_own_maps_are_refused_and_leave_nothing(tmp_path, maps, message):
    with pytest.raises(UserError, match=message):
        ImportanceStore.from_maps(Pictures(12), maps, tmp_path / "own.maps")
    assert list(tmp_path.iterdir()) == []


def test_own_maps_overwrite_nothing(tmp_path):
    (tmp_path / "precious").mkdir()
    with pytest.raises(UserError, match="exists"):
        ImportanceStore.from_maps(Pictures(12), random_maps(), tmp_path / "precious")


def test_rows_are_found_by_image_whatever_the_order():
    data, maps = Pictures(40), random_maps(40)
    store = ImportanceStore.from_maps(data, maps)
    rows = np.random.default_rng(1).permutation(40).tolist()
    whole = store.attach(data).read(list(range(40)))
    for chosen in (rows, rows[:9], [3, 3, 3]):
        torch.testing.assert_close(store.attach(data.of(chosen)).read(list(range(len(chosen)))), whole[chosen])


def test_rows_that_share_an_image_are_told_apart_by_label():
    data = Pictures(6)
    image = data.items[0][0]
    data.items[4] = (image, 3)  # row 0 has label 0
    store = ImportanceStore.from_maps(data, random_maps(6))
    again = data.of([4, 1, 0])
    assert store.attach(again).rows.tolist() == [4, 1, 0]
    again.items[1] = (data.items[1][0], 2)  # another label of an image that only one row has: noisy labels are fine
    assert store.attach(again).rows.tolist() == [4, 1, 0]


def test_other_data_and_new_images_are_refused_with_their_number():
    data = Pictures(20)
    store = ImportanceStore.from_maps(data, random_maps(20))
    with pytest.raises(UserError, match="none of the 20 images"):
        store.attach(Pictures(20, seed=1))
    with pytest.raises(UserError, match=r"5 of the 25 images.*estimate"):
        store.attach(Pictures(25))


def test_verify_compares_every_hash():
    data = Pictures(600)
    store = ImportanceStore.from_maps(data, np.ones((600, 1, 1)))
    unseen = [row for row in range(600) if _trusted_with_another_image(store, data, row)]
    assert unseen  # the quick check looks at 256 of 600
    changed = data.of(list(range(600)))
    changed.items[unseen[0]] = Pictures(1, seed=9).items[0]
    with pytest.raises(UserError, match="1 of the 600"):
        store.attach(changed, verify=True)


def _trusted_with_another_image(store, data, row):
    if row > 20:
        return False
    changed = data.of(list(range(len(data))))
    changed.items[row] = Pictures(1, seed=9).items[0]
    try:
        return len(store.attach(changed)) == len(data)
    except UserError:
        return False


def test_control_reads_another_row_of_the_store_and_only_done_ones(tmp_path):
    data = Pictures(30)
    estimate(classifier(), data, tmp_path / "a.maps", Noisy(), progress=False)
    store = ImportanceStore(tmp_path / "a.maps")
    attached = store.attach(data.of([7, 2, 9]))
    control = attached.deranged(3)
    assert (control.rows != attached.rows).all()
    assert control.rows.tolist() == attached.deranged(3).rows.tolist()
    assert sorted(store.attach(data).deranged(3).rows) == list(range(30))
    assert store.attach(data).deranged(3).rows[[7, 2, 9]].tolist() == control.rows.tolist()
    status = np.array(store.status)
    status[[0, 4, 5]] = 0
    store.status = status
    rows = store.attach(data).deranged(3).rows
    assert rows[[0, 4, 5]].tolist() == [0, 4, 5]
    assert not set(np.delete(rows, [0, 4, 5]).tolist()) & {0, 4, 5}


def test_pickled_maps_reopen_their_files(tmp_path):
    data = Pictures(2000, height=1, width=1)
    maps = np.ones((2000, 8, 8), np.float32)
    on_disk = ImportanceStore.from_maps(data, maps, tmp_path / "own.maps").attach(data)
    in_memory = ImportanceStore.from_maps(data, maps).attach(data)
    sent = pickle.dumps(on_disk)
    assert len(sent) < 20_000 < len(pickle.dumps(in_memory))
    for attached in (pickle.loads(sent), pickle.loads(pickle.dumps(in_memory))):
        torch.testing.assert_close(attached.read(1999), torch.ones(8, 8))


@pytest.fixture
def finished(tmp_path):
    folder = tmp_path / "a.maps"
    estimate(classifier(), Pictures(), folder, Noisy(), progress=False)
    return folder


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"\0")


def retype(path):
    path.write_bytes(path.read_bytes().replace(b"'<f4'", b"'<i4'").replace(b"'|u1'", b"'|i1'"))


def transpose(path):
    path.write_bytes(path.read_bytes().replace(b"False", b"True "))


def other_format(path):
    np.savez(path.with_suffix(".npz"), a=np.ones(3))
    path.with_suffix(".npz").rename(path)


@pytest.mark.parametrize("name", ["maps.npy", "scale.npy", "status.npy", "hashes.npy", "labels.npy"])
@pytest.mark.parametrize("damage", [cut, lengthen, transpose, other_format, lambda p: p.unlink()])
def test_damaged_arrays_are_refused_by_name(finished, name, damage):
    damage(finished / name)
    with pytest.raises(UserError, match=name):
        ImportanceStore(finished)


def test_wrong_types_and_impossible_values_are_refused(finished):
    good = arrays(finished)
    for name, values in [("status", good["status"] + 2), ("scale", -good["scale"]), ("scale", good["scale"] * np.nan)]:
        np.save(finished / f"{name}.npy", values)
        with pytest.raises(UserError, match="damaged"):
            ImportanceStore(finished)
        np.save(finished / f"{name}.npy", good[name])
    retype(finished / "scale.npy")
    with pytest.raises(UserError, match="int32"):
        ImportanceStore(finished)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "something"}, {"version": 99}, {"segments": []}, {"segments": [5, 4]}, {"segments": [10**15]},
        {"height": 0}, {"height": "6"}, {"seed": None}, {"arguments": [1]}, {"complete": 1}, {"environments": None},
        {"image": 5}, {"segments": ["a"]},
    ],
)  # fmt: skip
def test_damaged_meta_is_refused(finished, change):
    meta = json.loads((finished / "meta.json").read_text())
    (finished / "meta.json").write_text(json.dumps(meta | change))
    with pytest.raises(UserError):
        ImportanceStore(finished)


@pytest.mark.parametrize("text", ["", "{", "[]", "\0\xff", "{}"])
def test_broken_meta_is_refused(finished, text):
    (finished / "meta.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"meta\.json"):
        ImportanceStore(finished)


def test_no_store_is_refused(tmp_path):
    with pytest.raises(UserError, match="no meta"):
        ImportanceStore(tmp_path)
    with pytest.raises(UserError, match="not exist"):
        ImportanceStore(tmp_path / "nowhere")


class Planted:
    def __reduce__(self):
        return (open, (Planted.path, "w"))


def test_a_planted_pickle_never_runs(finished, tmp_path):
    Planted.path = str(tmp_path / "ran")
    np.save(finished / "maps.npy", np.array([Planted()] * 30, dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"maps\.npy"):
        ImportanceStore(finished)
    (finished / "maps.npy").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(UserError, match=r"maps\.npy"):
        ImportanceStore(finished)
    with pytest.raises(UserError, match=r"maps\.npy"):
        estimate(classifier(), Pictures(), finished, Noisy(), progress=False)
    assert not (tmp_path / "ran").exists()


def test_unfinished_stores_open_only_on_request(finished):
    status = np.load(finished / "status.npy")
    status[12:] = 0
    np.save(finished / "status.npy", status)
    with pytest.raises(UserError, match=r"12 of 30 rows.*again to resume"):
        ImportanceStore(finished)
    store = ImportanceStore(finished, allow_partial=True)
    assert (store.status != 0).sum() == store.summary()["done"] == 12


def test_rows_use_what_a_data_set_offers():
    data = Pictures(5)

    class Known(Pictures):
        labels = np.array([3, 2, 1, 0, 0])

        def fingerprint(self, index):
            return 2**63 + index

    assert Rows(Known(5)).hashes().tolist() == [2**63 + i for i in range(5)]
    assert Rows(Known(5)).labels().tolist() == [3, 2, 1, 0, 0]
    assert Rows(data).labels().tolist() == [0, 1, 2, 3, 0]
    assert len(set(Rows(data).hashes().tolist())) == 5
