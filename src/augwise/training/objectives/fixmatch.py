"""FixMatch: the class predicted for the weak view is the label of the strong one, if the model is sure of it."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import functional as F

from .few_labels import FewLabelsObjective, Target


@final
class FixMatch(FewLabelsObjective):
    """t = one-hot argmax p(weak), w = 1[max p(weak) ≥ confidence] (Sohn et al. 2020, Eq. 4; confidence 0.95)."""

    def target(self, logits: Tensor, indices: Tensor) -> Target:  # noqa: ARG002
        sure, predicted = logits.softmax(1).max(1)
        target = F.one_hot(predicted, logits.shape[1]).to(logits.dtype)
        return Target(target, (sure >= self.confidence).to(logits.dtype))
