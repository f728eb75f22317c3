"""The page of an architecture search: the two cells, how the search went, and how large networks made of them are."""

from __future__ import annotations

import math
from typing import Any

from .cells import cell_drawing
from .charts import Chart, Series, line_chart
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import counted, duration, percent

_TOLD = {"data", "split", "subset", "limit", "seed", "data_seed", "epochs", "warmup_epochs", "batch_size", "out"}
_MOST, _MOST_EDGES = math.log(8), sum(math.log(states) for states in range(2, 6)) / 4
_TOLD |= {"quiet", "checkpoint_steps", "checkpoint_seconds", "channels", "layers", "partial"}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - a search has no pictures
    """The page of what `augwise.training.search.search` left in its folder."""
    data, config = results["data"], results["config"]
    return Page(
        "search",
        title="Architecture search",
        version=results["augwise"],
        subtitle=f"{data['name']}, {counted(data['images'], 'image')}, {counted(config['epochs'], 'epoch')}",
        facts=_facts(results),
        settings=settings_as_facts({k: v for k, v in config.items() if k not in _TOLD}),
        words={
            "sentence": _sentence(results),
            "tiles": _tiles(results),
            "cells": [_cell(results, kind) for kind in ("normal", "reduction")],
            "charts": _charts(results),
            "networks": results["networks"],
            "skips": _skips(results["genotype"]["normal"]),
            "equal": _equal(config),
            "undecided": UNDECIDED if undecided(results) else "",
        },
    )


def _cell(results: dict[str, Any], kind: str) -> Chart:
    title, cell = f"{kind.capitalize()} cell", results["genotype"][kind]
    return cell_drawing(title, cell, kind == "reduction", results["strengths"][kind])


def _sentence(results: dict[str, Any]) -> str:
    data, subset = results["data"], results["data"]["subset"]
    text = f"Two cells, found in {duration(results['seconds'])} on {counted(data['images'], 'image')}"
    if subset is None:
        return f"{text}."
    measure = (subset.get("about") or {}).get("measure")
    chosen = {"random": "drawn by chance", None: "of a subset file"}.get(measure, f"chosen by {measure}")
    return f"{text} {chosen}."


def _tiles(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    last, data = results["curve"][-1], results["data"]
    days = results["seconds"] / 86400
    tiles = [("search", duration(results["seconds"]), f"{days:.3f} days" if days >= 0.001 else "on one device")]
    tiles.append(("weights’ half", f"{percent(last['train_accuracy'])} %", f"{data['halves'][0]} images, last epoch"))
    if "architecture_accuracy" in last:
        note = f"{data['halves'][1]} images, last epoch"
        tiles.append(("mixture’s half", f"{percent(last['architecture_accuracy'])} %", note))
    for size in results["networks"]:
        note = f"parameters; {size['multiply_adds'] / 1e6:.0f} million multiply-adds"
        tiles.append((f"network at {size['image'][1]} px", f"{size['parameters'] / 1e6:.2f} M", note))
    return tiles


def _charts(results: dict[str, Any]) -> list[Chart]:
    curve = results["curve"]
    if len(curve) < 2:
        return []

    def series(column: str, name: str, style: str = "plain", unit: float = 1) -> Series:
        points = [(row["epoch"], unit * row[column]) for row in curve if column in row]
        return Series(name, points, style, marked=len(points) == 1, dashed=style == "guarded")

    def chart(title: str, both: list[Series], label: str, most: float | None = None) -> list[Chart]:
        found = [s for s in both if s.points]
        span = None if most is None else (most - 0.05, most)  # or a hair's breadth would fill the chart
        return [line_chart(title, found, "epoch", label, integers=True, y_span=span)] if found else []

    half = (("weights’ half", "plain"), ("mixture’s half", "guarded"))
    kinds = (("normal", "plain"), ("reduction", "guarded"))
    (a, plain), (b, other) = half
    return [
        *chart("Loss", [series("train_loss", a, plain), series("architecture_loss", b, other)], "cross-entropy, nats"),
        *chart(
            "Accuracy",
            [series("train_accuracy", a, plain, 100), series("architecture_accuracy", b, other, 100)],
            "accuracy, %",
        ),
        *(
            one
            for name, what, most in (("alpha", "operations", _MOST), ("beta", "edges", _MOST_EDGES))
            for one in chart(
                f"How undecided {what} are",
                [series(f"{name}_entropy_{kind}", kind, style) for kind, style in kinds],
                "entropy, nats",
                most,
            )
        ),
    ]


def as_searched(results: dict[str, Any]) -> str:
    """The options that make ``augwise train`` train a network as large as the supernet, on images of its size."""
    config = results["config"]
    size = "" if config["size"] is None else f"--size {config['size']} "
    return f"{size}--model darts_c{config['channels']}_l{config['layers']}:{config['out']}/genotype.json --drop-path 0"


def _equal(config: dict[str, Any]) -> str:
    """What the entropies are where nothing is preferred."""
    beside = f", and {_MOST_EDGES:.2f} for edges" if config["edge_normalisation"] else ""
    return f"{_MOST:.2f} for operations{beside}"


UNDECIDED = (
    "The mixture has hardly moved: these cells are mostly what chance began with. Give more epochs, smaller batches or "
    "a larger --architecture-lr."
)


def undecided(results: dict[str, Any]) -> bool:
    """Whether the entropies of the operations are still within a hundredth of a nat of the largest."""
    last = results["curve"][-1]
    return min(last[f"alpha_entropy_{kind}"] for kind in ("normal", "reduction")) > _MOST - 0.01


def _skips(cell: list[list[list[Any]]]) -> int:
    """Edges of a cell that compute nothing; a search that goes on too long collapses into them."""
    return sum(operation == "skip_connect" for edges in cell for operation, _ in edges)


def _facts(results: dict[str, Any]) -> Facts:
    config, data = results["config"], results["data"]
    facts = [("command", results["command"])] if results["command"] else []
    halves = f"{data['halves'][0]} for the weights, {data['halves'][1]} for the mixture"
    facts += [("data", f"{data['name']}, {config['split']}: {data['images']} images, {halves}"), *left_out_facts(data)]
    if data["subset"] is not None:
        about = ", ".join(f"{k} {v}" for k, v in (data["subset"].get("about") or {}).items())
        facts.append(("subset", f"{config['subset']}: {data['subset']['images']} images; {about}"))
    facts += settings_as_facts({"limit": config["limit"]})
    facts += [
        ("epochs", f"{config['epochs']}, of which {config['warmup_epochs']} for the weights alone"),
        (
            "supernet",
            f"{config['layers']} cells, {config['channels']} channels at first, one in {config['partial']} mixed; "
            f"{results['supernet']['parameters'] / 1e6:.2f} million parameters",
        ),
        ("images per step", str(config["batch_size"])),
        ("seed", f"{config['seed']}; of the halves {config['data_seed']}"),
        ("precision", "fp32" if results["precision"] == "no" else results["precision"]),
    ]
    facts.insert(1, ("train its network", f"augwise train --data {config['data']} {as_searched(results)}"))
    return [*facts, *environment_facts(results["environment"])]
