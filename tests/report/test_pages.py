"""Every page as people meet it: in a browser, wide and narrow, light and dark, by keyboard; and what it says."""

import re

import numpy as np
import pytest

import augwise as aw
from report.browser import check_page, opened
from report.samples import (
    audited,
    compare_config,
    compare_results,
    evaluate_results,
    retrieval_results,
    train_results,
    written,
)

MANY = [f"class {i}" for i in range(60)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of results of every kind, each with its page."""
    root = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    maps = rng.random((30, 12, 16)) * (rng.random((30, 12, 16)) < 0.2)
    data = [(rng.integers(0, 255, (3, 24, 32), dtype=np.uint8), i % 3) for i in range(30)]
    made = {
        "train": written(root / "train", train_results()),
        "evaluate": written(root / "evaluate", evaluate_results()),
        "retrieval": written(root / "retrieval", retrieval_results()),
        "compare": written(root / "compare", compare_results()),
        "many": written(root / "many", evaluate_results(MANY)),
    }
    audited().write(root / "audit", title="An audit", command="augwise audit")
    audited(224, model=False).write(root / "bare", title="Without a model")
    made |= {"audit": root / "audit", "bare": root / "bare"}
    aw.ImportanceStore.from_maps(data, maps, root / "own.maps")
    made["store"] = root / "own.maps"
    for folder in made.values():
        assert aw.report(folder) == folder / "report.html"
    return made


def sections(browser, page):
    with opened(browser, page) as tab:
        return tab.evaluate("[...document.querySelectorAll('h2')].map(h => h.textContent)"), tab.inner_text("body")


WANTED = {
    "train": ["In short", "Training curves", "Class by class", "What was run"],
    "evaluate": [
        "In short", "Class by class", "What is taken for what", "Can its confidence be believed?", "What was run",
    ],
    "retrieval": ["In short", "Ranked in two ways", "Who is found, and who is not", "What was run"],
    "compare": [
        "In short", "Differences", "Accuracy", "Each arm at its own best strength", "Curves", "Class by class",
        "What the augmentation overwrote", "Side by side", "The maps", "What was run",
    ],
    "audit": ["What is lost", "cut & paste", "grey", "What was run"],
    "store": ["In short", "How the maps are spread", "Class by class", "What was run"],
}  # fmt: skip
WANTED |= {"many": WANTED["evaluate"], "bare": WANTED["audit"]}


@pytest.mark.parametrize("kind", WANTED)
def test_the_page_is_fit_for_people(kind, folders, browser):
    page = folders[kind] / "report.html"
    assert sections(browser, page)[0] == WANTED[kind]
    check_page(browser, page, largest=6e5)


def test_several_results_make_one_page(folders, browser, tmp_path):
    page = aw.report(*folders.values(), out=tmp_path / "all.html", title="All & everything")
    found, text = sections(browser, page)
    assert found == [
        "Training: Cutout", "Evaluation: toys, test split", "Re-identification: people & <others>, test split",
        "Toys & <things>", "Evaluation: toys, test split",
        "An audit", "Without a model", "Importance maps: own.maps",
    ]  # fmt: skip
    assert "All & everything\n\n8 results" in text
    check_page(browser, page)


def test_an_audit_says_what_it_could_not_do(folders, browser):
    _, text = sections(browser, folders["audit"] / "report.html")
    assert "Failed on 2 of 7 images:" in text
    assert "image 1: no <image>" in text
    assert "The map cannot follow <lambda>" in text
    assert "40 % of its pictures have pixels below 0 or above 1" in text
    assert "1: a.jpg (truncated)" in text
    assert "recognises 75 % of the images" in text
    page = (folders["audit"] / "report.html").read_bytes()
    assert page.count(b"<img") == 3 * 7
    assert aw.report(folders["audit"]).read_bytes() == page
    _, text = sections(browser, folders["bare"] / "report.html")
    assert "No reference model was given" in text
    assert "no longer\nrecognised" not in text


@pytest.mark.parametrize("side", [24, 200])
def test_the_page_of_a_store_beside_its_images(side, browser, tmp_path):
    rng = np.random.default_rng(1)
    images = rng.integers(0, 255, (30, side, side + 8, 3), dtype=np.uint8)
    labels = np.arange(30) % 3
    np.savez(tmp_path / "d.npz", train_images=images, train_labels=labels)
    maps = rng.random((30, 8, 10)) * (rng.random((30, 8, 10)) < 0.2)
    data = f"npz:{tmp_path / 'd.npz'}"
    aw.ImportanceStore.from_maps(aw.open_source(data), maps, tmp_path / "own.maps")
    page = aw.show(aw.ShowConfig(tmp_path / "own.maps", data=data, out=tmp_path / "maps.html", quiet=True))
    wanted = ["In numbers", "How centred is the evidence?", "By class", "Image by image", "What was run"]
    assert sections(browser, page)[0] == wanted
    check_page(browser, page, largest=3e6)


def test_awkward_names_stay_text(folders, browser):
    _, text = sections(browser, folders["train"] / "report.html")
    page = (folders["compare"] / "report.html").read_text()
    assert "Toys &amp; &lt;things&gt;" in page
    assert "<things>" not in page
    assert "<wolf>" not in page
    assert "Cutout" in text


def test_the_page_says_the_numbers(folders, browser):
    _, text = sections(browser, folders["train"] / "report.html")
    assert "85.8 % of 120 images are classified correctly after 12 epochs." in text
    _, text = sections(browser, folders["compare"] / "report.html")
    assert "Guarded beats plain, and it beats its control" in text
    assert "torch 2.15.0, torchvision 0.29.2, python 3.11.7" in text
    _, text = sections(browser, folders["evaluate"] / "report.html")
    assert "too confident" in text
    _, text = sections(browser, folders["retrieval"] / "report.html")
    assert "For 60.00 % of 80 queries the nearest of 500 gallery images is of the same identity" in text
    assert "3 queries without a match by another camera left out." in text
    assert "54.32" in text


def test_older_results_make_a_page_without_what_they_lack(browser, tmp_path):
    results = compare_results()
    for name in ("overall", "class_changes", "loss_curves"):
        del results[name]
    for run in results["runs"]:
        del run["per_class"]
        del run["loss_curve"]
    folder = written(tmp_path / "old", results)
    (folder / "gallery.json").unlink()
    found, text = sections(browser, aw.report(folder))
    assert found == [s for s in WANTED["compare"] if s not in ("Class by class", "Side by side")]
    assert "Over all 4 rows together" in text  # pooled anew from the runs that are listed


def test_an_unfinished_comparison_says_so(browser, tmp_path):
    results = compare_results(keep=9)
    found, text = sections(browser, aw.report(written(tmp_path / "part", results)))
    assert "Unfinished: 9 of 52 runs are in" in text
    assert "One run per arm is finished: no difference can be told from chance." in text
    check_page(browser, tmp_path / "part" / "report.html")
    assert "Accuracy" in found


def test_a_comparison_without_a_finished_run(browser, tmp_path):
    results = compare_results() | {"table": [], "baseline": None, "best": [], "runs": [], "done": 0, "curves": {}}
    del results["overall"]
    page = aw.report(written(tmp_path / "none", results))
    assert "No run is finished yet." in sections(browser, page)[1]


def test_many_classes_and_photographs_stay_within_bounds(browser, tmp_path):
    config = compare_config(methods=("cutout",), seeds=3)
    results = compare_results(config=config, classes=MANY)
    folder = written(tmp_path / "large", results, side=224)
    page = aw.report(folder)
    check_page(browser, page, largest=2e6)
    text = page.read_text()
    assert text.count("data:image/jpeg") == 2 * 3 * 5
    assert "Drawn are the 10 classes that gained" in re.sub(r"\s+", " ", text)


def test_a_page_needs_no_script(folders, browser):
    page = folders["compare"] / "report.html"
    with opened(browser, page, 390, java_script_enabled=False) as tab:
        assert tab.locator("table").count() >= 4
        assert tab.locator("tbody tr").first.is_visible()
        assert tab.locator("svg").first.is_visible()


def test_on_paper_nothing_is_folded_or_cut(folders, browser):
    with opened(browser, folders["many"] / "report.html") as tab:
        tab.emulate_media(media="print")
        assert tab.locator("text=All 60 classes in numbers").is_visible()
        cells = tab.evaluate(
            "document.querySelector('.scroll.tall').scrollHeight - document.querySelector('.scroll.tall').clientHeight"
        )
        assert cells <= 2
