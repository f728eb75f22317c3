"""The verb fidelity: its numbers are those of the pure functions, what it keeps it goes on with, mistakes are named."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import augwise as aw
from augwise import randomness
from augwise.analysis.bootstrap import bootstrap
from augwise.analysis.fidelity_config import FidelityConfig
from augwise.analysis.fidelity_drops import tables, windows_of
from augwise.analysis.fidelity_maps import timed
from augwise.analysis.fidelity_networks import Network, _on_its_images, check_fits, settings_of
from augwise.catalogue import estimators
from augwise.cli import main
from augwise.data import ArraySource, Subset
from augwise.data.sources import limited, split_validation
from augwise.importance.fidelity import fidelity, window_scores
from augwise.importance.rows import Rows
from augwise.models.weights import load_weights
from augwise.training.train import train
from reference.photographs import folder
from reference.training_toys import network, source

ASK = {
    "limit": 40, "estimators": ("occlusion", "corners"), "windows": 10, "resamples": 200, "cases": 2, "seed": 1,
    "quiet": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("fidelity")
    train(aw.TrainConfig(epochs=3, limit=200, batch_size=50, out=folder / "run", tensorboard=False, quiet=True))
    return folder


@pytest.fixture(scope="module")
def found(root):
    """Results, per-image values and configuration of a call that trains the other network itself."""
    config = FidelityConfig(run=root / "run", out=root / "out", **ASK)
    results = aw.fidelity(config, command="augwise fidelity")
    return results, dict(np.load(root / "out" / "images.npz")), config


def model_of(run):
    from augwise.training.trained import trained

    return trained(run).model


def test_numbers_are_those_of_the_pure_functions(found, root):
    results, values, _ = found
    assert [n["name"] for n in results["networks"]] == ["run", "seed-1"] == values["networks"].tolist()
    names = [entry["name"] for entry in results["maps"]]
    assert names == ["occlusion", "corners", "centre", "uniform"] == values["maps"].tolist()
    data = aw.open_source("digits", "test", limit=40)
    hashes = [data.fingerprint(i) for i in range(40)]
    assert values["hashes"].tolist() == hashes
    images = torch.stack([data[i][0] for i in range(40)]).float() / 255
    labels, seeds = torch.from_numpy(data.labels), [randomness.derive(1, key) for key in hashes]
    for r, run in enumerate((root / "run", root / "out" / "networks" / "seed-1")):
        right = (model_of(run)(images).argmax(1) == labels).numpy()
        assert (values["right"][r] == right).all()
        assert results["networks"][r]["right"] == right.sum()
        assert results["networks"][r]["mean_drop"] == pytest.approx(values["drops"][r].mean())
        spread = np.mean([np.std(drops) for drops in values["drops"][r]])
        assert results["networks"][r]["mean_spread"] == pytest.approx(spread)
        for m, name in enumerate(names):
            store = aw.ImportanceStore(root / "out" / "maps" / name).attach(data)
            maps = store.read(np.arange(40))
            own = aw.erasure_fidelity(model_of(run), maps, images, labels, seeds, windows=10).numpy()
            np.testing.assert_allclose(values["fidelity"][m, r], own, atol=0.03)  # a near tie may fall either way
            scores = window_scores(store.deranged(1).read(np.arange(40)), torch.from_numpy(values["boxes"]), (32, 32))
            other = fidelity(scores, torch.from_numpy(values["drops"][r])).numpy()
            np.testing.assert_allclose(values["another"][m, r], other, atol=1e-12)
            on = results["maps"][m]["on"][r]
            assert on["network"] == results["networks"][r]["name"]
            assert on["fidelity"]["mean"] == pytest.approx(np.mean(own), abs=0.01)
            assert on["fidelity"]["n"] == results["networks"][r]["used"] == 40
            assert on["fidelity"]["low"] < on["fidelity"]["mean"] < on["fidelity"]["high"]
            (alone,) = bootstrap(values["fidelity"][m, r][:, None], resamples=200, seed=1)
            assert on["fidelity"] == pytest.approx(alone)
            apart = values["fidelity"][m, r] - values["fidelity"][2, r]
            assert on["over_centre"] is None if m == 2 else on["over_centre"]["mean"] == pytest.approx(apart.mean())
            foreign = values["fidelity"][m, r] - values["another"][m, r]
            assert on["over_another"]["mean"] == pytest.approx(foreign.mean())
    assert (values["fidelity"][2] == values["another"][2]).all()  # the centre prior is the same map for every image


def test_what_it_finds_is_plausible_and_told(found, root):
    results, values, _ = found
    first = {entry["name"]: entry["on"][0] for entry in results["maps"]}
    assert first["occlusion"]["over_centre"]["low"] > 0
    assert first["occlusion"]["over_another"]["low"] > 0
    assert abs(first["uniform"]["fidelity"]["mean"]) < 0.2
    text = (root / "out" / "table.txt").read_text()
    assert [line.split()[0] for line in text.splitlines()[1:5]] == sorted(
        first, key=lambda name: -first[name]["fidelity"]["mean"]
    )
    for words in ("82 forward passes per image", "trained here from another seed", "favours maps that measure erasing"):
        assert words in text
    occlusion = results["maps"][0]
    assert occlusion["images_timed"] == 40
    assert occlusion["seconds_per_image"] > results["maps"][2]["seconds_per_image"] > 0
    assert {"commit", "torch", "cpu"} <= results["environment"].keys() | {"commit"}
    assert json.loads((root / "out" / "results.json").read_text())["kind"] == "fidelity"
    typical = results["typical"]
    assert typical["fidelity"]["occlusion"] == np.sort(values["fidelity"][0, 0])[19]  # the lower median of 40
    shares = np.array(typical["points"]["uniform"])[:, 0]
    assert shares.mean() == pytest.approx(0.14, abs=0.05)  # of a scattered map a window holds its share of the area


def test_a_second_call_computes_nothing_and_says_the_same(found, root):
    results, values, config = found
    kept = [root / "out" / "networks" / "seed-1" / "results.json", *(root / "out" / "drops").iterdir()]
    before = [path.stat().st_mtime_ns for path in kept]
    again = aw.fidelity(config)
    assert [path.stat().st_mtime_ns for path in kept] == before
    for key in ("maps", "typical", "windows", "left_out"):
        assert again[key] == results[key]
    assert all((np.load(root / "out" / "images.npz")[name] == value).all() for name, value in values.items())


def test_grown_step_by_step_equals_one_call(found, root):
    """Fewer images and estimators first, another network given by its folder: the same numbers in the end."""
    results, values, config = found
    grown = replace(config, out=root / "grown", other=(root / "out" / "networks" / "seed-1",))
    aw.fidelity(replace(grown, limit=17, estimators=("corners",)))
    computed = {path: np.load(path)["drops"].shape for path in (root / "grown" / "drops").iterdir()}
    assert list(computed.values()) == [(17, 10)] * 2
    last = aw.fidelity(grown)
    got = dict(np.load(root / "grown" / "images.npz"))
    np.testing.assert_allclose(got["drops"], values["drops"], atol=1e-5)
    np.testing.assert_allclose(got["fidelity"], values["fidelity"], atol=0.03)
    assert [entry["name"] for entry in last["maps"]] == [entry["name"] for entry in results["maps"]]
    aw.fidelity(replace(grown, limit=17))  # fewer again: what is known of the others stays
    assert [np.load(path)["drops"].shape for path in computed] == [(40, 10)] * 2


class Stopping(nn.Module):
    """A network that is interrupted at its n-th batch; counts batches."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.inner, self.stop_at, self.calls = network(dropout=0.0).eval(), stop_at, 0
        self.training = False

    def forward(self, images):
        self.calls += 1
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        return self.inner(images)


