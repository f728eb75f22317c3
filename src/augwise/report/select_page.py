"""The page of a selection: what images score, who was chosen, and the images at both ends of every class."""

from __future__ import annotations

from typing import Any

from .charts import Chart, Series, histogram, line_chart
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, percent

_TOLD = {"data", "split", "run", "measure", "rule", "fractions", "seed", "out", "quiet", "subset", "limit"}
_MEANS = {
    "cv": (
        "The image keeps its share while other images are mixed into it, again and again. The score is the deviation "
        "of its loss over those mixes divided by their mean: high for images that are easy under some mixes and hard "
        "under others."
    ),
    "mean": "The mean loss while other images are mixed into the image: the highest are the hard images.",
    "std": "The deviation of the loss while other images are mixed into the image; it grows with the loss itself.",
    "random": "Drawn by the seed, without a look at the images: what every measure has to beat.",
    "k-center": (
        "The order in which a greedy search takes images, always the one farthest from all taken before, in the "
        "features of the network: the higher, the earlier."
    ),
    "mc-dropout": "The entropy of the network’s mean output over passes with dropout, in nats.",
    "el2n": "The norm of the error of young networks: about how much an image still changes a network.",
    "forgetting": "How often the image was right after one epoch and wrong after the next; never right counts most.",
}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:
    """The page of what the verb ``select`` left in its folder."""
    config, chosen = results["config"], results["chosen"]
    return Page(
        "select",
        title=results["title"],
        version=results["augwise"],
        subtitle=_images(results["data"]),
        facts=_facts(results),
        settings=settings_as_facts({k: v for k, v in config.items() if k not in _TOLD}),
        words={
            "sentence": _sentence(results),
            "means": _MEANS[config["measure"]],
            "chosen": chosen,
            "fractions": [entry["fraction"] for entry in chosen],
            "per_class": [row for row in results["per_class"] if row["images"]],
            "charts": _charts(results),
            "groups": gallery["groups"],
            "score": lambda value: f"{value:.4g}".replace("-", "−"),
        },
    )


def _images(data: dict[str, Any]) -> str:
    images = counted(data["images"], f"{data['split']} image")
    return f"{data['name']}, {images}, {counted(data['classes'], 'class', 'classes')}"


def _sentence(results: dict[str, Any]) -> str:
    config, first = results["config"], results["chosen"][0]
    which = {"top": "highest", "bottom": "lowest", "interval": "evenly spaced"}[config["rule"]]
    each = " of each class" if config["per_class"] else ""
    images, share = results["data"]["images"], percent(first["fraction"], 0)
    return f"{first['images']} of {images} images, {share} %{each}: the {which} by {results['measure']}."


def _charts(results: dict[str, Any]) -> list[Chart]:
    found, measure = results["histogram"], results["measure"]
    share = percent(results["chosen"][0]["fraction"], 0)
    charts = [
        histogram("All images", found["edges"], found["counts"], measure, mean=results["scores"]["mean"]),
        histogram(f"The {share} % that were chosen", found["edges"], found["chosen"], measure, style="guarded"),
    ]
    points = results["points"]
    if points is not None:
        series = [
            Series(name, [(a, b) for a, b in points[key]], style, joined=False)
            for name, key, style in (("not chosen", "others", "baseline"), ("chosen", "chosen", "guarded"))
            if points[key]
        ]
        charts.append(
            line_chart("Mean and deviation of each image’s losses", series, "mean loss, nats", "deviation, nats")
        )
    return charts


def _facts(results: dict[str, Any]) -> Facts:
    config, data = results["config"], results["data"]
    facts = [("command", results["command"])] if results["command"] else []
    facts += [("data", _images(data)), *left_out_facts(data)]
    facts += [("measure", f"{config['measure']}: {results['measure']}"), ("rule", config["rule"])]
    facts += settings_as_facts({k: config[k] for k in ("run", "subset", "limit")})
    facts += [("seed", str(config["seed"])), ("time of the last call", duration(results["seconds"]))]
    return [*facts, *environment_facts(results["environment"])]
