"""The numbers of the four papers' tables and figures, as they print them: data, in ``published/PAPER.json``.

Each table has an id (``ipf-rda/table-1-cifar-10``), a metric with its unit and direction, rows, columns, and for every
cell a mean and a deviation, None where none is printed; its note says what does not fit together. Imports no torch.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from ..errors import UserError

PAPERS = ("ipf-rda", "advmask", "dcutmix", "lp-a3")


class Value(NamedTuple):
    """A printed number and its printed deviation."""

    mean: float
    std: float | None


@dataclass(frozen=True)
class Table:
    """One table or figure. better: "higher" or "lower"; cells: by row and column, where there is a number."""

    id: str
    title: str
    metric: str
    better: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[str, str], Value]
    settings: Mapping[str, Any]
    note: str

    @property
    def is_error(self) -> bool:
        """Whether it prints errors, in per cent, where this project measures accuracies."""
        return "error" in self.metric

    def value(self, row: str, column: str) -> Value | None:
        """The printed number, if there is one."""
        return self.cells.get((row, column))


@cache
def tables() -> Mapping[str, Table]:
    """All tables by their ids, in the order of the papers."""
    found = {}
    for paper in PAPERS:
        text = files("augwise.recipes").joinpath("published", f"{paper}.json").read_text(encoding="utf-8")
        for entry in json.loads(text):
            found[entry["id"]] = _table(entry)
    return found


def table(name: str) -> Table:
    """The table of this id; `UserError` lists those of its paper."""
    known = tables()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"table {name!r} is unknown: {hint}use one of {', '.join(known)}")
    return known[name]


def _table(entry: Mapping[str, Any]) -> Table:
    cells = {
        (row, column): Value(value["mean"], value.get("std"))
        for row, columns in entry["cells"].items()
        for column, value in columns.items()
        if value is not None and value.get("mean") is not None
    }
    return Table(
        entry["id"],
        entry["title"],
        entry["metric"],
        entry["better"],
        tuple(entry["rows"]),
        tuple(entry["columns"]),
        cells,
        entry.get("settings", {}),
        entry.get("note", ""),
    )
