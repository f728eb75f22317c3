"""Any attack, and then every pixel taken back that it did not need."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..pruning import prune, refine
from .base import SparsePerturbation, Victims


@dataclass(frozen=True)
class Pruned(SparsePerturbation):
    """An attack with `pruning.prune` after it, or with `pruning.refine` where ``rounds`` is above 0.

    The moves of `refine` keep to epsilon; of an attack that does not, refine nothing.
    """

    attack: SparsePerturbation
    """What finds the perturbation."""
    rounds: int = 0
    """Smaller supports tried by `pruning.refine`; 0: prune alone."""
    steps: int = 20
    """Steps for each."""

    @property
    def paper(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the attack."""
        return self.attack.paper

    @property
    def bounded(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the attack is."""
        return self.attack.bounded

    @property
    def targeted(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the attack is."""
        return self.attack.targeted

    @property
    def package(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What the attack needs."""
        return self.attack.package

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        images, labels, targets, _ = victims
        delta = self.attack.perturb(model, victims, epsilon)
        mask = (delta != 0).any(1)
        if self.rounds:
            delta, mask = refine(
                model, images, labels, delta, mask, epsilon, targets, rounds=self.rounds, steps=self.steps
            )
        else:
            mask = prune(model, images, labels, delta, mask, targets)
        return delta * mask[:, None]
