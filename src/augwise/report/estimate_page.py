"""The page of an importance store: did the estimator succeed, how sparse and how centred are its maps, what of each
class, and a few of them as pictures."""

from __future__ import annotations

from typing import Any

from .charts import Chart, histogram
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, percent, share, short


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what the verb ``estimate`` left in the store's folder, or of the store alone."""
    store, method = results["store"], results["method"]
    return Page(
        "estimate",
        title=f"Importance maps: {results['name']}",
        version=results["augwise"],
        subtitle=f"{store['method']} on {results['data']['name']}, {store['done']} of {store['rows']} images",
        facts=_facts(results),
        settings=settings_as_facts({k: v for k, v in method.items() if k != "name"}),
        words={
            "sentence": _sentence(store),
            "points": _remarks(store),
            "tiles": map_tiles(store) + _work(results.get("computed")),
            "charts": _charts(store),
            **class_words(store),
            "looked_at": store["looked_at"],
            "mean_map": gallery["mean_map"],
            "groups": gallery["groups"],
        },
    )


def class_words(store: dict[str, Any], at: dict[str, str] | None = None) -> dict[str, Any]:
    """What ``map_classes.html.j2`` needs; at: anchors of classes that the table links to."""
    rows = [row | {"at": (at or {}).get(row["class"])} for row in store["per_class"]]
    return {"classes": rows, "sparse": store["sparse"]}


def map_tiles(store: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What a reader of `analysis.map_statistics` wants first."""
    tiles = [("maps", f"{store['done']}", f"of {store['rows']} images, {store['height']}×{store['width']}")]
    if store.get("success_rate") is not None:
        tiles.append(("attack succeeded", f"{percent(store['success_rate'])} %", f"{store['failed']} failed"))
    if store["key_points"]:
        tiles.append(("key points", f"{store['key_points']['median']:.0f}", "pixels, median"))
    if store["half_area"]:
        tiles.append(("half the importance", f"{percent(store['half_area']['median'])} %", "of the pixels, median"))
    return tiles


def _sentence(store: dict[str, Any]) -> str:
    if store["done"] < store["rows"]:
        return f"Unfinished: {store['done']} of {store['rows']} maps are done; the same command goes on."
    if store["sparse"] and store.get("success_rate") is not None:
        points = store["key_points"]["median"] if store["key_points"] else 0
        return (
            f"The attack fooled the classifier on {100 * store['success_rate']:.1f} % of {store['done']} images, "
            f"changing {points:.0f} of {store['height'] * store['width']} pixels in the median."
        )
    return f"All {store['done']} images have their map."


def _remarks(store: dict[str, Any]) -> list[str]:
    remarks = []
    if store["sparse"] and store.get("success_rate") is not None and store["success_rate"] < 0.9:
        remarks.append(
            f"{store['failed']} attacks failed, and their maps say little: a larger epsilon or more steps would help."
        )
    if store["half_area"]:
        half = store["half_area"]["median"]
        remarks.append(f"Half of an image’s importance lies in {share(half)} of its pixels, in the median.")
    if store["centre"] is not None:
        text = f"The middle quarter of the area holds {share(store['centre'])} of the importance"
        if store["centre"] > 0.4:
            text += ": the evidence is centred, so a plain prior on the centre is hard to beat. Compare with it."
        else:
            text += " (25 % if it lay anywhere)."
        remarks.append(text)
    return remarks


def _work(computed: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    if not computed or not computed["images"]:
        return []
    rate = computed["images"] / max(computed["seconds"], 1e-9)
    return [("time", duration(computed["seconds"]), f"{counted(computed['images'], 'image')}, {rate:.3g} a second")]


def _charts(store: dict[str, Any]) -> list[Chart]:
    charts = []
    if store["key_points"]:
        found = store["key_points"]
        charts.append(histogram("Key points of an image", found["edges"], found["counts"], "pixels changed"))
    if store["half_area"]:
        found = store["half_area"]
        edges = [100 * edge for edge in found["edges"]]
        title = "Concentration: pixels that hold half of the importance"
        charts.append(histogram(title, edges, found["counts"], "% of the image’s pixels", style="guarded"))
    return charts


def _facts(results: dict[str, Any]) -> Facts:
    data, store = results["data"], results["store"]
    facts = [("data", f"{data['name']}, {store['rows']} images"), *left_out_facts(data)]
    config = results.get("config") or {}
    asked = {k: config.get(k) for k in ("data", "split", "limit", "size", "run", "model", "checkpoint")}
    facts += settings_as_facts(asked, "asked for: ")
    facts += [("method", store["method"]), ("seed", short(results["seed"]))]
    return [*facts, *environment_facts(results["environment"])]
