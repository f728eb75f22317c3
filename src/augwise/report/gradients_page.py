"""The page of gradients under attack: how much they change, and what was said of it beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from .analyse_page import Section, Table, analysis_page, lines, scientific
from .charts import Chart, histogram, line_chart
from .page import Page
from .text import percent

PUBLISHED = 0.98
"""Share below 1 % that IPF-RDA reports of CIFAR-10's training images, "more than"."""


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of gradients."""
    sections = [_shares(results), *_bounds(results)]
    return analysis_page(results, _headline(results["rows"]), _points(results), sections)


def _headline(rows: list[dict[str, Any]]) -> str:
    row = rows[0]
    if row["all"]["below"] is None:
        return f"No image has a gradient that {row['run']} shows: there is nothing to compare."
    return (
        f"With ε = {row['text']} {percent(row['all']['below'])} % of the images change their gradient by less than 1 % "
        f"({row['run']}); the middle one by {percent(row['all']['median'])} %."
    )


def _points(results: dict[str, Any]) -> list[str]:
    points = [
        f"IPF-RDA (Fig. 5) reports more than {percent(PUBLISHED, 0)} % below 1 % for CIFAR-10’s training images, and "
        "does not say under which attack, of which size, on which network. Compare with care.",
        "Pr = ‖g after − g before‖ / ‖g before‖, with g the gradient of the label’s cross-entropy in the pixels. "
        "Fooled: right before the attack and wrong after it, which is what the paper’s argument is about.",
    ]
    blind = [row for row in results["rows"] if row["blind"] > 0]
    if blind:
        most = max(blind, key=lambda row: row["blind"])
        points.append(
            f"{percent(most['blind'])} % of the images have no gradient in float32 for {most['run']}: it is too sure "
            "of them. They count nowhere."
        )
    still = [row for row in results["rows"] if row["rounded"] > 0]
    if still:
        most = max(still, key=lambda row: row["rounded"])
        points.append(
            f"{percent(most['rounded'])} % of the gradients of {most['run']} are the same after ε = {most['text']}."
        )
    return points


def _shares(results: dict[str, Any]) -> Section:
    rows = results["rows"]
    charts: list[Chart] = []
    for text in dict.fromkeys(row["text"] for row in rows):
        mine = [row for row in rows if row["text"] == text]
        names = [row["run"] for row in mine]
        risen = lines(names, [_risen(results["edges"], row["counts"]) for row in mine], marked=False)
        if risen:
            charts.append(
                line_chart(
                    f"Share up to Pr, ε = {text}", risen, "log10 of Pr (−2 is 1 %)", "images, %", y_span=(0, 100)
                )
            )
        for row in mine:
            if row["all"]["images"]:
                name = f"{row['run']}, ε = {text}"
                charts.append(histogram(name, results["edges"], row["counts"], "log10 of Pr (−2 is 1 %)"))
    columns = [
        "run", "ε", "right, %", "after, %", "below 1 %, %", "median Pr, %", "10 to 90 %", "fooled", "of these below, %",
        "their median, %",
    ]  # fmt: skip
    table = Table("Pr over all images, and over those that were fooled.", columns, [_cells(row) for row in rows])
    notes = ["Bins at the ends also hold what lies beyond them. 10 to 90 %: Pr in % at these shares of the images."]
    return Section("change", "How much gradients change", (), charts, [table], notes)


def _cells(row: dict[str, Any]) -> list[str]:
    every, fooled = row["all"], row["fooled"]
    between = "–" if every["low"] is None else f"{_hundred(every['low'])} to {_hundred(every['high'])}"
    return [
        row["run"],
        row["text"],
        percent(row["accuracy"]),
        percent(row["attacked"]),
        percent(every["below"]),
        _hundred(every["median"]),
        between,
        str(fooled["images"]),
        percent(fooled["below"]),
        _hundred(fooled["median"]),
    ]


def _bounds(results: dict[str, Any]) -> list[Section]:
    if not results["config"]["bound"]:
        return []
    rows = [
        [
            row["run"],
            row["text"],
            *(_hundred(value) for value in (row["all"]["median"], row["first_order"], row["error"], row["bound"])),
            percent(row["bound_below"]),
            percent(row["holds"]),
        ]
        for row in results["rows"]
    ]
    columns = ["run", "ε", "Pr, %", "first order, %", "off by, %", "bound, %", "below 1 %, %", "within, %"]
    text = (
        "Eq. 3: to first order the gradient changes by H δ, with H the Hessian of the loss in the image and δ what the "
        "attack did. Eq. 4: its norm is at most Σ |exp(ε λ) − 1| · |g · v|, over eigenvalues λ and eigenvectors v of H."
    )
    notes = [
        "Medians over images. First order: ‖H δ‖ over ‖g‖. Off by: how far H δ is from the change, over the change. "
        "Bound: that of Eq. 4 over ‖g‖; a dash where it is beyond all numbers. Below 1 %: images whose bound is. "
        "Within: images whose change is within it.",
        "Eq. 4 has ε where its derivation has the number of steps times their size, of steps along the gradient "
        "itself. Steps by the gradient’s sign go further where gradients are small, so changes beyond the bound are no "
        "contradiction.",
        "H is exact for networks of ReLUs; of smoother ones it is the Gauss-Newton part.",
    ]
    return [Section("bound", "What Eq. 3 and 4 say", [text], (), [Table("In % of ‖g‖.", columns, rows)], notes)]


def _risen(edges: Sequence[float], counts: Sequence[int]) -> list[tuple[float, float]]:
    total = sum(counts)
    if not total:
        return []
    return [(edge, 100 * upto / total) for edge, upto in zip(edges[1:], accumulate(counts), strict=True)]


def _hundred(value: float | None) -> str:
    return scientific(None if value is None else 100 * value)
