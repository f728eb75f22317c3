"""A comparison's page with everything that may vary: methods at their usual strengths, τ, shapes, rules, four arms."""

import re

import pytest

import augwise as aw
from augwise.analysis.compare_plan import CompareConfig
from augwise.analysis.compare_table import as_text
from augwise.report.gallery import within
from report.browser import check_page, opened
from report.samples import compare_config, compare_results, written

SIX = ("cutout", "autoaugment", "randaugment", "trivialaugment", "colorjitter", "cutmix")
GAIN = {"guarded": 0.03, "control": 0.01, "smoothing": 0.01}


def config(**changes):
    return CompareConfig(**{"train": compare_config().train, "seeds": 4, "estimators": ("occlusion",)} | changes)


CASES = {
    "usual": config(methods=SIX),
    "softened": config(strengths=(8, 12, 16), rules=("soften",), estimators=("occlusion", "centre")),
    "rules": config(strengths=(8, 16), rules=("guard", "soften")),
    "quantiles": config(methods=("cutout", "trivialaugment"), quantiles=(0.2, 0.4, 0.6, 0.8)),
    "shapes": config(methods=("trivialaugment",), shapes=("rectangle", "points", "superpixel")),
    "plain": config(arms=("plain",), estimators=("occlusion", "corners"), methods=("cutout", "cutmix")),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("compare-pages")
    return {name: aw.report(written(root / name, compare_results(GAIN, config=case))) for name, case in CASES.items()}


def text_of(browser, page):
    with opened(browser, page) as tab:
        return tab.inner_text("body")


@pytest.mark.parametrize("name", CASES)
def test_the_page_is_fit_for_people(name, pages, browser):
    check_page(browser, pages[name], largest=9e5)


def test_softened_labels_are_called_so(pages, browser):
    text = text_of(browser, pages["softened"])
    # The made-up gains depend on the arm alone: one centre for all softens as well as the image's own map.
    assert "Softened labels beat hard ones, but not labels softened by one centre for all" in text
    assert "softened − centre" in text
    assert "centre is the same with one map for all images" in text
    assert "softened − smoothing" in text
    assert "guarded" not in text.split("What was run")[0]
    assert "smoothing: every label gets the mean doubt of the softened arm: cutout 8 clipped, occlusion 0.125" in text
    assert "doubt = 1 (1 − v)^2" in text


def test_two_rules_are_two_findings(pages, browser):
    text = text_of(browser, pages["rules"])
    assert "Guarded beats plain, and it beats its control" in text
    assert "Softened labels beat hard ones" in text
    assert "guarded/softened − control" in text
    assert text.count("Over all 2 rows together") == 2


def test_only_what_varies_is_named(pages, browser):
    text = text_of(browser, pages["quantiles"])
    assert "clipped, occlusion, τ 0.2" in text
    assert "accuracy over τ" in text
    assert "rectangle" not in text.split("What was run")[0]
    assert "superpixel" in text_of(browser, pages["shapes"])
    usual = text_of(browser, pages["usual"])
    assert "τ" not in usual.split("What was run")[0]
    assert "cutout 16" in usual
    assert "randaugment\tclipped" in re.sub(r"\s*\n\s*", "\t", usual) or "randaugment clipped" in usual
    assert "n = 4 runs per arm" in usual


def test_plain_arms_alone_are_set_against_training_without(pages, browser):
    text = text_of(browser, pages["plain"])
    assert "plain − without" in text
    assert "No row differs from training without the method" in text


def test_the_table_in_a_terminal_has_columns_for_what_varies():
    for name, there, missing in [
        ("usual", ["own", "guarded-control"], ["τ", "shape", "smoothing", "rule"]),
        ("softened", ["softened-smoothing", "softened-control", "smoothing"], ["guarded", "rule"]),
        ("rules", ["guarded/softened-plain", "rule", "guard ", "soften "], ["τ"]),
        ("quantiles", ["τ", "0.4"], ["shape"]),
        ("shapes", ["shape", "superpixel"], ["τ"]),
        ("plain", ["plain-without"], ["guarded-plain"]),
    ]:
        rows = compare_results(GAIN, config=CASES[name])["table"]
        head, line, *body = as_text(rows, None).split("\n")
        text = "\n".join([head, *body[: len(rows)]])
        assert all(word in text for word in there), name
        assert not any(word in text for word in missing), name
        assert len(line) == len(head)
        assert {len(row) for row in body[: len(rows)]} == {len(head)}


def test_pictures_stay_within_bounds():
    groups = [{"title": str(i), "examples": [{"image": "x" * 1000}] * (6 - i)} for i in range(3)]
    kept = within(groups, 6500)
    assert [len(g["examples"]) for g in kept] == [2, 2, 2]
    assert [len(g["examples"]) for g in groups] == [6, 5, 4]
    assert [len(g["examples"]) for g in within(groups, 10)] == [1, 1, 1]
    assert within(groups, 10**6) == groups
    assert within([]) == []
