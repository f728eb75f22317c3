"""How well a classifier does: plain accuracy for the curve, and the full account of a finished one.

The full account uses torchmetrics, which takes seconds to import and is therefore imported where it is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import __version__
from ..data.image_files import describe_left_out
from ..errors import UserError
from ..sample import Batch
from .config import EvaluateConfig, as_image_size
from .rank_people import (
    by_identity,
    check_people,
    embeddings,
    in_numbers,
    measures_in_words,
    queries_in_words,
    rank_people,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

    from ..data import Source
    from .batches import Reader

ClassAccuracy = TypedDict("ClassAccuracy", {"class": str, "images": int, "accuracy": float | None})
"""accuracy: share of the class's images that is right, in [0, 1]; None without images."""


def accuracy(model: nn.Module, batches: Iterable[Batch], accelerator: Accelerator | None = None) -> float:
    """Share of images whose most probable class is their label, in [0, 1]; ``model`` is left in evaluation mode.

    With an accelerator: in its precision, and over the batches of all processes.
    """
    hits: list[Tensor] = []
    count = 0
    for logits, labels in _predictions(model, batches, accelerator):
        hits.append((logits.argmax(1) == labels).sum())
        count += len(labels)
    both = torch.stack([torch.stack(hits).sum(), torch.tensor(count, device=hits[0].device)])
    if accelerator is not None and accelerator.num_processes > 1:
        both = accelerator.reduce(both, reduction="sum")
    right, of = both.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    return right / of


def per_class(
    model: nn.Module, batches: Iterable[Batch], class_names: list[str], accelerator: Accelerator | None = None
) -> list[ClassAccuracy]:
    """How many images of each class there are, and the share of them that is right; see `accuracy`."""
    counts = torch.zeros(2, len(class_names), dtype=torch.int64)
    for logits, labels in _predictions(model, batches, accelerator):
        right = labels[logits.argmax(1) == labels]
        counts = counts.to(labels.device) + torch.stack([_count(labels, class_names), _count(right, class_names)])
    if accelerator is not None and accelerator.num_processes > 1:
        counts = accelerator.reduce(counts, reduction="sum")
    images, right = counts.tolist()  # pyright: ignore[reportAttributeAccessIssue]
    return _by_class(class_names, images, right)


def _count(labels: Tensor, class_names: list[str]) -> Tensor:
    return torch.bincount(labels, minlength=len(class_names))


def _by_class(class_names: list[str], images: list[int], right: list[int]) -> list[ClassAccuracy]:
    rows = zip(class_names, images, right, strict=True)
    return [{"class": name, "images": n, "accuracy": r / n if n else None} for name, n, r in rows]


def account(
    model: nn.Module,
    batches: Iterable[Batch],
    class_names: list[str],
    *,
    bins: int = 15,
    accelerator: Accelerator | None = None,
) -> dict[str, Any]:
    """The full account of a classifier.

    accuracy: share of images that are right. per_class: for each class its name, number of images and share that is
    right (None without images). confusion: confusion[i][j] counts images of class i that were taken for class j.
    ece: expected calibration error Σ_b n_b / n · |acc_b − conf_b| over ``bins`` equal bins of the highest
    probability (Guo et al. 2017, equation 3). calibration: of each bin that is not empty its bounds ``low`` and
    ``high``, number of images, mean confidence and accuracy. loss: mean cross-entropy in nats. auc: see `mean_auc`.
    precision: of the images taken for a class the share that is of it, mean over the classes that any was taken for.
    """
    from torchmetrics.classification import MulticlassCalibrationError, MulticlassConfusionMatrix

    classes = len(class_names)
    confusion = MulticlassConfusionMatrix(classes)
    calibration = MulticlassCalibrationError(classes, n_bins=bins, norm="l1")
    loss, count = 0.0, 0
    confidences: list[Tensor] = []
    hits: list[Tensor] = []
    seen: list[tuple[Tensor, Tensor]] = []
    for logits, labels in _predictions(model, batches, accelerator):
        probabilities, labels = logits.float().softmax(1).cpu(), labels.cpu()
        seen.append((probabilities, labels))
        confusion.update(probabilities.argmax(1), labels)
        calibration.update(probabilities, labels)
        sure, guess = probabilities.max(1)
        confidences.append(sure)
        hits.append(guess == labels)
        loss += nn.functional.cross_entropy(logits.float().cpu(), labels, reduction="sum").item()
        count += len(labels)
    table: list[list[int]] = confusion.compute().tolist()
    right = [row[i] for i, row in enumerate(table)]
    taken = [sum(column) for column in zip(*table, strict=True)]
    precisions = [r / n for r, n in zip(right, taken, strict=True) if n]
    return {
        "images": count,
        "accuracy": sum(right) / count,
        "precision": sum(precisions) / len(precisions),
        "auc": mean_auc(*(torch.cat(parts) for parts in zip(*seen, strict=True))),
        "loss": loss / count,
        "ece": calibration.compute().item(),
        "calibration": calibration_bins(torch.cat(confidences), torch.cat(hits), bins),
        "per_class": _by_class(class_names, [sum(row) for row in table], right),
        "confusion": table,
    }


