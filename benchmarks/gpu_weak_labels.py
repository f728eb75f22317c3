"""Few labels, wrong labels and medical images on one GPU, at the papers' networks: the pieces of LP-A3's tables.

    python -m benchmarks.gpu_weak_labels --cifar10 npz:cifar10.npz --cifar100 npz:cifar100.npz \\
        --pneumonia npz:pneumoniamnist.npz --out gpu --minutes 7

Resumable: run it again with the same folder until it prints "complete"; each call stops after ``--minutes``, and what
was under way goes on from its last checkpoint, at most a minute old. In this order, the most telling first:

1. PES ± LP-A3 on CIFAR-100 at 90 % noise (the paper's largest gain), PreActResNet-18, 100 epochs;
2. FixMatch ± LP-A3, both forms, on CIFAR-10 with 40 and 250 labels, WRN-28-2, 2^14 steps;
3. PneumoniaMNIST ± RandAugment ± LP-A3, ResNet-18, 100 epochs, ACC and AUC.

Every comparison has the same number of steps in all arms. Results: ``OUT/lp-a3/...`` as of ``augwise reproduce`` and
``OUT/medical``. Needs no package of the command line (tyro) and no network. ``--scale tiny`` rehearses the first two on
digits in minutes on a CPU. ``--jobs`` runs share the GPU, which one such network does not fill.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ._common import for_minutes  # first: it sets the thread variables  # isort: skip

from augwise.recipes.reproduce import ReproduceConfig, reproduce


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("cifar10", "cifar100"):
        parser.add_argument(f"--{name}", default=name, help=f"where {name} is")
    parser.add_argument("--pneumonia", default="medmnist:pneumoniamnist")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--scale", default="short")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=4)
    options = parser.parse_args()
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """The three pieces; what is finished of each is passed over."""
    data = (("cifar10", options.cifar10), ("cifar100", options.cifar100))
    for recipe in ("lp-a3/table-2", "lp-a3/table-1"):
        reproduce(
            ReproduceConfig(
                recipe, scale=options.scale, seeds=options.seeds, data=data, out=options.out, jobs=options.jobs
            )
        )
    medical = ["--tasks", "medical", "--pneumonia", options.pneumonia, "--out", str(options.out / "medical")]
    medical += ["--model", "resnet18", "--medical-epochs", "100", "--precision", "auto", "--minutes", "600"]
    medical += ["--seeds", *map(str, range(options.seeds))]
    if options.scale == "tiny":
        medical.append("--rehearse")
    subprocess.run([sys.executable, "-m", "benchmarks.weak_labels", *medical], check=True)


if __name__ == "__main__":
    main()
