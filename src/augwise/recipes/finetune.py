"""Fine-tuning on a folder of photographs: base model, maps, one method plain, guarded and control, table and page.

    augwise finetune --data folder:DIR --model timm:resnet18 --checkpoint weights.safetensors --out finetune

Data: ``DIR/train/CLASS/*.jpg`` and ``DIR/test/CLASS/*.jpg``, images of any size. Model: any of timm or torchvision with
a new head, from a file of weights, from those the library publishes (``--pretrained``, needs the network once), or from
scratch; normalisation, crop share and interpolation are those of its published weights. Training: random resized crop
and flip, AdamW, cosine, moving average of the weights; measured on the centre crop. Maps: occlusion by a plainly
fine-tuned model that sees whole images, on a grid of 56 × 56, which follows each crop. Method: TrivialAugment inside
`Preserve`; Cutout, CutMix and the others by ``--methods``, their lengths as shares of the side. Time: one training for
the maps, then one per seed and arm (with the baseline four per seed), and 82 forward passes per image for the maps:
720 photographs of twelve flowers at 128 px, a small MobileNet, 20 epochs, plain and guarded, 2 seeds take 13 minutes of
processor time. Expected: none; what comes out stands on the page with its interval, and with few seeds that is wide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..analysis.compare_plan import CompareConfig
from ..analysis.run_arms import data_name
from ..errors import UserError
from ..training.config import TrainConfig
from .command import command_line


@dataclass(frozen=True)
class FinetuneConfig:
    """Fine-tune a classifier of photographs, plain, guarded and control."""

    data: str
    """Data source: folder:DIR with train/CLASS/files and test/CLASS/files, images of any size."""
    model: str = "timm:resnet18"
    """timm:NAME or torchvision:NAME; always with a new head."""
    pretrained: bool = False
    """Start from the weights that the library publishes (needs the network once)."""
    checkpoint: Path | None = None
    """Start from the weights in this file (safetensors, or a torch file of plain tensors)."""
    only_head: bool = False
    """Train the last layer alone (linear probing); the rest keeps the weights it starts from."""
    out: Path = Path("finetune")
    """Folder for results.json, report.html, the maps and the runs."""
    size: int = 224
    """Side in pixels of the images that the model sees."""
    epochs: int = 30
    """Passes over the training images."""
    batch_size: int = 32
    """Images per step."""
    lr: float | None = None
    """Highest learning rate of AdamW; left out: 2e-4 from weights, 1e-3 from scratch or for the head alone."""
    ema: float = 0.99
    """Decay per step of the moving average of the weights that is measured; 0 for none."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest area of the random resized crop, as shares of the image."""
    methods: tuple[str, ...] = ("trivialaugment",)
    """Augmentation methods, by name."""
    strengths: tuple[float, ...] = (0.5,)
    """Their strengths; for those with a length its share of the side (of the region put back, erased or pasted)."""
    arms: tuple[Literal["plain", "guarded", "control"], ...] = ("plain", "guarded", "control")
    """Which arms to run."""
    seeds: int = 3
    """Runs per arm."""
    subset: Path | None = None
    """Only the training images that this file of augwise select names."""
    limit: int | None = None
    """Train on this many images only, a seeded subset with balanced classes."""
    val_share: float = 0.0
    """Share of the training images set aside; of several strengths each arm's best is chosen on it."""
    loader: Literal["workers", "resident"] = "workers"
    """workers reads files anew each epoch, as many as there are; resident keeps all images on the device, which is
    faster where they fit."""
    num_workers: int = 0
    """Processes that read files (loader=workers), for each run; 0 is best on a CPU that also trains."""
    jobs: int | None = None
    """Runs at the same time; left out: one per core on a CPU, one on a GPU."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: bool = False
    """No progress bars."""


def settings(config: FinetuneConfig) -> CompareConfig:
    """The comparison that finetune runs; change what you like and hand it to `augwise.compare`."""
    if ":" not in config.model:
        raise UserError(
            f"--model {config.model} is for small images: give timm:NAME or torchvision:NAME, such as timm:resnet18"
        )
    from_weights = config.pretrained or config.checkpoint is not None
    if config.only_head and not from_weights:
        raise UserError("--only-head needs a network that knows something: give --checkpoint FILE or --pretrained too")
    train = TrainConfig(
        data=config.data,
        subset=config.subset,
        limit=config.limit,
        val_share=config.val_share,
        size=config.size,
        crop="resized",
        crop_scale=config.crop_scale,
        model=config.model,
        pretrained=config.pretrained,
        checkpoint=config.checkpoint,
        only_head=config.only_head,
        epochs=config.epochs,
        batch_size=config.batch_size,
        optimizer="adamw",
        lr=config.lr or (2e-4 if from_weights and not config.only_head else 1e-3),
        warmup_epochs=config.epochs / 10,
        label_smoothing=0.1,
        ema=config.ema,
        eval_last=min(10, config.epochs),
        loader=config.loader,
        num_workers=config.num_workers,
        device=config.device,
        out=config.out,
        quiet=config.quiet,
    )
    return CompareConfig(
        train=train,
        methods=config.methods,
        strengths=config.strengths,
        windows=("inside",),
        estimators=("occlusion",),
        length=0.5,
        arms=config.arms,
        seeds=config.seeds,
        jobs=config.jobs,
    )


def finetune(config: FinetuneConfig) -> dict[str, Any]:
    """Run it (or what is left of it); see `augwise.compare` for what is written and returned."""
    from ..analysis.compare import compare

    title = f"Fine-tuning on {data_name(config.data)} at {config.size} px"
    return compare(settings(config), title=title, command=command_line("finetune", config))
