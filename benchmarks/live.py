"""What maps by the model in training cost: a training step with them, beside one without and one with stored maps.

    python -m benchmarks.live --json live.json

Images of 32 px, resident, Cutout 16, cross-entropy, SGD: 128 for the small CNN, 16 for ResNet-18. Ratios are of medians
of CPU time, which on a busy machine counts this process's work alone, measured in turn. ``half``: the model is asked
about images of 16 px. ``bounds``: which share of all squares an absolute bound of 0.6 accepts, by the mean and by the
largest value of maps from 0 to 1, after 10 epochs on digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ._common import run  # before torch: it sets the thread variables

# isort: split
import statistics
import time

import torch
from torch.nn import functional as F

from augwise import models, regions
from augwise.data import BatchPipeline, Normalize, Resident
from augwise.importance.live import LiveSaliency
from augwise.sample import Batch
from augwise.training.config import TrainConfig
from augwise.training.train import train
from augwise.transforms import Cutout

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def steps_of(name: str, n: int) -> dict[str, Callable[[], Any]]:
    """One training step of each kind, all on the same model."""
    model = models.build(name, 10, seed=0).to(memory_format=torch.channels_last).train()  # pyright: ignore
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    images, labels = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8), torch.arange(n) % 10
    bare, mapped = Batch.of(images, labels), Batch.of(images, labels, torch.rand(n, 32, 32))

    def step(batch: Batch, *method: Any) -> Callable[[], None]:
        pipeline = BatchPipeline([*method, Normalize(MEAN, STD)], seed=0)

        def once() -> None:
            pixels = pipeline(batch, 0, 0).images.contiguous(memory_format=torch.channels_last)
            optimizer.zero_grad()
            F.cross_entropy(model(pixels.as_subclass(torch.Tensor)), labels).backward()
            optimizer.step()

        return once

    live, half = LiveSaliency(model, MEAN, STD), LiveSaliency(model, MEAN, STD, scale=0.5)
    guarded = Cutout(16, quantile=0.6)
    return {
        "plain": step(bare, Cutout(16)),
        "stored": step(mapped, guarded),
        "live": step(bare, live, guarded),
        "live_half": step(bare, half, guarded),
    }


def bounds() -> dict[str, Any]:
    """Shares of squares on the right side of an absolute bound of 0.6."""
    data = Resident.load("digits", progress=False)
    model = models.build("small_cnn", 10, seed=0)
    config = TrainConfig(epochs=10, eval_last=1, out=None, quiet=True, device="cpu")
    run = train(config, model=model)
    live = LiveSaliency(model, run["data"]["mean"], run["data"]["std"], of="top_logit", normalize="minmax")
    maps = regions.integral(live(data.batch(torch.arange(len(data)))).importance.as_subclass(torch.Tensor))
    shares: dict[str, Any] = {"bounds_images": len(data), "bounds_test_accuracy": run["test"]["last_accuracy"]}
    for length in (8, 16, 24):
        mean, largest = (regions.scores(maps, length, reduce=reduce) / 255 for reduce in ("mean", "max"))
        shares[f"bounds_mean_accepted_{length}"] = (mean <= 0.6).double().mean().item()
        shares[f"bounds_max_accepted_{length}"] = (largest >= 0.6).double().mean().item()
    return shares


def cpu_medians_ms(functions: Mapping[str, Callable[[], Any]], times: int) -> dict[str, float]:
    """Median milliseconds of this process's own work for one call, call by call in turn."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(times):
        for name, function in functions.items():
            start = time.process_time()
            function()
            taken[name].append(time.process_time() - start)
    return {name: 1000 * statistics.median(values) for name, values in taken.items()}


def measure() -> dict[str, Any]:
    torch.manual_seed(0)
    results: dict[str, Any] = bounds()
    for name, n, times in (("small_cnn", 128, 40), ("resnet18", 16, 10)):
        taken = cpu_medians_ms(steps_of(name, n), times)
        results |= {f"{name}_{kind}_ms": value for kind, value in taken.items()}
        results |= {f"{name}_{kind}_ratio": taken[kind] / taken["plain"] for kind in ("stored", "live", "live_half")}
    return results


if __name__ == "__main__":
    run(__doc__, measure)
