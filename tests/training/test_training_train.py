"""A whole run: what it returns and leaves behind, what it refuses, what resumes it."""

import csv
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import augwise as aw
from augwise.data import Resident
from augwise.errors import UserError
from augwise.training.config import TrainConfig
from augwise.training.devices import bf16_slowdown, emulation_note
from augwise.training.results import environment, summary
from augwise.training.train import train
from reference.training_toys import network, source, weights

QUICK = TrainConfig(
    epochs=2,
    batch_size=16,
    lr=0.05,
    crop_padding=1,
    flip=False,
    precision="fp32",
    device="cpu",
    quiet=True,
    tensorboard=False,
)
DATA = {"source": source(70, seed=1), "test": source(40, seed=2)}


def _config(tmp_path=None, **changes):
    return replace(QUICK, out=tmp_path, **changes)


def _train(config, **parts):
    return train(config, **{**DATA, "model": network(), **parts})


def test_results_files_and_weights(tmp_path):
    model = network()
    results = _train(_config(tmp_path, epochs=3), model=model, steps=[aw.Cutout(3)], also={"more": source(20, seed=3)})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.csv", "results.json", "weights.safetensors"]
    assert json.loads((tmp_path / "results.json").read_text()) == results
    assert {"kind", "augwise", "config", "data", "environment", "test", "curve", "seconds"} <= set(results)
    assert results["kind"] == "train"
    assert [row["epoch"] for row in results["curve"]] == [1, 2, 3]
    assert {"lr", "train_loss", "train_accuracy", "test_accuracy", "seconds"} <= set(results["curve"][0])
    assert results["test"]["last_accuracy"] == results["curve"][-1]["test_accuracy"]
    rows = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    assert [float(r["train_loss"]) for r in rows] == [r["train_loss"] for r in results["curve"]]
    saved = load_file(tmp_path / "weights.safetensors")
    assert all(torch.equal(saved[k], v) for k, v in model.state_dict().items())
    # The test accuracy is that of the saved weights on the normalised test images.
    test = Resident.load(DATA["test"], progress=False)
    images = aw.Normalize(results["data"]["mean"], results["data"]["std"])(test.images)
    right = (model.eval()(images).argmax(1) == test.labels).float().mean().item()
    assert results["test"]["last_accuracy"] == pytest.approx(right)
    assert 0 <= results["also"]["more"] <= 1


def test_it_learns():
    results = _train(_config(epochs=12, lr=0.2, crop_padding=0), model=network(dropout=0))
    assert results["curve"][-1]["train_accuracy"] > 0.9
    assert results["test"]["last_accuracy"] > 0.8


def test_a_finished_run_is_returned_and_another_one_refused(tmp_path):
    first = _train(_config(tmp_path))
    before = (tmp_path / "weights.safetensors").stat().st_mtime_ns
    again = _train(_config(tmp_path, num_workers=0, checkpoint_steps=2, broken="skip"))
    assert again == first
    assert (tmp_path / "weights.safetensors").stat().st_mtime_ns == before
    with pytest.raises(UserError, match=r"config\.lr: 0\.05 there, 0\.06 now"):
        _train(_config(tmp_path, lr=0.06))
    with pytest.raises(UserError, match=r"steps"):
        _train(_config(tmp_path), steps=[aw.Cutout(2)])
    with pytest.raises(UserError, match=r"data\.content"):
        _train(_config(tmp_path), source=source(70, seed=9))
    with pytest.raises(UserError, match=r"test\.content"):
        _train(_config(tmp_path), test=source(40, seed=9))


class Stopped(Exception):
    pass


class StopAt:
    """A step of the batch path that raises at a given call."""

    def __init__(self, call):
        self.left = call

    def __call__(self, batch):
        self.left -= 1
        if self.left < 0:
            raise Stopped
        return batch

    def __repr__(self):
        return "StopAt()"


@pytest.mark.parametrize("loader", ["resident", "workers"])
def test_interrupted_and_resumed_it_leaves_the_same_weights(tmp_path, loader):
    def run(name, stop, **changes):
        config = _config(tmp_path / name, epochs=3, ema=0.9, clip=1.0, checkpoint_steps=1, loader=loader, **changes)
        return _train(config, steps=[StopAt(stop), aw.CutMix(alpha=1.0)])

    whole = run("whole", 99)
    for stop in (2, 4, 7, 11):
        with pytest.raises(Stopped):
            run(f"at{stop}", stop)
        assert (tmp_path / f"at{stop}" / "checkpoint.pt").exists()
        with pytest.raises(UserError, match=r"config\.seed: 0 there, 1 now"):
            run(f"at{stop}", 99, seed=1)
        resumed = run(f"at{stop}", 99)
        assert resumed["test"] == whole["test"]
        weights_file = tmp_path / f"at{stop}" / "weights.safetensors"
        assert weights_file.read_bytes() == (tmp_path / "whole" / "weights.safetensors").read_bytes()
        assert not (tmp_path / f"at{stop}" / "checkpoint.pt").exists()


