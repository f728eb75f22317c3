"""ImageNet and Tiny-ImageNet from folders as their publishers lay them out, made here of real small pictures."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.io import savemat

import augwise as aw
from augwise.analysis.analyse_natural import class_folders, read_mapping
from augwise.data import left_out
from augwise.data.imagenet import class_names, names_by_wnid
from augwise.errors import UserError
from reference.published_toys import digits, jpeg


def refused(spec, message, split="train", **ways):
    with pytest.raises(UserError, match=message):
        aw.open_source(spec, split, **ways)


# Tiny-ImageNet

WORDS = {
    "n03126707": "crane",
    "n02012849": "crane, wading bird",
    "n02124075": "Egyptian cat",
    "n01443537": "goldfish, Carassius auratus",
}


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Four classes; wnids.txt is not sorted, words.txt has more words, val has annotations, one picture is grey."""
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path))
    home = tmp_path / "tiny-imagenet-200"
    pictures, _ = digits(24, 64)
    seen = {}
    for n, wnid in enumerate(WORDS):
        for i in range(3):
            picture = pictures[3 * n + i]
            file = home / "train" / wnid / "images" / f"{wnid}_{i}.JPEG"
            seen[file.name] = jpeg(file, picture[..., 0] if i == 1 else picture)
        (home / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t10\t63\t58\n")
    rows, order = [], [1, 3, 3, 0, 2, 1, 0, 2, 1, 3, 0, 2]
    for i, n in enumerate(order):
        seen[f"val_{i}.JPEG"] = jpeg(home / "val" / "images" / f"val_{i}.JPEG", pictures[12 + i])
        rows.append(f"val_{i}.JPEG\t{list(WORDS)[n]}\t0\t32\t44\t62\n")
    (home / "val" / "val_annotations.txt").write_text("".join(rows))
    (home / "wnids.txt").write_text("\n".join(WORDS) + "\n")
    more = {**WORDS, "n00001740": "entity"}
    (home / "words.txt").write_text("".join(f"{wnid}\t{words}\n" for wnid, words in sorted(more.items())))
    return home, seen, [list(WORDS)[n] for n in order]


def test_tiny_imagenet_numbers_classes_by_wordnet_id(tiny, tmp_path):
    home, seen, order = tiny
    train, val = aw.open_source("tiny-imagenet"), aw.open_source("tiny-imagenet", "val")
    wnids = sorted(WORDS)
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert train.class_names == ["goldfish", "crane, wading bird", "Egyptian cat", "crane"]
    files = [f"{wnid}_{i}.JPEG" for wnid in wnids for i in range(3)]
    assert all(np.array_equal(train[n][0].numpy(), seen[file]) for n, file in enumerate(files))
    assert val.labels.tolist() == [wnids.index(wnid) for wnid in order]
    assert all(np.array_equal(val[i][0].numpy(), seen[f"val_{i}.JPEG"]) for i in range(12))
    assert (train.name, train.flip, val.class_names) == ("tiny-imagenet", True, train.class_names)
    test = aw.open_source(f"tiny-imagenet:{home}", "test")
    assert test.labels.tolist() == val.labels.tolist()
    assert len(aw.open_source(f"tiny-imagenet:{tmp_path}")) == 12
    assert train.fingerprint(0) != train.fingerprint(1)


def test_tiny_imagenet_sorted_into_folders(tiny):
    home, _, order = tiny
    for i, wnid in enumerate(order):
        (home / "val" / wnid).mkdir(exist_ok=True)
        (home / "val" / "images" / f"val_{i}.JPEG").rename(home / "val" / wnid / f"val_{i}.JPEG")
    (home / "val" / "images").rmdir()
    (home / "val" / "val_annotations.txt").unlink()
    assert aw.open_source("tiny-imagenet", "test").labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_tiny_imagenet_is_refused_where_it_is_damaged(tiny):
    home, _, _ = tiny
    notes = (home / "val" / "val_annotations.txt").read_text()
    (home / "val" / "val_annotations.txt").write_text(notes.replace("n02124075", "n02124076", 1))
    refused("tiny-imagenet", r"line 5 of .*val_annotations.txt .*names none of the 4 classes", "val")
    (home / "val" / "val_annotations.txt").write_text(notes)
    (home / "val" / "images" / "val_7.JPEG").unlink()
    (home / "val" / "images" / "val_9.JPEG").write_bytes(b"no picture")
    refused("tiny-imagenet", "lacks 1 of the 12 images .*val_7.JPEG the first", "test")
    source = aw.open_source("tiny-imagenet", "val", broken="skip", progress=False)
    assert len(source) == 10
    assert [file.file[-10:] for file in left_out(source)] == ["val_7.JPEG", "val_9.JPEG"]
    (home / "val" / "val_annotations.txt").unlink()
    refused("tiny-imagenet", "lacks val_annotations.txt in .*val: the folder should hold wnids.txt", "val")
    extra = home / "train" / "n99999999" / "images"
    extra.mkdir(parents=True)
    refused("tiny-imagenet", "n99999999 is none of the 4 classes of tiny-imagenet.*folder:DIR")
    extra.rmdir()
    extra.parent.rmdir()
    for file in (home / "train" / "n02124075" / "images").iterdir():
        file.unlink()
    refused("tiny-imagenet", "lacks images of class n02124075 in .*train/n02124075")
    words = (home / "words.txt").read_text()
    (home / "words.txt").write_text(words.replace("n02124075\t", ""))
    refused("tiny-imagenet", "words.txt has no words for n02124075")
    (home / "wnids.txt").write_text("n02124075\nn02124075\n")
    refused("tiny-imagenet", "wnids.txt names n02124075 twice")


# ImageNet


@pytest.fixture(scope="module")
def wnids():
    """1 000 ids in the form of WordNet's; which they are is not to be known from the names of the classes."""
    return [f"n{1440764 + 7 * i:08d}" for i in range(1000)]


@pytest.fixture
def imagenet(tmp_path, wnids):
    """Every class with one picture, the first with two; ten validation images, flat, and no labels of them yet."""
    tmp_path = tmp_path / "imagenet"
    tmp_path.mkdir()
    pictures, _ = digits(40, 16)
    seen = {}
    files = [jpeg(tmp_path / f"{i}.tmp", picture[: 10 + i % 6]) for i, picture in enumerate(pictures)]
    for i, wnid in enumerate(wnids):
        (tmp_path / "train" / wnid).mkdir(parents=True)
        data = (tmp_path / f"{i % 40}.tmp").read_bytes()
        (tmp_path / "train" / wnid / f"{wnid}_10026.JPEG").write_bytes(data)
        seen[wnid] = files[i % 40]
    (tmp_path / "train" / wnids[0] / f"{wnids[0]}_10027.JPEG").write_bytes((tmp_path / "5.tmp").read_bytes())
    (tmp_path / "val").mkdir()
    for i in range(10):
        name = f"ILSVRC2012_val_{i + 1:08d}.JPEG"
        (tmp_path / "val" / name).write_bytes((tmp_path / f"{30 + i}.tmp").read_bytes())
        seen[name] = files[30 + i]
    for file in tmp_path.glob("*.tmp"):
        file.unlink()
    return tmp_path, seen


LABELS = [3, 999, 0, 3, 512, 7, 7, 638, 639, 1]


def devkit(home, wnids, labels=LABELS, numbers=None):
    """The publishers' lists; their numbers of the classes are not in the order of the ids."""
    numbers = list(np.random.default_rng(0).permutation(1000) + 1) if numbers is None else numbers
    data = home / "ILSVRC2012_devkit_t12" / "data"
    data.mkdir(parents=True, exist_ok=True)
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("gloss", "O"), ("num_children", "O")]
    synsets = np.empty((len(wnids) + 1, 1), dtype=fields)
    for row, (number, wnid) in enumerate(sorted(zip(numbers, wnids, strict=True))):
        synsets[row, 0] = (float(number), wnid, "tench, Tinca tinca", "a fish", 0.0)
    synsets[len(wnids), 0] = (float(len(wnids) + 1), "n00015388", "animal", "a living organism", 2.0)
    savemat(data / "meta.mat", {"synsets": synsets})
    text = "".join(f"{numbers[label]}\n" for label in labels)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text(text)
    return data


