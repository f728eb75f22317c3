"""Export files: exact there and back, small, and harmless whoever wrote them."""

from __future__ import annotations

import json
import math
import pickle
import random
import shutil
import struct
import zipfile

import numpy as np
import pytest

from augwise.errors import UserError
from augwise.importance import exchange, store_files
from augwise.importance.estimate import estimate
from augwise.importance.exchange import export_store, import_store, look
from augwise.importance.merge import merge
from augwise.importance.store import ImportanceStore
from reference.store_case import Noisy, Pictures, arrays, classifier, contents


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A grown store with failed rows, of 7×5 cells (which fill no whole number of bytes)."""
    folder = tmp_path_factory.mktemp("original") / "a.maps"
    for n in (18, 26):
        estimate(classifier(), Pictures(n, height=7), folder, Noisy(), progress=False)
    assert 0 < ImportanceStore(folder).failed.sum() < 26
    return folder


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "a.maps")


def unfinished(folder):
    status = arrays(folder)["status"]
    status[5:7] = 0
    status[20:] = 0
    np.save(folder / "status.npy", status)
    scale = arrays(folder)["scale"]
    scale[21] = 0  # killed between two files: the map is there, its scale is not
    np.save(folder / "scale.npy", scale)
    meta = json.loads((folder / "meta.json").read_text())
    store_files.write_meta(folder, store_files.parse_meta(meta | {"complete": False}))


@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_a_store_comes_back_byte_for_byte(folder, tmp_path, monkeypatch, state):
    if state == "unfinished":
        unfinished(folder)
    monkeypatch.setattr(exchange, "_BLOCK", 4 * 35)  # several blocks, the last one smaller
    file = export_store(folder, tmp_path / "a.augmaps")
    store = import_store(file, tmp_path / "b.maps")
    assert contents(tmp_path / "b.maps") == contents(folder)
    assert (store.status == 0).sum() == (8 if state == "unfinished" else 0)
    assert export_store(store, tmp_path / "b.augmaps").read_bytes() == file.read_bytes()
    found = look(file)
    assert found.key_points == np.count_nonzero(store.maps)
    assert found.bytes == file.stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.augmaps", "a.maps", "b.augmaps", "b.maps"]


def test_an_unfinished_store_goes_on_after_its_journey(folder, tmp_path):
    whole = contents(folder)
    unfinished(folder)
    import_store(export_store(folder, tmp_path / "a.augmaps"), tmp_path / "b.maps")
    estimate(classifier(), Pictures(26, height=7), tmp_path / "b.maps", Noisy(), progress=False)
    assert contents(tmp_path / "b.maps") == whole


def test_a_store_in_memory_of_dense_maps_is_exact_too(tmp_path):
    maps = np.random.default_rng(0).random((9, 3, 11)).astype(np.float32)
    maps[4] = 0
    store = ImportanceStore.from_maps(Pictures(9), maps)
    back = import_store(export_store(store, tmp_path / "a.augmaps"), tmp_path / "a.maps")
    np.testing.assert_array_equal(back.maps, store.maps)
    np.testing.assert_array_equal(back.scale, store.scale)
    assert back.meta == store.meta


def test_top_keeps_the_highest_cells_of_each_map_and_says_so(tmp_path):
    maps = np.random.default_rng(1).integers(0, 6, (12, 4, 7)).astype(np.float32)  # full of ties
    store = ImportanceStore.from_maps(Pictures(12), maps)
    file = export_store(store, tmp_path / "a.augmaps", top=0.2)
    back = import_store(file, tmp_path / "a.maps")
    for kept, whole in zip(back.maps, store.maps, strict=True):
        order = sorted(range(28), key=lambda i: (-int(whole.flat[i]), i))[: math.ceil(0.2 * 28)]
        expected = [whole.flat[i] if i in order else 0 for i in range(28)]
        assert kept.reshape(-1).tolist() == expected
    assert back.meta["top"] == look(file).meta.top == 0.2
    again = import_store(export_store(back, tmp_path / "b.augmaps", top=0.5), tmp_path / "b.maps")
    assert again.meta["top"] == 0.2
    np.testing.assert_array_equal(again.maps, back.maps)
    with pytest.raises(UserError, match="kept share of each map"):
        merge([tmp_path / "a.maps", written(store, tmp_path / "whole.maps")], tmp_path / "c.maps")


def written(store, path):
    return import_store(export_store(store, path.with_suffix(".augmaps")), path).path


def test_a_sparse_store_shrinks(tmp_path):
    """Maps of random key points, a tenth of the cells: below 0.1 bytes a cell, where the store takes one."""
    generator = np.random.default_rng(0)
    maps = (generator.random((300, 32, 32)) < 0.1) * generator.choice([100.0, 255.0], (300, 1, 1))
    store = ImportanceStore.from_maps(Pictures(300, height=1, width=1), maps.astype(np.float32))
    size = export_store(store, tmp_path / "a.augmaps").stat().st_size
    assert size < 300 * 32 * 32 * 0.1


def test_nothing_is_overwritten_and_nothing_half_written(folder, tmp_path):
    file = export_store(folder, tmp_path / "a.augmaps")
    before = file.read_bytes()
    for wrong, message in [(file, "exists"), (tmp_path / "no" / "a", "no folder"), (folder, "exists")]:
        with pytest.raises(UserError, match=message):
            export_store(folder, wrong)
    with pytest.raises(UserError, match="exists"):
        import_store(file, folder)
    for top in (0, 1.1, -1, math.nan):
        with pytest.raises(UserError, match="share"):
            export_store(folder, tmp_path / "b.augmaps", top=top)
    with pytest.raises(UserError, match=r"no\.augmaps does not exist"):
        import_store(tmp_path / "no.augmaps", tmp_path / "b.maps")
    with pytest.raises(UserError, match="is a folder"):
        import_store(folder, tmp_path / "b.maps")
    assert file.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.augmaps", "a.maps"]


def parts(file):
    with zipfile.ZipFile(file) as archive:
        return {info.filename: (archive.read(info), info.compress_type) for info in archive.infolist()}


def forged(file, changes, path):
    """The export with some members replaced; a string replaces the JSON value at a dotted name."""
    members = {name: list(pair) for name, pair in parts(file).items()}
    for name, value in changes.items():
        if name in members:
            members[name][0] = value
        else:
            content = json.loads(members["meta.json"][0])
            at = content
            *way, last = name.split(".")
            for step in way:
                at = at[step]
            at[last] = value
            members["meta.json"][0] = json.dumps(content).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, (data, kind) in members.items():
            if data is not None:
                archive.writestr(zipfile.ZipInfo(name), data, compress_type=kind)
    return path


HUGE = 10**13


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "something"}, "does not describe"),
        ({"version": 2}, "format 2.*use the version"),
        ({"store": 5}, "does not describe"),
        ({"meta.json": b"{"}, "damaged"),
        ({"meta.json": b"[" * 100_000}, "damaged"),
        ({"meta.json": b" " * (1 << 23)}, "longer"),
        ({"meta.json": None}, "should hold"),
        ({"values.u8": None}, "should hold"),
        ({"store.segments": [HUGE]}, f"for {HUGE} maps"),
        ({"store.segments": [18, 27]}, "for 27 maps"),
        ({"store.height": HUGE, "store.width": HUGE}, "cells"),
        ({"store.height": 9}, "damaged"),
        ({"store.height": -7, "store.width": -5}, "damaged"),
        ({"store.width": "5"}, "damaged"),
        ({"store.part": [1, 2]}, "damaged"),
        ({"store.part": {"index": "../x", "of": 1, "rows": 1}}, "damaged"),
        ({"store.model": {}}, "damaged"),
        ({"store.top": 7}, "damaged"),
        ({"hashes": b""}, "hashes should have 208"),
        ({"scale": np.full(26, np.nan, "<f4").tobytes()}, "scale is nan in row 0"),
        ({"scale": np.zeros(26, "<f4").tobytes()}, "do not belong together"),
        ({"status": bytes([1] * 25 + [3])}, "status is 3 in row 25"),
        ({"labels": np.full(26, -1, "<i8").tobytes()}, "labels below 0"),
        ({"values.u8": b""}, "key points"),
    ],
)
def test_forged_files_are_refused(folder, tmp_path, changes, message):
    file = forged(export_store(folder, tmp_path / "a.augmaps"), changes, tmp_path / "forged")
    with pytest.raises(UserError, match=message):
        import_store(file, tmp_path / "b.maps")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("b.maps")]


def test_positions_outside_and_values_of_zero_are_refused(folder, tmp_path):
    file = export_store(folder, tmp_path / "a.augmaps")
    bits, values = (bytearray(parts(file)[name][0]) for name in ("points.bits", "values.u8"))
    outside = bytearray(bits)
    outside[4] |= 1  # of 40 bits, the last five belong to no cell
    moved = bytearray(bits)
    moved[5] ^= 0b10000000  # one key point more, or fewer
    zero = bytearray(values)
    zero[3] = 0
    for changes, message in [
        ({"points.bits": bytes(outside), "values.u8": bytes(values) + b"\1"}, "outside of its map"),
        ({"points.bits": bytes(moved)}, "more key points than values, or fewer"),
        ({"values.u8": bytes(values) + b"\1"}, "more key points than values, or fewer"),
        ({"values.u8": bytes(zero)}, "without importance"),
    ]:
        with pytest.raises(UserError, match=message):
            import_store(forged(file, changes, tmp_path / "forged"), tmp_path / "b.maps")


def test_a_bomb_takes_no_space(folder, tmp_path):
    """A small file whose directory claims the 250 MB of key points that go with maps of 2 GB."""
    rows, width = 1000, 250_000
    changes = {"store.segments": [rows], "store.height": 1000, "store.width": 8 * width // 1000}
    changes |= {"hashes": bytes(8 * rows), "labels": bytes(8 * rows), "scale": bytes(4 * rows), "status": bytes(rows)}
    changes |= {"points.bits": bytes(5000), "values.u8": b""}
    bomb = forged(export_store(folder, tmp_path / "a.augmaps"), changes, tmp_path / "bomb")
    with pytest.raises(UserError, match="should have 250000000 bytes"):
        look(bomb)
    data = bytearray(bomb.read_bytes())
    entry = data.rindex(b"points.bits") - 46  # in the directory at the end
    assert data[entry : entry + 4] == b"PK\1\2"
    assert struct.unpack("<I", data[entry + 24 : entry + 28]) == (5000,)
    data[entry + 24 : entry + 28] = struct.pack("<I", rows * width)
    bomb.write_bytes(data)
    with pytest.raises(UserError, match="claims 250000000 bytes, which it cannot hold"):
        import_store(bomb, tmp_path / "b.maps")
    for name in (b"points.bits", b"values.u8"):  # as if the bytes were there, twice
        entry = data.rindex(name) - 46
        data[entry + 20 : entry + 24] = struct.pack("<I", len(data) - 100)
        data[entry + 24 : entry + 28] = struct.pack("<I", 5000)
    bomb.write_bytes(data)
    with pytest.raises(UserError, match="its parts overlap"):
        import_store(bomb, tmp_path / "b.maps")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.augmaps", "a.maps", "bomb"]


@pytest.mark.parametrize(("name", "kind"), [("hashes", zipfile.ZIP_DEFLATED), ("values.u8", zipfile.ZIP_STORED)])
def test_members_are_compressed_as_augwise_does(folder, tmp_path, name, kind):
    """Hashes are not, so that a file of few bytes cannot claim many rows; of other methods nothing is known."""
    file = export_store(folder, tmp_path / "a.augmaps")
    with zipfile.ZipFile(tmp_path / "forged", "w") as archive:
        for member, (data, usual) in parts(file).items():
            archive.writestr(zipfile.ZipInfo(member), data, compress_type=kind if member == name else usual)
    with pytest.raises(UserError, match=f"{name} is compressed or encrypted otherwise"):
        import_store(tmp_path / "forged", tmp_path / "b.maps")


def test_other_files_and_damage_are_refused_whatever_the_byte(folder, tmp_path):
    """Cut off anywhere, or with a byte changed: refused, or (a date, say) without effect; never half a store."""
    file = export_store(folder, tmp_path / "a.augmaps")
    data, chance = file.read_bytes(), random.Random(0)
    bad = tmp_path / "bad"
    for content in (b"", b"PK\3\4", pickle.dumps({"a": 1}), b"\x93NUMPY" + bytes(200)):
        bad.write_bytes(content)
        with pytest.raises(UserError, match=r"bad is damaged, or no export"):
            import_store(bad, tmp_path / "b.maps")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(UserError, match="should hold"):
        import_store(tmp_path / "other.npz", tmp_path / "b.maps")
    for _ in range(25):
        bad.write_bytes(data[: chance.randrange(len(data))])
        with pytest.raises(UserError, match="damaged"):
            import_store(bad, tmp_path / "b.maps")
    refused = 0
    for _ in range(100):
        at = chance.randrange(len(data))
        bad.write_bytes(data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :])
        try:
            import_store(bad, tmp_path / "b.maps")
            assert contents(tmp_path / "b.maps") == contents(folder)
            shutil.rmtree(tmp_path / "b.maps")
        except UserError:
            refused += 1
        assert not (tmp_path / "b.maps").exists()
    assert refused > 60


def test_a_disk_too_small_is_told_before_the_maps(folder, tmp_path):
    resource = pytest.importorskip("resource")
    file = export_store(folder, tmp_path / "a.augmaps")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, limits[1]))
    try:
        with pytest.raises(UserError, match="bytes are needed"):
            import_store(file, tmp_path / "b.maps")
        with pytest.raises(UserError, match="cannot be written"):
            export_store(folder, tmp_path / "b.augmaps")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.augmaps", "a.maps"]
