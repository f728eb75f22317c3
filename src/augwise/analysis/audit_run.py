"""The verb ``audit``: named pipelines and methods of this library, side by side on the same images."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError
from ..training.config import ImageSize, as_image_size
from .pipelines import recipe
from .reference_model import run_settings

if TYPE_CHECKING:
    from torch import nn

    from .audit_result import Audit

_DEFAULT = ("crop-flip", "trivialaugment", "torchvision-train")


@dataclass(frozen=True)
class AuditConfig:
    """What augmentations destroy: of each image's evidence and area, and of what a classifier recognises in it."""

    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102 or imagenet, each also as NAME:DIR."""
    split: str = "train"
    """Split whose images are looked at."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width (--size 256 128); crops give this
    size too. Left out: that of the run, else images as they are and crops of the first image's shorter side."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or skip them (checks all files first, lists them at the
    end)."""
    subset: Path | None = None
    """Only the images that this file of augwise select names."""
    count: int = 512
    """How many images, a seeded subset with balanced classes."""
    policies: tuple[str, ...] = ()
    """Pipelines side by side: crop-flip, resized-crop, trivialaugment, randaugment, autoaugment, augmix,
    random-erasing, torchvision-train, timm-train, timm-rand-augment, mixup, cutmix, timm-mixup. Left out: crop-flip,
    trivialaugment and torchvision-train, or the method alone."""
    methods: tuple[str, ...] = ()
    """Methods of this library side by side, each plain and guarded as a comparison runs them at its usual strength;
    ten: the ten that IPF-RDA guards. One alone with options of its own: --method."""
    maps: Path | None = None
    """Folder of an importance store of these images. Left out: maps are made as it goes."""
    estimator: str | None = None
    """Without maps: the estimator that makes them. Left out: occlusion with a model, centre without one."""
    run: Path | None = None
    """Folder of a finished training run: the classifier that says what is still recognised."""
    model: str | None = None
    """Without a run: small_cnn, resnet18, wrn28_10 and more, timm:NAME or torchvision:NAME."""
    checkpoint: Path | None = None
    """Without a run: the file of the model's weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    cases: int = 6
    """Pictures on the page per pipeline and heading."""
    seed: int = 0
    """Seed of everything random: which images, and what the augmentations draw."""
    batch_size: int = 256
    """Images per forward pass of the model."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    out: Path = Path("audit")
    """Folder for results.json, table.txt, images.csv, gallery.json and report.html."""
    quiet: bool = False
    """No progress bar."""


def run_audit(config: AuditConfig, method: nn.Module | None = None, command: str = "") -> Audit:
    """Audit the pipelines that ``config`` names and ``method`` (an augmentation or mixer of this library; a guarded
    one with its plain form beside it), write the files, print the table, and return what was found.

    command heads the page.
    """
    from ..data.image_files import describe_left_out
    from ..data.sources import open_source
    from ..files import require_writable
    from ..training.devices import device_name
    from .audit import audit

    methods = _methods(config.methods)
    names = config.policies or (() if method is not None or methods else _DEFAULT)
    recipes = [recipe(name) for name in dict.fromkeys(names)]
    importance = _importance(config)
    require_writable(config.out)
    size = config.size or (None if config.run is None else as_image_size(run_settings(config.run)["size"]))
    opening: dict[str, Any] = {"size": size, "broken": config.broken, "subset": config.subset}
    source = open_source(config.data, config.split, **opening, progress=not config.quiet)
    size = size or min(source[0][0].shape[-2:])
    transforms: dict[str, Any] = {r.name: r.make(size, len(source.class_names)) for r in recipes}
    about = {r.name: r.summary for r in recipes}
    transforms |= methods
    if method is not None:
        transforms |= _arms(method)
    found = audit(
        source,
        transforms,
        importance=importance,
        model=_model(config, source),
        count=config.count,
        seed=config.seed,
        cases=config.cases,
        batch_size=config.batch_size,
        device=device_name(config.device),
        progress=not config.quiet,
        about=about | {name: repr(step) for name, step in transforms.items() if name not in about},
    )
    asked = {k: v for k, v in asdict(config).items() if v not in (None, ())}
    found = replace(
        found, settings=found.settings | {k: str(v) if isinstance(v, Path) else v for k, v in asked.items()}
    )
    page = found.write(config.out, title=f"Audit of {source.name}", command=command)
    print(f"{found}\n\n{config.out / 'results.json'}  {page}")
    print(describe_left_out(found.data["left_out"]), end="")
    return found


def _arms(method: nn.Module) -> dict[str, nn.Module]:
    name, guard = type(method).__name__, getattr(method, "guard", None)
    if hasattr(method, "wrapped"):
        name = type(method.wrapped).__name__
    if guard is None or not guard.active:
        return {name: method}
    plain: Any = copy.copy(method)
    plain.guard = replace(guard, quantile=None, threshold=None)
    return {f"{name}, plain": plain, f"{name}, guarded": method}


def _methods(names: tuple[str, ...]) -> dict[str, nn.Module]:
    """Catalogue methods by name and arm, built as a comparison builds them."""
    from ..catalogue import find, methods
    from .compare_plan import CompareConfig, arms_of, cells, run_of
    from .compare_runs import build
    from .presets import TEN

    if not names:
        return {}
    chosen = tuple(dict.fromkeys(name for given in names for name in (TEN if given == "ten" else (given,))))
    for name in chosen:
        find(name, methods(), also=("ten",))
    config = CompareConfig(methods=chosen, arms=("plain", "guarded"), windows=(), estimators=("occlusion",))
    config.check()
    found: dict[str, nn.Module] = {}
    for cell in cells(config):
        for arm in arms_of(config, cell):
            step = build(run_of(config, cell, arm, 0))
            assert step is not None
            found[f"{cell.method}, {arm}"] = step
    return found


def _importance(config: AuditConfig) -> Any:
    if config.estimator is None:
        return config.maps
    if config.maps is not None:
        raise UserError(f"--maps {config.maps} are there already: leave out --estimator {config.estimator}")
    from ..catalogue import estimators, find

    entry: Any = find(config.estimator, estimators()).load()
    method = entry()
    if method.needs_model and config.run is None and config.checkpoint is None:
        raise UserError(f"--estimator {config.estimator} looks into a classifier: give --run, or --estimator centre")
    return method


def _model(config: AuditConfig, source: Any) -> nn.Module | None:
    from .reference_model import reference_model

    c = config
    if c.run is None and c.model is None and c.checkpoint is None:
        return None
    return reference_model(source, c.run, c.model, c.checkpoint, c.mean, c.std, "the audit's recognition")
