"""npz:FILE reads what it should and names what it should not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from augwise.data import open_source
from augwise.errors import UserError


def write(path, **changes):
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (6, 5, 7, 3), dtype=np.uint8),
        "train_labels": np.array([0, 1, 2, 0, 1, 2]),
        "test_images": rng.integers(0, 256, (2, 5, 7, 3), dtype=np.uint8),
        "test_labels": np.array([1, 0]),
        "class_names": np.array(["ant", "bee", "cat"]),
    } | changes
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    return arrays


def test_reads_pixels_labels_and_names(tmp_path):
    arrays = write(tmp_path / "bugs.npz")
    source = open_source(f"npz:{tmp_path / 'bugs.npz'}")
    image, label = source[4]
    assert np.array_equal(image.permute(1, 2, 0).numpy(), arrays["train_images"][4])
    assert (label, source.class_names, source.name, len(source)) == (1, ["ant", "bee", "cat"], "bugs", 6)
    assert source.labels.dtype == np.int64
    image.zero_()  # an image handed out is the caller's own
    assert source[4][0].any()


def test_grey_images_and_column_labels_as_in_medmnist(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (6, 5, 7), dtype=np.uint8)
    write(tmp_path / "a.npz", train_images=grey, train_labels=np.array([[0], [1], [4], [0], [1], [2]], np.uint8),
          class_names=None)  # fmt: skip
    source = open_source(f"npz:{tmp_path / 'a.npz'}")
    assert source[1][0].shape == (1, 5, 7)
    assert np.array_equal(source[1][0][0].numpy(), grey[1])
    assert source.class_names == ["0", "1", "2", "3", "4"]
    assert open_source(f"npz:{tmp_path / 'a.npz'}", "test").class_names == source.class_names


def test_test_falls_back_to_val_but_val_to_nothing(tmp_path):
    arrays = write(tmp_path / "a.npz")
    write(tmp_path / "b.npz", test_images=None, test_labels=None, val_images=arrays["test_images"],
          val_labels=arrays["test_labels"])  # fmt: skip
    assert torch.equal(open_source(f"npz:{tmp_path / 'b.npz'}", "test")[1][0],
                       open_source(f"npz:{tmp_path / 'a.npz'}", "test")[1][0])  # fmt: skip
    with pytest.raises(UserError, match="val_images"):
        open_source(f"npz:{tmp_path / 'a.npz'}", "val")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_labels": None}, "no 'train_labels'"),
        ({"train_images": np.zeros((6, 5, 7, 3), np.float32)}, "float32.*uint8"),
        ({"train_images": np.zeros((6, 3, 5, 7), np.uint8)}, "transpose"),
        ({"train_images": np.zeros((6, 35), np.uint8)}, r"\(6, 35\)"),
        ({"train_images": np.zeros((5, 5, 7, 3), np.uint8)}, "5 images but 6 labels"),
        ({"train_labels": np.array([0, 1, 3, 0, 1, 2])}, "label 3 of image 2"),
        ({"train_labels": np.array([0, 1, 2, 0, -1, 2])}, "label -1 of image 4"),
        ({"train_labels": np.array([0, 1, 2, 0, 1, 2.0])}, "float64"),
        ({"train_labels": np.eye(6, dtype=int)}, r"shape \(6, 6\)"),
        ({"train_labels": np.array([0, 1, 2, 0, 1, {}], dtype=object)}, "pickle"),
    ],
)
def test_bad_archives_are_named(tmp_path, changes, message):
    write(tmp_path / "bad.npz", **changes)
    with pytest.raises(UserError, match=message):
        open_source(f"npz:{tmp_path / 'bad.npz'}")


def test_damaged_missing_and_wrong_files(tmp_path):
    whole = tmp_path / "whole.npz"
    write(whole)
    (tmp_path / "half.npz").write_bytes(whole.read_bytes()[:400])
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", np.zeros(3))
    for name in ("half.npz", "text.npz", "one.npy", "none.npz"):
        with pytest.raises(UserError, match=name):
            open_source(f"npz:{tmp_path / name}")


def test_a_missing_test_split_is_called_by_its_name(tmp_path):
    path = tmp_path / "half.npz"
    np.savez(path, train_images=np.zeros((2, 4, 4, 3), np.uint8), train_labels=np.array([0, 1]))
    with pytest.raises(UserError, match=r"no 'test_images'.*--val-share"):
        open_source(f"npz:{path}", "test")
