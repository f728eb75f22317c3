"""Figures that were measured: read from ``benchmarks/results`` when the site is built, never typed into a page."""

from __future__ import annotations

import json
from typing import Any

from . import DOCS

RESULTS = DOCS.parent / "benchmarks" / "results"


def filled(text: str, **words: Any) -> str:
    """A page with ``[[ file.key ]]`` replaced by the figure; a key that is not there is an error.

    Filters: ``|ms``, ``|rate``, ``|ratio`` round as a reader wants it.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        undefined=StrictUndefined, variable_start_string="[[", variable_end_string="]]", block_start_string="[%",
        block_end_string="%]", comment_start_string="[##", comment_end_string="##]", keep_trailing_newline=True,
        autoescape=False,
    )  # fmt: skip
    environment.filters |= {
        "ms": _ms,
        "rate": _rate,
        "ratio": lambda v: f"{v:.2f}",
        "points": lambda v: f"{100 * v:.1f}",
    }
    return environment.from_string(text).render(**results(), **words)


def results() -> dict[str, Any]:
    """Every results file by name: ``regions.json`` as ``regions``, ``cifar10_5k/results.json`` as ``cifar10_5k``."""
    found = {path.stem: path for path in RESULTS.glob("*.json")}
    found |= {path.parent.name: path for path in RESULTS.glob("*/results.json")}
    return {name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items()}


def tables(folder: str) -> dict[str, dict[str, Any]]:
    """The comparisons of one folder of results by name: ``cifar10_tables/lengths/results.json`` as ``lengths``."""
    found = sorted((RESULTS / folder).glob("*/results.json"))
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in found}


def _ms(value: float) -> str:
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"


def _rate(value: float) -> str:
    digits = 1 if value < 10 else 0 if value < 1000 else -2
    return f"{round(value, digits):,.{max(digits, 0)}f}".replace(",", " ")
