"""A small data set, model and estimator for the tests of stores; importable by child processes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from augwise import randomness
from augwise.importance.estimator import Estimated, Estimator


class Pictures:
    """n random pictures of 3×H×W uint8 with labels below four; picture i depends on i and the seed alone."""

    def __init__(self, n: int = 30, seed: int = 0, height: int = 6, width: int = 5) -> None:
        generators = [torch.Generator().manual_seed(1000 * seed + i) for i in range(n)]
        self.items = [
            (torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=g), i % 4)
            for i, g in enumerate(generators)
        ]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.items[index]

    def of(self, rows: list[int]) -> Pictures:
        """A data set of some of the rows."""
        part = Pictures(0)
        part.items = [self.items[row] for row in rows]
        return part


@dataclass(frozen=True)
class Noisy(Estimator):
    """Brightness times noise drawn from the image's seed; the attack "fails" where the first noise is small."""

    name: ClassVar[str] = "noisy"
    sparse: ClassVar[bool] = True
    chunk: ClassVar[int] = 4

    power: float = 1.0
    """exponent"""
    pause: float = 0.0
    """seconds per call"""

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:
        assert model is not None
        time.sleep(self.pause)
        noise = torch.stack(
            [torch.rand(images.shape[-2:], generator=randomness.generator("noise", seed)) for seed in seeds]
        )
        with torch.no_grad():
            confidence = model(images).softmax(1).gather(1, labels[:, None])[:, :, None]
        maps = (images.mean(1) * noise * confidence) ** self.power
        return Estimated(torch.where(noise > 0.5, maps, 0), noise[:, 0, 0] < 0.2)


def classifier(classes: int = 4) -> nn.Module:
    """A linear classifier of pictures of any size, in eval mode, always the same."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, classes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).reshape(parameter.shape))
    return model.eval()


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a store."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Every array of a store, read by NumPy alone."""
    return {path.stem: np.load(path, allow_pickle=False) for path in folder.glob("*.npy")}
