"""The verb analyse on tiny runs: numbers are those of the pure functions, what is kept is gone on with, mistakes
told."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import augwise as aw
from augwise import randomness
from augwise.analysis import analyse_kept, analyse_landscape, analyse_runs
from augwise.analysis.analyse_robustness import robustness
from augwise.analysis.calibration_errors import errors, probabilities
from augwise.analysis.detection import detect, strangeness
from augwise.analysis.directions import filter_normalised, flat, gaussian, shaped
from augwise.analysis.hessian import HessianVector
from augwise.analysis.linf_attacks import fgsm, pgd
from augwise.cli import main
from augwise.models.weights import read_weights
from augwise.training.train import train
from augwise.training.trained import trained
from reference.training_toys import source

N = 24  # test images


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Runs on images of 8×12 px: two seeds, a wider network, and images of other things."""
    torch.set_num_threads(1)
    home = tmp_path_factory.mktemp("analyse")
    images = {}
    for split, n, seed in (("train", 60, 0), ("test", N, 1)):
        made = source(n, side=12, seed=seed)
        images |= {f"{split}_images": made.images[:, :, :8].permute(0, 2, 3, 1).numpy(), f"{split}_labels": made.labels}
    np.savez(home / "toys.npz", **images, class_names=np.array(["cat", "dog", "owl"]))
    ask = {"epochs": 2, "batch_size": 20, "tensorboard": False, "quiet": True, "data": f"npz:{home / 'toys.npz'}"}
    for name, given in {
        "one": {},
        "two": {"seed": 1},
        "three": {"seed": 2},
        "other": {"model": "torchvision:shufflenet_v2_x0_5", "epochs": 1},
    }.items():
        train(aw.TrainConfig(**(ask | given), out=home / name))
    for folder, label in (("a/hard_cat", 0), ("a/hard_owl", 2), ("o/hard_cat", 1)):
        (home / folder).mkdir(parents=True)
        for i in np.flatnonzero(made.labels == label):
            Image.fromarray(made.images[i, :, :8].permute(1, 2, 0).numpy()).save(home / folder / f"{i}.png")
    (home / "map.json").write_text(json.dumps({"hard_cat": "cat", "hard_owl": 2}))
    return home


def asked(root, out, *names, **given):
    return aw.AnalyseRuns(tuple(root / n for n in names or ("one", "two")), out=out, quiet=True, batch_size=10, **given)


def shown(root, name="one"):
    """(model, images, labels) of a run's test images."""
    data = aw.open_source(f"npz:{root / 'toys.npz'}", "test")
    pixels = torch.stack([data[i][0] for i in range(N)]).float() / 255
    return trained(root / name).model, pixels, torch.as_tensor(data.labels)


def loss_of(model, pixels, labels):
    with torch.no_grad():
        return nn.functional.cross_entropy(model(pixels), labels).item()


def untouched(root, *names):
    return {name: (root / name / "weights.safetensors").read_bytes() for name in names}


# The numbers --------------------------------------------------------------------------------------------------------


def test_the_landscapes_middle_is_the_runs_loss_and_its_curvature_that_of_the_hessian(root, tmp_path):
    config = aw.AnalyseLandscape(asked(root, tmp_path), radius=0.002, points=5, grid=3, steps=20)
    before, results = untouched(root, "one", "two"), aw.analyse(config)
    assert untouched(root, "one", "two") == before
    for run in results["runs"]:
        model, pixels, labels = shown(root, run["name"])
        right = (model(pixels).argmax(1) == labels).float().mean().item()
        assert run["loss"] == pytest.approx(loss_of(model, pixels, labels), rel=1e-6)
        assert run["accuracy"] == pytest.approx(right)
        assert run["loss"] == run["lines"][0]["loss"][2] == run["lines"][1]["loss"][2] == run["surface"]["loss"][1][1]
        assert run["lines"][0]["steps"] == [-0.002, -0.001, 0, 0.001, 0.002]
        # What is walked is the line: ends of the grid's middle row and of the line are the same places.
        assert run["surface"]["loss"][1][0] == pytest.approx(run["lines"][0]["loss"][0], rel=1e-6)
        assert run["surface"]["loss"][2][1] == pytest.approx(run["lines"][1]["loss"][4], rel=1e-6)
        product = HessianVector(model, lambda p=pixels, y=labels: [(p, y)])
        for axis, told in enumerate(run["directions"]):
            with np.load(tmp_path / "kept" / f"{run['name']}-directions.npz") as kept:
                vector = torch.from_numpy(kept["vectors"][axis])
            assert vector.norm().item() == pytest.approx(1, abs=1e-5)
            assert (vector @ product(vector)).item() == pytest.approx(told["eigenvalue"], rel=1e-3)
            assert vector[vector.abs().argmax()] > 0


