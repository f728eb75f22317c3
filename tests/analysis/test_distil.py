"""The verb distil from end to end, its page, and one-pass maps in train and compare, on few digits of 16 px."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import augwise as aw
from augwise import UserError
from augwise.analysis.compare import compare
from augwise.analysis.compare_plan import CompareConfig
from augwise.analysis.train_run import TrainRun, train_run
from augwise.cli import main
from augwise.report.build import report

TRAIN = aw.TrainConfig(
    data="digits", size=16, limit=60, eval_limit=60, epochs=1, batch_size=20, quiet=True, tensorboard=False
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Two classifiers, and a network that was distilled from the first by the command line."""
    folder = tmp_path_factory.mktemp("distil")
    aw.train(replace(TRAIN, out=folder / "base"))
    aw.train(replace(TRAIN, out=folder / "other", seed=1))
    main(_arguments(folder))
    return folder


def _arguments(folder, *more):
    given = {"--run": folder / "base", "--others": folder / "other", "--out": folder / "net", "--look": "features"}
    given |= {"--limit": 60, "--held-out-limit": 24, "--epochs": 2, "--windows": 6, "--batch-size": 20}
    return ["distil", *(str(word) for pair in given.items() for word in pair), "--quiet", *more]


def test_results_hold_every_map_on_every_network(done, capsys):
    results = json.loads((done / "net/results.json").read_text())
    rows = {row["estimator"]: row for row in results["fidelity"]["rows"]}
    assert set(rows) == {"one_pass", "centre", "occlusion"}
    assert rows["occlusion"]["cost"] == "82 × forward"
    for row in rows.values():
        assert set(row["on"]) == {"the same network", "another network"}
        for found in row["on"].values():
            assert -1 <= found["low"] <= found["mean"] <= found["high"] <= 1
            assert found["n"] == 24
    # Occlusion measures the very thing on the network that it asks, and there alone.
    on = rows["occlusion"]["on"]
    assert on["the same network"]["mean"] > max(0.5, on["another network"]["mean"])
    assert results["network"]["fingerprint"] == aw.OnePass.load(done / "net/one_pass.safetensors").fingerprint
    before = (done / "net/one_pass.safetensors").read_bytes()
    main(_arguments(done))  # finished: measured again, not trained
    assert "one_pass" in capsys.readouterr().out
    assert (done / "net/one_pass.safetensors").read_bytes() == before
    again = json.loads((done / "net/results.json").read_text())
    assert again["seconds"] == results["seconds"]


def test_the_time_of_half_a_training_is_not_told_as_its_whole(done, tmp_path, monkeypatch):
    arguments = [str(tmp_path) if word == str(done / "net") else word for word in _arguments(done)]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("augwise.training.checkpoint.Checkpoint.due", lambda _: True)
        patch.setattr("augwise.training.one_pass._Training._save", killed)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            main(arguments)
    assert (tmp_path / "one_pass.checkpoint.pt").exists()
    main(arguments)
    assert json.loads((tmp_path / "results.json").read_text())["seconds"] is None
    assert (tmp_path / "one_pass.safetensors").read_bytes() == (done / "net/one_pass.safetensors").read_bytes()


def test_the_page_says_the_numbers(done):
    results = json.loads((done / "net/results.json").read_text())
    page = report(done / "net").read_text()
    (own,) = (r["on"]["the same network"] for r in results["fidelity"]["rows"] if r["estimator"] == "one_pass")
    assert f"{own['mean']:.2f}".replace("-", "−") in page
    assert page.count("its one-pass map") == 12
    assert "augwise distil --run" in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--windows", "7"], "settings.windows: 6 there, 7 now"),
        (["--held-out-limit", "1"], "--held-out-limit 1"),
        (["--others", "nowhere"], "--others nowhere"),
        (["--others", "BASE"], "is the run that is asked"),
        (["--lr", "0"], "lr=0"),
    ],
)
def test_mistakes_are_named(done, more, says, capsys):
    more = [word.replace("BASE", str(done / "base")) for word in more]
    with pytest.raises(SystemExit):
        main(_arguments(done, *more))
    assert says in capsys.readouterr().err


def test_the_network_goes_into_estimate_and_into_a_guarded_run(done, tmp_path):
    file = str(done / "net/one_pass.safetensors")
    words = ["--method", "one_pass", "--path", file, "--run", str(done / "base"), "--limit", "30", "--quiet"]
    main(["estimate", *words, "--out", str(tmp_path / "maps")])
    store = aw.ImportanceStore(tmp_path / "maps")
    network = aw.OnePass.load(file)
    assert store.meta["arguments"]["fingerprint"] == network.fingerprint
    assert store.meta["model"] == network.classifier
    run = TrainRun(replace(TRAIN, out=None), maps=done / "net/one_pass.safetensors")
    with pytest.raises(UserError, match="--maps-run"):
        train_run(run, aw.Cutout(6, quantile=0.6))
    result = train_run(replace(run, maps_run=done / "base"), aw.Cutout(6, quantile=0.6, window="inside"))
    assert 0 < result["curve"][0]["importance_erased"] < 1
    with pytest.raises(UserError, match="has no use"):
        train_run(replace(run, maps="live", maps_run=done / "base"), None)


def test_a_comparison_trains_its_own_or_takes_one_over(tmp_path):
    train = replace(TRAIN, out=tmp_path / "first", limit=40, epochs=1, tensorboard=False)
    first = CompareConfig(train=train, estimators=("one_pass",), arms=("guarded",), seeds=1)
    known = compare(first)
    store = aw.ImportanceStore(tmp_path / "first/maps/one_pass")
    file = tmp_path / "first/one_pass.safetensors"
    network = aw.OnePass.load(file)
    assert store.meta["arguments"]["fingerprint"] == network.fingerprint
    assert store.meta["model"] == network.classifier
    other = replace(first, train=replace(train, out=tmp_path / "second"), share=(tmp_path / "first",))
    results = compare(other)
    assert (tmp_path / "second/one_pass.safetensors").read_bytes() == file.read_bytes()
    assert (tmp_path / "second/maps/one_pass/maps.npy").read_bytes() == (
        tmp_path / "first/maps/one_pass/maps.npy"
    ).read_bytes()
    assert results["complete"]
    assert [run["seconds"] for run in results["runs"]] == [run["seconds"] for run in known["runs"]]  # none made anew


def test_a_comparison_refuses_images_too_small_for_a_network_before_anything_is_trained(tmp_path):
    train = replace(TRAIN, out=tmp_path, size=4)
    with pytest.raises(UserError, match="one_pass: images of 4x4 are too small"):
        compare(CompareConfig(train=train, estimators=("one_pass",), seeds=1))
    assert not (tmp_path / "base").exists()
