"""The data of one training run: opened, cut, checked, and told apart from other data. Reads them; trains nothing."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import randomness
from ..data import Redraw, Relabelled, Source, as_source, limited, noisy_labels, open_source, split_validation
from ..data.pipeline import gives_importance
from ..errors import UserError
from ..files import write_atomically
from ..mixing import Mixer
from ..subset_file import SubsetFile, labels_hash, origin
from .config import TrainConfig
from .rank_people import check_people, refuse_foreign


@dataclass(frozen=True)
class RunData:
    """Training and test images, what they are called, and the maps that go along."""

    train: Source
    test: Source
    tested_on: str
    maps: Any
    redraw: Redraw | None = None
    true_labels: np.ndarray | None = None
    """(N,) of the training images, where some of those given were drawn anew."""

    @property
    def wrong(self) -> float | None:
        """The share of the given labels that is wrong, where there is noise."""
        return None if self.true_labels is None else float((self.true_labels != self.train.labels).mean())


def open_data(config: TrainConfig, source: Any, test: Any, maps: Any) -> RunData:
    """What `train` was given or what ``config`` names; `UserError` where the parts do not fit together."""
    if gives_importance(maps):
        raise UserError(f"maps is a {type(maps).__name__}: give it as the first of steps, before what it guards")
    if isinstance(maps, str | Path):
        from ..importance.store import ImportanceStore

        maps = ImportanceStore(maps)
    if source is None:
        few = config.learn.few_labels
        train = open_source(config.data, config.split, subset=config.chosen, unlabelled=few, **config.opening)
    else:
        train = as_source(source)
    if config.val_share:
        train, held_out = split_validation(train, config.val_share, config.data_seed)
        tested_on = f"{config.val_share:g} of {config.split}, set aside"
    elif test is None and source is not None:
        raise UserError("source comes without test: give test=, or val_share to set a part of source aside")
    else:
        held_out = open_source(config.data, config.eval_split, **config.opening) if test is None else as_source(test)
        tested_on = config.eval_split
    if not config.learn.of_people and list(train.class_names) != list(held_out.class_names):
        refuse_foreign(held_out)
        raise UserError(
            f"training data has the classes {train.class_names}, the test data {held_out.class_names}: "
            "give data with the same classes in the same order"
        )
    train = train if config.limit is None else limited(train, config.limit, config.data_seed)
    true_labels = None
    if config.learn.noise:
        check_labels(train)
        true_labels = np.asarray(train.labels)
        learn, names = config.learn, list(train.class_names)
        train = Relabelled(train, noisy_labels(true_labels, names, learn.noise, learn.noise_kind, config.data_seed))
    data = RunData(
        train,
        held_out if config.eval_limit is None else limited(held_out, config.eval_limit, config.data_seed),
        tested_on,
        maps,
        Redraw.of(SubsetFile.load(config.subset), train, config.seed) if config.redraw and config.subset else None,
        true_labels,
    )
    if config.learn.of_people:
        check_people(data.test, data.train)
    check_labels(data.train, config.learn.few_labels)
    check_labels(data.test)
    return data


def check_labels(source: Source, unlabelled: bool = False) -> None:
    """`UserError` for labels of no class. unlabelled: whether -1, no label, will do."""
    classes, without = len(source.class_names), int((source.labels == -1).sum())
    if without and not unlabelled:
        raise UserError(
            f"{without} of the {len(source)} images of {source.name} have no label (-1): leave them out, or train from "
            "few labels without noise (objective=fixmatch and labelled=1000, say)"
        )
    wrong = np.flatnonzero((source.labels < (-1 if unlabelled else 0)) | (source.labels >= classes))
    if len(wrong):
        raise UserError(
            f"image {wrong[0]} of {source.name} has label {source.labels[wrong[0]]}, but there are {classes} classes: "
            f"labels go from 0 to {classes - 1}"
        )


def check_unlabelled(steps: Sequence[Any], config: TrainConfig, forward: Any) -> None:
    """`UserError` for what needs a label of every image, or has no place where not all labels are there or right."""
    name = config.learn.objective
    for step in steps:
        if config.learn.of_people and isinstance(step, Mixer):
            raise UserError(
                f"{type(step).__name__} mixes people, and objective={name} asks who each image is: give an "
                "augmentation of single images"
            )
        if config.learn.of_people:
            continue
        if isinstance(step, Mixer) or gives_importance(step):
            raise UserError(
                f"{type(step).__name__} asks for labels, which objective={name} does not have, or not trust, of every "
                "image: give an augmentation that looks at the image and a stored map alone"
            )
    if forward is not None or config.redraw:
        raise UserError(f"objective={name} takes neither forward= nor redraw: leave them out")


def labelled_file(source: Source, rows: np.ndarray, config: TrainConfig) -> SubsetFile:
    """The images that kept their labels, for ``--subset`` of a run on the same data."""
    whole, seen = origin(source)
    rows = np.sort(rows if seen is None else seen[rows])
    about = {"labelled": len(rows), "data_seed": config.data_seed, "for": config.learn.objective}
    hashes = np.array([whole.fingerprint(int(row)) for row in rows], dtype=np.uint64)
    return SubsetFile(rows, hashes, len(whole), labels_hash(np.asarray(whole.labels)), None, about)


def save_labels(path: Path, given: np.ndarray, true: np.ndarray) -> None:
    """Both labels of every training image, ``given`` and ``true``, as a NumPy archive."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, given=given, true=true)
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def source_fingerprint(source: Source) -> dict[str, Any]:
    """Enough of a source to notice that it changed: all labels, and the content of some images."""
    n = len(source)
    some = sorted({int(i) for i in np.linspace(0, n - 1, 16)}) if n else []
    content = [int(source.fingerprint(i)) for i in some]
    digest = hashlib.blake2b(np.ascontiguousarray(source.labels, dtype=np.int64).tobytes(), digest_size=8)
    return {"images": n, "content": randomness.derive("content", digest.hexdigest(), *content)}


def maps_fingerprint(maps: Any, source: Source) -> int | None:
    """The maps of some images; whoever keeps them knows the rest."""
    if maps is None:
        return None
    attached = maps.attach(source) if hasattr(maps, "attach") else maps
    some = sorted({int(i) for i in np.linspace(0, len(source) - 1, 16)})
    digest = hashlib.blake2b(digest_size=8)
    for i in some:
        digest.update(np.ascontiguousarray(np.asarray(attached.read(i), dtype=np.float32)).tobytes())
    return randomness.derive("maps", digest.hexdigest())
