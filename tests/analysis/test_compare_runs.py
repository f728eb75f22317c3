"""What a single run of a comparison is made of: its steps in their order, and the maps that they are shown."""

import os
import subprocess
import sys
import time
from pathlib import Path

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


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for processes where Linux lists them")
def test_processes_end_with_a_comparison_that_is_killed(tmp_path):
    """Or they would train on unseen, beside those of whoever starts the comparison again."""
    words = "compare --data digits --limit 100 --size 16 --epochs 999 --base-epochs 1 --methods cutout --arms plain"
    words += " --batch-size 50 --seeds 2 --jobs 2 --quiet"
    parent = subprocess.Popen(
        [sys.executable, "-m", "augwise", *words.split(), "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert _within(120, lambda: len(list(tmp_path.glob("runs/*"))) == 2)
        below = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        assert len(below) >= 2
    finally:
        parent.kill()
        parent.wait()
    assert _within(30, lambda: not any(_runs(int(process)) for process in below))


def _within(seconds, so):
    until = time.monotonic() + seconds
    while not so() and time.monotonic() < until:
        time.sleep(0.1)
    return so()


def _runs(process):
    """Whether it is there and no zombie, which where nobody collects them stays in the list."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
