"""The page of a search: fit for people, and what it says of winners that do not win."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import augwise as aw
from augwise.analysis import tune_words as words
from augwise.analysis.statistics import paired, summarise
from augwise.analysis.tune_trial import Trial, best_of, trained
from augwise.training.checkpoint import plain
from report.browser import check_page, opened
from report.samples import CLASSES, ENVIRONMENT, written

RANGES = {
    "lengths[0]": {"low": 0.06, "high": 0.16, "log": False},
    "share": {"low": 0.1, "high": 0.5, "log": False},
    "window": {"choices": ["clipped", "inside"]},
}


def made(accuracies: tuple[float, ...], test: dict[str, list[float]] | None, wanted: int = 0) -> dict[str, Any]:
    """The results of a search whose whole settings have these accuracies, number 0 first; one of each other state."""
    trials = []
    for i, accuracy in enumerate(accuracies):
        setting = {"lengths[0]": 0.06 + 0.01 * i, "share": 0.5 - 0.03 * i, "window": "inside" if i % 2 else "clipped"}
        options = {"lengths": (setting["lengths[0]"], 0.5), "share": setting["share"]}
        trials.append(Trial(i, setting, options, accuracy=accuracy, accuracies=(accuracy,), curve=(0.1, accuracy)))
    n = len(trials)
    if n > 1:
        trials.append(Trial(n, setting, options, "stopped", "behind", 0.31, (0.31,), (), 1))
        trials.append(Trial(n + 1, setting, options, "failed", "the loss became <nan>"))
        trials.append(Trial(n + 2, setting, options, "refused", "share=0.9 & more is out of range"))
    best, final = best_of(trials), None
    if test is not None:
        by_seed = {arm: dict(enumerate(values)) for arm, values in test.items()}
        pairs = [("best", "own"), ("best", "without"), ("own", "without")]
        final = {
            "seeds": list(range(len(test["own"]))),
            "number": best.number if best else 0,
            "arms": {
                arm: {m: {**summarise(v), "values": v} for m in ("test", "median_last_ten", "validation")}
                for arm, v in test.items()
            },
            "differences": {f"{a}-{b}": paired(by_seed[a], by_seed[b]) for a, b in pairs if {a, b} <= set(by_seed)},
            "seconds": 3.0,
        }
    config = aw.TuneConfig(trials=wanted or len(trained(trials)))
    return plain(
        {
            "kind": "tune",
            "augwise": "0.1.0",
            "command": "augwise tune --method advmask",
            "config": asdict(config),
            "identity": {},
            "method": {"name": "advmask", "summary": "hide squares"},
            "ranges": RANGES,
            "fixed": {"top": 0.1},
            "data": {"name": "toys", "train": 300, "validation": 100, "test": 120, "classes": CLASSES, "left_out": []},
            "environment": ENVIRONMENT | {"optuna": "5.0.0"},
            "without": asdict(Trial(-1, {}, None, accuracy=0.42, accuracies=(0.42,), curve=(0.1, 0.42)))
            if trials
            else None,
            "trials": [asdict(t) for t in trials],
            "best": best.number if best else None,
            "final": final,
            "done": len(trained(trials)),
            "seconds": 100.0,
        }
    )


MANY = (0.5, 0.45, 0.55, 0.4, 0.6, 0.52)
WON = {"best": [0.61, 0.62, 0.63], "own": [0.5, 0.52, 0.51], "without": [0.4, 0.41, 0.43]}


def said(browser: Any, page: Path) -> tuple[list[str], str]:
    with opened(browser, page) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        return tab.evaluate("[...document.querySelectorAll('h2')].map(h => h.textContent)"), tab.inner_text("body")


def test_the_page_is_fit_for_people(browser, tmp_path):
    page = aw.report(written(tmp_path / "tune", made(MANY, WON)))
    check_page(browser, page, largest=3e5)
    found, text = said(browser, page)
    assert found == [
        "In short", "The search", "What each parameter did", "On the test images", "Every setting", "What was run",
    ]  # fmt: skip
    assert "The setting found beats the method’s own on the test images: +11.00 [" in text
    assert "--method advmask --lengths 0.1 0.5 --share 0.38" in text
    assert "9: share=0.9 & more is out of range" not in text
    assert "8: share=0.9 & more is out of range" in text
    assert "7: the loss became <nan>" in text
    assert "searched: window\nclipped, inside" in text
    svg = page.read_text()
    assert svg.count("<svg") == 4  # the order, two parameters that are numbers, differences
    assert (
        "settings: 45 at 0.07, 55 at 0.08, 40 at 0.09, 52 at 0.11; the method’s own: 50 at 0.06; best: 60 at 0.1" in svg
    )


@pytest.mark.parametrize(
    ("accuracies", "test", "wanted", "says"),
    [
        ((), None, 5, "Unfinished: no setting of 5 is measured yet."),
        (MANY, None, 20, "Unfinished: 8 of 20 settings are in; the best 60.0 %, against 50.0 % of the method’s own."),
        ((0.5, 0.4), None, 0, "None of 3 other settings did better than the method’s own on the validation images."),
        (
            MANY,
            None,
            0,
            "Number 4 was best on the validation images, 60.0 % against 50.0 % of the method’s own; the test",
        ),
        (
            MANY,
            {**WON, "best": [0.5, 0.51, 0.5]},
            0,
            "The winner of the search is not the winner on the test images: −0.67",
        ),
        (
            MANY,
            {**WON, "best": [0.5, 0.53, 0.53]},
            0,
            "The setting found is ahead on the test images, +1.00 [−1.48, +3.48]",
        ),
    ],
)
def test_the_headline_gives_the_test_images_the_last_word(accuracies, test, wanted, says, tmp_path):
    results = made(accuracies, test, wanted)
    assert words.headline(results).startswith(says)
    assert says.split("’")[0] in aw.report(written(tmp_path / "tune", results)).read_text()
    assert says in words.as_text(results)


def test_what_a_reader_should_beware_of():
    results = made(MANY, {**WON, "best": [0.5, 0.51, 0.52]})
    text = " ".join(words.remarks(results))
    assert "off by 4.9 points as a rule" in text
    assert "Its lead on the validation images was 10.00 points in the search and 0.00 with fresh seeds" in text
    assert "1 setting was refused by the method before training, and did not count. 1 setting was given up" in text
    assert "Against training without the method: +9.67 [" in text
    assert "Without the method" not in text
    assert "at the end of its range" not in text
    results["trials"][4]["setting"] |= {"share": 0.495}
    results["without"]["accuracy"] = 0.61
    text = " ".join(words.remarks(results))
    assert "at the end of its range: share (0.495 of 0.1 to 0.5)" in text
    assert "Without the method it was 61.0 % on validation images: no setting was better" in text