def solution(home, wnids, labels=LABELS):
    """Kaggle's list; its rows are in no order, and some images have several boxes."""
    rows = [f"ILSVRC2012_val_{i + 1:08d},{wnids[label]} 85 1 499 272 " for i, label in enumerate(labels)]
    rows[2] += f"{wnids[labels[2]]} 3 4 5 6 "
    (home / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + "\n".join(reversed(rows)) + "\n")


def check_val(source, seen):
    assert source.labels.tolist() == LABELS
    for i in range(10):
        assert np.array_equal(source[i][0].numpy(), seen[f"ILSVRC2012_val_{i + 1:08d}.JPEG"])


def test_imagenet_trains_on_folders(imagenet, wnids):
    home, seen = imagenet
    source = aw.open_source(f"imagenet:{home}")
    assert source.labels.tolist() == [0, *range(1000)]
    assert source.class_names == class_names()
    assert (source.class_names[0], source.class_names[999], len(set(source.class_names))) == (
        "tench",
        "toilet tissue",
        1000,
    )
    assert all(np.array_equal(source[i + 1][0].numpy(), seen[wnids[i]]) for i in (1, 44, 999))
    assert (source.name, source.flip) == ("imagenet", True)
    (home / "train" / wnids[5] / f"{wnids[5]}_1.JPEG").write_bytes(b"no picture")
    assert len(aw.open_source(f"imagenet:{home}")) == 1002
    assert len(aw.open_source(f"imagenet:{home}", broken="skip", progress=False)) == 1001


