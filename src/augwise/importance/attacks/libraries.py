"""Attacks of other libraries, run as their own documentation says; imported only when they are used.

foolbox 3.3.4 works with today's torch and NumPy. torchattacks 3.5.1 works too, but asks for requests 2.25, which other
packages no longer accept: it is no part of ``augwise[attacks]`` and is used where it is installed (``pip install
--no-deps torchattacks``). Its JSMA is not offered: untargeted it attacks towards (label + 1) mod 10 whatever the
classes, and it holds a matrix of all pairs of entries, seconds for a step at 32 px.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...errors import UserError
from .base import SparsePerturbation, Victims, at_least

HOW = {"foolbox": "pip install augwise[attacks]", "torchattacks": "pip install --no-deps torchattacks"}
"""How each package is installed."""


def package(name: str) -> Any:
    """The imported package; `UserError` that says how to install it where it is missing."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own use of SciPy and others
            return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"this attack needs {name} ({error}): {HOW[name]}") from None


@dataclass(frozen=True)
class FoolboxFMN(SparsePerturbation):
    """Fast minimum norm, ℓ0, of foolbox (Pintor et al. 2021). It counts entries. Not bounded by epsilon."""

    paper: ClassVar[str] = "Pintor et al. 2021, FMN-ℓ0 (foolbox)"
    bounded: ClassVar[bool] = False
    package: ClassVar[str | None] = "foolbox"

    steps: int = 200
    """Steps."""

    def __post_init__(self) -> None:
        at_least("foolbox-fmn", steps=self.steps)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:  # noqa: ARG002
        foolbox = package("foolbox")
        images, labels, targets, _ = victims
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=images.device)
        attack = foolbox.attacks.L0FMNAttack(steps=self.steps)
        wanted = foolbox.criteria.Misclassification(labels)
        if targets is not None:
            wanted = foolbox.criteria.TargetedMisclassification(targets)
        with torch.enable_grad():
            found, _, _ = attack(wrapped, images, wanted, epsilons=None)
        return found.detach() - images


@dataclass(frozen=True)
class TorchattacksSparseFool(SparsePerturbation):
    """SparseFool of torchattacks (Modas et al. 2019), image by image, with the valid pixels as its only bounds."""

    paper: ClassVar[str] = "Modas et al. 2019, SparseFool (torchattacks)"
    bounded: ClassVar[bool] = False
    targeted: ClassVar[bool] = False
    package: ClassVar[str | None] = "torchattacks"

    steps: int = 20
    """Planes crossed at most."""

    def __post_init__(self) -> None:
        at_least("torchattacks-sparsefool", steps=self.steps)

    def search(self, model: nn.Module, victims: Victims, epsilon: float) -> Tensor:  # noqa: ARG002
        attack = package("torchattacks").SparseFool(model, steps=self.steps)
        images, labels, _, _ = victims
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it hands tensors to NumPy in a way of the past
            return torch.cat([attack(x[None], y[None]) - x for x, y in zip(images, labels, strict=True)]).detach()
