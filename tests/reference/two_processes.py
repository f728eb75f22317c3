"""Run as a script by each of several processes (RANK, WORLD_SIZE, ... in the environment): train into FOLDER."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

import augwise as aw
from augwise.training.config import TrainConfig
from augwise.training.train import train
from reference.training_toys import network, source


def run(out: Path) -> dict:
    """A model without batch statistics and without dropout, no mixing: what several processes can share exactly."""
    torch.set_num_threads(1)
    config = TrainConfig(
        epochs=4,
        batch_size=24,
        lr=0.05,
        clip=1.0,
        ema=0.9,
        crop_padding=2,
        device="cpu",
        out=out,
        quiet=True,
        tensorboard=False,
    )
    return train(
        config, source=source(100), test=source(41, seed=1), model=network("group", dropout=0), steps=[aw.Cutout(3)]
    )


if __name__ == "__main__":
    run(Path(sys.argv[1]))
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
