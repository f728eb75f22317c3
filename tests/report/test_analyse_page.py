"""The pages of analyse: what they say, that they are fit for people, and pictures that keep their laws."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

import augwise as aw
from augwise.analysis.analyse_calibration import interval
from augwise.analysis.analyse_ood import rows_of
from augwise.analysis.bootstrap import bootstrap
from augwise.analysis.calibration_errors import errors, probabilities, scaled_crosswise
from augwise.analysis.clusters import spread
from augwise.report.analyse_page import alone, as_text, scientific, write_pictures
from augwise.report.build import load
from augwise.report.figures import picture
from augwise.report.gallery import write_gallery
from augwise.report.landscape_page import page
from augwise.report.robustness_page import warnings
from augwise.report.strips import strips
from augwise.report.surfaces import Heights, contours, surface
from augwise.training.results import write_json
from report.browser import check_page
from report.samples import ENVIRONMENT

RUNS = ["plain", "a run <b> & more", "third"]


def frame(kind, config, **found):
    """Results of a kind around what was found."""
    on = {"runs": RUNS, "data": None, "split": "test", "batch_size": 256, "seed": 0, "out": None, "quiet": True}
    data = {"name": "toys", "split": "test", "images": 200, "classes": 3, "size": [24, 32], "left_out": []}
    head = {"kind": kind, "augwise": "0.1.0", "title": f"{kind}: toys", "command": f"augwise analyse {kind}"}
    return head | {"config": {"on": on, **config}, "data": data, "seconds": 3.0, "environment": ENVIRONMENT} | found


def about(name, **found):
    return {
        "name": name,
        "run": f"runs/{name}",
        "model": "small_cnn",
        "epochs": 3,
        "seed": 0,
        "fingerprint": "0" * 32,
    } | found


def landscape():
    steps, grid = np.linspace(-1, 1, 9), np.linspace(-1, 1, 7)
    runs = []
    for i, name in enumerate(RUNS):
        loss = 0.2 + (i + 1) * steps**2
        plane = 0.2 + (i + 1) * (grid[None] ** 2 + 8 * grid[:, None] ** 2)
        line = {"steps": steps.tolist(), "loss": loss.tolist(), "accuracy": (1 / (1 + loss)).tolist()}
        plane = plane.tolist()
        if i == 2:
            plane[0][0] = line["loss"][0] = None
        shown = {"steps": grid.tolist(), "loss": plane, "accuracy": plane}
        directions = [{"eigenvalue": 2.0 * (i + 1), "residual": 0.01}, {"eigenvalue": 16.0, "residual": 0.01}]
        runs.append(about(name, loss=0.2, accuracy=0.9, directions=directions, lines=[line, line], surface=shown))
    return frame("landscape", {"directions": "hessian", "steps": 60}, radius=1.0, runs=runs)


def hessian():
    runs, at = [], np.linspace(-2, 100, 50)
    for i, name in enumerate(RUNS):
        values = [{"value": v * (i + 1), "residual": 0.001, "found": v > 2} for v in (33.25, 8.0, 1.5)]
        nodes, weights = [-1.5, 0.0, 33.25 * (i + 1)], [0.1, 0.8, 0.1]
        density = {"at": at.tolist(), "value": np.exp(-abs(at - 20 * i)).tolist(), "width": 0.5}
        numbers = {
            "trace": 995.0,
            "trace_std": None,
            "frobenius": 41.0,
            "highest": 99.75,
            "lowest": -4.5,
            "negative": 0.1,
        }
        more = {"probes": [{"nodes": nodes, "weights": weights}], "density": density, "products": 12, "gradient": 0.5}
        runs.append(about(name, loss=0.2, accuracy=0.9, parameters=100, eigenvalues=values, **numbers, **more))
    return frame("hessian", {"solver": "lanczos", "probes": 1, "probe_steps": 20}, runs=runs)


def noise():
    sigmas, runs = [0.0, 0.01, 0.1], []
    for i, name in enumerate(RUNS):
        points = []
        for sigma in sigmas:
            mean = 0.9 - sigma * (i + 1)
            accuracy = {"n": 3, "mean": mean, "std": sigma, "low": mean - sigma, "high": mean + sigma}
            loss = {"n": 3, "mean": 1 / mean, "std": sigma, "low": 1 / mean - sigma, "high": 1 / mean + sigma}
            if i == 2 and sigma == 0.1:
                loss = {"n": 0, "mean": None, "std": None, "low": None, "high": None}
            points.append({"sigma": sigma, "loss": loss, "accuracy": accuracy})
        runs.append(about(name, loss=1.0, accuracy=0.9, points=points))
    return frame("noise", {"scale": "absolute", "draws": 3}, sigmas=sigmas, runs=runs)


def robustness(masked=0.0, blind=0.0):
    rng, rows = np.random.default_rng(0), []
    clean = rng.random((200, 3)) < 0.9
    for access, by in (("white", None), ("grey", "a twin"), ("black", "a stranger")):
        for attack in ("fgsm", "pgd"):
            for text, epsilon in (("4/255", 4 / 255), ("8/255", 8 / 255)):
                hurt = (
                    {"white": 0.6, "grey": 0.8, "black": 0.85 - masked}[access] - 5 * epsilon - 0.1 * (attack == "pgd")
                )
                right = clean & (rng.random((200, 3)) < hurt)
                own, apart = bootstrap(right * 1.0, 100), bootstrap(right * 1.0 - right[:, :1], 100)
                for i, name in enumerate(RUNS):
                    row = {"run": name, "access": access, "by": by, "attack": attack, "epsilon": epsilon, "text": text}
                    over = apart[i] if i else None
                    rows.append(row | {"loss": 1.0, "blind": blind, "accuracy": own[i], "over_first": over})
    runs = [about(name, clean=found) for name, found in zip(RUNS, bootstrap(clean * 1.0, 100), strict=True)]
    others = [about("a twin", access="grey"), about("a stranger", access="black", model="resnet18")]
    return frame("robustness", {"steps": 20, "alpha": None}, runs=runs, substitutes=others, rows=rows)


def ood():
    rng, rows = np.random.default_rng(0), []
    for name in RUNS:
        found = rows_of(name, rng.normal(size=(200, 3)) * 2, rng.normal(size=(50, 3)), 100, 0)
        rows += [{"foreign": "birds", **row} for row in found]
    told = [{"spec": "birds", "name": "birds", "images": 50}]
    return frame("ood", {"resamples": 100}, foreign=told, runs=[about(name) for name in RUNS], rows=rows)


def natural():
    rng = np.random.default_rng(0)
    right = rng.random((80, 6)) < 0.3
    own, apart, rows = bootstrap(right * 1.0, 100), bootstrap(right * 1.0 - right[:, :1], 100), []
    for i, name in enumerate(RUNS):
        over = apart[2 * i] if i else None
        numbers = {"accuracy": own[2 * i], "accuracy_all": own[2 * i + 1], "over_first": over}
        rows.append({"run": name, "confidence": 0.8, "ece": 0.5, **numbers})
    known = {"name": "imagenet-a", "images": 80, "classes": 2, "rows": rows}
    found = [{k: v for k, v in row.items() if k != "foreign"} for row in ood()["rows"]]
    unknown = {"name": "imagenet-o", "images": 50, "classes": 2, "known_images": 150, "rows": found}
    return frame("natural", {"mapping": "map.json"}, runs=[about(name) for name in RUNS], known=known, unknown=unknown)


def calibration():
    rng, runs = np.random.default_rng(0), []
    for i, name in enumerate(RUNS):
        logits, labels = rng.normal(size=(200, 3)) * (i + 1), rng.integers(3, size=200)
        p, (after, temperatures) = probabilities(logits), scaled_crosswise(logits, labels)
        bins = [{"low": 0.4, "high": 0.6, "images": 120, "confidence": 0.5, "accuracy": 0.4}]
        bins.append({"low": 0.8, "high": 1.0, "images": 80, "confidence": 0.9, "accuracy": 0.45})
        around = interval(p.max(1), p.argmax(1) == labels, 5, 100, 0)
        scaled = errors(after, labels, 5) | {"temperatures": list(temperatures), "bins": bins}
        runs.append(about(name, **errors(p, labels, 5), interval=around, bins=bins, scaled=scaled))
    return frame("calibration", {"bins": 5}, runs=runs)


def cam():
    runs = []
    for i, name in enumerate(RUNS):
        known = {"on_important": 0.3 + 0.1 * (i == 1), "on_other": 0.25, "area": 0.2} if i < 2 else {}
        told = {"accuracy": 0.9, "empty": 0.05, **dict.fromkeys(("on_important", "on_other", "area")), **known}
        runs.append(about(name, kind="CAM" if i else "Grad-CAM", **told))
    pairs = [{"runs": RUNS[:2], "alike": 0.5, "images": 190}, {"runs": RUNS[1:], "alike": None, "images": 0}]
    return frame("cam", {"share": 0.2, "maps": "own.maps"}, runs=runs, pairs=pairs, maps="own.maps")


def pictures():
    """Of ``cam``: an image of one class under each run."""
    shown = picture(np.random.default_rng(0).integers(0, 255, (24, 32, 3)).astype(np.uint8))
    looks = [{"name": n, "image": shown, "guess": "owl", "right": n == "plain", "sure": 0.6} for n in RUNS]
    return [
        {"title": "Pictures", "examples": [{"label": "cat", "tiles": [{"name": "original", "image": shown}, *looks]}]}
    ]


def embedding():
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    runs = []
    for name in RUNS:
        points = rng.normal(size=(30, 2)) + 3 * labels[:, None]
        told = spread(torch.from_numpy(points), torch.from_numpy(labels)).told()
        about_it = {"accuracy": 0.9, "dimensions": 64, "features": told, "plane": told, "points": points.tolist()}
        runs.append(about(name, **about_it))
    classes = ["cat <b>", "dog", "owl"]
    return frame("embedding", {"perplexity": 30.0}, runs=runs, labels=labels.tolist(), classes=classes)


def gradients():
    edges, rows = np.linspace(-4, 5, 37), []
    for i, name in enumerate(RUNS):
        share = np.full(200, 0.5) if i else np.repeat([0.005, 0.5], [24, 176])
        counts = np.histogram(np.log10(share), edges)[0].tolist()
        told = {"images": 200, "below": 0.0 if i else 0.12, "median": 0.5, "low": 0.1, "high": 0.9}
        none = {"images": 0, "below": None, "median": None, "low": None, "high": None}
        row = {"run": name, "epsilon": 8 / 255, "text": "8/255", "accuracy": 0.9, "attacked": 0.2, "blind": 0.1 * i}
        row |= {
            "rounded": 0.02,
            "all": none if i == 2 else told,
            "fooled": none,
            "counts": [0] * 36 if i == 2 else counts,
        }
        rows.append(row | {"first_order": 0.3, "error": 0.9, "bound": None, "bound_below": 0.99, "holds": 0.0})
    runs = [about(name) for name in RUNS]
    return frame("gradients", {"bound": True, "attack": "pgd"}, runs=runs, edges=edges.tolist(), rows=rows)


KINDS = {
    f.__name__: f for f in (landscape, hessian, noise, robustness, ood, natural, calibration, cam, embedding, gradients)
}
SAYS = {
    "landscape": [
        "Flattest is plain, whose loss rises by 0.417",
        "All pictures share colours and heights, which are logarithmic.",
    ],
    "hessian": [
        "Least curved is plain, the largest eigenvalue of whose Hessian is 33.2",
        "also bends downwards",
        "1.5*",
    ],
    "noise": ["With noise of 0.1 on the weights, this much is still right: plain 80.0 %", "89.0 ± 1.0"],
    "cam": ["lie of the maps: a run", "the network ends otherwise", "taken for owl, 60 %"],
    "embedding": ["Dunn index of the features", "In the plane", "t-SNE keeps neighbours"],
    "gradients": ["With ε = 8/255 12.0 % of the images", "more than 98 % below 1 %", "What Eq. 3 and 4 say"],
    "robustness": ["After white-box PGD with ε = 8/255", "The attack follows the gradients of the very network"],
    "ood": ["AUPR against birds by the softmax probability", "chance is 20.0 %"],
    "natural": ["Right on imagenet-a: ", "AUPR against imagenet-o"],
    "calibration": ["Expected calibration error: plain", "too confident", "After temperature scaling"],
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("analyse")
    for kind, make in KINDS.items():
        (root / kind).mkdir()
        write_json(root / kind / "results.json", make())
        if kind == "cam":
            write_gallery(root / kind, pictures())
        assert aw.report(root / kind) == root / kind / "report.html"
    return root


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_says_what_was_found(kind, folders):
    text = (folders / kind / "report.html").read_text()
    told = as_text(load(folders / kind))
    for words in SAYS[kind]:
        if "*" not in words:
            assert words in text.replace("\n", " "), words
    assert "a run &lt;b&gt; &amp; more" in text
    assert "<b>" not in text
    assert "a run <b> & more" in told
    # Every cell of every table stands in the text for the terminal too.
    for section in load(folders / kind).words["sections"]:
        for table in section.tables:
            assert all(len(row) == len(table.columns) for row in table.rows)
            assert all(cell in told for row in table.rows for cell in row)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_fit_for_people(kind, folders, browser):
    check_page(browser, folders / kind / "report.html", largest=6e5)


def test_all_pages_bind_into_one(folders, tmp_path, browser):
    page = aw.report(*(folders / kind for kind in KINDS), out=tmp_path / "all.html")
    check_page(browser, page)


def test_every_chart_is_a_picture_of_its_own(folders):
    page = load(folders / "landscape")
    made = write_pictures(folders / "landscape", page)
    charts = [chart for section in page.words["sections"] for chart in section.charts]
    assert len(made) == len(set(made)) == len(charts) == 4 + 3 * 2
    for path in made:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.find("{http://www.w3.org/2000/svg}style") is not None
    assert alone(charts[0]).count("<svg") == 1


def test_one_run_alone_makes_a_page(tmp_path):
    for kind, make in KINDS.items():
        results = make()
        results["runs"] = results["runs"][:1]
        for part in (results, results.get("known", {}), results.get("unknown", {})):
            if "rows" in part:
                part["rows"] = [row for row in part["rows"] if row["run"] == "plain"]
        write_json(tmp_path / "results.json", results)
        assert "plain" in aw.report(tmp_path).read_text(), kind
        assert "Against plain" not in (tmp_path / "report.html").read_text()


def test_a_page_doubts_numbers_that_flatter():
    assert len(warnings(robustness())) == 1
    said = " ".join(warnings(robustness(masked=0.6, blind=0.04)))
    assert "On up to 4.0 % of the images the gradient of a run <b> & more, plain, third is exactly zero" in said
    assert "these are masked" in said
    results = robustness()
    for row in results["rows"]:
        if row["attack"] == "fgsm" and row["run"] == "third":
            row["accuracy"] = row["accuracy"] | {"mean": 0.0}
    assert any("FGSM beats PGD on third: PGD is too weak" in text for text in warnings(results))


def test_a_flat_network_that_has_learned_little_is_not_praised():
    results = landscape()
    results["runs"][0]["loss"] = 0.25
    assert "Flat is not deep" not in as_text(page(results, {}))
    results["runs"][0]["loss"] = 0.5
    assert "the loss of plain is 0.50 at its weights, that of a run <b> & more 0.20" in as_text(page(results, {}))


# Surfaces -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "logarithmic"),
    [(0.013, 40.0, True), (0.4, 5.0, True), (2.0, 3.1, False), (1e-3, 5e6, True), (1, 1, False)],
)
def test_levels_hold_all_values_and_are_round(low, high, logarithmic):
    found = Heights.of([np.array([[low, (low + high) / 2]]), np.array([[high, np.nan]])])
    assert found.logarithmic == logarithmic
    assert found.levels[0] <= low
    assert found.levels[-1] >= high
    assert len(found.levels) <= 14
    assert list(found.levels) == sorted(set(found.levels))
    assert found.share(found.levels[0]) == pytest.approx(0)
    assert found.share(found.levels[-1]) == pytest.approx(1)
    assert all(len(found.text(level)) <= 6 for level in found.levels)


def _area(path):
    """Of an even-odd path of M, L and Z: rings inside others, which turn the other way, count against them."""
    total = 0.0
    for ring in re.findall(r"M([^Z]+)Z", path):
        points = np.array([[float(v) for v in pair.split()] for pair in re.split("[ML]", ring) if pair])
        x, y = points.T
        total += (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2
    return abs(total)


def test_bands_cover_the_plane_and_each_the_area_between_its_levels():
    """Over a bowl r², of which the disc below a level has the area π r²."""
    steps = np.linspace(-1, 1, 81)
    values = steps[None] ** 2 + steps[:, None] ** 2
    heights = Heights((0.0, 0.25, 0.81, 2.0), False)
    chart = contours("bowl", steps.tolist(), steps.tolist(), values, heights, "loss")
    paths = re.findall(r'<path fill="(#\w+)" fill-rule="evenodd" d="([^"]+)"', chart.svg)
    areas = [_area(path) / 250**2 * 4 for _, path in paths]
    assert sum(areas) == pytest.approx(4, rel=1e-3)
    assert areas[0] == pytest.approx(np.pi * 0.25, rel=0.01)
    assert areas[1] == pytest.approx(np.pi * (0.81 - 0.25), rel=0.01)
    assert len({colour for colour, _ in paths}) == 3
    assert "0 in the middle, from 0 to 2 over the plane" in chart.svg


def test_a_surface_is_drawn_from_the_back_and_without_what_is_not_finite():
    steps = [-1.0, 0.0, 1.0, 2.0]
    values = np.arange(12.0).reshape(3, 4)
    heights = Heights.of([values])
    whole = surface("plane", steps, steps[:3], values, heights, "loss")
    assert whole.svg.count("<polygon") == 2 * 3
    lowest = [
        max(float(p.split(",")[1]) for p in points.split()) for points in re.findall(r'points="([^"]+)"', whole.svg)
    ]
    flat = surface("plane", steps, steps[:3], np.full((3, 4), 1.0), heights, "loss")
    lowest = [
        max(float(p.split(",")[1]) for p in points.split()) for points in re.findall(r'points="([^"]+)"', flat.svg)
    ]
    assert lowest[0] == min(lowest)  # of a level plane, what is farther away is drawn higher up, and first
    assert lowest[-1] == max(lowest)
    values[0, 0] = np.nan
    lost = surface("plane", steps, steps[:3], values, heights, "loss")
    assert lost.svg.count("<polygon") == 5
    assert "not finite at 1 points" in lost.svg
    assert "nan" not in contours("plane", steps, steps[:3], values, heights, "loss").svg


def test_numbers_of_any_size():
    assert [scientific(v) for v in (None, 0.0, 1234567.0, -0.000123456, 12.345)] == [
        "–",
        "0",
        "1.23e+06",
        "−0.000123",
        "12.3",
    ]


def test_under_a_tile_stands_what_it_shows():
    taken = {"guess": "cat", "right": False, "sure": 0.6}
    right = {"guess": "owl", "right": True, "sure": 0.71}
    tiles = [
        {"name": "original", "image": 0}, {"name": "guarded", "image": 1, "caption": "12 % of it"},
        {"name": "map", "image": 2, **taken}, {"name": "map", "image": 3, **right},
        {"name": "cut", "image": 4, "cam": 6, **taken}, {"name": "cut", "image": 5, "cam": 7, **right},
    ]  # fmt: skip
    assert strips([{"label": "owl", "tiles": tiles}]) == [
        ("owl", [
            (0, "original of owl", "original"),
            (1, "guarded of owl", "guarded: 12 % of it"),
            (2, "where map sees owl", "map: taken for cat, 60 %"),  # a map drawn over the image
            (3, "where map sees owl", "map: right, 71 %"),
            (4, "cut of owl", "cut: taken for cat, 60 %"),
            (5, "cut of owl", "cut: 71 %"),
            (6, "where the classifier looks in the cut", "cut: Grad-CAM"),
            (7, "where the classifier looks in the cut", "cut: Grad-CAM"),
        ])
    ]  # fmt: skip
