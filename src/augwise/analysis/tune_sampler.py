"""What to try next, by Optuna's tree-structured Parzen estimator; and what to stop early. Keeps and writes nothing.

A proposal depends on the ranges, the history, the seed and the number of the trial alone, so a search that was stopped
goes on as if it had not been. Optuna is imported when it is first needed.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import UserError
from .tune_space import Between, Range, Setting

if TYPE_CHECKING:
    from types import ModuleType

_KNOWN_BEFORE_STOPPING = 4  # settings that must have run to their end before one is compared with their median


class Known(NamedTuple):
    """One setting that was tried. accuracy: on the validation images; whole: run to its end, not stopped early."""

    setting: Setting
    accuracy: float
    whole: bool = True


def optuna() -> ModuleType:
    """The module Optuna; `UserError` where it is not installed."""
    try:
        import optuna
    except ImportError:
        raise UserError('a search needs Optuna: pip install "augwise[tune]"') from None
    return optuna


def propose(ranges: dict[str, Range], history: Sequence[Known], number: int, seed: int = 0) -> Setting:
    """The setting to try as number ``number`` after ``history``: a value for each of the ranges.

    The tree-structured Parzen estimator (Bergstra et al. 2011): the first ten settings are drawn at random, later ones
    where the density of the better part of the history is highest against that of the rest. Accuracies are to be high.
    Numbers have three significant digits.
    """
    from ..randomness import derive

    module = optuna()
    spoken = module.logging.get_verbosity()
    module.logging.set_verbosity(module.logging.WARNING)  # it announces every study it makes, also this one
    try:
        sampler = module.samplers.TPESampler(seed=derive(seed, "trial", number))
        study = module.create_study(direction="maximize", sampler=sampler)
        distributions = {name: _distribution(module, r) for name, r in ranges.items()}
        for known in history:
            state = module.trial.TrialState.COMPLETE if known.whole else module.trial.TrialState.PRUNED
            study.add_trial(
                module.create_trial(
                    state=state,
                    params=known.setting,
                    distributions=distributions,
                    value=known.accuracy,
                    intermediate_values={} if known.whole else {0: known.accuracy},
                )
            )
        found = study.ask(distributions).params
    finally:
        module.logging.set_verbosity(spoken)
    return {name: r.short(found[name]) for name, r in ranges.items()}


def _distribution(module: Any, found: Range) -> Any:
    d = module.distributions
    if not isinstance(found, Between):
        return d.CategoricalDistribution(found.choices)
    kind = d.IntDistribution if found.whole else d.FloatDistribution
    return kind(found.low, found.high, log=found.log)


def falls_behind(
    accuracy: float, epoch: int, others: Sequence[Sequence[float]], epochs: int, after: float = 0.5
) -> bool:
    """Whether a run should be stopped early by the median rule (Golovin et al. 2017).

    accuracy: after ``epoch`` (from 1) of ``epochs``; others: curves of whole runs, one accuracy per epoch. True where
    it is below the median of theirs at the same epoch, there are at least four of them, the share ``after`` of the
    epochs is done and an epoch is still to come. It looks at this epoch alone, so a run that was interrupted is judged
    alike.
    """
    rivals = [other[epoch - 1] for other in others if len(other) == epochs]
    if not after * epochs <= epoch < epochs or len(rivals) < _KNOWN_BEFORE_STOPPING:
        return False
    return accuracy < statistics.median(rivals)
