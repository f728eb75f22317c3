"""CIFAR through torchvision: read from files of its format, and a message that helps where there are none."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from augwise.data import open_source
from augwise.errors import UserError

NAMES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def batch(seed, n=4):
    rng = np.random.default_rng(seed)
    return {
        "data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
        "labels": rng.integers(0, 10, n).tolist(),
    }


@pytest.fixture
def tiny_cifar10(tmp_path, monkeypatch):
    """A folder in CIFAR-10's own format with four images per file; torchvision expects their MD5 sums."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    train = [[f"data_batch_{i}", write(f"data_batch_{i}", batch(i))] for i in range(1, 6)]
    test = [["test_batch", write("test_batch", batch(9))]]
    meta = write("batches.meta", {"label_names": NAMES})
    monkeypatch.setattr(CIFAR10, "train_list", train)
    monkeypatch.setattr(CIFAR10, "test_list", test)
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": meta})
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path))
    return folder


@pytest.mark.usefixtures("tiny_cifar10")
def test_reads_both_splits():
    train, test = open_source("cifar10"), open_source("cifar10", "test")
    assert (len(train), len(test), train.name) == (20, 4, "cifar10")
    assert np.array_equal(test[2][0].numpy().ravel(), batch(9)["data"][2])
    assert train.labels[4:8].tolist() == batch(2)["labels"]
    assert train.class_names == NAMES


def test_damaged_files_are_not_opened(tiny_cifar10, monkeypatch):
    monkeypatch.setattr(CIFAR10, "url", "file:///nowhere/cifar-10-python.tar.gz")
    (tiny_cifar10 / "test_batch").write_bytes(pickle.dumps(batch(3)))
    with pytest.raises(UserError, match="cifar-10-python"):
        open_source("cifar10", "test")


def test_no_network_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(CIFAR100, "url", "file:///nowhere/cifar-100-python.tar.gz")
    with pytest.raises(UserError, match=r"cifar-100-python\.tar\.gz.*into .*data by hand.*npz:FILE"):
        open_source("cifar100")


def test_there_is_no_validation_split():
    with pytest.raises(UserError, match="split_validation"):
        open_source("cifar100", "val")
