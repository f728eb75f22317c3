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
_INSPECT = r"""
() => {
  const found = [], say = (text) => found.push(text);
  const shown = (e) => e.checkVisibility ? e.checkVisibility({visibilityProperty: true}) : e.getClientRects().length > 0;
  const describe = (e) => `<${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''}> "${(e.textContent || '').trim().slice(0, 40)}"`;
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.body.querySelectorAll('*')].filter(e => !e.closest('.scroll')
      && e.getBoundingClientRect().right > root.clientWidth + 0.5).slice(0, 3).map(describe);
    say(`the page is ${root.scrollWidth} wide in a window of ${root.clientWidth}: ${wide.join(', ')}`);
  }
  if (!root.lang) say('no language');
  if (!document.title.trim()) say('no title');
  if (!document.querySelector('meta[name=viewport]')) say('no viewport');
  for (const mark of ['header', 'main', 'h1'])
    if (document.querySelectorAll(`body > ${mark}, body > * > ${mark}`).length !== 1) say(`not exactly one ${mark}`);
  let level = 0;
  for (const h of document.querySelectorAll('h1, h2, h3, h4, h5, h6')) {
    const own = Number(h.tagName[1]);
    if (own > level + 1) say(`${describe(h)} follows a heading of level ${level}`);
    if (!h.textContent.trim()) say('an empty heading');
    level = own;
  }
  const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
  for (const id of new Set(ids.filter((id, i) => ids.indexOf(id) !== i))) say(`id ${id} stands twice`);
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby], [headers]'))
    for (const name of ['aria-labelledby', 'aria-describedby', 'headers'])
      for (const id of (e.getAttribute(name) || '').split(/\s+/).filter(Boolean))
        if (!document.getElementById(id)) say(`${describe(e)} refers to ${id}, which is not there`);
  for (const a of document.querySelectorAll('a[href^="#"]'))
    if (!document.getElementById(a.getAttribute('href').slice(1))) say(`link ${a.getAttribute('href')} leads nowhere`);
  for (const t of document.querySelectorAll('table')) {
    if (!t.caption || !t.caption.textContent.trim()) say(`a table without caption: ${describe(t)}`);
    if (!t.querySelector('th[scope=col], th[scope=colgroup]')) say(`no column has a heading: ${describe(t)}`);
    for (const th of t.querySelectorAll('th')) if (!th.scope) say(`th without scope: ${describe(th)}`);
    const region = t.closest('.scroll');
    if (!region) say(`a table that cannot scroll by itself: ${describe(t)}`);
  }
  for (const e of document.querySelectorAll('.scroll'))
    if (e.tabIndex !== 0 || e.getAttribute('role') !== 'region'
        || !(e.getAttribute('aria-labelledby') || e.getAttribute('aria-label'))) say(`${describe(e)} scrolls without role, name or focus`);
  for (const e of document.body.querySelectorAll('*')) {
    const style = getComputedStyle(e);
    if (['auto', 'scroll'].includes(style.overflowX) && e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0) say(`${describe(e)} scrolls but takes no focus`);
  }
  for (const img of document.images) {
    if (!img.complete || !img.naturalWidth) say('a picture did not load');
    if (!img.alt.trim()) say('a picture without alt');
    if (!img.getAttribute('width') || !img.getAttribute('height')) say('a picture without its size');
  }
  for (const svg of document.querySelectorAll('svg')) {
    if (!svg.querySelector('title')?.textContent.trim()) say('a chart without title');
    if (!svg.querySelector('desc')?.textContent.trim()) say('a chart without description');
    if (svg.getAttribute('role') !== 'img') say('a chart that is no image to screen readers');
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll('text')) {
      const own = text.getBoundingClientRect();
      if (own.width && (own.left < box.left - 3 || own.right > box.right + 3)) say(`a chart's text sticks out: "${text.textContent}"`);
      if (own.height && own.height < 9) say(`a chart's text is ${own.height.toFixed(1)} px high: "${text.textContent}"`);
    }
  }
  if (document.querySelector('script')) say('there is a script');

  // Contrast, from computed colours (WCAG 2: 4.5 for text, 3 for large text and for marks in charts).
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = '#000'; canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((m, n) => n - m); return (x + 0.05) / (y + 0.05); };
  const ground = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) { const c = rgba(getComputedStyle(at).backgroundColor); layers.push(c); if (c[3] === 1) break; }
    return layers.reverse().reduce((below, top) => over(top, below), rgba(getComputedStyle(document.body).backgroundColor));
  };
  const worst = {};
  const complain = (e, ratio, needed) => {
    if (ratio < needed && !(worst[e.className + ''] <= ratio)) { worst[e.className + ''] = ratio; say(`contrast ${ratio.toFixed(2)} < ${needed}: ${describe(e)}`); }
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !shown(e) || ['TITLE', 'DESC', 'STYLE'].includes(e.tagName.toUpperCase())) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const colour = rgba(e instanceof SVGElement ? style.fill : style.color), below = ground(e);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    complain(e, contrast(over(colour, below), below), large ? 3 : 4.5);
  }
  for (const e of document.querySelectorAll('svg .mark, svg .line')) {
    const below = ground(e);
    complain(e, contrast(over(rgba(getComputedStyle(e).stroke === 'none' ? getComputedStyle(e).fill : getComputedStyle(e).stroke), below), below), 3);
  }
  return found;
}
"""

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
        lambda r: None
        if r.url.split("#")[0] == address or r.url.startswith("data:")
        else tab.complaints.append(f"asks for {r.url[:80]}"),
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
    regions = tab.evaluate("[...document.querySelectorAll('*')].flatMap((e, i) => e.classList.contains('scroll') && e.checkVisibility() ? [i] : [])")
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
