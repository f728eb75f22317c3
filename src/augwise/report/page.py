"""What all pages share: one self-contained HTML file, no network, light and dark. Writes the one file it is told.

Each verb has a page of its own: ``NAME_page.py`` beside ``templates/NAME.html.j2``, which extends ``page.html.j2``.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

Facts = list[tuple[str, str]]
"""What was run, line by line: (name, value), shown at the foot of every page."""


def write_page(
    path: Path, template: str, *, title: str, version: str, subtitle: str, facts: Facts, **words: Any
) -> None:
    """Fill ``templates/{template}.html.j2`` and write it to ``path``, whole or not at all.

    words: what the template names besides; a word that it names and does not get is an error, never a blank.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from ..training.checkpoint import write_atomically

    environment = Environment(
        loader=PackageLoader("augwise.report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = environment.get_template(f"{template}.html.j2").render(
        title=title, version=version, subtitle=subtitle, facts=facts, share=share, **words
    )
    write_atomically(path, lambda file: file.write(text.encode()))


def settings_as_facts(settings: dict[str, Any], prefix: str = "") -> Facts:
    """Every setting that was given, as a line of its own: ``prefix: name``."""
    return [(f"{prefix}{k}", short(v)) for k, v in settings.items() if v not in (None, "", [])]


def share(value: float | None) -> str:
    """0.1234 as ``12 %``; what was not measured (None, NaN) as a dash."""
    return "–" if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def short(value: Any) -> str:
    """A value as a reader wants it: floats without noise, everything else as JSON."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