def test_class_names_are_in_the_order_of_wordnet_ids():
    timm = pytest.importorskip("timm.data")
    info = timm.ImageNetInfo()
    assert info.label_names() == sorted(info.label_names())
    theirs = [info.index_to_description(i).lower() for i in range(1000)]
    differ = [ours for ours, words in zip(class_names(), theirs, strict=True) if ours.lower() not in words]
    assert differ == ["crane bird", "maillot tank suit"]  # torchvision tells two pairs of namesakes apart


def test_imagenet_validates_by_folders_or_by_either_list(imagenet, wnids):
    home, seen = imagenet
    refused(f"imagenet:{home}", r"lacks labels of the images in val \(ILSVRC2012_validation_ground_truth.txt", "val")
    devkit(home, wnids)
    check_val(aw.open_source(f"imagenet:{home}", "val"), seen)
    check_val(aw.open_source(f"imagenet:{home}", "test"), seen)
    (home / "ILSVRC2012_devkit_t12").rename(home / "elsewhere")
    solution(home, wnids)
    check_val(aw.open_source(f"imagenet:{home}", "val"), seen)
    for i, label in enumerate(LABELS):
        (home / "val" / wnids[label]).mkdir(exist_ok=True)
        name = f"ILSVRC2012_val_{i + 1:08d}.JPEG"
        (home / "val" / name).rename(home / "val" / wnids[label] / name)
    (home / "LOC_val_solution.csv").unlink()
    source = aw.open_source(f"imagenet:{home}", "test")
    assert source.labels.tolist() == sorted(LABELS)
    assert np.array_equal(source[2][0].numpy(), seen["ILSVRC2012_val_00000001.JPEG"])


def test_imagenet_validates_without_training_images(imagenet, wnids):
    home, seen = imagenet
    (home / "train").rename(home / "gone")
    refused(f"imagenet:{home}", "lacks the folders of its classes", "val")
    data = devkit(home, wnids)
    check_val(aw.open_source(f"imagenet:{home}", "val"), seen)
    refused(f"imagenet:{home}", "lacks train in")
    for file in data.iterdir():  # beside val, as some have them
        file.rename(home / file.name)
    data.rmdir()
    data.parent.rmdir()
    check_val(aw.open_source(f"imagenet:{home}", "val"), seen)
    (home / "meta.mat").unlink()
    (home / "LOC_synset_mapping.txt").write_text("".join(f"{wnid} tench, Tinca tinca\n" for wnid in wnids))
    refused(f"imagenet:{home}", "lacks meta.mat", "val")
    solution(home, wnids)
    check_val(aw.open_source(f"imagenet:{home}", "val"), seen)


