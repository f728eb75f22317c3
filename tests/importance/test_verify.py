"""`verify_store` finds what is wrong with a store, names the row, and finds nothing wrong with a sound one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from augwise.importance import verify
from augwise.importance.estimate import estimate
from augwise.importance.exchange import export_store, import_store
from augwise.importance.store import ImportanceStore
from augwise.importance.verify import verify_store
from reference.store_case import Noisy, Pictures, arrays, classifier


@pytest.fixture
def folder(tmp_path):
    estimate(classifier(), Pictures(), tmp_path / "a.maps", Noisy(), progress=False)
    return tmp_path / "a.maps"


def changed(folder, name, row, value):
    values = arrays(folder)[name]
    values[row] = value
    np.save(folder / f"{name}.npy", values)


def test_a_sound_store_has_no_problems(folder):
    assert verify_store(folder) == ([], [])
    assert verify_store(folder, Pictures()) == ([], [])
    backwards = Pictures().of([*range(29, -1, -1)])
    assert verify_store(folder, backwards) == ([], [])


@pytest.mark.parametrize(
    ("name", "row", "value", "problem"),
    [
        ("status", 17, 0, "1 of 30 rows are still to be done (first: row 17)"),
        ("status", 17, 9, "status is 9 in row 17"),
        ("scale", 5, np.inf, "scale is inf in row 5"),
        ("scale", 5, 0, "1 maps contradict their scale (first: row 5)"),
        ("maps", 6, 0, "1 maps contradict their scale (first: row 6)"),
        ("labels", 3, -2, "1 labels are below 0 (first: row 3)"),
    ],
)
def test_what_is_wrong_inside_is_named(folder, name, row, value, problem):
    changed(folder, name, row, value)
    problems, _ = verify_store(folder)
    assert len(problems) == 1
    assert problem in problems[0]


def test_every_block_of_rows_is_looked_at(folder, monkeypatch):
    monkeypatch.setattr(verify, "_BLOCK", 8)
    for row in (9, 29):
        changed(folder, "scale", row, 0)
    assert "2 maps contradict their scale (first: row 9)" in verify_store(folder).problems[0]


def test_an_empty_map_of_an_attack_that_failed_is_no_news(folder):
    for name, value in (("maps", 0), ("scale", 0), ("status", 2)):
        changed(folder, name, 11, value)
    assert verify_store(folder, Pictures()) == ([], [])
    changed(folder, "status", 11, 1)
    assert verify_store(folder).notes == ["1 maps are empty, though they did not fail (first: row 11)"]


def test_maps_of_stretched_images_are_noted(tmp_path):
    estimate(classifier(), Pictures(), tmp_path / "a.maps", Noisy(), progress=False, size=12)
    problems, notes = verify_store(tmp_path / "a.maps", Pictures())
    assert problems == []
    assert notes == ["the maps were computed from images of (3, 12, 12), these are (3, 6, 5)"]


def test_files_and_meta_that_do_not_fit_are_named(folder, tmp_path):
    meta = json.loads((folder / "meta.json").read_text())
    (folder / "meta.json").write_text(json.dumps(meta | {"complete": False}))
    assert "never finished" in verify_store(folder).problems[0]
    (folder / "meta.json").write_text(json.dumps(meta | {"segments": [31]}))
    assert "maps.npy should hold" in verify_store(folder).problems[0]
    assert "does not exist" in verify_store(tmp_path / "no").problems[0]


def test_what_does_not_fit_the_data_is_named(folder):
    assert "none of the 9 images" in verify_store(folder, Pictures(9, seed=1)).problems[0]
    problems, notes = verify_store(folder, Pictures(34))
    assert problems == [
        "4 of the 34 images of Pictures have no map (first: image 30): run the same augwise estimate on this data set"
    ]
    assert notes == []
    data = Pictures().of([8, 2, 29])
    assert verify_store(folder, data) == ([], ["27 of 30 rows are of images that Pictures does not have"])
    data.items[1] = (data.items[1][0], 3)
    problems, _ = verify_store(folder, data)
    assert "1 images of Pictures have another label than in the store (image 1: 3, in row 2: 2)" in problems[0]


def test_what_an_export_left_out_and_empty_maps_are_noted(tmp_path):
    data, maps = Pictures(12), np.ones((12, 2, 5))
    maps[4] = 0
    store = ImportanceStore.from_maps(data, maps)
    import_store(export_store(store, tmp_path / "a", top=0.25), tmp_path / "a.maps")
    problems, notes = verify_store(tmp_path / "a.maps", data)
    assert problems == []
    assert "1 maps are empty, though they did not fail (first: row 4)" in notes[0]
    assert "top 0.25 of each map" in notes[1]
