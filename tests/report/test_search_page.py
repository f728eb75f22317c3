"""The page of a search is fit for people, and its drawings are wired as the genotype says."""

from __future__ import annotations

import json
import re

import pytest

from augwise.cli import main
from augwise.models import genotype
from augwise.report.cells import cell_drawing
from augwise.report.search_page import undecided
from report.browser import check_page


@pytest.mark.parametrize("epochs", [1, 4])
def test_the_page_of_search(tmp_path, browser, capsys, epochs):
    small = "--size 8 --limit 40 --batch-size 20 --channels 8 --layers 3 --device cpu --threads 1 --quiet"
    main(["search", "--data", "digits", *small.split(), "--epochs", str(epochs), "--out", str(tmp_path / "s")])
    said = capsys.readouterr().out
    assert f"--size 8 --model darts_c8_l3:{tmp_path}/s/genotype.json --drop-path 0" in said
    assert f"--model darts:{tmp_path}/s/genotype.json" in said
    assert "The mixture has hardly moved" in said  # four steps of 0.0006
    assert "The mixture has hardly moved" in (tmp_path / "s" / "report.html").read_text()
    check_page(browser, tmp_path / "s" / "report.html", largest=1e5)
    page, found = (
        (tmp_path / "s" / "report.html").read_text(),
        json.loads((tmp_path / "s" / "results.json").read_text()),
    )
    assert page.count("<svg") == 2 + (4 if epochs > 1 else 0)
    assert f"{found['networks'][0]['parameters'] / 1e6:.2f} M" in page
    for kind in ("normal", "reduction"):
        for strengths in found["strengths"][kind]:
            assert all(f">{value:.3f}</text>" in page for value in strengths)


def test_a_search_has_decided_where_one_kind_of_cell_has():
    first = {"alpha_entropy_normal": 2.079, "alpha_entropy_reduction": 2.079}
    assert undecided({"curve": [first]})
    assert not undecided({"curve": [first, first | {"alpha_entropy_reduction": 2.06}]})
    assert undecided({"curve": [first | {"alpha_entropy_normal": 1.5}, first]})  # the last counts


@pytest.mark.parametrize("kind", ["normal", "reduction"])
def test_every_operation_taps_the_line_of_what_it_takes(kind):
    cell = getattr(genotype("pc_darts_cifar10"), kind)
    svg = cell_drawing("A cell", cell, kind == "reduction").svg
    boxes = {float(y) + 11: None for y in re.findall(r'<rect class="box" x="148" y="([\d.]+)"', svg)}
    assert len(boxes) == 8
    lines = {float(x): (float(a), float(b)) for x, a, b in re.findall(r'd="M([\d.]+) ([\d.]+)V([\d.]+)"', svg)}
    lanes = sorted(lines)
    assert len(lanes) == 6  # two inputs and four nodes
    taps = {float(y): float(x) for x, y in re.findall(r'<path class="wire" d="M([\d.]+) ([\d.]+)H148"', svg)}
    edges = [edge for node in cell for edge in node]
    for (_, state), y in zip(edges, sorted(taps), strict=True):
        assert y in boxes
        assert lanes.index(taps[y]) == state
        begin, end = lines[taps[y]]
        assert begin < y <= end  # the line is there when it is tapped
    assert svg.count("÷ 2") == (sum(state < 2 for _, state in edges) if kind == "reduction" else 0)
    told = re.search(r"<desc[^>]*>(.*)</desc>", svg)
    assert told is not None
    assert told[1].startswith("Node 1 is sep conv")