def test_imagenet_as_kaggle_has_it(imagenet, wnids):
    home, seen = imagenet
    inside = home / "ILSVRC" / "Data" / "CLS-LOC"
    inside.mkdir(parents=True)
    (home / "train").rename(inside / "train")
    (home / "val").rename(inside / "val")
    solution(home, wnids)
    check_val(aw.open_source(f"imagenet:{home}", "val"), seen)
    assert len(aw.open_source(f"imagenet:{home}")) == 1001


def test_imagenet_is_refused_where_it_is_not_whole(imagenet, wnids):
    home, _ = imagenet
    spec = f"imagenet:{home}"
    devkit(home, wnids, [*LABELS, 5])
    refused(spec, "lacks 1 of the 11 images .*ground_truth.txt names, ILSVRC2012_val_00000011.JPEG the first", "val")
    devkit(home, [*wnids[:-1], "n09999999"])
    refused(spec, "names the class n09999999, which is none of the 1000", "val")
    data = devkit(home, wnids, numbers=[1, *range(1, 1000)])
    refused(spec, "does not number its 1000 classes from 1", "val")
    devkit(home, wnids)
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("1001\n")
    refused(spec, "label 1001 of image 0 .*they go from 1 to 1000", "val")
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("n01440764\n")
    refused(spec, "has a line that is no number", "val")
    savemat(data / "meta.mat", {"synsets": [1, 2]})
    (data / "ILSVRC2012_validation_ground_truth.txt").write_text("1\n")
    refused(spec, "is not ImageNet's meta.mat", "val")
    (home / "LOC_val_solution.csv").write_text("ImageId,PredictionString\nILSVRC2012_val_00000001,cat 1 2 3 4\n")
    refused(spec, "line 2 of .*LOC_val_solution.csv .*not file,WNID and a box", "val")
    (home / "train" / "cats").mkdir()
    refused(spec, "train has 'cats', which is no WordNet id")
    (home / "train" / "cats").rename(home / "cats")
    (home / "train" / wnids[7]).rename(home / "gone")
    refused(spec, "train has 999 classes; ImageNet-1k has 1000 classes.*read a part of it by folder:DIR")
    (home / "train" / wnids[7]).mkdir()
    refused(spec, f"lacks images of class {wnids[7]}")


# names for ImageNet-A and ImageNet-O


def test_their_folders_get_names_from_either_set(imagenet, tiny, wnids, tmp_path):
    home, _ = imagenet
    named = names_by_wnid(home)
    assert (named[wnids[0]], named[wnids[134]], len(named)) == ("tench", "crane bird", 1000)
    assert names_by_wnid(tiny[0])["n02012849"] == "crane, wading bird"
    hard = tmp_path / "imagenet-a"
    for wnid in (wnids[6], wnids[994]):
        jpeg(hard / wnid / "0.001_fox_0.9.jpg", digits(1)[0][0])
    mapping = read_mapping(home, class_names())
    assert mapping == {wnid: i for i, wnid in enumerate(wnids)}
    source = class_folders(hard, mapping, class_names())
    assert source.labels.tolist() == [6, 994]
    assert [source.class_names[label] for label in source.labels] == ["stingray", "stinkhorn"]
    part = tmp_path / "map.json"
    part.write_text(json.dumps({wnid: named[wnid] for wnid in wnids[:9]}))
    assert read_mapping(part, class_names()) == {wnid: i for i, wnid in enumerate(wnids[:9])}
    with pytest.raises(UserError, match=r"maps .* to 'tench', which is no class of the runs"):
        read_mapping(home, ["cat", "dog"])
