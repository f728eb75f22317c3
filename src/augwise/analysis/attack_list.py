"""The attacks of ``attack-table`` by name: the one explicit list, and how each is built from the verb's settings."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError

if TYPE_CHECKING:
    from ..importance.attacks.base import SparsePerturbation

Goal = Literal["untargeted", "most_likely", "least_likely", "random"]
PRUNED, REFINED = "-pruned", "-refined"
DEFAULT = (
    "cdiea",
    "cdiea-pruned",
    "cdiea-refined",
    "pgd-l0",
    "pgd-l0-pruned",
    "greedy",
    "greedy-refined",
    "jsma",
    "sparsefool",
    "cw-l0",
    "sapf",
    "sparse-rs",
    "sigma-zero",
)
"""What is run unless attacks are named, beside every other learned-mask attack of the catalogue in the three forms."""


@dataclass(frozen=True)
class Settings:
    """What a user may turn without writing Python; every other constant is the attack's own default."""

    steps: int = 100
    cw_rounds: int = 24
    refine_rounds: int = 20


_BASELINES: dict[str, tuple[str, str, Callable[[Settings], dict[str, Any]]]] = {
    "pgd-l0": ("pgd_l0", "PGDL0", lambda s: {"steps": max(1, s.steps // 2)}),
    "greedy": ("greedy", "Greedy", lambda s: {}),  # noqa: ARG005
    "jsma": ("jsma", "JSMA", lambda s: {}),  # noqa: ARG005
    "sparsefool": ("sparsefool", "SparseFool", lambda s: {}),  # noqa: ARG005
    "cw-l0": ("cw_l0", "CarliniWagnerL0", lambda s: {"rounds": s.cw_rounds}),
    "sapf": ("sapf", "SAPF", lambda s: {}),  # noqa: ARG005
    "sparse-rs": ("sparse_rs", "SparseRS", lambda s: {"queries": 3 * s.steps}),
    "sigma-zero": ("sigma_zero", "SigmaZero", lambda s: {"steps": 2 * s.steps}),
    "foolbox-fmn": ("libraries", "FoolboxFMN", lambda s: {"steps": 2 * s.steps}),
    "torchattacks-sparsefool": ("libraries", "TorchattacksSparseFool", lambda s: {}),  # noqa: ARG005
}


def learned() -> dict[str, Any]:
    """The catalogue's estimators that are recipes of the sparse attack, by name: the class of each."""
    from ..catalogue import estimators
    from ..importance.sparse import Recipe

    found = {name: entry.load() for name, entry in estimators().items() if entry.key_points}
    return {name: made for name, made in found.items() if isinstance(made, type) and issubclass(made, Recipe)}


def names() -> list[str]:
    """Every name that can be asked for."""
    return [
        name + form for name in (*learned(), *_BASELINES) for form in ("", PRUNED, REFINED) if _makes_sense(name + form)
    ]


def default_names() -> list[str]:
    """The attacks of a table for which none are named."""
    others = [name + form for name in learned() if name != "cdiea" for form in ("", PRUNED, REFINED)]
    return [*others, *DEFAULT]


def is_ours(name: str) -> bool:
    """Whether an attack begins with one of this library's own."""
    return name.removesuffix(PRUNED).removesuffix(REFINED) in learned()


def find_attack(name: str, settings: Settings, goal: Goal) -> SparsePerturbation:
    """The attack of that name; `UserError` that lists the names for an unknown one."""
    if name not in names():
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UserError(f"attack {name!r} is unknown: {hint}choose among {', '.join(names())}")
    import importlib

    from ..importance.attacks.learned_mask import LearnedMask
    from ..importance.attacks.pruned import Pruned

    base = name.removesuffix(PRUNED).removesuffix(REFINED)
    made: SparsePerturbation
    if base in _BASELINES:
        module, kind, options = _BASELINES[base]
        made = getattr(importlib.import_module(f"augwise.importance.attacks.{module}"), kind)(**options(settings))
    else:
        made = LearnedMask(learned()[base](steps=settings.steps), None if goal == "untargeted" else goal)
    if name.endswith(REFINED):
        return Pruned(made, rounds=settings.refine_rounds)
    return Pruned(made) if name.endswith(PRUNED) else made


def _makes_sense(name: str) -> bool:
    """`refine` moves within epsilon, so it fits attacks that keep to it."""
    if not name.endswith(REFINED):
        return True
    base = name.removesuffix(REFINED)
    return base not in ("cw-l0", "sapf", "sparse-rs", "sigma-zero", "foolbox-fmn", "torchattacks-sparsefool")
