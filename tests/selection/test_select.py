"""From scores to rows, from rows to a file, and from the file back to the images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Subset as TorchSubset

import augwise as aw
from augwise.data import ArraySource, Resized, Subset, chosen, limited, open_source
from augwise.errors import UserError
from augwise.selection import choose, select
from augwise.subset_file import SubsetFile

LABELS = np.array([0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0])  # ten and four
SCORES = np.array([5, 9, 1, 2, 7, 8, 7, 3, 0, 4, 6, 2, 8, 9.0])


def source(n=14, name="noise", seed=0):
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.integers(0, 256, (n, 3, 6, 4), dtype=np.uint8))
    return ArraySource(images, np.resize(LABELS, n), ["a", "b"], name)


# choosing ------------------------------------------------------------------------------------------------------------


def test_the_highest_and_lowest_of_each_class():
    assert choose(LABELS, SCORES, 0.3).tolist() == [1, 4, 12, 13]  # 3 of ten, 1 of four; 7 stands twice, first wins
    assert choose(LABELS, SCORES, 0.3, rule="bottom").tolist() == [2, 7, 8, 11]
    assert choose(LABELS, SCORES, 1.0).tolist() == list(range(14))


def test_without_classes_all_compete():
    assert choose(LABELS, SCORES, 0.25, per_class=False).tolist() == [1, 5, 12, 13]  # 3.5 is rounded up


def test_the_interval_goes_through_the_order_in_equal_steps():
    """Class 0 in descending order: 13, 12, 4, 6, 10, 0, 9, 7, 11, 2; class 1: 1, 5, 3, 8."""
    assert choose(LABELS, SCORES, 0.5, rule="interval").tolist() == sorted([13, 4, 10, 9, 11, 1, 3])
    assert choose(LABELS, SCORES, 0.4, rule="interval").tolist() == sorted([13, 4, 0, 7, 1, 3])  # ⌊0, 2.5, 5, 7.5⌋


@pytest.mark.parametrize("rule", ["top", "bottom", "interval"])
@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.29, 0.5, 0.77, 1.0])
def test_every_class_gives_its_share(rule, fraction):
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat([0, 1, 2, 4], [200, 37, 11, 60]))
    rows = choose(labels, rng.normal(size=308).round(1), fraction, rule=rule)
    assert (np.diff(rows) > 0).all()
    for c, n in ((0, 200), (1, 37), (2, 11), (4, 60)):
        assert (labels[rows] == c).sum() == int(fraction * n + 0.5 + 1e-9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fraction": 0}, "fraction=0 is out of range"),
        ({"fraction": 1.01}, "fraction=1.01"),
        ({"fraction": float("nan")}, "fraction=nan"),
        ({"fraction": 0.12}, "leaves the class 'b' without an image: give a fraction of at least 0.12"),
        ({"fraction": 0.1, "per_class": False, "rule": "bottom"}, "leaves the class 'a'"),
        ({"scores": SCORES[:-1]}, "scores have shape (13,) for 14 images"),
        ({"scores": np.where(SCORES == 7, np.nan, SCORES)}, "the score of image 4 is NaN (2 of 14 are)"),
        ({"rule": "best"}, "rule='best'"),
    ],
)
def test_what_cannot_be_chosen(change, says):
    scores = np.where(np.arange(14) == 8, -1, SCORES)
    given = {"labels": LABELS, "scores": scores, "fraction": 0.3, "class_names": ["a", "b"]} | change
    with pytest.raises(UserError) as refused:
        choose(**given)
    assert says in str(refused.value)


# the file ------------------------------------------------------------------------------------------------------------


def test_a_file_gives_back_its_rows(tmp_path):
    data = source()
    made = select(data, SCORES, 0.3, out=tmp_path / "deep" / "s.npz", about={"measure": "mine"})
    read = SubsetFile.load(tmp_path / "deep" / "s.npz")
    assert read.rows.tolist() == made.rows.tolist() == [1, 4, 12, 13]
    assert read.about == {"fraction": 0.3, "per_class": True, "rule": "top", "measure": "mine"}
    assert np.array_equal(read.scores, SCORES)
    found = chosen(data, tmp_path / "deep" / "s.npz")
    assert found.labels.tolist() == [1, 0, 0, 0]
    assert torch.equal(found[2][0], data.images[12])


def test_views_are_looked_through():
    """What was scored limited or resized names rows of the data set itself."""
    data, at = source(), [13, 2, 5, 8, 0]
    scores = [1.0, 5, 3, 9, 4]  # of rows 13, 2, 5, 8, 0
    views = [
        Subset(data, at),
        Resized(Subset(data, at), 3),
        Subset(Resized(data, 3), at),
        Subset(Subset(data, [0, 2, 5, 8, 13, 1]), [4, 1, 2, 3, 0]),
        TorchSubset(data, at),
        aw.WithImportance(Subset(data, at)),
    ]
    for view in views:
        made = select(view, scores, 0.5)  # 2 of rows 13, 2, 0 and 1 of rows 5, 8
        assert made.rows.tolist() == [0, 2, 8]
        assert made.images == 14
        assert np.flatnonzero(~np.isnan(made.scores)).tolist() == sorted(at)
        assert made.scores[13] == 1.0
        chosen(data, made)


def test_any_map_style_data_set_can_be_chosen_from():
    class Plain:
        def __len__(self):
            return 6

        def __getitem__(self, i):
            return Image.new("RGB", (4, 5), (40 * i, 0, 9)), i % 2

    made = select(Plain(), range(6), 1 / 3)
    assert made.rows.tolist() == [4, 5]
    assert len(chosen(aw.data.as_source(Plain()), made)) == 2


def test_other_data_is_refused(tmp_path):
    file = tmp_path / "s.npz"
    select(source(), SCORES, 0.3, out=file)
    with pytest.raises(UserError, match=r"s\.npz was chosen from 14 images, more has 15"):
        chosen(source(15, "more"), file)
    other = source()
    other.labels = other.labels[::-1].copy()
    with pytest.raises(UserError, match="other labels than noise"):
        chosen(other, file)
    for seed_or_row in (None, 12):
        other = source()
        rows = slice(None) if seed_or_row is None else seed_or_row
        other.images[rows] = 255 - other.images[rows]
        with pytest.raises(UserError, match=f"image {1 if seed_or_row is None else 12} of noise is not the one"):
            chosen(other, file)
    with pytest.raises(UserError, match=r"none\.npz does not exist"):
        open_source("digits", subset=tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("rows")
    with pytest.raises(UserError, match=r"text.npz is damaged or no subset file"):
        open_source("digits", subset=tmp_path / "text.npz")
    np.savez(tmp_path / "another.npz", rows=np.arange(3))
    with pytest.raises(UserError, match="no subset file"):
        open_source("digits", subset=tmp_path / "another.npz")


@pytest.mark.parametrize("rows", [[3, 3], [5, 2], [0, 14], [-1, 2], []])
def test_rows_that_are_no_rows_are_refused(rows, tmp_path):
    made = select(source(), SCORES, 0.3)
    wrong = replace(made, rows=np.array(rows, np.int64), hashes=np.zeros(len(rows), np.uint64))
    with pytest.raises(UserError, match="do not belong together"):
        SubsetFile.load(wrong.save(tmp_path / "wrong.npz"))


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "s.npz"
    select(source(), SCORES, 0.3, out=file)
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="No space left"):
        select(source(), SCORES, 0.5, out=file)
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]
    assert file.read_bytes() == before


def test_open_source_takes_the_subset_before_all_else(tmp_path):
    file, whole = tmp_path / "s.npz", open_source("digits")
    rows = select(whole, np.arange(1000.0), 0.2, out=file).rows
    assert open_source("digits", subset=file).labels.tolist() == whole.labels[rows].tolist()
    few = open_source("digits", subset=file, size=9, limit=30)
    assert few[0][0].shape == (3, 9, 9)
    assert few.labels.tolist() == limited(chosen(whole, file), 30, 0).labels.tolist()
    with pytest.raises(UserError, match="797"):
        open_source("digits", "test", subset=file)


def test_a_subset_may_be_scored_again(tmp_path):
    """The file of a subset's subset names rows of the data set, too."""
    whole = open_source("digits")
    select(whole, np.arange(1000.0), 0.2, out=tmp_path / "one.npz")
    half = open_source("digits", subset=tmp_path / "one.npz")
    made = select(half, -np.arange(len(half)), 0.5, out=tmp_path / "two.npz")
    assert set(made.rows) < set(half.rows)
    assert len(open_source("digits", subset=tmp_path / "two.npz")) == len(made)


