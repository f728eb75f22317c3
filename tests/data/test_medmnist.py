"""MedMNIST's files as their publishers lay them out, made here of real small pictures; and the package that fetches."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

import augwise as aw
from augwise.data.medmnist import SETS
from augwise.errors import UserError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setitem(sys.modules, "medmnist", None)  # not installed


def written(path, side=28, grey=False, classes=9):
    """Their keys: images (N, side, side) or (N, side, side, 3) uint8, labels (N, 1)."""
    source = aw.open_source("digits", "test", size=side)
    pictures = np.stack([source[i][0].numpy().transpose(1, 2, 0) for i in range(30)])
    labels = np.arange(30).reshape(-1, 1).astype(np.uint8) % classes
    parts = {}
    for split, rows in (("train", slice(0, 18)), ("val", slice(18, 24)), ("test", slice(24, 30))):
        parts[f"{split}_images"] = pictures[rows][..., 0] if grey else pictures[rows]
        parts[f"{split}_labels"] = labels[rows]
    path.parent.mkdir(exist_ok=True, parents=True)
    np.savez(path, **parts)
    return pictures, labels[:, 0]


def test_colour_grey_and_every_size(tmp_path):
    pictures, labels = written(tmp_path / "pathmnist.npz")
    train = aw.open_source("medmnist:pathmnist", "train")
    assert train.name == "pathmnist"
    assert np.array_equal(train[3][0].numpy(), pictures[3].transpose(2, 0, 1))
    assert np.array_equal(train.labels, labels[:18])
    assert train.class_names[4] == "mucus"
    assert len(train.class_names) == 9
    assert train.flip
    assert np.array_equal(aw.open_source("medmnist:pathmnist", "val").labels, labels[18:24])
    pictures, _ = written(tmp_path / "home" / ".medmnist" / "octmnist_64.npz", side=64, grey=True, classes=4)
    test = aw.open_source("medmnist:octmnist_64", "test")
    assert test[0][0].shape == (1, 64, 64)
    assert np.array_equal(test[5][0][0].numpy(), pictures[29][..., 0])


def test_names_are_the_publishers():
    assert {name: len(known.classes) for name, known in SETS.items()} == {
        "pathmnist": 9,
        "dermamnist": 7,
        "octmnist": 4,
        "pneumoniamnist": 2,
        "retinamnist": 5,
        "breastmnist": 2,
        "bloodmnist": 8,
        "tissuemnist": 8,
        "organamnist": 11,
        "organcmnist": 11,
        "organsmnist": 11,
    }
    assert not SETS["organamnist"].flip  # there would be two left kidneys


def test_what_is_not_there_says_where_it_belongs(tmp_path):
    with pytest.raises(UserError, match=r"put bloodmnist_128.npz, .* into .*AUGWISE_DATA.*pip install medmnist"):
        aw.open_source("medmnist:bloodmnist_128")
    for name, message in (
        ("medmnist:pathmist", "is unknown: use medmnist:NAME with one of pathmnist"),
        ("medmnist:chestmnist", "has several labels per image"),
        ("medmnist:", "is unknown"),
        ("medmnist:pathmnist_32", r"names no size: use pathmnist \(28 px\), pathmnist_64"),
    ):
        with pytest.raises(UserError, match=message):
            aw.open_source(name)
    written(tmp_path / "breastmnist.npz", classes=9)
    with pytest.raises(UserError, match="9 classes, but breastmnist has 2: it is another set's file"):
        aw.open_source("medmnist:breastmnist")


def test_the_package_is_asked_where_it_is_installed(tmp_path, monkeypatch):
    asked = []

    class DermaMNIST:
        def __init__(self, split, download, root, size):
            asked.append((split, download, size))
            if size == 224:
                raise RuntimeError("no network")
            written(tmp_path / ("dermamnist.npz" if size == 28 else f"dermamnist_{size}.npz"), classes=7)
            assert root == str(tmp_path)

    package = types.ModuleType("medmnist")
    package.INFO = {"dermamnist": {"python_class": "DermaMNIST"}}  # pyright: ignore[reportAttributeAccessIssue]
    package.DermaMNIST = DermaMNIST  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "medmnist", package)
    assert len(aw.open_source("medmnist:dermamnist", "train")) == 18
    assert len(aw.open_source("medmnist:dermamnist_64", "test")) == 6
    assert asked == [("train", True, 28), ("test", True, 64)]
    aw.open_source("medmnist:dermamnist", "val")  # now it is there
    assert len(asked) == 2
    with pytest.raises(UserError, match=r"could not fetch dermamnist_224.npz \(no network\): put dermamnist_224.npz"):
        aw.open_source("medmnist:dermamnist_224")
