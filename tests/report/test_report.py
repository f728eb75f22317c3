"""What `aw.report` does with folders: where pages go, what is refused, and how chapters are kept apart."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

import augwise as aw
from augwise.analysis.gallery import Example
from augwise.cli import main
from augwise.report.figures import heat, overlay, picture
from augwise.report.gallery import group, read_gallery, write_gallery
from augwise.report.page import Page, headings, render, write_pages
from report.samples import compare_results, evaluate_results, train_results, written


def test_the_verb_and_the_package_share_a_name():
    """Whichever is imported first, ``aw.report`` can be called."""
    code = (
        "import augwise.report.page, augwise as aw; assert callable(aw.report); from augwise.report.charts import ticks"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert callable(aw.report)


def test_a_page_lies_beside_its_results(tmp_path, capsys):
    folder = written(tmp_path / "run", train_results())
    assert aw.report(folder) == folder / "report.html"
    (folder / "evaluation.json").write_text(json.dumps(evaluate_results()))
    assert aw.report(folder / "evaluation.json") == folder / "evaluation.html"
    assert aw.report(folder, out=tmp_path / "elsewhere" / "x.html", title="Mine") == tmp_path / "elsewhere" / "x.html"
    assert "<h1>Mine</h1>" in (tmp_path / "elsewhere" / "x.html").read_text()
    main(["report", str(folder), str(folder / "evaluation.json"), "--out", str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"


def test_the_same_results_give_the_same_page(tmp_path):
    folder = written(tmp_path / "run", compare_results())
    first = aw.report(folder).read_bytes()
    assert aw.report(folder).read_bytes() == first


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "holds no results.json"),
        ("{", "cannot be read"),
        ("[1]", "no results of augwise"),
        ('{"kind": "dream"}', "of the kind 'dream'"),
        ('{"kind": "train"}', "lacks what the page of 'train' needs"),
    ],
)
def test_what_holds_no_results_is_refused(content, says, tmp_path):
    if content is not None:
        (tmp_path / "results.json").write_text(content)
    with pytest.raises(aw.UserError, match=re.escape(says)):
        aw.report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_other_mistakes(tmp_path):
    with pytest.raises(aw.UserError, match="nothing to report"):
        aw.report()
    with pytest.raises(aw.UserError, match="nowhere does not exist"):
        aw.report(tmp_path / "nowhere")
    folder = written(tmp_path / "run", train_results())
    (tmp_path / "file").write_text("")
    with pytest.raises(aw.UserError, match="cannot be written"):
        aw.report(folder, out=tmp_path / "file" / "page.html")


def test_chapters_keep_their_anchors_apart(tmp_path):
    one, two = (written(tmp_path / name, train_results()) for name in ("a", "b"))
    text = aw.report(one, two, out=tmp_path / "both.html").read_text()
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    used = {name for value in re.findall(r'aria-labelledby="([^"]+)"', text) for name in value.split()}
    used |= set(re.findall(r'href="#([^"]+)"', text))
    assert used <= set(ids)
    assert re.findall(r"<h2[^>]*>([^<]+)", text) == ["Training: Cutout", "Training: Cutout"]
    assert text.count("<h3") >= 8


def test_a_damaged_gallery_costs_the_pictures_alone(tmp_path):
    folder = written(tmp_path / "c", compare_results())
    (folder / "gallery.json").write_text("{")
    text = aw.report(folder).read_text()
    assert "Side by side" not in text
    assert "In short" in text


def test_a_gallery_keeps_which_share_is_which_and_what_is_not_known(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    arms = {"plain": (255 - image, 0.25, 0.75), "guarded": (image, 0.125, math.nan)}
    write_gallery(tmp_path, [group("T", [Example(image, np.eye(8, 6), "cat", arms)])], np.eye(4))
    found = read_gallery(tmp_path)
    (example,) = found["groups"][0]["examples"]
    told = [(arm["name"], arm["area"], arm["importance"]) for arm in example["arms"]]
    assert told == [("plain", 0.25, 0.75), ("guarded", 0.125, None)]
    assert "NaN" not in (tmp_path / "gallery.json").read_text()
    assert example["image"] == example["arms"][1]["image"] == picture(image)
    assert example["arms"][0]["image"] == picture(255 - image)
    assert example["map"] == picture(overlay(image, np.eye(8, 6)))
    assert found["mean_map"] == picture(heat(np.eye(4)))


def test_a_word_that_is_missing_is_an_error(tmp_path):
    from jinja2 import UndefinedError

    page = Page("train", "T", "0", "s", [], words={})
    with pytest.raises(UndefinedError):
        render(page)
    with pytest.raises(UndefinedError):
        write_pages(tmp_path / "x.html", [page])
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("results", [train_results(), evaluate_results(), compare_results()])
def test_files_that_were_left_out_are_named(results, tmp_path):
    assert "files left out" not in aw.report(written(tmp_path / "a", results)).read_text()
    results["data"]["left_out"] = [[f"cat/{i}.jpg", "truncated"] for i in range(12)]
    text = aw.report(written(tmp_path / "a", results)).read_text()
    assert "12: cat/0.jpg (truncated); cat/1.jpg (truncated)" in text
    assert "cat/9.jpg (truncated); and 2 more" in text


def test_contents_are_the_headings():
    assert headings('<h2 id="a">One &amp; <b>two</b></h2><h2>none</h2><h3 id="c">x</h3>') == [("a", "One & two")]
