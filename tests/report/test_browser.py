"""The check of pages finds what it is there to find."""

import pytest

from report.browser import check_page

GOOD = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"><title>A page</title><style>
body {{ color: #222; background: #fff; }} .scroll {{ overflow-x: auto; max-width: 100%; }} td {{ min-width: 30rem; }}
:focus-visible {{ outline: 2px solid #06c; }} main:focus {{ outline: none; }} {style}</style></head><body>
<a href="#main">Skip</a><header><h1>A page</h1></header><main id="main" tabindex="-1">{body}
<h2 id="t">Table</h2><div class="scroll" role="region" tabindex="0" aria-labelledby="t"><table>
<caption>Numbers</caption><thead><tr><th scope="col">a</th><th scope="col">b</th></tr></thead>
<tbody><tr><th scope="row">1</th><td>2</td></tr></tbody></table></div></main></body></html>"""

_REGION = "<div class='scroll' role='region' tabindex='0' aria-label='x'>"
_DOT = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="
_STYLE = "@media (prefers-color-scheme: dark) { .dim { color: #fff } }"

# What must be complained of, and the piece of a page that earns it.
FAULTS = {
    "contrast 1.21 < 4.5": "<p style='color: #aaa; background: #bbb'>faint</p>",
    "1280 dark: contrast 1.00": "<p class='dim'>faint in the dark</p>",
    "the page is": "<div style='width: 500px'>wide</div>",
    "follows a heading of level 1": "<h4>deep</h4>",
    "a picture without alt": f"<img width=1 height=1 src='{_DOT}'>",
    "did not load": "<img width=1 height=1 alt='x' src='data:image/png;base64,AAAA'>",
    "asks for": "<img width=1 height=1 alt='x' src='http://127.0.0.1:9/x.png'>",
    "there is a script": "<script>1</script>",
    "error: oh": "<script>throw new Error('oh')</script>",
    "console: hm": "<script>console.log('hm')</script>",
    "stands twice": "<p id='t'>x</p>",
    "leads nowhere": "<a href='#gone'>x</a>",
    "refers to gone": "<p aria-labelledby='gone'>x</p>",
    "th without scope": f"{_REGION}<table><caption>c</caption><tr><th scope=col>a</th><th>b</th></tr></table></div>",
    "a table without caption": f"{_REGION}<table><tr><th scope=col>a</th></tr></table></div>",
    "cannot scroll by itself": "<table><caption>c</caption><tr><th scope=col>a</th></tr></table>",
    "scrolls without role": "<div class='scroll' tabindex='0'>x</div>",
    "regions that scroll are not reached": "<div class='scroll' role='region' aria-label='x'>x</div>",
    "one does not see the focus": "<a href='#t' style='outline: none'>x</a>",
    "the order of focus": "<a href='#t' tabindex='3'>x</a>",
    "a chart without description": "<svg role='img' viewBox='0 0 9 9'><title>x</title></svg>",
    "sticks out": "<svg role='img' viewBox='0 0 9 9' width='90' height='90' overflow='visible'><title>x</title>"
    "<desc>x</desc><text x='5' y='5'>far too long</text></svg>",
}


def write(folder, body="", style=""):
    page = folder / "page.html"
    page.write_text(GOOD.format(body=body, style=style))
    return page


def test_a_good_page_passes(browser, tmp_path):
    check_page(browser, write(tmp_path))
    with pytest.raises(AssertionError, match="is too much"):
        check_page(browser, write(tmp_path), largest=100)


def test_every_fault_is_found(browser, tmp_path):
    """All in one page: each must be in the list."""
    with pytest.raises(AssertionError) as found:
        check_page(browser, write(tmp_path, "".join(FAULTS.values()), _STYLE))
    text = str(found.value)
    assert [fault for fault in FAULTS if fault not in text] == []
