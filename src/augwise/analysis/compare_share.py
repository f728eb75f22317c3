"""What a comparison computes once, before its runs: base model and maps; and what it may take over from others.

Writes into the comparison's own folder; folders it shares from are read alone. What is taken over is copied, so that
every folder stands by itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..catalogue import estimators, find
from ..errors import UserError
from ..files import require_writable, write_atomically
from .compare_plan import CompareConfig, Run

if TYPE_CHECKING:
    from torch import nn

    from ..data.sources import Source
    from ..importance.estimator import Estimator
    from ..importance.store import ImportanceStore
    from ..training.config import TrainConfig

# Settings of a run that do not change its result, or that are the run's own.
_ELSEWHERE = ("out", "seed", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds", "device", "num_workers")
_ELSEWHERE += ("broken",)  # shows in the data
_SAME_DATA = ("train", "test", "classes", "mean", "std")
ONE_PASS = "one_pass"  # the one estimator that is trained before it can be used
T = TypeVar("T")


def out_folder(settings: TrainConfig, what: str = "a comparison") -> Path:
    """The folder of many runs, tried; `UserError` without one. what: needs it."""
    if settings.out is None:
        raise UserError(f"{what} needs a folder for its runs: give --out")
    require_writable(settings.out)
    return settings.out


def run_settings(settings: TrainConfig, folder: Path) -> TrainConfig:
    """Training settings of a single run among many; the data come as objects."""
    return replace(settings, out=folder, val_share=0.0, limit=None, eval_limit=None, quiet=True, tensorboard=False)


def counting(train: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Those of a comparison's training settings that can change a run's result, and that are not the defaults.

    Of settings inside a setting (``learn``) likewise, so that a new one with its default makes no other run.
    """
    changed = {k: v for k, v in train.items() if k not in _ELSEWHERE and v != defaults.get(k)}
    for name, value in changed.items():
        if isinstance(value, dict) and isinstance(defaults.get(name), dict):
            changed[name] = {k: v for k, v in value.items() if v != defaults[name].get(k)}
    return changed


def identity_of(store: ImportanceStore) -> str:
    """What makes a store's maps what they are."""
    return json.dumps([store.meta[k] for k in ("method", "arguments", "model", "seed")], default=str)


def base_model(config: CompareConfig, train_source: Source, test: Source) -> dict[str, Any]:
    """Train (or find, or take over) the classifier that a comparison's maps look into, in ``OUT/base``.

    It sees the same images with crop and flip alone. Returns its results.json.
    """
    from ..training.train import train

    folder = out_folder(config.train) / "base"
    settings = run_settings(config.train, folder)
    if config.base_epochs is not None:
        settings = replace(settings, epochs=config.base_epochs)
    # A seed of its own: no arm shares its initial weights with the network behind the maps.
    settings = replace(settings, seed=1_000, quiet=config.train.quiet)

    def found_or_trained() -> dict[str, Any]:
        return train(settings, source=train_source, test=test)

    finished = [f / "base" for f in config.share if (f / "base" / "results.json").is_file()]
    return _taken_over(folder, finished, found_or_trained)


def estimator(config: CompareConfig, name: str) -> Estimator:
    """The estimator called ``name`` as the comparison sets it."""
    make: Any = find(name, estimators()).load()
    attack = name in ("cdiea", "advmask_attack")
    return make(epsilon=config.epsilon, steps=config.attack_steps) if attack else make()


def maps(config: CompareConfig, name: str, base: dict[str, Any], source: Source) -> ImportanceStore:
    """The store of one estimator: computed, resumed, found complete, or taken over."""
    from ..importance.estimate import estimate
    from ..training.devices import device_name
    from ..training.trained import trained

    out = out_folder(config.train)
    looked_into = config.maps_from or out / "base"
    where, progress = device_name(config.train.device), not config.train.quiet
    # Of images of any size whole ones are looked at, so that a map goes through whatever crop its image does.
    size = config.train.size if config.train.crop == "resized" and isinstance(config.train.size, int) else None
    folder = out / "maps" / name
    classes = base["data"]["classes"]
    if name == ONE_PASS:
        method: Estimator = _one_pass(config, trained(looked_into, classes).model, source, size, where)
    else:
        method = estimator(config, name)
    model = trained(looked_into, classes).model if method.needs_model else None

    def found_or_computed() -> ImportanceStore:
        return estimate(model, source, folder, method, device=where, progress=progress, size=size)

    # A store of other images as well would lend the control the maps of those.
    same = [f / "maps" / name for f in config.share if _same_data(_data_of(f), base["data"])]
    store = _taken_over(folder, [f for f in same if _complete(f)], found_or_computed)
    if not config.train.quiet:
        from .estimate_maps import describe

        print(f"maps: {describe(store.summary())}")
    return store


