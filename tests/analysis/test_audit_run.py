"""The verb audit: named pipelines and methods side by side; every name makes a pipeline that runs."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

import augwise as aw
from augwise.analysis.audit_run import AuditConfig, _methods, run_audit
from augwise.analysis.pipelines import RECIPES, recipe
from augwise.analysis.presets import TEN
from augwise.cli import main
from augwise.errors import UserError


def test_default_needs_nothing_but_data(tmp_path, capsys):
    main(["audit", "--count", "24", "--cases", "2", "--quiet", "--out", str(tmp_path / "a")])
    said = capsys.readouterr().out
    for word in ("crop-flip", "trivialaugment", "torchvision-train", "centre", "give --run", "report.html"):
        assert word in said
    report = json.loads((tmp_path / "a" / "results.json").read_text())
    assert [t["name"] for t in report["transforms"]] == ["crop-flip", "trivialaugment", "torchvision-train"]
    assert all(t["importance_lost"]["n"] == 24 for t in report["transforms"])
    assert report["command"].startswith("augwise audit --count 24")
    assert "RandomResizedCrop" not in said  # names, no representations


def test_a_guarded_method_beside_its_plain_form_and_policies(tmp_path, capsys):
    arguments = ["--method", "cutout", "--length", "16", "--quantile", "0.6", "--window", "inside"]
    shared = ["--count", "40", "--cases", "1", "--quiet", "--out", str(tmp_path / "a")]
    main(["audit", *arguments, "--policies", "mixup", "crop-flip", *shared])
    report = json.loads((tmp_path / "a" / "results.json").read_text())
    found = {t["name"]: t for t in report["transforms"]}
    assert list(found) == ["mixup", "crop-flip", "Cutout, plain", "Cutout, guarded"]
    plain, guarded = found["Cutout, plain"], found["Cutout, guarded"]
    assert plain["area_lost"]["mean"] == pytest.approx(0.25)
    assert guarded["area_lost"]["mean"] == pytest.approx(0.25)
    assert guarded["importance_lost"]["mean"] < plain["importance_lost"]["mean"]
    assert "Cutout, guarded" in capsys.readouterr().out


def test_the_ten_methods_plain_and_guarded(tmp_path):
    config = AuditConfig(count=40, methods=("ten", "crop", "cutout"), cases=1, quiet=True, out=tmp_path / "a")
    found = {t.name: t for t in run_audit(config).transforms}
    assert list(found) == [*(f"{name}, {arm}" for name in TEN for arm in ("plain", "guarded")), "crop, plain"]
    for name in ("cutout", "hideandseek", "gridmask", "cutmix"):  # what erases or covers takes less evidence
        plain, guarded = (np.nanmean(found[f"{name}, {arm}"].importance_lost) for arm in ("plain", "guarded"))
        assert guarded < plain
    with pytest.raises(UserError, match="'cutot' is unknown: did you mean 'cutout'"):
        run_audit(replace(config, methods=("cutot",)))
    with pytest.raises(UserError, match="'tenn' is unknown: did you mean 'ten'"):
        run_audit(replace(config, methods=("tenn",)))


def test_methods_are_built_for_maps_of_any_unit_each_once():
    """An audit's maps may come from anywhere, and labels by importance must not compare units of different images."""
    steps = _methods(("cutmix", "cutout", "cutmix"))
    assert list(steps) == [f"{name}, {arm}" for name in ("cutmix", "cutout") for arm in ("plain", "guarded")]
    plain, guarded = steps["cutmix, plain"], steps["cutmix, guarded"]
    assert (plain.guarded, plain.labels) == (False, "area")
    assert (guarded.guard.quantile, guarded.labels, guarded.normalize) == (0.6, "importance", True)
    assert steps["cutout, plain"].length == steps["cutout, guarded"].length == 16


def test_the_plain_form_has_no_absolute_limit_either(tmp_path):
    config = AuditConfig(count=20, estimator="corners", cases=1, quiet=True, out=tmp_path / "a")
    found = run_audit(config, aw.Cutout(12, threshold=0.0, window="inside"))
    assert found.settings.keys() >= {"count", "estimator"}
    assert not found.settings.keys() & {"policies", "methods", "run"}  # what was left out is not told as asked for
    plain, guarded = found.transforms
    assert (plain.name, guarded.name) == ("Cutout, plain", "Cutout, guarded")
    assert plain.area_lost.tolist() == pytest.approx([144 / 1024] * 20)
    assert np.nanmax(guarded.importance_lost) == 0 < np.nanmax(plain.importance_lost)


