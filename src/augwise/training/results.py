"""What a training run leaves behind: results.json, curve.csv, weights, TensorBoard's files, and on what it ran."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import platform
import statistics
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torchvision

from ..files import write_atomically

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

RESULTS, CURVE, WEIGHTS, CHECKPOINT = "results.json", "curve.csv", "weights.safetensors", "checkpoint.pt"
"""File names in the folder of a run."""
LABELLED = "labelled.npz"
"""Of a run with few labels: which images kept theirs, as a subset file."""
LABELS = "labels.npz"
"""Of a run with label noise: the labels that it was given, and the true ones."""


def summary(curve: list[dict[str, float]]) -> dict[str, float]:
    """The two accuracies that are reported: of the last epoch, and the median of the last ten (of those that were
    measured). Never the best."""
    accuracies = [row["test_accuracy"] for row in curve[-10:] if "test_accuracy" in row]
    return {"last_accuracy": accuracies[-1], "median_last_ten": statistics.median(accuracies)}


def environment(device: torch.device) -> dict[str, Any]:
    """Versions and hardware: what a number depends on beside its configuration.

    commit: of the checkout one works in; augwise_commit: of augwise's own, where it runs from one.
    """
    found = {
        "torch": str(torch.__version__),
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
    }
    commits = {"commit": _commit(Path.cwd()), "augwise_commit": _commit(Path(__file__).parent)}
    return found | {k: v for k, v in commits.items() if v is not None}


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit(folder: Path) -> str | None:
    """Commit of the checkout that the folder lies in, with ``+changes`` if files differ from it; None outside one."""
    if "site-packages" in folder.parts:  # installed: an environment inside somebody's checkout is no part of it
        return None

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def write_results(results: dict[str, Any], folder: Path) -> None:
    """curve.csv, then results.json, whose presence says that the run is complete."""
    write_atomically(folder / CURVE, lambda file: file.write(curve_csv(results["curve"]).encode()))
    write_json(folder / RESULTS, results)


def write_json(path: Path, content: Any) -> None:
    """Write plain data whole or not at all."""
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def curve_csv(curve: list[dict[str, float]]) -> str:
    """The curve as comma-separated values, one line per epoch; empty where nothing was measured."""
    text = io.StringIO()
    columns = dict.fromkeys(name for row in curve for name in row)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    return text.getvalue()


def tensorboard(folder: Path) -> SummaryWriter | None:
    """A writer into ``folder/tensorboard``, or None if TensorBoard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"))


def to_tensorboard(writer: SummaryWriter, row: dict[str, float]) -> None:
    """One row of the curve."""
    for name, value in row.items():
        if name != "epoch":
            writer.add_scalar(name, value, int(row["epoch"]))
    writer.flush()
