"""What cells, arms and differences are called: only what varies, and nothing that does not apply."""

import pytest

from augwise.analysis import compare_words as words
from augwise.analysis.compare_plan import CompareConfig, cells


def rows(**settings):
    config = CompareConfig(**{"estimators": ("occlusion",)} | settings)
    return [{**vars(cell), "arms": {}, "differences": {}} for cell in cells(config)]


@pytest.mark.parametrize(
    ("settings", "varies"),
    [
        ({"methods": ("cutout", "crop")}, []),  # no quantile of what has no guard makes no column
        ({"methods": ("cutout", "cutmix")}, []),  # nor do labels of what mixes none
        ({"quantiles": (0.2, 0.6)}, ["quantile"]),
        ({"methods": ("trivialaugment",), "follows": ("image", "map")}, ["follow"]),
        ({"methods": ("cutmix", "cutout"), "labels": ("importance", "half")}, ["labels"]),
        ({"methods": ("cutmix",), "rules": ("guard", "labels")}, ["rule"]),
        ({"methods": ("trivialaugment", "cutout"), "shapes": ("rectangle", "points")}, ["shape"]),
    ],
)
def test_only_what_varies_is_named(settings, varies):
    assert words.varying(rows(**settings)) == varies


def test_a_row_says_where_by_window_maps_and_what_varies():
    (row, moved) = rows(methods=("trivialaugment",), follows=("image", "map"))
    assert words.where(row, ["follow", "quantile", "labels"]) == "clipped, occlusion, follow image, τ 0.6"
    assert words.where(moved, ["follow"]) == "clipped, occlusion, follow map"
    (mixed,) = rows(methods=("cutmix",), rules=("labels",), labels=("half",))
    assert words.where(mixed, ["labels", "quantile"]) == "clipped, occlusion, half"
    older = {"method": "cutout", "strength": 16, "window": "", "estimator": "cdiea"}
    assert words.where(older, ["follow", "labels", "quantile"]) == "cdiea, follow image"
    assert words.rules([older]) == ["guard"]


def test_arms_are_called_by_their_rule():
    assert [words.arm("guarded", [rule]) for rule in ("guard", "soften", "labels")] == [
        "guarded", "softened", "reweighted",
    ]  # fmt: skip
    assert words.difference("guarded-control", ["guard", "labels"], " − ") == "guarded/reweighted − control"
    assert words.difference("plain-baseline", ["labels"]) == "plain-without"


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({}, "the shared crop and flip alone"),
        ({"crop_padding": 0}, "the shared flip alone"),
        ({"crop_padding": 4, "flip": False}, "the shared crop alone"),
        ({"crop": "resized", "crop_padding": 0}, "the shared crop and flip alone"),
        ({"crop_padding": 0, "flip": False}, "no augmentation at all"),
    ],
)
def test_the_baseline_is_called_by_what_all_arms_share(train, said):
    assert words.baseline(train) == said
