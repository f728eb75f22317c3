"""MNIST, SVHN, STL-10 and Flowers-102 from files in their publishers' own forms, made here of real small pictures."""

from __future__ import annotations

import gzip
import struct
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.io import savemat
from torchvision import datasets

import augwise as aw
from augwise.analysis.estimate_maps import EstimateConfig, estimate_maps
from augwise.data import Resident, Subset, left_out, split_validation
from augwise.errors import UserError
from augwise.fingerprints import hash_pixels
from augwise.training.config import TrainConfig
from augwise.training.few_labels import labelled_rows
from augwise.training.learn_config import LearnConfig
from augwise.training.train import train
from reference.published_toys import digits, jpeg


@pytest.fixture(autouse=True)
def _no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path))
    monkeypatch.setattr(datasets.MNIST, "mirrors", ["file:///nowhere/"])
    nowhere = {split: ["file:///nowhere/x.mat", *rest] for split, (_, *rest) in datasets.SVHN.split_list.items()}
    monkeypatch.setattr(datasets.SVHN, "split_list", nowhere)
    monkeypatch.setattr(datasets.STL10, "url", "file:///nowhere/stl10_binary.tar.gz")
    monkeypatch.setattr(datasets.Flowers102, "_download_url_prefix", "file:///nowhere/")


def refused(spec, message, split="train", **ways):
    with pytest.raises(UserError, match=message):
        aw.open_source(spec, split, **ways)


# MNIST


def idx(path, array, packed=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(data) if packed else data)


@pytest.fixture
def mnist(tmp_path):
    parts = {}
    for split, stem in (("train", "train"), ("test", "t10k")):
        pictures, labels = digits(12, 28, split)
        pictures = pictures[:, :27, :, 0]  # not square, so that rows and columns cannot be confused
        idx(tmp_path / "MNIST" / "raw" / f"{stem}-images-idx3-ubyte", pictures)
        packed = split == "test"
        idx(tmp_path / "MNIST" / "raw" / f"{stem}-labels-idx1-ubyte{'.gz' if packed else ''}", labels, packed)
        parts[split] = pictures, labels
    return parts


def test_mnist_reads_idx_files_packed_or_not(mnist, tmp_path):
    for split, (pictures, labels) in mnist.items():
        source = aw.open_source("mnist", split)
        assert source.labels.tolist() == labels.tolist()
        assert np.array_equal(np.stack([source[i][0].numpy() for i in range(12)]), pictures[:, None])
        assert source.class_names == list("0123456789")
        assert (source.name, source.flip) == ("mnist", False)
        assert source.fingerprint(3) == hash_pixels(source[3][0])
    for folder in (tmp_path, tmp_path / "MNIST" / "raw"):
        assert len(aw.open_source(f"mnist:{folder}")) == 12


