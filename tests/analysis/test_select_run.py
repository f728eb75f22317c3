"""The verb ``select``: scores, files, results and page of every measure; what is kept; what cannot be meant."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import augwise as aw
from augwise.analysis import select_networks
from augwise.cli import main
from augwise.data import open_source
from augwise.errors import UserError
from augwise.selection import coefficient_of_variation, forgetting_counts, mixed_losses
from augwise.training.trained import trained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A small network that knows a little of the digits."""
    out = tmp_path_factory.mktemp("run") / "base"
    aw.train(aw.TrainConfig(limit=120, epochs=3, batch_size=20, eval_limit=50, out=out, quiet=True, tensorboard=False))
    return out


@pytest.fixture(scope="module")
def config(run):
    return aw.SelectConfig(run=run, limit=60, fractions=(0.34, 0.1), mixes=4, cases=2, seed=5, quiet=True)


def kept(config):
    with np.load(config.out / "scores.npz") as found:
        return dict(found)


def test_cv_of_the_mixed_loss(run, config, tmp_path, capsys):
    """The library's scores, two files, and results that say what the files hold; cv, mean and std share their mixes."""
    config = replace(config, out=tmp_path / "out")
    results = aw.select_images(config, command="augwise select --limit 60")
    data = open_source("digits", limit=60)
    found = mixed_losses(trained(run).model, data, mixes=4, seed=5, progress=False)
    scores = coefficient_of_variation(found.losses)
    assert np.array_equal(kept(config)["scores"], scores)
    assert np.array_equal(kept(config)["predictive"], found.predictive)
    assert results["scores"]["greatest"] == scores.max()
    assert [(c["fraction"], c["images"]) for c in results["chosen"]] == [(0.1, 10), (0.34, 20)]
    assert [row["chosen"] for row in results["per_class"]] == [[1, 2]] * 10
    for entry in results["chosen"]:
        chosen = open_source("digits", subset=entry["file"])
        best = [scores[data.labels == c].max() for c in range(10)]
        at = {int(row): i for i, row in enumerate(data.rows)}
        own = scores[[at[int(row)] for row in chosen.rows]]
        assert set(best) <= set(own)
        assert entry["least"] == own.min()
    assert sum(results["histogram"]["counts"]) == 60
    assert sum(results["histogram"]["chosen"]) == 10
    assert results == json.loads((config.out / "results.json").read_text())
    text = capsys.readouterr().out
    assert (config.out / "table.txt").read_text().strip() in text
    assert f"--subset {config.out / 'cv-top-0.1.npz'}: 10 images" in text
    gallery = json.loads((config.out / "gallery.json").read_text())["groups"]
    for group in gallery:
        ends = [[e["score"] for e in group["examples"] if e["end"] == end] for end in ("highest", "lowest")]
        assert [len(end) for end in ends] == [2, 2]
        own = np.sort(scores[data.labels == int(group["title"])])
        assert ends[0] == own[::-1][:2].tolist()
        assert ends[1] == own[:2].tolist()
    aw.select_images(replace(config, measure="mean", rule="bottom"))
    assert len(list(config.out.glob("mixes-*.npz"))) == 1
    assert np.array_equal(kept(config)["scores"], found.losses.astype(float).mean(1))
    assert (config.out / "mean-bottom-0.1.npz").exists()
    page = (config.out / "report.html").read_text()
    assert "mean mixed loss" in page


@pytest.mark.parametrize("measure", ["random", "k-center", "mc-dropout"])
def test_other_measures_of_one_network(measure, config, tmp_path):
    config = replace(config, measure=measure, dropout=0.3, out=tmp_path / "out")
    results = aw.select_images(config)
    assert [c["images"] for c in results["chosen"]] == [10, 20]
    assert len(np.unique(kept(config)["scores"])) >= 6
    assert results["points"] is None
    again = aw.select_images(config)
    assert again["scores"] == results["scores"]


def test_the_folder_of_a_run_is_not_written_over(config, run):
    before = (run / "results.json").read_bytes()
    with pytest.raises(UserError, match="holds the results of 'train'"):
        aw.select_images(replace(config, out=run))
    assert (run / "results.json").read_bytes() == before


def test_mc_dropout_without_dropout_names_the_flag(config, tmp_path):
    with pytest.raises(UserError, match=r"give --dropout 0.5"):
        aw.select_images(replace(config, measure="mc-dropout", out=tmp_path))


