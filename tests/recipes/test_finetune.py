"""The recipe on a folder of photographs of many sizes, from scratch and small: maps of whole files, arms, page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import augwise as aw
from augwise.analysis.compare import _jobs
from augwise.analysis.compare_plan import CompareConfig
from augwise.recipes.command import command_line
from augwise.recipes.finetune import FinetuneConfig, finetune, settings
from augwise.training.config import TrainConfig
from reference.photographs import folder


def test_a_folder_of_many_sizes_from_base_model_to_page(tmp_path):
    pytest.importorskip("timm")
    data = folder(tmp_path / "flowers", train=16, test=6)
    config = FinetuneConfig(
        data=data,
        model="timm:test_resnet",
        out=tmp_path / "out",
        size=48,
        epochs=1,
        batch_size=8,
        methods=("cutout",),
        strengths=(0.25, 0.5),
        arms=("guarded",),
        seeds=1,
        jobs=1,
        device="cpu",
        quiet=True,
    )
    report = finetune(config)
    assert report["complete"]
    assert report["done"] == 3  # baseline and two strengths
    files = aw.open_source(data)
    store = aw.ImportanceStore(tmp_path / "out" / "maps" / "occlusion")
    assert sorted(store.hashes.tolist()) == sorted(files.fingerprint(i) for i in range(16))
    assert tuple(store.meta["image"]) == (3, 48, 48)
    areas = [row["area_touched"]["guarded"] for row in report["table"]]
    assert areas == [pytest.approx(1 / 16), pytest.approx(1 / 4)]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Fine-tuning on flowers at 48 px" in page
    assert page.count("its importance map") == 2
    assert json.loads((tmp_path / "out" / "results.json").read_text())["config"]["train"]["crop"] == "resized"
    assert finetune(config)["runs"] == report["runs"]  # done is done


def test_settings_follow_where_the_weights_come_from():
    scratch, tuned = (
        settings(FinetuneConfig(data="folder:x", checkpoint=checkpoint)).train for checkpoint in (None, Path("w.pt"))
    )
    assert (scratch.lr, tuned.lr) == (1e-3, 2e-4)
    assert scratch.crop == "resized"
    probe = settings(FinetuneConfig(data="folder:x", checkpoint=Path("w.pt"), only_head=True)).train
    assert (probe.only_head, probe.lr) == (True, 1e-3)
    with pytest.raises(aw.UserError, match="--only-head needs a network that knows something"):
        settings(FinetuneConfig(data="folder:x", only_head=True))
    with pytest.raises(aw.UserError, match="small_cnn is for small images"):
        settings(FinetuneConfig(data="folder:x", model="small_cnn"))


def test_the_command_on_the_page():
    config = FinetuneConfig(
        data="folder:my flowers", out=Path("a/b"), pretrained=True, batch_size=8, crop_scale=(0.2, 1.0)
    )
    said = "augwise finetune --out b --data 'folder:my flowers' --pretrained --batch-size 8 --crop-scale 0.2 1.0"
    assert command_line("finetune", config) == said


def test_names_of_finished_runs_stay():
    """A setting that is added later changes no name under which the runs of an older comparison are found."""
    train = TrainConfig(data="npz:cifar10.npz", limit=5000, val_share=0.1, eval_last=1, precision="bf16")
    config = CompareConfig(train=train, estimators=(), arms=("plain",), seeds=1)
    assert [job.key for job in _jobs(config, Path("out"), {})] == [
        "baseline-s0-cc442cb6c9f6",
        "cutout-plain-s0-2e0015f0aa15",
    ]
