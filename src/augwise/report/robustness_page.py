"""The page of adversarial robustness: accuracy over epsilon, for every attack and every kind of access."""

from __future__ import annotations

from typing import Any

from .analyse_page import Section, Table, analysis_page, series
from .charts import Chart, Series, line_chart
from .page import Page
from .text import percent, points

_ACCESS = {
    "white": ("White-box", "The attack follows the gradients of the very network that it attacks."),
    "grey": ("Grey-box", "The attack follows the gradients of another network of the same architecture."),
    "black": ("Black-box", "The attack follows the gradients of a network of another architecture."),
}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of robustness."""
    sections = [_section(results, access) for access in _ACCESS if any(r["access"] == access for r in results["rows"])]
    if len(results["runs"]) > 1:
        sections.append(_differences(results))
    return analysis_page(results, _headline(results), warnings(results), sections)


def _headline(results: dict[str, Any]) -> str:
    strongest = max(row["epsilon"] for row in results["rows"])
    white = [r for r in results["rows"] if r["access"] == "white"]
    at = [r for r in white if r["epsilon"] == strongest and r["attack"] == white[-1]["attack"]]
    told = ", ".join(f"{r['run']} {percent(r['accuracy']['mean'])} %" for r in at)
    return f"After white-box {at[0]['attack'].upper()} with ε = {at[0]['text']}, this much is still right: {told}."


def warnings(results: dict[str, Any]) -> list[str]:
    """What makes the numbers doubtful: attacks that see nothing, or are beaten by weaker ones."""
    said = [*_blind(results["rows"]), *_beaten(results["rows"])]
    return [*said, "Gradient attacks only show what is not robust: a stronger attack may find more."]


def _blind(rows: list[dict[str, Any]]) -> list[str]:
    white = [row for row in rows if row["access"] == "white"]
    names = sorted({row["run"] for row in white if row["blind"] > 0.01})
    if not names:
        return []
    worst = percent(max(row["blind"] for row in white))
    return [
        f"On up to {worst} % of the images the gradient of {', '.join(names)} is exactly zero, so the attack sees "
        "nothing there: such numbers flatter (float32 cannot tell its confidence from 1)."
    ]


def _beaten(rows: list[dict[str, Any]]) -> list[str]:
    """Where one step does more than many, or a stranger's gradients more than a network's own; by a point or more."""
    key = ("run", "access", "by", "attack", "epsilon")
    known = {tuple(row[k] for k in key): row["accuracy"]["mean"] for row in rows}
    weak, masked = set(), set()
    for row in rows:
        own, run, epsilon = row["accuracy"]["mean"], row["run"], row["epsilon"]
        if row["access"] == "white" and row["attack"] == "pgd":
            weak |= {run} if known.get((run, "white", None, "fgsm", epsilon), 1) < own - 0.01 else set()
        if row["access"] != "white":
            masked |= {run} if known.get((run, "white", None, row["attack"], epsilon), 0) > own + 0.01 else set()
    said = [f"FGSM beats PGD on {', '.join(sorted(weak))}: PGD is too weak here, give more --steps."] if weak else []
    if masked:
        said.append(
            f"A substitute’s images fool {', '.join(sorted(masked))} more than its own gradients do: these are masked, "
            "and the white-box numbers flatter."
        )
    return said


def _section(results: dict[str, Any], access: str) -> Section:
    title, text = _ACCESS[access]
    rows = [r for r in results["rows"] if r["access"] == access]
    groups = list(dict.fromkeys((r["by"], r["attack"]) for r in rows))
    charts = [_chart(results, [r for r in rows if (r["by"], r["attack"]) == g], g) for g in groups]
    epsilons = list(dict.fromkeys(r["text"] for r in rows))
    clean = {run["name"]: run["clean"] for run in results["runs"]}
    tables = []
    for by, attack in groups:
        made = []
        for name, unhurt in clean.items():
            cells = [r["accuracy"] for r in rows if (r["by"], r["attack"], r["run"]) == (by, attack, name)]
            made.append([name, *(_cell(found) for found in [unhurt, *cells])])
        whose = f" by {by}" if by else ""
        caption = f"{attack.upper()}{whose}: accuracy in %, with 95 % intervals by bootstrap over images."
        tables.append(Table(caption, ["run", "clean", *(f"ε = {e}" for e in epsilons)], made))
    return Section(access, title, [text], charts, tables)


def _chart(results: dict[str, Any], rows: list[dict[str, Any]], group: tuple[str | None, str]) -> Chart:
    looks, drawn = series([run["name"] for run in results["runs"]]), []
    for run in results["runs"]:
        own = sorted((r for r in rows if r["run"] == run["name"]), key=lambda r: r["epsilon"])
        found = [(0.0, run["clean"]), *((255 * r["epsilon"], r["accuracy"]) for r in own)]
        values = [(x, 100 * a["mean"]) for x, a in found]
        bars = [(100 * a["low"], 100 * a["high"]) if a["low"] is not None else None for _, a in found]
        drawn.append(Series(run["name"], values, **looks[run["name"]], bars=bars))
    by, attack = group
    title = attack.upper() + (f" by {by}" if by else "")
    return line_chart(title, drawn, "ε, in 255ths", "accuracy, %", y_span=(0, 100))


def _differences(results: dict[str, Any]) -> Section:
    names = [run["name"] for run in results["runs"]]
    over: dict[tuple[Any, ...], dict[str, Any]] = {}
    for r in results["rows"]:
        over.setdefault((r["access"], r["by"], r["attack"], r["text"]), {})[r["run"]] = r["over_first"]
    rows = [
        [f"{access}, {attack.upper()}{f' by {by}' if by else ''}, ε = {text}", *(points(of[n]) for n in names[1:])]
        for (access, by, attack, text), of in over.items()
    ]
    caption = (
        f"Accuracy less that of {names[0]}, in points, paired by image, with 95 % intervals by bootstrap over images."
    )
    notes = [
        "An interval without width, as at 0 %, says that all of these images fared alike, not that all others would.",
        "The intervals speak of these two networks on other images, not of two ways to train: another seed is another "
        "network.",
    ]
    return Section("differences", f"Against {names[0]}", (), (), [Table(caption, ["attack", *names[1:]], rows)], notes)


def _cell(found: dict[str, Any]) -> str:
    text = percent(found["mean"])
    return text if found["low"] is None else f"{text} [{percent(found['low'])}, {percent(found['high'])}]"