def mean_auc(probabilities: Tensor, labels: Tensor) -> float | None:
    """Area under the ROC curve of each class against the others, mean over classes: AUC as MedMNIST defines it.

    probabilities: (N, C), labels: (N,) int64. Of two classes that is the AUC of the second. Classes of which there are
    no images, or no others, are left out; None where that leaves none.
    """
    from torchmetrics.functional.classification import binary_auroc

    areas = []
    for c in range(probabilities.shape[1]):
        own = labels == c
        if bool(own.any()) and not bool(own.all()):
            areas.append(float(binary_auroc(probabilities[:, c], own.long())))
    return sum(areas) / len(areas) if areas else None


def calibration_bins(confidence: Tensor, right: Tensor, bins: int) -> list[dict[str, float]]:
    """The bins (b/bins, (b + 1)/bins] of confidence that hold images: what a reliability diagram shows.

    confidence: (N,) highest probability of each image; right: (N,) bool, whether it was the label's.
    """
    edges = torch.linspace(0, 1, bins + 1)
    place = torch.bucketize(confidence, edges[1:-1])  # right edges belong to their bin
    found: list[dict[str, float]] = []
    for b in place.unique().tolist():
        inside = place == b
        found.append(
            {
                "low": edges[b].item(),
                "high": edges[b + 1].item(),
                "images": int(inside.sum()),
                "confidence": confidence[inside].double().mean().item(),
                "accuracy": right[inside].double().mean().item(),
            }
        )
    return found


@torch.no_grad()
def _predictions(
    model: nn.Module, batches: Iterable[Batch], accelerator: Accelerator | None
) -> Iterable[tuple[Tensor, Tensor]]:
    from contextlib import nullcontext

    model.eval()
    for batch in batches:
        assert isinstance(batch.labels, Tensor)
        with nullcontext() if accelerator is None else accelerator.autocast():
            logits = model(batch.images)
        yield logits, batch.labels


