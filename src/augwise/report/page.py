"""What all pages share: one self-contained HTML file, no network, light and dark. Writes the one file it is told.

Each verb has a page of its own: ``NAME_page.py`` beside ``templates/NAME.html.j2``, which extends ``page.html.j2`` and
fills its block ``main`` with sections under ``<h2 id=…>``. Several pages can be bound into one file.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .text import between, counted, number, percent, points, share, short

_VERSIONS = ("torch", "torchvision", "numpy", "optuna", "foolbox", "torchattacks", "python")

Facts = list[tuple[str, str]]
"""What was run, line by line: (name, value), shown at the foot of every page."""


@dataclass(frozen=True)
class Page:
    """One verb's page, not yet written.

    template: ``templates/{template}.html.j2``; version: of the augwise that made the results; facts: what a reader
    asks first about the run; settings: all the rest, folded away; words: what the template names besides.
    """

    template: str
    title: str
    version: str
    subtitle: str
    facts: Facts
    settings: Facts = field(default_factory=list)
    words: dict[str, Any] = field(default_factory=dict)


def write_pages(path: Path, pages: list[Page], title: str | None = None) -> None:
    """Write one page, or several as the chapters of one file under ``title``."""
    from markupsafe import Markup

    from ..files import write_atomically

    bodies = [render(page) for page in pages]
    if len(pages) == 1:
        (page,), (body,) = pages, bodies
        title, subtitle = title or page.title, f"augwise {page.version} · {page.subtitle}"
        contents = headings(body)
    else:
        title, subtitle = title or "Results", f"{len(pages)} results"
        body = _bound(pages, bodies)
        contents = headings(body)
    words = {"title": title, "subtitle": subtitle, "contents": contents, "body": Markup(body)}
    text = _environment().get_template("page.html.j2").render(fragment=False, **words)
    write_atomically(path, lambda file: file.write(text.encode()))


def render(page: Page) -> str:
    """The page's sections as HTML, without the frame around them."""
    template = _environment().get_template(f"{page.template}.html.j2")
    return template.render(fragment=True, facts=page.facts, settings=page.settings, **page.words)


def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("augwise.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.globals.update(
        between=between, counted=counted, number=number, percent=percent, points=points, share=share
    )
    return environment


def headings(body: str) -> list[tuple[str, str]]:
    """(id, text) of every ``<h2 id=…>``, for the list of contents; the text as HTML gave it, tags removed."""
    found = re.findall(r'<h2\b[^>]*\bid="([^"]+)"[^>]*>(.*?)</h2>', body, re.DOTALL)
    return [(anchor, html.unescape(re.sub(r"<[^>]+>", "", text)).strip()) for anchor, text in found]


def _bound(pages: list[Page], bodies: list[str]) -> str:
    """Pages as chapters: headings one level down, and every anchor marked with its chapter's number."""
    chapters = []
    for place, (page, body) in enumerate(zip(pages, bodies, strict=True), 1):
        title, subtitle = html.escape(page.title), html.escape(f"augwise {page.version} · {page.subtitle}")
        chapters.append(
            f'<article class="chapter" aria-labelledby="c{place}"><h2 id="c{place}">{title}</h2>\n'
            f'<p class="quiet">{subtitle}</p>\n{_lowered(body, f"c{place}-")}</article>'
        )
    return "\n".join(chapters)


def _lowered(body: str, prefix: str) -> str:
    def mark(match: re.Match[str]) -> str:
        return f'{match[1]}="{" ".join(prefix + name for name in match[2].split())}"'

    body = re.sub(r"(<|</)h([2-5])\b", lambda m: f"{m[1]}h{int(m[2]) + 1}", body)
    body = re.sub(r'(?<=\s)(id|for|headers|aria-labelledby|aria-describedby|aria-controls)="([^"]+)"', mark, body)
    body = re.sub(r'((?:xlink:)?href="#)', rf"\1{prefix}", body)
    return re.sub(r"(url\(#)", rf"\1{prefix}", body)


def settings_as_facts(settings: dict[str, Any], prefix: str = "") -> Facts:
    """Every setting that was given, as a line of its own: ``prefix: name``."""
    return [(f"{prefix}{k}", short(v)) for k, v in settings.items() if v not in (None, "", [])]


def environment_facts(found: dict[str, Any]) -> Facts:
    """Versions and machine, as results record them under "environment", in a few lines."""
    versions = [f"{name} {found[name]}" for name in _VERSIONS if name in found]
    device = str(found.get("device", ""))
    processor = f"{found['cpu']}, {found.get('cores', '?')} cores" if "cpu" in found else ""
    machine = ", ".join(filter(None, [device if device != "cpu" else "", processor or device]))
    if "threads" in found:
        machine += f", {counted(found['threads'], 'thread')}"
    facts = [("versions", ", ".join(versions)), ("machine", machine), ("system", str(found.get("platform", "")))]
    return [(k, v) for k, v in [*facts, ("commit", str(found.get("commit", "")))] if v]


def left_out_facts(data: dict[str, Any], most: int = 10) -> Facts:
    """The image files that results say were left out as unreadable, ``left_out`` of (file, reason); none, no line."""
    files = data.get("left_out") or []
    if not files:
        return []
    named = "; ".join(f"{file} ({reason})" for file, reason in files[:most])
    more = f"; and {len(files) - most} more" if len(files) > most else ""
    return [("files left out", f"{len(files)}: {named}{more}")]