class Checked(torch.nn.Module):
    """Compares the maps that reach it with those of the model as it is at that moment."""

    def __init__(self, model, mean, std):
        super().__init__()
        self.others = [model, mean, std]
        self.maps = []

    def forward(self, batch):
        model, *colours = self.others
        then = network()
        then.load_state_dict(model.state_dict())
        expected = aw.LiveSaliency(then, *colours)(batch._replace(importance=None))
        torch.testing.assert_close(batch.importance, expected.importance)
        torch.testing.assert_close(batch.evidence, expected.evidence)
        self.maps.append(batch.importance)
        return batch

    def __repr__(self):
        return "Checked()"


def test_live_maps_need_no_store_and_resume_exactly(tmp_path):
    def run(name, steps, **changes):
        model = network()
        result = _train(
            _config(tmp_path / name, epochs=3, ema=0.9, checkpoint_steps=1, **changes), model=model, steps=steps
        )
        return result, weights(model)

    whole, trained = run("whole", [aw.LiveSaliency(), aw.Cutout(3, quantile=0.5), StopAt(99)])
    assert all(0 < row["importance_erased"] < 0.5 for row in whole["curve"])
    for stop in (2, 5, 8):
        with pytest.raises(Stopped):
            run(f"at{stop}", [aw.LiveSaliency(), aw.Cutout(3, quantile=0.5), StopAt(stop)])
        with pytest.raises(UserError, match="steps"):
            run(f"at{stop}", [aw.LiveSaliency(of="top_logit"), aw.Cutout(3, quantile=0.5), StopAt(99)])
        resumed, _ = run(f"at{stop}", [aw.LiveSaliency(), aw.Cutout(3, quantile=0.5), StopAt(99)])
        files = [tmp_path / at / "weights.safetensors" for at in (f"at{stop}", "whole")]
        assert files[0].read_bytes() == files[1].read_bytes()
        assert resumed["test"] == whole["test"]
    assert torch.equal(run("workers", [aw.LiveSaliency(), aw.Cutout(3, quantile=0.5)], loader="workers")[1], trained)
    for other in ([aw.Cutout(3)], [aw.LiveSaliency(control=True), aw.Cutout(3, quantile=0.5)]):
        with pytest.raises(UserError, match="steps"):
            run("whole", other)
    assert not torch.equal(run("control", other)[1], trained)


def test_live_maps_are_those_of_the_weights_of_the_moment():
    """And crops, flips and all that the method draws are as without them."""
    colours, seen, model, live = ((0.5, 0.4, 0.5), (0.25, 0.2, 0.3)), {}, network(), aw.LiveSaliency()
    checked = Checked(model, *colours)
    arms = {"live": [live, checked, aw.Cutout(3, quantile=1.0)], "plain": [torch.nn.Identity(), aw.Cutout(3)]}
    for name, steps in arms.items():
        after = seen[name] = []
        config = _config(crop_padding=2, mean=colours[0], std=colours[1])
        kept = lambda before, batch, after=after: after.append((before, batch)) or {}  # noqa: E731
        _train(config, model=model if name == "live" else network(), steps=steps, observe=kept)
    assert len(seen["live"]) == len(checked.maps) == 8
    for (before, ours), (_, theirs), maps in zip(seen["live"], seen["plain"], checked.maps, strict=True):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(before.importance, maps)  # what is measured knows the live maps
    assert live.model is None  # let go of


def test_live_maps_where_they_cannot_be():
    live, guarded = aw.LiveSaliency(), aw.Cutout(3, quantile=0.5)
    for parts, words in (
        ({"steps": [guarded, live]}, "put aw.LiveSaliency"),
        ({"steps": [guarded]}, "no importance maps"),
        ({"transform": [live, guarded], "loader": "workers"}, "among steps"),
        ({"maps": live, "steps": [guarded]}, "the first of steps"),
        ({"steps": [aw.LiveSaliency(network()), guarded]}, "a model of its own"),
    ):
        config = _config(loader=parts.pop("loader", "resident"))
        with pytest.raises(UserError, match=words):
            _train(config, **parts)
    with pytest.raises(UserError, match="batch of one"):
        _train(_config(batch_size=1), steps=[aw.LiveSaliency(control=True), guarded])


