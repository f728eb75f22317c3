"""Writes the pages and pictures of the site that come from the code, into ``docs/reference``, which git ignores.

Called by ``conf.py`` before Sphinx reads its sources. Nothing here uses the network. A file is written only if its text
has changed, so that Sphinx does again only what it must.
"""

from __future__ import annotations

import shutil
from pathlib import Path

DOCS = Path(__file__).parents[1]
MADE = DOCS / "reference"
NOTES = DOCS / "notes"


def build() -> None:
    """Everything under ``docs/reference``; what is there and no longer made is removed."""
    from . import api, commands, compared, entries, pictures, reproduced

    pages = {**entries.pages(), **commands.pages(), **api.pages(), **compared.pages(), **reproduced.pages()}
    strips = pictures.draw()
    for name, text in {**pages, **strips}.items():
        _write(MADE / name, text)
    for page in MADE.rglob("*.md"):
        if str(page.relative_to(MADE)) not in pages.keys() | strips.keys():
            page.unlink()


def clean() -> None:
    """Remove all that `build` makes."""
    shutil.rmtree(MADE, ignore_errors=True)


def _write(path: Path, text: str) -> None:
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