@torch.no_grad()
def check_output(model: nn.Module, images: Tensor, classes: int) -> None:
    """Raise `UserError` unless the model gives one logit per class for such images.

    A forward pass in evaluation mode, which leaves running statistics alone.
    """
    try:
        logits = model.eval()(images)
    except (RuntimeError, ValueError, AssertionError) as e:
        raise UserError(
            f"{type(model).__name__} cannot take images of shape {tuple(images.shape[1:])} "
            f"({str(e).splitlines()[0] if str(e) else e!r}): set size, or take a model made for such images"
        ) from e
    shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if shape != (len(images), classes):
        raise UserError(
            f"{type(model).__name__} gives {shape} for {len(images)} images, where {classes} classes need "
            f"{(len(images), classes)}: give its last layer {classes} outputs"
        )


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Measure a trained classifier on a data set; see `account` for what is returned (beside what was measured).

    ``config.run`` is the folder of a finished training run; without it, model, checkpoint, data, mean and std say
    what to measure. ``config.out`` gets the result as JSON; `augwise.report` makes a page of it.
    """
    config.check()
    from .. import models
    from ..data import Normalize, left_out
    from ..files import require_writable
    from .batches import evaluation_batches
    from .devices import accelerator_for
    from .results import environment, write_json

    target = None if config.out is None else result_file(config.out)
    if target is not None:
        require_writable(target.parent)
    given = _given(config)
    accelerator = accelerator_for(config.device, config.precision)
    device = accelerator.device
    source, reader = _read(config, given, device)
    classes = list(source.class_names)
    shape = source[0][0].shape
    people = bool(given["people"])
    if config.rerank and not people:
        raise UserError("rerank is for models of people (objective=reid), which this one is not: leave it out")
    if people:
        classes = given["classes"]  # the test images are of others
        check_people(source)
    elif given["classes"] is not None and given["classes"] != classes:
        raise UserError(
            f"the run was trained on the classes {given['classes']}, {source.name} has {classes}: evaluate it on data "
            "with the same classes in the same order"
        )
    name = given["model"] if config.run is None else models.kept_name(given["model"], config.run)
    model = models.load_weights(models.build(name, len(classes), shape[0]), given["checkpoint"])
    model = model.to(device)
    check_output(model, torch.zeros(1, *shape, device=device), len(classes))
    batches = evaluation_batches(reader, Normalize(given["mean"], given["std"]), config.batch_size)
    total = -(-len(reader) // config.batch_size)
    shown = tqdm(batches, total=total, desc="evaluating", unit="batch", disable=config.quiet, leave=False)
    result = {
        "kind": "evaluate",
        "augwise": __version__,
        "run": None if config.run is None else str(config.run),
        "model": given["model"],
        "checkpoint": str(given["checkpoint"]),
        "data": {
            "name": source.name,
            "split": config.split,
            "limit": config.limit,
            "left_out": [list(file) for file in left_out(source)],
        },
        **(
            _ranked(model, shown, source, config, accelerator)
            if people
            else account(model, shown, classes, bins=config.bins, accelerator=accelerator)
        ),
        "environment": environment(device),
    }
    if target is not None:
        write_json(target, result)
    return result


def _ranked(
    model: nn.Module, batches: Iterable[Batch], source: Source, config: EvaluateConfig, accelerator: Accelerator
) -> dict[str, Any]:
    """retrieval: see `in_numbers`; reranked: the same by k-reciprocal neighbours; identities: of each one that is asked
    for its queries, their mean average precision and share with rank 1."""
    from ..data import who_is_who
    from ..reid import Rerank

    found, who = embeddings(model, batches, len(source), accelerator), who_is_who(source)
    plain = rank_people(found, who, progress=not config.quiet)
    result: dict[str, Any] = {"retrieval": in_numbers(plain)}
    if config.rerank:
        again = rank_people(found, who, Rerank(), progress=not config.quiet)
        result["reranked"] = in_numbers(again) | {"how": asdict(Rerank())}
    pairs = zip(who.identities, source.labels, strict=True)
    names = {int(number): source.class_names[label] for number, label in pairs}
    return result | {"identities": by_identity(plain, who, names)}


def _read(config: EvaluateConfig, given: dict[str, Any], device: torch.device) -> tuple[Source, Reader]:
    """The images as the run measured them, and their way onto the device: the run's own."""
    from ..data import Resident, Resized, WithImportance, open_source
    from .batches import LoaderReader, ResidentReader

    share, size = given["crop_share"], given["size"]
    ways: Any = {
        "limit": config.limit,
        "subset": config.subset,
        "broken": given["broken"],
        "progress": not config.quiet,
    }
    if share is None:
        source = open_source(given["data"], config.split, size=size, **ways)
    elif size is None:
        raise UserError(f"crop_share={share} needs size: the side in pixels of the images that the model sees")
    else:
        whole = open_source(given["data"], config.split, **ways)
        source = Resized(whole, size, share, given["interpolation"])
    if given["loader"] == "workers":
        return source, LoaderReader(WithImportance(source), device)
    return source, ResidentReader(Resident.load(source, device=device, progress=not config.quiet))


def images_of_run(config: EvaluateConfig, device: torch.device, loader: str | None = None) -> tuple[Source, Reader]:
    """The images that `evaluate` would measure, and their way onto the device, without measuring anything.

    loader: "resident" or "workers"; None: as the run read its own.
    """
    given = _given(config)
    return _read(config, given if loader is None else given | {"loader": loader}, device)


