"""One browser for all tests of pages; where there is none, they are skipped with the reason."""

from pathlib import Path

import pytest

from report.browser import CHROMIUM, chromium


@pytest.fixture(scope="session")
def browser():
    pytest.importorskip("playwright.sync_api", reason="pages are looked at with playwright, which is not installed")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"pages are looked at with Debian's chromium, which is not at {CHROMIUM}")
    with chromium() as found:
        yield found