def test_the_seed_decides_everything_and_the_loader_nothing():
    def run(**changes):
        torch.manual_seed(123)  # must not matter
        np.random.seed(5)  # noqa: NPY002
        model = network()
        _train(_config(**changes), model=model, steps=[aw.Cutout(3), aw.CutMix(alpha=1.0)])
        return weights(model)

    assert torch.equal(run(), run(loader="workers"))
    assert not torch.equal(run(), run(seed=1))


def test_arms_with_the_same_seed_see_the_same_crops_and_order():
    seen = {}
    for name, steps in (("plain", []), ("cutout", [aw.Cutout(3)])):
        firsts = seen[name] = []
        _train(_config(), steps=steps, observe=lambda before, _after, firsts=firsts: firsts.append(before.images) or {})
    assert all(torch.equal(a, b) for a, b in zip(*seen.values(), strict=True))


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("flip", [True, False, None])
def test_images_are_mirrored_where_the_run_or_else_the_data_says_so(said, flip):
    data, shown = source(70, seed=1), {}
    data.flip = said

    def observe(before, _after):
        shown.update(zip(before.indices.tolist(), before.images.as_subclass(torch.Tensor).clone(), strict=True))
        return {}

    results = _train(_config(epochs=1, crop_padding=0, flip=flip), source=data, observe=observe)
    straight = sum(torch.equal(image, data[i][0]) for i, image in shown.items())
    mirrored = sum(torch.equal(image, data[i][0].flip(-1)) for i, image in shown.items())
    assert straight + mirrored == len(shown) >= 64
    assert (mirrored > 10) == results["data"]["flip"] == (said if flip is None else flip)


def test_what_is_measured_also_and_how_much_is_measured_at_all():
    model, other = network(), source(31, seed=5)
    results = _train(_config(eval_limit=23), model=model, also={"other": other, "test": DATA["test"]})
    assert results["data"]["test"] == 23
    inputs = aw.Normalize(results["data"]["mean"], results["data"]["std"])
    for name, data in (("other", other), ("test", DATA["test"])):
        with torch.no_grad():
            logits = model.eval()(inputs(torch.stack([data[i][0] for i in range(len(data))])))
        assert results["also"][name] == pytest.approx((logits.argmax(1).numpy() == data.labels).mean())
    assert results["also"]["other"] != results["also"]["test"]


def test_validation_part_is_cut_from_the_training_data_and_the_test_data_left_alone():
    results = train(_config(val_share=0.3, limit=40), source=source(100, seed=1), model=network())
    assert (results["data"]["train"], results["data"]["test"]) == (40, 30)
    assert results["data"]["tested_on"] == "0.3 of train, set aside"


def test_model_and_data_by_name(tmp_path):
    config = _config(tmp_path, data="digits", limit=40, eval_limit=20, epochs=1, flip=None, ema=0.99)
    results = train(replace(config, tensorboard=True))
    assert results["data"]["flip"] is False
    assert len(results["data"]["classes"]) == 10
    assert list((tmp_path / "tensorboard").iterdir())
    from augwise.training.trained import trained

    assert trained(tmp_path).model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    fine = train(
        _config(
            tmp_path / "fine",
            data="digits",
            limit=40,
            eval_limit=20,
            epochs=1,
            lr=1e-12,
            checkpoint=tmp_path / "weights.safetensors",
        )
    )
    assert fine["environment"]["threads"] == torch.get_num_threads()
    tuned, start = (load_file(p / "weights.safetensors") for p in (tmp_path / "fine", tmp_path))
    assert all(torch.allclose(tuned[k], start[k], atol=1e-6) for k in tuned if "running" not in k and "num_" not in k)


def test_the_reported_accuracies_are_the_last_and_the_median_of_the_last_ten():
    accuracies = [0.99, 0.9, 0.1, 0.5, 0.52, 0.53, 0.51, 0.6, 0.61, 0.2, 0.3, 0.55]
    found = summary([{"epoch": i, "test_accuracy": a} for i, a in enumerate(accuracies)])
    assert found == {"last_accuracy": 0.55, "median_last_ten": pytest.approx((0.51 + 0.52) / 2)}
    some = [{"epoch": i} for i in range(9)] + [{"epoch": 10, "test_accuracy": 0.5}, {"epoch": 11, "test_accuracy": 0.3}]
    assert summary(some) == {"last_accuracy": 0.3, "median_last_ten": pytest.approx(0.4)}
    assert summary([{"test_accuracy": 0.25}]) == {"last_accuracy": 0.25, "median_last_ten": 0.25}


def test_bf16_on_the_cpu():
    results = _train(_config(precision="bf16"))
    assert results["precision"] == "bf16"
    assert np.isfinite(results["curve"][-1]["train_loss"])


