"""The verbs ``estimate`` and ``merge``: open the data, find the model, compute (or go on computing) the store.

``estimate`` leaves ``results.json``, ``gallery.json`` and ``report.html`` in the store's folder; no reader of the maps
needs them.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError
from ..training.config import ImageSize, as_image_size

if TYPE_CHECKING:
    from torch import nn

    from ..data.sources import Source
    from ..importance.estimator import Estimator
    from ..importance.store import ImportanceStore

_SHOWN = 12  # maps among the page's pictures


@dataclass(frozen=True)
class EstimateConfig:
    """Importance maps of a data set, once. An interrupted run goes on where it stopped; new images are added."""

    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102 or imagenet, each also as NAME:DIR."""
    out: Path = Path("importance.maps")
    """Folder of the store."""
    run: Path | None = None
    """Folder of a finished training run: the classifier whose decisions are looked into."""
    model: str | None = None
    """Without a run: small_cnn, resnet18, wrn28_10 and more, timm:NAME or torchvision:NAME."""
    checkpoint: Path | None = None
    """Without a run: the file of the model's weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    split: str = "train"
    """Split whose images are looked at."""
    subset: Path | None = None
    """Only the images that this file of augwise select names."""
    limit: int | None = None
    """Only this many images, a seeded subset with balanced classes."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width (--size 256 128); needed where
    files differ in size. Left out: that of the run."""
    fit: Literal["crop", "stretch"] | None = None
    """How images of other shapes become squares of that size. crop: the shorter side resized, the centre cut out; the
    maps belong to that square. stretch: the whole image, squeezed; the maps belong to the files as they are, which
    random resized crops need. Left out: stretch for a run that was trained with crop=resized, else crop."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or check all files first and leave such out."""
    explain: Literal["given", "predicted"] = "given"
    """Which class's evidence is looked for: that of the image's label, or of the class that the model takes it for;
    predicted where labels are not there (train --labelled) or not to be believed (train --noise)."""
    seed: int = 0
    """Seed of everything random; each image's numbers depend on its bytes and this alone."""
    data_seed: int = 0
    """Seed of limit, as in train."""
    chunk_size: int | None = None
    """Images computed together, the unit of resuming; left out: what suits the method."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    continuous: bool = False
    """Of attacks: images that have converged make room for the next ones, which saves steps. A store of its own kind:
    its points differ a little from those of a run without."""
    precision: Literal["auto", "float32", "bf16"] = "auto"
    """Of the classifier's passes for gradients. auto: bf16 for attacks on GPUs that have it, else float32."""
    compile: bool = False
    """Compile these passes with torch.compile; worth it for long runs on a GPU."""
    num_workers: int = 0
    """Processes that read images; worth it where decoding files keeps a GPU waiting."""
    dry_run: bool = False
    """Say what would be done and how long it would take, and stop."""
    part: str | None = None
    """"2/3": this machine computes the second of three parts into --out; join them with augwise merge."""
    quiet: bool = False
    """No progress bar."""


@dataclass(frozen=True)
class MergeConfig:
    """Join the parts of a store that several machines computed."""

    out: Path
    """Folder of the whole store, new."""
    parts: tuple[Path, ...]
    """Folders of the parts."""


def estimate_maps(config: EstimateConfig, method: Estimator) -> ImportanceStore | None:
    """Compute the store that ``config`` describes, print what came out, write its page, and return it (None for a dry
    run)."""
    from ..data import Relabelled
    from ..data.image_files import describe_left_out
    from ..data.sources import left_out, open_source
    from ..importance.estimate import Plan, estimate
    from ..training.devices import device_name
    from .predicted import predicted_labels

    if config.num_workers < 0:
        raise UserError(f"--num-workers {config.num_workers}: give 0 (read in this process) or more")
    size, side = view_of(config.run, config.size, config.fit)
    source = open_source(
        config.data,
        config.split,
        size=size,
        subset=config.subset,
        limit=config.limit,
        seed=config.data_seed,
        broken=config.broken,
        progress=not config.quiet,
        unlabelled=config.explain == "predicted",
    )
    before, began = maps_done(config.out), time.monotonic()
    model = _model(config, source, method)
    if config.explain == "predicted":
        if model is None:
            raise UserError(f"--explain predicted asks a model, and {method.name} has none: leave it out")
        device = device_name(config.device)
        source = Relabelled(source, predicted_labels(model, source, device, side, progress=not config.quiet))
    store = estimate(
        model,
        source,
        config.out,
        method,
        seed=config.seed,
        chunk_size=config.chunk_size,
        device=device_name(config.device),
        dry_run=config.dry_run,
        progress=not config.quiet,
        num_workers=config.num_workers,
        part=None if config.part is None else _part(config.part),
        size=side,
        continuous=config.continuous,
        precision=config.precision,
        compile=config.compile,
    )
    if not isinstance(store, Plan):
        print(f"{config.out}: {describe(store.summary())}")
    print(describe_left_out(left_out(source)), end="")
    if isinstance(store, Plan):
        return None
    if os.environ.get("RANK", "0") == "0":
        computed = {"images": len(store) - before, "seconds": time.monotonic() - began}
        print(_write_page(config, source, store, computed))
    return store


