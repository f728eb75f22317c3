"""What a single run of a comparison is made of: its steps in their order, and the maps that they are shown."""

import pytest
import torch

import augwise as aw
from augwise.analysis.compare_plan import Run
from augwise.analysis.compare_runs import maps_of, steps_of

OPTIONS = (("length", 8), ("quantile", 0.6))


def test_live_maps_come_first_and_labels_learn_last():
    run = Run("guarded", 0, "cutout", (("length", 8),), "live", (0.5, 3.0))
    live, cutout, soften = steps_of(run)
    assert isinstance(live, aw.LiveSaliency)
    assert isinstance(cutout, aw.Cutout)
    assert isinstance(soften, aw.SoftenLabels)
    assert (live.control, cutout.length, soften.strength, soften.power) == (False, 8, 0.5, 3.0)
    (control, *_) = steps_of(Run("control", 0, "cutout", OPTIONS, "live"))
    assert control.control
    assert steps_of(Run("baseline", 0)) == []


def test_a_smoothing_arm_gives_every_label_the_doubt_that_was_measured():
    run = Run("smoothing", 0, "cutout", (("length", 8),), "occlusion", (1.0, 2.0))
    _, smooth = steps_of(run, 0.125)
    assert isinstance(smooth, aw.SmoothLabels)
    assert smooth.doubt == 0.125
    with pytest.raises(ValueError, match="needs the doubt"):
        steps_of(run)


def test_the_control_is_shown_another_images_map_and_another_one_for_every_seed(tmp_path):
    source = aw.open_source("digits", limit=12)
    maps = torch.arange(1.0, 13.0)[:, None, None] * torch.rand(12, 32, 32)
    aw.ImportanceStore.from_maps(source, maps, path=tmp_path / "maps")
    seen = {}
    for arm, seed in (("guarded", 0), ("control", 0), ("control", 1)):
        seen[arm, seed] = maps_of(Run(arm, seed, "cutout", OPTIONS, "occlusion"), tmp_path / "maps", source).rows
    assert seen["guarded", 0].tolist() == list(range(12))
    for seed in (0, 1):
        assert sorted(seen["control", seed]) == list(range(12))
        assert (seen["control", seed] != seen["guarded", 0]).all()
    assert (seen["control", 0] != seen["control", 1]).any()
