"""The library's own sparse attacks as rows of the comparison: any recipe of `sparse.attack`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from ...errors import UserError
from ..sparse import Recipe, attack
from .base import SparsePerturbation, Victims


@dataclass(frozen=True)
class LearnedMask(SparsePerturbation):
    """A recipe of `sparse.attack` (CDIEA, AdvMask's attack); its own epsilon is replaced by the comparison's.

    A targeted comparison sets the recipe's ``target`` to ``target``; `UserError` for a recipe that has no such option,
    and for one that attacks towards another class than is asked for.
    """

    paper: ClassVar[str] = "learned mask: IPF-RDA (CDIEA); Yang et al. 2023 (AdvMask)"

    recipe: Recipe
    """The attack and its constants."""
    target: str | None = None
    """Which wrong class a targeted comparison asks for, as the recipe's option of that name has it."""

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:
        images, labels, targets, seeds = victims
        self.recipe.check(*images.shape[-2:])
        options: dict[str, Any] = {"epsilon": epsilon}
        if targets is not None:
            if "target" not in {f.name for f in fields(self.recipe)}:
                raise UserError(f"{self.recipe.name} cannot be told which class to reach: run it untargeted")
            if self.target is None:
                raise UserError(
                    f"LearnedMask({type(self.recipe).__name__}(...)) got targets: say which wrong class they are, as "
                    "the recipe's option has it, such as LearnedMask(recipe, target='most_likely')"
                )
            options["target"] = self.target
        found = attack(model, images, labels, replace(self.recipe, **options), seeds)
        if targets is not None and not bool((found.targets == targets).all()):
            raise UserError(f"{self.recipe.name} attacked towards other classes than the comparison asks for")
        return found.delta * found.mask[:, None]
