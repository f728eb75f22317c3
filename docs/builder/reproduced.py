"""The page of the papers' tables: every recipe, at which scales it runs, and what has come out, row by row.

Reads the recipes and ``benchmarks/results/reproduced``; the numbers on the page are theirs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from augwise.recipes.contents import RECIPES, find_recipe
from augwise.recipes.recipe import SCALES, Recipe
from augwise.report.reproduce_text import POINTS, cell_text, unit_of
from augwise.report.text import signed

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "reproduced"
PAGE = "papers.md"
_PAPERS = {
    "ipf-rda": "IPF-RDA",
    "advmask": "AdvMask",
    "dcutmix": "DCutMix",
    "lp-a3": "LP-A3",
}
_HEAD = """# The papers' tables, run again

`augwise reproduce NAME --scale full|short|tiny` runs a table of a paper as far as one has the hardware, and lays it
beside the printed one. `full` is the paper's own size; the smaller scales say what stands in for what, and can only
show the direction of a difference, never the paper's numbers. Runs can be stopped, killed, gone on with, and shared out
over several machines that see one folder. Times on GPUs are estimates.

```console
$ augwise reproduce --list
$ augwise reproduce lp-a3/table-3 --scale tiny --seeds 2
```

Below, each cell is the mean ± standard deviation over seeds of the last epoch, and in brackets what the paper prints. A
*gain* is towards better, in percentage points unless it says otherwise, paired by seed, with its 95 % interval; *p* is
corrected by Holm's method for all gains of one table.
"""


def pages() -> dict[str, str]:
    """One page of everything."""
    recipes = [find_recipe(name) for name in RECIPES]
    parts = [_HEAD, _flagged(recipes)]
    for paper, name in _PAPERS.items():
        own = [recipe for recipe in recipes if recipe.name.partition("/")[0] == paper]
        if own:
            parts.append(f"## {name}\n")
            parts += [_recipe(recipe) for recipe in own]
    return {PAGE: "\n".join(parts)}


def _found(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Published results by scale, the largest first."""
    found = {}
    for scale in SCALES:
        path = RESULTS / recipe.name / scale / "results.json"
        if path.exists():
            found[scale] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _flagged(recipes: list[Recipe]) -> str:
    """Where the paper's direction was not found."""
    lines = []
    for recipe in recipes:
        for scale, results in _found(recipe).items():
            for pair in results["pairs"]:
                gain = pair["gain"]
                if pair["published"] is None or gain["low"] is None:
                    continue
                if (gain["high"] < 0 < pair["published"]) or (pair["published"] < 0 < gain["low"]):
                    text = f"{signed(gain['mean'])} [{signed(gain['low'])}, {signed(gain['high'])}]"
                    lines.append(
                        f"- {recipe.source}, scale {scale}: {pair['what']} against {pair['against']} {text}, the paper "
                        f"{signed(pair['published'])}."
                    )
    if not lines:
        return "No difference published here so far is, by its interval, of the other sign than the paper's.\n"
    return (
        "**Of the other sign than in the paper**, by the interval and before any correction:\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _recipe(recipe: Recipe) -> str:
    lines = [f"### {recipe.source}: {recipe.title}", "", f"`augwise reproduce {recipe.name}`", ""]
    lines += ["| scale | what is run | time | seeds |", "|---|---|---|---|"]
    for name in SCALES:
        if name in recipe.scales:
            scale = recipe.scales[name]
            lines.append(f"| {name} | {scale.about} | {scale.hours} | {scale.seeds} |")
    lines.append("")
    if recipe.claim:
        lines += [f"The paper: {recipe.claim}", ""]
    lines += [f"- {word}" for word in recipe.wary] + [""]
    found = _found(recipe)
    for name, results in found.items():
        lines += _results(name, results)
    if not found:
        lines += ["*No results are published here yet.*", ""]
    return "\n".join(lines)


def _results(scale: str, results: dict[str, Any]) -> list[str]:
    lines = []
    hardware = "; ".join(dict.fromkeys(_machine(e) for e in results["environments"]))
    for table in results["tables"]:
        run = [c for c in table["columns"] if any(row.get(c, {}).get("n") for row in table["cells"].values())]
        if not run:
            continue
        lines += [f"**{table['title']}, scale {scale}** ({table['metric']}; {hardware})", ""]
        lines += [f"| | {' | '.join(run)} |", "|---|" + "---|" * len(run)]
        for row in table["rows"]:
            cells = [table["cells"].get(row, {}).get(column) for column in run]
            if any(cell is not None and cell["n"] for cell in cells):
                n = max(cell["n"] for cell in cells if cell is not None)
                lines.append(f"| {row} (n = {n}) | {' | '.join('–' if c is None else cell_text(c) for c in cells)} |")
        lines.append("")
    if results["pairs"]:
        lines += ["| | against | gain | p | the paper’s | |", "|---|---|---|---|---|---|"]
        for pair in results["pairs"]:
            gain = pair["gain"]
            interval = "" if gain["low"] is None else f" [{signed(gain['low'])}, {signed(gain['high'])}]"
            p = "–" if pair["p"] is None else f"{pair['p']:.3f}"
            unit = "" if unit_of(pair) == POINTS else f" {unit_of(pair)}"
            lines.append(
                f"| {pair['what']} | {pair['against']} | {signed(gain['mean'])}{interval}{unit} | {p} | "
                f"{signed(pair['published'])} | {pair['verdict']} |"
            )
        lines.append("")
    return lines


def _machine(environment: dict[str, Any]) -> str:
    device = environment.get("device", "cpu")
    return f"{environment.get('cpu', 'CPU') if device == 'cpu' else device}, torch {environment.get('torch', '?')}"
