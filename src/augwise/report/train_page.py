"""The page of a training run: how well, how it got there, and what exactly was run."""

from __future__ import annotations

from typing import Any

from ..analysis.statistics import wilson
from . import retrieval_page
from .charts import Chart, Estimate, Series, forest, line_chart
from .page import Facts, Page, environment_facts, left_out_facts, settings_as_facts
from .text import between, counted, duration, percent, short

_MOST = 20  # classes drawn; of more, the ten worst and the ten best
_MACHINE = {"out", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds"}
_KNOWN = {"epoch", "lr", "train_loss", "train_accuracy", "test_accuracy", "importance_erased", "seconds"}


def page(results: dict[str, Any], gallery: dict[str, Any]) -> Page:  # noqa: ARG001 - a training run has no pictures
    """The page of what `augwise.train` returned."""
    data, test = results["data"], results["test"]
    classes = results.get("per_class") or []
    return Page(
        "train",
        title=f"Training: {_method(results)}",
        version=results["augwise"],
        subtitle=f"{results['config']['model']} on {data['name']}, {data['train']} training images",
        facts=_facts(results),
        settings=settings_as_facts({k: v for k, v in results["config"].items() if k not in _MACHINE}),
        words={
            "sentence": _sentence(results),
            "tiles": _tiles(results),
            "charts": _charts(results["curve"]),
            "classes": class_rows(classes),
            "forest": class_forest(classes),
            "drawn": _MOST if len(classes) > _MOST else None,
            "tested_on": data["tested_on"],
            "also": [(name, percent(value)) for name, value in (results.get("also") or {}).items()],
            "curve": _curve(results["curve"]),
            "last": test["last_accuracy"],
        },
    )


def class_rows(classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Accuracy of each class with Wilson's interval as text, the worst first; those without images last."""
    rows = []
    for row in sorted(classes, key=lambda row: (row["accuracy"] is None, row["accuracy"] or 0)):
        rows.append(row | {"text": percent(row["accuracy"]), "interval": between(_interval(row))})
    return rows


def class_forest(classes: list[dict[str, Any]]) -> Chart | None:
    """Accuracy of each class with Wilson's interval, the worst first; of more than 20 classes the ends."""
    given = sorted((row for row in classes if row["accuracy"] is not None), key=lambda row: row["accuracy"])
    if not given:
        return None
    drawn = given if len(given) <= _MOST else given[: _MOST // 2] + given[-_MOST // 2 :]
    rows = []
    for row in drawn:
        interval = _interval(row)
        if interval is not None:
            low, high = interval
            rows.append(Estimate(row["class"], 100 * row["accuracy"], 100 * low, 100 * high, "plain"))
    whole = sum(row["accuracy"] * row["images"] for row in given) / sum(row["images"] for row in given)
    title = "Accuracy of each class; the line is that of all images"
    lows = [r.low for r in rows if r.low is not None]
    highs = [r.high for r in rows if r.high is not None]
    span = (min([*lows, 100 * whole]), max([*highs, 100 * whole]))
    return forest(title, [("", rows)], "accuracy, %", zero=100 * whole, span=span)


def _interval(row: dict[str, Any]) -> tuple[float, float] | None:
    return None if row["accuracy"] is None else wilson(round(row["accuracy"] * row["images"]), row["images"])


def _method(results: dict[str, Any]) -> str:
    """``Cutout(length=16, …)`` as a title: the names of the steps."""
    names = [step.split("(")[0].rpartition(".")[2] for step in results["steps"]]
    return " and ".join(names) if names else "crop and flip alone"


def _shared(config: dict[str, Any], flip: bool) -> str:
    """The crop and flip that every run with these settings has; older results know padded crops alone."""
    crop = f"crop padded by {config['crop_padding']}"
    if config.get("crop") == "resized":
        low, high = config["crop_scale"]
        crop = f"random resized crop of {low:g} to {high:g} of the area"
    return f"{crop}{', flip' if flip else ''}"


def _sentence(results: dict[str, Any]) -> str:
    if "retrieval" in results:
        found = results["retrieval"]
        return " ".join(filter(None, (retrieval_page.sentence(found), retrieval_page.left_out(found))))
    data, test, curve = results["data"], results["test"], results["curve"]
    text = f"{percent(test['last_accuracy'])} % of {data['test']} images are classified correctly"
    text += f" after {counted(len(curve), 'epoch')}."
    last = curve[-1]
    if "train_accuracy" in last and last["train_accuracy"] - test["last_accuracy"] > 0.15:
        text += f" On its training images it reaches {percent(last['train_accuracy'])} %: it has learned them by heart."
    return text


def _tiles(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    test, curve = results["test"], results["curve"]
    time = ("time", duration(results["seconds"]), counted(len(curve), "epoch"))
    if "retrieval" in results:
        return [*retrieval_page.tiles(results["retrieval"]), time]
    n = results["data"]["test"]
    interval = wilson(round(test["last_accuracy"] * n), n)
    note = "" if interval is None else f"95 %: {between(interval)}, for the choice of images"
    tiles = [
        ("accuracy, last epoch", f"{percent(test['last_accuracy'], 2)} %", note),
        ("median of the last ten", f"{percent(test['median_last_ten'], 2)} %", "epochs that were measured"),
        ("training loss", f"{curve[-1]['train_loss']:.4f}", "last epoch"),
    ]
    if "importance_erased" in curve[-1]:
        tiles.append(("importance erased", f"{percent(curve[-1]['importance_erased'])} %", "of each image, last epoch"))
    return [*tiles, time]


def _charts(curve: list[dict[str, float]]) -> list[Chart]:
    if len(curve) < 2:
        return []
    accuracy = [_series(curve, "train_accuracy", "training", "guarded", 100, dashed=True)]
    accuracy.append(_series(curve, "test_accuracy", "test", "plain", 100))
    people = any("test_map" in row for row in curve)
    loss = "cross-entropy and metric loss" if people else "cross-entropy, nats"
    title = "Training accuracy on people known, rank 1 on people unknown" if people else "Accuracy"
    charts = [
        line_chart(title, [s for s in accuracy if s.points], "epoch", "accuracy, %", integers=True),
        line_chart("Training loss", [_series(curve, "train_loss", "loss")], "epoch", loss, integers=True),
        line_chart("Learning rate", [_series(curve, "lr", "lr")], "epoch", "at the last step", integers=True),
    ]
    if any("importance_erased" in row for row in curve):
        erased = _series(curve, "importance_erased", "erased", "guarded", 100)
        charts.append(
            line_chart("Importance erased by the method", [erased], "epoch", "% of an image’s", integers=True)
        )
    if people:
        found = _series(curve, "test_map", "mAP", "plain", 100)
        charts.insert(1, line_chart("mAP on people unknown", [found], "epoch", "%", integers=True, y_span=(0, 100)))
    others = [name for name in curve[-1] if name not in _KNOWN and name != "test_map"]
    charts += [
        line_chart(name.replace("_", " "), [_series(curve, name, name)], "epoch", "", integers=True) for name in others
    ]
    return charts


def _series(
    curve: list[dict[str, float]], column: str, name: str, style: str = "plain", unit: float = 1, dashed: bool = False
) -> Series:
    points = [(row["epoch"], unit * row[column]) for row in curve if row.get(column) is not None]
    return Series(name, points, style, marked=len(points) == 1, dashed=dashed)


def _curve(curve: list[dict[str, float]]) -> dict[str, Any]:
    """The curve as a table: column names and one row of texts per epoch."""
    columns = list(dict.fromkeys(name for row in curve for name in row))
    rows = [
        [f"{row[c]:.0f}" if c == "epoch" else f"{row[c]:.4g}" if c in row else "–" for c in columns] for row in curve
    ]
    return {"columns": [c.replace("_", " ") for c in columns], "rows": rows}


def _facts(results: dict[str, Any]) -> Facts:
    config, data = results["config"], results["data"]
    epochs = counted(config["epochs"], "epoch")
    shape = f"{len(data['classes'])} classes, {data['train']} training images, {data['test']} test images"
    facts = [
        ("data", f"{config['data']}: {shape}"),
        *left_out_facts(data),
        ("measured on", data["tested_on"]),
        ("model", f"{config['model']}{', pretrained' if config.get('pretrained') else ''}"),
        ("method", "; ".join(results["steps"]) or "none: crop and flip alone"),
        ("shared with every run", _shared(config, data["flip"])),
        (
            "training",
            f"{epochs}, batch {config['batch_size']}, {config['optimizer']}, {config['schedule']}",
        ),
        ("normalisation", f"mean {short(data['mean'])}; deviation {short(data['std'])}"),
        ("seed", short(config["seed"])),
        (
            "precision",
            f"{'fp32' if results['precision'] == 'no' else results['precision']}, processes {results['processes']}",
        ),
    ]
    return [*facts, *environment_facts(results["environment"])]
