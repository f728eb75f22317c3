"""``analyse natural``: natural adversarial images in folders, as of ImageNet-A and ImageNet-O (Hendrycks et al.
2021)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from .analyse_config import AnalyseNatural
from .analyse_kept import Kept
from .analyse_ood import as_seen, images_below, rows_of
from .analyse_runs import Images, Subject, check_answers, described, images_of, logits_of, opened
from .bootstrap import bootstrap
from .calibration_errors import equal_width, expected, probabilities
from .hessian import exact

if TYPE_CHECKING:
    from ..data import Source


def natural(config: AnalyseNatural, out: Path) -> dict[str, Any]:
    """Of every run the accuracy on hard images of known classes, and the AUPR on images of no known class.

    known: accuracy among the mapped classes alone, which is how ImageNet-A is reported, and among all classes. unknown:
    as `ood`, against the runs' own images of the classes that the folders name.
    """
    subjects = opened(config.on)
    classes = subjects[0].data["classes"]
    mapping = read_mapping(config.mapping, classes)
    hard = None if config.known is None else class_folders(config.known, mapping, classes)
    strange = None if config.unknown is None else _unknown(config.unknown, mapping, classes)
    # Without foreign images the runs' own only tell how large images are.
    own = images_of(config.on, subjects[0], config.limit if strange is not None else 64, resident=False)
    check_answers(subjects, own)
    kept = Kept(out, {"batch": config.on.batch_size})
    results: dict[str, Any] = {"data": described(config.on, own), "runs": [s.about() for s in subjects]}
    if hard is not None:
        images = as_seen(hard, own, subjects[0].view)
        if strange is None:
            results["data"] = described(config.on, images) | {"split": "hard"}
        results["known"] = _accuracies(config, subjects, images, kept)
    if strange is not None:
        source, of = strange
        images = as_seen(source, own, subjects[0].view)
        results["unknown"] = _detected(config, subjects, own, images, of, kept)
    return results


def read_mapping(path: Path | None, classes: list[str]) -> dict[str, int]:
    """Folder name to class number, from a JSON file of class names or numbers, or from the folder of ImageNet or
    Tiny-ImageNet, whose classes are called by WordNet ids; without either the classes' own names."""
    if path is None:
        return {name: i for i, name in enumerate(classes)}
    if path.is_dir():
        from ..data.imagenet import names_by_wnid

        return {wnid: _number(path, wnid, name, classes) for wnid, name in names_by_wnid(path).items()}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): give a JSON file of {{folder name: class name}}") from None
    if not isinstance(found, dict) or not found:
        raise UserError(f"{path} is no mapping: give a JSON file of {{folder name: class name}}")
    return {folder: _number(path, folder, named, classes) for folder, named in found.items()}


def _number(path: Path, folder: str, named: Any, classes: list[str]) -> int:
    if isinstance(named, int) and not isinstance(named, bool) and 0 <= named < len(classes):
        return named
    if isinstance(named, str) and classes.count(named) == 1:
        return classes.index(named)
    near = (
        f"one of {', '.join(classes[:8])}{' ...' if len(classes) > 8 else ''}, or a number from 0 to {len(classes) - 1}"
    )
    raise UserError(f"{path} maps {folder!r} to {named!r}, which is no class of the runs: give {near}")


def class_folders(folder: Path, mapping: Mapping[str, int], classes: list[str]) -> Source:
    """The images of all class folders of a folder, labelled with the runs' classes; `UserError` where one has none."""
    from ..data.folder import SUFFIXES, FolderSource

    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder: give one that holds a folder for each class")
    homes = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    if not homes:
        raise UserError(f"{folder} holds no class folders: expected {folder}/CLASS/files")
    missing = [home.name for home in homes if home.name not in mapping]
    if missing:
        few = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(
            f"{len(missing)} of the {len(homes)} class folders of {folder} belong to no class of the runs ({few}): add "
            'them to the JSON file of --mapping, as {"FOLDER": "class name"}, or remove them'
        )
    files = {home.name: sorted(f for f in home.rglob("*") if f.suffix.lower() in SUFFIXES) for home in homes}
    empty = [name for name, held in files.items() if not held]
    if empty:
        raise UserError(f"class folder {folder / empty[0]} holds no images: add some, or remove the folder")
    return FolderSource(
        [file for held in files.values() for file in held],
        [mapping[name] for name, held in files.items() for _ in held],
        classes,
        folder.resolve().name,
    )


def _unknown(folder: Path, mapping: Mapping[str, int], classes: list[str]) -> tuple[Source, list[int]]:
    """The images of no known class, and the known classes to compare them with: those the folders name, or all."""
    if folder.is_dir() and any(f.is_dir() and not f.name.startswith(".") for f in folder.iterdir()):
        source = class_folders(folder, mapping, classes)
        return source, sorted({int(label) for label in source.labels})
    return images_below(folder), list(range(len(classes)))


def _accuracies(config: AnalyseNatural, subjects: list[Subject], images: Images, kept: Kept) -> dict[str, Any]:
    labels, mapped = images.labels, np.unique(images.labels)
    columns, rows = [], []
    for subject in subjects:
        with exact():
            logits = logits_of(subject, images, config.on.batch_size, kept, config.on.quiet)
        p = probabilities(logits)
        among, sure, whole = mapped[logits[:, mapped].argmax(1)] == labels, p.max(1), logits.argmax(1) == labels
        columns += [among, whole]
        error = expected(equal_width(sure, whole, config.bins))
        rows.append({"run": subject.name, "confidence": float(sure.mean()), "ece": error})
    values = np.stack(columns, axis=1).astype(np.float64)
    first = np.tile(values[:, :2], len(subjects))
    own, apart = (bootstrap(v, config.resamples, config.on.seed) for v in (values, values - first))
    for i, row in enumerate(rows):
        row |= {"accuracy": own[2 * i], "accuracy_all": own[2 * i + 1], "over_first": apart[2 * i] if i else None}
    return {"name": images.name, "images": len(images), "classes": len(mapped), "rows": rows}


def _detected(
    config: AnalyseNatural, subjects: list[Subject], own: Images, images: Images, of: list[int], kept: Kept
) -> dict[str, Any]:
    chosen = np.isin(own.labels, of)
    if not chosen.any():
        raise UserError(
            f"{own.name} ({config.on.split}) has no image of the {len(of)} classes that {config.unknown} names: give "
            "more images (--limit), or another split"
        )
    rows: list[dict[str, Any]] = []
    for subject in subjects:
        with exact():
            known, foreign = (
                logits_of(subject, each, config.on.batch_size, kept, config.on.quiet) for each in (own, images)
            )
        rows += rows_of(subject.name, known[chosen], foreign, config.resamples, config.on.seed, config.on.quiet)
    return {
        "name": images.name, "images": len(images), "classes": len(of), "known_images": int(chosen.sum()), "rows": rows
    }  # fmt: skip
