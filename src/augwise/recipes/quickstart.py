"""The whole job on real handwritten digits, in minutes: base model, maps, three arms, table and page.

    augwise quickstart --out qs

Data: scikit-learn's digits (UCI), 300 training and 797 test images. Model: the small CNN, 20 epochs. Maps: CDIEA at
ε = 32/255 (upsampled digits are hard to fool: at 8/255 one in eight) and occlusion. Methods: Cutout, TrivialAugment,
CutMix; plain, guarded, control; 3 seeds. Time: at most 4 minutes on two cores. Expected: none; with three seeds most
intervals include zero, and that is what the page will say.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis.compare_plan import CompareConfig
from ..training.config import TrainConfig
from .command import command_line


@dataclass(frozen=True)
class QuickstartConfig:
    """Maps, guarded training and comparison on handwritten digits."""

    out: Path = Path("quickstart")
    """Folder for results.json, report.html, the maps and the runs."""
    seeds: int = 3
    """Runs per arm."""
    epochs: int = 20
    """Passes over the training images."""
    limit: int = 300
    """Training images."""
    jobs: int | None = None
    """Runs at the same time; left out: one per core."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: bool = False
    """No progress bars."""


def settings(config: QuickstartConfig) -> CompareConfig:
    """The comparison that quickstart runs; change what you like and hand it to `augwise.compare`."""
    train = TrainConfig(
        data="digits",
        limit=config.limit,
        epochs=config.epochs,
        batch_size=50,
        lr=0.1,
        warmup_epochs=config.epochs / 10,
        eval_last=10,
        device=config.device,
        out=config.out,
        quiet=config.quiet,
    )
    return CompareConfig(
        train=train,
        methods=("cutout", "trivialaugment", "cutmix"),
        strengths=(16,),
        windows=("inside",),
        estimators=("cdiea", "occlusion"),
        seeds=config.seeds,
        epsilon=32 / 255,
        jobs=config.jobs,
    )


def quickstart(config: QuickstartConfig | None = None) -> dict[str, Any]:
    """Run it (or what is left of it); see `augwise.compare` for what is written and returned."""
    from ..analysis.compare import compare

    config = config or QuickstartConfig()
    return compare(settings(config), title="Quickstart: handwritten digits", command=command_line("quickstart", config))
