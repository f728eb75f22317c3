"""Looks at a page as people do: `check_page` for tests, and as a program PNGs of a page for one's own eyes.

python tests/report/browser.py PAGE.html FOLDER     # FOLDER/PAGE-1280-light.png, -390-dark.png ...
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = "/usr/bin/chromium"
VIEWS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]

# Everything that can be seen in the finished page without moving: a list of complaints.
_INSPECT = (Path(__file__).parent / "inspect.js").read_text(encoding="utf-8")

# What has the focus now: enough to know it again, and whether one sees that it has it.
_FOCUS = """
() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const style = getComputedStyle(e), all = [...document.querySelectorAll('*')];
  return {at: all.indexOf(e), tag: e.tagName, href: e.getAttribute('href'), scroll: e.classList.contains('scroll'),
          seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0};
}
"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Any, path: Path, width: int = 1280, scheme: str = "light", **context: Any) -> Iterator[Any]:
    """A tab that shows the file; ``tab.complaints`` collects console messages, errors and requests."""
    view = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **context)
    tab = view.new_page()
    tab.complaints = []
    tab.on("console", lambda m: tab.complaints.append(f"console: {m.text}") if m.type != "debug" else None)
    tab.on("pageerror", lambda e: tab.complaints.append(f"error: {e}"))
    tab.on("requestfailed", lambda r: tab.complaints.append(f"failed: {r.url[:80]}"))
    address = path.absolute().as_uri()
    tab.on(
        "request",
        lambda r: (
            None
            if r.url.split("#")[0] == address or r.url.startswith("data:")
            else tab.complaints.append(f"asks for {r.url[:80]}")
        ),
    )
    tab.goto(address)
    try:
        yield tab
    finally:
        view.close()


def check_page(browser: Any, path: Path, *, largest: float = 8e6) -> None:
    """Assert that a page is fit for people: at 1280 and 390 pixels, light and dark, by keyboard, on paper.

    One title, headings in order, landmarks; every table with caption and scopes in a focusable region of its own;
    pictures loaded and described, charts with title and description; no overflow, script, console message or request;
    contrast of all text at least 4.5 (3 if large) and of marks 3; every region that scrolls reached by Tab with its
    focus seen. largest: bytes that the file may have. Lists all that is wrong at once.
    """
    wrong = [] if path.stat().st_size <= largest else [f"{path.stat().st_size / 1e6:.1f} MB is too much"]
    with opened(browser, path) as tab:
        wrong += [f"keyboard: {text}" for text in _walk(tab)]
        tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        for width, scheme in VIEWS:
            tab.set_viewport_size({"width": width, "height": 900})
            tab.emulate_media(color_scheme=scheme)
            wrong += [f"{width} {scheme}: {text}" for text in tab.evaluate(_INSPECT)]
        tab.emulate_media(media="print")
        if tab.evaluate("[...document.querySelectorAll('.scroll')].some(e => e.scrollHeight > e.clientHeight + 2)"):
            wrong.append("paper: a table is cut off")
        wrong += tab.complaints
    assert not wrong, f"{path.name}:\n" + "\n".join(wrong)


def _walk(tab: Any) -> list[str]:
    """Go through the page by Tab; complaints about what is not reached, or has the focus unseen."""
    regions = tab.evaluate(
        "[...document.querySelectorAll('*')]"
        ".flatMap((e, i) => e.classList.contains('scroll') && e.checkVisibility() ? [i] : [])"
    )
    wrong, order = [], []
    for _ in range(400):
        tab.keyboard.press("Tab")
        focus = tab.evaluate(_FOCUS)
        if focus is None or focus["at"] in [f["at"] for f in order]:
            break
        order.append(focus)
        if not focus["seen"]:
            wrong.append(f"one does not see the focus on {focus['tag']} {focus['href'] or ''}")
    if not order or order[0]["href"] != "#main":
        wrong.append("the first stop is not the link that skips to the results")
    missed = set(regions) - {f["at"] for f in order}
    if missed:
        wrong.append(f"{len(missed)} of {len(regions)} regions that scroll are not reached")
    if [f["at"] for f in order] != sorted(f["at"] for f in order):
        wrong.append("the order of focus is not the order of the page")
    return wrong


def photograph(browser: Any, path: Path, folder: Path) -> list[Path]:
    """PNGs of the whole page at both widths, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    shots = []
    for width, scheme in VIEWS:
        with opened(browser, path, width, scheme) as tab:
            shot = folder / f"{path.stem}-{width}-{scheme}.png"
            tab.screenshot(path=shot, full_page=True)
            shots.append(shot)
    return shots


if __name__ == "__main__":
    with chromium() as browser:
        for shot in photograph(browser, Path(sys.argv[1]), Path(sys.argv[2])):
            print(shot)
        check_page(browser, Path(sys.argv[1]))