def merge_parts(config: MergeConfig) -> ImportanceStore:
    """Join the parts, print what came out, and return the whole store."""
    from ..importance.merge import merge

    store = merge(list(config.parts), config.out)
    print(f"{config.out}: {describe(store.summary())}")
    return store


def describe(summary: dict[str, Any]) -> str:
    """A store's summary in one line."""
    text = f"{summary['done']} of {summary['rows']} maps by {summary['method']}"
    if "success_rate" in summary:
        text += f", attack succeeded on {100 * summary['success_rate']:.1f} %"
        text += f", {summary['mean_key_points']:.1f} key points on average"
    return text


def view_of(run: Path | None, size: ImageSize | None, fit: str | None) -> tuple[ImageSize | None, int | None]:
    """What a source is opened at, None for images as they are; and the side of squares that whole images of any size
    are stretched to, if they are. What is left out is that of the run."""
    if run is not None and (size is None or fit is None):
        from .reference_model import run_settings

        settings = run_settings(run)
        size = size or as_image_size(settings["size"])
        if settings.get("crop") == "resized" and isinstance(size, int):
            fit = fit or "stretch"
    if fit == "stretch" and size is None:
        raise UserError("--fit stretch needs --size: the side in pixels that the classifier sees, such as 224")
    if isinstance(size, tuple):
        if fit == "crop":
            raise UserError(f"--fit crop cuts out squares, --size {size[0]} {size[1]} whole images: leave out one")
        return size, None
    return (None, size) if fit == "stretch" else (size, None)


def _model(config: EstimateConfig, source: Source, method: Estimator) -> nn.Module | None:
    if not method.needs_model:
        return None
    from .reference_model import reference_model

    c = config
    return reference_model(source, c.run, c.model, c.checkpoint, c.mean, c.std, method.name)


def maps_done(folder: Path) -> int:
    """Maps that a folder holds before any work."""
    from ..importance.store import ImportanceStore
    from ..importance.store_files import PENDING

    try:
        return int((ImportanceStore(folder, allow_partial=True).status != PENDING).sum())
    except UserError:  # no store yet; whatever else is wrong with it, `augwise.estimate` says
        return 0


def _write_page(config: EstimateConfig, source: Source, store: ImportanceStore, computed: dict[str, Any]) -> Path:
    """What the store is like, as ``results.json``, pictures and page in its folder."""
    import json
    from dataclasses import asdict

    import torch

    from .. import __version__
    from ..data.sources import left_out
    from ..report.build import report
    from ..report.gallery import group, write_gallery
    from ..training.checkpoint import plain
    from ..training.devices import device_name
    from ..training.results import RESULTS, environment, write_json
    from .gallery import map_examples
    from .map_statistics import map_statistics, results_of_store

    if not computed["images"]:  # nothing was left to do: keep what the call that did it recorded
        with contextlib.suppress(OSError, ValueError, KeyError):
            computed = json.loads((config.out / RESULTS).read_text())["computed"]
    names = list(source.class_names)
    numbers, mean_map = map_statistics(store, dict(enumerate(names)), progress=not config.quiet)
    results = results_of_store(store, numbers) | {
        "augwise": __version__,
        "name": config.out.absolute().name,
        "config": plain(asdict(config)),
        "data": {
            "name": source.name,
            "classes": names,
            "left_out": [list(file) for file in left_out(source)],
        },
        "computed": computed,
        "environment": environment(torch.device(device_name(config.device))),
    }
    # A part lacks most images of the source; the whole store shows them once it is merged.
    shown = [] if config.part else [group("Drawn evenly from the classes", map_examples(store, source, _SHOWN))]
    write_json(config.out / RESULTS, results)
    write_gallery(config.out, shown, mean_map)
    return report(config.out)


def _part(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise UserError(f"--part {text} is not a part: the second of three is --part 2/3")
    return int(number) - 1, int(of)
