"""Sparse attacks on a stream of images: one that has converged leaves, and the next takes its place.

The classifier then always sees full batches of images that still need it. What an image goes through depends on nothing
but itself, so the order in which places become free changes no result (exactly so in float64; in float32 as far as the
convolution library allows). Touches nothing but tensors and the frozen model.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..errors import UserError
from .descent import Cohort, Descent, Stop, key_points
from .estimator import Estimated
from .sparse import Recipe, SparseAttack, Start, clean_logits, fooled

Batch = tuple[Tensor, Tensor, list[int]]
"""Images (B, C, H, W) in [0, 1], labels (B,) int64 and one seed per image."""

CONVERGED = Stop()

_OWN = (
    "alpha_start",
    "alpha_end",
    "unet_alpha_end",
    "reduce",
    "floor",
)  # what attempts that share a batch may differ in, of a Recipe's


class Left(NamedTuple):
    """Images whose attack is over.

    indices: their places in the stream, from 0; found: in the same order; steps: how many steps each one took, that is
    forward and backward passes of the classifier, all attempts together, 0 where none was made.
    """

    indices: list[int]
    found: SparseAttack
    steps: list[int]


def attack_stream(
    model: nn.Module, batches: Iterable[Batch], recipe: Recipe, slots: int = 128, stop: Stop | None = CONVERGED
) -> Iterator[Left]:
    """`sparse.attack` on images that come in batches of any size; each is given back when it is done.

    At most ``slots`` images are attacked at a time. An image leaves as soon as ``stop`` says that it has converged
    (None: never), or after its last step; if it then failed and the recipe has another attempt, it waits for that one.
    Those that are not worth attacking (`Start.possible`) are given back at once. Starts are computed batch by batch.

    With ``stop=None`` every image ends as `sparse.attack` ends it.

    Raises `UserError` as `sparse.attack` does, and where an attempt differs from the first in more than what is
    minimised and how alpha moves (the networks of a batch are trained together).
    """
    if slots < 1:
        raise UserError(f"slots={slots}: at least 1 image must be attacked at a time")
    if recipe.encoder_kind == "shared_unet":
        raise UserError(
            f"{recipe.name}: encoder_kind='shared_unet' trains one network for a whole batch, in which no image can "
            "take another's place: use static batching, or encoder_kind='unet'"
        )
    return _Stream(model, recipe, slots, stop).run(iter(batches))


def attack_until(
    model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, stop: Stop, seeds: list[int] | None = None
) -> SparseAttack:
    """`sparse.attack` on one batch whose images end when they have converged. Static: none takes another's place."""
    batch = images, labels, seeds or [0] * len(images)
    parts = list(attack_stream(model, [batch], recipe, max(len(images), 1), stop))
    if not parts:
        empty = torch.zeros_like(labels, dtype=torch.bool)
        return SparseAttack(torch.zeros_like(images), empty[:, None, None] & (images[:, 0] > 0), empty, empty, labels)
    order = torch.tensor([index for part in parts for index in part.indices]).argsort().to(images.device)
    return SparseAttack(*(torch.cat(values)[order] for values in zip(*(part.found for part in parts), strict=True)))


def estimate_stream(
    model: nn.Module, batches: Iterable[Batch], recipe: Recipe, slots: int = 128, stop: Stop | None = CONVERGED
) -> Iterator[tuple[list[int], Estimated]]:
    """The importance maps of a stream of images, as they are done: their places in the stream, and the maps."""
    for left in attack_stream(model, batches, recipe, slots, stop):
        yield left.indices, recipe.maps(left.found)


class _Group(NamedTuple):
    """Images that wait for their ``attempt`` (0: the first). indices, wrong (wrong_before), steps: of each image."""

    attempt: int
    indices: list[int]
    wrong: list[bool]
    steps: list[int]
    images: Tensor
    labels: Tensor
    start: Start

    def part(self, rows: slice) -> _Group:
        index, wrong, steps = self.indices[rows], self.wrong[rows], self.steps[rows]
        start = Start(*(value[rows] for value in self.start))
        return _Group(self.attempt, index, wrong, steps, self.images[rows], self.labels[rows], start)


@dataclass
class _Seat:
    """An image's place in the batch."""

    index: int
    wrong: bool
    attempt: int
    steps: int  # of earlier attempts
    cohort: Cohort


