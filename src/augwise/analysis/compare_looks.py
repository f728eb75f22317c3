"""What a comparison looks at before its runs, on some of the images: shares overwritten, pictures, mean doubts.

Draws with keys of its own; writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..catalogue import Entry, find, methods
from . import compare_words as words
from .compare_config import LIVE
from .compare_plan import Arm, Cell, CompareConfig, Run, arms_of, cells, run_of, strongest
from .compare_runs import build, steps_of
from .compare_share import ONE_PASS, estimator, run_settings
from .training_data import shaped

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..data.sources import Source
    from ..importance.attached import AttachedMaps
    from ..importance.store import ImportanceStore

_LOOKED_AT = 512  # images on which the share of area and importance touched is measured
_PIXELS = 8_000_000  # and at most so many pixels of them: 159 images of 224 px
_CANDIDATES, _SHOWN = 64, 6  # images that the gallery is chosen from, and that it shows
_DOUBTED = 10_000  # images over which doubts are averaged
_KINDS = ("deletion", "image", "mixing")  # of methods that leave what they do not change in its place

Stores = dict[str, "ImportanceStore"]
Touches = dict[tuple[Cell, Arm], dict[str, float | None]]


def rehearse(config: CompareConfig, source: Source) -> None:
    """Every estimator and every arm once, on two grey images of the data's size: what does not fit says so now."""
    import torch

    from ..importance.one_pass import check_size
    from .touched import touched

    height, width = _size(config, source)
    for name in config.every_estimator:
        if name == ONE_PASS:  # trained for this comparison, once its base model is
            check_size(height, width)
        elif name != LIVE:
            estimator(config, name).check(height, width)
    for cell in cells(config):
        moves = _moves(find(cell.method, methods()))
        for arm in arms_of(config, cell):
            run = run_of(config, cell, arm, 0)
            steps_of(run, 0.0)
            if cell.shape != "superpixel":  # which wants maps that grey images have not
                touched(_method(run), torch.ones(2, height, width), moves=moves)


def all_touched(config: CompareConfig, stores: Stores, source: Source) -> Touches:
    """What every arm of every cell overwrites, measured on the same images, of all classes, with the same draws.

    Where nobody knows the maps beforehand (live) or there are none, what depends on them is None.
    """
    from ..data.sources import limited
    from .touched import touched

    height, width = _size(config, source)
    some = limited(source, min(_LOOKED_AT, max(1, _PIXELS // (height * width))), 0)
    found: Touches = {}
    for cell in cells(config):
        entry, store = find(cell.method, methods()), stores.get(cell.estimator)
        own, guide, foreign = _guides(store, cell.shape, some, height, width)
        for arm in arms_of(config, cell):
            run = run_of(config, cell, arm, 0)
            shown = foreign if arm == "control" else guide
            seen = touched(_method(run), own, shown, moves=_moves(entry)).means()
            if store is None:
                seen["importance_touched"] = None
            if run.estimator == LIVE:
                seen = dict.fromkeys(seen)
            found[cell, arm] = seen
    return found


def pictures(config: CompareConfig, stores: Stores, source: Source) -> dict[str, list[Any]]:
    """Some images through every arm of the strongest cells; which ones, `telling` says.

    Under the rule "soften" the arms differ in their labels alone, so one of them is shown.
    """
    from ..data.sources import limited
    from .gallery import examples, telling

    some = limited(source, _CANDIDATES, 0)
    names = [some.class_names[label] for label in some.labels]
    galleries = {}
    every = strongest(config)
    for cell in every:
        store = stores.get(cell.estimator) or next(iter(stores.values()), None)
        if cell.estimator == LIVE or store is None:
            continue
        shown = shaped(store, cell.shape, some)
        images, own = _seen(config, some, store.attach(some))
        (_, guide), (_, foreign) = _seen(config, some, shown), _seen(config, some, shown.deranged(0))
        arms: list[Arm] = arms_of(config, cell) if cell.rule == "guard" else ["plain"]
        steps = {arm: _method(run_of(config, cell, arm, 0)) for arm in arms}
        moves = _moves(find(cell.method, methods()))
        galleries[_title(cell, every)] = telling(
            examples(images, own, foreign, names, steps, guide=guide, moves=moves), _SHOWN
        )
    return galleries


def mean_doubts(config: CompareConfig, stores: Stores, source: Source) -> dict[Cell, float]:
    """Of every cell with a smoothing arm the mean doubt of its softened arm: what that arm spreads of every label.

    Averaged over one epoch of the training images through the run's own crop, flip and method, under seed 0.
    """
    from ..data.sources import limited
    from ..training.train import training_batches

    some = limited(source, _DOUBTED, 0) if len(source) > _DOUBTED else source
    settings = replace(run_settings(config.train, Path()), out=None, seed=0)
    found = {}
    for cell in cells(config):
        if "smoothing" not in arms_of(config, cell):
            continue
        steps = steps_of(run_of(config, cell, "guarded", 0))
        found[cell] = mean_doubt(training_batches(settings, some, stores[cell.estimator].attach(some), steps))
    return found


def mean_doubt(batches: Any) -> float:
    """Mean doubt of the labels of one epoch of batches, see `augwise.labels.MixedLabels`."""
    from ..labels import MixedLabels

    total, count = 0.0, 0
    for batch in batches.epoch(0):
        doubt = MixedLabels.of(batch.labels).doubt
        total, count = total + float(doubt.double().sum()), count + len(doubt)
    return total / count


def _method(run: Run) -> nn.Module:
    step = build(run)
    assert step is not None
    return step


def _moves(entry: Entry) -> bool:
    return entry.kind not in _KINDS


def _size(config: CompareConfig, source: Source) -> tuple[int, int]:
    """Height and width of what the method's steps see."""
    size = config.train.size
    if config.train.crop == "resized" and isinstance(size, int):
        return size, size
    return source[0][0].shape[-2], source[0][0].shape[-1]


def _guides(
    store: ImportanceStore | None, shape: str, some: Source, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, height, width) maps of the images: what is accounted for, what the method is shown, and what the control is;
    flat ones without a store."""
    import torch

    from ..data.resident import fit

    if store is None:
        flat = torch.ones(len(some), height, width)
        return flat, flat, flat
    own, shown, rows = store.attach(some), shaped(store, shape, some), range(len(some))
    read = (own.read(rows), shown.read(rows), shown.deranged(0).read(rows))
    first, second, third = (fit(maps, height, width) for maps in read)
    return first, second, third


def _title(cell: Cell, every: list[Cell]) -> str:
    rows = [vars(other) for other in every]
    window = f"{cell.window} windows" if cell.window else ""
    maps = f"{cell.estimator} maps" if cell.estimator else ""
    more = [words.value(vars(cell), name) for name in words.varying(rows)]
    return ", ".join(filter(None, [words.method(vars(cell)), window, maps, *(m for m in more if m != "-")]))


def _seen(config: CompareConfig, source: Source, maps: AttachedMaps) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and maps (N, H, W) as images are measured: of photographs the centre crop."""
    from torch import Tensor

    from ..data import WithImportance, collate
    from ..training.views import seen

    data = WithImportance(source, maps)
    batch = collate([seen(data.read(i), config.train) for i in range(len(data))])
    assert batch.importance is not None
    return batch.images.as_subclass(Tensor), batch.importance.as_subclass(Tensor)
