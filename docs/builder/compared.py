"""Our own comparisons as tables and in words, from their results files: no number and no verdict is typed in."""

from __future__ import annotations

from typing import Any

from augwise.analysis import compare_words as words
from augwise.analysis.presets import PRESETS
from augwise.analysis.verdict import LEVEL, corrected, verdict

from .docstrings import escaped
from .measured import results, tables

NAME, TABLES = "cifar10_5k", "cifar10_tables"
_POOLED = {
    "guarded-plain": "− plain",
    "guarded-control": "− control",
    "guarded-centre": "− centre",
    "guarded-smoothing": "− smoothing",
    "plain-baseline": "plain − without",
    "guarded-baseline": "− without",
}
_RIVALS = ("guarded-plain", "guarded-control", "guarded-centre")
_SHORT = {"estimator": "maps", "quantile": "τ"}


def pages() -> dict[str, str]:
    """The first comparison and what it amounts to; the list of comparisons that have a name; those that have run."""
    found, ran = results()[NAME], tables(TABLES)
    return {
        f"tables/{NAME}.md": _table(found) + "\n" + _words(found),
        "tables/presets.md": _presets(),
        "tables/pooled.md": _pooled(ran),
        "tables/won.md": _won(ran),
        "tables/tried.md": "\n".join(_section(name, ran[name]) for name in PRESETS if name in ran),
    }


def _presets() -> str:
    lines = ["| preset | its question |", "|---|---|"]
    lines += [f"| `{name}` | {_asked(name)} |" for name in PRESETS]
    return "\n".join(lines) + "\n"


def _asked(name: str) -> str:
    question = PRESETS[name].question
    return escaped(question[0].upper() + question[1:])


def _pooled(ran: dict[str, dict[str, Any]]) -> str:
    """One line per comparison and rule: its differences as means over all its rows, seed by seed."""
    heads = ["comparison", "second arm", "rows", *_POOLED.values(), "n"]
    lines = ["{.numbers}", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in PRESETS:
        for rule, pooled in ran.get(name, {}).get("overall_by_rule", {}).items():
            known = [pooled[d] for d in _POOLED if pooled.get(d)]
            cells = " | ".join(_half(pooled[d]) if pooled.get(d) else "" for d in _POOLED)
            if known:
                rows, n = max(d["cells"] for d in known), min(d["n"] for d in known)
                lines.append(f"| [{name}](#{name}) | {words.SECOND[rule]} | {rows} | {cells} | {n} |")
    return "\n".join(lines) + "\n"


def _won(ran: dict[str, dict[str, Any]]) -> str:
    """The single rows whose second arm beats its control, of all comparisons; one line each, and what chance gives."""
    heads = ["comparison", "row", *(_POOLED[d] for d in _RIVALS), "n"]
    lines = ["{.numbers}", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    looked, rows_of = 0, [(name, row) for name in PRESETS for row in ran.get(name, {}).get("table", [])]
    for name, row in rows_of:
        control = row["differences"].get("guarded-control")
        if not control or control["low"] is None:
            continue
        looked += 1
        if control["low"] > 0:
            every = ran[name]["table"]
            said = words.where(row, words.varying(every))
            found = [row["differences"].get(d) for d in _RIVALS]
            cells = " | ".join(_interval(d) if d else "" for d in found)
            lines.append(f"| [{name}](#{name}) | {words.method(row)} {said} | {cells} | {control['n']} |")
    chance = f"{LEVEL / 2 * looked:.1f}"
    return "\n".join([*lines, "", f"Of {looked} rows; chance alone would put {chance} of them here.", ""])


def _section(name: str, found: dict[str, Any]) -> str:
    """A comparison under its own heading: its question, its table, and what stands behind it."""
    rows = found["table"]
    rules, arms, pairs = words.rules(rows), words.arms(rows), words.differences(rows)
    named = ["method", *words.varying(rows, ("strength", "window", "estimator", *words.DIMENSIONS))]
    heads = [_SHORT.get(n, n) for n in named] + [words.arm(a, rules) for a in arms]
    heads += [words.difference(d, rules, " − ") for d in pairs]
    said = verdict(found).headline if found["complete"] else f"Unfinished, so far: {verdict(found).headline}"
    lines = [f"### {name}", "", f"{_asked(name)} **{escaped(said)}**", "", "{.numbers}"]
    lines += [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in rows:
        cells = [words.value(row, n) for n in named]
        cells += [f"{100 * row['arms'][a]['mean']:.1f}" if a in row["arms"] else "" for a in arms]
        cells += [_interval(row["differences"][d]) if row["differences"].get(d) else "" for d in pairs]
        lines.append(f"| {' | '.join(cells)} |")
    base, tests = found["baseline"], corrected(rows)
    seeds = sorted({arm["n"] for row in rows for arm in row["arms"].values()})
    clear, kept = sum(t.p < LEVEL for t in tests), sum(t.adjusted < LEVEL for t in tests)
    lines += [
        "",
        f"Without it ({words.baseline(found['config']['train'])}): {100 * base['mean']:.1f} (n = {base['n']}).",
        f"Seeds per arm: {seeds[0] if len(seeds) == 1 else f'{seeds[0]} to {seeds[-1]}'}.",
        f"Of {len(tests)} differences {clear} exclude zero (\\*), {kept} after Holm's correction; chance alone gives",
        f"{LEVEL * len(tests):.1f}."
        + ("" if found["complete"] else f" {found['done']} of {found['planned']} runs so far."),
        "",
    ]
    return "\n".join(lines)


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
    if d["low"] is None:
        return _points(d["mean"])
    star = " \\*" if d["low"] > 0 or d["high"] < 0 else ""
    return f"{_points(d['mean'])} [{_points(d['low'])}, {_points(d['high'])}]{star}"


def _half(d: dict[str, Any]) -> str:
    """``+0.6 ± 0.4``: the mean and half of its interval, which is symmetric."""
    if d["low"] is None:
        return _points(d["mean"])
    star = " \\*" if d["low"] > 0 or d["high"] < 0 else ""
    return f"{_points(d['mean'])} ± {50 * (d['high'] - d['low']):.1f}{star}"


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
