"""Genotypes: what two cells of a searched network are made of, as a small file. Reads and writes that file alone.

The search space is that of DARTS (Liu et al. 2019, section 2.1), which PC-DARTS shares: a cell has two inputs, the
outputs of the two cells before it, and four nodes; a node adds up two of the states before it, each after one of the
operations below; the cell's output is its four nodes side by side. A network has two kinds of cells, normal ones and
reductions, which halve the map.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import UserError
from ..files import write_atomically

SPACE = {"name": "darts", "version": 1}
"""The search space that files name; its version changes with what a network made of a genotype computes."""
FORMAT = 1
GENOTYPE = "genotype.json"
"""Name of the file in the folder of a search, and of a run with a network made of it."""
NODES = 4
"""Nodes of a cell, between its two inputs and its output."""
OPERATIONS = (
    "none", "max_pool_3x3", "avg_pool_3x3", "skip_connect",
    "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
)  # fmt: skip
"""The eight operations of an edge, by DARTS's names and in its order; ``none`` gives zeros and is never chosen."""
EDGES = tuple((node, state) for node in range(NODES) for state in range(node + 2))
"""(node, state) of the 14 edges of a cell: into node 0 from states 0 and 1 (the cell's inputs), into node 1 from states
0 to 2, of which 2 is node 0, and so on."""

Edge: TypeAlias = tuple[str, int]
"""An operation, and the state (0 to node + 1) that it takes."""
Cell: TypeAlias = tuple[tuple[Edge, Edge], ...]
"""Two edges for each of the four nodes."""


@dataclass(frozen=True)
class Genotype:
    """normal, reduction: the two cells, for each node its two edges. about: where it came from, as JSON has it."""

    normal: Cell
    reduction: Cell
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def plain(self) -> dict[str, Any]:
        """The two cells as JSON has them."""
        return {name: json.loads(json.dumps(getattr(self, name))) for name in ("normal", "reduction")}

    def save(self, path: str | Path) -> Path:
        """Write the file whole or not at all; its folder is made. The same genotype gives the same bytes."""
        path = Path(path)
        content = {"format": FORMAT, "search_space": SPACE, **self.plain, "about": dict(self.about)}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f' "{key}": {_lines(value)}' for key, value in content.items()]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        write_atomically(path, lambda file: file.write(text.encode()))
        return path

    @classmethod
    def load(cls, path: str | Path) -> Genotype:
        """Read a file that `save` wrote; `UserError` for what is missing, damaged, or of another search space."""
        path, cure = Path(path), "give the genotype.json of augwise search"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, IsADirectoryError):
            raise UserError(f"{path} is no file: {cure}, or one of {', '.join(PUBLISHED)}") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as JSON ({error}): {cure}") from None
        if not isinstance(found, dict) or "search_space" not in found:
            raise UserError(f"{path} holds no genotype of augwise: {cure}")
        if found["search_space"] != SPACE or found.get("format") != FORMAT:
            raise UserError(
                f"{path} is a genotype of search space {_told(found['search_space'])}, format {found.get('format')}; "
                f"this version of augwise knows {_told(SPACE)}, format {FORMAT}: search again, or use the version that "
                "wrote it"
            )
        normal, reduction = (_cell(path, name, found.get(name)) for name in ("normal", "reduction"))
        return cls(normal, reduction, found.get("about") or {})


def _lines(value: Any) -> str:
    """JSON with a line for each node of a cell."""
    if not isinstance(value, list):
        return json.dumps(value)
    return "[\n" + ",\n".join(f"  {json.dumps(node)}" for node in value) + "\n ]"


def genotype(name: str) -> Genotype:
    """A published genotype by its name (`PUBLISHED`), or the one in a file; `UserError` for what is neither."""
    if name in PUBLISHED:
        return PUBLISHED[name]
    if Path(name).suffix != ".json" and not Path(name).exists():
        near = difflib.get_close_matches(name, PUBLISHED, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"genotype {name!r} is unknown: {hint}use {', '.join(PUBLISHED)}, or a genotype.json")
    return Genotype.load(name)


def _told(space: Any) -> str:
    if isinstance(space, dict):
        return f"{space.get('name', '?')} {space.get('version', '?')}"
    return repr(space)


def _cell(path: Path, name: str, found: Any) -> Cell:
    """One cell of a file, checked edge by edge."""
    if not isinstance(found, list) or len(found) != NODES or not all(isinstance(n, list) for n in found):
        raise UserError(f"{path}: its {name} cell has not {NODES} nodes: it is damaged, or of another search space")
    return tuple(_node(path, name, place, edges) for place, edges in enumerate(found))


def _node(path: Path, name: str, place: int, found: list[Any]) -> tuple[Edge, Edge]:
    where = f"{path}: node {place} of its {name} cell"
    if len(found) != 2 or not all(isinstance(edge, list) and len(edge) == 2 for edge in found):
        raise UserError(f"{where} has not two edges, each an operation and a state: it is damaged")
    for operation, state in found:
        if operation not in OPERATIONS[1:]:
            raise UserError(f"{where} has the operation {operation!r}: use one of {', '.join(OPERATIONS[1:])}")
        if isinstance(state, bool) or not isinstance(state, int) or not 0 <= state < place + 2:
            raise UserError(f"{where} takes state {state!r}: there are 0 to {place + 1} before it")
    (a, b) = found
    if a[1] == b[1]:
        raise UserError(f"{where} takes state {a[1]} twice: its two edges come from two states")
    return (a[0], a[1]), (b[0], b[1])


def _published(normal: str, reduction: str, source: str) -> Genotype:
    """Cells written as ``operation state`` pairs, two to a node, nodes by semicolons."""

    def cell(text: str) -> Cell:
        nodes = [[edge.split() for edge in node.split(",")] for node in text.split(";")]
        return tuple(((a[0], int(a[1])), (b[0], int(b[1]))) for a, b in nodes)

    return Genotype(cell(normal), cell(reduction), {"source": source})


PUBLISHED = {
    "pc_darts_cifar10": _published(
        "sep_conv_3x3 1, skip_connect 0; sep_conv_3x3 0, dil_conv_3x3 1; sep_conv_5x5 0, sep_conv_3x3 1; "
        "avg_pool_3x3 0, dil_conv_3x3 1",
        "sep_conv_5x5 1, max_pool_3x3 0; sep_conv_5x5 1, sep_conv_5x5 2; sep_conv_3x3 0, sep_conv_3x3 3; "
        "sep_conv_3x3 1, sep_conv_3x3 2",
        "Xu et al., ICLR 2020, searched on CIFAR-10",
    ),
    "pc_darts_imagenet": _published(
        "skip_connect 1, sep_conv_3x3 0; sep_conv_3x3 0, skip_connect 1; sep_conv_3x3 1, sep_conv_3x3 3; "
        "sep_conv_3x3 1, dil_conv_5x5 4",
        "sep_conv_3x3 0, skip_connect 1; dil_conv_5x5 2, max_pool_3x3 1; sep_conv_3x3 2, sep_conv_3x3 1; "
        "sep_conv_5x5 0, sep_conv_3x3 3",
        "Xu et al., ICLR 2020, searched on ImageNet",
    ),
}
"""The genotypes that PC-DARTS publishes, by name."""
