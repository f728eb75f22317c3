"""What a sparse attack is for the comparison: from images to perturbations, and nothing else.

Success, norms, bounds and cost are measured by who calls, alike for all. An attack touches nothing but tensors and
the frozen model that it is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ... import randomness
from ...errors import UserError
from ..classifier import check_batch, check_eval, check_one_each
from ..descent import bounds, check_epsilon
from ..margin import rows_of


class Victims(NamedTuple):
    """The images to be attacked.

    images: (B, C, H, W) floats in [0, 1]; labels: (B,) int64, what they must no longer be taken for; targets: (B,)
    int64, what they must be taken for, or None: anything but the label; seeds: one 32-bit seed per image.
    """

    images: Tensor
    labels: Tensor
    targets: Tensor | None
    seeds: list[int]

    def rows(self, index: Tensor) -> Victims:
        """Some of the images."""
        seeds = [self.seeds[i] for i in index.tolist()]
        return Victims(self.images[index], self.labels[index], rows_of(self.targets, index), seeds)


@dataclass(frozen=True)
class SparsePerturbation(ABC):
    """A sparse attack. Concrete ones are frozen dataclasses whose fields are the attack's constants.

    What an image gets may depend on the image, its label, its target, its seed and the model, never on its neighbours.
    """

    paper: ClassVar[str]
    """Authors, year and title in short."""
    bounded: ClassVar[bool] = True
    """Whether the attack keeps |delta| <= epsilon; the others ignore epsilon."""
    targeted: ClassVar[bool] = True
    """Whether it can be told which class to reach."""
    package: ClassVar[str | None] = None
    """Package that must be installed for it."""

    def perturb(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        """The sparse perturbation of each image, (B, C, H, W): images + delta in [0, 1], 0 where nothing is changed.

        model: frozen, in eval mode, takes pixels in [0, 1], returns (B, K) logits. epsilon: bound of |delta| in pixel
        values of [0, 1]. An image that the attack does not fool may come back with any perturbation. Not to be
        overridden: write `search`. Raises `UserError` for what cannot be attacked, or not so.
        """
        check_victims(model, victims)
        check_epsilon(type(self).__name__, epsilon)
        return self.search(model, victims, epsilon)

    @abstractmethod
    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        """What `perturb` returns, from arguments that it has checked."""


def check_victims(model: nn.Module, victims: Victims) -> None:
    """`UserError` unless the model is in eval mode, and images, labels, targets and seeds are what `Victims` says."""
    check_eval(model)
    check_batch(victims.images, victims.labels, victims.seeds)
    if victims.targets is not None:
        check_one_each("targets", victims.targets, len(victims.images))


def box(images: Tensor, epsilon: float | None) -> tuple[Tensor, Tensor]:
    """Least and largest perturbation of every entry, by epsilon (None: no bound) and the valid pixels."""
    return (-images, 1 - images) if epsilon is None else bounds(images, epsilon)


def at_least(owner: str, **values: float) -> None:
    """Raise `UserError` unless every value is at least 1."""
    for name, value in values.items():
        if value < 1:
            raise UserError(f"{owner}: {name} must be at least 1, not {value}")


def uniform(seeds: list[int], shape: torch.Size, tag: str, like: Tensor) -> Tensor:
    """(B, *shape) numbers in [0, 1), those of each image from its own seed, of the type and device of ``like``."""
    draws = [randomness.uniform(1, *shape, generator=randomness.generator(seed, tag)) for seed in seeds]
    return torch.cat(draws).to(like) if draws else like.new_empty(0, *shape)
