"""CIFAR-10 on one GPU: CDIEA on all training images, then Cutout plain, guarded and control with ResNet-18, 30 epochs.

    python -m benchmarks.gpu_cifar10 --data npz:cifar10.npz --out gpu --minutes 7

Resumable: run it again with the same folder until it prints "complete". Each call stops after ``--minutes`` at the
next finished piece of work. Writes ``OUT/cdiea.json`` (seconds, images per second, success rate, key points; aim:
50 000 images in 120 s) and ``OUT/cutout/results.json`` with ``report.html``. Needs no package of the command line
(tyro) and no network. ``--limit``, ``--epochs`` and ``--model`` make a rehearsal on a CPU small.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ._common import for_minutes  # first: it sets the thread variables  # isort: skip

import torch
from torch import Tensor, nn

from augwise.analysis.compare import compare
from augwise.analysis.compare_plan import CompareConfig
from augwise.analysis.compare_runs import comparison_sources
from augwise.analysis.compare_share import base_model
from augwise.data import open_source
from augwise.importance.cdiea import CDIEA
from augwise.importance.estimate import estimate
from augwise.importance.store import ImportanceStore
from augwise.training.config import TrainConfig
from augwise.training.results import environment, write_json
from augwise.training.trained import trained


class HalfPrecision(nn.Module):
    """A classifier in bf16 and channels_last, as tensor cores like it; float32 pixels in, float32 logits out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, K)."""
        with torch.autocast(images.device.type, torch.bfloat16):
            return self.model(images.contiguous(memory_format=torch.channels_last)).float()


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--chunk", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=4, help="runs at once on the one GPU")
    options = parser.parse_args()
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Base model, maps, comparison: each is skipped where it is complete."""
    train = TrainConfig(
        data=options.data,
        limit=options.limit,
        val_share=0.05,
        model=options.model,
        epochs=options.epochs,
        lr=0.1,
        warmup_epochs=1,
        eval_last=10,
        out=options.out / "cutout",
        tensorboard=False,
    )
    config = CompareConfig(
        train=train,
        strengths=(8, 12, 16, 20),
        windows=("inside",),
        estimators=("occlusion", "centre"),
        seeds=options.seeds,
        jobs=options.jobs,
    )
    data = comparison_sources(train)
    base_model(config, data.train, data.test)
    if not (options.out / "cdiea.json").exists():
        measure_cdiea(options)
    compare(config, title=f"Cutout on CIFAR-10, {options.model}", command="python -m benchmarks.gpu_cifar10")


def measure_cdiea(options: argparse.Namespace) -> None:
    """CDIEA on every training image. Seconds are those of this call; a resumed store says how many rows it did."""
    source = open_source(options.data, limit=options.limit)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = HalfPrecision(trained(options.out / "cutout" / "base", list(source.class_names)).model.to(device)).eval()
    path = options.out / "cdiea.maps"
    before = int((ImportanceStore(path, allow_partial=True).status != 0).sum()) if path.exists() else 0
    began = time.perf_counter()
    store = estimate(model, source, path, CDIEA(), chunk_size=options.chunk, device=device)
    seconds = time.perf_counter() - began
    result = {
        "seconds": seconds,
        "images_in_this_call": len(store) - before,
        "images_per_second": (len(store) - before) / seconds,
        **store.summary(),
        "precision": "bf16 classifier, float32 attack",
        "environment": environment(torch.device(device)),
    }
    write_json(options.out / "cdiea.json", result)


if __name__ == "__main__":
    main()
