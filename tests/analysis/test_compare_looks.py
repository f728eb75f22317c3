"""What a comparison looks at before its runs: whose map counts, whose is shown, and what nobody knows beforehand."""

from dataclasses import replace

import pytest
import torch

import augwise as aw
from augwise.analysis.compare_looks import all_touched, mean_doubts, pictures
from augwise.analysis.compare_plan import CompareConfig, arms_of, cells, run_of
from augwise.analysis.compare_runs import build
from augwise.analysis.touched import touched
from augwise.training.config import TrainConfig

CONFIG = CompareConfig(
    train=TrainConfig(data="digits", batch_size=20, out=None, quiet=True),
    strengths=(8,),
    estimators=("cdiea",),
    seeds=1,
)


@pytest.fixture(scope="module")
def data():
    """Images whose evidence lies in one quarter each, in turn, so that another image's map is mostly a wrong one."""
    source = aw.open_source("digits", limit=40)
    maps = 0.01 * torch.rand(40, 32, 32, generator=torch.Generator().manual_seed(0))
    for i in range(40):
        top, left = 16 * (i % 2), 16 * (i // 2 % 2)
        maps[i, top : top + 16, left : left + 16] += 1
    return source, aw.ImportanceStore.from_maps(source, maps)


def test_every_arm_is_measured_on_the_images_own_evidence(data):
    source, store = data
    config = replace(CONFIG, methods=("cutout", "cutmix", "trivialaugment"))
    found = all_touched(config, {"cdiea": store}, source)
    attached = store.attach(source)
    own, foreign = attached.read(range(40)), attached.deranged(0).read(range(40))
    for cell in cells(config):
        for arm in ("plain", "guarded", "control"):
            shown = foreign if arm == "control" else own
            step = build(run_of(config, cell, arm, 0))
            assert found[cell, arm] == pytest.approx(touched(step, own, shown).means())
        lost = {arm: found[cell, arm]["importance_touched"] for arm in ("plain", "guarded", "control")}
        assert lost["guarded"] < 0.9 * min(lost["plain"], lost["control"])


def test_a_shape_is_shown_to_the_method_and_the_map_itself_is_accounted_for(data):
    pytest.importorskip("skimage")
    source, store = data
    config = replace(CONFIG, methods=("trivialaugment",), shapes=("superpixel",))
    (cell,) = cells(config)
    found = all_touched(config, {"cdiea": store}, source)
    attached, parts = store.attach(source), aw.superpixels(store, source).attach(source)
    shown = {"guarded": parts.read(range(40)), "control": parts.deranged(0).read(range(40))}
    for arm, guide in shown.items():
        expected = touched(build(run_of(config, cell, arm, 0)), attached.read(range(40)), guide).means()
        assert found[cell, arm] == pytest.approx(expected, rel=1e-9)


def test_what_depends_on_maps_that_do_not_exist_yet_is_not_known(data):
    source, _ = data
    config = replace(CONFIG, estimators=("live",), methods=("cutout", "crop"), strengths=())
    found = {(cell.method, arm): seen for (cell, arm), seen in all_touched(config, {}, source).items()}
    unknown = {"area_touched": None, "importance_touched": None}
    assert found["cutout", "guarded"] == found["cutout", "control"] == unknown
    assert found["cutout", "plain"]["importance_touched"] is found["crop", "plain"]["importance_touched"] is None
    assert 0.1 < found["cutout", "plain"]["area_touched"] <= 0.25
    assert 0 < found["crop", "plain"]["area_touched"] < 0.25  # what leaves the picture, at most 4 of 32 pixels a side


def test_pictures_show_the_arms_that_differ_in_their_pixels(data):
    source, store = data
    config = replace(CONFIG, methods=("cutmix",), rules=("guard", "soften", "labels"), estimators=("cdiea", "live"))
    found = pictures(config, {"cdiea": store}, source)
    assert len(found) == 3  # live maps cannot be shown before there is a model
    arms = {title: [list(example.arms) for example in examples] for title, examples in found.items()}
    for title, shown in arms.items():
        assert 1 <= len(shown) <= 6
        expected = ["plain"] if "soften" in title or "labels" in title else ["plain", "guarded", "control"]
        assert shown == [expected] * len(shown)


def test_mean_doubts_are_of_cells_with_a_smoothing_arm_and_grow_with_what_is_lost(data):
    source, store = data
    config = replace(CONFIG, rules=("guard", "soften"), strengths=(4, 16))
    found = mean_doubts(config, {"cdiea": store}, source)
    assert list(found) == [cell for cell in cells(config) if "smoothing" in arms_of(config, cell)]
    small, large = found.values()
    assert 0 < small < 0.5 * large < 0.5
    half = mean_doubts(replace(config, soften_strength=0.5), {"cdiea": store}, source)
    assert list(half.values()) == pytest.approx([small / 2, large / 2])
    steeper = mean_doubts(replace(config, soften_power=4.0), {"cdiea": store}, source)
    assert all(a < b for a, b in zip(steeper.values(), found.values(), strict=True))
