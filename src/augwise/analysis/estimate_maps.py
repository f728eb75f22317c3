"""The verbs ``estimate`` and ``merge``: open the data, find the model, compute (or go on computing) the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from ..data.sources import Source
    from ..importance.estimator import Estimator
    from ..importance.store import ImportanceStore


@dataclass(frozen=True)
class EstimateConfig:
    """Importance maps of a data set, once. An interrupted run goes on where it stopped; new images are added."""

    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR, cifar10 or cifar100."""
    out: Path = Path("importance.maps")
    """Folder of the store."""
    run: Path | None = None
    """Folder of a finished training run: the classifier whose decisions are looked into."""
    model: str | None = None
    """Without a run: small_cnn, resnet18, resnet50, timm:NAME or torchvision:NAME."""
    checkpoint: Path | None = None
    """Without a run: the file of the model's weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    split: str = "train"
    """Split whose images are looked at."""
    limit: int | None = None
    """Only this many images, a seeded subset with balanced classes."""
    size: int | None = None
    """Resize images to this many pixels a side; needed where files differ in size."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or check all files first and leave such out."""
    seed: int = 0
    """Seed of everything random; each image's numbers depend on its bytes and this alone."""
    data_seed: int = 0
    """Seed of limit, as in train."""
    chunk_size: int | None = None
    """Images computed together, the unit of resuming; left out: what suits the method."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
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
    """Compute the store that ``config`` describes, print what came out, and return it (None for a dry run)."""
    from ..data.image_files import describe_left_out
    from ..data.sources import left_out, open_source
    from ..importance.estimate import Plan, estimate
    from ..training.devices import device_name

    if config.num_workers < 0:
        raise UserError(f"--num-workers {config.num_workers}: give 0 (read in this process) or more")
    source = open_source(
        config.data,
        config.split,
        size=config.size,
        limit=config.limit,
        seed=config.data_seed,
        broken=config.broken,
        progress=not config.quiet,
    )
    store = estimate(
        _model(config, source, method),
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
    )
    if not isinstance(store, Plan):
        print(f"{config.out}: {describe(store.summary())}")
    print(describe_left_out(left_out(source)), end="")
    if isinstance(store, Plan):
        return None
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


def _model(config: EstimateConfig, source: Source, method: Estimator) -> nn.Module | None:
    if not method.needs_model:
        return None
    if config.run is not None:
        from ..training.trained import trained

        return trained(config.run, list(source.class_names)).model
    given = (config.model, config.checkpoint, config.mean, config.std)
    model, checkpoint, mean, std = given
    if model is None or checkpoint is None or mean is None or std is None:
        names = ("--model", "--checkpoint", "--mean", "--std")
        missing = ", ".join(name for name, value in zip(names, given, strict=True) if value is None)
        raise UserError(
            f"{method.name} looks into a classifier: give --run, the folder of a finished augwise train, or {missing}"
        )
    from .. import models

    network = models.build(model, len(source.class_names), source[0][0].shape[0])
    return models.Normalized(models.load_weights(network, checkpoint), mean, std).eval()


def _part(text: str) -> tuple[int, int]:
    number, slash, of = text.partition("/")
    if not (slash and number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise UserError(f"--part {text} is not a part: the second of three is --part 2/3")
    return int(number) - 1, int(of)
