"""Opening, shortening, splitting and resizing of sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from augwise.data import ArraySource, Resized, Source, Subset, open_source, split_validation
from augwise.data.sources import centre_square
from augwise.errors import UserError
from augwise.fingerprints import hash_pixels

LABELS = np.repeat([0, 1, 2, 3], [40, 25, 3, 32])


def unbalanced(h=4, w=4):
    """100 different images, classes of 40, 25, 3 and 32, mixed."""
    images = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, h, w).contiguous()
    return ArraySource(images, np.random.default_rng(0).permutation(LABELS), list("abcd"), "unbalanced")


@pytest.mark.parametrize("spec", ["digit", "npz", "npz:", "folder", "stl10-folds", "", "cifar11", "digits:1"])
def test_unknown_names(spec):
    with pytest.raises(UserError, match=r"npz:FILE|folder:DIR"):
        open_source(spec)


def test_a_bare_file_name_and_an_unknown_split():
    with pytest.raises(UserError, match=r"did you mean 'npz:x\.npz'"):
        open_source("x.npz")
    with pytest.raises(UserError, match="'valid'"):
        open_source("digits", "valid")


def test_limit_is_seeded_balanced_nested_and_in_order():
    a, again, b = (open_source("digits", limit=95, seed=s) for s in (0, 0, 1))
    assert isinstance(a, Source)
    assert np.bincount(a.labels).tolist().count(9) == 5  # 95 = 5 · 10 + 5 · 9
    assert set(np.bincount(a.labels)) == {9, 10}
    assert isinstance(a, Subset)
    assert isinstance(again, Subset)
    assert isinstance(b, Subset)
    assert np.array_equal(a.rows, again.rows)
    assert not np.array_equal(a.rows, b.rows)
    assert np.array_equal(a.rows, np.sort(a.rows))
    smaller = open_source("digits", limit=30, seed=0)
    assert isinstance(smaller, Subset)
    assert set(smaller.rows) < set(a.rows)


def test_limit_beyond_a_small_class_takes_the_rest_from_the_others():
    from augwise.data import limited

    assert np.bincount(limited(unbalanced(), 60, 0).labels).tolist() == [19, 19, 3, 19]
    assert np.bincount(limited(unbalanced(), 90, 0).labels).tolist() == [31, 25, 3, 31]
    assert len(limited(unbalanced(), 1000, 0)) == 100
    with pytest.raises(UserError, match="limit=0"):
        limited(unbalanced(), 0, 0)


@pytest.mark.parametrize(("share", "count"), [(0.1, 10), (0.255, 26), (0.5, 50), (0.987, 99)])
def test_validation_is_exact_disjoint_and_stratified(share, count):
    source = unbalanced()
    rest, validation = split_validation(source, share, seed=3)
    assert len(validation) == count
    values = [part[i][0][0, 0, 0].item() for part in (rest, validation) for i in range(len(part))]
    assert sorted(values) == list(range(100))
    sizes = np.bincount(source.labels)
    assert np.abs(np.bincount(validation.labels, minlength=4) - sizes * count / 100).max() < 1
    assert all(part[i][1] == part.labels[i] for part in (rest, validation) for i in range(len(part)))


def test_validation_is_seeded():
    def rows(seed):
        part = split_validation(unbalanced(), 0.3, seed)[1]
        assert isinstance(part, Subset)
        return part.rows.tolist()

    assert rows(0) == rows(0) != rows(1)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, 0.001, float("nan")])
def test_validation_share_must_leave_two_parts(share):
    with pytest.raises(UserError, match="share"):
        split_validation(unbalanced(), share, 0)


def test_subset_looks_through_and_checks_its_rows():
    source = unbalanced()
    part = Subset(Subset(source, [7, 3, 50]), [2, 0])
    assert part[0][0][0, 0, 0] == 50
    assert part.fingerprint(1) == source.fingerprint(7)
    assert part.labels.tolist() == [source.labels[50], source.labels[7]]
    with pytest.raises(UserError, match="row 100"):
        Subset(source, [0, 100])
    with pytest.raises(UserError, match="row -1"):
        Subset(source, [-1])
    with pytest.raises(IndexError):
        part[2]


def test_fingerprints_are_of_content_alone():
    source = unbalanced()
    shuffled = ArraySource(source.images.flip(0), source.labels[::-1].copy() % 2, ["x", "y"], "other")
    assert [shuffled.fingerprint(i) for i in range(100)] == [source.fingerprint(99 - i) for i in range(100)]
    prints = [source.fingerprint(i) for i in range(100)]
    assert len(set(prints)) == 100
    assert all(isinstance(p, int) and 0 <= p < 2**64 for p in prints)
    assert source.fingerprint(5) == hash_pixels(source[5][0])
    assert hash_pixels(torch.zeros(1, 2, 3, dtype=torch.uint8)) != hash_pixels(torch.zeros(1, 3, 2, dtype=torch.uint8))


def test_resized_square_images_keep_their_fingerprint_others_do_not():
    square, wide = unbalanced(4, 4), unbalanced(4, 6)
    assert Resized(square, 8).fingerprint(3) == square.fingerprint(3)
    assert Resized(wide, 8).fingerprint(3) != wide.fingerprint(3)
    assert Resized(wide, 8)[3][0].shape == (1, 8, 8)
    with pytest.raises(UserError, match="size=0"):
        Resized(square, 0)


def test_a_folder_without_its_prefix_is_recognised(tmp_path):
    with pytest.raises(UserError, match=f"did you mean 'folder:{tmp_path}'"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(20, 30), (30, 20), (40, 20)])
@pytest.mark.parametrize(("size", "share", "shorter"), [(10, 1.0, 10), (7, 0.7, 10), (12, 0.6, 20), (36, 0.9, 40)])
def test_resized_is_a_resize_that_keeps_the_shape_and_the_middle_of_it(mode, height, width, size, share, shorter):
    image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    source = ArraySource(image[None], np.zeros(1, np.int64), ["a"], "x")
    sides = [height * shorter // 20, width * shorter // 20]
    whole = V.resize(image, sides, InterpolationMode(mode), antialias=True)
    found = Resized(source, size, share, mode)
    assert torch.equal(found[0][0], V.center_crop(whole, [size, size]))


@pytest.mark.parametrize("size", [7, 24, 49, 224])
def test_a_share_made_of_two_sizes_gives_the_larger_one_back(size):
    """224 / (224 / 232) is a little less than 232."""
    for shorter in range(size, 2 * size, 1 if size < 100 else 9):
        image = torch.randint(0, 256, (1, shorter, shorter + 3), dtype=torch.uint8)
        assert torch.equal(centre_square(image, size, size / shorter), V.center_crop(image, [size, size]))


def test_maps_of_the_middle_are_not_taken_for_those_of_another_middle():
    square, wide = unbalanced(8, 8), unbalanced(8, 12)
    for source in (square, wide):
        marks = [Resized(source, 4, share).fingerprint(3) for share in (1.0, 0.9, 0.5)]
        assert len(set(marks)) == 3
        assert (marks[0] == source.fingerprint(3)) == (source is square)
        assert Resized(source, 6, 0.5).fingerprint(3) == marks[2]
