"""What the pages of ``analyse`` share: sections of charts and tables, as HTML, as text for the terminal, as files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .charts import Chart, Series
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, short

_STYLES = ("plain", "guarded", "control", "smoothing", "baseline")
_TOLD = {"on"}
_MACHINE = {"runs", "out", "quiet", "data", "split"}
# For a picture that stands alone, the colours of the page's light scheme.
_ALONE = (
    "svg{background:#fcfcfb;font-family:system-ui,sans-serif}text{fill:#1c1c1c;font-size:12px}.tick{fill:#595959;"
    "font-size:11px}.grid{stroke:#d9d7d2}.axis{stroke:#595959}.plain{color:#0a62a0}.guarded{color:#b34700}"
    ".control{color:#00714f}.smoothing{color:#75399c}.baseline{color:#595959}.mark{stroke:currentColor;"
    "fill:currentColor}.line{fill:none;stroke:currentColor;stroke-width:2;stroke-linejoin:round}.hollow{fill:#fcfcfb}"
)


@dataclass(frozen=True)
class Table:
    """caption; columns: headings; rows: cells as text, the first of each its row's heading."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Section:
    """A part of the page. anchor: its id; text: paragraphs above charts and tables; notes: below them. strips: rows of
    pictures, each (what the row is of, its pictures), a picture being (`figures.Picture`, words for those who cannot
    see it, caption)."""

    anchor: str
    title: str
    text: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    strips: Sequence[tuple[str, Sequence[tuple[Any, str, str]]]] = ()


def analysis_page(results: dict[str, Any], headline: str, points: Sequence[str], sections: Sequence[Section]) -> Page:
    """The page of one question about classifiers and images: its answer in a sentence and some points, the sections."""
    data = results["data"]
    images = counted(data["images"], f"{data['split']} image")
    subtitle = f"{data['name']}, {images}, {counted(len(results['runs']), 'run')}"
    return page_of(results, subtitle, _facts(results, images), headline, points, sections)


def page_of(
    results: dict[str, Any],
    subtitle: str,
    facts: Facts,
    headline: str,
    points: Sequence[str],
    sections: Sequence[Section],
) -> Page:
    """The page of one question. facts: of what was looked at; command, time and machine stand around them."""
    command = [("command", results["command"])] if results["command"] else []
    time = ("time of the last call", duration(results["seconds"]))
    return Page(
        "analyse",
        title=results["title"],
        version=results["augwise"],
        subtitle=subtitle,
        facts=[*command, *facts, time, *environment_facts(results["environment"])],
        settings=_settings(results["config"]),
        words={"headline": headline, "points": list(points), "sections": list(sections)},
    )


def _facts(results: dict[str, Any], images: str) -> Facts:
    data = results["data"]
    height, width = data["size"]
    classes = counted(data["classes"], "class", "classes")
    facts = [("data", f"{data['name']}: {images} of {height}×{width} px, {classes}"), *left_out_facts(data)]
    for run in [*results["runs"], *results.get("substitutes", [])]:
        about = [f"{k} {run[k]}" for k in ("model", "epochs", "seed") if run.get(k) is not None]
        kind = f"{run['access']}-box substitute" if "access" in run else "run"
        facts.append((f"{kind} {run['name']}", ", ".join([run["run"], *about])))
    return facts


def _settings(config: dict[str, Any]) -> Facts:
    on = {k: v for k, v in config["on"].items() if k not in _MACHINE}
    return settings_as_facts({k: v for k, v in config.items() if k not in _TOLD} | on)


def series(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """How the line of each run is drawn: a style of its own, dashed from the sixth on."""
    return {
        name: {"style": _STYLES[i % len(_STYLES)], "dashed": i % (2 * len(_STYLES)) >= len(_STYLES)}
        for i, name in enumerate(names)
    }


def lines(names: Sequence[str], points: Sequence[Sequence[tuple[float, float]]], **look: Any) -> list[Series]:
    """A line for every run that has points."""
    looks = series(names)
    return [Series(n, list(p), **looks[n], **look) for n, p in zip(names, points, strict=True) if p]


def as_text(page: Page) -> str:
    """The page for the terminal: title, answer, points, and every table."""
    parts = [page.title, page.words["headline"], *(f"- {point}" for point in page.words["points"])]
    for section in page.words["sections"]:
        for table in section.tables:
            parts += ["", f"{section.title}: {table.caption}", _aligned([table.columns, *table.rows])]
    return "\n".join(parts)


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    made = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        made.append("  " + "  ".join(cells).rstrip())
    return "\n".join(made)


def write_pictures(folder: Path, page: Page) -> list[Path]:
    """Every chart of the page as ``pictures/SECTION-TITLE.svg``, each complete in itself."""
    from ..files import write_atomically

    home, made = folder / "pictures", []
    home.mkdir(parents=True, exist_ok=True)
    for section in page.words["sections"]:
        for chart in section.charts:
            name = re.sub(r"[^a-z0-9]+", "-", f"{section.anchor} {chart.title}".lower()).strip("-")
            path = home / f"{name}.svg"
            content = alone(chart).encode()
            write_atomically(path, lambda file, content=content: file.write(content))
            made.append(path)
    return made


def alone(chart: Chart) -> str:
    """The chart as an SVG file, with the colours that the page would give it in light."""
    head, _, rest = chart.svg.partition(">")
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{_ALONE}</style>{rest}\n'


def scientific(value: float | None, digits: int = 3) -> str:
    """A number of any size with so many digits that count, with a true minus sign; a dash for none."""
    return "–" if value is None else short(float(f"{value:.{digits}g}")).replace("-", "−")
