"""The page of a paper's table that was run again: ours beside theirs, gains with intervals, curves, warnings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .analyse_page import Section, Table, lines
from .charts import Chart, Estimate, forest, line_chart
from .page import Facts, Page, environment_facts
from .reproduce_text import POINTS, cell_text, prints_any, unit_of
from .strips import strips
from .text import counted, number, short, signed

_MOST_LINES, _MOST_ROWS = 5, 30


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what ``augwise reproduce`` found."""
    total = results["done"] + results["running"] + results["left"]
    sections = [_table(table, i) for i, table in enumerate(results["tables"]) if _filled(table)]
    sections += _drawn(results)
    sections += _gains(results)
    sections += _pictures(gallery)
    sections += _curves(results)
    return Page(
        "analyse",
        title=results["title"],
        version=results["augwise"],
        subtitle=f"scale {results['scale']}, {results['done']} of {counted(total, 'run')} done",
        facts=_facts(results),
        words={"headline": _headline(results), "points": _points(results), "sections": sections},
    )


def _headline(results: dict[str, Any]) -> str:
    if not results["done"]:
        return "Nothing is done yet."
    told = [pair for pair in results["pairs"] if pair["gain"]["low"] is not None]
    if not results["pairs"]:
        return f"{counted(results['done'], 'run')} at the scale “{results['scale']}”."
    if not told:
        return "Too few seeds to tell differences from chance."
    if len(told) == 1:
        return f"The one difference that is asked about: {told[0]['verdict']}."
    better = sum(pair["gain"]["low"] > 0 for pair in told)
    worse = sum(pair["gain"]["high"] < 0 for pair in told)
    return (
        f"Of {counted(len(told), 'difference')} that the paper or this project asks about, {better} "
        f"{'is' if better == 1 else 'are'} better and {worse} worse by their 95 % intervals."
    )


def _points(results: dict[str, Any]) -> list[str]:
    points = [f"Scale “{results['scale']}”: {results['about']}."]
    if results["scale"] != "full":
        points.append(
            "At this scale numbers cannot equal the paper’s, which stand beside them in brackets; only directions of "
            "differences can be set against it."
            if prints_any(results)
            else "The paper prints no numbers here; at this scale only directions could be set against it."
        )
    if results["claim"]:
        points.append(f"The paper: {results['claim']}")
    return points + list(results["wary"])


def _filled(table: dict[str, Any]) -> bool:
    return any(cell["n"] for row in table["cells"].values() for cell in row.values())


def _table(table: dict[str, Any], number: int) -> Section:
    """Rows that were run, and the paper's others below them; columns that were run."""
    run = {column for cells in table["cells"].values() for column, cell in cells.items() if cell["n"]}
    columns = [column for column in table["columns"] if column in run]
    rows, others = [], []
    for row in table["rows"]:
        cells = [table["cells"].get(row, {}).get(column) for column in columns]
        texts = [row, *("–" if cell is None else cell_text(cell) for cell in cells)]
        if any(cell is not None and cell["n"] for cell in cells):
            rows.append(texts)
        elif any(cell is not None for cell in cells):
            others.append(texts)
    theirs = any(cell["published"] is not None for row in table["cells"].values() for cell in row.values())
    brackets = " (the paper’s)" if theirs else ""
    caption = f"{table['metric']}, {table['better']} is better: mean ± standard deviation over seeds{brackets}."
    tables = [Table(caption, ["", *columns], rows)]
    if others:
        tables.append(Table("Rows of the paper that are not run at this scale.", ["", *columns], others))
    notes = [f"Of the printed table: {table['note']}"] if table["note"] else []
    return Section(f"table-{number}", table["title"], [], [], tables, notes)


def _drawn(results: dict[str, Any]) -> list[Section]:
    """One table against another, a line for every row: what something costs, and what it buys."""
    names = results.get("drawn") or []  # older results have none
    if not names:
        return []
    across, up = (next(table for table in results["tables"] if table["id"] == name) for name in names)
    rows = [row for row in up["rows"] if row in across["cells"] and row in up["cells"]]
    found = []
    for row in rows:
        xs, ys = across["cells"][row], up["cells"][row]
        both = [column for column in up["columns"] if _there(xs.get(column)) and _there(ys.get(column))]
        found.append(sorted((xs[c]["mean"], ys[c]["mean"], ys[c]["std"] or 0.0) for c in both))
    drawn = lines(rows, [[(x, y) for x, y, _ in points] for points in found])
    drawn = [
        replace(one, bars=[(y - s, y + s) for _, y, s in points])
        for one, points in zip(drawn, filter(None, found), strict=True)
    ]
    if not drawn:
        return []
    chart = line_chart(f"{up['title']}", drawn, across["metric"], up["metric"])
    text = "Means over seeds, bars one standard deviation; the points of a row from left to right."
    return [Section("drawn", "Cost and what it buys", [text], [chart])]


