"""Our own comparison as a table and in words, from its results file: no number and no verdict is typed in."""

from __future__ import annotations

from typing import Any

from augwise.analysis.presets import PRESETS

from .docstrings import escaped
from .measured import results

NAME = "cifar10_5k"


def pages() -> dict[str, str]:
    """The table, and what it amounts to; and the list of comparisons that have a name."""
    found = results()[NAME]
    return {f"tables/{NAME}.md": _table(found) + "\n" + _words(found), "tables/presets.md": _presets()}


def _presets() -> str:
    lines = ["| preset | its question |", "|---|---|"]
    lines += [f"| `{p.name}` | {escaped(p.question[0].upper() + p.question[1:])} |" for p in PRESETS.values()]
    return "\n".join(lines) + "\n"


def _table(found: dict[str, Any]) -> str:
    lines = [
        "{.numbers}",
        "| length | window | maps | plain | guarded | control | guarded − plain | guarded − control | n |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["table"]:
        arms = [f"{100 * row['arms'][arm]['mean']:.1f}" for arm in ("plain", "guarded", "control")]
        differences = [_interval(row["differences"][d]) for d in ("guarded-plain", "guarded-control")]
        pairs = row["differences"]["guarded-control"]["n"]
        lines.append(
            f"| {row['strength']:g} | {row['window']} | {row['estimator']} | {' | '.join(arms)} "
            f"| {' | '.join(differences)} | {pairs} |"
        )
    return "\n".join(lines) + "\n"


def _interval(d: dict[str, Any]) -> str:
    star = " \\*" if d["low"] > 0 or d["high"] < 0 else ""
    return f"{_points(d['mean'])} [{_points(d['low'])}, {_points(d['high'])}]{star}"


def _points(share: float) -> str:
    """Percentage points with a sign, zero without."""
    return f"{100 * share:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")


def _words(found: dict[str, Any]) -> str:
    rows, base = found["table"], found["baseline"]
    every = [row["differences"][d] for row in rows for d in ("guarded-plain", "guarded-control")]
    clear = sum(d["low"] > 0 or d["high"] < 0 for d in every)
    best = max((row["arms"][arm]["mean"], arm, row) for row in rows for arm in row["arms"])
    plain, control = (
        _mean(row["differences"][d]["mean"] for row in rows) for d in ("guarded-plain", "guarded-control")
    )
    where = f"{best[1]}, length {best[2]['strength']:g}, {best[2]['window']}"
    return (
        f"Test accuracy in percent, last epoch. Without Cutout: {100 * base['mean']:.1f} ± {100 * base['std']:.1f} "
        f"(n = {base['n']}); the best of all arms above: {100 * best[0]:.1f} ({where}). Averaged over the table, the "
        f"guard gains {_points(plain)} points over plain Cutout and {_points(control)} over its control. "
        f"Of {len(every)} intervals {clear} exclude zero (\\*), and none is corrected for their number. "
        f"{found['environment']['cpu']}, torch {found['environment']['torch']}.\n"
    )


def _mean(values: Any) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
