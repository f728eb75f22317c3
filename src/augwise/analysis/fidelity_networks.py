"""The networks of a fidelity run: the one that makes the maps, others that were given, others that are trained here."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..importance.rows import Rows
from ..report.text import duration
from .fidelity_config import FidelityConfig

if TYPE_CHECKING:
    from torch import nn

    from ..data.sources import Source
    from ..training.config import TrainConfig

NETWORKS = "networks"
_LOOKED_AT = 8  # images that every network is shown before any work


@dataclass(frozen=True)
class Network:
    """A classifier in eval mode. name: for table and page; about: what is known of it, as JSON has it."""

    name: str
    model: nn.Module
    about: dict[str, Any]


def networks(config: FidelityConfig, source: Source, rows: Rows) -> list[Network]:
    """The network that makes the maps, then the others; those to be trained are trained, or read if they are there."""
    from .reference_model import reference_model

    c = config
    model = reference_model(source, c.run, c.model, c.checkpoint, c.mean, c.std, "fidelity")
    where = c.checkpoint if c.run is None else c.run
    assert where is not None
    found = [Network(_name(where), model, {"where": str(where)} | _settings(c.run))]
    found += [_read(folder, source) for folder in c.other]
    for network in found:
        check_fits(network.model, rows, network.about["where"])
    count = (0 if c.other or c.run is None else 1) if c.train_other is None else c.train_other
    if count and c.run is not None:
        found += _trained(c, c.run, count, source)
    return _named_apart(found)


def _read(folder: Path, source: Source) -> Network:
    from ..training.trained import trained

    return Network(_name(folder), trained(folder, list(source.class_names)).model, _about(folder))


def _about(folder: Path) -> dict[str, Any]:
    return {"where": str(folder)} | _settings(folder)


def _settings(run: Path | None) -> dict[str, Any]:
    from .reference_model import run_settings

    if run is None:
        return {}
    settings = run_settings(run)
    return {key: settings[key] for key in ("model", "seed", "epochs", "limit") if key in settings}


def _name(where: Path) -> str:
    return where.resolve().stem if where.is_file() else where.resolve().name


def _named_apart(found: Sequence[Network]) -> list[Network]:
    """Networks of one name are told apart by their folders."""
    names = [network.name for network in found]
    return [n if names.count(n.name) == 1 else replace(n, name=n.about["where"]) for n in found]


def check_fits(model: nn.Module, rows: Rows, where: str) -> None:
    """`UserError`, naming ``where`` it is from, for a network that does not fit these images (their size, channels or
    classes), or says the same of all of them."""
    import torch

    from ..importance.classifier import check_varies
    from ..importance.job import check_model

    spread = torch.linspace(0, len(rows) - 1, min(len(rows), _LOOKED_AT)).long().tolist()
    some = [rows[row][0] for row in spread]
    images = torch.stack([image for image in some if image.shape == some[0].shape]).float() / 255
    try:
        check_model(model, images, int(rows.labels().max()), rows.class_names)
        with torch.no_grad():
            check_varies(images, model(images))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _trained(config: FidelityConfig, run: Path, count: int, source: Source) -> list[Network]:
    """Networks of the run's settings from the seeds after its own, kept in ``OUT/networks``."""
    from ..training.evaluate import read_run
    from ..training.results import RESULTS
    from ..training.train import train

    known = read_run(run / RESULTS)
    settings = replace(settings_of(known), quiet=config.quiet, device=config.device, tensorboard=False)
    folders = [config.out / NETWORKS / f"seed-{settings.seed + i}" for i in range(1, count + 1)]
    waiting = [folder for folder in folders if not (folder / RESULTS).exists()]
    try:
        settings = _on_its_images(run, known, settings)
    except UserError as error:
        if config.train_other is not None:
            raise
        print(f"no other network to compare with: {error}", file=sys.stderr)
        return []
    if waiting and not config.quiet:
        print(_told(known, settings, len(waiting), config), file=sys.stderr)
    for i, folder in enumerate(folders, 1):
        train(replace(settings, seed=settings.seed + i, out=folder))
    found = [_read(folder, source) for folder in folders]
    return [replace(n, about=n.about | {"trained_here": True, "without": known["steps"]}) for n in found]


def settings_of(run: dict[str, Any]) -> TrainConfig:
    """The configuration that a run's ``results.json`` tells of."""
    from ..training.config import TrainConfig

    told = run["config"]
    given: dict[str, Any] = {f.name: told[f.name] for f in fields(TrainConfig) if f.name in told}
    for name, value in given.items():
        if isinstance(value, list):
            given[name] = tuple(value)
        elif name in ("checkpoint", "out", "subset") and value is not None:
            given[name] = Path(value)
    return TrainConfig(**given)


def _on_its_images(folder: Path, run: dict[str, Any], settings: TrainConfig) -> TrainConfig:
    """The settings that lead to the images which the run was trained on; `UserError` where none are known to.

    A comparison cuts the images of its runs itself, as the results beside its base model say.
    """
    from ..training.run_data import source_fingerprint
    from .training_data import training_images

    data, cure = run["data"], "train one yourself and give it as --other, or leave it out with --train-other 0"
    if run["identity"].get("model") is not None:
        raise UserError(f"it cannot be trained as the run was, whose network was made elsewhere: {cure}")
    for given in dict.fromkeys([settings, replace(settings, **_cut(folder.resolve().parent))]):
        try:
            images, _ = training_images(given)
        except UserError as error:
            raise UserError(f"it cannot be trained as the run was ({error}): {cure}") from error
        if source_fingerprint(images) == run["identity"].get("data") and list(images.class_names) == data["classes"]:
            return given
    raise UserError(
        f"it cannot be trained as the run was, whose settings do not lead to the {data['train']} images of "
        f"{data['name']} that it was trained on: {cure}"
    )


def _cut(comparison: Path) -> dict[str, Any]:
    """How the comparison in this folder, if there is one, cut its images."""
    try:
        found = json.loads((comparison / "results.json").read_text())
        return {name: found["config"]["train"][name] for name in ("limit", "val_share", "data_seed")}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _told(run: dict[str, Any], settings: TrainConfig, count: int, config: FidelityConfig) -> str:
    many = "another network" if count == 1 else f"{count} other networks"
    without = f", but without {'; '.join(run['steps'])}" if run["steps"] else ""
    return (
        f"training {many} as {config.run} was ({settings.model}, {settings.epochs} epochs{without}), "
        f"about {duration(count * run['seconds'])} if this machine is as fast; --other RUN gives one instead, "
        "--train-other 0 leaves it out"
    )
