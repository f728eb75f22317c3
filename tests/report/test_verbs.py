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
    ask = ["--maps", f"{out}/d.maps", "--train-other", "0", "--estimators", "corners", "--window", "clipped"]
    main(["fidelity", *data, "--split", "train", "--run", f"{out}/run", *ask, "--out", f"{out}/fidelity"])
    main(["evaluate", "--run", f"{out}/run", "--limit", "100", "--quiet", "--out", f"{out}/run/evaluation.json"])
    return out, [*estimate, "--method", "cdiea", "--steps", "2", "--epsilon", "0.125"]


def results(path):
    return json.loads(path.read_text())


def test_every_page_is_fit_for_people(made, browser):
    out, _ = made
    for page in ("run/report.html", "d.maps/report.html", "run/evaluation.html", "fidelity/report.html"):
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


def test_the_page_of_fidelity_says_what_its_results_do(made):
    out, _ = made
    found, page = results(out / "fidelity" / "results.json"), (out / "fidelity" / "report.html").read_text()
    assert [entry["name"] for entry in found["maps"]] == ["corners", "centre", "uniform", "d.maps"]
    for entry in found["maps"]:
        assert f'<th scope="row">{entry["name"]}</th>' in page
        for number in ("low", "mean", "high"):
            assert f"{entry['on'][0]['fidelity'][number]:.2f}".replace("-", "−").replace("−0.00", "0.00") in page
    pictures = results(out / "fidelity" / "gallery.json")["groups"][0]["examples"]
    assert len(pictures) in (6, 7)
    assert all(len(example["maps"]) == 4 for example in pictures)
    # Every chart tells its numbers in words: one forest, and a scatter for each map.
    assert page.count("<svg ") == 1 + 4


def test_a_store_that_is_complete_keeps_the_time_it_took(made):
    out, estimate = made
    before = results(out / "d.maps" / "results.json")
    main(estimate)
    assert results(out / "d.maps" / "results.json") == before