def test_random_directions_are_filter_normalised_and_the_same_for_all_runs(root, tmp_path):
    config = aw.AnalyseLandscape(asked(root, tmp_path, seed=5), "random", points=3, grid=0, limit=9)
    results = aw.analyse(config)
    assert results["radius"] == 1.0
    data = aw.open_source(f"npz:{root / 'toys.npz'}", "test", limit=9)
    pixels, labels = torch.stack([data[i][0] for i in range(9)]).float() / 255, torch.as_tensor(data.labels)
    for run in results["runs"]:
        assert run["surface"] is None
        model = trained(root / run["name"]).model
        weights = list(model.parameters())
        for axis in (0, 1):
            direction = filter_normalised(gaussian(model, 5, "landscape", axis), weights)
            for parameter, d in zip(weights, direction, strict=True):
                parameter.data += d
            assert run["lines"][axis]["loss"][2] == pytest.approx(loss_of(model, pixels, labels), rel=1e-5)
            for parameter, d in zip(weights, direction, strict=True):
                parameter.data -= d


def test_curvature_of_both_solvers(root, tmp_path):
    on = replace(asked(root, tmp_path / "l", "one"), batch_size=N)
    config = aw.AnalyseHessian(on, top=2, steps=20, probes=2, probe_steps=12)
    (run,) = aw.analyse(config)["runs"]
    power = replace(config, on=replace(on, out=tmp_path / "p"), solver="power", probes=0)
    (other,) = aw.analyse(power)["runs"]
    assert run["products"] < other["products"]
    for told in (*run["eigenvalues"], *other["eigenvalues"]):
        assert told["found"] == (told["residual"] <= 0.01 * abs(told["value"]))
    largest = max((e["value"] for e in other["eigenvalues"]), key=abs)
    known = [run["eigenvalues"][0]["value"], run["lowest"]]
    assert min(abs(largest - k) for k in known) < 0.02 * abs(largest)
    assert run["parameters"] == sum(p.numel() for p in trained(root / "one").model.parameters())
    assert run["highest"] == pytest.approx(run["eigenvalues"][0]["value"], rel=1e-2)
    for probe in run["probes"]:
        assert sum(probe["weights"]) == pytest.approx(1)
    traces = [run["parameters"] * np.dot(p["nodes"], p["weights"]) for p in run["probes"]]
    assert run["trace"] == pytest.approx(np.mean(traces))
    at, value = (np.array(run["density"][k]) for k in ("at", "value"))
    assert np.trapezoid(value, at) == pytest.approx(1, abs=0.01)
    model, pixels, labels = shown(root)
    gradient = torch.autograd.grad(
        nn.functional.cross_entropy(model.requires_grad_(True)(pixels), labels), list(model.parameters())
    )
    assert run["gradient"] == pytest.approx(flat(gradient).norm().item(), rel=1e-4)


def test_noise_of_nothing_changes_nothing_and_draws_are_what_they_are_said_to_be(root, tmp_path):
    config = aw.AnalyseNoise(asked(root, tmp_path), sigmas=(0.05, 0.0), draws=2)
    before, results = untouched(root, "one", "two"), aw.analyse(config)
    assert untouched(root, "one", "two") == before
    assert results["sigmas"] == [0.0, 0.05]
    for run in results["runs"]:
        model, pixels, labels = shown(root, run["name"])
        still, noisy = run["points"]
        assert still["loss"]["low"] == still["loss"]["high"] == pytest.approx(loss_of(model, pixels, labels), rel=1e-6)
        start, losses = [p.detach().clone() for p in model.parameters()], []
        for draw in range(2):
            for p, s, d in zip(model.parameters(), start, gaussian(model, 0, "noise", draw), strict=True):
                p.data = s + 0.05 * d
            losses.append(loss_of(model, pixels, labels))
        assert noisy["loss"]["mean"] == pytest.approx(np.mean(losses), rel=1e-5)
        assert (noisy["loss"]["low"], noisy["loss"]["high"]) == pytest.approx((min(losses), max(losses)), rel=1e-5)


