"""The importance maps of an audit: from a store, or computed as it goes, in memory. Writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import randomness
from ..data.sources import Resized, shown
from ..data.with_importance import attach, fit
from ..errors import UserError
from ..importance.centre import CentrePrior
from ..importance.estimator import Estimator
from ..importance.job import check_method
from ..importance.occlusion import Occlusion
from ..importance.store import ImportanceStore
from ..importance_map import ImportanceMap

if TYPE_CHECKING:
    from ..data.sources import Source

CHUNK = 64  # images estimated together: fixed, so that a map does not depend on any other setting


def maps_for(
    importance: Any,
    source: Source,
    rows: Sequence[int],
    images: Sequence[Tensor],
    labels: Sequence[int],
    model: nn.Module | None,
    device: torch.device,
    seed: int,
    progress: bool,
) -> tuple[list[Tensor], str]:
    """One map (H, W) per image, and where they come from, in words.

    importance: a store, the path of one, attached maps, an `Estimator`, or None for the default: with a model
    `Occlusion` with windows side by side (17 forward passes per image; what Cutout takes by such maps ranks what it
    costs the model as well as by the usual 82), without one `CentrePrior`, which on CIFAR-10 ranks it a little better
    than corners do. It is wrong where objects stand elsewhere.
    """
    if importance is None:
        importance = CentrePrior() if model is None else Occlusion(stride=0.25)
    if isinstance(importance, str | Path):
        importance = ImportanceStore(importance)
    if not isinstance(importance, Estimator):
        if isinstance(importance, type) or not (hasattr(importance, "attach") or hasattr(importance, "read")):
            raise UserError(f"importance={importance!r}: give a store, its path, an estimator, or None")
        return _stored(importance, source, rows, images)
    check_method(importance, model)
    maps: list[Tensor] = []
    bar = tqdm(total=len(images), desc=f"maps by {importance.name}", disable=not progress, leave=False, unit="image")
    with bar:
        for places in alike(images, CHUNK):
            height, width = images[places[0]].shape[-2:]
            importance.check(height, width)
            pixels = torch.stack([images[i] for i in places]).float().div(255).to(device)
            seeds = [randomness.derive(seed, "audit maps", int(rows[i])) for i in places]
            classes = torch.tensor([labels[i] for i in places], device=device)
            result = importance.estimate(model, pixels, classes, seeds).importance.cpu().float()
            maps += list(fit(result, height, width))
            bar.update(len(places))
    blind = ": the middle counts as important, whatever an image shows" if isinstance(importance, CentrePrior) else ""
    return maps, f"{importance.name}, computed for this audit{blind}"


def _stored(store: Any, source: Source, rows: Sequence[int], images: Sequence[Tensor]) -> tuple[list[Tensor], str]:
    """Maps of a store that belongs to these images; or, where they are centre squares, to the images behind them:
    then of each map the same square is taken."""
    whole = source
    try:
        attached = attach(store, source)
    except UserError:
        if not isinstance(source, Resized):
            raise
        whole = source.source
        attached = attach(store, whole)
    meta = getattr(getattr(attached, "store", None), "meta", {})
    maps = []
    for row, image in zip(rows, images, strict=True):
        importance = torch.as_tensor(attached.read(int(row)))
        if whole is not source and isinstance(source, Resized):
            importance = ImportanceMap(fit(importance, *whole[int(row)][0].shape[-2:]))
            importance = shown(importance, source.size, source.share).as_subclass(Tensor)
        maps.append(fit(importance, *image.shape[-2:]))
    return maps, f"{meta.get('method', 'maps')}, from a store"


def alike(images: Sequence[Tensor], most: int) -> list[list[int]]:
    """Places of the images, in order, cut into runs of at most ``most`` of one shape."""
    runs = (list(run) for _, run in groupby(range(len(images)), key=lambda i: tuple(images[i].shape)))
    return [run[at : at + most] for run in runs for at in range(0, len(run), most)]
