"""What a recipe is: a table of a paper as jobs, one for each place, at several scales. Imports no torch.

A recipe's own file says where its numbers come from and which job fills which place; this one knows no paper.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..errors import UserError
from .published import Table, table

SCALES = ("full", "short", "tiny")


class Place(NamedTuple):
    """One number of a table."""

    table: str
    row: str
    column: str


class Job(Protocol):
    """What fills a place, for each seed."""

    def identity(self) -> dict[str, Any]:
        """All that decides the result but the seed, as plain data."""
        ...

    def check(self, where: Where) -> None:
        """Raise `UserError` for data or packages that are not there, before anything is run."""
        ...

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        """Do it in ``folder``, where it goes on if it was interrupted."""
        ...


class Outcome(NamedTuple):
    """measured: numbers by name, accuracies as shares; curve: test accuracy after each epoch; seconds: it took;
    environment: on what."""

    measured: dict[str, float | None]
    curve: list[float]
    seconds: float
    environment: dict[str, Any]


@dataclass(frozen=True)
class Where:
    """Circumstances that change no result. home: folder that runs share; sources: data sources by the name that recipes
    call them; device, threads: of this process."""

    home: Path
    sources: Mapping[str, str] = field(default_factory=dict)
    device: str = "auto"
    threads: int | None = None
    quiet: bool = True

    def source(self, name: str) -> str:
        """Where a recipe's data are to be read from."""
        return self.sources.get(name, name)


@dataclass(frozen=True)
class Scale:
    """How large a recipe is run. about: data, networks, epochs in a line, and what stands for what; hours: of what
    hardware; seeds: at least; rows, columns: those that are run, all if empty; words: what the recipe's jobs need."""

    about: str
    hours: str
    seeds: int
    rows: Sequence[str] = ()
    columns: Sequence[str] = ()
    words: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe:
    """A table or figure of a paper.

    name: ``PAPER/table-N``; source: as one cites it; tables: ids in `published`, the first with the names of the rows
    that this project adds (controls), see ``more_rows``. job(scale, place): what fills it, None for what stands as
    published alone. measured: which of a job's numbers the table is of. against(row, column): the place in the same
    table that it is compared with, seed by seed. drawn: two of the tables, of a cost and of what it buys, that the page
    draws against each other, a line for each row; of the first no places are compared. claim: what the paper says of
    the compared pairs. wary: what to keep in mind.
    """

    name: str
    title: str
    source: str
    tables: tuple[str, ...]
    scales: Mapping[str, Scale]
    job: Callable[[Scale, Place], Job | None]
    hardware: str
    against: Callable[[str, str], tuple[str, str] | None] = lambda _row, _column: None
    measured: Callable[[Place], str] = lambda _place: "accuracy"
    more_rows: tuple[str, ...] = ()
    more_columns: tuple[str, ...] = ()
    drawn: tuple[str, str] | None = None
    claim: str = ""
    wary: tuple[str, ...] = ()

    def published(self) -> list[Table]:
        """The paper's tables."""
        return [table(name) for name in self.tables]

    def scale(self, name: str) -> Scale:
        """The scale of this name; `UserError` lists what there is."""
        if name not in self.scales:
            raise UserError(f"{self.name} has no scale {name!r}: use one of {', '.join(self.scales)}")
        return self.scales[name]

    def rows(self, of: Table) -> list[str]:
        """The table's rows, then this project's own."""
        return [*of.rows, *(row for row in self.more_rows if row not in of.rows)]

    def columns(self, of: Table) -> list[str]:
        """The table's columns, then this project's own."""
        return [*of.columns, *(column for column in self.more_columns if column not in of.columns)]

    def places(self, scale: Scale, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> dict[Place, Job]:
        """What is run at a scale, or of it the rows and columns that are asked for. `UserError` for names unknown, or
        that the scale does not run."""
        tables = self.published()
        rows = self._named("row", rows, [r for t in tables for r in self.rows(t)], scale.rows)
        columns = self._named("column", columns, [c for t in tables for c in self.columns(t)], scale.columns)
        rows, columns = rows or scale.rows, columns or scale.columns
        found = {}
        for one in tables:
            for row in self.rows(one):
                for column in self.columns(one):
                    place = Place(one.id, row, column)
                    wanted = (not rows or row in rows) and (not columns or column in columns)
                    job = self.job(scale, place) if wanted else None
                    if job is not None:
                        found[place] = job
        return found

    def _named(self, what: str, asked: Sequence[str], known: Sequence[str], run: Sequence[str]) -> list[str]:
        """What is asked for by its own name, whatever its case; `UserError` lists what the scale runs."""
        there = {name.casefold(): name for name in known}
        found = []
        for given in asked:
            name = there.get(given.casefold())
            if name is None:
                raise UserError(f"{self.name} has no {what} {given!r}: use {'; '.join(run or dict.fromkeys(known))}")
            if run and name not in run:
                raise UserError(
                    f"this scale does not run the {what} {name!r}: use {'; '.join(run)}, or a larger --scale"
                )
            found.append(name)
        return found


def key_of(job: Job) -> str:
    """A name for a job's folder that changes with everything that could change its result."""
    identity = job.identity()
    text = json.dumps(identity, sort_keys=True, default=str)
    return f"{identity.get('name', 'job')}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
