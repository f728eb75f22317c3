"""Who may import whom: downwards only, no circles, and the library half on torch, torchvision, NumPy and tqdm alone."""

from __future__ import annotations

import ast
import importlib.metadata
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1] / "src" / "augwise"
WORDS = {"sample", "importance_map", "labels", "regions", "randomness"}
# Their parts:
WORDS |= {"boxes", "errors", "files", "fingerprints", "guard", "integral_images", "items", "maxima", "schedule"}
WORDS |= {"criteria", "layers", "losses", "subset_file", "windows"}
# From the bottom up; the names of one row do not know each other, unless the row is `SOCIABLE`.
ROWS = [
    WORDS,
    {"importance", "transforms", "mixing", "adversarial", "models"},
    {"selection", "data", "reid"},
    {"catalogue"},
    {"training", "options"},
    {"analysis", "report"},
    {"recipes"},
    {"cli"},
    {"__main__"},
]
SOCIABLE = [WORDS, {"analysis", "report"}]
LIBRARY = set().union(*ROWS[:3])


class Import(NamedTuple):
    """Module ``of`` imports module ``what`` (dotted, below augwise; "" is the package itself)."""

    of: str
    what: str
    line: int
    typing_only: bool


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(file): file for file in sorted(ROOT.rglob("*.py"))}


def imports_of(module: str, source: str, is_package: bool) -> Iterator[Import]:
    """Every import of ours in a file, also inside functions. ``from package import module`` imports the module."""
    tree = ast.parse(source)
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        typing_only = id(node) in guarded
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "augwise":
                    yield Import(module, alias.name.removeprefix("augwise").lstrip("."), node.lineno, typing_only)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node, is_package)
            if base is None:
                continue
            for alias in node.names:
                inner = f"{base}.{alias.name}".lstrip(".")
                yield Import(module, inner if inner in MODULES else base, node.lineno, typing_only)


def _base(module: str, node: ast.ImportFrom, is_package: bool) -> str | None:
    name = node.module or ""
    if node.level == 0:
        return name.removeprefix("augwise").lstrip(".") if name.split(".")[0] == "augwise" else None
    parts = module.split(".") if module else []
    up = node.level - 1 if is_package else node.level
    return ".".join([*parts[: len(parts) - up], *([name] if name else [])])


def row_of(module: str) -> int:
    part = module.split(".")[0]
    return next(i for i, row in enumerate(ROWS) if part in row)


def offences(found: list[Import]) -> list[str]:
    wrong = []
    for of, what, line, _ in found:
        # The package itself holds the version, and fetches names lazily for users: it is no layer.
        if of == "" or what == "":
            continue
        mine, theirs = of.split(".")[0], what.split(".")[0]
        same_row = row_of(of) == row_of(what) and mine != theirs
        if row_of(what) > row_of(of) or (same_row and ROWS[row_of(of)] not in SOCIABLE):
            wrong.append(f"{of}:{line} imports {what}")
    return wrong


@pytest.fixture(scope="module")
def found() -> list[Import]:
    return [
        item
        for module, file in MODULES.items()
        for item in imports_of(module, file.read_text(encoding="utf-8"), file.name == "__init__.py")
    ]


def test_every_module_has_its_row() -> None:
    unknown = [m for m in MODULES if m and not any(m.split(".")[0] in row for row in ROWS)]
    assert not unknown, f"say in {Path(__file__).name} which row these belong to: {unknown}"


def test_imports_go_downwards(found: list[Import]) -> None:
    """Imports for type checkers alone count as well: who names a type from above depends on above."""
    assert len(found) > 50
    assert offences(found) == []


def test_the_package_itself_imports_nothing(found: list[Import]) -> None:
    assert [item for item in found if item.of == "" and not item.typing_only] == []