@pytest.mark.parametrize("name", RECIPES)
def test_every_named_pipeline_runs(name):
    if RECIPES[name].package:
        pytest.importorskip(RECIPES[name].package)
    data = aw.open_source("digits", limit=20)
    found = aw.audit(data, recipe(name).make(28, 10), progress=False, cases=1).transforms[0]
    assert len(found.failed) < 3  # timm's posterize to no bits at all is refused by newer versions of Pillow
    assert found.cases["Drawn at random"]


def test_help_names_every_pipeline():
    assert [name for name in RECIPES if name not in inspect.getsource(AuditConfig)] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--policies", "trivialaugmnt"], "did you mean 'trivialaugment'"),
        (["--estimator", "occlusion"], "looks into a classifier: give --run"),
        (["--estimator", "centre", "--maps", "some.maps"], "leave out --estimator centre"),
        (["--model", "small_cnn"], "--checkpoint, --mean, --std"),
        (["--run", "nowhere"], "nowhere"),
        (["--count", "0"], "count=0"),
        (["--maps", "none.maps"], "none.maps"),
        (["--method", "cutout"], "length"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments, says, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["audit", *arguments, "--quiet", "--out", str(tmp_path / "a")])
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert says in " ".join((output.out + output.err).replace("│", " ").split())
    assert "Traceback" not in output.err


def test_with_a_run_recognition_is_told(tmp_path):
    from augwise.training.train import train

    train(aw.TrainConfig(epochs=1, limit=128, batch_size=64, out=tmp_path / "run", quiet=True))
    config = AuditConfig(count=30, policies=("random-erasing",), run=tmp_path / "run", out=tmp_path / "a", quiet=True)
    found = run_audit(config, None)
    assert "occlusion" in found.maps
    assert found.recognises is not None
    assert not torch.from_numpy(found.transforms[0].log_prob_drop).isnan().any()
    preserved = run_audit(
        AuditConfig(count=30, estimator="corners", out=tmp_path / "b", quiet=True),
        aw.Preserve(v2.RandAugment(), length=8, quantile=0.6),
    )
    assert [t.name for t in preserved.transforms] == ["RandAugment, plain", "RandAugment, guarded"]
    assert "corners" in preserved.maps


def test_images_have_the_size_that_the_run_was_trained_with(tmp_path):
    from augwise.training.train import train

    train(aw.TrainConfig(epochs=1, limit=64, size=20, batch_size=64, out=tmp_path / "run", quiet=True))
    config = AuditConfig(count=12, policies=("resized-crop",), run=tmp_path / "run", out=tmp_path / "a", quiet=True)
    for asked, side in ((config, 20), (replace(config, size=24), 24)):
        case = run_audit(asked).transforms[0].cases["Drawn at random"][0]
        assert case.image.shape == case.augmented.shape == (side, side, 3)


def test_crops_have_the_shorter_side_of_images_that_are_not_square(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 18, 30, 3), dtype=np.uint8)
    np.savez(tmp_path / "wide.npz", train_images=images, train_labels=np.arange(12) % 2)
    config = AuditConfig(
        data=f"npz:{tmp_path / 'wide.npz'}", policies=("resized-crop",), out=tmp_path / "a", quiet=True
    )
    case = run_audit(config).transforms[0].cases["Drawn at random"][0]
    assert (case.image.shape, case.augmented.shape) == ((18, 30, 3), (18, 18, 3))


def test_broken_files_stop_an_audit_or_are_left_out_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AUGWISE_DATA", str(tmp_path / "cache"))
    for kind in "ab":
        for i in range(4):
            path = tmp_path / "data" / "train" / kind / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((16, 16, 3), 40 * i, np.uint8)).save(path)
    broken = tmp_path / "data" / "train" / "b" / "2.png"
    broken.write_bytes(broken.read_bytes()[:60])
    config = AuditConfig(data=f"folder:{tmp_path / 'data'}", policies=("crop-flip",), out=tmp_path / "o", quiet=True)
    with pytest.raises(aw.UserError, match=r"b/2\.png"):
        run_audit(config)
    found = run_audit(replace(config, broken="skip"))
    assert found.data["images"] == 7
    assert str(broken) in capsys.readouterr().out
