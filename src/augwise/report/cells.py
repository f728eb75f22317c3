"""A searched cell as a drawing, in the manner of a wiring diagram.

Every state is a line that runs down: from the left the cell's two inputs, then its four nodes, each from where it is
computed. An operation taps the lines of what it takes (a dot is a tap, lines that merely cross have none); the two
operations of a node join at the right, and the sum runs back to the node. At the foot the nodes are laid side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

from .charts import WIDTH, Chart, _chart, _text

_LANE, _FIRST = 21, 14  # between two lines, and the x of the first
_BOX, _WIDE, _HIGH = 148, 134, 22  # left edge, width and height of an operation's box
_JOIN = 300  # x of the line that joins the two operations of a node
_TOP, _STEP = 44, 30  # y of the first operation, and from one to the next
# Kinds of operations by the page's colours; their names stand in the boxes, so that colour is not needed.
_STYLES = {"sep": "plain", "dil": "guarded", "max": "control", "avg": "control", "skip": "smoothing"}
_SHORT = {"skip_connect": "skip", "max_pool_3x3": "max pool 3×3", "avg_pool_3x3": "average pool 3×3"}


def called(operation: str) -> str:
    """An operation's name in words: ``sep conv 5×5``."""
    return _SHORT.get(operation, operation.replace("_", " ").replace("3x3", "3×3").replace("5x5", "5×5"))


def state_name(state: int) -> str:
    """What a cell's state is called: its two inputs, then its nodes from 1."""
    return ("before last", "last")[state] if state < 2 else f"node {state - 1}"


def cell_drawing(
    title: str, cell: Sequence[Sequence[Sequence]], halve: bool, strengths: Sequence[Sequence[float]] | None = None
) -> Chart:
    """Draw one cell. cell: for each node its two (operation, state); halve: a reduction, whose operations on the inputs
    have stride 2; strengths: what each edge counted in the supernet, α · β."""
    lines, boxes, dots, nodes = [], [], [], []
    last_use = _last_uses(cell)
    y = _TOP
    ends: dict[int, float] = {}
    begins: dict[int, float] = {0: 24, 1: 24}
    for node, edges in enumerate(cell):
        rows = []
        for place, (operation, state) in enumerate(edges):
            x, style = _lane(state), _STYLES[operation.partition("_")[0]]
            lines.append(f'<path class="halo" d="M{x} {y}H{_BOX}"/><path class="wire" d="M{x} {y}H{_BOX}"/>')
            lines.append(f'<path class="wire" d="M{_BOX + _WIDE} {y}H{_JOIN}"/>')
            dots.append(f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>')
            text = called(operation).replace("average", "avg") + (" ÷ 2" if halve and state < 2 else "")
            boxes.append(
                f'<g class="{style}"><rect class="box" x="{_BOX}" y="{y - _HIGH / 2:g}" width="{_WIDE}" '
                f'height="{_HIGH}" rx="5"/></g>' + _text(_BOX + _WIDE / 2, y + 4, text, "name", "middle")
            )
            if strengths is not None:
                boxes.append(_text(WIDTH - 2, y + 4, f"{strengths[node][place]:.3f}", "tick", "end"))
            if last_use.get((node, place)) == state:
                ends[state] = y
            rows.append(y)
            y += _STEP
        x = _lane(node + 2)
        y -= 4
        lines.append(f'<path class="wire" d="M{_JOIN} {rows[0]}V{y}H{x + 9}"/>')
        nodes.append((x, y, str(node + 1)))
        begins[node + 2] = y
        y += _STEP - 2
    foot = y + 4
    for state, start in begins.items():
        stop = foot if state > 1 else ends.get(state, start)
        lines.insert(0, f'<path class="wire" d="M{_lane(state)} {start}V{stop}"/>')
    left, right = _lane(2) - 8, _lane(5) + 8
    parts = [*lines, *dots, *boxes]
    parts += [
        f'<circle class="state" cx="{x}" cy="{y}" r="9"/>' + _text(x, y + 4, name, "name", "middle")
        for x, y, name in nodes
    ]
    parts.append(f'<path class="axis" stroke-width="3" d="M{left} {foot}H{right}"/>')
    parts.append(_text(left, foot + 18, "output: the four nodes side by side", "tick"))
    parts.append(_text(_lane(0) - 8, 10, "outputs of the cell before last and of the last", "tick"))
    for state in (0, 1):
        parts.append(f'<circle class="dot" cx="{_lane(state)}" cy="24" r="3"/>')
    if strengths is not None:
        parts.append(_text(WIDTH - 2, 27, "α · β", "tick", "end"))
    return _chart(title, foot + 26, parts, _told(cell))


def _lane(state: int) -> int:
    return _FIRST + _LANE * state


def _last_uses(cell: Sequence[Sequence[Sequence]]) -> dict[tuple[int, int], int]:
    """(node, place) of the last edge that takes each input, which is where its line ends."""
    last = {state: (node, place) for node, edges in enumerate(cell) for place, (_, state) in enumerate(edges)}
    return {place: state for state, place in last.items()}


def _told(cell: Sequence[Sequence[Sequence]]) -> str:
    nodes = []
    for node, edges in enumerate(cell, 1):
        told = " plus ".join(f"{called(operation)} of {state_name(state)}" for operation, state in edges)
        nodes.append(f"Node {node} is {told}")
    return ". ".join(nodes) + ". The output is the four nodes side by side."