def test_no_circles(found: list[Import]) -> None:
    """Among imports that run, inside functions too."""
    below: dict[str, set[str]] = {module: set() for module in MODULES}
    for of, what, _, typing_only in found:
        if not typing_only and of != what and of and what:
            below[of].add(what)
    assert _circle(below) is None


def _circle(below: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return None
        for other in sorted(below[module]):
            circle = walk(other, [*path, module])
            if circle:
                return circle
        done.add(module)
        return None

    return next((circle for module in below if (circle := walk(module, []))), None)


def test_the_test_itself_sees_offences() -> None:
    source = """
from __future__ import annotations
from typing import TYPE_CHECKING
import augwise.training.loop
from ..mixing import base
from .. import __version__, regions
from .base import Augmentation
from augwise.data import collate
if TYPE_CHECKING:
    from ..cli import main
def later():
    from ..catalogue import find
"""
    listed = list(imports_of("transforms.cutout", source, is_package=False))
    assert {item.what.split(".")[0] for item in listed} == {
        "training", "mixing", "", "regions", "transforms", "data", "cli", "catalogue"
    }  # fmt: skip
    wrong = [text.split()[-1].split(".")[0] for text in offences(listed)]
    assert sorted(wrong) == ["catalogue", "cli", "data", "mixing", "training"]
    assert [item.what for item in listed if item.typing_only] == ["cli"]
    inside = imports_of("models", "from .build import build\nfrom ..errors import UserError", is_package=True)
    assert [item.what for item in inside] == ["models.build", "errors"]
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


def _allowed() -> set[str]:
    """Distributions that torch, torchvision, NumPy and tqdm bring with them."""
    allowed: set[str] = set()
    pending = ["torch", "torchvision", "numpy", "tqdm"]
    while pending:
        name = pending.pop().lower().replace("_", "-")
        if name in allowed:
            continue
        allowed.add(name)
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for text in required:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                pending.append(requirement.name)
    return allowed


def _others() -> set[str]:
    """Top-level modules of every other distribution that is installed here."""
    allowed = _allowed()
    names = {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not any(owner.lower().replace("_", "-") in allowed for owner in owners)
    }
    named = {"accelerate", "torchmetrics", "tyro", "jinja2", "matplotlib", "safetensors", "timm", "kornia", "sklearn"}
    # jinja2 comes with torch, but for its compiler alone; setuptools' hook is installed into the interpreter.
    return (names | named) - {"augwise", "_distutils_hack"}


PROGRAM = """
import importlib, sys

class Without:
    # Does not find what is blocked, as if it were not installed (torch asks by find_spec).

    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in BLOCKED else self.finder.find_spec(name, path, target)

BLOCKED, MODULES = set(sys.argv[1].split(",")), sys.argv[2].split(",")
sys.meta_path = [Without(finder) for finder in sys.meta_path if hasattr(finder, "find_spec")]
import augwise, augwise.errors, augwise.catalogue
assert "torch" not in sys.modules, "the package, its errors and its catalogue import torch"
for module in MODULES:
    importlib.import_module(f"augwise.{module}")
present = sorted(BLOCKED & {name.split(".")[0] for name in sys.modules})
assert not present, present
above = sorted(m for m in sys.modules if m.split(".")[0] == "augwise" and m.split(".")[1:2] in [["training"], ["cli"]])
assert not above, above
print("imported", len(MODULES))
"""


def test_the_library_half_needs_torch_torchvision_numpy_and_tqdm_alone() -> None:
    ours = [module for module in MODULES if module and module.split(".")[0] in LIBRARY]
    blocked = _others()
    assert {"accelerate", "tyro", "jinja2", "safetensors", "pytest"} <= blocked
    assert not blocked & {"torch", "torchvision", "numpy", "tqdm", "PIL"}
    assert len(ours) > 20
    assert {m.name for m in pkgutil.iter_modules([str(ROOT)])} >= WORDS
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, ",".join(sorted(blocked)), ",".join(ours)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"imported {len(ours)}"
