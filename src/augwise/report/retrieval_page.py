"""The page of a re-identification: how well a gallery is ranked, and whose images are found worst."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .charts import Chart, histogram
from .page import Facts, Page, environment_facts, left_out_facts
from .text import counted, percent, short

RANKS = (1, 5, 10)
_HARDEST = 20
_EDGES = [10 * i for i in range(11)]


def page(results: dict[str, Any]) -> Page:
    """The page of what `augwise.evaluate` returned of a run with objective=reid."""
    data, found, identities = results["data"], results["retrieval"], results["identities"]
    hardest = sorted(identities, key=lambda row: (row["map"], row["identity"]))[:_HARDEST]
    return Page(
        "retrieval",
        title=f"Re-identification: {data['name']}, {data['split']} split",
        version=results.get("augwise", "0.1.0"),
        subtitle=f"{results['model']}, {counted(found['queries'], 'query', 'queries')} of {len(identities)} identities",
        facts=_facts(results),
        words={
            "sentence": sentence(found),
            "left_out": left_out(found),
            "tiles": tiles(found),
            "ways": [
                (words, [percent(results[name][key], 2) for key in ("map", *(f"rank_{k}" for k in RANKS))])
                for name, words in (("retrieval", "by distance"), ("reranked", "by k-reciprocal neighbours"))
                if name in results
            ],
            "charts": _charts(identities),
            "hardest": [row | {"map": percent(row["map"]), "rank_1": percent(row["rank_1"], 0)} for row in hardest],
            "count": len(identities),
        },
    )


def sentence(found: Mapping[str, Any]) -> str:
    """The result in a sentence."""
    return (
        f"For {percent(found['rank_1'], 2)} % of {found['queries']} queries the nearest of {found['gallery']} gallery "
        f"images is of the same identity; mean average precision {percent(found['map'], 2)} %."
    )


def left_out(found: Mapping[str, Any]) -> str:
    """How many queries do not count; empty if there is none."""
    n = found["left_out"]
    return f"{counted(n, 'query', 'queries')} without a match by another camera left out." if n else ""


def tiles(found: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """mAP and ranks."""
    ranks = [
        (f"rank {k}", f"{percent(found[f'rank_{k}'], 2)} %", f"of queries with a match among the first {k}")
        for k in RANKS
    ]
    return [("mAP", f"{percent(found['map'], 2)} %", "mean average precision"), *ranks]


def _charts(identities: list[dict[str, Any]]) -> list[Chart]:
    counts = [0.0] * (len(_EDGES) - 1)
    for row in identities:
        counts[min(int(10 * row["map"]), len(counts) - 1)] += 1
    return [histogram("How well each identity is found", _EDGES, counts, "average precision, %", y_label="identities")]


def _facts(results: dict[str, Any]) -> Facts:
    data, found = results["data"], results["retrieval"]
    limit = f", {data['limit']} images drawn" if data.get("limit") else ""
    facts = [
        ("data", f"{data['name']}, split {data['split']}{limit}"),
        ("queries and gallery", f"{found['queries']} and {found['gallery']} images"),
        *left_out_facts(data),
        ("model", results["model"]),
        ("weights", short(results["checkpoint"])),
    ]
    if results.get("run"):
        facts.append(("training run", results["run"]))
    if "reranked" in results:
        facts.append(("re-ranking", ", ".join(f"{k} {v:g}" for k, v in results["reranked"]["how"].items())))
    return [*facts, *environment_facts(results["environment"])]
