"""The page of erasure fidelity: which maps predict what erasing costs, on which network, for how much; pictures."""

from __future__ import annotations

from typing import Any

from ..analysis.fidelity_result import notes, ranked
from .charts import Chart, Estimate, Series, extent, forest, line_chart
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, interval, number, seconds

_TOLD = {"data", "limit", "run", "seed", "split", "out", "quiet"}  # stand among the facts, or are the machine's
_PRIORS = ("centre", "uniform", "area")


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what `augwise.fidelity` found."""
    maps, networks = ranked(results), results["networks"]
    return Page(
        "fidelity",
        title=results["title"],
        version=results["augwise"],
        subtitle=_images(results["data"]),
        facts=_facts(results),
        settings=settings_as_facts({k: v for k, v in results["config"].items() if k not in _TOLD}),
        words={
            "headline": _headline(maps, networks),
            "points": _points(maps, networks),
            "networks": networks,
            "windows": results["windows"],
            "maps": [entry | {"takes": seconds(entry["seconds_per_image"])} for entry in maps],
            "clipped": results["config"]["window"] == "clipped",
            "charts": _charts(maps, networks),
            "notes": notes(results)[1:-1],
            "typical": results["typical"],
            "scatters": _scatters(maps, results["typical"]),
            "groups": [_in_order(group, maps) for group in gallery["groups"]],
            "interval": interval,
        },
    )


def _images(data: dict[str, Any]) -> str:
    height, width = data["size"]
    images = counted(data["images"], f"{data['split']} image")
    return f"{data['name']}, {images} of {height}×{width} px, {counted(data['classes'], 'class', 'classes')}"


def _headline(maps: list[dict[str, Any]], networks: list[dict[str, Any]]) -> str:
    best = maps[0]
    found = interval(best["on"][0]["fidelity"])
    said = f"{best['name']} predicts best what erasing costs: {found} on {networks[0]['name']}"
    others = [f"{interval(on['fidelity'])} on {on['network']}" for on in best["on"][1:]]
    return said + (f", whose maps these are; {' and '.join(others)}" if others else "") + "."


def _points(maps: list[dict[str, Any]], networks: list[dict[str, Any]]) -> list[str]:
    """Who beats the centre prior, and whose maps know more of an image than another image's map does."""
    judged = [entry for entry in maps if entry["name"] not in _PRIORS]
    said = []
    for r, network in enumerate(networks):
        apart = {entry["name"]: _side(entry["on"][r]["over_centre"]) for entry in judged}
        above, below = ([name for name, side in apart.items() if side == s] for s in (1, -1))
        unsure = [name for name, side in apart.items() if side == 0]
        verb = "predict" if len(above) > 1 else "predicts"
        parts = [f"{', '.join(above) or 'nothing'} {verb} better than the centre prior on {network['name']}"]
        parts += [f"{', '.join(below)} worse"] if below else []
        parts += [f"of {', '.join(unsure)} the interval of the difference holds 0"] if unsure else []
        said.append("; ".join(parts) + ".")
    blind = [e["name"] for e in judged if _side(e["on"][0]["over_another"]) < 1]
    if blind:
        said.append(f"{', '.join(blind)}: not measurably better than the same kind of map of another image.")
    return said


def _side(found: dict[str, Any] | None) -> int:
    """1 or −1 where the interval lies on one side of 0."""
    if found is None or found["low"] is None:
        return 0
    return int(found["low"] > 0) - int(found["high"] < 0)


def _charts(maps: list[dict[str, Any]], networks: list[dict[str, Any]]) -> list[Chart]:
    """A forest of intervals for every network, all with the same axis, in the same order."""
    forests = [[_row(entry, entry["on"][r]["fidelity"]) for entry in maps] for r in range(len(networks))]
    lows, highs = zip(*(extent(rows) for rows in forests), strict=True)
    span = min(lows), max(highs)
    made = [f"On {n['name']}" + (", which made the maps" if not r else "") for r, n in enumerate(networks)]
    return [
        forest(title, [("", rows)], "mean rank correlation over images", span=span)
        for title, rows in zip(made, forests, strict=True)
    ]


def _row(entry: dict[str, Any], found: dict[str, Any]) -> Estimate:
    style = "baseline" if entry["name"] in _PRIORS else "guarded"
    return Estimate(entry["name"], found["mean"], found["low"], found["high"], style, style != "baseline")


def _scatters(maps: list[dict[str, Any]], typical: dict[str, Any]) -> list[Chart]:
    """Of one image, for every map: the share of it in each window, and what erasing that window costs."""
    drops = [drop for points in typical["points"].values() for _, drop in points]
    made = []
    for entry in maps:
        points = [(100 * share, drop) for share, drop in typical["points"][entry["name"]]]
        style = "baseline" if entry["name"] in _PRIORS else "guarded"
        title = f"{entry['name']}: {number(typical['fidelity'][entry['name']])}"
        series = Series(entry["name"], points, style, joined=False)
        label, span = "% of the map’s importance in the window", (min(drops), max(drops))
        made.append(line_chart(title, [series], label, "drop, nats", y_span=span))
    return made


def _in_order(group: dict[str, Any], maps: list[dict[str, Any]]) -> dict[str, Any]:
    """The pictures in the order of the table."""
    place = {entry["name"]: i for i, entry in enumerate(maps)}
    examples = [e | {"maps": sorted(e["maps"], key=lambda m: place[m["name"]])} for e in group["examples"]]
    return group | {"examples": examples}


def _facts(results: dict[str, Any]) -> Facts:
    config, data, windows = results["config"], results["data"], results["windows"]
    facts = [("command", results["command"])] if results["command"] else []
    facts += [("data", _images(data)), *left_out_facts(data)]
    facts.append(
        (
            "windows",
            f"{windows['count']} per image, {windows['length']} px, {windows['window']}, "
            f"{100 * windows['area']:.0f} % of the image each, filled with {windows['fill']}",
        )
    )
    facts += [(f"network {n['name']}", _network(n)) for n in results["networks"]]
    facts += [("seed", str(config["seed"])), ("time of the last call", duration(results["seconds"]))]
    return [*facts, *environment_facts(results["environment"])]


def _network(network: dict[str, Any]) -> str:
    about = [f"{key} {network[key]}" for key in ("model", "epochs", "limit") if network.get(key) is not None]
    about += [f"seed {network['seed']}"] if "seed" in network else []
    about += ["trained here"] if network.get("trained_here") else []
    about += [f"right on {network['right']} of {network['images']}"]
    if network["seconds_per_image"] is not None:
        about.append(f"{seconds(network['seconds_per_image'])} per image for its drops")
    return ", ".join([network["where"], *about])
