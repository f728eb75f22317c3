"""FlexMatch: FixMatch whose confidence is lower for classes that the model has hardly learned yet."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from .few_labels import FewLabelsObjective, Target


@final
class FlexMatch(FewLabelsObjective):
    """t = one-hot argmax p(weak), w = 1[max p(weak) ≥ confidence · β / (2 − β)] with β that class's learning status:

        σ(c) = images whose last sure prediction (max p ≥ confidence) was c
        β(c) = σ(c) / max(max_c σ(c), images without one)

    (Zhang et al. 2021, Eq. 5 to 7 with the warm-up of Eq. 11 and the convex mapping of Section 3.3.) The status is kept
    for every image and saved with the checkpoint.
    """

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        device = next(self.models["model"].parameters()).device
        self.last = torch.full((self.batches.images,), -1, device=device)

    def target(self, logits: Tensor, indices: Tensor) -> Target:
        sure, predicted = logits.softmax(1).max(1)
        classes = logits.shape[1]
        counts = torch.zeros(classes + 1, device=logits.device)  # bincount would wait for the device
        counts.scatter_add_(0, self.last + 1, torch.ones_like(self.last, dtype=counts.dtype))
        beta = counts[1:] / counts.amax().clamp_min(1)
        needed = self.confidence * (beta / (2 - beta))[predicted]
        self.last[indices] = torch.where(sure >= self.confidence, predicted, self.last[indices])
        return Target(F.one_hot(predicted, classes).to(logits.dtype), (sure >= needed).to(logits.dtype))

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"last": self.last}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.last.copy_(state["last"])
