"""Results of a verb in ``benchmarks/results``, without the paths of the machine that made them.

    python -m benchmarks.publish FOLDER NAME

Copies results.json and table.txt of what ``audit``, ``fidelity``, ``attack-table``, ``distil``, ``tune`` or ``compare``
wrote, and its page, made again, where that is not too large to keep. Of every absolute path its last part is left.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from augwise.report.build import report

RESULTS = Path(__file__).parent / "results"
LARGEST = 1_500_000
"""Bytes of a page that is published."""
_PATH = re.compile(r"(^|[\s=:'\"])(/[^\s'\"]*[^\s'\"/.,;:)])")


def main() -> None:
    """One folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", help="folder below benchmarks/results")
    options = parser.parse_args()
    publish(options.folder, RESULTS / options.name)


def publish(folder: Path, to: Path, largest: int = LARGEST) -> None:
    """Copy what a verb wrote in ``folder`` to ``to``; a page of more than ``largest`` bytes stays behind."""
    found = without_paths(json.loads((folder / "results.json").read_text()))
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        made = Path(name)
        (made / "results.json").write_text(json.dumps(found, indent=2) + "\n")
        if (folder / "gallery.json").exists():
            shutil.copy(folder / "gallery.json", made)
        page = report(made)
        shutil.copy(made / "results.json", to)
        if (folder / "table.txt").exists():
            (to / "table.txt").write_text(without_paths((folder / "table.txt").read_text()))
        if page.stat().st_size < largest:
            shutil.copy(page, to)


def without_paths(value: Any) -> Any:
    """The value with every absolute path in it, also after ``npz:`` or inside a command, cut to its last part."""
    if isinstance(value, dict):
        return {key: without_paths(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_paths(part) for part in value]
    if isinstance(value, str):
        return _PATH.sub(lambda match: match[1] + Path(match[2]).name, value)
    return value


if __name__ == "__main__":
    main()