def test_noise_in_units_of_the_filters(root, tmp_path):
    (run,) = aw.analyse(aw.AnalyseNoise(asked(root, tmp_path, "one"), (0.3,), "filter", draws=1))["runs"]
    model, pixels, labels = shown(root)
    drawn = filter_normalised(gaussian(model, 0, "noise", 0), list(model.parameters()))
    for parameter, d in zip(model.parameters(), drawn, strict=True):
        parameter.data += 0.3 * d
    assert run["points"][1]["loss"]["mean"] == pytest.approx(loss_of(model, pixels, labels), rel=1e-5)


def test_robustness_is_that_of_the_pure_attacks(root, tmp_path):
    on = asked(root, tmp_path)
    config = aw.AnalyseRobustness(
        on, grey=(root / "three",), black=(root / "other",), epsilons=("8/255", "0.1"), steps=3, resamples=100
    )
    results = aw.analyse(config)
    assert len(results["rows"]) == 2 * 2 * 3 * 2  # attacks, epsilons, attackers, runs
    data = aw.open_source(f"npz:{root / 'toys.npz'}", "test")
    noise = [torch.rand(3, 8, 12, generator=randomness.generator(0, "pgd", data.fingerprint(i))) for i in range(N)]
    start = 2 * torch.stack(noise) - 1
    models = {name: trained(root / name).model for name in ("one", "two", "three", "other")}
    _, pixels, labels = shown(root)
    for row in results["rows"]:
        target, by = models[row["run"]], models[row["by"] or row["run"]]
        assert (row["access"], row["by"]) in (("white", None), ("grey", "three"), ("black", "other"))
        epsilon = row["epsilon"]
        found = (
            fgsm(by, pixels, labels, epsilon)
            if row["attack"] == "fgsm"
            else pgd(by, pixels, labels, epsilon, start, 3, 2.5 / 3 * epsilon)
        )
        right = (target(found.images).argmax(1) == labels).float().mean().item()
        assert row["accuracy"]["mean"] == pytest.approx(right, abs=1.01 / N)  # a tie of logits may fall either way
        assert row["loss"] == pytest.approx(loss_of(target, found.images, labels), rel=1e-3)
        assert row["accuracy"]["low"] <= row["accuracy"]["mean"] <= row["accuracy"]["high"]
        assert (row["over_first"] is None) == (row["run"] == "one")
    assert {r["epsilon"] for r in results["rows"]} == {8 / 255, 0.1}
    key, apart = ("access", "by", "attack", "epsilon"), []
    first = {tuple(r[k] for k in key): r["accuracy"]["mean"] for r in results["rows"] if r["run"] == "one"}
    for row in [r for r in results["rows"] if r["run"] == "two"]:
        apart.append(row["accuracy"]["mean"] - first[tuple(row[k] for k in key)])
        assert row["over_first"]["mean"] == pytest.approx(apart[-1], abs=1e-9)
    assert any(apart)


def test_an_attack_from_the_image_itself_and_intervals_of_another_seed(root, tmp_path):
    given = {"attacks": ("pgd",), "epsilons": ("4/255", "0.1", "0.2"), "steps": 2, "alpha": 0.4, "random_start": False}
    one, other = (
        robustness(aw.AnalyseRobustness(asked(root, None, seed=seed), resamples=100, **given), tmp_path / str(seed))
        for seed in (0, 7)
    )
    for row in one["rows"]:
        model, pixels, labels = shown(root, row["run"])
        epsilon = row["epsilon"]
        found = pgd(model, pixels, labels, epsilon, torch.zeros_like(pixels), 2, 0.4 * epsilon)
        assert row["loss"] == pytest.approx(loss_of(model, found.images, labels), rel=1e-3)

    def told(results, *names):
        return [[row["accuracy"][name] for name in names] for row in results["rows"]]

    assert told(one, "mean") == told(other, "mean")  # nothing is drawn but the resamples
    assert told(one, "low", "high") != told(other, "low", "high")


def test_foreign_images_are_told_by_the_pure_scores(root, tmp_path):
    config = aw.AnalyseOod(asked(root, tmp_path), foreign=("noise", f"images:{root / 'o'}"), resamples=100)
    results = aw.analyse(config)
    assert [f["spec"] for f in results["foreign"]] == ["noise", "o"]
    assert len(results["rows"]) == 2 * 2 * 4
    files = sorted((root / "o" / "hard_cat").iterdir())
    assert results["foreign"][1]["images"] == len(files)
    from augwise.data.image_files import decode

    strange = torch.stack([decode(f) for f in files]).float() / 255
    for row in [r for r in results["rows"] if r["foreign"] == "o"]:
        model, pixels, _ = shown(root, row["run"])
        known, foreign = (strangeness(model(x).detach().numpy())[row["score"]] for x in (pixels, strange))
        for measure, value in detect(known, foreign)._asdict().items():
            assert row[measure]["mean"] == pytest.approx(value[0], abs=0.02)
        assert row["chance"] == len(files) / (len(files) + N)


