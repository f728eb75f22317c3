"""The cells of the attack table: one attack, one epsilon, one goal; each computed once and kept as a file."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import UserError
from ..files import DAMAGED, write_atomically
from .attack_measure import Counted

if TYPE_CHECKING:
    from ..importance.attacks.base import SparsePerturbation, Victims

FOLDER = "perturbations"


@dataclass(frozen=True)
class Cell:
    """attack: its name; epsilon: bound, None for attacks that know none; goal: untargeted, or which wrong class."""

    attack: str
    epsilon: float | None
    goal: str

    @property
    def file(self) -> str:
        """Name of the file that keeps it."""
        bound = "unbounded" if self.epsilon is None else f"{255 * self.epsilon:.6g}-255"
        return f"{self.attack}_{bound}_{self.goal}.npz"


@dataclass(frozen=True)
class Done:
    """delta: (N, C, H, W) float32; forwards, backwards: images through the model in all; seconds: in all."""

    delta: Tensor
    forwards: int
    backwards: int
    seconds: float


def load(folder: Path, cell: Cell, key: dict[str, Any]) -> Done | None:
    """A cell computed earlier under exactly this key; None where there is none, or another's."""
    path = folder / FOLDER / cell.file
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            if json.loads(str(kept["key"])) != key:
                return None
            cost = kept["cost"].tolist()
            return Done(torch.from_numpy(kept["delta"]), int(cost[0]), int(cost[1]), float(cost[2]))
    except DAMAGED as error:
        raise UserError(f"{path} is damaged ({error}): remove it, and the cell is computed again") from None


def compute(
    model: nn.Module,
    attack: SparsePerturbation,
    cell: Cell,
    victims: Victims,
    batch_size: int,
    bar: Any,
) -> Done:
    """Run one attack over all images, batch by batch; bar: advanced by images."""
    counted = Counted(model)
    found, began = [], time.perf_counter()
    for rows in torch.arange(len(victims.labels)).split(batch_size):
        part = victims.rows(rows.to(victims.labels.device))
        with torch.no_grad():
            delta = attack.perturb(counted, part, cell.epsilon or 1.0)
        if delta.shape != part.images.shape or not bool(delta.isfinite().all()):
            raise UserError(
                f"{cell.attack} returned perturbations that are not finite or not of the images' shape: does the model "
                "return finite logits?"
            )
        found.append(delta.float().cpu())
        bar.update(len(rows))
    seconds = time.perf_counter() - began
    return Done(torch.cat(found), counted.forwards, counted.backwards, seconds)


def save(folder: Path, cell: Cell, key: dict[str, Any], done: Done) -> None:
    """Keep a cell, whole or not at all."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    content = {
        "delta": done.delta.numpy(),
        "cost": np.asarray([done.forwards, done.backwards, done.seconds]),
        "key": np.asarray(json.dumps(key)),
    }
    write_atomically(folder / FOLDER / cell.file, lambda file: np.savez_compressed(file, **content))  # pyright: ignore[reportArgumentType]
