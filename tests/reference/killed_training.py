"""Run as a script: train in forked children that are killed at random moments until one gets through.

``killed_training.py FOLDER KILLS`` trains once without interruption into FOLDER/whole, then into FOLDER/killed with
that many kills: SIGKILL, and SIGINT every third time. Prints what happened to each child.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch

import augwise as aw
from augwise.training.config import TrainConfig
from augwise.training.train import train
from reference.training_toys import network, source


def run(out: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(os.getpid())
    config = TrainConfig(
        epochs=40,
        batch_size=16,
        ema=0.9,
        clip=1.0,
        label_smoothing=0.1,
        warmup_epochs=2,
        crop_padding=1,
        optimizer="adamw",
        device="cpu",
        out=out,
        quiet=True,
        tensorboard=False,
        checkpoint_steps=3,
    )
    train(config, source=source(70), test=source(40, seed=1), model=network(), steps=[aw.Cutout(3), aw.CutMix(alpha=1)])


def forked(out: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        run(out)
    except KeyboardInterrupt:
        os._exit(3)
    except BaseException as e:
        print("child failed:", repr(e), flush=True)
        os._exit(1)
    os._exit(0)


def main(folder: Path, kills: int) -> None:
    began = time.monotonic()
    assert os.waitpid(forked(folder / "whole"), 0)[1] == 0
    whole = time.monotonic() - began
    happened: list[str] = []
    draw = random.Random(0)
    while True:
        child = forked(folder / "killed")
        if len(happened) < kills:
            # Enough for some steps, not for many: a fork has to read its data again before it trains.
            time.sleep(whole * draw.uniform(0.1, 0.1 + 0.9 / kills))
            os.kill(child, signal.SIGINT if len(happened) % 3 == 2 else signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        happened.append(f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}")
        if happened[-1] in ("exit 0", "exit 1"):
            break
    print("\n".join(happened))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