def test_mnist_is_refused_where_it_is_damaged(mnist, tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    pictures, labels = mnist["train"]
    idx(raw / "train-labels-idx1-ubyte", labels[:11])
    refused("mnist", "12 images but 11 labels")
    idx(raw / "train-labels-idx1-ubyte", pictures)
    refused("mnist", "train-labels-idx1-ubyte is no idx file of bytes in 1 dimensions")
    whole = (raw / "train-images-idx3-ubyte").read_bytes()
    (raw / "train-images-idx3-ubyte").write_bytes(whole[:-5])
    refused("mnist", r"says that it has 12 x 27 x 28 values, but has 9067: fetch it again.*https")
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8b\x08 no more")
    refused("mnist", r"t10k-labels-idx1-ubyte\.gz cannot be read", "test")


# SVHN


@pytest.fixture
def svhn(tmp_path):
    pictures, labels = digits(14)
    pictures[:, 0] = 255  # the upper edge, so that rows and columns cannot be confused
    (tmp_path / "svhn").mkdir()
    for split, rows in (("train", slice(0, 9)), ("test", slice(9, 14))):
        theirs = np.where(labels == 0, 10, labels)[rows, None].astype(np.uint8)
        savemat(tmp_path / "svhn" / f"{split}_32x32.mat", {"X": pictures[rows].transpose(1, 2, 3, 0), "y": theirs})
    return pictures, labels


def test_svhn_reads_matlab_files_whose_ten_is_zero(svhn, tmp_path):
    pictures, labels = svhn
    train, test = aw.open_source("svhn"), aw.open_source("svhn", "test")
    assert 0 in labels
    assert [*train.labels, *test.labels] == labels.tolist()
    assert np.array_equal(train[4][0].numpy(), pictures[4].transpose(2, 0, 1))
    assert np.array_equal(test[4][0].numpy(), pictures[13].transpose(2, 0, 1))
    assert (train.class_names, train.flip) == (list("0123456789"), False)
    for split in ("train", "test"):
        (tmp_path / "svhn" / f"{split}_32x32.mat").rename(tmp_path / f"{split}_32x32.mat")
    assert len(aw.open_source("svhn", "test")) == 5  # where torchvision puts them
    assert len(aw.open_source(f"svhn:{tmp_path}")) == 9


def test_svhn_is_refused_where_it_is_damaged(svhn, tmp_path):
    pictures, labels = svhn
    path = tmp_path / "svhn" / "train_32x32.mat"
    x, y = pictures.transpose(1, 2, 3, 0), labels[:, None] + 1
    savemat(path, {"X": x, "y": y[:-1]})
    refused("svhn", "14 images but 13 labels")
    savemat(path, {"X": x, "y": labels[:, None]})
    refused("svhn", r"label 0 of image \d+ in .*train_32x32.mat is out of range: they go from 1 to 10 there")
    savemat(path, {"X": pictures, "y": y})
    refused("svhn", r"not \(32, 32, 3, N\)")
    savemat(path, {"digitStruct": y})
    refused("svhn", "holds digitStruct, but no X: it is another file")
    path.write_bytes(b"MATLAB 5.0 MAT-file, no more")
    refused("svhn", "cannot be read as a MATLAB file")


def test_matlab_files_want_scipy(svhn, monkeypatch):
    assert len(svhn) == 2
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    refused("svhn", "which SciPy reads, for torchvision as for us: pip install scipy")


# STL-10

STL_CLASSES = ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"]


@pytest.fixture
def stl10(tmp_path):
    """20 labelled images, 10 to test with, 8 without labels, and folds of 10; columns stand one after the other."""
    home = tmp_path / "stl10_binary"
    home.mkdir()
    pictures = {}
    for split, count in (("train", 20), ("test", 10), ("unlabeled", 8)):
        images, labels = digits(count, 96, "test" if split == "unlabeled" else "train")
        pictures[split] = images, labels
        (home / f"{split}_X.bin").write_bytes(images.transpose(0, 3, 2, 1).tobytes())
        if split != "unlabeled":
            (home / f"{split}_y.bin").write_bytes((labels + 1).astype(np.uint8).tobytes())
    (home / "class_names.txt").write_text("\n".join(STL_CLASSES))
    rows = [sorted(np.random.default_rng(fold).permutation(20)[:10].tolist()) for fold in range(10)]
    (home / "fold_indices.txt").write_text("".join(" ".join(map(str, r)) + " \n" for r in rows))
    return {**pictures, "folds": rows}


def test_stl10_stands_upright(stl10, tmp_path):
    for split in ("train", "test"):
        images, labels = stl10[split]
        source = aw.open_source("stl10", split)
        assert source.labels.tolist() == labels.tolist()
        assert np.array_equal(source[7][0].numpy(), images[7].transpose(2, 0, 1))
    assert (source.class_names, source.name, source.flip) == (STL_CLASSES, "stl10", True)
    assert len(aw.open_source(f"stl10:{tmp_path / 'stl10_binary'}")) == 20


def test_stl10_has_images_without_labels(stl10):
    source = aw.open_source("stl10-unlabelled", unlabelled=True)
    labels = stl10["train"][1].tolist()
    assert source.labels.tolist() == labels + [-1] * 8
    assert [source[i][1] for i in (0, 19, 20, -1)] == [labels[0], labels[19], -1, -1]
    everything = np.concatenate([stl10[part][0] for part in ("train", "unlabeled")]).transpose(0, 3, 1, 2)
    assert np.array_equal(np.stack([source[i][0].numpy() for i in range(28)]), everything)
    assert source.fingerprint(2) == aw.open_source("stl10").fingerprint(2)
    assert source.fingerprint(25) == hash_pixels(torch.from_numpy(np.ascontiguousarray(everything[25])))
    with pytest.raises(IndexError):
        source[28]
    assert aw.open_source("stl10-unlabelled", size=8, unlabelled=True)[27][0].shape == (3, 8, 8)
    assert aw.open_source("stl10-unlabelled", "test").labels.min() >= 0  # all of these have one


def test_stl10_keeps_the_labels_of_a_fold(stl10):
    labels = stl10["train"][1]
    for fold in (0, 7):
        source = aw.open_source(f"stl10-fold{fold}", unlabelled=True)
        rows = stl10["folds"][fold]
        assert np.flatnonzero(source.labels >= 0).tolist() == rows
        assert source.labels[rows].tolist() == labels[rows].tolist()
        assert len(source) == 28
    refused("stl10-fold10", "is unknown")


def test_images_without_labels_are_refused_with_the_cure(stl10):
    assert len(stl10["train"][1]) == 20
    refused("stl10-unlabelled", r"8 images without a label: use stl10.*--objective fixmatch --labelled")
    config = TrainConfig(data="stl10-unlabelled", quiet=True, tensorboard=False)
    with pytest.raises(UserError, match="use stl10, which has those with labels alone"):
        train(config)
    source = aw.open_source("stl10-unlabelled", unlabelled=True)
    test = aw.open_source("stl10", "test")
    with pytest.raises(UserError, match=r"8 of the 28 images of stl10 have no label \(-1\): leave them out, or train"):
        train(config, source=source, test=test)
    noisy = replace(config, learn=LearnConfig(objective="fixmatch", labelled=10, noise=0.5))
    with pytest.raises(UserError, match="without noise"):
        train(noisy, source=source, test=test)
    with pytest.raises(UserError, match="8 of the 28 images of stl10 have no label, so a share"):
        split_validation(source, 0.2, 0)


def test_labels_are_kept_among_those_that_are_there(stl10):
    source = aw.open_source("stl10-fold3", unlabelled=True)
    have = np.flatnonzero(source.labels >= 0)
    classes = len(np.unique(source.labels[have]))
    labels = np.unique(source.labels, return_inverse=True)[1] - 1  # without classes that this fold lacks
    assert labelled_rows(labels, 10, classes, 0).tolist() == have.tolist() == stl10["folds"][3]
    assert set(labelled_rows(labels, classes, classes, 1)) < set(have)
    with pytest.raises(UserError, match="labelled=11 are more than the 10 training images with a label"):
        labelled_rows(labels, 11, classes, 0)


def test_fixmatch_learns_from_images_that_never_had_a_label(stl10, tmp_path):
    assert 0 in stl10["train"][1]
    learn = LearnConfig(objective="fixmatch", labelled=10, unlabelled_ratio=2, epoch_steps=3, confidence=0.0)
    config = TrainConfig(
        data="stl10-unlabelled", size=16, epochs=2, batch_size=4, device="cpu", precision="fp32", quiet=True,
        tensorboard=False, learn=learn, out=tmp_path / "few",
    )  # fmt: skip
    results = train(config)
    assert len(results["curve"]) == 2
    kept = aw.open_source("stl10-unlabelled", subset=tmp_path / "few" / "labelled.npz")  # no -1 among them
    assert isinstance(kept, Subset)
    assert sorted(kept.labels) == list(range(10))
    told = EstimateConfig(
        data="stl10-unlabelled", size=16, run=tmp_path / "few", explain="predicted", out=tmp_path / "maps", quiet=True
    )
    store = estimate_maps(told, aw.GradientSaliency())
    assert store is not None
    assert (len(store), store.labels.min() >= 0) == (28, True)
    with pytest.raises(UserError, match="8 images without a label"):
        estimate_maps(replace(told, explain="given", out=tmp_path / "other"), aw.GradientSaliency())
    seen = Resident.load(aw.open_source("stl10-unlabelled", size=16, unlabelled=True), progress=False)
    assert seen.labels.tolist()[-8:] == [-1] * 8


def test_stl10_is_refused_where_it_is_damaged(stl10, tmp_path):
    assert stl10
    home = tmp_path / "stl10_binary"
    labels = (home / "train_y.bin").read_bytes()
    (home / "train_y.bin").write_bytes(labels[:-1])
    refused("stl10", "20 images but 19 labels")
    (home / "train_y.bin").write_bytes(bytes([11]) + labels[1:])
    refused("stl10", "label 11 of image 0 in .*train_y.bin is out of range: they go from 1 to 10")
    (home / "test_X.bin").write_bytes((home / "test_X.bin").read_bytes()[:-1])
    refused("stl10", r"test_X.bin has 276479 bytes, no whole number of images", "test")
    (home / "train_y.bin").write_bytes(labels)
    (home / "fold_indices.txt").write_text("0 1 2\n0 20\n0 x\n")
    refused("stl10-fold1", "names rows beyond the 20 images", unlabelled=True)
    refused("stl10-fold2", "has no rows of fold 2", unlabelled=True)
    refused("stl10-fold3", "has no rows of fold 3", unlabelled=True)
    (home / "unlabeled_X.bin").unlink()
    refused("stl10-unlabelled", r"stl10 lacks unlabeled_X.bin \(torchvision could not", unlabelled=True)


# Flowers-102


@pytest.fixture
def flowers(tmp_path):
    home = tmp_path / "flowers-102"
    pictures, _ = digits(12, 24)
    seen = [jpeg(home / "jpg" / f"image_{i + 1:05d}.jpg", picture[: 20 + i]) for i, picture in enumerate(pictures)]
    labels = np.array([1, 1, 102, 5, 5, 77, 1, 5, 102, 77, 77, 1])
    savemat(home / "imagelabels.mat", {"labels": labels[None]})
    ids = {"trnid": [[3, 1, 4]], "valid": [[2]], "tstid": [[12, 5, 6, 7, 8, 9, 10, 11]]}
    savemat(home / "setid.mat", ids)
    return seen, labels, {"train": [3, 1, 4], "val": [2], "test": [12, 5, 6, 7, 8, 9, 10, 11]}


def test_flowers_in_the_order_of_their_lists(flowers, tmp_path):
    seen, labels, splits = flowers
    for split, ids in splits.items():
        source = aw.open_source("flowers102", split)
        assert source.labels.tolist() == [labels[i - 1] - 1 for i in ids]
        assert all(np.array_equal(source[n][0].numpy(), seen[i - 1]) for n, i in enumerate(ids))
    assert (source.class_names[0], source.class_names[101]) == ("pink primrose", "blackberry lily")
    assert (len(source.class_names), source.flip, source.name) == (102, True, "flowers102")
    assert len(aw.open_source(f"flowers102:{tmp_path / 'flowers-102'}", "test", size=8)) == 8


def test_flowers_that_are_missing_or_broken(flowers, tmp_path):
    assert len(flowers[0]) == 12
    home = tmp_path / "flowers-102"
    (home / "jpg" / "image_00001.jpg").write_bytes(b"\xff\xd8 no more")
    with pytest.raises(UserError, match=r"image_00001\.jpg"):
        aw.open_source("flowers102")[1]
    source = aw.open_source("flowers102", broken="skip", progress=False)
    assert source.labels.tolist() == [101, 4]
    assert [file.file for file in left_out(source)] == [str(home / "jpg" / "image_00001.jpg")]
    (home / "jpg" / "image_00004.jpg").unlink()
    refused("flowers102", "lacks 1 of the 3 images that .*setid.mat names, image_00004.jpg the first")
    assert len(aw.open_source("flowers102", broken="skip", progress=False)) == 1
    refused("flowers102", "broken='drop' is unknown", broken="drop")
    savemat(home / "setid.mat", {"trnid": [[1]], "valid": [[13]], "tstid": [[1]]})
    refused("flowers102", r"setid.mat names images from 13 to 13, but imagelabels.mat has 12 labels", "val")
    savemat(home / "imagelabels.mat", {"labels": [[103, 1]]})
    refused("flowers102", "label 103 of image 0")


# what is not there


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", r"mnist lacks train-images-idx3-ubyte \(torchvision could not fetch it.*MNIST/raw.*t10k-labels-idx1"),
        ("svhn", r"svhn lacks train_32x32.mat \(torchvision could not fetch it.*test_32x32.mat.*housenumbers"),
        ("stl10", r"stl10 lacks train_X.bin \(torchvision could not fetch it.*fold_indices.txt.*stl10_binary.tar.gz"),
        ("flowers102", r"flowers102 lacks imagelabels.mat \(torchvision could not fetch it.*setid.mat.*102flowers.tgz"),
        ("tiny-imagenet", r"lacks wnids.txt.*train/WNID/images/\*.JPEG.*val_annotations.txt.*tiny-imagenet-200.zip"),
        ("imagenet", r"lacks the folders of its classes.*train/WNID/\*.JPEG.*LOC_val_solution.csv.*image-net.org"),
    ],
)
def test_what_is_not_there_says_where_it_belongs(name, message, tmp_path):
    refused(name, message + r".*DIR names another folder, and the environment variable AUGWISE_DATA")
    refused(f"{name}:{tmp_path}/nowhere", r"names no folder: give the one that holds")
    if name in ("mnist", "svhn", "stl10"):
        refused(name, "has no split 'val'.*split_validation", "val")


def test_cifar_may_name_its_folder_too(tmp_path, monkeypatch):
    refused(f"cifar10:{tmp_path}/nowhere", "names no folder: give the one that holds cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "url", "file:///nowhere/cifar-10-python.tar.gz")
    (tmp_path / "here").mkdir()
    refused(f"cifar10:{tmp_path}/here", "is not in .*here and could not be downloaded")


def test_torchvision_is_asked_for_what_is_missing(svhn, tmp_path, monkeypatch):
    assert len(svhn) == 2
    (tmp_path / "svhn" / "test_32x32.mat").rename(tmp_path / "kept.mat")

    def fetched(root, split, download):
        assert download
        (tmp_path / "kept.mat").rename(root / f"{split}_32x32.mat")

    monkeypatch.setattr(datasets, "SVHN", fetched)
    assert len(aw.open_source("svhn", "test")) == 5
