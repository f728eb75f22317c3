"""Fine-tuning at 224 px on one GPU: throughput of both paths, then ResNet-50 from scratch plain, guarded and control.

    python -m benchmarks.gpu_finetune --data folder:flowers12 --out gpu --minutes 7

Resumable: run it again with the same folder until it prints "complete". Each call stops after ``--minutes`` at the
next finished piece of work. Writes ``OUT/throughput.json`` (images per second that each path makes ready, and trains;
the sample path with ``--workers`` processes) and ``OUT/finetune/results.json`` with ``report.html``. Needs no package
of the command line (tyro) and no network. ``--size``, ``--epochs``, ``--model``, ``--limit`` and ``--workers`` make a
rehearsal on a CPU small; ``--only throughput`` leaves the comparison out.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._common import commit, for_minutes  # first: it sets the thread variables  # isort: skip

import numpy as np
import torch

from augwise.analysis.compare import compare
from augwise.data import Normalize, Resident, Source, Subset, WithImportance, open_source
from augwise.recipes.finetune import FinetuneConfig, settings
from augwise.training.batches import Batches, LoaderReader, Reader, ResidentReader
from augwise.training.config import TrainConfig
from augwise.training.results import environment, write_json
from augwise.training.train import train
from augwise.training.views import CropStretched, resolved, training_crop
from augwise.transforms import RandomHorizontalFlip


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--model", default="torchvision:resnet50")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--workers", type=int, default=16, help="processes that read files on the sample path")
    parser.add_argument("--images", type=int, default=5000, help="images per epoch of the throughput measurement")
    parser.add_argument("--jobs", type=int, default=None, help="runs at once; default one on a GPU")
    parser.add_argument("--only", choices=("throughput", "comparison"), default=None)
    options = parser.parse_args()
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Throughput, base model, maps, comparison: each is skipped where it is complete."""
    options.out.mkdir(parents=True, exist_ok=True)
    config = settings(
        FinetuneConfig(
            data=options.data,
            model=options.model,
            size=options.size,
            epochs=options.epochs,
            batch_size=options.batch_size,
            limit=options.limit,
            seeds=options.seeds,
            jobs=options.jobs,
            loader="resident",
            out=options.out / "finetune",
        )
    )
    config = replace(config, train=replace(config.train, tensorboard=False))
    if options.only != "comparison" and not (options.out / "throughput.json").exists():
        write_json(options.out / "throughput.json", throughput(options, config.train))
    if options.only != "throughput":
        title = f"Fine-tuning {options.model} from scratch at {options.size} px"
        compare(config, title=title, command="python -m benchmarks.gpu_finetune")


def throughput(options: argparse.Namespace, train_config: TrainConfig) -> dict[str, Any]:
    """Images per second of each path: batches made ready for the model, and whole training steps."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    source = open_source(options.data, limit=options.limit)
    # A small folder is gone through several times in what counts as one epoch, so that its start weighs little.
    rows = np.resize(np.arange(len(source)), max(options.images, options.batch_size))
    many, few = Subset(source, rows), Subset(source, np.arange(min(64, len(source))))
    found: dict[str, Any] = {}
    for name, workers in (("workers", options.workers), ("resident", 0)):
        config = resolved(replace(train_config, loader=name, num_workers=workers, resident_size=None))
        found[name] = {
            "workers": workers,
            "ready_images_per_second": ready(config, many, device),
            "trained_images_per_second": trained(config, many, few),
        }
        print(name, found[name])
    return {
        "size": options.size,
        "batch_size": options.batch_size,
        "model": options.model,
        "images": len(rows),
        **found,
        "commit": commit(),
        "environment": environment(device),
    }


def ready(config: TrainConfig, source: Source, device: torch.device) -> float:
    """Images per second that are read, cropped, flipped and normalised on the device, without a model."""
    crop = training_crop(config)
    steps: list[Any] = [RandomHorizontalFlip()]
    if config.loader == "workers":
        reader: Reader = LoaderReader(WithImportance(source, transform=[crop]), device, config.num_workers)
    else:
        resident = Resident.load(source, device=device, size=config.resident_size)
        assert resident.stretch is not None
        reader, steps = ResidentReader(resident), [CropStretched(crop, resident.stretch), *steps]
    batches = Batches(reader, steps, last=[Normalize([0.5], [0.25])], batch_size=config.batch_size, channels_last=True)
    for epoch in range(2):  # the first pays for starting processes and kernels
        start = time.perf_counter()
        for _ in batches.epoch(epoch):
            pass
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return len(batches) * config.batch_size / seconds


def trained(config: TrainConfig, source: Source, test: Source) -> float:
    """Images per second of the second of three epochs, which measures no accuracy."""
    run = replace(config, epochs=3, warmup_epochs=0, eval_last=1, out=None, limit=None)
    curve = train(run, source=source, test=test)["curve"]
    return len(source) // config.batch_size * config.batch_size / curve[1]["seconds"]


if __name__ == "__main__":
    main()