def test_natural_adversarial_folders(root, tmp_path):
    on = asked(root, tmp_path)
    mapped = {"mapping": root / "map.json", "resamples": 100, "bins": 4}
    config = aw.AnalyseNatural(on, known=root / "a", unknown=root / "o", **mapped)
    results = aw.analyse(config)
    _, pixels, labels = shown(root)
    hard = pixels[(labels == 0) | (labels == 2)]
    truth = labels[(labels == 0) | (labels == 2)]
    assert results["known"]["images"] == len(hard)
    assert results["known"]["classes"] == 2
    for row in results["known"]["rows"]:
        logits = trained(root / row["run"]).model(hard).detach()
        among = torch.where(logits[:, 0] >= logits[:, 2], 0, 2)
        assert row["accuracy"]["mean"] == pytest.approx((among == truth).float().mean().item())
        assert row["accuracy_all"]["mean"] == pytest.approx((logits.argmax(1) == truth).float().mean().item())
        expected = errors(probabilities(logits.numpy()), truth.numpy(), 4)
        assert (row["ece"], row["confidence"]) == pytest.approx((expected["ece"], expected["confidence"]), abs=1e-4)
    first, second = results["known"]["rows"]
    assert first["over_first"] is None
    apart = second["accuracy"]["mean"] - first["accuracy"]["mean"]
    assert apart
    assert second["over_first"]["mean"] == pytest.approx(apart)
    # The foreign folder names cats: they are told from the run's own cats alone.
    assert results["unknown"]["known_images"] == int((labels == 0).sum())
    assert results["unknown"]["images"] == int((labels == 1).sum())
    for row in results["unknown"]["rows"]:
        model = trained(root / row["run"]).model
        known, foreign = (strangeness(model(pixels[labels == c]).detach().numpy())[row["score"]] for c in (0, 1))
        assert row["aupr"]["mean"] == pytest.approx(detect(known, foreign).aupr[0], abs=0.02)
    alone = aw.analyse(aw.AnalyseNatural(asked(root, tmp_path / "k"), known=root / "a", mapping=root / "map.json"))
    assert "unknown" not in alone
    assert alone["data"]["images"] == len(hard)
    assert [r["accuracy"]["mean"] for r in alone["known"]["rows"]] == [
        r["accuracy"]["mean"] for r in results["known"]["rows"]
    ]


def test_calibration_is_that_of_the_pure_errors_and_of_evaluate(root, tmp_path):
    results = aw.analyse(aw.AnalyseCalibration(asked(root, tmp_path), bins=5, resamples=100))
    for run in results["runs"]:
        model, pixels, labels = shown(root, run["name"])
        expected = errors(probabilities(model(pixels).detach().numpy()), labels.numpy(), 5)
        assert {k: run[k] for k in expected} == pytest.approx(expected, rel=1e-4)
        assert sum(b["images"] for b in run["bins"]) == N
        assert run["scaled"]["loss"] > 0
    accuracy = json.loads((root / "one" / "results.json").read_text())["test"]["last_accuracy"]
    assert results["runs"][0]["accuracy"] == pytest.approx(accuracy)


# Going on -----------------------------------------------------------------------------------------------------------


def test_an_analysis_that_was_stopped_goes_on_and_ends_the_same(root, tmp_path, monkeypatch):
    config = aw.AnalyseLandscape(asked(root, tmp_path / "whole"), points=3, grid=3, steps=6)
    whole = aw.analyse(config)
    walked, stop, real = [], [8], analyse_landscape.measure

    def counted(model, batches):
        walked.append(1)
        if len(walked) in stop:
            raise KeyboardInterrupt
        return real(model, batches)

    monkeypatch.setattr(analyse_landscape, "measure", counted)
    part = replace(config, on=asked(root, tmp_path / "part"))
    with pytest.raises(KeyboardInterrupt):
        aw.analyse(part)
    assert not (tmp_path / "part" / "results.json").exists()
    stop.clear()
    found = aw.analyse(part)
    # Two lines of three points were whole when it stopped in the first row: 3 + 3 of 15 points are not walked again.
    assert len(walked) == 8 + 2 * 15 - 6
    assert found["runs"] == whole["runs"]
    del walked[:]
    assert aw.analyse(part)["runs"] == whole["runs"]
    assert not walked
    # What the numbers depend on is part of what is kept: another run in the same place is computed anew.
    shutil.copytree(root / "three", tmp_path / "runs" / "one")
    moved = aw.analyse(replace(part, on=replace(part.on, runs=(tmp_path / "runs" / "one",))))
    assert walked
    assert moved["runs"][0]["loss"] != whole["runs"][0]["loss"]


