"""The page of where networks look: activation maps side by side, how alike they are, and what they cover."""

from __future__ import annotations

from typing import Any

from .analyse_page import Section, Table, analysis_page
from .charts import Chart, Estimate, forest
from .page import Page
from .strips import strips
from .text import number, percent


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what `augwise.analyse` found of class activation maps."""
    sections = [_numbers(results), *_pairs(results), *_pictures(gallery)]
    return analysis_page(results, _headline(results), _points(results), sections)


def _headline(results: dict[str, Any]) -> str:
    runs = results["runs"]
    known = [run for run in runs if run["on_important"] is not None]
    if known:
        known.sort(key=lambda run: -run["on_important"])
        told = ", ".join(f"{run['name']} {percent(run['on_important'])} %" for run in known)
        return (
            f"On the {percent(known[0]['area'])} % of the pixels that matter most by the store lie of the maps: {told}."
        )
    pairs = [pair for pair in results["pairs"] if pair["alike"] is not None]
    if pairs:
        least = min(pairs, key=lambda pair: pair["alike"])
        a, b = least["runs"]
        return f"Least alike are the maps of {a} and {b}: their correlation is {number(least['alike'])}."
    return f"{runs[0]['name']} is right on {percent(runs[0]['accuracy'])} % of the images; its maps are shown below."


def _points(results: dict[str, Any]) -> list[str]:
    kinds = {run["kind"] for run in results["runs"]}
    points = []
    if "CAM" in kinds:
        points.append(
            "CAM: the network ends in a mean over places and one linear layer, so its map says exactly how much each "
            "place adds to the label’s logit, up to a constant; what speaks against the label is cut off."
        )
    if "Grad-CAM" in kinds:
        points.append("Grad-CAM: the network ends otherwise, so channels are weighed by their mean gradient.")
    if results["maps"] is not None:
        points.append(
            "The middle of a picture is both looked at and important. Mass on the important pixels of another image "
            "shows how much of the agreement that explains."
        )
    points.append("A map shows where the evidence stands, not that the network is right to use it.")
    return points


def _numbers(results: dict[str, Any]) -> Section:
    runs, mapped = results["runs"], results["maps"] is not None
    columns = ["run", "map", "accuracy, %", "empty maps, %", "covered, %"]
    rows = [
        [run["name"], run["kind"], *(percent(run.get(key)) for key in ("accuracy", "empty", "covers"))] for run in runs
    ]
    notes = [
        "A map is empty where no place speaks for the label.",
        "Covered: the share of the image where a map is at least half of its maximum.",
    ]
    charts: list[Chart] = []
    if mapped:
        columns += ["on important, %", "on another’s, %", "their area, %"]
        for run, row in zip(runs, rows, strict=True):
            row += [percent(run[key]) for key in ("on_important", "on_other", "area")]
        share = percent(results["config"]["share"], 0)
        notes.append(
            f"Mass on the {share} % most important pixels of the image, and of another image, by {results['maps']}; a "
            "map that looked nowhere in particular would have as much as their area."
        )
        known = [run for run in runs if run["on_important"] is not None]
        if known:
            groups = [
                ("its own important pixels", [_estimate(run, "on_important", "guarded") for run in known]),
                ("another image’s", [_estimate(run, "on_other", "control") for run in known]),
            ]
            charts = [forest("Mass on important pixels", groups, "% of the map", zero=None)]
    return Section("numbers", "In numbers", (), charts, [Table("Means over images.", columns, rows)], notes)


def _estimate(run: dict[str, Any], key: str, style: str) -> Estimate:
    return Estimate(run["name"], 100 * run[key], None, None, style)


def _pairs(results: dict[str, Any]) -> list[Section]:
    pairs = results["pairs"]
    if not pairs:
        return []
    rows = [[*pair["runs"], number(pair["alike"]), str(pair["images"])] for pair in pairs]
    told = "Mean correlation of two runs’ maps of the same image, over images where both vary."
    return [Section("alike", "How alike", (), (), [Table(told, ["run", "and", "correlation", "images"], rows)])]


def _pictures(gallery: dict[str, Any]) -> list[Section]:
    text = "Under each map what the run takes the image for, and how probable it finds that."
    groups = gallery.get("groups") or []
    return [Section("pictures", group["title"], [text], strips=strips(group["examples"])) for group in groups]
