"""The tables of the papers, one preset of `augwise compare` after the other, on one data set.

    python -m benchmarks.tables --data npz:cifar10.npz --out tables --minutes 60 --publish cifar10_tables

Resumable: run it again with the same folder until it prints "complete". Each call stops after ``--minutes``; what is
finished stays. Every preset has a folder ``OUT/PRESET``; base model, maps and finished runs are shared between them,
and with ``--share`` (folders of other comparisons, such as ``benchmarks/results/cifar10_5k``). ``--publish NAME``
copies results, table and page of each into ``benchmarks/results/NAME/PRESET``, without the paths of this machine, and
the network behind the maps into ``benchmarks/results/NAME/base``: another machine would train another one, find other
maps, and know none of the runs. To go on there, ``--share benchmarks/results/NAME benchmarks/results/NAME/*`` and the
data named by the same words (so from the folder that holds them: ``--data npz:cifar10.npz``).

By default sized for a CPU and set as ``cifar10_5k`` was: 5 000 images, the small CNN, 20 epochs, bfloat16, a tenth set
aside for validation: about 25 s a run on a core that computes in bfloat16. One that does not emulates it, ten times
slower: ``--precision fp32`` takes about 85 s there. On a GPU: ``--model resnet18 --epochs 10 --limit 0 --jobs 4``; for
CIFAR-100 ``--length 8`` besides.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from ._common import for_minutes  # first: it sets the thread variables  # isort: skip

from augwise.analysis.compare import compare
from augwise.analysis.compare_plan import CompareConfig
from augwise.analysis.presets import PRESETS
from augwise.errors import UserError
from augwise.training.config import TrainConfig
from augwise.training.results import RESULTS as RESULTS_FILE
from augwise.training.results import WEIGHTS, write_json

from .publish import RESULTS, publish, without_paths

_LARGEST = 3_000_000  # bytes of a page that is published


def main() -> None:
    """Go on with whatever is not done yet, until the time is up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS), metavar="PRESET")
    parser.add_argument("--share", type=Path, nargs="*", default=[], help="folders of comparisons that are done")
    parser.add_argument("--publish", metavar="NAME", help="also copy into benchmarks/results/NAME")
    parser.add_argument("--seeds", type=int, help="runs per arm; default the preset's")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--model", default="small_cnn")
    parser.add_argument("--limit", type=int, default=5000, help="training images, 0 for all")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16", help="fp32 where bfloat16 is emulated")
    parser.add_argument("--length", type=float, help="side of regions where a preset does not say it, 8 on CIFAR-100")
    parser.add_argument("--jobs", type=int, help="runs at once; default one per core, one on a GPU")
    options = parser.parse_args()
    for_minutes(options.minutes, lambda: work(options))


def work(options: argparse.Namespace) -> None:
    """Every preset in turn; one that cannot be run here says why, and the next begins."""
    refused = {}
    for name in options.presets:
        try:
            compare(settings(name, options), title=_title(name, options.data), command=_command(name, options))
        except UserError as error:
            refused[name] = str(error)
        finally:  # also when the time is up: what is there is a table
            if options.publish and (options.out / name / "results.json").exists():
                publish(options.out / name, RESULTS / options.publish / name, _LARGEST)
                _publish_base(options.out / name / "base", RESULTS / options.publish / "base")
    for name, reason in refused.items():
        print(f"{name} was left out: {reason}")


def _publish_base(folder: Path, to: Path) -> None:
    """The network behind the maps, small as it is, with its results; one that is there stays, runs depend on it."""
    weights = folder / WEIGHTS
    if weights.stat().st_size > _LARGEST:
        return
    if (to / WEIGHTS).exists():
        if (to / WEIGHTS).read_bytes() != weights.read_bytes():
            print(f"{to} holds another network already: {folder} is not published")
        return
    to.mkdir(parents=True, exist_ok=True)
    results = without_paths(json.loads((folder / RESULTS_FILE).read_text()))
    write_json(to / RESULTS_FILE, results)
    shutil.copy(weights, to)


def settings(name: str, options: argparse.Namespace) -> CompareConfig:
    """A preset on this data, sharing with all other presets that have a folder."""
    others = [options.out / other for other in PRESETS if other != name]
    train = TrainConfig(
        data=options.data,
        limit=options.limit or None,
        val_share=0.1,
        eval_last=1,
        model=options.model,
        epochs=options.epochs,
        precision=options.precision,
        out=options.out / name,
        tensorboard=False,
    )
    changes: dict[str, Any] = {"share": tuple(f for f in (*others, *options.share) if f.is_dir()), "jobs": options.jobs}
    if options.seeds is not None:
        changes["seeds"] = options.seeds
    if options.length is not None:
        length = options.length
        changes["length"] = int(length) if length >= 1 and length.is_integer() else length
    return CompareConfig.preset(name, train, **changes)


def _title(name: str, data: str) -> str:
    return f"{name.replace('-', ' ').capitalize()}: {Path(_end(data).partition(':')[2] or data).stem}"


def _command(name: str, options: argparse.Namespace) -> str:
    given = {"data": _end(options.data), "presets": name, "model": options.model, "epochs": options.epochs}
    given |= {"limit": options.limit, "precision": options.precision, "length": options.length, "seeds": options.seeds}
    return "python -m benchmarks.tables " + " ".join(f"--{k} {v}" for k, v in given.items() if v is not None)


def _end(data: str) -> str:
    """``npz:cifar10.npz`` of ``npz:/some/where/cifar10.npz``."""
    kind, colon, path = data.partition(":")
    return kind + colon + Path(path).name if colon else data


if __name__ == "__main__":
    main()
