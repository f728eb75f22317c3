"""Optimisers, learning rate as a pure function of the place in the run, and the moving average of weights.

The schedule holds no state: the rate depends on (epoch, step, steps) alone, so there is nothing to save, and phases
whose length changes from epoch to epoch fit.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import UserError

DEFAULTS = {"sgd": (0.1, 5e-4), "adamw": (1e-3, 0.05), "adam": (1e-3, 5e-4)}
"""Highest learning rate and weight decay of each optimiser."""


def build(
    name: str,
    parameters: Iterable[nn.Parameter],
    lr: float | None = None,
    momentum: float = 0.9,
    weight_decay: float | None = None,
) -> Optimizer:
    """SGD with Nesterov momentum, AdamW or Adam. Weight decay acts on all parameters, as in the papers' code."""
    if name not in DEFAULTS:
        raise UserError(f"optimizer={name!r} is unknown: use one of {', '.join(DEFAULTS)}")
    lr = DEFAULTS[name][0] if lr is None else lr
    decay = DEFAULTS[name][1] if weight_decay is None else weight_decay
    if name == "sgd":
        return torch.optim.SGD(parameters, lr, momentum=momentum, weight_decay=decay, nesterov=momentum > 0)
    made = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return made(parameters, lr, weight_decay=decay)


@dataclass(frozen=True)
class Schedule:
    """Factor of the learning rate at each step of a run of ``epochs`` E with W warm-up epochs.

    With p = epoch + step / steps (both from 0; steps = steps of this epoch's phase):
    warm-up, p < W:   f + (1 − f) (p + 1 / steps) / W, f = warmup_from, so the first step already moves and the last is
                      at full rate;
    cosine:           (1 + cos(π (p − W) / (E − W))) / 2;
    cosine_7_16:      cos(7 π (p − W) / (16 (E − W))), which ends at 0.195 (FixMatch);
    steps:            gamma to the number of milestones ≤ epoch.
    """

    epochs: int
    kind: str = "cosine"
    warmup_epochs: float = 0.0
    milestones: tuple[int, ...] = ()
    gamma: float = 0.2
    warmup_from: float = 0.0

    def factor(self, epoch: int, step: int, steps: int) -> float:
        """Factor in [0, 1] for ``step`` of ``steps`` in ``epoch``, all from 0."""
        place = epoch + step / steps
        if place < self.warmup_epochs:
            risen = min(1.0, (place + 1 / steps) / self.warmup_epochs)
            return risen + self.warmup_from * (1 - risen)
        if self.kind == "steps":
            return self.gamma ** sum(m <= epoch for m in self.milestones)
        done = (place - self.warmup_epochs) / (self.epochs - self.warmup_epochs)
        if self.kind == "cosine_7_16":
            return math.cos(7 / 16 * math.pi * done)
        return (1 + math.cos(math.pi * done)) / 2


class Average:
    """Exponential moving average of a model, in evaluation mode: ``average.model``.

    a ← d a + (1 − d) w after each step t = 0, 1, ...; d = min(decay, (1 + t) / (10 + t)), so that the random start is
    soon forgotten. Floating-point buffers (running statistics) are averaged alike, counters copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards ``model``, which has the same architecture."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        mine, theirs = _tensors(self.model), _tensors(model)
        moved = [(a, b) for a, b in zip(mine, theirs, strict=True) if a.is_floating_point()]
        lerp = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage]
        lerp([a for a, _ in moved], [b for _, b in moved], 1 - decay)
        for a, b in zip(mine, theirs, strict=True):
            if not a.is_floating_point():
                a.copy_(b)

    def state_dict(self) -> dict:
        """Plain tensors and numbers."""
        return {"steps": self.steps, "model": self.model.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """What `state_dict` gave."""
        self.steps = state["steps"]
        self.model.load_state_dict(state["model"])


def _tensors(model: nn.Module) -> list[Tensor]:
    return [*(p.detach() for p in model.parameters()), *model.buffers()]
