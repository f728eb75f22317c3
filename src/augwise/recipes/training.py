"""The job that most places of the papers' tables take: one network, trained and tested, with or without maps.

Base models, maps and networks that others start from are made once for all jobs that need the same ones, below
``HOME/prepared``; a job writes there and into its own folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..catalogue import find, methods
from ..training.config import EvaluateConfig, TrainConfig
from .claims import waited
from .prepared import Maps, Prepared, device_of, settings_of, sources_of
from .recipe import Outcome, Where, key_of

if TYPE_CHECKING:
    from torch import nn

    from ..analysis.compare_runs import Sources
    from ..data.sources import Source
    from ..importance.attached import AttachedMaps

__all__ = ["Arm", "Maps", "Training", "converged", "training"]

Arm = Literal["plain", "guarded", "control", "trusted"]


@dataclass(frozen=True)
class Training:
    """Train and test one network.

    train: how, with data called as recipes call them; neither seed nor folder. steps: methods in their order, each with
    its options. maps: needed where a step looks at them. arm: "control" lends every image another one's map; "trusted"
    guards as often as a label is to be believed, and has the plain options in ``plain``. noise: share of the labels
    drawn anew for everybody, base model and maps included. also: names of further metrics (precision, auc).
    seeded_data: the seed of a run also draws which images keep their labels, which labels are wrong, and any subset.
    first: the job, of the same seed, whose network this one starts from, with a new head where classes differ.
    manifold: layers that Manifold Mixup draws from, none for none of it.
    """

    train: TrainConfig
    steps: tuple[tuple[str, tuple[tuple[str, Any], ...]], ...] = ()
    arm: Arm = "plain"
    maps: Maps | None = None
    plain: tuple[tuple[str, Any], ...] = ()
    noise: float = 0.0
    also: tuple[str, ...] = ()
    seeded_data: bool = False
    first: Training | None = None
    manifold: tuple[str, ...] = ()

    def with_seeded_data(self) -> Training:
        """The same, with data drawn by the run's seed."""
        return replace(self, seeded_data=True)

    def seeded(self, seed: int) -> Training:
        """The same with the data of this seed, where they are drawn by it."""
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
            **({} if self.first is None else {"first": self.first.identity()}),
            **({"manifold": self.manifold} if self.manifold else {}),
        }

    def check(self, where: Where) -> None:
        self.sources(where)
        if self.first is not None:
            self.first.check(where)

    def sources(self, where: Where) -> Sources:
        """The images, under their wrong labels where there are some."""
        return sources_of(self.train, where, self.noise)

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        return self.seeded(seed)._run(seed, folder, where)

    def _run(self, seed: int, folder: Path, where: Where) -> Outcome:
        from ..training.evaluate import evaluate
        from ..training.results import CHECKPOINT, WEIGHTS

        result = self.fit(seed, folder, where)
        settings = settings_of(self.train, where)
        measured: dict[str, float | None] = {"accuracy": result["test"]["last_accuracy"]}
        if "retrieval" in result:
            measured |= {name: result["retrieval"][name] for name in ("map", "rank_1")}
        measured["seconds_per_epoch"] = result["seconds"] / settings.epochs
        measured["hours"] = result["seconds"] / 3600
        if self.also:
            asked = EvaluateConfig(run=folder, limit=settings.eval_limit, device=settings.device, quiet=True)
            found = evaluate(asked)
            measured |= {name: found[name] for name in self.also}
        for name in (WEIGHTS, CHECKPOINT):
            (folder / name).unlink(missing_ok=True)
        curve = [row["test_accuracy"] for row in result["curve"] if row.get("test_accuracy") is not None]
        if len(curve) == settings.epochs:
            measured["converged"] = converged(curve)
        return Outcome(measured, curve, result["seconds"], result["environment"])

    def fit(self, seed: int, folder: Path, where: Where) -> dict[str, Any]:
        """Train in ``folder``, where the weights stay; returns what `augwise.train` does."""
        import augwise as aw

        from ..analysis.compare_share import run_settings
        from ..training.results import WEIGHTS
        from ..training.train import train

        # Before the images: another data set may be opened for it, and one at a time is kept.
        begun = None if self.first is None else self.first.kept(seed, where) / WEIGHTS
        settings, sources = settings_of(self.train, where), self.sources(where)
        maps = None if self.maps is None or self.maps.live else self._attached(where, sources, seed)
        return train(
            replace(run_settings(settings, folder), seed=seed, checkpoint_seconds=60.0),
            source=sources.train,
            test=sources.test,
            maps=maps,
            steps=self._steps(where, sources.train),
            model=None if begun is None else self._continued(begun, seed, sources.train),
            forward=aw.ManifoldMixup(self.manifold) if self.manifold else None,
        )

    def kept(self, seed: int, where: Where) -> Path:
        """The folder of this job's run with its weights, trained by whoever comes first, for others to go on from."""
        own = self.seeded(seed)
        home = where.home / "prepared" / f"network-{key_of(own)}" / f"s{seed}"
        with waited(home / "claim.json"):
            own.fit(seed, home, where)
        return home

    def _continued(self, weights: Path, seed: int, source: Source) -> nn.Module:
        from .. import models

        network = models.build(self.train.model, len(source.class_names), source[0][0].shape[0], seed=seed)
        return models.load_weights(network, weights, new_head=True)

    def _attached(self, where: Where, sources: Sources, seed: int) -> AttachedMaps:
        from ..analysis.training_data import shaped

        shape = dict(self.steps[-1][1]).get("shape", "rectangle")
        store = self._prepared().store(where, sources, early=self.arm == "trusted")
        maps = shaped(store, shape, sources.train, progress=not where.quiet)
        return maps.deranged(seed) if self.arm == "control" else maps

    def _steps(self, where: Where, source: Source) -> list[nn.Module]:
        import augwise as aw

        made: list[nn.Module] = [find(method, methods()).load()(**dict(options)) for method, options in self.steps]
        if self.maps is not None and self.maps.live:
            made.insert(-1, aw.LiveSaliency(control=self.arm == "control", **dict(self.maps.options)))
        if self.arm == "trusted":
            (method, _), guarded = self.steps[-1], made.pop()
            plain = find(method, methods()).load()(**dict(self.plain))
            early = self._prepared().home(where) / "early"
            trust = aw.label_trust(early, source, device_of(where), progress=False)
            made.append(aw.TrustedGuard(guarded, plain, trust))
        return made

    def _prepared(self) -> Prepared:
        assert self.maps is not None
        return Prepared(self.train, self.maps, self.noise)


def converged(curve: Sequence[float], slack: float = 0.005) -> int:
    """The epoch, from 1, after which accuracy (a share, after each epoch) first is what it is in the end but for
    ``slack``: the mean of the last tenth of the epochs."""
    last = curve[-max(1, len(curve) // 10) :]
    end = sum(last) / len(last)
    return next(epoch for epoch, accuracy in enumerate(curve, 1) if accuracy >= end - slack)


def training(
    train: TrainConfig,
    method: str | None = None,
    arm: Arm = "plain",
    maps: Maps | None = None,
    *,
    before: Sequence[tuple[str, Mapping[str, Any]]] = (),
    noise: float = 0.0,
    also: tuple[str, ...] = (),
    options: Mapping[str, Any] | None = None,
    **comparison: Any,
) -> Training:
    """The job of one method in one arm, its options as `augwise.compare` sets them.

    before: methods that come first, plain, with their options. options: of the method, beside those that the comparison
    sets. comparison: fields of `CompareConfig` that say how strong a method is and how it is guarded (strengths,
    values, length, windows, quantiles, shapes, labels ...).
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
    own = tuple(sorted((dict(run.options) | dict(options or {})).items()))
    return Training(train, (*first, (method, own)), arm, needed, plain, noise, also)