def result_file(out: Path) -> Path:
    """The file that ``out`` means: itself if it ends in .json, else results.json in that folder.

    `UserError` where it holds results of another kind, a training run's say, which must not be lost.
    """
    from .results import RESULTS

    target = out if out.suffix == ".json" else out / RESULTS
    try:
        there = json.loads(target.read_text())
    except (OSError, ValueError):
        return target
    if isinstance(there, dict) and there.get("kind", "evaluate") != "evaluate":
        raise UserError(
            f"{target} holds the results of {there['kind']!r}, which would be lost: give --out another folder, or a "
            f"file such as {target.with_name('evaluation.json')}"
        )
    return target


def describe(result: dict[str, Any]) -> str:
    """The result of `evaluate` as text: accuracy, calibration, each class, and the commonest confusions; of people the
    measures of their ranking."""
    if "retrieval" in result:
        return _describe_ranking(result)
    head = (
        f"{result['data']['name']} ({result['data']['split']}), {result['images']} images: accuracy "
        f"{100 * result['accuracy']:.2f} %, "
        + (f"AUC {result['auc']:.4f}, " if result.get("auc") is not None else "")
        + f"loss {result['loss']:.4f}, calibration error {100 * result['ece']:.2f} %"
    )
    width = max(len(row["class"]) for row in result["per_class"])
    lines = [
        f"  {row['class']:<{width}}  {row['images']:>6} images  "
        + ("no images" if row["accuracy"] is None else f"{100 * row['accuracy']:6.2f} %")
        for row in result["per_class"]
    ]
    names, table = [row["class"] for row in result["per_class"]], result["confusion"]
    wrong = [(table[i][j], names[i], names[j]) for i in range(len(names)) for j in range(len(names)) if i != j]
    common = [f"{true} as {seen} ({n})" for n, true, seen in sorted(wrong, key=lambda w: -w[0])[:5] if n]
    tail = [f"most often confused: {', '.join(common)}"] if common else []
    return "\n".join([head, *lines, *tail, describe_left_out(result["data"]["left_out"])]).rstrip()


def _describe_ranking(result: dict[str, Any]) -> str:
    data, lines = result["data"], []
    for name, words in (("retrieval", "ranked by distance"), ("reranked", "ranked by k-reciprocal neighbours")):
        if name in result:
            lines.append(f"  {words}: {measures_in_words(result[name])}")
    head = f"{data['name']} ({data['split']}), {queries_in_words(result['retrieval'])}"
    return "\n".join([head, *lines, describe_left_out(data["left_out"])]).rstrip()


def _given(config: EvaluateConfig) -> dict[str, Any]:
    """What is evaluated, from the run's folder or from the configuration itself."""
    if config.run is None:
        names = ("data", "model", "checkpoint", "mean", "std", "size", "crop_share")
        view = {"interpolation": "bilinear", "loader": "resident", "broken": config.broken or "stop"}
        return {**{name: getattr(config, name) for name in names}, **view, "classes": None, "people": False}
    from .results import RESULTS, WEIGHTS

    run = read_run(config.run / RESULTS)
    settings, data = run["config"], run["data"]
    return {
        "data": config.data or settings["data"],
        "model": settings["model"],
        "checkpoint": config.run / WEIGHTS,
        "mean": data["mean"],
        "std": data["std"],
        "size": config.size or as_image_size(settings["size"]),
        "broken": config.broken or settings.get("broken", "stop"),
        # What an older run's settings do not mention had no say in it.
        "crop_share": config.crop_share or settings.get("crop_share"),
        "interpolation": settings.get("interpolation") or "bilinear",
        "loader": settings["loader"],
        "classes": data["classes"],
        "people": settings.get("learn", {}).get("objective") == "reid",
    }


def read_run(path: Path) -> dict[str, Any]:
    """The results.json of a training run; `UserError` if it is missing, damaged or of another kind."""
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the folder of a finished training run") from None
    except (OSError, ValueError) as e:
        raise UserError(f"{path} cannot be read ({e}): give the folder of a finished training run") from None
    if not isinstance(found, dict) or found.get("kind") != "train":
        raise UserError(f"{path} is not the result of a training run: give the folder of one")
    return found
