"""A whole comparison, small: what is done is not done again, what is added is added, what was lost comes back equal."""

import json
import re
import shutil

import pytest

from augwise import UserError, compare
from augwise.analysis.compare_plan import CompareConfig
from augwise.training.config import TrainConfig


def config(out, **changes):
    train = TrainConfig(
        data="digits", limit=60, eval_limit=100, val_share=0.1, epochs=1, batch_size=20, out=out, quiet=True
    )
    settings = {"strengths": (8,), "windows": ("inside",), "estimators": ("occlusion",), "seeds": 1, "jobs": 1}
    return CompareConfig(train=train, **(settings | changes))


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
