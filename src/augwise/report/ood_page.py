"""The page of images of no known class: how well each score tells them, for every run."""

from __future__ import annotations

from typing import Any

from .analyse_page import Section, Table, analysis_page, series
from .charts import Chart, Estimate, extent, forest
from .page import Page
from .text import percent

NAMES = {"max_softmax": "max softmax", "max_logit": "max logit", "energy": "energy", "entropy": "entropy"}
_MEASURES = (("aupr", "AUPR"), ("aupr_known", "AUPR, known"), ("auroc", "AUROC"), ("fpr95", "FPR95"))
NOTES = (
    "AUPR: average precision with foreign images as the positives; chance is their share. AUPR, known: with known "
    "images as the positives. FPR95: share of foreign images that pass where 95 % of the known do; lower is better.",
    "max softmax is the baseline of the field and of DCutMix’s Table 4; the other scores need no more than the same "
    "logits.",
)


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of foreign images."""
    sections = []
    for i, foreign in enumerate(results["foreign"]):
        rows = [row for row in results["rows"] if row["foreign"] == foreign["spec"]]
        title = f"Against {foreign['spec']}"
        sections.append(detected(f"foreign-{i}", title, rows, results["data"]["images"], foreign["images"]))
    return analysis_page(
        results, headline(results["rows"][: 4 * len(results["runs"])], results["foreign"][0]["spec"]), (), sections
    )


def headline(rows: list[dict[str, Any]], what: str) -> str:
    """The runs by AUPR of max softmax."""
    known = sorted(((r["aupr"]["mean"], r["run"]) for r in rows if r["score"] == "max_softmax"), reverse=True)
    told = ", ".join(f"{name} {percent(value)} %" for value, name in known)
    return f"AUPR against {what} by the softmax probability: {told}; chance is {percent(rows[0]['chance'])} %."


def detected(anchor: str, title: str, rows: list[dict[str, Any]], known: int, foreign: int) -> Section:
    """A section of all measures of all scores of all runs against one foreign source."""
    text = f"{known} known and {foreign} foreign images. With 95 % intervals by bootstrap over both."
    made = [
        [
            f"{row['run']}, {NAMES[row['score']]}",
            *(_cell(row[measure]) for measure, _ in _MEASURES),
            *(percent(row["confidence"][side]) if row["score"] == "max_softmax" else "" for side in (0, 1)),
        ]
        for row in rows
    ]
    columns = ["run and score", *(f"{name}, %" for _, name in _MEASURES), "mean confidence, known", "foreign"]
    charts = [_forest(rows, measure, name) for measure, name in (("aupr", "AUPR"), ("auroc", "AUROC"))]
    caption = "How well each score tells foreign images from known ones, in %."
    return Section(anchor, title, [text], charts, [Table(caption, columns, made)], NOTES)


def _forest(rows: list[dict[str, Any]], measure: str, name: str) -> Chart:
    chance = 100 * (rows[0]["chance"] if measure == "aupr" else 0.5)
    groups: dict[str, list[Estimate]] = {}
    looks = series(list(dict.fromkeys(row["run"] for row in rows)))
    for row in rows:
        value = row[measure]
        low, mean, high = (100 * value[k] for k in ("low", "mean", "high"))
        groups.setdefault(NAMES[row["score"]], []).append(
            Estimate(row["run"], mean, low, high, looks[row["run"]]["style"])
        )
    span = extent([e for members in groups.values() for e in members], chance)
    return forest(name, list(groups.items()), f"{name}, %; the line: chance", zero=chance, span=span)


def _cell(found: dict[str, float]) -> str:
    return f"{percent(found['mean'])} [{percent(found['low'])}, {percent(found['high'])}]"
