"""The code on a Markdown page, so that a test runs what readers copy: blocks, and programs before and after a diff."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


@dataclass(frozen=True)
class Block:
    """One fenced block: what stands behind the fence, its lines, and the line of the page where they begin."""

    language: str
    code: str
    line: int


@dataclass(frozen=True)
class Program:
    """A ``python`` block, and what it was before the ``diff`` blocks above it (None without any)."""

    after: Block
    before: str | None


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, also those inside lists."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", text, re.DOTALL | re.MULTILINE)
    return [Block(f[2], textwrap.dedent(f[3]), text.count("\n", 0, f.start(3)) + 1) for f in fences]


def programs(page: Path) -> list[Program]:
    """The page's programs in order; the diffs since the last program belong to the next."""
    found, hunks = [], []
    for block in blocks(page):
        if block.language == "diff":
            hunks.append(block)
        elif block.language == "python":
            found.append(Program(block, undone(block.code, hunks) if hunks else None))
            hunks = []
    assert not hunks, f"{page.name} ends with a diff that no program follows"
    return found


def undone(code: str, hunks: list[Block]) -> str:
    """The program from before the diffs; every hunk must stand in the code exactly once, character by character."""
    for hunk in hunks:
        lines = hunk.code.splitlines()
        assert all(not line or line[0] in " +-" for line in lines), f"line {hunk.line}: no diff"
        old, new = ("".join(line[1:] + "\n" for line in lines if line[:1] != sign) for sign in "+-")
        assert code.count(new) == 1, f"the diff at line {hunk.line} does not lead to the program below it:\n{new}"
        code = code.replace(new, old)
    return code


def run(code: str, name: str, names: dict | None = None) -> dict:
    """Execute code in a namespace (a new one unless given), as if it were the file ``name``."""
    names = {"__name__": "__main__"} if names is None else names
    exec(compile(code, name, "exec"), names)
    return names