# training on it ------------------------------------------------------------------------------------------------------


def test_a_run_trains_on_the_chosen_images_alone(tmp_path):
    whole = open_source("digits")
    made = select(whole, np.arange(1000.0), 0.1, out=tmp_path / "s.npz")
    config = aw.TrainConfig(
        subset=tmp_path / "s.npz", epochs=1, batch_size=20, eval_limit=20, out=tmp_path / "run", quiet=True
    )
    result = aw.train(config)
    assert result["data"]["train"] == len(made) == 100
    assert result["data"]["test"] == 20
    direct = aw.train(
        replace(config, subset=None, out=None), source=Subset(whole, made.rows), test=open_source("digits", "test")
    )
    assert direct["curve"][0]["train_loss"] == result["curve"][0]["train_loss"]
    parts = replace(config, val_share=0.2, limit=40, out=None)
    assert aw.train(parts)["data"] | {"train": 40, "test": 20} == aw.train(parts)["data"]
    with pytest.raises(UserError, match="797"):
        aw.train(replace(config, split="test", out=None))
    assert (
        aw.evaluate(aw.EvaluateConfig(run=tmp_path / "run", split="train", subset=tmp_path / "s.npz", quiet=True))[
            "images"
        ]
        == 100
    )


def test_comparisons_see_the_chosen_images_and_stores_all(tmp_path):
    from augwise.analysis.compare_runs import comparison_sources
    from augwise.analysis.training_data import training_images, whole_split

    made = select(open_source("digits"), np.arange(1000.0), 0.1, out=tmp_path / "s.npz")
    config = aw.TrainConfig(subset=tmp_path / "s.npz", eval_limit=30, quiet=True)
    train, validation, test = comparison_sources(config)
    assert (len(train), validation, len(test)) == (len(made), None, 30)
    assert len(whole_split(config)) == 1000
    assert len(training_images(replace(config, redraw=True))[0]) == 1000