def test_a_damaged_cell_is_computed_anew(tmp_path):
    kept, made = analyse_kept.Kept(tmp_path, {"a": 1}), []

    def compute():
        made.append(1)
        return {"x": np.arange(3)}

    for _ in range(2):
        assert kept.cell("one cell", {"b": 2}, compute)["x"].tolist() == [0, 1, 2]
    assert len(made) == 1
    path = tmp_path / "kept" / "one-cell.npz"
    path.write_bytes(path.read_bytes()[:100])
    kept.cell("one cell", {"b": 2}, compute)
    kept.cell("one cell", {"b": 3}, compute)
    assert len(made) == 3


def test_runs_of_one_name_are_told_apart(tmp_path):
    folders = [tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "third"]
    assert analyse_runs.names_of(folders) == ["x/run", "y/run", "third"]


# Mistakes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lambda on: aw.AnalyseLandscape(on, points=4), "--points 4: give an odd number"),
        (lambda on: aw.AnalyseLandscape(on, grid=2), "--grid 2: give an odd number"),
        (lambda on: aw.AnalyseLandscape(on, radius=0.0), "--radius 0.0"),
        (lambda on: aw.AnalyseHessian(on, top=0, probes=0), "leave nothing to compute"),
        (lambda on: aw.AnalyseHessian(on, top=60), "need more than --steps 60"),
        (lambda on: aw.AnalyseHessian(on, tolerance=1.5), "--tolerance 1.5"),
        (lambda on: aw.AnalyseNoise(on, sigmas=(0.1, -0.1)), "--sigmas -0.1"),
        (lambda on: aw.AnalyseNoise(on, draws=0), "--draws 0: give at least 1"),
        (lambda on: aw.AnalyseRobustness(on, epsilons=("8",)), "epsilon '8' is no bound in pixel values"),
        (lambda on: aw.AnalyseRobustness(on, epsilons=("0/255",)), "epsilon '0/255' is no bound"),
        (lambda on: aw.AnalyseRobustness(on, alpha=0.0), "--alpha 0.0"),
        (lambda on: aw.AnalyseRobustness(on, steps=0), "--steps 0: give at least 1"),
        (lambda on: aw.AnalyseRobustness(on, attacks=("cw",)), "attack 'cw' is unknown"),  # pyright: ignore
        (lambda on: aw.AnalyseOod(on), "--foreign names no images"),
        (lambda on: aw.AnalyseNatural(on), "give --known, --unknown or both"),
        (lambda on: aw.AnalyseCalibration(on, bins=0), "--bins 0"),
        (lambda on: aw.AnalyseNoise(replace(on, runs=())), "--runs names no run"),
        (lambda on: aw.AnalyseNoise(replace(on, runs=on.runs * 2)), "twice"),
        (lambda on: aw.AnalyseNoise(replace(on, device="tpu")), "device='tpu' is unknown"),
    ],
)
def test_mistakes_are_named_before_anything_is_read(root, tmp_path, config, message):
    with pytest.raises(aw.UserError, match=message.replace("(", r"\(")):
        aw.analyse(config(asked(root, tmp_path, "one")))


