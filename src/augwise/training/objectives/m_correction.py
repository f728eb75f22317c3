"""M-correction: labels are blended with predictions as far as a mixture of two Beta distributions doubts them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...sample import Batch
from ..doubtful import Doubtful
from .base import Objective, Phase, Step
from .mixmatch import Mixed, draw_mix, mix


class MCorrectionSettings(NamedTuple):
    """warmup: epochs of mixup first; alpha: of mixup; balance: weight of what keeps all classes predicted."""

    warmup: int
    alpha: float = 32.0
    balance: float = 1.0


@final
class MCorrection(Objective):
    """Arazo et al. 2019, Sections 3.1 to 3.3, as they call it M-DYR-H: mixup with dynamic hard bootstrapping.

        1. warmup epochs of mixup under the labels given;
        2. then in every epoch a mixture of two Beta distributions is fitted to the losses of all images; w_i is the
           posterior of the one with the larger mean (`wrong_posterior`);
        3. images p and q are mixed by λ ~ Beta(alpha, alpha); h the prediction for their mixture, z the class that the
           network predicts for an image as it is:
           L = λ [(1 − w_p) CE(h, y_p) + w_p CE(h, z_p)] + (1 − λ) [(1 − w_q) CE(h, y_q) + w_q CE(h, z_q)]
               + balance · Σ_c π_c log(π_c / h̄_c), π uniform, h̄ the mean prediction of the step.

    w_i stays for an epoch; the released program asks the fitted mixture in every step for the loss of that moment.
    alpha = 32 and balance = 1 are its settings, for 300 epochs of which 105 are the warm-up; in short runs on few
    images so much mixing leaves too little learned.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        data: Doubtful,
        settings: MCorrectionSettings,
        classes: int,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__({"model": model}, {"model": optimizer})
        self.data, self.settings, self.classes, self.label_smoothing = data, settings, classes, label_smoothing
        self.fitted = -1
        self.wrong = torch.zeros(data.images, device=next(model.parameters()).device)

    def phases(self, epoch: int) -> Iterator[Phase]:
        if epoch < self.settings.warmup:
            yield self.data.plain_phase("model", epoch, self._mixup)
            return
        if self.fitted != epoch:  # not anew in the middle of the epoch, when the weights have changed
            self.wrong = wrong_posterior(self.data.losses(self.models["model"])).to(self.wrong)
            self.fitted = epoch
        yield self.data.plain_phase("model", epoch, self._bootstrap)

    def _mixup(self, model: nn.Module, batch: Batch) -> Step:
        mixed, logits = self._mixed(model, batch.images.as_subclass(Tensor), self._given(batch))
        hit = mixed.targets.gather(1, logits.detach().argmax(1, keepdim=True)).mean()
        return Step(_cross_entropy(logits, mixed.targets), {"train_accuracy": hit})

    def _bootstrap(self, model: nn.Module, batch: Batch) -> Step:
        images, given = batch.images.as_subclass(Tensor), self._given(batch)
        with torch.no_grad():
            predicted = nn.functional.one_hot(model(images).argmax(1), self.classes)
        wrong = self.wrong[batch.indices][:, None]
        mixed, logits = self._mixed(model, images, (1 - wrong) * given + wrong * predicted)
        mean, even = logits.softmax(1).mean(0), 1 / self.classes
        balance = (even * (even / mean.clamp_min(1e-30)).log()).sum()
        loss = _cross_entropy(logits, mixed.targets)
        return Step(loss + self.settings.balance * balance, {"wrong_share": wrong.mean(), "bootstrap_loss": loss})

    def _given(self, batch: Batch) -> Tensor:
        return MixedLabels.of(batch.labels).dense(self.classes, self.label_smoothing)

    def _mixed(self, model: nn.Module, images: Tensor, targets: Tensor) -> tuple[Mixed, Tensor]:
        # Cross-entropy is linear in its target, so mixing targets mixes the four terms of the loss. λ may as well be
        # the larger share: with partners drawn at random that is the same distribution of mixtures.
        mixed = mix(images, targets, *draw_mix(len(images), self.settings.alpha, images))
        return mixed, model(mixed.images).float()

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"fitted": self.fitted, "wrong": self.wrong}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.fitted, self.wrong = state["fitted"], state["wrong"].to(self.wrong)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def wrong_posterior(losses: Tensor, iterations: int = 10, least: float = 1e-3) -> Tensor:
    """How probable it is that a loss is of the Beta distribution with the larger mean: (N,) float64.

    losses: (N,), scaled so that [0, 1] holds all from the 5th to the 95th percentile, and cut at ``least`` from both
    ends, where the densities may have no value. p(l) = Σ_k share_k Beta(l; a_k, b_k) is fitted by
    expectation-maximisation to those between the percentiles, its M-step by weighted moments: with mean m and variance
    v of a component, a = m (m (1 − m) / v − 1) and b = a (1 − m) / m (Arazo et al. 2019, Section 3.1).
    A larger loss is never less likely wrong: beyond a peak of the posterior, as in the released program, it stays at
    the peak, and before a dip, which the program leaves, at the dip.
    """
    x = losses.detach().cpu().double()
    low, high = torch.quantile(x, torch.tensor([0.05, 0.95], dtype=x.dtype))
    if not bool(high > low):
        return torch.zeros_like(x)  # all alike: nothing to doubt
    x = (x - low) / (high - low)
    inside = x[(x >= 0) & (x <= 1)]
    x, inside = (part.clamp(least, 1 - least) for part in (x, inside if len(inside) > 1 else x))
    a, b = torch.tensor([1.0, 2.0], dtype=x.dtype), torch.tensor([2.0, 1.0], dtype=x.dtype)
    share = torch.full((2,), 0.5, dtype=x.dtype)
    for _ in range(iterations):
        weight = _log_joint(inside, a, b, share).softmax(1)
        count = weight.sum(0).clamp_min(1e-12)
        mean = ((weight * inside[:, None]).sum(0) / count).clamp(least, 1 - least)
        variance = ((weight * (inside[:, None] - mean).square()).sum(0) / count).clamp_min(1e-6)
        a = mean * (mean * (1 - mean) / variance - 1)
        b = a * (1 - mean) / mean
        share = count / len(inside)
    larger = int((a / (a + b)).argmax())
    up, down = a[larger] - a[1 - larger], b[larger] - b[1 - larger]
    if bool(up * down > 0):  # the log-odds, up · log x + down · log(1 − x) + …, turn once
        turn = up / (up + down)
        x = x.clamp_max(turn) if bool(up > 0) else x.clamp_min(turn)
    return _log_joint(x, a, b, share).softmax(1)[:, larger]


def _log_joint(x: Tensor, a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """log share_k Beta(x; a_k, b_k): (N, 2)."""
    x = x[:, None]
    scale = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
    return share.log() + scale + (a - 1) * x.log() + (b - 1) * (1 - x).log()
