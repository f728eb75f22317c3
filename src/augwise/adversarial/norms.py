"""What batch normalisation does while a model is attacked or sees adversarial images, and how it is put back.

Switches modules and their statistics inside a context and leaves them byte for byte as they were.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, final

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..errors import UserError

Norms = Literal["fixed", "batch"]


@contextmanager
def held(model: nn.Module, norms: Norms = "fixed") -> Iterator[None]:
    """Inside, the model is in evaluation mode; afterwards every module is in the mode it was in.

    norms: "fixed", batch normalisation uses its running statistics, so that no image depends on its neighbours; or
    "batch", the batch's own as in training, without touching the running ones.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    batched = [m for m in modules if norms == "batch" and isinstance(m, _BatchNorm) and m.track_running_stats]
    try:
        for module in modules:
            module.training = False
        for module in batched:
            module.training, module.track_running_stats = True, False
        yield
    finally:
        for module in batched:
            module.track_running_stats = True
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


@final
class AuxiliaryBatchNorm(nn.Module):
    """A second set of batch-norm weights and statistics for a model's adversarial images (Xie et al. 2020, AdvProp).

        auxiliary = AuxiliaryBatchNorm(model)                      # an optimiser needs auxiliary.parameters() too
        with auxiliary.active():
            loss = criterion(model(adversarial), labels)           # the model's other weights are the same

    Clean and adversarial images have other statistics, and mixing them costs accuracy on clean ones. The model keeps
    its modules, names and state dict: inside `active` each batch-norm layer holds the second set's tensors in place of
    its own. The second set is a module of its own, with its own state dict, and moves to a device by itself.

    model: any model with batch-norm layers of running statistics; lazy ones only after their first forward pass.
    momentum: of the second set's running statistics, 0.01 in LP-A3's released programs; None: the layer's own.
    copy_now: begin with the model's present weights and statistics rather than with new ones.
    """

    def __init__(self, model: nn.Module, momentum: float | None = 0.01, copy_now: bool = False) -> None:
        super().__init__()
        self._norms = [(m,) for m in model.modules() if isinstance(m, _BatchNorm)]  # tuples, so not as submodules
        if not self._norms:
            raise UserError(f"the {type(model).__name__} has no batch-norm layers: leave the auxiliary ones out")
        if momentum is not None and not 0 <= momentum <= 1:
            raise UserError(f"momentum={momentum} is no share: give a number between 0 and 1")
        self.layers = nn.ModuleList(copy.deepcopy(norm) for (norm,) in self._norms)
        for layer in self.layers:
            assert isinstance(layer, _BatchNorm)
            if not copy_now:
                layer.reset_parameters()
            if momentum is not None:
                layer.momentum = momentum

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside, the model's batch-norm layers are the second set."""
        pairs = [(norm, second) for (norm,), second in zip(self._norms, self.layers, strict=True)]
        self._swap(pairs)
        try:
            yield
        finally:
            self._swap(pairs)

    @staticmethod
    def _swap(pairs: list[tuple[_BatchNorm, nn.Module]]) -> None:
        for norm, second in pairs:
            assert isinstance(second, _BatchNorm)
            norm._parameters, second._parameters = second._parameters, norm._parameters
            norm._buffers, second._buffers = second._buffers, norm._buffers
            norm.momentum, second.momentum = second.momentum, norm.momentum
