"""Architecture search on a tenth of CIFAR-100 on one GPU: how long it takes, and what its networks are worth.

    python -m benchmarks.gpu_search --data npz:cifar100.npz --out search --minutes 7

Resumable: run it again with the same folder until it prints "complete"; each call stops after ``--minutes``, and what
was under way goes on from its last checkpoint, at most a minute old. For each seed, in this order:

1. a network that CV asks (`resnet9` in the fast setting), and a tenth of every class by CV and by chance;
2. PC-DARTS on each: 50 epochs, 15 of them for the weights alone, 16 channels, 8 cells, batch 256. The paper's search
   on a part of high CV takes 16 minutes on a V100;
3. both networks from scratch on all of CIFAR-100, small (``--model``, 16 channels, 8 cells) and short (``--epochs``).

``--parts cv random all`` also searches on all images. Writes ``OUT/search.json`` and ``OUT/table.txt``; pages lie
beside the searches. ``--rehearse`` makes all of it small, for ``--data digits`` on a CPU in a minute.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._common import commit, for_minutes  # first: it sets the thread variables  # isort: skip

import torch

from augwise.analysis.search_run import search_architecture
from augwise.analysis.select_config import SelectConfig
from augwise.analysis.select_run import select_images
from augwise.analysis.statistics import paired, summarise
from augwise.models.genotype import GENOTYPE
from augwise.recipes.fast import fast
from augwise.report.text import points
from augwise.training.config import TrainConfig
from augwise.training.results import RESULTS, environment, write_json
from augwise.training.search_config import SearchConfig
from augwise.training.train import train

AIM_SECONDS = 960.0
PARTS = ("cv", "random", "all")


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=7.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["cv", "random"])
    parser.add_argument("--share", type=float, default=0.1, help="of every class")
    parser.add_argument("--search-epochs", type=int, default=50)
    parser.add_argument("--model", default="darts_c16_l8", help="shape of the networks, without a genotype")
    parser.add_argument("--epochs", type=int, default=30, help="of the networks")
    parser.add_argument("--compile", action="store_true", help="compile the supernet")
    parser.add_argument("--rehearse", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Seed by seed: images, searches, networks; the table is written after each."""
    for seed in range(1 if options.rehearse else options.seeds):
        for part in options.parts:
            search_architecture(search_settings(options, part, seed))
        for part in options.parts:
            train(train_settings(options, part, seed))
        summed_up(options)


def folder(options: argparse.Namespace, what: str, part: str, seed: int) -> Path:
    """Where a search or a network lies."""
    return options.out / what / f"{part}-s{seed}"


def subset(options: argparse.Namespace, part: str, seed: int) -> Path | None:
    """The file of a part's images, made unless it is there; None for all."""
    if part == "all":
        return None
    share = 0.2 if options.rehearse else options.share
    config = SelectConfig(
        data=options.data,
        measure=part,  # pyright: ignore[reportArgumentType]
        fractions=(share,),
        limit=400 if options.rehearse else None,
        size=16 if options.rehearse else None,
        seed=seed,
        out=folder(options, "select", part, seed),
        mixes=3 if options.rehearse else 10,
    )
    if not config.file(share).exists():
        run = None
        if part == "cv":
            small = {"limit": 400, "eval_limit": 100, "epochs": 2, "size": 16, "batch_size": 50, "compile": False}
            asked = fast(options.data, "resnet9", seed, **(small | {"warmup_epochs": 0.5} if options.rehearse else {}))
            run = options.out / "asked" / f"s{seed}"
            train(replace(asked, out=run))
        select_images(replace(config, run=run))
    return config.file(share)


def search_settings(options: argparse.Namespace, part: str, seed: int) -> SearchConfig:
    """PC-DARTS's, or their rehearsal."""
    settings = SearchConfig(
        data=options.data,
        subset=subset(options, part, seed),
        epochs=options.search_epochs,
        seed=seed,
        compile=options.compile,
        out=folder(options, "search", part, seed),
    )
    if not options.rehearse:
        return settings
    small: dict[str, Any] = {"size": 16, "epochs": 2, "batch_size": 20, "channels": 8, "layers": 3}
    return replace(settings, limit=400 if part == "all" else None, **small)


def train_settings(options: argparse.Namespace, part: str, seed: int) -> TrainConfig:
    """How a network is trained, from scratch on all images."""
    genotype = folder(options, "search", part, seed) / GENOTYPE
    settings = TrainConfig(
        data=options.data,
        model=f"{options.model}:{genotype}",
        epochs=options.epochs,
        batch_size=256,
        lr=0.1,
        weight_decay=3e-4,
        clip=5.0,
        warmup_epochs=1.0,
        drop_path=0.1,
        eval_last=5,
        seed=seed,
        out=folder(options, "train", part, seed),
        checkpoint_seconds=60.0,
        tensorboard=False,
    )
    if not options.rehearse:
        return settings
    small: dict[str, Any] = {"size": 16, "limit": 200, "eval_limit": 100, "epochs": 2, "batch_size": 50, "eval_last": 1}
    return replace(settings, model=f"darts_c8_l3:{genotype}", warmup_epochs=0.5, **small)


def summed_up(options: argparse.Namespace) -> None:
    """search.json and table.txt of what is finished."""
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for part in options.parts:
        for path in sorted((options.out / "train").glob(f"{part}-s*/{RESULTS}")):
            seed = path.parent.name.rpartition("-s")[2]
            found = json.loads((options.out / "search" / path.parent.name / RESULTS).read_text())
            size = found["networks"][1]
            rows.setdefault(part, {})[seed] = {
                "accuracy": json.loads(path.read_text())["test"]["last_accuracy"],
                "seconds": found["seconds"],
                "parameters": size["parameters"],
                "multiply_adds": size["multiply_adds"],
            }
    accuracies = {part: {int(s): run["accuracy"] for s, run in runs.items()} for part, runs in rows.items()}
    gains = {
        part: paired(own, accuracies["random"])
        for part, own in accuracies.items()
        if part != "random" and "random" in accuracies
    }
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    results = {
        "options": {k: v for k, v in vars(options).items() if k not in ("out", "minutes")},
        "aim_seconds": AIM_SECONDS,
        "rows": rows,
        "over_random": gains,
        "environment": environment(device) | {"augwise_commit": commit()},
    }
    write_json(options.out / "search.json", results)
    lines = ["part    search, s   parameters, M   accuracy, %  n  over random, points"]
    for part, runs in rows.items():
        of = {name: summarise([run[name] for run in runs.values()]) for name in ("accuracy", "seconds", "parameters")}
        lines.append(
            f"{part:<7} {of['seconds']['mean']:>9.0f}   {of['parameters']['mean'] / 1e6:>13.2f}   "
            f"{100 * of['accuracy']['mean']:>11.2f}  {of['accuracy']['n']}  {points(gains.get(part))}"
        )
    text = "\n".join(lines)
    (options.out / "table.txt").write_text(text + "\n")
    print(text, flush=True)


if __name__ == "__main__":
    main()
