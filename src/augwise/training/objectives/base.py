"""What is trained, on what and with which loss: an epoch as a list of phases.

The loop owns backward, clipping, averages, schedule, checkpoint and progress, and knows nothing of losses; an objective
owns its models, optimisers and whatever else it has to remember.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from ...sample import Batch


class Step(NamedTuple):
    """What one batch gave. loss: scalar with gradient; measures: scalars that the curve shows as means of the epoch."""

    loss: Tensor
    measures: dict[str, Tensor]


class Phase(NamedTuple):
    """Some steps of one optimiser on one model.

    model: key into `Objective.models`; optimizer: key into `Objective.optimizers`.
    steps: how many there are. batches(start): the batches from step ``start`` on, the same ones each time it is asked.
    loss(model, batch): the loss of one batch; ``model`` is the named one as the loop has prepared it (mixed precision,
    several processes), in training mode.
    """

    model: str
    optimizer: str
    steps: int
    batches: Callable[[int], Iterator[Batch]]
    loss: Callable[[nn.Module, Batch], Step]


class Objective(ABC):
    """models and optimizers by name; write `phases`, and `evaluation_model` if there is more than one model.

    Models must be on their device before they are given to an optimiser.
    """

    def __init__(self, models: Mapping[str, nn.Module], optimizers: Mapping[str, Optimizer]) -> None:
        self.models = dict(models)
        self.optimizers = dict(optimizers)

    @abstractmethod
    def phases(self, epoch: int) -> Iterator[Phase]:
        """The phases of an epoch (from 0), each run to its end before the next is asked for.

        After an interruption the epoch's phases are asked for again and those already done are passed over. Whatever
        a phase derives from the weights of that moment (a mixture fitted to the losses, say) must therefore be kept
        in `state_dict`, and be derived anew only where it is not there yet.
        """

    def evaluation_model(self, models: Mapping[str, nn.Module]) -> nn.Module:
        """The module whose accuracy counts, made of ``models`` (the trained ones, or their moving averages)."""
        (model,) = models.values()
        return model

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes during training: tensors, numbers, strings, lists and dictionaries only."""
        return {
            "models": {name: m.state_dict() for name, m in self.models.items()},
            "optimizers": {name: o.state_dict() for name, o in self.optimizers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        for name, model in self.models.items():
            model.load_state_dict(state["models"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
