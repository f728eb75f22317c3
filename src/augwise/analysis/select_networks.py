"""Networks that are trained to see how they learn each image (EL2N, forgetting), in ``OUT/networks``; work goes on."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from ..files import DAMAGED, write_atomically
from .select_config import SelectConfig

if TYPE_CHECKING:
    from torch import Tensor

    from ..data.sources import Source
    from ..training.config import TrainConfig

NETWORKS = "networks"
_TESTED = 100  # images on which a run that nobody asks how good it is measures itself


class _Enough(Exception):
    """Ends a training whose network has been asked."""


def error_scores(config: SelectConfig, source: Source, device: str) -> dict[str, np.ndarray]:
    """EL2N: the mean over networks of the norm of their error, each asked early in a training as long as the run's."""
    import torch

    from ..selection import error_norms

    labels, found = torch.from_numpy(source.labels), []
    for number in range(config.networks):
        settings = _settings(config, source, config.seed + number)
        last = max(1, round(config.early * settings.epochs))
        folder = _folder(config, settings, f"el2n-{last}")
        norms = _read(folder / "norms.npz", "norms")
        if norms is None:
            asked: list[Tensor] = []

            def ask(epoch: int, probabilities: Callable[[], Tensor], last: int = last, asked: Any = asked) -> None:
                if epoch == last:
                    asked.append(probabilities())
                    raise _Enough

            with contextlib.suppress(_Enough):
                _train(config, source, settings, folder, device, ask)
            norms = error_norms(asked[0], labels).numpy()
            _write(folder / "norms.npz", norms=norms)
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        found.append(norms)
    return {"scores": np.mean(found, 0)}


def forgotten(config: SelectConfig, source: Source, device: str) -> dict[str, np.ndarray]:
    """Forgetting counts, the mean over networks; each network is asked about all images after every epoch."""
    from ..selection import forgetting_counts

    every = []
    for number in range(config.networks):
        settings = _settings(config, source, config.seed + number)
        folder = _folder(config, settings, "forgetting")
        right = _read(folder / "right.npz", "right")
        if right is None:
            right = np.full((settings.epochs, len(source)), -1, np.int8)

        def ask(epoch: int, probabilities: Callable[[], Tensor], right: Any = right, folder: Path = folder) -> None:
            right[epoch - 1] = probabilities().argmax(1).numpy() == source.labels
            _write(folder / "right.npz", right=right)

        _train(config, source, settings, folder, device, ask)
        if (right < 0).any():
            raise UserError(f"{folder} was trained without being asked after every epoch: delete it to train it again")
        every.append(right.astype(bool))
    return {"scores": np.mean([forgetting_counts(right) for right in every], 0), "right": np.stack(every)}


def _settings(config: SelectConfig, source: Source, seed: int) -> TrainConfig:
    """How the run was trained, on the images that are scored, normalised as it was."""
    from ..training.evaluate import read_run
    from ..training.results import RESULTS
    from .fidelity_networks import settings_of

    assert config.run is not None
    run = read_run(config.run / RESULTS)
    if list(run["data"]["classes"]) != list(source.class_names):
        raise UserError(
            f"{config.run} was trained on the classes {run['data']['classes']}, {source.name} has "
            f"{list(source.class_names)}: give a run on the same classes"
        )
    if run["identity"].get("model") is not None:
        raise UserError(f"{config.run} cannot be trained again, its network was made elsewhere: give another run")
    data: dict[str, Any] = {"limit": None, "val_share": 0.0, "subset": None, "redraw": False, "eval_limit": None}
    normalised: dict[str, Any] = {"mean": tuple(run["data"]["mean"]), "std": tuple(run["data"]["std"])}
    quiet: dict[str, Any] = {"quiet": config.quiet, "tensorboard": False, "eval_last": 1, "device": config.device}
    return replace(settings_of(run), **data, **normalised, **quiet, seed=seed)


def _folder(config: SelectConfig, settings: TrainConfig, what: str) -> Path:
    """One folder per network, that changes with what decides how it learns."""
    names = ("data", "split", "subset", "limit", "size", "data_seed")
    free = ("out", "quiet", "device", "threads", "num_workers")
    decides = {k: str(v) for k, v in vars(settings).items() if k not in free}
    decides |= {f"scored {name}": str(getattr(config, name)) for name in names}
    digest = hashlib.blake2b(json.dumps(decides, sort_keys=True).encode(), digest_size=5).hexdigest()
    return config.out / NETWORKS / f"{what}-s{settings.seed}-{digest}"


def _train(
    config: SelectConfig,
    source: Source,
    settings: TrainConfig,
    folder: Path,
    device: str,
    on_epoch: Callable[[int, Callable[[], Tensor]], None],
) -> None:
    """Train one network; after every epoch ``on_epoch`` is given its number, from 1, and a way to ask the network."""
    from .. import models
    from ..data.sources import limited
    from ..selection.outputs import probabilities
    from ..selection.pictures import Pictures
    from ..training.train import train

    pictures = Pictures(source, device, progress=not config.quiet)
    network = models.build(
        settings.model, len(source.class_names), pictures.shape[0], settings.pretrained, settings.seed
    )
    assert settings.mean is not None
    assert settings.std is not None
    seen = models.Normalized(network, settings.mean, settings.std)

    def told(row: dict[str, float]) -> None:
        seen.to(device).eval()
        on_epoch(int(row["epoch"]), lambda: probabilities(seen, pictures, config.batch_size, device, progress=False))

    # What a learning network says of all its images is of no use to a test; what matters is that there is one.
    tested = limited(source, min(len(source), _TESTED), 0)
    train(replace(settings, out=folder), source=source, test=tested, model=network, on_epoch=told)


def _read(path: Path, name: str) -> np.ndarray | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            return found[name]
    except DAMAGED:  # missing, or to be computed again
        return None


def _write(path: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write_atomically(path, lambda file: file.write(buffer.getvalue()))
