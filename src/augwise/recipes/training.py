"""The job that most places of the papers' tables take: one network, trained and tested, with or without maps.

Base models and maps are made once for all jobs that need the same ones, below ``HOME/prepared``; a job writes there and
into its own folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..catalogue import estimators, find, methods
from ..training.config import EvaluateConfig, TrainConfig
from .claims import waited
from .recipe import Outcome, Where

if TYPE_CHECKING:
    from torch import nn

    from ..analysis.compare_runs import Sources
    from ..data.sources import Source
    from ..importance.attached import AttachedMaps
    from ..importance.store import ImportanceStore

Arm = Literal["plain", "guarded", "control", "trusted"]
_BASE_SEED = 1_000  # no run shares its initial weights with the network behind its maps


@dataclass(frozen=True)
class Maps:
    """Where importance comes from. estimator: by name, with its options; of: the label that a map explains, the given
    one or what the base model predicts; base: what differs in the base model's training."""

    estimator: str = "cdiea"
    options: tuple[tuple[str, Any], ...] = ()
    of: Literal["given", "predicted"] = "given"
    base: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Training:
    """Train and test one network.

    train: how, with data called as recipes call them; neither seed nor folder. steps: methods in their order, each with
    its options. maps: needed where a step looks at them. arm: "control" lends every image another one's map; "trusted"
    guards as often as a label is to be believed, and has the plain options in ``plain``. noise: share of the labels
    drawn anew for everybody, base model and maps included. also: names of further metrics (precision, auc).
    seeded_data: the seed of a run also draws which images keep their labels, which labels are wrong, and any subset.
    """

    train: TrainConfig
    steps: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()
    arm: Arm = "plain"
    maps: Maps | None = None
    plain: tuple[tuple[str, Any], ...] = ()
    noise: float = 0.0
    also: tuple[str, ...] = ()
    seeded_data: bool = False

    def with_seeded_data(self) -> Training:
        """The same, with data drawn by the run's seed."""
        return replace(self, seeded_data=True)

    def _seeded(self, seed: int) -> Training:
        return replace(self, train=replace(self.train, data_seed=seed)) if self.seeded_data else self

    def identity(self) -> dict[str, Any]:
        from ..analysis.compare_share import counting

        told = [
            self.train.data,
            self.train.model,
            self.train.learn.objective,
            *(name for name, _ in self.steps),
            self.arm,
        ]
        name = "-".join(part.replace(":", "_") for part in told if part not in ("plain", "supervised"))
        return {
            "name": name,
            "train": counting(asdict(self.train), asdict(TrainConfig())),
            "steps": [[method, dict(options)] for method, options in self.steps],
            "arm": self.arm,
            "maps": None if self.maps is None else asdict(self.maps),
            "plain": dict(self.plain),
            "noise": self.noise,
            "also": self.also,
            "seeded_data": self.seeded_data,
        }

    def check(self, where: Where) -> None:
        self.sources(where)

    def sources(self, where: Where) -> Sources:
        """The images, under their wrong labels where there are some."""
        found = _open(_settings(self.train, where))
        if not self.noise:
            return found
        from ..data.relabelled import Relabelled, noisy_labels

        labels, names = found.train.labels, list(found.train.class_names)
        wrong = noisy_labels(labels, names, self.noise, "symmetric", self.train.data_seed)
        return found._replace(train=Relabelled(found.train, wrong))

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        return self._seeded(seed)._run(seed, folder, where)

    def _run(self, seed: int, folder: Path, where: Where) -> Outcome:
        from ..analysis.compare_share import run_settings
        from ..training.evaluate import evaluate
        from ..training.results import CHECKPOINT, WEIGHTS
        from ..training.train import train

        settings, sources = _settings(self.train, where), self.sources(where)
        maps = None if self.maps is None else self._attached(where, sources, seed)
        result = train(
            replace(run_settings(settings, folder), seed=seed, checkpoint_seconds=60.0),
            source=sources.train,
            test=sources.test,
            maps=maps,
            steps=self._steps(where, sources.train),
        )
        last = result["test"]["last_accuracy"]
        measured: dict[str, float | None] = {"accuracy": last}
        measured["seconds_per_epoch"] = result["seconds"] / settings.epochs
        if self.also:
            asked = EvaluateConfig(run=folder, limit=settings.eval_limit, device=settings.device, quiet=True)
            found = evaluate(asked)
            measured |= {name: found[name] for name in self.also}
        for name in (WEIGHTS, CHECKPOINT):
            (folder / name).unlink(missing_ok=True)
        curve = [row["test_accuracy"] for row in result["curve"] if row.get("test_accuracy") is not None]
        return Outcome(measured, curve, result["seconds"], result["environment"])

    def _attached(self, where: Where, sources: Sources, seed: int) -> AttachedMaps:
        from ..analysis.training_data import shaped

        shape = dict(self.steps[-1][1]).get("shape", "rectangle")
        maps = shaped(self._prepared(where, sources), shape, sources.train, progress=not where.quiet)
        return maps.deranged(seed) if self.arm == "control" else maps

    def _steps(self, where: Where, source: Source) -> list[nn.Module]:
        import augwise as aw

        made: list[nn.Module] = [find(method, methods()).load()(**dict(options)) for method, options in self.steps]
        if self.arm == "trusted":
            (method, _), guarded = self.steps[-1], made.pop()
            plain = find(method, methods()).load()(**dict(self.plain))
            trust = aw.label_trust(self._home(where) / "early", source, _device(where), progress=False)
            made.append(aw.TrustedGuard(guarded, plain, trust))
        return made

    def _home(self, where: Where) -> Path:
        """Of the base model and its maps: a name that changes with all that they depend on."""
        assert self.maps is not None
        from ..analysis.compare_share import counting

        looked = {"train": counting(asdict(self._base_settings()), asdict(TrainConfig())), "noise": self.noise}
        text = json.dumps([looked, asdict(self.maps)], sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return where.home / "prepared" / f"{self.maps.estimator}-{digest}"

    def _base_settings(self) -> TrainConfig:
        assert self.maps is not None
        from ..training.learn_config import LearnConfig

        return replace(self.train, learn=LearnConfig(), seed=_BASE_SEED, **dict(self.maps.base))

    def _prepared(self, where: Where, sources: Sources) -> ImportanceStore:
        """The maps, made by whoever comes first; the others wait."""
        assert self.maps is not None
        from ..analysis.predicted import predicted_labels
        from ..data.relabelled import Relabelled
        from ..importance.estimate import estimate
        from ..training.trained import trained

        home, device = self._home(where), _device(where)
        with waited(home / "claim.json"):
            make: Any = find(self.maps.estimator, estimators()).load()
            method = make(**dict(self.maps.options))
            source, model = sources.train, None
            if method.needs_model or self.maps.of == "predicted":
                self._train_base(home / "base", where, sources)
                model = trained(home / "base").model
            if self.arm == "trusted":
                self._train_base(home / "early", where, sources, early=True)
            if self.maps.of == "predicted":
                assert model is not None
                source = Relabelled(source, predicted_labels(model, source, device, progress=False))
            return estimate(model, source, home / "maps", method, device=device, progress=not where.quiet)

    def _train_base(self, folder: Path, where: Where, sources: Sources, early: bool = False) -> None:
        """early: for as few epochs as wrong labels take to be learned."""
        from ..analysis.compare_share import run_settings
        from ..training.train import train

        settings = _settings(self._base_settings(), where)
        epochs = max(2, settings.epochs // 6) if early else settings.epochs
        train(replace(run_settings(settings, folder), epochs=epochs), source=sources.train, test=sources.test)


def training(
    train: TrainConfig,
    method: str | None = None,
    arm: Arm = "plain",
    maps: Maps | None = None,
    *,
    before: Sequence[tuple[str, Mapping[str, Any]]] = (),
    noise: float = 0.0,
    also: tuple[str, ...] = (),
    **comparison: Any,
) -> Training:
    """The job of one method in one arm, its options as `augwise.compare` sets them.

    before: methods that come first, plain, with their options. comparison: fields of `CompareConfig` that say how
    strong a method is and how it is guarded (strengths, values, length, windows, quantiles, shapes, labels ...).
    """
    first = tuple((name, tuple(sorted(options.items()))) for name, options in before)
    if method is None:
        return Training(train, first, noise=noise, also=also)
    from ..analysis.compare_plan import CompareConfig, cells, run_of

    chosen = maps or Maps()
    guarded = "guarded" if arm == "trusted" else arm
    config = CompareConfig(
        train=train, methods=(method,), arms=(guarded,), estimators=(chosen.estimator,), seeds=1, **comparison
    )
    run = run_of(config, cells(config)[0], guarded, 0)
    plain: tuple[tuple[str, Any], ...] = ()
    if arm == "trusted":
        unguarded = replace(config, arms=("plain",))
        plain = run_of(unguarded, cells(unguarded)[0], "plain", 0).options
    needed = chosen if run.estimator else None
    return Training(train, (*first, (method, run.options)), arm, needed, plain, noise, also)


def _settings(train: TrainConfig, where: Where) -> TrainConfig:
    changes: dict[str, Any] = {"data": where.source(train.data), "device": where.device, "quiet": where.quiet}
    return replace(train, threads=where.threads or train.threads, **changes)


def _open(settings: TrainConfig) -> Sources:
    from ..analysis.compare_runs import comparison_sources

    key = json.dumps([settings.data, settings.split, settings.eval_split, settings.size, settings.limit,
                      settings.eval_limit, settings.val_share, settings.data_seed, str(settings.subset)])  # fmt: skip
    if key not in _OPENED:
        _OPENED.clear()  # one at a time: data sets may be large
        _OPENED[key] = comparison_sources(settings)
    return _OPENED[key]


_OPENED: dict[str, Sources] = {}


def _device(where: Where) -> str:
    from ..training.devices import device_name

    return device_name(where.device)
