"""Any map-style data set becomes a source, or says which image is at fault."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset as TorchSubset
from torch.utils.data import TensorDataset

from augwise.data import ArraySource, Source, WithImportance, as_source, open_source
from augwise.errors import UserError
from augwise.importance.rows import Rows


class Items(torch.utils.data.Dataset):
    """Items as given, and any attributes."""

    def __init__(self, images, labels, **attributes):
        self.images, self.own = images, labels
        self.reads = 0
        self.__dict__.update(attributes)

    def __len__(self):
        return len(self.own)

    def __getitem__(self, i):
        self.reads += 1
        return self.images[i], self.own[i]


def pixels(n=5, h=4, w=6, c=3):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, c, h, w), dtype=np.uint8))


LABELS = [0, 2, 1, 2, 0]


def test_a_source_passes_and_a_reader_gives_its_own():
    source = open_source("digits", "test")
    assert as_source(source) is source
    assert as_source(WithImportance(source)) is source
    part = as_source(TorchSubset(source, [7, 3]))
    assert part.fingerprint(1) == source.fingerprint(3)
    assert part.flip is False


def test_every_form_of_an_image_is_the_same_content():
    raw = pixels()
    forms = {
        "uint8": raw,
        "float": raw / 255,
        "PIL": [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in raw],
        "array": [x.permute(1, 2, 0).numpy() for x in raw],
    }
    plain = ArraySource(raw, np.array(LABELS), ["a", "b", "c"], "plain")
    for form, images in forms.items():
        source = as_source(Items(images, LABELS))
        assert isinstance(source, Source)
        assert torch.equal(source[3][0], raw[3]), form
        assert source[3][1] == 2
        assert [source.fingerprint(i) for i in range(5)] == [plain.fingerprint(i) for i in range(5)], form
    assert as_source(TensorDataset(raw, torch.tensor(LABELS))).labels.tolist() == LABELS


def test_an_image_handed_out_is_the_callers_own():
    raw = pixels()
    as_source(Items(raw, LABELS))[1][0].zero_()
    assert raw[1].any()


def test_rows_by_name_are_the_same_as_pairs():
    """As Hugging Face's data sets give them, to train with and to estimate maps of."""

    class Named(Items):
        def __getitem__(self, i):
            image, label = super().__getitem__(i)
            return {"label": label, "file": "x.png", "image": Image.fromarray(image.permute(1, 2, 0).numpy())}

    pairs, named = as_source(Items(pixels(), LABELS)), as_source(Named(pixels(), LABELS))
    assert torch.equal(named[3][0], pairs[3][0])
    assert named.labels.tolist() == LABELS
    assert Rows(Named(pixels(), LABELS)).hashes().tolist() == [pairs.fingerprint(i) for i in range(5)]


def test_what_else_an_item_holds_is_left_alone():
    class More(Items):
        def __getitem__(self, i):
            return *super().__getitem__(i), {"file": f"{i}.png"}, 5

    pairs, more = as_source(Items(pixels(), LABELS)), as_source(More(pixels(), LABELS))
    assert torch.equal(more[3][0], pairs[3][0])
    assert more.labels.tolist() == LABELS
    assert Rows(More(pixels(), LABELS)).labels().tolist() == LABELS


def test_labels_are_believed_where_they_agree_with_the_items():
    labels = [i % 3 for i in range(100)]
    said = Items(pixels(100), labels, targets=labels)
    assert as_source(said).labels.tolist() == labels
    assert said.reads < 100
    subset = TorchSubset(said, [5, 7, 9, 98])
    assert as_source(subset).labels.tolist() == [2, 1, 0, 2]


@pytest.mark.parametrize("attributes", [{"targets": [0] * 20}, {"targets": list(range(20)), "target_transform": len}])
def test_labels_are_read_where_they_do_not(attributes):
    labels = [i % 4 for i in range(20)]
    assert as_source(Items(pixels(20), labels, **attributes)).labels.tolist() == labels


def test_class_names():
    assert as_source(Items(pixels(), LABELS, classes=["x", "y", "z", "unused"])).class_names == [
        "x",
        "y",
        "z",
        "unused",
    ]
    assert as_source(Items(pixels(), LABELS)).class_names == ["0", "1", "2"]


def test_a_minimal_source_keeps_its_own_fingerprint():
    class Minimal(Items):
        def fingerprint(self, i):
            return 1000 + i

    assert as_source(Minimal(pixels(), LABELS)).fingerprint(3) == 1003


def broken(change):
    images = list(pixels() / 255)
    images[2] = images[2].clone()
    images[2].view(-1)[7] = change
    return Items(images, LABELS)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (broken(float("nan")), "image 2.*nan"),
        (broken(-0.5), r"image 2.*-0\.5"),
        (broken(1.75), r"image 2.*1\.75.*normalis"),
        (Items(pixels().long(), LABELS), "int64"),
        (Items(pixels()[:, 0], LABELS), r"\(4, 6\)"),
        (Items(["a.png"] * 5, LABELS), "str"),
        (Items(pixels(), [0, 2, 7, 1, 0], classes=["a", "b", "c"]), "label 7 of image 2"),
        (Items(pixels(), [0, 2, 1, -1, 0]), "image 3.*label is -1"),
        (Items(pixels(), [0, 2, 1.5, 1, 0]), r"image 2.*1\.5"),
        (Items(pixels(), [0, 2, 1, True, 0]), "image 3.*label is True"),
        (Items(pixels(), torch.eye(5)), "image 0.*one class index"),
        (Items(pixels(), []), "empty"),
        (pixels(), "image 0.*an item is a Tensor"),
        ([{"image": pixels()[0], "answer": 1}], "image, answer"),
        (iter([]), "no length"),
    ],
)
def test_bad_data_sets_are_named(dataset, message):
    with pytest.raises(UserError, match=message):
        as_source(dataset)


def test_random_transforms_are_found():
    class Noisy(Items):
        def __getitem__(self, i):
            return torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8), 0

    with pytest.raises(UserError, match=r"read twice.*WithImportance"):
        as_source(Noisy(pixels(), LABELS))
