"""A paper's table that was run again, as text: for the terminal, and in parts for the page. Knows nothing of runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def as_text(results: Mapping[str, Any]) -> str:
    """The tables for a terminal: ours, then the paper's number in brackets."""
    lines = [results["title"], f"{results['scale']}: {results['about']}", ""]
    for table in results["tables"]:
        rows = [["", *table["columns"]]]
        for row in table["rows"]:
            cells = [table["cells"].get(row, {}).get(column) for column in table["columns"]]
            if any(cell is not None and cell["n"] for cell in cells):
                rows.append([row, *("" if cell is None else cell_text(cell) for cell in cells)])
        if len(rows) == 1:
            continue
        keep = [i for i in range(len(rows[0])) if i == 0 or any(row[i] and row[i][0] != "(" for row in rows[1:])]
        rows = [[row[i] for i in keep] for row in rows]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines += [f"{table['title']}, {table['metric']}"]
        lines += [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        lines.append("")
    for pair in results["pairs"]:
        lines.append(pair_text(pair))
    if results["pairs"]:
        lines.append(
            "gains: towards better, in percentage points unless they say otherwise, paired by seed, 95 % intervals; p "
            "corrected by Holm"
        )
    total = results["done"] + results["running"] + results["left"]
    brackets = "; numbers in brackets are the paper's" if prints_any(results) else "; the paper prints no numbers here"
    lines += ["", f"{results['done']} of {total} runs are done{brackets}"]
    return "\n".join(lines) + "\n"


def prints_any(results: Mapping[str, Any]) -> bool:
    """Whether the paper has a number in any of these tables."""
    rows = [row for table in results["tables"] for row in table["cells"].values()]
    return any(cell["published"] is not None for row in rows for cell in row.values())


POINTS = "points"


def unit_of(pair: Mapping[str, Any]) -> str:
    """What a gain is counted in; older results have points alone."""
    return pair.get("unit", POINTS)


def cell_text(cell: Mapping[str, Any]) -> str:
    """``4.21 ± 0.10 (3.99)``: ours, where it is there, and the paper's; two digits of what is below a hundredth."""
    own = ""
    if cell["n"]:
        digits = 1 - math.floor(math.log10(abs(cell["mean"]))) if 0 < abs(cell["mean"]) < 0.01 else 2
        own = f"{cell['mean']:.{digits}f}" + ("" if cell["std"] is None else f" ± {cell['std']:.{digits}f}")
    theirs = "" if cell["published"] is None else f"({cell['published']:g})"
    return " ".join(filter(None, [own, theirs]))


def pair_text(pair: Mapping[str, Any]) -> str:
    """A pair in a line."""
    gain = pair["gain"]
    interval = "" if gain["low"] is None else f" [{gain['low']:+.2f}, {gain['high']:+.2f}]"
    theirs = "" if pair["published"] is None else f", the paper {pair['published']:+.2f}"
    p = "" if pair["p"] is None else f", p {pair['p']:.2g}"
    unit = "" if unit_of(pair) == POINTS else f" {unit_of(pair)}"
    text = f"{gain['mean']:+.2f}{interval}{unit} (n = {gain['n']}){p}{theirs}".replace("-", "−")
    return f"{pair['what']} against {pair['against']}: {text}: {pair['verdict']}"
