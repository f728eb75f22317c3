"""What jobs share, made once below ``HOME/prepared`` by whoever comes first: base models and their maps.

Jobs whose base models are trained alike have the same maps, whatever they train themselves.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..analysis.compare_config import LIVE
from ..catalogue import estimators, find
from ..training.config import TrainConfig
from .claims import waited
from .recipe import Outcome, Where

if TYPE_CHECKING:
    from ..analysis.compare_runs import Sources
    from ..data.sources import Source
    from ..importance.estimator import Estimator
    from ..importance.store import ImportanceStore

BASE_SEED = 1_000  # no run shares its initial weights with the network behind its maps


@dataclass(frozen=True)
class Maps:
    """Where importance comes from. estimator: by name, with its options, or "live", those of `LiveSaliency`; of: the
    label that a map explains, the given one or what the base model predicts; base: what differs in the base model's
    training."""

    estimator: str = "cdiea"
    options: tuple[tuple[str, Any], ...] = ()
    of: Literal["given", "predicted"] = "given"
    base: tuple[tuple[str, Any], ...] = ()

    @property
    def live(self) -> bool:
        """Whether the model in training is asked, so that nothing is prepared."""
        return self.estimator == LIVE


@dataclass(frozen=True)
class Prepared:
    """A base model and its maps. train: the job that they are for, whose data and settings they share but for
    ``maps.base``; of its labels the base model knows those that the job knows. noise: share of labels drawn anew."""

    train: TrainConfig
    maps: Maps
    noise: float = 0.0

    def home(self, where: Where) -> Path:
        """A folder whose name changes with all that base model and maps depend on."""
        from ..analysis.compare_share import counting

        looked = {"train": counting(asdict(self.base_settings()), asdict(TrainConfig())), "noise": self.noise}
        if self.train.learn.few_labels:
            looked["labelled"] = self.train.learn.labelled
        text = json.dumps([looked, asdict(self.maps)], sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return where.home / "prepared" / f"{self.maps.estimator}-{digest}"

    def base_settings(self) -> TrainConfig:
        """How the base model is trained."""
        from ..training.learn_config import LearnConfig

        learn = self.train.learn if self.train.learn.of_people else LearnConfig()  # people cannot be told otherwise
        changes: dict[str, Any] = {"learn": learn, "seed": BASE_SEED}
        return replace(self.train, **(changes | dict(self.maps.base)))

    def store(self, where: Where, sources: Sources, early: bool = False) -> ImportanceStore:
        """The maps, made by whoever comes first; the others wait. early: also a base model that stopped early."""
        from ..importance.estimate import estimate

        home = self.home(where)
        with waited(home / "claim.json"):
            method, model, source = self.looking(where, sources)
            if early:
                self.train_base(home / "early", where, sources, early=True)
            return estimate(model, source, home / "maps", method, device=device_of(where), progress=not where.quiet)

    def looking(self, where: Where, sources: Sources) -> tuple[Estimator, Any, Source]:
        """What `estimate` takes: method, base model (None where none is asked) and images under the labels that are to
        be explained. The caller holds the claim of `home`."""
        from ..analysis.predicted import predicted_labels
        from ..data.relabelled import Relabelled
        from ..training.trained import trained

        make: Any = find(self.maps.estimator, estimators()).load()
        method: Estimator = make(**dict(self.maps.options))
        source, model = sources.train, None
        if method.needs_model or self.maps.of == "predicted":
            self.train_base(self.home(where) / "base", where, sources)
            model = trained(self.home(where) / "base").model
        if self.maps.of == "predicted":
            assert model is not None
            source = Relabelled(source, predicted_labels(model, source, device_of(where), progress=False))
        return method, model, source

    def train_base(self, folder: Path, where: Where, sources: Sources, early: bool = False) -> None:
        """early: for as few epochs as wrong labels take to be learned."""
        from ..analysis.compare_share import run_settings
        from ..training.train import train

        settings = settings_of(self.base_settings(), where)
        epochs = max(2, settings.epochs // 6) if early else settings.epochs
        train(replace(run_settings(settings, folder), epochs=epochs), source=self._known(sources), test=sources.test)

    def _known(self, sources: Sources) -> Source:
        """The training images whose labels the job knows."""
        learn = self.train.learn
        if not learn.few_labels:
            return sources.train
        from ..data.sources import Subset
        from ..training.few_labels import labelled_rows

        labels, classes = sources.train.labels, len(sources.train.class_names)
        return Subset(sources.train, labelled_rows(labels, learn.labelled or 0, classes, self.train.data_seed))


def settings_of(train: TrainConfig, where: Where) -> TrainConfig:
    """A job's settings under these circumstances."""
    changes: dict[str, Any] = {"data": where.source(train.data), "device": where.device, "quiet": where.quiet}
    return replace(train, threads=where.threads or train.threads, **changes)


def sources_of(train: TrainConfig, where: Where, noise: float = 0.0) -> Sources:
    """The images, under their wrong labels where there are some."""
    found = _open(settings_of(train, where))
    if not noise:
        return found
    from ..data.relabelled import Relabelled, noisy_labels

    labels, names = found.train.labels, list(found.train.class_names)
    wrong = noisy_labels(labels, names, noise, "symmetric", train.data_seed)
    return found._replace(train=Relabelled(found.train, wrong))


def _open(settings: TrainConfig) -> Sources:
    from ..analysis.compare_runs import comparison_sources

    key = json.dumps([settings.data, settings.split, settings.eval_split, settings.opened_size, settings.limit,
                      settings.eval_limit, settings.val_share, settings.data_seed, str(settings.subset)])  # fmt: skip
    if key not in _OPENED:
        _OPENED.clear()  # one at a time: data sets may be large
        _OPENED[key] = comparison_sources(settings)
    return _OPENED[key]


_OPENED: dict[str, Sources] = {}


def measured_here(measured: dict[str, float | None], seconds: float, where: Where) -> Outcome:
    """The outcome of a job that has no curve: what it measured, and on what."""
    import torch

    from ..training.results import environment

    return Outcome(measured, [], seconds, environment(torch.device(device_of(where))))


def device_of(where: Where) -> str:
    """The device's name."""
    from ..training.devices import device_name

    return device_name(where.device)
