"""The verb ``analyse``: what trained classifiers are like, side by side; one word after it for each question."""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import UserError
from ..files import require_writable
from .analyse_config import Analysis, word

TITLES = {
    "landscape": "Loss landscape",
    "hessian": "Curvature",
    "noise": "Noise on the weights",
    "robustness": "Adversarial robustness",
    "ood": "Images of no known class",
    "natural": "Natural adversarial images",
    "calibration": "Calibration",
    "farther": "Images as far away as their label allows",
    "cam": "Where the networks look",
    "embedding": "Features and their classes",
    "gradients": "Gradients under attack",
    "curves": "Training curves",
}


def analyse(config: Analysis, command: str = "") -> dict[str, Any]:
    """Answer one question about trained runs, print it, and return what ``results.json`` in ``config.on.out`` holds.

    config: `AnalyseLandscape`, `AnalyseHessian`, `AnalyseNoise`, `AnalyseRobustness`, `AnalyseOod`, `AnalyseNatural`,
    `AnalyseCalibration`, `AnalyseFarther`, `AnalyseCam`, `AnalyseEmbedding` or `AnalyseGradients`, each around
    `AnalyseRuns`, or `AnalyseCurves` around `FinishedRuns`; its class says which question. command heads the page.
    Beside the results: ``report.html``, every chart of it as a file in ``pictures/``, and in ``kept/`` what took long:
    stopped at any time, the same call goes on.

    Raises `UserError` for runs that are not finished or not comparable, before anything is computed.
    """
    from ..report.analyse_page import as_text, write_pictures
    from ..report.build import load, report
    from ..training.devices import device_name
    from ..training.results import RESULTS, environment, write_json

    config.check()
    name = word(config)
    out = config.on.out if config.on.out is not None else Path(name)
    require_writable(out)
    _refuse_other(out / RESULTS, name)
    began = time.monotonic()
    answer = getattr(importlib.import_module(f".analyse_{name}", __package__), name)
    found = answer(config, out)
    results = {
        "kind": name,
        "augwise": __version__,
        "title": ": ".join([TITLES[name], *([found["data"]["name"]] if "data" in found else [])]),
        "command": command,
        "config": json.loads(json.dumps(asdict(config), default=str)),
        **found,
        "seconds": time.monotonic() - began,
        "environment": environment(_device(device_name(getattr(config.on, "device", "cpu")))),
    }
    write_json(out / RESULTS, results)
    page = load(out)
    write_pictures(out, page)
    print(f"{as_text(page)}\n\n{out / RESULTS}  {report(out)}")
    return results


def _device(name: str) -> Any:
    import torch

    return torch.device(name)


def _refuse_other(target: Path, name: str) -> None:
    """`UserError` where the folder holds results of another kind, which would be lost."""
    try:
        there = json.loads(target.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if isinstance(there, dict) and there.get("kind") != name:
        raise UserError(f"{target} holds the results of {there.get('kind')!r}, which would be lost: give another --out")
