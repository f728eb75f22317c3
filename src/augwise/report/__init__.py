"""Pages: one self-contained HTML file for what a verb found. The package itself can be called: see `build.report`.

``aw.report("run")`` builds the page of a folder. Name of the verb and of this package are the same, and whoever imports
a module of the package binds that name in `augwise`; so the package is made callable instead of being hidden.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType


class _Report(ModuleType):
    def __call__(self, *results: str | Path, out: str | Path | None = None, title: str | None = None) -> Path:
        """See `augwise.report.build.report`."""
        from .build import report

        return report(*results, out=out, title=title)


sys.modules[__name__].__class__ = _Report
