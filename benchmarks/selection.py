"""Training on a part of the images, chosen by each measure: what DCutMix's Figure 5a asks, on a small network.

    python -m benchmarks.selection --data npz:cifar10.npz --out selection --minutes 60 --publish cifar10_selection

Resumable: run it again with the same folder until it prints "complete". A network is trained on ``--limit`` images;
each measure scores them by it (``augwise select``, in ``OUT/select``); then networks are trained from scratch on each
share of the images, with DCutMix (K = 3, α = 1/3, p = 0.5) as in the paper, and tested once, after the last epoch. All
shares are trained for the same number of epochs. ``random`` draws other images for every seed, the others keep the
images that the one measuring network chose. ``redraw-cv`` is this project's: as many images an epoch, but drawn anew in
every epoch by CV out of all of them, with weights that keep the loss unbiased; ``all`` trains on all images.

Runs of other seeds can be made beside each other, in the same folder, once the subsets are there (``--seeds`` without a
number makes those): ``--seeds 0``, and ``--seeds 1 2`` in another terminal. Results, table and figure are of all runs
that are finished.

By default sized for a CPU: 10 000 images of CIFAR-10, the small CNN, 60 epochs. Rehearsal in seconds: ``--data digits
--limit 200 --epochs 2 --base-epochs 2 --batch-size 10 --eval-limit 100 --fractions 0.1 0.3 --mixes 3``.
"""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._common import commit, for_minutes  # first: it sets the thread variables  # isort: skip

import torch

import augwise as aw
from augwise.analysis.select_config import MIXED, SelectConfig
from augwise.analysis.select_run import select_images
from augwise.analysis.statistics import paired, summarise
from augwise.report.text import points
from augwise.training.config import TrainConfig
from augwise.training.results import RESULTS, WEIGHTS, environment, write_json
from augwise.training.train import train

from .publish import RESULTS as PUBLISHED
from .publish import publish, without_paths

# name: (measure, rule, drawn anew, colour and marker of its line)
ARMS: dict[str, tuple[str, str, bool, str]] = {
    "cv": ("cv", "top", False, "C1o-"),
    "mean-easy": ("mean", "bottom", False, "C2v-"),
    "mean-hard": ("mean", "top", False, "C3^-"),
    "std": ("std", "top", False, "C4s-"),
    "random": ("random", "top", False, "kx--"),
    "k-center": ("k-center", "top", False, "C0D-"),
    "redraw-cv": ("cv", "top", True, "C1*:"),
    "mc-dropout": ("mc-dropout", "top", False, "C5p-"),
    "el2n-easy": ("el2n", "bottom", False, "C6<-"),
    "el2n-hard": ("el2n", "top", False, "C6>-"),
    "forgetting": ("forgetting", "top", False, "C8h-"),
}
USUAL = tuple(ARMS)[:7]
ALL = "all"
FIGURE, TABLE = "figure.png", "table.txt"


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(USUAL), metavar="ARM")
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.05, 0.1, 0.3])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2], help="none: scores and subsets alone")
    parser.add_argument("--limit", type=int, default=10_000, help="images to choose from, 0 for all")
    parser.add_argument("--eval-limit", type=int, help="test images, default all")
    parser.add_argument("--model", default="small_cnn")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--base-epochs", type=int, default=20, help="of the network that measures")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--mixes", type=int, default=10)
    parser.add_argument("--method", choices=("dcutmix", "none"), default="dcutmix", help="how subsets are trained on")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--publish", metavar="NAME", help="also copy into benchmarks/results/NAME")
    options = parser.parse_args()
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """The measuring network, the subsets, the runs by seed; what is there is summed up also when the time is up."""
    if not (options.out / "base" / RESULTS).exists():
        train(settings(options, options.out / "base", 1_000, options.base_epochs))
    for arm in options.arms:
        for seed in options.seeds if arm == "random" else (0,):
            subsets(options, arm, seed)
    try:
        for seed in options.seeds:
            for arm, fraction in cells(options):
                run(options, arm, fraction, seed)
    finally:
        summed_up(options)


def cells(options: argparse.Namespace) -> list[tuple[str, float]]:
    """Every arm at every share, and all images."""
    return [*((arm, f) for f in options.fractions for arm in options.arms), (ALL, 1.0)]


def settings(options: argparse.Namespace, out: Path, seed: int, epochs: int) -> TrainConfig:
    """How a network is trained, on all the images to choose from."""
    return TrainConfig(
        data=options.data,
        limit=options.limit or None,
        eval_limit=options.eval_limit,
        eval_last=1,
        model=options.model,
        epochs=epochs,
        batch_size=options.batch_size,
        precision=options.precision,
        warmup_epochs=epochs / 20,
        seed=seed,
        out=out,
        tensorboard=False,
    )


def choice(options: argparse.Namespace, arm: str, seed: int) -> SelectConfig:
    """How an arm scores and chooses."""
    measure, rule, _, _ = ARMS[arm]
    folder = options.out / "select" / (f"random-s{seed}" if measure == "random" else f"{measure}-{rule}")
    return SelectConfig(
        data=options.data,
        limit=options.limit or None,
        run=options.out / "base",
        measure=measure,  # pyright: ignore[reportArgumentType]
        rule=rule,  # pyright: ignore[reportArgumentType]
        fractions=tuple(options.fractions),
        mixes=options.mixes,
        dropout=0.5,
        seed=seed,
        out=folder,
    )


