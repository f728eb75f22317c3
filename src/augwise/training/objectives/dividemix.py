"""DivideMix: two networks, each of which tells the other whose labels to trust."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ...labels import MixedLabels
from ...models.ensemble import Ensemble
from ...sample import Batch
from ..doubtful import Doubtful
from .base import Objective, Phase, Step
from .farther import Farther
from .mixmatch import Pairs, guess, mixmatch_loss, ramp


class DivideMixSettings(NamedTuple):
    """warmup: epochs of plain training first; clean: how probable a small loss must be for a label to be trusted;
    alpha, temperature: of MixMatch; weight: λ_u, reached 16 epochs (ramp) after the warm-up; penalty: in the warm-up,
    weight of the negative entropy of the predictions, for asymmetric noise."""

    warmup: int
    clean: float = 0.5
    alpha: float = 4.0
    temperature: float = 0.5
    weight: float = 25.0
    ramp: int = 16
    penalty: float = 0.0


@final
class DivideMix(Objective):
    """Li et al. 2020, Algorithm 1. Networks a and b; epochs of warm-up by cross-entropy; then in every epoch

        1. both networks' losses of all images, scaled to [0, 1], are each split by a mixture of two Gaussians; w_i is
           the posterior of the one with the smaller mean (`clean_posterior`);
        2. a is trained with b's w, then b with a's: images with w > clean are trusted, the others are not;
        3. a trusted label is refined, w y + (1 − w) p, p the network's own mean prediction of two views; others are
           guessed by both networks; both are sharpened and mixed (`mixmatch_loss`):
           L = L_x + λ_u(t) L_u + Σ_c π_c log(π_c / p̄_c), π uniform, p̄ the mean prediction of the step.

    What counts is the mean of both networks' logits. farther: one for each network, adds λ_u(t) · its error.
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        optimizers: Mapping[str, Optimizer],
        data: Doubtful,
        settings: DivideMixSettings,
        label_smoothing: float = 0.0,
        farther: Mapping[str, Farther] | None = None,
    ) -> None:
        super().__init__(models, optimizers)
        self.data, self.settings, self.label_smoothing = data, settings, label_smoothing
        self.farther = dict(farther or {})
        self.epoch, self.divided = 0, -1
        self.posterior = {name: torch.zeros(data.images) for name in self.models}

    def phases(self, epoch: int) -> Iterator[Phase]:
        self.epoch = epoch
        if epoch < self.settings.warmup:
            for name in self.models:
                yield self.data.plain_phase(name, epoch, self._warm_up)
            return
        if self.divided != epoch:  # not anew in the middle of the epoch, when the weights have changed
            for name, model in self.models.items():
                self.posterior[name] = clean_posterior(self.data.losses(model))
            self.divided = epoch
        for name in self.models:
            (other,) = (n for n in self.models if n != name)
            trusted = self.posterior[other].numpy() > self.settings.clean
            yield self.data.pairs_phase(name, epoch, trusted, self.posterior[other].numpy(), self._learn(name, other))

    def _warm_up(self, model: nn.Module, batch: Batch) -> Step:
        logits, labels = model(batch.images), MixedLabels.of(batch.labels)
        loss = labels.cross_entropy(logits, self.label_smoothing)
        if self.settings.penalty:
            loss = loss + self.settings.penalty * (logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
        return Step(loss, {"train_accuracy": labels.accuracy(logits.detach())})

    def _learn(self, name: str, other: str) -> Callable[[nn.Module, Pairs], Step]:
        s = self.settings
        device = next(self.models[name].parameters()).device
        believed = self.posterior[other].float().to(device)  # once for all steps of the phase

        def loss(model: nn.Module, pairs: Pairs) -> Step:
            own, peer = model, self.models[other]
            with torch.no_grad():
                peer.eval()
                views = [part.images.as_subclass(Tensor) for part in pairs]
                x, x2, u, u2 = (own(view) for view in views)
                theirs = [peer(view) for view in views[2:]]
            labels = MixedLabels.of(pairs.x.labels).dense(x.shape[1])
            sure = believed[pairs.x.indices][:, None]
            mean = (x.float().softmax(1) + x2.float().softmax(1)) / 2
            from_label = sure * labels + (1 - sure) * mean
            trusted = guess([from_label.clamp_min(1e-30).log()], s.temperature)
            guessed = guess([u, u2, *theirs], s.temperature)
            parts = mixmatch_loss(own, pairs, trusted, guessed, s.alpha, None, self.farther.get(name))
            mean = parts.logits.float().softmax(1).mean(0)
            even = 1 / len(mean)
            regular = (even * (even / mean.clamp_min(1e-30)).log()).sum()
            weight = s.weight * ramp(self.epoch, s.warmup, s.ramp)
            total = parts.trusted + weight * (parts.others + parts.farther) + regular
            return Step(total, {"trusted_loss": parts.trusted, "others_loss": parts.others, **parts.measures})

        return loss

    def evaluation_model(self, models: Mapping[str, nn.Module]) -> nn.Module:
        return Ensemble(models)

    def state_dict(self) -> dict[str, Any]:
        state = {"divided": self.divided, "posterior": self.posterior}
        return super().state_dict() | state | {"farther": {k: f.state_dict() for k, f in self.farther.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.divided, self.posterior = state["divided"], dict(state["posterior"])
        for name, farther in self.farther.items():
            farther.load_state_dict(state["farther"][name])


def clean_posterior(losses: Tensor, iterations: int = 100, tolerance: float = 1e-6, least: float = 5e-4) -> Tensor:
    """How probable it is that a loss is of the Gaussian with the smaller mean: (N,) float64.

    losses: (N,), scaled to [0, 1] first. A mixture of two Gaussians is fitted to them by expectation-maximisation, from
    their quartiles, until the mean log-likelihood gains less than ``tolerance``; least: added to variances, as in
    DivideMix's program (reg_covar).
    """
    x = losses.detach().cpu().double()
    spread = x.max() - x.min()
    if not bool(spread > 0):
        return torch.ones_like(x)  # all alike: nothing to doubt
    x = (x - x.min()) / spread
    mean = torch.quantile(x, torch.tensor([0.25, 0.75], dtype=x.dtype))
    variance, share = x.var(correction=0).clamp_min(least).repeat(2), torch.full((2,), 0.5, dtype=x.dtype)
    before = -math.inf
    for _ in range(iterations):
        log = share.log() - 0.5 * ((2 * math.pi * variance).log() + (x[:, None] - mean).square() / variance)
        total = log.logsumexp(1, keepdim=True)
        weight = (log - total).exp()
        count = weight.sum(0).clamp_min(1e-12)
        mean = (weight * x[:, None]).sum(0) / count
        variance = (weight * (x[:, None] - mean).square()).sum(0) / count + least
        share = count / len(x)
        now = float(total.mean())
        if now - before < tolerance:
            break
        before = now
    log = share.log() - 0.5 * ((2 * math.pi * variance).log() + (x[:, None] - mean).square() / variance)
    return (log - log.logsumexp(1, keepdim=True)).exp()[:, int(mean.argmin())]
