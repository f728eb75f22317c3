"""One setting of a search and what became of it; and which of several is best. Plain Python."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from .tune_sampler import Known
from .tune_space import Setting

State = Literal["whole", "stopped", "failed", "refused"]


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    number: its place in the search, 0 for the method's own setting, -1 for training without the method.
    setting: values of the parameters (of number 0 those that are known); options: all that the method is given, None
        without it.
    state: whole; stopped early; failed while it was trained; or refused by the method before that. reason: why.
    accuracies: of each seed on the validation images, in [0, 1], at the last epoch (of a run that was stopped, when it
        was); accuracy: their mean. curve: of the first seed of a whole setting, by epoch.
    epochs: that the first seed was trained for; seconds: that all of them took.
    """

    number: int
    setting: Setting
    options: dict[str, Any] | None
    state: State = "whole"
    reason: str = ""
    accuracy: float | None = None
    accuracies: tuple[float, ...] = ()
    curve: tuple[float, ...] = ()
    epochs: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, row: dict[str, Any]) -> Trial:
        """From what results.json says."""
        sequences = {"accuracies": tuple(row["accuracies"]), "curve": tuple(row["curve"])}
        options = row["options"] and {k: tuple(v) if isinstance(v, list) else v for k, v in row["options"].items()}
        return cls(**{**row, **sequences, "options": options})


def trained(trials: Iterable[Trial]) -> list[Trial]:
    """Those that cost training: all but what the method refused."""
    return [t for t in trials if t.state != "refused"]


def history(trials: Iterable[Trial], ranges: Iterable[str]) -> list[Known]:
    """What the next proposal is made from: what was measured, in the order in which it was."""
    names = set(ranges)
    return [
        Known(t.setting, t.accuracy, t.state == "whole")
        for t in trials
        if t.accuracy is not None and t.setting.keys() == names
    ]


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The whole trial of highest accuracy, of equals the earliest; None where there is none."""
    whole = [(t.accuracy, -t.number, t) for t in trials if t.state == "whole" and t.accuracy is not None]
    return max(whole, key=lambda found: found[:2])[2] if whole else None
