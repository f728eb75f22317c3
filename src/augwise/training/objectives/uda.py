"""UDA: the strong view is to be predicted as the weak one is, sharpened, if the model is sure of it."""

from __future__ import annotations

from typing import Any, final

from torch import Tensor

from .few_labels import FewLabelsObjective, Target


@final
class UDA(FewLabelsObjective):
    """t = softmax(z(weak) / T), w = 1[max p(weak) ≥ confidence] (Xie et al. 2020, Section 2.2 and 2.4; T 0.4,
    confidence 0.8). The loss is the cross-entropy H(t, p), which differs from the paper's KL divergence by the entropy
    of t, a constant. Without its training signal annealing.
    """

    def __init__(self, *given: Any, temperature: float = 0.4, **named: Any) -> None:
        super().__init__(*given, **named)
        self.temperature = temperature

    def target(self, logits: Tensor, indices: Tensor) -> Target:  # noqa: ARG002
        sure = logits.softmax(1).amax(1) >= self.confidence
        return Target((logits / self.temperature).softmax(1), sure.to(logits.dtype))
