"""The verbs themselves leave a page beside their results, and the results hold what the page needs."""

import json

import pytest

from augwise.cli import main
from report.browser import check_page


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every verb once, small."""
    out = tmp_path_factory.mktemp("verbs")
    data = ["--data", "digits", "--limit", "60", "--quiet"]
    main(["train", *data, "--eval-limit", "100", "--epochs", "2", "--batch-size", "20", "--out", f"{out}/run"])
    estimate = ["estimate", *data, "--run", f"{out}/run", "--out", f"{out}/d.maps"]
    main([*estimate, "--method", "cdiea", "--steps", "2", "--epsilon", "0.125"])
    main(["evaluate", "--run", f"{out}/run", "--limit", "100", "--quiet", "--out", f"{out}/run/evaluation.json"])
    return out, [*estimate, "--method", "cdiea", "--steps", "2", "--epsilon", "0.125"]


def results(path):
    return json.loads(path.read_text())


def test_every_page_is_fit_for_people(made, browser):
    out, _ = made
    for page in ("run/report.html", "d.maps/report.html", "run/evaluation.html"):
        check_page(browser, out / page, largest=3e5)


def test_results_hold_what_their_pages_show(made):
    out, _ = made
    run, evaluation, maps = (
        results(out / p) for p in ("run/results.json", "run/evaluation.json", "d.maps/results.json")
    )
    assert sum(row["images"] for row in run["per_class"]) == 100
    right = sum(row["accuracy"] * row["images"] for row in run["per_class"] if row["images"])
    assert right / 100 == pytest.approx(run["test"]["last_accuracy"])
    assert sum(row["images"] for row in evaluation["calibration"]) == 100
    assert maps["store"]["done"] == maps["computed"]["images"] == 60
    assert [row["class"] for row in maps["store"]["per_class"]] == [str(i) for i in range(10)]
    pictures = results(out / "d.maps" / "gallery.json")
    assert len(pictures["groups"][0]["examples"]) == 12
    assert {"width": 32, "height": 32}.items() <= pictures["mean_map"].items()


def test_a_store_that_is_complete_keeps_the_time_it_took(made):
    out, estimate = made
    before = results(out / "d.maps" / "results.json")
    main(estimate)
    assert results(out / "d.maps" / "results.json") == before
