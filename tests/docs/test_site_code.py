"""Code and commands on the site's pages run as they stand; commands that would take long are at least parsed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from markdown_code import DOCS, blocks, run

from augwise import cli

PAGES = [p for folder in (".", "notes", "bridges") for p in sorted((DOCS / folder).glob("*.md"))]
WITH_CODE = [p for p in PAGES if p.parent.name != "bridges" and p.stem != "start"]
SMALLER = (("--size 128", "--size 24"), ("--epochs 20", "--epochs 1 --batch-size 25"), ("--limit 5000", "--limit 60"))
"""What the tests make smaller before they run the first page's commands."""


def commands(page: Path) -> list[tuple[str, bool]]:
    """Every ``$ augwise ...`` of a page, and whether it may be run: not after a comment that says "parsed only"."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in blocks(page):
        if block.language != "console":
            continue
        above = text.splitlines()[max(block.line - 3, 0)]
        found += [(command, "parsed only" not in above) for command in joined(block.code)]
    return found


def joined(code: str) -> list[str]:
    """The commands of a console block, those over several lines on one."""
    return [line.removeprefix("$ ") for line in re.sub(r"\\\n\s*", "", code).splitlines()]


def smaller(command: str) -> str:
    for long, short in SMALLER:
        command = command.replace(long, short)
    return command


def a_network(path: str) -> None:
    """A one-pass network that nothing has trained, as a file."""
    from augwise.importance.one_pass import save_one_pass
    from augwise.importance.one_pass_network import OnePassNetwork

    Path(path).parent.mkdir()
    shape = {"channels": 3, "classes": 10}
    about = dict.fromkeys(("classifier", "data", "image"), "") | {"architecture": shape, "objective": "erasing"}
    save_one_pass(OnePassNetwork(**shape), about | {"layer": None, "sharpness": 1.0, "classes": []}, path)


class Parsed(Exception):
    """The command line understood everything."""


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda p: p.stem)
def test_commands_are_understood(page, monkeypatch, tmp_path):
    parse = cli._parse
    monkeypatch.chdir(tmp_path)
    if "one_pass.safetensors" in page.read_text():  # the only file that is opened before any work
        a_network("one_pass/one_pass.safetensors")

    def and_stop(*args):
        parse(*args)
        raise Parsed

    monkeypatch.setattr(cli, "_parse", and_stop)
    for command, _ in commands(page):
        program, verb, *arguments = shlex.split(command)
        assert program == "augwise"
        with pytest.raises(Parsed):
            cli.VERBS[verb].run(arguments)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda p: p.stem)
def test_python_on_the_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language == "python":
            run(block.code, f"{page.name}:{block.line}", names)


def test_every_kind_of_block_is_known():
    """What is neither code that a test runs nor a command that one parses must not look like it."""
    known = {"python", "console", "diff", "text", "{include}", "{toctree}", "{literalinclude}", ""}
    assert {b.language for page in PAGES for b in blocks(page)} <= known


def test_code_fits_the_column():
    """A reader at 1280 pixels sees every line whole."""
    long = [(p.name, line) for p in PAGES for b in blocks(p) for line in b.code.splitlines() if len(line) > 90]
    assert long == []


def test_the_first_page_from_top_to_bottom(tmp_path, monkeypatch, capsys):
    """A folder of photographs, and every command of the page in its order, on small images and for one epoch."""
    monkeypatch.chdir(tmp_path)
    run((DOCS / "bridges" / "photos.py").read_text(), "photos.py")
    (tmp_path / "photos.maps").rename(tmp_path / "corners.maps")
    page = DOCS / "start.md"
    allowed = dict(commands(page))
    for block in blocks(page):
        if block.language == "python":
            run(block.code.replace("Crop(128)", "Crop(24)"), "start.md")
        for command in joined(block.code) if block.language == "console" else ():
            if allowed[command]:
                cli.main(shlex.split(smaller(command).removeprefix("augwise ")))
    capsys.readouterr()
    for made in ("audit/report.html", "audit-base/report.html", "photos.maps/meta.json", "guarded/results.json"):
        assert (tmp_path / made).exists(), made
