"""Probabilities that rise during training, and the one place that says how much of the training is done.

A method never counts epochs: it asks here. Whoever runs the epochs says so around each of them, `augwise.train` and
`WithImportance(..., epochs=)` by themselves, a loop of one's own by ``with aw.progress(share)``. Where nobody does,
training counts as done and a `Ramp` stands at its end. Draws nothing and knows no tensor.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeAlias

from .errors import UserError

_done: ContextVar[float] = ContextVar("augwise_progress", default=1.0)


@dataclass(frozen=True)
class Ramp:
    """A value that moves linearly from ``start`` to ``to`` while training proceeds, and then stays.

    With the share s of training done it is start + (to − start) · min(1, s / over): ``Ramp(0.8)`` is AdvMask's share
    of masked images (section 4.1), ``Ramp(0.8, over=0.8)`` GridMask's, at its end after four fifths of the epochs.

    to: value at the end.
    start: value before the first epoch.
    over: share of training, above 0 and up to 1, after which the end is reached.
    """

    to: float
    start: float = 0.0
    over: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.over <= 1:
            raise UserError(f"over={self.over} is no share of training: give a number above 0 and up to 1")

    def at(self, share: float) -> float:
        """The value when the share ``share`` of training, 0 to 1, is done."""
        part = min(1.0, share / self.over)
        return (1 - part) * self.start + part * self.to


Probability: TypeAlias = float | Ramp
"""A probability, the same throughout or rising with training."""


@contextmanager
def progress(share: float) -> Iterator[None]:
    """``with aw.progress((epoch + 1) / epochs): ...`` — inside, this share of training, 0 to 1, counts as done.

    With epochs counted from 0 this is what `augwise.train` says: the last epoch has the full value, the first one
    already a little of it (the rule of AdvMask's released program, whose epochs count from 1). It holds in this
    thread and process alone: a `DataLoader`'s workers need ``WithImportance(..., epochs=)``, which reads the epoch
    from the sampler's key.
    """
    if not 0 <= share <= 1:
        raise UserError(f"progress({share}) is no share of training: give a number from 0 to 1")
    token = _done.set(share)
    try:
        yield
    finally:
        _done.reset(token)


def progress_of(epoch: int, epochs: int | None) -> AbstractContextManager[None]:
    """`progress` for ``epoch`` (from 0) of ``epochs``: (epoch + 1) / epochs, and 1 in all that come after the last.

    Where it is not known how many there are (None), what was said outside goes on to hold.
    """
    return nullcontext() if epochs is None else progress(min(1.0, (epoch + 1) / epochs))


def current(p: Probability) -> float:
    """What a probability is now."""
    return p.at(_done.get()) if isinstance(p, Ramp) else p


def check_probability(p: Probability) -> Probability:
    """``p`` itself, if it is a probability, or a `Ramp` between two."""
    for value in (p.start, p.to) if isinstance(p, Ramp) else (p,):
        if isinstance(value, bool) or not 0 <= value <= 1:
            raise UserError(f"p={p} is not a probability: give a number from 0 to 1, or an aw.Ramp between two such")
    return p


def check_epochs(epochs: int | None) -> int | None:
    """``epochs`` itself, if it can be how many there are; None where it is not known."""
    if epochs is not None and epochs < 1:
        raise UserError(f"epochs={epochs}: give how many epochs training has, 1 or more, or leave it out")
    return epochs