def test_forgetting_goes_on_where_it_stopped(config, tmp_path, monkeypatch):
    """Interrupted after an epoch, finished later, and equal to a call that ran through."""
    config = replace(config, measure="forgetting", networks=1, out=tmp_path / "whole")
    aw.select_images(config)
    expected = kept(config)
    assert expected["right"].shape == (1, 3, 60)
    assert np.array_equal(expected["scores"], forgetting_counts(expected["right"][0]))
    config, write = replace(config, out=tmp_path / "stopped"), select_networks._write
    written = []

    def stopping(path, **arrays):
        write(path, **arrays)
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(select_networks, "_write", stopping)
    with pytest.raises(KeyboardInterrupt):
        aw.select_images(config)
    monkeypatch.setattr(select_networks, "_write", write)
    aw.select_images(config)
    found = kept(config)
    assert found["right"].tobytes() == expected["right"].tobytes()
    aw.select_images(config)  # the network is not trained again
    assert kept(config)["scores"].tobytes() == expected["scores"].tobytes()


def test_el2n_asks_several_young_networks(config, tmp_path):
    config = replace(config, measure="el2n", networks=2, early=0.67, out=tmp_path / "out")
    aw.select_images(config)
    scores = kept(config)["scores"]
    norms = []
    for file in sorted((config.out / "networks").glob("el2n-2-s*/norms.npz")):
        with np.load(file) as found:
            norms.append(found["norms"])
    assert len(norms) == 2
    assert not np.allclose(*norms)
    assert np.array_equal(scores, np.mean(norms, 0))
    assert 0 < scores.min() < scores.max() < 2**0.5
    assert not list((config.out / "networks").rglob("checkpoint.pt"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--fractions", "1.5"], "--fractions 1.5"),
        (["--fractions", "0.1", "0.1"], "give each once"),
        (["--fractions", "0.01", "--limit", "60", "--measure", "random"], "leaves the class '0' without an image"),
        (["--measure", "el2n"], "--measure el2n trains networks like a run: give --run"),
        (["--measure", "cv", "--limit", "60"], "--measure cv looks into a classifier: give --run"),
        (["--mixes", "1"], "--mixes 1"),
        (["--early", "0"], "--early 0"),
        (["--measure", "best"], "best"),
        (["--subset", "{tmp}/none.npz"], "none.npz does not exist"),
    ],
)
def test_mistakes_are_named(arguments, says, capsys, tmp_path):
    arguments = [a.replace("{tmp}", str(tmp_path)) for a in arguments]
    with pytest.raises(SystemExit) as stopped:
        main(["select", *arguments, "--quiet", "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert says in " ".join(capsys.readouterr().err.replace("│", " ").split())


VERBS = {
    "train": [],
    "estimate": ["--method", "occlusion", "--run", "{run}"],
    "evaluate": ["--run", "{run}"],
    "audit": ["--policies", "crop-flip"],
    "fidelity": ["--run", "{run}"],
    "distil": ["--run", "{run}"],
    "attack-table": ["--run", "{run}"],
    "compare": ["--methods", "cutout", "--estimators", "centre"],
    "tune": ["--method", "cutout", "--length", "4", "8"],
    "finetune": ["--model", "torchvision:resnet18", "--size", "32"],
    "show": ["{tmp}/c.maps"],
    "stores": ["verify", "{tmp}/c.maps"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_names_data_takes_a_subset_and_no_other(verb, run, capsys, tmp_path):
    """A file of the test images is refused for those of training, and the other way round."""
    if verb in ("show", "stores"):
        aw.estimate(None, open_source("digits", limit=10), tmp_path / "c.maps", aw.CentrePrior(), progress=False)
    split = "train" if verb in ("evaluate", "fidelity", "attack-table") else "test"
    file = tmp_path / "other.npz"
    aw.select(open_source("digits", split), np.arange(1000 if split == "train" else 797), 0.1, out=file)
    arguments = [a.replace("{run}", str(run)).replace("{tmp}", str(tmp_path)) for a in VERBS[verb]]
    where = [] if verb == "stores" else ["--out", f"{tmp_path}/out{'.png' if verb == 'show' else ''}"]
    with pytest.raises(SystemExit) as stopped:
        main([verb, *arguments, "--data", "digits", "--subset", str(file), "--quiet", *where])
    assert stopped.value.code == 2
    assert f"{file} was chosen from" in capsys.readouterr().err


def test_maps_of_a_subset(tmp_path):
    aw.select_images(aw.SelectConfig(measure="random", fractions=(0.03,), out=tmp_path / "s", quiet=True))
    subset = ["--data", "digits", "--subset", str(tmp_path / "s" / "random-top-0.03.npz"), "--quiet"]
    main(["estimate", *subset, "--method", "centre", "--out", f"{tmp_path}/c.maps"])
    assert len(aw.ImportanceStore(tmp_path / "c.maps")) == 30
    main(["stores", "verify", f"{tmp_path}/c.maps", *subset])
