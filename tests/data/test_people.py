"""Market-1501 and CUHK03 from files in their publishers' own forms, made here of digits; no photographs of people."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat
from torch import nn

import augwise as aw
from augwise.data import Relabelled, Resized, Subset, left_out, who_is_who
from augwise.data.digit_people import _Digits
from augwise.data.digits import open_digits
from augwise.errors import UserError
from augwise.importance_map import ImportanceMap
from augwise.randomness import generator
from reference.published_toys import digits, jpeg


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path))


def refused(spec, message, split="train", **ways):
    with pytest.raises(UserError, match=message):
        aw.open_source(spec, split, **ways)


FILES = {
    "bounding_box_train": ["0002_c1s1_000451_03", "0002_c2s1_000776_01", "0007_c3s3_077419_03"],
    "query": ["0010_c5s2_000001_00", "0003_c1s1_000002_00"],
    "bounding_box_test": ["0003_c6s1_000003_01", "-1_c1s1_000401_03", "0000_c2s1_000151_01", "0010_c4s1_000009_01"],
}


@pytest.fixture
def market(tmp_path):
    home, pictures = tmp_path / "Market-1501-v15.09.15", iter(digits(9, 40)[0][:, :, :20])
    seen = {}
    for folder, names in FILES.items():
        for name in names:
            seen[name] = jpeg(home / folder / f"{name}.jpg", next(pictures))
        (home / folder / "Thumbs.db").write_bytes(b"of another program")
    return home, seen


def test_market1501_by_split(market, tmp_path):
    home, seen = market
    train = aw.open_source("market1501")
    assert train.class_names == ["0002", "0007"]
    assert train.labels.tolist() == [0, 0, 1]
    assert np.array_equal(train[2][0].numpy(), seen["0007_c3s3_077419_03"])
    assert (train.name, train.flip, train.image_size(0)) == ("market1501", True, (40, 20))
    assert who_is_who(train).cameras.tolist() == [1, 2, 3]
    query = aw.open_source(f"market1501:{home}", "query")
    assert who_is_who(query).identities.tolist() == [3, 10]
    gallery = aw.open_source(f"market1501:{tmp_path}", "gallery")
    assert gallery.class_names == ["-1", "0000", "0003", "0010"]
    assert who_is_who(gallery).cameras.tolist() == [1, 2, 6, 4]
    test = aw.open_source("market1501", "test")
    who = who_is_who(test)
    assert who.asked.tolist() == [True, True, False, False, False, False]
    assert who.identities.tolist() == [3, 10, -1, 0, 3, 10]
    assert [test.class_names[label] for label in test.labels] == ["0003", "0010", "-1", "0000", "0003", "0010"]


@pytest.mark.usefixtures("market")
def test_who_is_who_behind_other_sources():
    source = aw.open_source("market1501", "test")
    part = Subset(Resized(Subset(Relabelled(source, source.labels), [5, 3, 1]), (8, 4)), [2, 0])
    who = who_is_who(part)
    assert (who.identities.tolist(), who.cameras.tolist(), who.asked.tolist()) == ([10, 10], [5, 4], [True, False])
    assert part[0][0].shape == (3, 8, 4)
    with pytest.raises(UserError, match="digits does not say which camera"):
        who_is_who(aw.open_source("digits"))


def test_market1501_is_refused_where_it_is_laid_out_otherwise(market, tmp_path):
    home, _ = market
    refused("market1501", "no split 'val': use train, query, gallery, test", "val")
    refused("digits", "split 'query' is unknown", "query")
    refused("folder:x", "split 'gallery' is unknown", "gallery")
    refused(f"market1501:{tmp_path / 'nowhere'}", "names no folder")
    (home / "query" / "bus.jpg").write_bytes(b"")
    refused("market1501", r"bus\.jpg says neither whose image.*such as 0002_c1s1_000451_03", "test")
    (home / "query" / "bus.jpg").rename(home / "query" / "0004_s1_000451.jpg")
    refused("market1501", r"0004_s1_000451\.jpg says neither", "query")
    (home / "query" / "0004_s1_000451.jpg").rename(home / "query" / "-1_c1s1_000451_03.jpg")
    refused("market1501", "nobody can ask for it", "query")
    (home / "query" / "-1_c1s1_000451_03.jpg").rename(home / "bounding_box_train" / "0000_c1s1_000451_03.jpg")
    refused("market1501", "only the gallery may have")
    for file in (home / "bounding_box_test").iterdir():
        file.unlink()
    refused("market1501", r"lacks images in bounding_box_test in .*query, bounding_box_test.*https", "test")


def test_broken_images_of_people_stop_or_are_skipped_with_their_cameras(market):
    home, _ = market
    (home / "query" / "0003_c1s1_000002_00.jpg").write_bytes(b"\xff\xd8 no more")
    whole = aw.open_source("market1501", "test")
    with pytest.raises(UserError, match="0003_c1s1"):
        whole[0]
    rest = aw.open_source("market1501", "test", broken="skip", progress=False)
    assert len(rest) == 5
    assert [each.file for each in left_out(rest)] == [str(home / "query" / "0003_c1s1_000002_00.jpg")]
    who = who_is_who(rest)
    assert (who.identities.tolist(), who.cameras.tolist()) == ([10, -1, 0, 3, 10], [5, 1, 2, 6, 4])
    assert who.asked.tolist() == [True, False, False, False, False]


PAIRS = [(1, 1, 1, 1), (1, 1, 2, 6), (1, 2, 1, 2), (1, 2, 2, 7), (2, 1, 1, 3), (2, 1, 2, 10)]
"""Pair of cameras, person, camera and number of each image that the toy has."""


@pytest.fixture
def cuhk(tmp_path):
    """The list, and the archive with its empty cells; six images of three people, the second one trained on."""
    home = tmp_path / "cuhk03"
    (home / "cuhk03_release").mkdir(parents=True)
    pictures = digits(6, 24)[0][:, :, :10]
    files = ["{}_{:03d}_{}_{:02d}.png".format(*one) for one in PAIRS]
    for kind in ("detected", "labeled"):
        lists = {
            "filelist": np.array(files, dtype=object)[:, None], "labels": np.array([[1], [1], [2], [2], [768], [768]]),
            "train_idx": np.array([[3], [4]]), "query_idx": np.array([[1], [5]]), "gallery_idx": np.array([[2], [6]]),
        }  # fmt: skip
        savemat(home / f"cuhk03_new_protocol_config_{kind}.mat", lists)
    return home, files, pictures


def archive(home, pictures):
    h5py = pytest.importorskip("h5py", reason="the extra reid")
    with h5py.File(home / "cuhk03_release" / "cuhk-03.mat", "w") as file:
        for kind in ("detected", "labeled"):
            cells = []
            for pair, persons in ((1, 2), (2, 1)):
                inner = np.empty((10, persons), dtype=h5py.ref_dtype)
                for place, person in np.ndindex(10, persons):
                    known = {(p, q, n): i for i, (p, q, _, n) in enumerate(PAIRS)}
                    i = known.get((pair, person + 1, place + 1))
                    pixels = np.zeros(2, dtype=np.uint64) if i is None else pictures[i].transpose(2, 1, 0)
                    inner[place, person] = file.create_dataset(
                        f"#refs#/{kind}-{pair}-{place}-{person}", data=pixels
                    ).ref
                cells.append(file.create_dataset(f"#refs#/{kind}-{pair}", data=inner).ref)
            file[kind] = np.array([cells], dtype=h5py.ref_dtype)


def test_cuhk03_from_its_archive_once_and_from_images_afterwards(cuhk):
    home, files, pictures = cuhk
    refused("cuhk03", r"lacks images_detected \(and cuhk-03\.mat.*cuhk03_new_protocol_config_detected\.mat, and images")
    archive(home, pictures)
    for name, kind in (("cuhk03", "detected"), ("cuhk03-labeled", "labeled")):
        train = aw.open_source(name)
        assert train.class_names == ["0002"]
        assert np.array_equal(train[1][0].numpy(), pictures[3].transpose(2, 0, 1))
        assert sorted(file.name for file in (home / f"images_{kind}").iterdir()) == sorted(files)
    (home / "cuhk03_release" / "cuhk-03.mat").unlink()
    test = aw.open_source(f"cuhk03:{home}", "test")
    who = who_is_who(test)
    assert (who.identities.tolist(), who.cameras.tolist()) == ([1, 768, 1, 768], [1, 1, 2, 2])
    assert who.asked.tolist() == [True, True, False, False]
    assert who_is_who(aw.open_source("cuhk03", "gallery")).cameras.tolist() == [2, 2]


def test_cuhk03_is_refused_where_it_is_not_whole(cuhk, monkeypatch):
    home, files, pictures = cuhk
    (home / "cuhk03_release" / "cuhk-03.mat").write_bytes(b"no HDF5")
    pytest.importorskip("h5py", reason="the extra reid")
    refused("cuhk03", r"cuhk-03\.mat cannot be unpacked.*fetch the archive again")
    assert not list(home.glob("images_detected*"))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "h5py", None)
        refused("cuhk03", r"version 7\.3, which h5py reads: pip install augwise\[reid\]")
    (home / "images_detected").mkdir()
    for name, picture in list(zip(files, pictures, strict=True))[:5]:
        Image.fromarray(picture).save(home / "images_detected" / name)
    refused("cuhk03", r"lacks 1 of the 1 images that|lacks 1 of the 2 images", "gallery")
    config = home / "cuhk03_new_protocol_config_detected.mat"
    lists = {"labels": [[1]], "train_idx": [[9]], "query_idx": [[1]], "gallery_idx": [[1]]}
    savemat(config, {"filelist": np.array([["bus.png"]], dtype=object), **lists})
    refused("cuhk03", "numbers images of train that are not among its 1 files")
    refused("cuhk03", "names 'bus.png', which says no camera", "query")
    savemat(config, {"filelist": np.array([["bus.png"]], dtype=object)})
    refused("cuhk03", "but no labels: it is another file")
    config.unlink()
    refused("cuhk03", "lacks cuhk03_new_protocol_config_detected.mat")


def test_digit_people_are_written_once_and_the_same(tmp_path):
    train = aw.open_source("digit-people")
    assert np.bincount(train.labels).tolist() == [16] * 50
    test = aw.open_source("digit-people", "test")
    who, inside = who_is_who(test), set(who_is_who(train).identities)
    assert not inside & set(who.identities)
    asked = who.identities[who.asked]
    assert np.unique(asked, return_counts=True)[1].tolist() == [2] * 30
    assert {-1, 0} == set(who.identities[~who.asked]) - set(asked)
    assert test[0][0].shape == (3, 64, 32)
    light = torch.stack([test[i][0].float().mean((1, 2)) for i in range(len(test)) if who.identities[i] > 0])
    cameras = torch.tensor(who.cameras[who.identities > 0])
    assert bool((light[cameras == 1][:, 0] > light[cameras == 1][:, 2]).all())
    assert bool((light[cameras == 2][:, 0] < light[cameras == 2][:, 2]).all())
    before = [train.fingerprint(i) for i in (0, 77, 799)]
    other = tmp_path / "other"
    refused(f"digit-people:{other}", "names no folder: create it")
    other.mkdir()
    again = aw.open_source(f"digit-people:{other}")
    assert [again.fingerprint(i) for i in (0, 77, 799)] == before


def test_digit_people_are_pairs_of_digits_of_their_own_split():
    order = torch.randperm(100, generator=generator("digit people", "identities")).tolist()
    for split, first, number in (("train", 0, 1), ("test", 50, 2)):
        source, known = aw.open_source("digit-people", split), open_digits("train")
        who = who_is_who(source)
        means = torch.stack([known.images[known.labels == c, 0].float().mean(0).flatten() for c in range(10)])
        means = nn.functional.normalize(means - means.mean(1, keepdim=True))
        right = np.zeros(2)
        for i in range(30):
            for row in np.flatnonzero(who.identities == number + 2 * i)[:4]:
                halves = source[int(row)][0].float().mean(0).reshape(2, -1)
                said = ((halves - halves.mean(1, keepdim=True)) @ means.T).argmax(1).tolist()
                right += np.equal(said, divmod(order[first + i], 10))
        assert (right > 0.5 * 120).all()  # by chance a tenth; the upper digit is the first of the pair
        row = int(np.flatnonzero((who.identities == number) & (who.cameras == 2))[0])
        assert torch.equal(source[row][0], _Digits(split).picture(order[first], 2, 0, 0))


@pytest.mark.usefixtures("market")
def test_whole_images_are_stretched_to_height_and_width_and_maps_with_them():
    source = aw.open_source("market1501", size=(16, 10))
    assert source[0][0].shape == (3, 16, 10)
    assert source.image_size(1) == (16, 10)
    # it is the whole image: its map is found whatever the size
    assert source.fingerprint(0) == aw.open_source("market1501").fingerprint(0)
    assert source.fingerprint(0) != aw.open_source("market1501", size=10).fingerprint(0)
    from augwise.data.sources import shown

    peak = torch.zeros(40, 20)
    peak[30:, 15:] = 1.0
    small = shown(ImportanceMap(peak), (16, 10))
    assert small.shape == (16, 10)
    assert float(small.sum()) == pytest.approx(float(peak.sum()), rel=1e-5)
    peak_row, peak_column = divmod(int(small.flatten().argmax()), 10)
    assert peak_row >= 12
    assert peak_column >= 7
    for wrong in ((0, 4), (1, 2, 3), (), (2.5, 4)):
        with pytest.raises(UserError, match="is not a picture"):
            Resized(source, wrong)
    with pytest.raises(UserError, match="give one of both"):
        Resized(source, (8, 4), share=0.5)
