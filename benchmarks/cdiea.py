"""CDIEA: what a step costs beside the classifier's own passes, and beside one image at a time.

step_ratio: one CDIEA step of a batch over a bare forward and backward pass to the input of the same frozen ResNet-18,
16 images of 32 px. Both are measured in turn within one attack of 100 steps, so whatever else the machine does falls on
both; the median of each is taken. The history of the encoders grows with the steps: step_ratio_last_tenth is the worst.

speedup_vs_per_image: the same 100 steps for one image after the other, each with an explicit fully connected encoder,
autograd throughout and torch.optim.SGD (tests/reference/sparse.py), per image. Same classifier, same process.

The weights are random: the time does not depend on them.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import _common  # sets the thread variables, so before torch

import torch  # isort: skip
from torch import Tensor, nn  # isort: skip
from torch.nn import functional as F  # isort: skip

from augwise import models
from augwise.importance import encoders, sparse
from augwise.importance.cdiea import CDIEA

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from reference.sparse import cdiea as per_image_cdiea

SIZE, CLASSES, STEPS = 32, 10, 100


@dataclass(frozen=True)
class Timed(CDIEA):
    """CDIEA that, after each of its steps, runs the bare passes on the same batch and notes the seconds of both."""

    model: nn.Module = field(default_factory=nn.Identity)
    images: Tensor = field(default_factory=lambda: torch.empty(0))
    begins: list[float] = field(default_factory=list)
    taken: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def next_alpha(self, step: int, alpha: Tensor, mask: Tensor) -> Tensor:
        alpha = super().next_alpha(step, alpha, mask)
        end = now()
        if self.begins:  # the first step has no beginning and is left out
            self.taken.append(end - self.begins[-1])
        with torch.enable_grad():
            inputs = self.images.detach().requires_grad_()
            logits = self.model(inputs)
            loss = F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.int64), reduction="sum")
        torch.autograd.grad(loss, inputs)
        self.begins.append(now())
        self.bare.append(self.begins[-1] - end)
        return alpha


def now() -> float:
    """Seconds, after all work on the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def batched(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[list[float], list[float]]:
    """Seconds of each step from the second on, and of each bare pass, in one attack on the batch."""
    method = Timed(steps=STEPS, model=model, images=images)
    sparse.attack(model, images, labels, method)
    return method.taken, method.bare


def one_by_one(model: nn.Module, images: Tensor) -> float:
    """Median seconds of a whole attack on one image with a layer of its own."""
    weight, bias = encoders.initial_linear(3, SIZE, SIZE, 0, images.dtype, images.device)
    taken = []
    for image in images:
        begin = now()
        per_image_cdiea(model, image, 1, weight, bias, steps=STEPS)
        taken.append(now() - begin)
    return statistics.median(taken)


def measure() -> dict[str, Any]:
    """All numbers, for ResNet-18 and for the small CNN of quick runs."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results: dict[str, Any] = {"device": str(device), "steps": STEPS, "image_size": SIZE}
    for name, batch, suffix in (("resnet18", 16, ""), ("small_cnn", 128, "_small_cnn")):
        torch.manual_seed(0)
        model = models.build(name, CLASSES).eval().requires_grad_(False).to(device)
        images = torch.rand(batch, 3, SIZE, SIZE).to(device)
        steps, bare = batched(model, images, torch.zeros(batch, dtype=torch.int64, device=device))
        step, passes = statistics.median(steps), statistics.median(bare)
        tenth = len(steps) // 10
        results |= {
            f"step_ratio{suffix}": step / passes,
            f"step_ratio{suffix}_last_tenth": statistics.median(steps[-tenth:]) / statistics.median(bare[-tenth:]),
            f"speedup_vs_per_image{suffix}": one_by_one(model, images[:3]) / (step * STEPS / batch),
            f"step_ms{suffix}": 1000 * step,
            f"bare_ms{suffix}": 1000 * passes,
            f"images_per_s{suffix}": batch / (step * STEPS),
            f"batch{suffix}": batch,
        }
    return results


if __name__ == "__main__":
    _common.run(__doc__, measure)
