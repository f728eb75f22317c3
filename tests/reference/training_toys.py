"""Data, models and objectives small enough to train in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from augwise.data import ArraySource
from augwise.sample import Batch
from augwise.training.objectives.base import Objective, Phase, Step

CLASSES = 3


def source(n: int = 70, side: int = 8, seed: int = 0, name: str = "toy", channels: int = 3) -> ArraySource:
    """Noise with a bright corner that tells the class, more or less."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (n, channels, side, side), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, n)
    for image, label in zip(images, labels, strict=True):
        image[label % channels, :3, 2 * label : 2 * label + 2] += rng.integers(60, 130, dtype=np.uint8)
    return ArraySource(torch.from_numpy(images), labels, [f"class {c}" for c in range(CLASSES)], name)


def network(norm: str = "batch", dropout: float = 0.2, classes: int = CLASSES, seed: int = 0) -> nn.Module:
    """Convolution, normalisation, dropout, linear."""
    torch.manual_seed(seed)
    layer = nn.BatchNorm2d(6) if norm == "batch" else nn.GroupNorm(2, 6)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        layer,
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(24, classes),
    )


class TakingTurns(Objective):
    """Two linear networks of four numbers each: `a` learns the target for 3 steps, then `b` learns what `a` says for
    2 steps. ``seen`` notes the weights of both before each step."""

    def __init__(self, stop_at: int | None = None) -> None:
        torch.manual_seed(5)
        models = {"a": nn.Linear(4, 1, bias=False), "b": nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 1, bias=False))}
        optimizers = {
            "a": torch.optim.SGD(models["a"].parameters(), 0.1, momentum=0.9),
            "b": torch.optim.AdamW(models["b"].parameters(), 0.05),
        }
        super().__init__(models, optimizers)
        self.stop_at, self.losses, self.seen = stop_at, 0, []

    def phases(self, epoch: int) -> Iterator[Phase]:
        yield Phase("a", "a", 3, lambda start: self._batches(epoch, 0, start, 3), self._a)
        yield Phase("b", "b", 2, lambda start: self._batches(epoch, 1, start, 2), self._b)

    def evaluation_model(self, models):
        return models["b"]

    def _batches(self, epoch: int, phase: int, start: int, steps: int) -> Iterator[Batch]:
        for step in range(start, steps):
            g = torch.Generator().manual_seed(100 * epoch + 10 * phase + step)
            images = torch.randn(6, 4, 1, 1, generator=g)
            yield Batch.of(images, torch.zeros(6, dtype=torch.long))

    def _note(self, name: str) -> None:
        if self.losses == self.stop_at:
            raise InterruptedError
        self.losses += 1
        self.seen.append((name, *(weights(m) for m in self.models.values())))

    def _a(self, model: nn.Module, batch: Batch) -> Step:
        self._note("a")
        x = batch.images.as_subclass(Tensor).flatten(1)
        return Step((model(x)[:, 0] - x.sum(1)).square().mean(), {})

    def _b(self, model: nn.Module, batch: Batch) -> Step:
        self._note("b")
        x = batch.images.as_subclass(Tensor).flatten(1)
        with torch.no_grad():
            target = self.models["a"](x)
        loss = (model(x) - target).square().mean()
        return Step(loss, {"b_loss": loss})


def weights(model: nn.Module) -> Tensor:
    """All parameters in one vector, copied."""
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])
