"""The page of an evaluation: accuracy by class, what is taken for what, and how far confidence can be believed."""

from __future__ import annotations

from typing import Any

from ..analysis.statistics import wilson
from . import retrieval_page
from .charts import Chart, Series, histogram, line_chart
from .page import Facts, Page, environment_facts, left_out_facts
from .text import between, percent, short
from .train_page import class_forest, class_rows

_MATRIX = 20  # classes up to which the whole confusion matrix is readable
_COMMONEST = 20


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - an evaluation has no pictures
    """The page of what `augwise.evaluate` returned."""
    if "retrieval" in results:
        return retrieval_page.page(results)
    data, classes = results["data"], results["per_class"]
    return Page(
        "evaluate",
        title=f"Evaluation: {data['name']}, {data['split']} split",
        version=results.get("augwise", "0.1.0"),
        subtitle=f"{results['model']}, {results['images']} images, {len(classes)} classes",
        facts=_facts(results),
        words={
            "sentence": f"{percent(results['accuracy'], 2)} % of {results['images']} images are classified correctly.",
            "tiles": _tiles(results),
            "classes": class_rows(classes),
            "forest": class_forest(classes),
            "drawn": 20 if len(classes) > 20 else None,
            "names": [row["class"] for row in classes],
            "matrix": _matrix(results["confusion"]) if len(classes) <= _MATRIX else None,
            "confusions": commonest(results["confusion"], [row["class"] for row in classes]),
            "calibration": _calibration(results.get("calibration") or []),
            "trust": _trust(results),
            "ece": percent(results["ece"], 2),
        },
    )


def commonest(confusion: list[list[int]], names: list[str], most: int = _COMMONEST) -> list[dict[str, Any]]:
    """The pairs (class, taken for) with most images off the diagonal: their number and share of the class."""
    n = len(names)
    pairs = [(confusion[i][j], i, j) for i in range(n) for j in range(n) if i != j and confusion[i][j]]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [
        {"class": names[i], "seen": names[j], "images": count, "share": count / sum(confusion[i])}
        for count, i, j in pairs[:most]
    ]


def _matrix(confusion: list[list[int]]) -> list[list[dict[str, Any]]]:
    """Cells with their share of the class; errors are tinted from the largest of them, what is right by its share."""
    shares = [[count / max(1, sum(row)) for count in row] for row in confusion]
    errors = [s for i, row in enumerate(shares) for j, s in enumerate(row) if i != j]
    worst = max(errors, default=0) or 1
    return [
        [
            {"count": count, "right": i == j, "tint": round(shares[i][j] if i == j else shares[i][j] / worst, 3)}
            for j, count in enumerate(row)
        ]
        for i, row in enumerate(confusion)
    ]


def _calibration(bins: list[dict[str, float]]) -> list[Chart]:
    """Reliability diagram with Wilson's intervals, and how many images there are at each confidence."""
    if not bins:
        return []
    bars = [wilson(round(b["accuracy"] * b["images"]), int(b["images"])) for b in bins]
    measured = Series(
        "measured",
        [(100 * b["confidence"], 100 * b["accuracy"]) for b in bins],
        "plain",
        [None if bar is None else (100 * bar[0], 100 * bar[1]) for bar in bars],
    )
    right = Series("as it should be", [(0, 0), (100, 100)], "baseline", marked=False, dashed=True)
    step = bins[0]["high"] - bins[0]["low"]
    edges = [100 * i * step for i in range(round(1 / step) + 1)]
    counts = [0.0] * (len(edges) - 1)
    for b in bins:
        counts[min(round(b["low"] / step), len(counts) - 1)] = b["images"]
    return [
        line_chart("Accuracy over confidence", [right, measured], "confidence, %", "accuracy, %"),
        histogram("How confident the classifier is", edges, counts, "confidence, %"),
    ]


def _trust(results: dict[str, Any]) -> str:
    bins = results.get("calibration") or []
    if not bins:
        return ""
    mean = sum(b["confidence"] * b["images"] for b in bins) / sum(b["images"] for b in bins)
    gap = mean - results["accuracy"]
    if abs(gap) < 0.01:
        return f"On average it is {percent(mean)} % confident and {percent(results['accuracy'])} % right: well matched."
    word = "too confident" if gap > 0 else "too cautious"
    return f"On average it is {percent(mean)} % confident but {percent(results['accuracy'])} % right: {word}."


def _tiles(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    interval = wilson(round(results["accuracy"] * results["images"]), results["images"])
    note = "" if interval is None else f"95 %: {between(interval, 2)}"
    given = [row for row in results["per_class"] if row["accuracy"] is not None]
    worst = min(given, key=lambda row: row["accuracy"])
    more = []
    if results.get("auc") is not None:
        more.append(("AUC", f"{results['auc']:.4f}", "one class against the others, mean"))
    if results.get("precision") is not None:
        more.append(("precision", f"{percent(results['precision'], 2)} %", "mean over classes"))
    return [
        ("accuracy", f"{percent(results['accuracy'], 2)} %", note),
        (
            "mean over classes",
            f"{percent(sum(row['accuracy'] for row in given) / len(given), 2)} %",
            "each class counts alike",
        ),
        ("hardest class", f"{percent(worst['accuracy'])} %", f"“{worst['class']}”"),
        *more,
        ("calibration error", f"{percent(results['ece'], 2)} %", "expected, ECE"),
        ("loss", f"{results['loss']:.4f}", "cross-entropy, nats"),
    ]


def _facts(results: dict[str, Any]) -> Facts:
    data = results["data"]
    limit = f", {data['limit']} images drawn" if data.get("limit") else ""
    facts = [
        ("data", f"{data['name']}, split {data['split']}{limit}: {results['images']} images"),
        *left_out_facts(data),
        ("model", results["model"]),
        ("weights", short(results["checkpoint"])),
    ]
    if results.get("run"):
        facts.append(("training run", results["run"]))
    return [*facts, *environment_facts(results["environment"])]
