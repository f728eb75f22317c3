"""The page of a one-pass network: how faithful its maps are on images that it has not seen, and what they look like."""

from __future__ import annotations

from typing import Any

from .page import Facts, Page, environment_facts, settings_as_facts
from .text import duration, number, percent

_WORDS = {"one_pass": "one-pass network", "centre": "centre prior", "occlusion": "occlusion"}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what the verb ``distil`` left in its folder."""
    data, network, fidelity = results["data"], results["network"], results["fidelity"]
    rows = [{**row, "name": _WORDS.get(row["estimator"], row["estimator"])} for row in fidelity["rows"]]
    settings = results["config"]["settings"]
    return Page(
        "distil",
        title=f"One-pass maps: {data['name']}",
        version=results["augwise"],
        subtitle=f"trained for {network['objective']} on {data['train']} images, measured on {data['held_out']} others",
        facts=_facts(results),
        settings=settings_as_facts(settings),
        words={
            "sentence": _sentence(rows),
            "tiles": _tiles(results, rows),
            "rows": rows,
            "networks": list(rows[0]["on"]),
            "windows": fidelity["windows"],
            "length": percent(fidelity["length"]),
            "images": fidelity["images"],
            "right": percent(results["classifier"]["right"]),
            "groups": gallery["groups"],
        },
    )


def _sentence(rows: list[dict[str, Any]]) -> str:
    """The first network's numbers in words: is the map better than none that knows the image, and by how much."""
    first = {row["estimator"]: next(iter(row["on"].values())) for row in rows}
    own, prior = first["one_pass"], first["centre"]
    known = own["low"] is not None and prior["low"] is not None
    if known and own["low"] > prior["high"]:
        verdict = "knows more than where objects usually stand"
    elif known and own["high"] < prior["low"]:
        verdict = "is worse than a fixed spot at the centre: do not guard by it"
    else:
        verdict = "cannot be told from a fixed spot at the centre: train it longer, or on more images"
    return (
        f"On new images the network {verdict}: erasure fidelity {number(own['mean'])}, centre prior "
        f"{number(prior['mean'])}, occlusion {number(first['occlusion']['mean'])}."
    )


def _tiles(results: dict[str, Any], rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    own = rows[0]
    tiles = [("erasure fidelity", number(s["mean"]), f"on {name}") for name, s in own["on"].items()]
    tiles.append(("parameters", f"{results['network']['parameters'] / 1e6:.2f} million", "of the network"))
    tiles.append(("time per map", f"{1000 * own['seconds_per_image']:.2g} ms", "as measured here"))
    if results["seconds"]:
        tiles.append(("training", duration(results["seconds"]), "measuring included"))
    return tiles


def _facts(results: dict[str, Any]) -> Facts:
    data, network, config = results["data"], results["network"], results["config"]
    facts = [("command", results["command"])] if results.get("command") else []
    facts.append(("data", f"{data['name']}, {data['train']} images, {len(data['classes'])} classes"))
    asked = {k: config.get(k) for k in ("data", "split", "limit", "size", "run", "others", "held_out")}
    facts += settings_as_facts(asked, "asked for: ")
    facts += [(k, str(network[k])) for k in ("file", "fingerprint", "classifier")]
    return [*facts, *environment_facts(results["environment"])]