def subsets(options: argparse.Namespace, arm: str, seed: int) -> None:
    """The subset files of an arm, made unless they are there."""
    config = choice(options, arm, seed)
    if all(config.file(f).exists() for f in config.fractions):
        return
    config.out.mkdir(parents=True, exist_ok=True)
    for file in (options.out / "select").glob("*/mixes-*.npz"):  # cv, mean and std share them
        if config.measure in MIXED and not (config.out / file.name).exists():
            shutil.copy(file, config.out)
    command = f"augwise select --data {options.data} --measure {config.measure} --rule {config.rule}"
    select_images(config, command=command)


def run(options: argparse.Namespace, arm: str, fraction: float, seed: int) -> None:
    """One network, unless it is there."""
    folder = options.out / "runs" / f"{arm}-{fraction:g}-s{seed}"
    if (folder / RESULTS).exists():
        return
    print(f"{arm}, {100 * fraction:g} % of the images, seed {seed}")
    config = settings(options, folder, seed, options.epochs)
    if arm != ALL:
        file = choice(options, arm, seed if arm == "random" else 0).file(fraction)
        redraw = ARMS[arm][2]
        config = replace(config, subset=file, redraw=redraw, limit=config.limit if redraw else None)
    steps = [aw.DCutMix(k=3, alpha=1 / 3, p=0.5)] if options.method == "dcutmix" else []
    train(config, steps=steps)
    (folder / WEIGHTS).unlink(missing_ok=True)


def accuracies(options: argparse.Namespace) -> dict[tuple[str, float], dict[int, float]]:
    """Test accuracy of every finished run, by arm and share, then by seed."""
    found: dict[tuple[str, float], dict[int, float]] = {}
    for arm, fraction in cells(options):
        for file in sorted((options.out / "runs").glob(f"{arm}-{fraction:g}-s*/{RESULTS}")):
            seed = int(file.parent.name.rpartition("-s")[2])
            accuracy = json.loads(file.read_text())["test"]["last_accuracy"]
            found.setdefault((arm, fraction), {})[seed] = accuracy
    return found


def summed_up(options: argparse.Namespace) -> None:
    """results.json, table.txt and figure.png of the runs so far."""
    found = accuracies(options)
    rows = []
    for (arm, fraction), by_seed in found.items():
        chance = found.get(("random", fraction), {})
        rows.append(
            {
                "arm": arm,
                "fraction": fraction,
                "accuracy": by_seed,
                **summarise(list(by_seed.values())),
                "over_random": None if arm in ("random", ALL) else paired(by_seed, chance),
            }
        )
    if not rows:
        return
    named = {k: v for k, v in vars(options).items() if k not in ("out", "minutes", "publish", "seeds")}
    images = json.loads((options.out / "base" / RESULTS).read_text())["data"]
    results = {
        "kind": "selection",
        "commit": commit(),
        "options": named,
        "data": {key: images[key] for key in ("name", "train", "test")},
        "base_accuracy": json.loads((options.out / "base" / RESULTS).read_text())["test"]["last_accuracy"],
        "environment": environment(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "rows": rows,
    }
    write_json(options.out / RESULTS, results)
    (options.out / TABLE).write_text(as_text(results) + "\n")
    draw(results, options.out / FIGURE)
    print(as_text(results))
    if options.publish:
        copy(options.out, PUBLISHED / options.publish)


def as_text(results: dict[str, Any]) -> str:
    """One line for each share and arm, the best first."""
    o, data = results["options"], results["data"]
    lines = [
        f"{data['name']}: a {o['model']} trained on a share of {data['train']} images for {o['epochs']} epochs, with "
        f"{o['method']}; accuracy on {data['test']} test images, %, last epoch, mean ± std over seeds; difference to "
        f"random in points, paired by seed, 95 % interval. The measuring network: "
        f"{100 * results['base_accuracy']:.2f} %.",
        f"{'share':>6}  {'arm':<10}  {'accuracy':>14}   n  over random",
    ]
    for row in sorted(results["rows"], key=lambda r: (r["fraction"], -r["mean"])):
        spread = "" if row["std"] is None else f" ± {100 * row['std']:.2f}"
        lines.append(
            f"{100 * row['fraction']:>4g} %  {row['arm']:<10}  {100 * row['mean']:.2f}{spread:>8}  {row['n']:>2}  "
            f"{points(row['over_random'])}"
        )
    return "\n".join(lines)


def draw(results: dict[str, Any], path: Path) -> None:
    """Accuracy over the share of the images, a line for each arm, bars one standard deviation."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for arm, (_, _, _, style) in ARMS.items():
        rows = sorted((r for r in results["rows"] if r["arm"] == arm), key=lambda r: r["fraction"])
        if rows:
            x, y = [100 * r["fraction"] for r in rows], [100 * r["mean"] for r in rows]
            bars = [100 * (r["std"] or 0) for r in rows]
            axes.errorbar(x, y, bars, fmt=style, capsize=3, label=arm)
    for row in results["rows"]:
        if row["arm"] == ALL:
            axes.axhline(100 * row["mean"], color="0.6", linewidth=1, label="all images")
    shares = sorted({100 * r["fraction"] for r in results["rows"] if r["arm"] != ALL})
    axes.set(xscale="log", xlabel="share of the images, %", ylabel="test accuracy, %")
    axes.set_xticks(shares, [f"{s:g}" for s in shares])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def copy(out: Path, to: Path) -> None:
    """Into the repository, without the paths of this machine: figure, table, results, and the page of each measure."""
    to.mkdir(parents=True, exist_ok=True)
    found = without_paths(json.loads((out / RESULTS).read_text()))
    (to / RESULTS).write_text(json.dumps(found, indent=2) + "\n")
    for name in (TABLE, FIGURE):
        shutil.copy(out / name, to)
    for folder in sorted((out / "select").iterdir()):
        if (folder / RESULTS).exists() and not folder.name.startswith("random"):
            publish(folder, to / folder.name)


if __name__ == "__main__":
    main()
