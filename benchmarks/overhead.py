"""What a guard adds to a training step: guarded against plain, step by step in turn.

    python -m benchmarks.overhead --json overhead.json

A step is: read a batch of 128 CIFAR-sized images (guarded: and their maps), crop, flip, the method, normalise, forward,
backward, update. Both arms train the same model with the same crops and flips; their steps alternate, and which of the
two comes first alternates as well, so that whatever else the machine does falls on both. ``step_ratio_MODEL`` is the
median over all pairs of guarded / plain for Cutout, with a 95 % interval of that median from order statistics;
``METHOD_MODEL_ratio`` is the same for each method, ``METHOD_MODEL_guarded_images_per_s`` what that trains, and
``METHOD_added_ms`` what the guard adds to making the batch alone.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

from ._common import medians_ms, run  # before torch: it sets the thread variables

# isort: split
import torch
from torch import Tensor, nn

from augwise import models
from augwise.catalogue import find, methods
from augwise.data import Normalize, Resident
from augwise.labels import MixedLabels
from augwise.sample import Batch
from augwise.training.batches import Batches, ResidentReader
from augwise.transforms import RandomCrop, RandomHorizontalFlip

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
IMAGES, BATCH = 2_048, 128
METHODS = ("cutout", "trivialaugment", "cutmix")
MODELS = {"resnet18": (8, 24), "small_cnn": (10, 150)} if DEVICE.type == "cpu" else {"resnet18": (20, 200)}
"""Model: pairs of steps for a method beside Cutout, and for Cutout, on which the budget is."""


def data(maps: bool) -> Resident:
    """Random pictures and sparse maps: what they show costs nothing."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    sparse = torch.randint(0, 256, (IMAGES, 32, 32), dtype=torch.uint8, generator=generator)
    sparse *= torch.rand(IMAGES, 32, 32, generator=generator) < 0.15
    labels = torch.arange(IMAGES) % 10
    scale = torch.full((IMAGES,), 0.1)
    held = (sparse.to(DEVICE), scale.to(DEVICE)) if maps else (None, None)
    return Resident(images.to(DEVICE), labels.to(DEVICE), *held, [str(c) for c in range(10)])


def method(name: str, guarded: bool) -> Any:
    entry = find(name, methods())
    options: dict[str, Any] = {entry.strength: int(entry.usual)} if entry.usual else {}
    if guarded:
        options |= {"quantile": 0.6} | ({} if entry.strength == "length" and entry.usual else {"length": 16})
        if entry.kind == "mixing":
            options["labels"] = "importance"
    return entry.load()(**options)


def batches(name: str, guarded: bool) -> Batches:
    return Batches(
        ResidentReader(data(guarded)),
        [RandomCrop(32, padding=4), RandomHorizontalFlip()],
        [method(name, guarded)],
        [Normalize([0.49, 0.48, 0.45], [0.25, 0.24, 0.26])],
        batch_size=BATCH,
        channels_last=DEVICE.type == "cuda",
        observe=lambda *_: {},
    )


class Arm:
    """One of the two: its batches for ever, and training steps with them."""

    def __init__(self, name: str, guarded: bool, model: nn.Module) -> None:
        self.batches, self.model, self.epoch = batches(name, guarded), model, 0
        self.optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
        self.left = iter(())

    def batch(self) -> Batch:
        found = next(self.left, None)
        if found is None:
            self.left, self.epoch = self.batches.epoch(self.epoch), self.epoch + 1
            found = next(self.left)
        return found

    def step(self) -> None:
        batch = self.batch()
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=DEVICE.type == "cuda"):
            logits = self.model(batch.images)
        loss: Tensor = MixedLabels.of(batch.labels).cross_entropy(logits)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def seconds(function: Callable[[], Any]) -> float:
    synchronise = torch.cuda.synchronize if DEVICE.type == "cuda" else (lambda: None)
    synchronise()
    began = time.perf_counter()
    function()
    synchronise()
    return time.perf_counter() - began


def steps(name: str, model_name: str, pairs: int) -> list[tuple[float, float]]:
    """Seconds of a guarded and of a plain step next to it."""
    model = models.build(model_name, 10, seed=0).to(DEVICE)
    if DEVICE.type == "cuda":
        model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    plain, guarded = Arm(name, False, model), Arm(name, True, model)
    for arm in (plain, guarded):
        arm.step()
    found = []
    for pair in range(pairs):
        order = (plain, guarded) if pair % 2 else (guarded, plain)
        taken = {arm: seconds(arm.step) for arm in order}
        found.append((taken[guarded], taken[plain]))
    return found


def interval(values: list[float]) -> list[float]:
    """95 % interval of the median: the order statistics n/2 ± 0.98 √n (binomial, normal approximation)."""
    ordered, n = sorted(values), len(values)
    away = 0.98 * math.sqrt(n)
    return [ordered[max(0, math.floor(n / 2 - away))], ordered[min(n - 1, math.ceil(n / 2 + away))]]


def measure() -> dict[str, Any]:
    results: dict[str, Any] = {"device": DEVICE.type, "batch": BATCH}
    for model_name, (few, many) in MODELS.items():
        for name in METHODS:
            taken = steps(name, model_name, many if name == "cutout" else few)
            ratios = [guarded / plain for guarded, plain in taken]
            results[f"{name}_{model_name}_ratio"] = statistics.median(ratios)
            results[f"{name}_{model_name}_ratio_95"] = interval(ratios)
            for arm, seconds_each in zip(("guarded", "plain"), zip(*taken, strict=True), strict=True):
                results[f"{name}_{model_name}_{arm}_images_per_s"] = BATCH / statistics.median(seconds_each)
        results[f"step_ratio_{model_name}"] = results[f"cutout_{model_name}_ratio"]
    for name in METHODS:
        arms = {guarded: Arm(name, guarded, nn.Linear(1, 1)) for guarded in (False, True)}
        made = medians_ms({"plain": arms[False].batch, "guarded": arms[True].batch}, budget=2.0)
        results |= {f"{name}_batch_{arm}_ms": ms for arm, ms in made.items()}
        results[f"{name}_added_ms"] = made["guarded"] - made["plain"]
    return results


if __name__ == "__main__":
    run(__doc__, measure)
