"""What an augmentation destroys: of each image's evidence, of its area, and of what a classifier sees in it.

For any transform (this library's, torchvision's v1 and v2, Kornia, albumentations, timm's) and any mixer, on a sample
of a data set. Reads the data, computes maps in memory, writes nothing unless told to.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as F
from tqdm import tqdm

from .. import randomness
from ..data.sources import Source, Subset, as_source, left_out, limited
from ..errors import UserError
from ..importance.job import check_model, frozen
from ..report.figures import pixels
from .audit_look import Look, Pipeline
from .audit_maps import alike, maps_for
from .audit_result import Audit, Audited, Case


def audit(
    source: Any,
    transform: Any,
    *,
    importance: Any = None,
    model: nn.Module | None = None,
    count: int = 512,
    seed: int = 0,
    cases: int = 6,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    progress: bool = True,
    about: Mapping[str, str] | None = None,
) -> Audit:
    """Look at what transforms and mixers leave of images and of their evidence.

    source: a `Source` or any map-style data set; ``count`` of its images are taken, the classes evenly, by ``seed``.
    transform: anything `follow` takes; a mixer (ours, torchvision's CutMix and MixUp, timm's Mixup); a list of
        transforms with a mixer at the end; or several of these by name, which are all shown the same images.
    importance: an `ImportanceStore`, its path, attached maps, or an estimator. None: maps are made as it goes, by
        `Occlusion` with a model, without one by `CentrePrior`.
    model: a classifier of the source's classes in eval mode that takes pixels in [0, 1] (`Normalized`); pictures of
        another size than the image are resized to it. None: nothing is said about recognition.
    cases: pictures per transform and heading (worst, and drawn at random).
    batch_size: images per forward pass. about: a line on each transform, by name.

    Of each image: the share of importance and of area that was overwritten or cropped away (NaN where a step cannot be
    followed, ``opaque`` names it); the drop of the true class's log-probability; whether the model still recognises
    what it recognised before. A mixed picture counts as recognised if the class of largest weight in its label is the
    model's top class, and its drop is measured against w · p, what its label promises of that class; its losses are
    those of the image that was there first. A guard that puts a region back (`Preserve`) covers what was moved there:
    around a transform that only moves things a little it may lose more than it restores, while around one that changes
    colours neither is a loss of pixels, and recognition has to tell.

    The numbers depend on ``seed`` and on the images, on ``batch_size`` by rounding alone. Transforms that fail on some
    images are reported with these images; `UserError` if one fails on all.
    """
    start = time.perf_counter()
    if count < 1 or cases < 0 or batch_size < 1:
        raise UserError(f"count={count}, cases={cases}, batch_size={batch_size}: give at least 1 image (and 0 cases)")
    pipelines = [Pipeline(name, t) for name, t in _named(transform).items()]
    source = as_source(source)
    if not len(source):
        raise UserError(f"{source.name} is empty: give a data set with at least one image")
    rows = _rows(source, count, seed)
    items = [source[row] for row in tqdm(rows, desc="reading", disable=not progress, leave=False)]
    images, labels = [image for image, _ in items], [int(label) for _, label in items]
    with frozen(model, device) as where:
        if model is not None:
            first = images[0][None].float().div(255).to(where)
            check_model(model, first, max(labels), list(source.class_names))
        maps, maps_from = maps_for(importance, source, rows, images, labels, model, where, seed, progress)
        taken = _Taken(list(source.class_names), rows, images, labels, maps, seed)
        reference = None if model is None else _Reference(model, where, images, labels, batch_size)
        found = [
            _audited(pipeline, (about or {}).get(pipeline.name, ""), taken, reference, cases, progress)
            for pipeline in pipelines
        ]
    from ..training.results import environment

    return Audit(
        transforms=found,
        class_names=list(source.class_names),
        data={"name": source.name, "images": len(images), "of": len(source), "classes": len(source.class_names)}
        | {"left_out": [list(file) for file in left_out(source)]},
        maps=maps_from,
        recognises=None if reference is None else float(reference.right.mean()),
        settings={"count": count, "seed": seed, "model": None if model is None else _model_name(model)},
        environment=environment(where),
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True)
class _Taken:
    """The images that all transforms are shown: one entry per image."""

    class_names: list[str]
    rows: list[int]
    images: list[Tensor]
    labels: list[int]
    maps: list[Tensor]
    seed: int


class _Reference:
    """The reference model and what it thought of the images as they are."""

    def __init__(
        self, model: nn.Module, device: torch.device, images: list[Tensor], labels: list[int], batch_size: int
    ) -> None:
        self.model, self.device, self.batch_size = model, device, batch_size
        self.sizes = [image.shape[-2:] for image in images]
        self.labels = torch.tensor(labels)
        logs = self.log_probabilities(list(images))
        self.own = logs.gather(1, self.labels[:, None])[:, 0].double()
        self.right = (logs.argmax(1) == self.labels).double()

    @torch.no_grad()
    def log_probabilities(self, pictures: Sequence[Tensor | None]) -> Tensor:
        """(N, classes) float64; NaN where there is no picture."""
        fitted: list[Tensor] = []
        there = [i for i, picture in enumerate(pictures) if picture is not None]
        for i in there:
            picture = pictures[i]
            assert picture is not None
            picture = picture.float() / 255 if picture.dtype == torch.uint8 else picture.float()
            if picture.shape[-2:] != self.sizes[i]:
                picture = F.resize(picture, list(self.sizes[i]), antialias=True)
            fitted.append(picture)
        parts = []
        for run in alike(fitted, self.batch_size):
            logits = self.model(torch.stack([fitted[i] for i in run]).to(self.device))
            parts.append(logits.cpu().double().log_softmax(1))
        found = torch.cat(parts)
        result = torch.full((len(pictures), found.shape[1]), torch.nan, dtype=torch.float64)
        result[there] = found
        return result


def _named(transform: Any) -> dict[str, Any]:
    if isinstance(transform, Mapping):
        if not transform:
            raise UserError("no transform was given: name at least one")
        return {str(name): t for name, t in transform.items()}
    name = type(transform).__name__
    return {"transform" if name in ("Compose", "Sequential", "list", "tuple") else name: transform}


def _rows(source: Source, count: int, seed: int) -> list[int]:
    chosen = limited(source, count, seed)
    if chosen is source:
        return list(range(len(source)))
    assert isinstance(chosen, Subset)
    return chosen.rows.tolist()


def _look(pipeline: Pipeline, taken: _Taken, progress: bool) -> Look:
    images, maps, labels, rows, seed = taken.images, taken.maps, taken.labels, taken.rows, taken.seed
    with tqdm(total=len(images), desc=pipeline.name, disable=not progress, leave=False, unit="image") as bar:
        if pipeline.mixer is None:
            looked = pipeline.look(images, maps, rows, seed, bar)
        else:
            looked = pipeline.look_mixed(images, maps, labels, rows, seed, bar)
    if len(looked.failed) == len(images):
        raise UserError(f"{pipeline.name} failed on every image; image {rows[0]}: {looked.failed[0]}")
    return looked


def _audited(
    pipeline: Pipeline, what: str, taken: _Taken, reference: _Reference | None, cases: int, progress: bool
) -> Audited:
    looked = _look(pipeline, taken, progress)
    n, shown = len(taken.images), {i: p for i, p in enumerate(looked.pictures) if p is not None}
    drop = before = after = np.full(n, np.nan)
    if reference is not None:
        logs = reference.log_probabilities(looked.pictures)
        right = reference.labels[looked.main]
        drop = (looked.weight.log() + reference.own[looked.main] - logs.gather(1, right[:, None])[:, 0]).numpy()
        known = torch.tensor([picture is not None for picture in looked.pictures])
        before = torch.where(known, reference.right[looked.main], torch.nan).numpy()
        after = torch.where(known, (logs.argmax(1) == right).double(), torch.nan).numpy()
    importance, area = looked.importance.numpy(), looked.area.numpy()

    def case(i: int) -> Case:
        return Case(
            taken.rows[i], taken.class_names[taken.labels[i]], pixels(taken.images[i]), taken.maps[i].float().numpy(),
            pixels(shown[i]), float(importance[i]), float(area[i]), float(drop[i]),
        )  # fmt: skip

    order = randomness.permutation(n, randomness.generator(taken.seed, "audit cases")).tolist()
    chosen = {"Drawn at random": [i for i in order if i in shown][:cases]}
    if not np.isnan(importance).all():
        chosen["Most evidence lost"] = _worst(importance, cases)
    if reference is not None:
        chosen["Largest drop among recognised images"] = _worst(np.where(before == 1, drop, np.nan), cases)
    return Audited(
        name=pipeline.name,
        what=what,
        rows=np.array(taken.rows, np.int64),
        labels=np.array(taken.labels, np.int64),
        importance_lost=importance,
        area_lost=area,
        log_prob_drop=drop,
        before=before,
        after=after,
        opaque=pipeline.opaque,
        failed={taken.rows[i]: text for i, text in looked.failed.items()},
        outside=float(np.mean([_outside(picture) for picture in shown.values()])),
        images_per_second=n / max(looked.seconds, 1e-9),
        cases={heading: [case(i) for i in places] for heading, places in chosen.items() if places},
    )


def _worst(values: np.ndarray, most: int) -> list[int]:
    order = np.argsort(-values, kind="stable")  # NaN last
    return [int(place) for place in order[:most] if not np.isnan(values[place])]


def _outside(picture: Tensor) -> bool:
    return picture.is_floating_point() and bool((picture.min() < -1e-4) | (picture.max() > 1 + 1e-4))


def _model_name(model: nn.Module) -> str:
    return type(getattr(model, "model", model)).__name__