class _Stream:
    def __init__(self, model: nn.Module, recipe: Recipe, slots: int, stop: Stop | None) -> None:
        self.model, self.slots, self.stop = model, slots, stop
        self.attempts: list[Recipe] = [recipe]
        self.waiting: deque[_Group] = deque()
        self.seats: list[_Seat | None] = []
        self.count = 0  # images that have arrived
        self.open = True  # whether more may come
        self.descent: Descent | None = None

    @torch.no_grad()
    def run(self, batches: Iterator[Batch]) -> Iterator[Left]:
        while True:
            while self.open and sum(len(group.indices) for group in self.waiting) < self._free():
                yield from self._arrive(batches)
            self._fill()
            descent = self.descent
            if descent is None or not descent.cohorts:
                return
            ready = False
            while not ready:
                descent.step()
                ready = any(self._ended(cohort) or self._due(cohort) for cohort in descent.cohorts)
            yield from self._leave(descent)

    def _free(self) -> int:
        return self.slots if self.descent is None else self.seats.count(None)

    def _arrive(self, batches: Iterator[Batch]) -> Iterator[Left]:
        """Put the next batch into the queue; images that are not worth attacking are done."""
        batch = next(batches, None)
        if batch is None:
            self.open = False
            return
        images, labels, seeds = batch
        logits = clean_logits(self.model, images, labels)
        start = self.attempts[0].start(self.model, images, labels, logits, seeds)
        wrong, possible = (logits.argmax(1) != labels).tolist(), start.possible.tolist()
        index = list(range(self.count, self.count + len(images)))
        self.count += len(images)
        for attack in (True, False):
            rows = [row for row, worth in enumerate(possible) if worth == attack]
            if not rows:
                continue
            at = torch.tensor(rows, device=images.device)
            group = _Group(
                0, [index[row] for row in rows], [wrong[row] for row in rows], [0] * len(rows), images[at], labels[at],
                start.rows(at),
            )  # fmt: skip
            if attack:
                self.waiting.append(group)
            else:
                nothing = torch.zeros_like(group.images[:, 0], dtype=torch.bool)
                yield _left(group, torch.zeros_like(group.images), nothing, nothing[:, 0, 0])

    def _take(self, count: int) -> dict[int, list[_Group]]:
        """Up to ``count`` waiting images, in their order, by attempt."""
        taken: dict[int, list[_Group]] = {}
        while count and self.waiting:
            group = self.waiting.popleft()
            if len(group.indices) > count:
                self.waiting.appendleft(group.part(slice(count, None)))
                group = group.part(slice(count))
            taken.setdefault(group.attempt, []).append(group)
            count -= len(group.indices)
        return taken

    def _fill(self) -> None:
        """Free places are taken by waiting images; where none wait any more, the batch becomes smaller."""
        for attempt, groups in self._take(self._free()).items():
            images, labels = torch.cat([g.images for g in groups]), torch.cat([g.labels for g in groups])
            start = Start(*(torch.cat(values) for values in zip(*(g.start for g in groups), strict=True)))
            if self.descent is None:
                self.seats = [None] * len(images)
            rows = [row for row, seat in enumerate(self.seats) if seat is None][: len(images)]
            at = torch.tensor(rows, device=images.device)
            if self.descent is None:
                self.descent = Descent(self.model, images, labels, start, self.attempts[attempt])
                self.descent.cohorts[0].rows = at
            else:
                self.descent.enter(at, images, labels, start, self.attempts[attempt])
            cohort = self.descent.cohorts[-1]
            whose = [who for g in groups for who in zip(g.indices, g.wrong, g.steps, strict=True)]
            for row, (index, wrong, steps) in zip(rows, whose, strict=True):
                self.seats[row] = _Seat(index, wrong, attempt, steps, cohort)
        taken = [row for row, seat in enumerate(self.seats) if seat is not None]
        if self.descent is not None and taken and 4 * len(taken) <= 3 * len(self.seats):
            self.descent.keep(torch.tensor(taken, device=self.descent.labels.device))
            self.seats = [self.seats[row] for row in taken]

    def _ended(self, cohort: Cohort) -> bool:
        return cohort.step >= cohort.recipe.steps

    def _due(self, cohort: Cohort) -> bool:
        """Whether the step just made began at a step at which ``stop`` looks."""
        return self.stop is not None and cohort.step > 1 and (cohort.step - 1) % self.stop.every == 0

    def _leave(self, descent: Descent) -> Iterator[Left]:
        """Images whose attack is over are told apart, judged with their masks cut, and given back."""
        rows, deltas, masks, last = [], [], [], []
        ended = [cohort for cohort in descent.cohorts if self._ended(cohort)]
        due = [cohort.rows for cohort in descent.cohorts if self._due(cohort) and not self._ended(cohort)]
        if self.stop is not None and due:
            candidates = torch.cat([each for each in due if each is not None])
            candidates = candidates[descent.converged(self.stop)[candidates]]
            rows.append(candidates)
            deltas.append(descent.seen[candidates])
            masks.append(key_points(deltas[0], descent.output[candidates], descent.recipe.epsilon))
            last += [False] * len(candidates)
        if ended:
            delta, mask = descent.hard()
            finished = torch.cat([cohort.rows for cohort in ended if cohort.rows is not None])
            rows.append(finished)
            deltas.append(delta[finished])
            masks.append(mask[finished])
            last += [True] * len(finished)
        if not last:
            return
        at, delta, mask = torch.cat(rows), torch.cat(deltas), torch.cat(masks)
        success = fooled(self.model(descent.images[at] + delta * mask[:, None]), descent.labels[at])
        descent.stalled = descent.stalled.index_fill(0, at[~success], 0)
        out, again = [], []
        for i, (row, ok, over) in enumerate(zip(at.tolist(), success.tolist(), last, strict=True)):
            if ok or over:
                seat = self.seats[row]
                assert seat is not None
                more = not ok and self._attempt(seat.attempt + 1) is not None
                (again if more else out).append((i, row, seat))
        gone = {id(seat.cohort) for _, _, seat in (*out, *again)}
        for attempt in sorted({seat.attempt for _, _, seat in again}, reverse=True):
            self.waiting.appendleft(self._group(descent, [x for x in again if x[2].attempt == attempt], attempt + 1))
        given = self._group(descent, out, 0)
        for _, row, _ in (*out, *again):
            self.seats[row] = None
        self._leave_cohorts(descent, gone)
        if out:
            chosen = torch.tensor([i for i, _, _ in out], device=at.device)
            yield _left(given, delta[chosen], mask[chosen], success[chosen])

    def _group(self, descent: Descent, leaving: list[tuple[int, int, _Seat]], attempt: int) -> _Group:
        at = torch.tensor([row for _, row, _ in leaving], dtype=torch.int64, device=descent.labels.device)
        seats = [seat for _, _, seat in leaving]
        return _Group(
            attempt, [seat.index for seat in seats], [seat.wrong for seat in seats],
            [seat.steps + seat.cohort.step for seat in seats], descent.images[at], descent.labels[at],
            descent.start.rows(at),
        )  # fmt: skip

    def _leave_cohorts(self, descent: Descent, gone: set[int]) -> None:
        for cohort in [cohort for cohort in descent.cohorts if id(cohort) in gone]:
            rows = [row for row, seat in enumerate(self.seats) if seat is not None and seat.cohort is cohort]
            cohort.rows = torch.tensor(rows, dtype=torch.int64, device=descent.labels.device)
            if not rows:
                descent.cohorts.remove(cohort)

    def _attempt(self, number: int) -> Recipe | None:
        """The recipe of an attempt; None where there is none."""
        while len(self.attempts) <= number:
            first, following = self.attempts[0], self.attempts[-1].retry()
            if following is None:
                return None
            ours = [field.name for field in fields(Recipe) if field.name not in _OWN]
            differs = [name for name in ours if getattr(first, name) != getattr(following, name)]
            if differs:
                raise UserError(
                    f"{first.name}: another attempt with another {differs[0]} cannot share a batch with the first: "
                    "use static batching"
                )
            self.attempts.append(following)
        return self.attempts[number]


def _left(group: _Group, delta: Tensor, mask: Tensor, success: Tensor) -> Left:
    wrong = torch.tensor(group.wrong, device=success.device)
    return Left(group.indices, SparseAttack(delta, mask, success, wrong, group.start.targets), group.steps)