def _there(cell: Mapping[str, Any] | None) -> bool:
    return cell is not None and bool(cell["n"])


def _gains(results: dict[str, Any]) -> list[Section]:
    pairs = results["pairs"]
    if not pairs:
        return []
    charts, tables = [], []
    caption = "Paired by seed, 95 % intervals of Student’s t; p of all these differences corrected by Holm’s method."
    for unit in dict.fromkeys(map(unit_of, pairs)):
        own = [pair for pair in pairs if unit_of(pair) == unit]
        drawn = [_estimate(label, pair["gain"]) for label, pair in zip(_labels(own), own, strict=True)][:_MOST_ROWS]
        charts.append(forest("Gains towards better", [("", drawn)], "percentage points" if unit == POINTS else unit))
        columns = ["", "against", "n", f"gain, {unit}", "p (Holm)", "the paper’s", ""]
        tables.append(Table(caption, columns, [_row(pair) for pair in own]))
    return [Section("gains", "Gains", [], charts, tables)]


def _row(pair: Mapping[str, Any]) -> list[str]:
    return [
        pair["what"],
        pair["against"],
        str(pair["gain"]["n"]),
        signed(pair["gain"]["mean"]) + _interval(pair["gain"]),
        "–" if pair["p"] is None else number(pair["p"], 3),
        signed(pair["published"]),
        pair["verdict"],
    ]


def _labels(pairs: list[dict[str, Any]]) -> list[str]:
    """What tells pairs apart in the room that a chart has: the row, the column, either with its table's name in
    brackets, or all."""
    tables = [pair["what"].removeprefix(f"{pair['row']}, {pair['column']}") for pair in pairs]
    rows, columns = ([pair[name] for pair in pairs] for name in ("row", "column"))
    for told in (rows, columns, [*map("".join, zip(rows, tables, strict=True))],
                 [*map("".join, zip(columns, tables, strict=True))]):  # fmt: skip
        if len(set(told)) == len(pairs):
            return told
    return [pair["what"] for pair in pairs]


def _interval(gain: Mapping[str, Any]) -> str:
    return "" if gain["low"] is None else f" [{signed(gain['low'])}, {signed(gain['high'])}]"


def _estimate(label: str, gain: Mapping[str, Any]) -> Estimate:
    sure = gain["low"] is not None and (gain["low"] > 0 or gain["high"] < 0)
    return Estimate(label, gain["mean"], gain["low"], gain["high"], sure=sure)


def _pictures(gallery: dict[str, Any]) -> list[Section]:
    """What the jobs of figures left, of the first seed."""
    sections = []
    for i, group in enumerate(gallery.get("groups") or []):
        text = [group["text"]] if group.get("text") else []
        sections.append(Section(f"pictures-{i}", group["title"], text, strips=strips(group["examples"])))
    return sections


def _curves(results: dict[str, Any]) -> list[Section]:
    """Mean accuracy by measured epoch, a chart for every column, a few lines each."""
    by_column: dict[tuple[str, str], list[tuple[str, list[float]]]] = {}
    for place, curve in results["curves"].items():
        table, row, column = place.split(" | ")
        by_column.setdefault((table, column), []).append((row, curve))
    charts: list[Chart] = []
    for (_, column), given in by_column.items():
        first, others = given[0], given[1:]
        step = _MOST_LINES - 1
        for i in range(0, max(1, len(others)), step):
            shown = [first, *others[i : i + step]]
            points = [[(k + 1, 100 * v) for k, v in enumerate(curve)] for _, curve in shown]
            drawn = lines([row for row, _ in shown], points, marked=False)
            charts.append(line_chart(column, drawn, "evaluation", "mean accuracy, %", integers=True))
    text = "Mean over seeds of every evaluation; the last is the one that counts."
    return [Section("curves", "Curves", [text], charts)] if charts else []


def _facts(results: dict[str, Any]) -> Facts:
    facts = [("command", results["command"]), ("meant for", results["hardware"])]
    done = {
        cell["job"]
        for table in results["tables"]
        for row in table["cells"].values()
        for cell in row.values()
        if cell["n"]
    }
    alike: dict[str, list[str]] = {}
    for key, job in results["jobs"].items():
        if key in done and "train" in job:
            alike.setdefault(short(json.dumps(job["train"])), []).append(key)
    facts += [("trained as", f"{settings}: {', '.join(keys)}") for settings, keys in alike.items()]
    for environment in results["environments"]:
        facts += environment_facts(environment)
    return facts
