"""The embedded digits are scikit-learn's, in a fixed stratified split."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest
import torch

from augwise.data import open_source
from augwise.errors import UserError


def test_embedded_file_is_load_digits_unchanged():
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    with np.load(str(resources.files("augwise.data") / "digits.npz"), allow_pickle=False) as ours:
        assert np.array_equal(ours["images"], theirs.images)
        assert np.array_equal(ours["labels"], theirs.target)


def test_split_is_disjoint_complete_and_stratified():
    with np.load(str(resources.files("augwise.data") / "digits.npz"), allow_pickle=False) as ours:
        order, sizes = ours["order"], np.bincount(ours["labels"])
    train, test = open_source("digits"), open_source("digits", "test")
    assert sorted(order.tolist()) == list(range(1797))
    assert (len(train), len(test)) == (1000, 797)
    assert np.array_equal(np.bincount(train.labels) + np.bincount(test.labels), sizes)
    assert np.abs(np.bincount(train.labels) - sizes * 1000 / 1797).max() < 1


def test_images_are_enlarged_grey_digits_that_must_not_be_flipped():
    source = open_source("digits")
    image, label = source[3]
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.uint8
    assert torch.equal(image[0], image[2])
    assert label == source.labels[3]
    assert image.float().std() > 40  # ink and paper: 16 became 255
    assert source.flip is False
    assert source.class_names == [str(d) for d in range(10)]


def test_upsampling_is_bilinear_pixel_by_pixel():
    with np.load(str(resources.files("augwise.data") / "digits.npz"), allow_pickle=False) as ours:
        small = ours["images"][ours["order"][5]].astype(float) * 255 / 16
    image, _ = open_source("digits")[5]
    for y, x in [(0, 0), (9, 21), (31, 2), (17, 14)]:
        v, u = (np.clip((p + 0.5) / 4 - 0.5, 0, 7) for p in (y, x))
        (i, j), (a, b) = (int(v), int(u)), (v % 1, u % 1)
        k, m = min(i + 1, 7), min(j + 1, 7)
        top, bottom = (1 - b) * small[i, j] + b * small[i, m], (1 - b) * small[k, j] + b * small[k, m]
        assert abs(image[0, y, x].item() - ((1 - a) * top + a * bottom)) <= 0.51


def test_there_is_no_validation_split():
    with pytest.raises(UserError, match="split_validation"):
        open_source("digits", "val")