def test_interrupted_drops_go_on(tmp_path):
    """150 images are three blocks of reading; a block takes 3 batches of 256 at 11 passes per image."""
    rows = Rows(source(150))
    config = FidelityConfig(windows=10, length=3, out=tmp_path / "a", quiet=True)
    boxes = windows_of(config, rows.hashes(), 8, 8)
    whole = Stopping()
    (expected,) = tables(config, [Network("n", whole, {})], rows, boxes, "cpu")
    stopped, config = Stopping(stop_at=5), replace(config, out=tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        tables(config, [Network("n", stopped, {})], rows, boxes, "cpu")
    (file,) = (tmp_path / "b" / "drops").iterdir()
    assert np.load(file)["drops"].shape == (64, 10)
    rest = Stopping()
    (resumed,) = tables(config, [Network("n", rest, {})], rows, boxes, "cpu")
    assert rest.calls == whole.calls - 3
    for name in ("drops", "log_probability", "right"):
        assert (getattr(resumed, name) == getattr(expected, name)).all()
    file.write_bytes(file.read_bytes()[:999])  # cut short: done again
    (again,) = tables(config, [Network("n", rest, {})], rows, boxes, "cpu")
    assert (again.drops == expected.drops).all()
    other = replace(config, fill=0.5)
    assert (tables(other, [Network("n", rest, {})], rows, boxes, "cpu")[0].drops != expected.drops).any()


def test_drops_are_kept_apart_by_all_that_decides_them(tmp_path):
    rows, net = Rows(source(6)), Network("n", Stopping(), {})
    plain = FidelityConfig(windows=5, length=3, out=tmp_path, quiet=True)
    changes = ({}, {"seed": 1}, {"windows": 6}, {"length": 4}, {"window": "clipped"}, {"fill": 0.5})
    for i, change in enumerate(changes, 1):
        config = replace(plain, **change)
        tables(config, [net], rows, windows_of(config, rows.hashes(), 8, 8), "cpu")
        assert len(list((tmp_path / "drops").iterdir())) == i
    tables(plain, [Network("n", Stopping(), {}), net], rows, windows_of(plain, rows.hashes(), 8, 8), "cpu")
    assert len(list((tmp_path / "drops").iterdir())) == len(changes)  # the same weights are the same network


def test_one_picture_under_two_labels_has_two_drops(tmp_path):
    some, net = source(5), Network("n", Stopping(), {})
    twice = ArraySource(some.images.repeat(2, 1, 1, 1), np.append(some.labels, (some.labels + 1) % 3), "abc", "twice")
    found = []
    for data, out in ((some, "grown"), (twice, "grown"), (twice, "fresh")):
        rows, config = Rows(data), FidelityConfig(windows=5, length=3, out=tmp_path / out, quiet=True)
        found += tables(config, [net], rows, windows_of(config, rows.hashes(), 8, 8), "cpu")
    first, grown, fresh = (table.drops for table in found)
    np.testing.assert_allclose(grown, fresh, atol=1e-5)
    assert (grown[:5] == first).all()
    assert (np.abs(grown[5:] - first).max(1) > 1e-3).all()


def test_drops_that_are_not_finite_are_refused(tmp_path):
    class Broken(Stopping):
        def forward(self, images):
            return super().forward(images) + torch.where(images.mean() > 0, torch.nan, 0.0)

    rows = Rows(source(9))
    config = FidelityConfig(windows=5, length=3, out=tmp_path / "a", quiet=True)
    with pytest.raises(aw.UserError, match="NaN"):
        tables(config, [Network("n", Broken(), {})], rows, windows_of(config, rows.hashes(), 8, 8), "cpu")


def test_a_network_that_says_the_same_of_all_images_is_refused_before_any_work():
    class Blind(Stopping):
        def forward(self, images):
            return 0 * super().forward(images)

    rows = Rows(source(9))
    check_fits(Stopping(), rows, "run")
    with pytest.raises(aw.UserError, match="blind: the model returns the same logits for all of 8 different images"):
        check_fits(Blind(), rows, "blind")


def test_clipped_windows_misclassified_images_and_a_given_store(root, capsys):
    data = aw.open_source("digits", "test", limit=40)
    half = np.zeros((40, 8, 8), np.float32)
    half[:20] = np.random.default_rng(0).random((20, 8, 8))
    aw.ImportanceStore.from_maps(Subset(data, range(40)), half, root / "mine")
    config = FidelityConfig(run=root / "run", out=root / "clipped", train_other=0, maps=(root / "mine",), **ASK)
    config = replace(config, window="clipped", length=0.5, only_right=True, estimators=("area",))
    found = aw.fidelity(config)
    (network,) = found["networks"]
    assert 0 < network["used"] == network["right"] < 40
    entries = {entry["name"]: entry for entry in found["maps"]}
    assert entries["mine"]["constant"] == 20
    assert entries["mine"]["cost"] is None
    values = np.load(root / "clipped" / "images.npz")
    assert (values["fidelity"][list(entries).index("mine"), 0, 20:] == 0).all()
    area = entries["area"]["on"][0]
    assert area["partial"]["mean"] == pytest.approx(0, abs=1e-9)
    assert area["fidelity"]["n"] == network["used"]
    said = capsys.readouterr().out
    assert "scores all windows alike on 20 images, which count as 0" in said
    assert "at equal area" in said
    assert "gets" in said
    assert "left out)" in said


def test_every_estimator_that_fits_is_judged_where_none_is_named(root, capsys):
    config = FidelityConfig(run=root / "run", out=root / "all", train_other=0, **ASK)
    found = aw.fidelity(replace(config, estimators=(), limit=3))
    assert {entry["name"] for entry in found["maps"]} | found["left_out"].keys() == set(estimators())
    assert "area" in found["left_out"]
    assert "area was left out: all windows inside the image have one area" in capsys.readouterr().out


def test_photographs_of_any_size_are_looked_at_whole_or_in_squares(tmp_path):
    data = folder(tmp_path / "data")
    train(aw.TrainConfig(data=data, size=24, epochs=1, batch_size=8, out=tmp_path / "run", quiet=True))
    config = FidelityConfig(data=data, run=tmp_path / "run", train_other=0, windows=6, cases=1, quiet=True)
    sizes = []
    for fit in ("crop", "stretch"):
        found = aw.fidelity(replace(config, fit=fit, out=tmp_path / fit, estimators=("corners",)))
        assert found["data"]["images"] == 8
        sizes.append(found["data"]["size"])
        shown = json.loads((tmp_path / fit / "gallery.json").read_text())["groups"][0]["examples"][0]
        assert len(shown["maps"]) == 3
    assert sizes == [[24, 24], [24, 24]]
    crop, stretch = (np.load(tmp_path / fit / "images.npz") for fit in ("crop", "stretch"))
    assert (crop["hashes"] != stretch["hashes"]).all()


def test_a_timed_estimator_is_the_same_estimator():
    told = []
    method = aw.UniformRandom(share=0.5)
    twin = timed(method, lambda images, seconds: told.append((images, seconds > 0)))
    given = (None, torch.rand(4, 3, 6, 7), torch.zeros(4, dtype=torch.long), [1, 2, 3, 4])
    assert torch.equal(twin.estimate(*given).importance, method.estimate(*given).importance)
    assert (twin.name, twin.share, twin.chunk) == (method.name, 0.5, method.chunk)
    assert told == [(4, True)]


def test_a_model_from_a_file_needs_no_run(root, found):
    """The weights of the run by themselves: the same network, so the same numbers; no other one can be trained."""
    run = json.loads((root / "run" / "results.json").read_text())
    load_weights(aw.models.build("small_cnn", 10), root / "run" / "weights.safetensors")
    config = FidelityConfig(
        model="small_cnn", checkpoint=root / "run" / "weights.safetensors", out=root / "file", **ASK
    )
    config = replace(config, mean=tuple(run["data"]["mean"]), std=tuple(run["data"]["std"]))
    alone = aw.fidelity(config)
    assert [n["name"] for n in alone["networks"]] == ["weights"]
    mean = alone["maps"][0]["on"][0]["fidelity"]["mean"]
    assert mean == pytest.approx(found[0]["maps"][0]["on"][0]["fidelity"]["mean"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--run", "{root}/run", "--estimators", "oclusion"], "did you mean 'occlusion'"),
        (["--run", "{root}/run", "--length", "32"], "length=32 is 32 pixels, and images are 32x32"),
        (["--run", "{root}/run", "--windows", "2"], "--windows 2: give at least 3"),
        (["--run", "{root}/run", "--length", "31"], "only 4 windows of 31 pixels"),
        (["--run", "{root}/run", "--fill", "3"], "fill=3"),
        (["--run", "{root}/run", "--maps", "{root}/train.maps"], "belongs to other data"),
        (["--run", "{root}/run", "--maps", "{root}/none.maps"], "none.maps does not exist"),
        (["--run", "{root}/run", "--other", "{root}/toys"], "was trained on the classes"),
        (["--run", "{root}/toys"], "was trained on the classes"),
        (["--run", "{root}/run", "--other", "{root}/run"], "is the run that makes the maps"),
        (["--run", "{root}/run", "--other", "{root}/a", "{root}/a"], "twice"),
        (["--run", "{root}/nowhere"], "nowhere"),
        ([], "fidelity looks into a classifier: give --run"),
        (["--train-other", "1"], "give --run"),
        (["--run", "{root}/toys", "--data", "npz:{root}/none.npz"], "none.npz"),
        (["--run", "{root}/run", "--maps", "{root}/centre"], "rename its folder"),
        (["--run", "{root}/run", "--limit", "2"], "--limit 2: give at least 3"),
        (["--run", "{root}/run", "--estimators", "saliency", "one_pass"], "augwise estimate --method one_pass"),
    ],
)
def test_mistakes_are_named_before_any_work(arguments, says, root, found, capsys):  # noqa: ARG001
    if not (root / "toys").exists():
        toys = aw.TrainConfig(epochs=1, batch_size=20, out=root / "toys", crop_padding=0, tensorboard=False, quiet=True)
        train(toys, source=source(), test=source(seed=1))
        some = aw.open_source("digits", limit=4)
        aw.ImportanceStore.from_maps(some, np.ones((4, 8, 8)), root / "train.maps")
        digits = aw.open_source("digits", "test", limit=40)
        aw.ImportanceStore.from_maps(digits, np.ones((40, 8, 8)), root / "centre")
    asked = [a.replace("{root}", str(root)) for a in arguments]
    out = root / "refused"
    with pytest.raises(SystemExit) as stopped:
        main(["fidelity", "--limit", "40", "--quiet", "--out", str(out), *asked])
    assert stopped.value.code == 2
    output = capsys.readouterr()
    assert says in " ".join((output.out + output.err).replace("│", " ").split())
    assert "Traceback" not in output.err
    assert not (out / "maps").exists()


def test_another_network_that_cannot_be_trained_alike_is_said(root, found, capsys):  # noqa: ARG001
    """Trained on data in memory, which the settings do not lead to: asked for, an error; else told, and left out."""
    toys = source(60)
    train(aw.TrainConfig(epochs=1, batch_size=20, out=root / "memory", crop_padding=0, tensorboard=False, quiet=True),
          source=toys, test=source(seed=1))  # fmt: skip
    images = torch.stack([toys[i][0] for i in range(60)]).permute(0, 2, 3, 1).numpy()
    np.savez(root / "toys.npz", test_images=images, test_labels=toys.labels, class_names=np.array(toys.class_names))
    config = FidelityConfig(f"npz:{root / 'toys.npz'}", run=root / "memory", out=root / "told", **ASK)
    config = replace(config, estimators=("corners",), length=3)
    with pytest.raises(aw.UserError, match="do not lead to the 60 images of toy"):
        aw.fidelity(replace(config, train_other=1))
    assert len(aw.fidelity(config)["networks"]) == 1
    assert "no other network to compare with" in capsys.readouterr().err


def test_the_images_of_a_comparisons_base_model_are_found_again(tmp_path):
    """A comparison cuts them itself; the results beside the base model say how."""
    digits = aw.open_source("digits", "train")
    rest, _ = split_validation(digits, 0.1, 7)
    config = aw.TrainConfig(epochs=1, batch_size=20, out=tmp_path / "base", tensorboard=False, quiet=True)
    run = train(config, source=limited(rest, 60, 7), test=limited(digits, 20, 0))
    with pytest.raises(aw.UserError, match="do not lead to the 60 images of digits"):
        _on_its_images(tmp_path / "base", run, settings_of(run))
    cut = {"limit": 60, "val_share": 0.1, "data_seed": 7}
    (tmp_path / "results.json").write_text(json.dumps({"config": {"train": cut | {"epochs": 9}}}))
    assert _on_its_images(tmp_path / "base", run, settings_of(run)) == replace(config, **cut)