def _one_pass(config: CompareConfig, model: nn.Module, source: Source, size: int | None, where: str) -> Estimator:
    """The one-pass network of a comparison, ``OUT/one_pass.safetensors``: trained on its images, found or taken over.

    It looks at the features of the classifier that the other maps come from.
    """
    from ..training.one_pass import OnePassSettings, train_one_pass

    file = out_folder(config.train) / "one_pass.safetensors"
    settings = OnePassSettings(look="features")
    others = [other / file.name for other in config.share if (other / file.name).is_file()]
    started = file.exists() or file.with_name(f"{file.stem}.checkpoint.pt").exists()

    def found_or_trained() -> Estimator:
        return train_one_pass(model, source, file, settings, size=size, device=where, progress=not config.train.quiet)

    for other in [] if started else others:
        write_atomically(file, lambda into, other=other: into.write(other.read_bytes()))
        try:
            return found_or_trained()
        except UserError:  # of other images or another classifier
            file.unlink()
    return found_or_trained()


def known_outcomes(
    config: CompareConfig, runs: list[Run], identity: dict[str, str], data: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Outcomes by key of the runs that earlier results list, in this folder and in those shared from.

    So a comparison goes on from its results alone, where the folders of its runs were not kept. Another comparison may
    have called the data by another name: where size, classes, mean and standard deviation of the images are the same,
    its runs are found under the name it used.
    identity: of every store by estimator; data: the base model's results about the data.
    """
    from ..training.config import TrainConfig

    defaults = asdict(TrainConfig())
    settings = counting(asdict(config.train), defaults)
    found: dict[str, dict[str, Any]] = {}
    for folder in (*config.share, out_folder(config.train)):
        listed = _listed(folder)
        if not _same_data(listed.get("data", {}), data):
            continue
        name = listed["config"]["train"].get("data", defaults["data"])
        renamed = counting(asdict(config.train) | {"data": name}, defaults)
        outcomes = {run["key"]: run for run in listed["runs"] if "key" in run}
        for run in runs:
            key = run.key(settings, identity)
            for theirs in dict.fromkeys((key, run.key(renamed, identity))):
                outcome = outcomes.get(theirs) or _summary(folder, theirs)
                if outcome is not None:
                    found[key] = {k: v for k, v in outcome.items() if k not in ("key", "run")}
    return found


def _listed(folder: Path) -> dict[str, Any]:
    """A comparison's results.json; empty where it is missing, damaged or of another kind."""
    try:
        listed = json.loads((folder / "results.json").read_text())
        return listed if {"config", "data", "runs"} <= set(listed) and "train" in listed["config"] else {}
    except (OSError, ValueError, TypeError):
        return {}


def _summary(folder: Path, key: str) -> dict[str, Any] | None:
    """What a run finished that the results do not list yet."""
    try:
        return json.loads((folder / "runs" / key / "summary.json").read_text())
    except (OSError, ValueError):
        return None


def _complete(folder: Path) -> bool:
    from ..importance.store import ImportanceStore

    try:
        ImportanceStore(folder)
    except UserError:
        return False
    return True


def _data_of(folder: Path) -> dict[str, Any]:
    """What a comparison's base model says of the data it saw; empty where there is none."""
    try:
        return json.loads((folder / "base" / "results.json").read_text())["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _same_data(theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Whether two comparisons saw the same images, as far as numbers, classes and exact colour statistics tell."""
    return all(theirs.get(k) == ours[k] for k in _SAME_DATA)


def _taken_over(folder: Path, others: list[Path], make: Callable[[], T]) -> T:
    """``make()``, which finds what is complete in ``folder``, after a copy of each of the others in turn.

    What does not belong to this comparison is refused by the very check that protects a folder of one's own.
    """
    for other in [] if folder.exists() else others:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(other, part)
        part.rename(folder)
        try:
            return make()
        except UserError:
            shutil.rmtree(folder)
    return make()
