"""Learning from few labels, wrong labels and medical images, each with and without LP-A3: small, paired, resumable.

    python -m benchmarks.weak_labels --pneumonia npz:pneumoniamnist.npz --out weak --minutes 60 --publish weak_labels

Three tasks, the small CNN, accuracy on the test images after the last epoch:

few: digits at 16 px with 40 labels, 600 steps of 16 labelled images and 112 others; FixMatch, and with LP-A3 in both
forms and at four margins. The seed draws the labels, too.
wrong: digits at 16 px with 50 and 80 % of the labels drawn anew, 80 epochs, in which plain training learns them by
heart; Mixup, P-correction, M-correction, and PES and DivideMix with and without LP-A3.
medical: PneumoniaMNIST at 28 px, 20 epochs; crop alone, RandAugment, LP-A3 on the least consistent 30 %, and both,
LP-A3 at four margins and four shares; ACC and AUC as MedMNIST defines them.

Settings of a method are its paper's, but for what suits a thousand images: lengths of phases, PES's refine_lr,
DivideMix's unlabelled_weight, M-correction's mix_alpha. They were chosen on seed 100, which is not among those
measured. Run it again with the same folder until it prints "complete"; ``--tasks`` takes some of them, ``--seeds`` some
seeds, so that two terminals can share a folder. Rehearsal in a minute or two: ``--rehearse``.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ._common import commit, for_minutes  # first: it sets the thread variables  # isort: skip

import torch

import augwise as aw
from augwise.analysis.statistics import paired, summarise
from augwise.training.config import EvaluateConfig, TrainConfig
from augwise.training.learn_config import LearnConfig
from augwise.training.results import RESULTS, environment, write_json
from augwise.training.train import train

from .publish import RESULTS as PUBLISHED
from .publish import without_paths

LPA3 = {"lagrangian": {"lpa3": True}, "tangent": {"lpa3": True, "lpa3_form": "tangent"}}


class Cell(NamedTuple):
    """One arm of one task. against: the arm that it is compared with, seed by seed; steps: what augments."""

    task: str
    arm: str
    learn: LearnConfig
    against: str | None = None
    steps: str = ""


def cells() -> list[Cell]:
    """All arms of all tasks."""
    return [*_few(), *_wrong(), *_medical()]


def _few() -> list[Cell]:
    few = LearnConfig(objective="fixmatch", labelled=40, epoch_steps=20)
    with_lpa3 = replace(few, lpa3=True, lpa3_ratio=0.9, lpa3_warmup_epochs=5)
    found = [Cell("few", "fixmatch", few), Cell("few", "fixmatch + lpa3 (lagrangian)", with_lpa3, "fixmatch")]
    for margin in (0.02, 0.002, 0.1, 0.5):
        learn = replace(with_lpa3, lpa3_form="tangent", lpa3_margin=margin)
        found.append(Cell("few", _at("fixmatch + lpa3 (tangent)", margin=margin), learn, "fixmatch"))
    return found


def _wrong() -> list[Cell]:
    found = []
    for rate in (0.5, 0.8):
        task = f"wrong {100 * rate:.0f} %"
        plain = LearnConfig(noise=rate)
        found += [Cell(task, "plain", plain), Cell(task, "mixup", plain, "plain", "mixup")]
        found.append(Cell(task, "p-correction", replace(plain, objective="p_correction"), "plain"))
        # α = 1: the 32 of its program, which has 50 times the images, leaves little to see in any of them.
        found.append(Cell(task, "m-correction", replace(plain, objective="m_correction", mix_alpha=1.0), "plain"))
        for objective in ("pes", "dividemix"):
            learn = replace(plain, objective=objective, early_epochs=10, ramp_epochs=16)
            # Of the programs for 50 000 images 1e-4 and 25: the last layer stays random, guesses outweigh all labels.
            own = {"refine_lr": 1e-2} if objective == "pes" else {"unlabelled_weight": 1.0}
            learn = replace(learn, **own)
            found.append(Cell(task, objective, learn, "plain"))
            found.append(Cell(task, f"{objective} + lpa3", replace(learn, lpa3=True, lpa3_form="tangent"), objective))
    return found


def _medical() -> list[Cell]:
    farther = LearnConfig(lpa3=True, lpa3_form="tangent", lpa3_ratio=0.3)
    found = [
        Cell("medical", "plain", LearnConfig()),
        Cell("medical", "randaugment", LearnConfig(), "plain", "randaugment"),
        Cell("medical", "lpa3", farther, "plain"),
        Cell("medical", "randaugment + lpa3", farther, "randaugment", "randaugment"),
    ]
    for margin in (0.002, 0.1, 0.5):
        found.append(Cell("medical", _at("lpa3", margin=margin), replace(farther, lpa3_margin=margin), "plain"))
    for share in (0.1, 0.6, 1.0):
        found.append(Cell("medical", _at("lpa3", share=share), replace(farther, lpa3_ratio=share), "plain"))
    return found


def _at(name: str, margin: float = 0.02, share: float = 0.3) -> str:
    name += "" if margin == 0.02 else f", margin {margin:g}"
    return name + ("" if share == 0.3 else f", share {share:g}")


def settings(options: argparse.Namespace, cell: Cell, seed: int) -> TrainConfig:
    """How one arm is trained."""
    base = TrainConfig(
        seed=seed,
        data_seed=seed,
        learn=cell.learn,
        out=options.out / "runs" / f"{cell.task}-{cell.arm}-s{seed}".replace(" ", "").replace("%", ""),
        tensorboard=False,
        threads=1,
        quiet=True,
        precision=options.precision,
    )
    if cell.task == "few":
        fixmatch: dict[str, Any] = {"schedule": "cosine_7_16", "ema": 0.99}
        base = replace(base, data="digits", size=16, epochs=30, batch_size=16, lr=0.03, crop_padding=2, **fixmatch)
    elif cell.task == "medical":
        medical: dict[str, Any] = {"model": options.model, "epochs": options.medical_epochs, "threads": options.threads}
        base = replace(base, data=options.pneumonia, batch_size=64, lr=0.05, crop_padding=2, flip=False, **medical)
    else:
        base = replace(base, data="digits", size=16, epochs=80, batch_size=32, lr=0.05, crop_padding=1)
    if not options.rehearse:
        return base
    learn = replace(
        base.learn,
        epoch_steps=None if base.learn.epoch_steps is None else 3,
        early_epochs=None if base.learn.early_epochs is None else 1,
    )
    return replace(base, epochs=2, limit=200, eval_limit=100, learn=replace(learn, lpa3_warmup_epochs=0))


def steps(cell: Cell) -> list[Any]:
    """The augmentation of an arm."""
    made = {"": [], "randaugment": [aw.RandAugment(num_ops=2, magnitude=9)], "mixup": [aw.Mixup(alpha=1.0)]}
    return made[cell.steps]


def run(options: argparse.Namespace, cell: Cell, seed: int) -> None:
    """One network and its evaluation, unless they are there."""
    config = settings(options, cell, seed)
    assert config.out is not None
    done = config.out / "evaluation.json"
    if done.exists():
        return
    print(f"{cell.task}: {cell.arm}, seed {seed}", flush=True)
    train(config, steps=steps(cell))
    aw.evaluate(EvaluateConfig(run=config.out, out=done, quiet=True, limit=config.eval_limit))
    (config.out / "weights.safetensors").unlink(missing_ok=True)


def summed_up(options: argparse.Namespace) -> None:
    """results.json and table.txt of the runs so far."""
    measured: dict[tuple[str, str], dict[int, dict[str, float]]] = {}
    for cell in cells():
        for seed in range(100):
            folder = settings(options, cell, seed).out
            assert folder is not None
            file = folder / "evaluation.json"
            if not file.exists():
                continue
            found = json.loads(file.read_text())
            trained = json.loads((folder / RESULTS).read_text())
            last = trained["curve"][-1]
            measured.setdefault((cell.task, cell.arm), {})[seed] = {
                "accuracy": found["accuracy"],
                "auc": found["auc"],
                "seconds": trained["seconds"],
                **{name: last[name] for name in last if name.startswith("lpa3_")},
            }
    rows = []
    for cell in cells():
        own = measured.get((cell.task, cell.arm))
        if not own:
            continue
        other = measured.get((cell.task, cell.against or ""), {})
        rows.append(
            {
                "task": cell.task,
                "arm": cell.arm,
                "against": cell.against,
                "seeds": {str(seed): values for seed, values in own.items()},
                **{
                    name: {
                        "summary": summarise([values[name] for values in own.values()]),
                        "gain": paired(_of(own, name), _of(other, name)) if other else None,
                    }
                    for name in ("accuracy", "auc")
                },
            }
        )
    first = next(iter(measured), None)
    results = {
        "kind": "weak_labels",
        "rows": rows,
        "planned": len(cells()) * len(options.seeds),
        "done": sum(len(row["seeds"]) for row in rows),
        "environment": environment(torch.device("cpu")) | {"augwise_commit": commit()},
    }
    write_json(options.out / "results.json", results)
    if first is not None:
        (options.out / "table.txt").write_text(table(rows))


def _of(seeds: dict[int, dict[str, float]], name: str) -> dict[int, float]:
    return {seed: values[name] for seed, values in seeds.items()}


def table(rows: list[dict[str, Any]]) -> str:
    """One line per arm."""
    lines = [f"{'task':12} {'arm':40} {'n':>2}  {'accuracy, %':>14}  {'gain, points':24} {'AUC':>16}  {'seconds':>7}"]
    for row in rows:
        accuracy, auc, gain = row["accuracy"]["summary"], row["auc"]["summary"], row["accuracy"]["gain"]
        text = ""
        if gain is not None:
            low, high = gain["low"], gain["high"]
            text = f"{100 * gain['mean']:+.1f}" + ("" if low is None else f" [{100 * low:.1f}, {100 * high:.1f}]")
        seconds = summarise([values["seconds"] for values in row["seeds"].values()])["mean"]
        lines.append(
            f"{row['task']:12} {row['arm']:40} {accuracy['n']:>2}  {_spread(accuracy, 100, 1):>14}  {text:24} "
            f"{_spread(auc, 1, 4):>16}  {seconds:7.0f}"
        )
    return (
        "\n".join(lines)
        + "\n\ngain: over the same task's arm without the last addition, paired by seed, 95 % interval\n"
    )


def _spread(summary: Any, scale: float, digits: int) -> str:
    deviation = "" if summary["std"] is None else f" ± {scale * summary['std']:.{digits}f}"
    return f"{scale * summary['mean']:.{digits}f}{deviation}"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pneumonia", default="medmnist:pneumoniamnist", help="where PneumoniaMNIST is")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--tasks", nargs="+", choices=sorted({c.task.split()[0] for c in cells()}))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--no-sweeps", action="store_true", help="leave out other margins and shares than the usual")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--model", default="small_cnn", help="of the task medical")
    parser.add_argument("--medical-epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rehearse", action="store_true", help="two short epochs of everything")
    parser.add_argument("--publish", metavar="NAME", help="also copy into benchmarks/results/NAME")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    def work() -> None:
        for seed in options.seeds:
            for cell in cells():
                swept = ", margin" in cell.arm or ", share" in cell.arm
                asked = options.tasks is None or cell.task.split()[0] in options.tasks
                if asked and not (swept and options.no_sweeps):
                    run(options, cell, seed)
                    summed_up(options)

    for_minutes(options.minutes, work)
    print((options.out / "table.txt").read_text())
    if options.publish:
        to = PUBLISHED / options.publish
        to.mkdir(parents=True, exist_ok=True)
        for name in ("results.json", "table.txt"):
            (to / name).write_text(without_paths((options.out / name).read_text()))


if __name__ == "__main__":
    main()