def test_runs_that_cannot_be_compared_are_refused(root, tmp_path):
    def refused(change, message, **given):
        shutil.copytree(root / "one", tmp_path / "changed", dirs_exist_ok=True)
        results = json.loads((root / "one" / "results.json").read_text())
        change(results)
        (tmp_path / "changed" / "results.json").write_text(json.dumps(results))
        runs = aw.AnalyseRuns((root / "two", tmp_path / "changed"), out=tmp_path / "out", quiet=True, **given)
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(aw.AnalyseCalibration(runs, limit=6))

    refused(lambda r: r["data"].update(name="birds"), "was trained on toys and .*changed on birds: name the images")
    refused(lambda r: r["data"].update(classes=["cat", "dog", "emu"]), "class 2 is 'owl' for .* and 'emu' for")
    refused(lambda r: r["config"].update(size=32), "see images differently .*their own size; 3 channels, 32 px")
    refused(lambda r: r.update(kind="compare"), "not the result of a training run")
    weights = read_weights(root / "one" / "weights.safetensors")
    from safetensors.torch import save_file

    head = {k: v.clone() for k, v in weights.items()}
    head["head.weight"], head["head.bias"] = torch.zeros(4, 64), torch.zeros(4)
    (tmp_path / "changed").mkdir(exist_ok=True)

    def four(results):
        results["data"]["classes"] = ["cat", "dog", "owl", "fox"]
        save_file(head, tmp_path / "changed" / "weights.safetensors")

    refused(four, "knows 3 classes and .*changed 4")
    head = {k: v.clone() for k, v in weights.items()}
    head["head.weight"].zero_()
    refused(lambda _: save_file(head, tmp_path / "changed" / "weights.safetensors"), "answers every image alike")
    head["head.bias"][0] = float("nan")
    refused(lambda _: save_file(head, tmp_path / "changed" / "weights.safetensors"), "NaN or infinity in head.bias")


def test_unfinished_and_missing_runs_are_refused(tmp_path):
    def refused(message):
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(aw.AnalyseCalibration(aw.AnalyseRuns((tmp_path / "run",), out=tmp_path / "out", quiet=True)))

    refused("does not exist: give the folder of a finished training run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"")
    refused("is not finished: give the command that trained it again")


def test_substitutes_have_to_be_what_they_are_given_as(root, tmp_path):
    def refused(message, **given):
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(aw.AnalyseRobustness(asked(root, tmp_path, "one"), **given))

    refused("a grey-box attack knows the architecture", grey=(root / "other",))
    refused("does not know the architecture", black=(root / "two",))
    shutil.copytree(root / "one", tmp_path / "copy")
    refused("has the very weights of", grey=(tmp_path / "copy",))


def test_vectors_that_do_not_fit_are_refused_with_the_cure(root, tmp_path, monkeypatch):
    from augwise.data import resident

    monkeypatch.setattr(resident, "free_bytes", lambda _: 10_000_000)
    for config, cure in (
        (aw.AnalyseLandscape(asked(root, tmp_path, "one")), "fewer --steps, or --directions random"),
        (aw.AnalyseHessian(asked(root, tmp_path, "one"), top=1), "--solver power --probes 0"),
    ):
        with pytest.raises(aw.UserError, match=f"60 vectors of the .* are free: give .*{cure}"):
            aw.analyse(config)


def test_mappings_are_checked(root, tmp_path):
    def refused(mapping, message, folder="a"):
        (tmp_path / "map.json").write_text(mapping if isinstance(mapping, str) else json.dumps(mapping))
        config = aw.AnalyseNatural(asked(root, tmp_path), known=root / folder, mapping=tmp_path / "map.json")
        with pytest.raises(aw.UserError, match=message):
            aw.analyse(config)

    refused({"hard_cat": "cat"}, r"1 of the 2 class folders of .*hard_owl\): add them to the JSON file of --mapping")
    refused(
        {"hard_cat": "cat", "hard_owl": "emu"}, "maps 'hard_owl' to 'emu', which is no class of the runs: give one of"
    )
    refused({"hard_cat": "cat", "hard_owl": 3}, "or a number from 0 to 2")
    refused({"hard_cat": True}, "to True")
    refused("[]", "is no mapping")
    refused("{", "cannot be read")
    refused({"hard_cat": "cat"}, "is not a folder", folder="nowhere")


def test_results_of_another_word_are_not_overwritten(root, tmp_path, capsys):
    on = ["--runs", str(root / "one"), "--quiet", "--out", str(tmp_path)]
    main(["analyse", "calibration", *on, "--resamples", "100"])
    said = capsys.readouterr().out
    assert "Expected calibration error: one" in said
    assert str(tmp_path / "report.html") in said
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["command"].startswith("augwise analyse calibration --runs")
    with pytest.raises(SystemExit):
        main(["analyse", "noise", *on])
    assert "holds the results of 'calibration', which would be lost" in capsys.readouterr().err


def test_shapes_and_flat_undo_each_other_on_a_run(root):
    weights = list(trained(root / "one").model.parameters())
    assert torch.equal(flat(shaped(flat(weights), weights)), flat(weights))
