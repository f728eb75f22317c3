"""What every benchmark shares: one process, one thread, medians, and a JSON file that says where it was measured.

A benchmark is a module with a function ``measure() -> dict`` and, at its end, ``run(__doc__, measure)``:

    python -m benchmarks.regions --json regions.json

Importing this module sets the thread variables, so import it before torch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

PACKAGES = ("torch", "torchvision", "numpy", "timm", "kornia")


def seconds_of(function: Callable[[], Any], budget: float = 2.0, least: int = 7, warm_up: int = 2) -> list[float]:
    """Seconds of each call: at least ``least`` calls, then as many as fit into ``budget`` seconds."""
    synchronise = torch.cuda.synchronize if torch.cuda.is_available() else (lambda: None)
    for _ in range(warm_up):
        function()
    synchronise()
    taken: list[float] = []
    begin = time.perf_counter()
    while len(taken) < least or (time.perf_counter() - begin < budget and len(taken) < 2000):
        start = time.perf_counter()
        function()
        synchronise()
        taken.append(time.perf_counter() - start)
    return taken


def median_ms(function: Callable[[], Any], budget: float = 2.0, least: int = 7, warm_up: int = 2) -> float:
    """Median milliseconds of a call, see `seconds_of`."""
    return 1000 * statistics.median(seconds_of(function, budget, least, warm_up))


def medians_ms(functions: Mapping[str, Callable[[], Any]], budget: float = 2.0, rounds: int = 4) -> dict[str, float]:
    """Median milliseconds of several functions, measured in turn, round by round.

    Whatever else the machine does meanwhile then falls on all of them alike, which is what a ratio needs.
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            taken[name] += seconds_of(function, budget / rounds, least=3)
    return {name: 1000 * statistics.median(values) for name, values in taken.items()}


def for_minutes(minutes: float, work: Callable[[], None]) -> None:
    """Work until it is complete or the time is up; every verb leaves a state that the next call goes on from."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt  # the same way out as Ctrl-C

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 60 * minutes)
    try:
        work()
        print("complete")
    except KeyboardInterrupt:
        print("stopped; run it again to go on")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def version(package: str) -> str | None:
    """Installed version of a package, or None; a benchmark leaves out the peers that are not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Commit of the checkout this file lies in, with ``+changes`` where tracked files were edited; None outside git."""
    here = Path(__file__).parent
    try:
        head = _git("rev-parse", "HEAD", here=here)
        return head + ("+changes" if _git("status", "--porcelain", "--untracked-files=no", here=here) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str, here: Path) -> str:
    done = subprocess.run(["git", *arguments], cwd=here, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def environment() -> dict[str, Any]:
    """Versions, processor, threads, GPU and commit."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        **{package: version(package) for package in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def run(
    about: str | None, measure: Callable[..., dict[str, Any]], flags: Mapping[str, Mapping[str, Any]] | None = None
) -> None:
    """Command line of one benchmark: measure with one thread, print every number, write ``--json FILE``.

    flags: further flags with what `argparse` is to know of them; ``measure`` then gets all options as its argument.
    """
    parser = argparse.ArgumentParser(description=(about or "").strip().splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers and the environment to this file")
    parser.add_argument("--threads", type=int, default=1, help="threads torch may use (default 1)")
    for flag, known in (flags or {}).items():
        parser.add_argument(flag, **known)
    options = parser.parse_args()
    if options.json is not None and not options.json.resolve().parent.is_dir():
        sys.exit(f"{options.json.parent} is no folder: create it, or write elsewhere")
    torch.set_num_threads(options.threads)
    results = measure(options) if flags else measure()
    width = max(map(len, results), default=0)
    for name, value in results.items():
        print(f"{name:{width}}  {_shown(value)}")
    if options.json is not None:
        options.json.write_text(json.dumps({**results, "environment": environment()}, indent=2) + "\n")


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
