"""A whole comparison, small: what is done is not done again, what is added is added, what was lost comes back equal."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from augwise import ImportanceStore, UserError, compare, train
from augwise.analysis.compare_plan import CompareConfig, plan
from augwise.analysis.compare_runs import comparison_sources
from augwise.analysis.compare_share import base_model, identity_of, known_outcomes, maps
from augwise.training.config import TrainConfig


def config(out, **changes):
    train = TrainConfig(
        data="digits", limit=60, eval_limit=100, val_share=0.1, epochs=1, batch_size=20, out=out, quiet=True
    )
    settings = {
        "train": train,
        "strengths": (8,),
        "windows": ("inside",),
        "estimators": ("occlusion",),
        "seeds": 1,
        "jobs": 1,
    }
    return CompareConfig(**(settings | changes))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("comparison")
    return out, compare(config(out), title="A <small> one", command="augwise compare")


def test_results_tell_what_was_run(done):
    out, report = done
    assert report["complete"]
    assert report["planned"] == report["done"] == 4  # baseline, plain, guarded, control
    assert report["data"]["train"] == 60
    assert report["data"]["test"] == 100
    assert {run["run"]["arm"] for run in report["runs"]} == {"baseline", "plain", "guarded", "control"}
    (row,) = report["table"]
    assert row["area_touched"] == {"plain": 1 / 16, "guarded": 1 / 16, "control": 1 / 16}
    assert row["importance_touched"]["guarded"] < row["importance_touched"]["plain"]
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(report))
    assert "cutout" in (out / "table.txt").read_text()
    assert all(0 <= run["validation_accuracy"] <= 1 for run in report["runs"])


def test_the_page_stands_alone(done):
    page = (done[0] / "report.html").read_text()
    assert "A &lt;small&gt; one" in page
    assert "data:image/png;base64," in page
    assert "<script" not in page
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # of formats, never fetched
    assert set(re.findall(r"https?://[^\s\"'<)]*", page)) <= names
    assert "@import" not in page


def test_plain_arms_need_no_maps(tmp_path):
    """Neither table nor page asks for importance then."""
    report = compare(config(tmp_path, estimators=(), arms=("plain",)))
    (row,) = report["table"]
    assert (row["area_touched"], row["importance_touched"]) == ({"plain": 1 / 16}, {"plain": None})
    assert "nothing to compare" in (tmp_path / "report.html").read_text()


def test_results_hold_classes_and_curves_of_every_run(done):
    """What is pooled and drawn can be made again from the runs."""
    _, report = done
    assert all(len(run["per_class"]) == 10 and len(run["loss_curve"]) == 1 for run in report["runs"])
    (entry,) = report["class_changes"]
    by_arm = {run["run"]["arm"]: run for run in report["runs"]}
    for i, row in enumerate(entry["classes"]):
        change = by_arm["guarded"]["per_class"][i] - by_arm["plain"]["per_class"][i]
        assert row["differences"]["guarded-plain"]["mean"] == pytest.approx(change)
    change = by_arm["guarded"]["last_accuracy"] - by_arm["plain"]["last_accuracy"]
    assert report["overall"]["guarded-plain"]["mean"] == pytest.approx(change)


def test_go_on_extend_and_repair(done, tmp_path):
    """One more seed adds its runs alone; a lost run comes back with the same numbers."""
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("runs/*/summary.json")}
    lost = next(p for p in stamps if "guarded" in p.parent.name)
    before = json.loads(lost.read_text())
    shutil.rmtree(lost.parent)
    (out / "results.json").unlink()
    report = compare(config(out, seeds=2))
    assert report["done"] == 8
    assert all(p.stat().st_mtime_ns == stamp for p, stamp in stamps.items() if p != lost)
    after = json.loads(lost.read_text())
    for name in ("last_accuracy", "validation_accuracy", "train_loss"):
        assert after[name] == before[name]


def test_the_results_alone_are_enough_to_go_on(done, tmp_path):
    """Without the folders of the runs, what results.json lists is not run again."""
    out = tmp_path / "copy"
    shutil.copytree(done[0], out)
    shutil.rmtree(out / "runs")
    report = compare(config(out))
    assert report["complete"]
    assert report["table"] == done[1]["table"]
    assert not list(out.glob("runs/*/weights*"))


def test_what_others_finished_is_shared(done, tmp_path):
    """Base model, maps and the runs that are the same are taken over; what was asked for besides is run."""
    out = tmp_path / "further"
    report = compare(config(out, quantiles=(0.6, 0.9), share=(done[0],)))
    assert report["complete"]
    assert report["planned"] == 6
    assert len(list(out.glob("runs/*"))) == 2  # guarded and control at the other quantile
    for name in ("base/weights.safetensors", "maps/occlusion/maps.npy"):
        assert (out / name).read_bytes() == (done[0] / name).read_bytes()
    before, (same, other) = done[1]["table"][0], report["table"]
    assert same == before
    assert (other["quantile"], other["arms"]["plain"]) == (0.9, before["arms"]["plain"])
    listed = {run["key"] for run in report["runs"]}
    assert {run["key"] for run in done[1]["runs"]} < listed


def test_nothing_is_shared_between_other_images(done, tmp_path):
    """Neither the base model nor a map that needs none, nor any run: fewer images are other images."""
    small = replace(config(tmp_path / "out").train, limit=50)
    names = ("occlusion", "centre")
    shared = config(tmp_path / "out", train=small, estimators=names, share=(done[0], tmp_path))
    data = comparison_sources(small)
    base = base_model(shared, data.train, data.test)
    assert base["data"]["train"] == 50
    stores = {name: maps(shared, name, base, data.train) for name in names}
    assert {len(store) for store in stores.values()} == {50}
    identity = {name: identity_of(store) for name, store in stores.items()}
    assert known_outcomes(shared, plan(shared), identity, base["data"]) == {}
    assert sorted(p.name for p in (tmp_path / "out" / "maps").iterdir()) == ["centre", "occlusion"]


def test_runs_are_found_under_the_name_that_the_data_had(done, tmp_path):
    """A results.json that was moved and whose data have another name here serves all the same."""
    moved = tmp_path / "published"
    moved.mkdir()
    shutil.copy(done[0] / "results.json", moved)
    renamed = config(tmp_path / "out", share=(moved,))
    renamed = replace(renamed, train=replace(renamed.train, data="npz:the/same.npz"))
    data = done[1]["data"]
    store = ImportanceStore(done[0] / "maps" / "occlusion")
    found = known_outcomes(renamed, plan(renamed), {"occlusion": identity_of(store)}, data)
    assert sorted(o["last_accuracy"] for o in found.values()) == sorted(r["last_accuracy"] for r in done[1]["runs"])
    assert not set(found) & {run["key"] for run in done[1]["runs"]}
    assert len(known_outcomes(renamed, plan(renamed), {"occlusion": "other maps"}, data)) == 2  # baseline and plain
    assert known_outcomes(renamed, plan(renamed), {"occlusion": "x"}, {**data, "mean": [0.5]}) == {}


def test_maps_may_come_from_another_network(done, tmp_path):
    """Any finished run's model can be asked; the comparison's own base model stays what it is."""
    network = replace(config(tmp_path / "network").train, seed=5, val_share=0.0)
    train(network)
    asked = config(tmp_path / "out", share=(done[0],), maps_from=tmp_path / "network")
    data = comparison_sources(asked.train)
    base = base_model(asked, data.train, data.test)
    store, theirs = maps(asked, "occlusion", base, data.train), ImportanceStore(done[0] / "maps" / "occlusion")
    assert store.meta["model"] != theirs.meta["model"]
    assert (store.hashes == theirs.hashes).all()
    assert (tmp_path / "out/base/weights.safetensors").read_bytes() == (
        done[0] / "base/weights.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"strengths": (40,)}, "40"),
        ({"estimators": ("cdiea",), "epsilon": 8.0}, "epsilon is in pixel values"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_trained(wrong, says, tmp_path):
    with pytest.raises(UserError, match=says):
        compare(config(tmp_path / "out", **wrong))
    assert not (tmp_path / "out" / "base").exists()


def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(UserError, match="file"):
        compare(config(blocked / "below"))
