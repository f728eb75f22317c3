"""The fast setting on one GPU: does it reach its aims, and what do guards gain in it?

    python -m benchmarks.gpu_fast --data npz:cifar10.npz --out fast --minutes 7

Resumable: run it again with the same folder until it prints "complete". In this order:

1. `resnet9` (n = 10) and `resnet18` (n = 5) without a method: test accuracy after the last epoch, and seconds of
   training from the first step of the second epoch on, scaled to all epochs, so that compilation is not counted; aims
   94 % in 10 s and 95 % in 60 s;
2. Cutout, TrivialAugment and CutMix, each plain, guarded and control (CDIEA's maps) with `resnet9`, each at three
   lengths of which every arm's best is chosen on 5 % of the training images set aside, ``--seeds`` seeds.

Writes ``OUT/fast.json`` and, as `augwise compare` does, ``OUT/methods``. ``--rehearse`` takes 200 images, two
epochs, one seed and one length, without compilation, on a CPU.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._common import commit, for_minutes  # first: it sets the thread variables  # isort: skip

import torch

from augwise.analysis.compare import compare
from augwise.analysis.compare_config import CompareConfig
from augwise.analysis.statistics import summarise
from augwise.recipes.fast import fast
from augwise.training.config import TrainConfig
from augwise.training.results import environment, write_json
from augwise.training.train import train

RUNS = {"resnet9": 10, "resnet18": 5}
AIMS = {"resnet9": (0.94, 10.0), "resnet18": (0.95, 60.0)}


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=3, help="runs at once on the one GPU, in part 2")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Aims first, then methods."""
    aims(options)
    settings = replace(setting(options, "resnet9", 0), val_share=0.05, out=options.out / "methods", compile=False)
    compare(
        CompareConfig(
            train=settings,
            methods=("cutout", "trivialaugment", "cutmix"),
            strengths=(8,) if options.rehearse else (8, 12, 16),
            windows=("inside",),
            estimators=("cdiea",),
            seeds=1 if options.rehearse else options.seeds,
            attack_steps=5 if options.rehearse else 100,
            jobs=options.jobs,
        ),
        title="Guards in the fast setting",
    )


def setting(options: argparse.Namespace, network: Any, seed: int) -> TrainConfig:
    """The fast setting, or its rehearsal."""
    small = {"limit": 200, "eval_limit": 100, "epochs": 2, "warmup_epochs": 0.5, "compile": False, "batch_size": 40}
    return fast(options.data, network, seed, **(small if options.rehearse else {}))


def aims(options: argparse.Namespace) -> None:
    """Accuracy and seconds of every run; each is kept as soon as it is done."""
    import json

    path = options.out / "fast.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    for network, n in RUNS.items():
        for seed in range(1 if options.rehearse else n):
            key = f"{network}-{seed}"
            if key in found["runs"]:
                continue
            result = train(setting(options, network, seed))
            after = [row["seconds"] for row in result["curve"][1:]]
            seconds = sum(after) / len(after) * len(result["curve"])
            found["runs"][key] = {"accuracy": result["test"]["last_accuracy"], "seconds": seconds}
            print(key, found["runs"][key], flush=True)
            write_json(path, found | summary(found["runs"]))


def summary(runs: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Means beside the aims."""
    told: dict[str, Any] = {}
    for network, (accuracy, seconds) in AIMS.items():
        own = [run for key, run in runs.items() if key.startswith(f"{network}-")]
        if own:
            told[network] = {
                "accuracy": summarise([run["accuracy"] for run in own]),
                "seconds": summarise([run["seconds"] for run in own]),
                "aim_accuracy": accuracy,
                "aim_seconds": seconds,
            }
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return told | {"environment": environment(device) | {"augwise_commit": commit()}}


if __name__ == "__main__":
    main()
