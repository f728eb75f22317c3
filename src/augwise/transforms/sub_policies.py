"""Policies that are data: lists of sub-policies, published ones from a file beside this one, or a user's own.

A sub-policy is a short sequence of (operation, probability, magnitude). What a magnitude means is the method's:
AutoAugment counts bins, Fast AutoAugment gives shares of a range.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .operations import IDENTITY, OPERATIONS

Step = tuple[str, float, float | None]
SubPolicy = Sequence[Step]
"""Operations one after the other: (name, probability, magnitude)."""

_PUBLISHED = Path(__file__).parent / "published"


class SubPolicies(NamedTuple):
    """P sub-policies of at most L operations: operations (P, L) int64, places in `OPERATIONS`; probabilities and
    magnitudes (P, L) float64. Shorter ones are filled up with Identity."""

    operations: Tensor
    probabilities: Tensor
    magnitudes: Tensor

    def draw(self, n: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor, Tensor]:
        """For each of n images one sub-policy, uniform, and of its operations those that its probabilities allow.

        Returns operations (n, L), Identity where the coin fell against it, magnitudes (n, L), and which of them are to
        be negated if they have a sign, (n, L) bool, half of them.
        """
        chosen = randomness.integers(len(self.operations), n, generator=generator)
        happens, side = randomness.uniform(n, self.operations.shape[1], 2, generator=generator).unbind(2)
        operations = torch.where(happens < self.probabilities[chosen], self.operations[chosen], IDENTITY)
        return operations, self.magnitudes[chosen], side < 0.5


def published(method: str, name: str) -> list[SubPolicy]:
    """The sub-policies that ``method`` (a file of `published`) gives for the data set ``name``."""
    policies = json.loads((_PUBLISHED / f"{method}.json").read_text())["policies"]
    if name not in policies:
        raise UserError(
            f"policy={name!r} is unknown: use one of {', '.join(policies)}, or a list of sub-policies of your own"
        )
    return policies[name]


def label(policy: str | Sequence[SubPolicy], parsed: SubPolicies) -> str:
    """What a policy is called where it is printed: a published one by its name, one's own by its length and a hash of
    its content, since a run is known by what its steps print."""
    if isinstance(policy, str):
        return policy
    digest = hashlib.blake2b(digest_size=4)
    for part in parsed:
        digest.update(part.contiguous().numpy().tobytes())
    return f"own, {len(parsed.operations)} sub-policies, {digest.hexdigest()}"


def parse(
    policy: Iterable[SubPolicy], known: Sequence[str], check: Callable[[str, Any], float], example: str
) -> SubPolicies:
    """Sub-policies as tensors; `UserError` for what is none.

    known: names that may occur; check: the magnitude as a number, given the operation's name and what stood there, or
    a `UserError`; example: a sub-policy, for the messages.
    """
    if isinstance(policy, str) or not isinstance(policy, Iterable):
        raise UserError(f"policy={policy!r} is no policy: give its name, or a list of sub-policies such as [{example}]")
    rows = []
    for number, sub in enumerate(policy):
        if isinstance(sub, str) or not isinstance(sub, Iterable):
            raise UserError(f"sub-policy {number} is {sub!r}: give a list of operations, as in [{example}]")
        steps = []
        for step in sub:
            if not isinstance(step, Sequence) or isinstance(step, str) or len(step) != 3:
                raise UserError(
                    f"sub-policy {number} holds {step!r}: a policy is a list of sub-policies, each a list of "
                    f"(operation, probability, magnitude), as in [{example}]"
                )
            name, probability, magnitude = step
            if name not in known:
                raise UserError(f"operation {name!r} in sub-policy {number} is unknown: use one of {', '.join(known)}")
            if not isinstance(probability, int | float) or not 0 <= probability <= 1:
                raise UserError(
                    f"probability {probability!r} of {name} in sub-policy {number} is out of range: give a number "
                    "from 0 to 1"
                )
            steps.append((OPERATIONS.index(name), float(probability), check(name, magnitude)))
        rows.append(steps)
    if not rows or not any(rows):
        raise UserError(f"the policy is empty: give at least one sub-policy, such as [{example}]")
    longest = max(map(len, rows))
    full = [steps + [(IDENTITY, 0.0, 0.0)] * (longest - len(steps)) for steps in rows]
    table = torch.tensor(full, dtype=torch.float64)
    return SubPolicies(table[..., 0].long(), table[..., 1], table[..., 2])