def test_who_asks_for_imitated_bf16_is_told():
    assert "takes 13.1 times as long" in emulation_note("cpu", "bf16", 13.06)
    assert emulation_note("cpu", "bf16", 0.4) == emulation_note("cpu", "auto", 9.0) == ""
    assert emulation_note("cuda", "bf16", 9.0) == ""
    random = torch.get_rng_state()
    assert bf16_slowdown() > 0  # how much is the machine's affair
    assert torch.equal(torch.get_rng_state(), random)


def test_measured_after_the_last_epochs_only(tmp_path):
    results = _train(_config(tmp_path, epochs=3, eval_last=2))
    assert ["test_accuracy" in row for row in results["curve"]] == [False, True, True]
    every = _train(_config(epochs=3))
    assert results["test"]["last_accuracy"] == every["test"]["last_accuracy"]
    rows = list(csv.DictReader((tmp_path / "curve.csv").read_text().splitlines()))
    assert [row["test_accuracy"] == "" for row in rows] == [True, False, False]


def test_label_smoothing_is_part_of_the_loss():
    plain, smooth = (_train(_config(lr=1e-12, epochs=1, label_smoothing=s))["curve"][0]["train_loss"] for s in (0, 0.4))
    assert smooth != pytest.approx(plain, abs=1e-4)


class WrongLabels:
    """A source that breaks its own promise."""

    def __init__(self):
        inner = source(70)
        self.inner, self.name, self.flip = inner, "wrong", False
        self.class_names = inner.class_names
        self.labels = inner.labels.copy()
        self.labels[5] = 3

    def __len__(self):
        return 70

    def __getitem__(self, i):
        return self.inner[i]

    def fingerprint(self, i):
        return self.inner.fingerprint(i)


@pytest.mark.parametrize(
    ("parts", "changes", "message"),
    [
        ({"source": WrongLabels()}, {}, "image 5 of wrong has label 3, but there are 3 classes"),
        ({"model": network(classes=4)}, {}, r"gives \(2, 4\) for 2 images, where 3 classes need \(2, 3\)"),
        (
            {"model": None},
            {"model": "torchvision:alexnet"},
            r"AlexNet cannot take images of shape \(3, 8, 8\) .*set size",
        ),
        ({}, {"batch_size": 71}, "batch_size=71 is more than the 70 training images"),
        ({"steps": [aw.Cutout(3, quantile=0.6)]}, {}, "Cutout is guarded but there are no importance maps"),
        ({"steps": [aw.SoftenLabels()]}, {}, "SoftenLabels needs importance maps, but there are none: give maps="),
        ({"transform": aw.Cutout(3)}, {}, "set loader='workers'"),
        ({"test": None}, {}, "source comes without test"),
        ({}, {"epochs": 0}, "epochs=0 is not positive"),
        ({}, {"schedule": "steps"}, "needs milestones within the 2 epochs"),
        ({}, {"optimizer": "lion"}, "optimizer='lion' is unknown: use one of sgd, adamw"),
        ({}, {"num_workers": 2}, "set loader=workers"),
        ({}, {"ema": 1.0}, "ema=1.0 is out of range"),
        ({}, {"warmup_epochs": 2}, "leaves nothing of epochs=2"),
        ({}, {"device": "gpu"}, "device='gpu' is unknown"),
        ({"model": None}, {"model": "nonsense"}, "model 'nonsense' is unknown"),
        ({"source": None, "test": None}, {"data": "nonsense"}, "'nonsense' is unknown"),
        ({"maps": "nowhere.maps"}, {}, "nowhere.maps"),
    ],
)
def test_bad_input_stops_before_any_step(parts, changes, message):
    with pytest.raises(UserError, match=message):
        _train(_config(**changes), **parts)


def test_an_unwritable_folder_stops_before_any_step(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written to"):
        _train(_config(tmp_path / "file"))


def test_results_tell_the_commit_of_augwise_from_wherever_they_are_made(tmp_path, monkeypatch):
    here = Path(__file__).parent
    git = shutil.which("git")
    asked = git and subprocess.run([git, "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True)
    if not asked or asked.returncode:
        pytest.skip("not a checkout")
    monkeypatch.chdir(tmp_path)
    found = environment(torch.device("cpu"))
    if "site-packages" in Path(aw.__file__).parts:  # an installed one belongs to no checkout, wherever it lies
        assert "augwise_commit" not in found
        return
    assert found["augwise_commit"].removesuffix("+changes") == asked.stdout.strip()
    assert "commit" not in found  # the folder one works in belongs to no checkout


def test_a_run_is_not_written_into_an_importance_store(tmp_path):
    (tmp_path / "maps.npy").touch()
    with pytest.raises(UserError, match="is an importance store"):
        _train(_config(tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["maps.npy"]
