"""The page of features and their classes: the plane of every run, and how far classes are apart."""

from __future__ import annotations

from typing import Any

from .analyse_page import Section, Table, analysis_page, scientific
from .charts import Cloud, scatter
from .page import Page
from .text import number, percent

_COLUMNS = [
    "run", "accuracy, %", "Dunn index", "with centroids", "by diameter", "silhouette", "closest", "mean within",
]  # fmt: skip


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - all pictures are charts
    """The page of what `augwise.analyse` found of features."""
    return analysis_page(results, _headline(results["runs"]), _points(results), [_planes(results), _numbers(results)])


def _headline(runs: list[dict[str, Any]]) -> str:
    known = sorted((r for r in runs if r["features"]["dunn"] is not None), key=lambda r: -r["features"]["dunn"])
    if not known:
        return "Classes of which there are too few images have no distances."
    told = ", ".join(f"{run['name']} {scientific(run['features']['dunn'])}" for run in known)
    return f"Dunn index of the features, higher where classes keep further apart: {told}."


def _points(results: dict[str, Any]) -> list[str]:
    return [
        "The index is the smallest distance of two images of different classes over the largest mean distance within a "
        "class (IPF-RDA, Eq. 13). One pair of images decides its top: it falls as more images are looked at, and says "
        "less than its digits. The silhouette is a mean over all images, from −1 to 1.",
        "t-SNE keeps neighbours together and nothing else: sizes of clouds, and distances between them, mean little, "
        "and so does an index of its plane. Those of the features are of the network.",
        f"Perplexity {results['config']['perplexity']:g}.",
    ]


def _planes(results: dict[str, Any]) -> Section:
    charts = []
    for run in results["runs"]:
        clouds = [
            Cloud(name, [p for p, y in zip(run["points"], results["labels"], strict=True) if y == c])
            for c, name in enumerate(results["classes"])
        ]
        charts.append(scatter(run["name"], [cloud for cloud in clouds if cloud.points]))
    text = "Each image’s features, laid out in the plane by t-SNE. Directions and units have no meaning."
    return Section("plane", "In the plane", [text], charts)


def _numbers(results: dict[str, Any]) -> Section:
    tables = []
    for where, caption in (("features", "Of the features"), ("plane", "Of the plane of t-SNE, as IPF-RDA’s Figure 4")):
        rows = [
            [
                run["name"],
                percent(run["accuracy"]),
                *(scientific(run[where][key]) for key in ("dunn", "dunn_centroids", "dunn_diameter")),
                number(run[where]["silhouette"]),
                *(scientific(run[where][key]) for key in ("closest", "mean_within")),
            ]
            for run in results["runs"]
        ]
        tables.append(Table(f"{caption}.", _COLUMNS, rows))
    notes = [
        "With centroids: distance between the means of classes, in place of that of the closest images. By diameter: "
        "over the largest distance within a class, as the index was first given.",
        "Features are compared within a network: scaling them changes distances, but none of the indices.",
    ]
    return Section("numbers", "In numbers", (), (), tables, notes)
