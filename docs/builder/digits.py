"""What the pictures show: handwritten digits, a classifier trained on them while the site is built, and its maps."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import augwise as aw

SHOWN = (2, 3, 4, 9)
"""The digits on the pictures, one image of each."""

FINE = aw.Occlusion(stride=2)
"""The map of every picture; a finer lattice than the default, which looks blocky at 32 px."""


class Digits(NamedTuple):
    """images: (N, 3, 32, 32) uint8; labels: (N,) int64; names: N words; maps: (N, 32, 32), of `FINE`;
    model: the classifier."""

    images: Tensor
    labels: Tensor
    names: list[str]
    maps: Tensor
    model: nn.Module


@functools.cache
def digits() -> Digits:
    """A base model of seconds, and one well recognised test image per digit in `SHOWN`."""
    from augwise.training.trained import trained

    with tempfile.TemporaryDirectory() as folder:
        config = aw.TrainConfig(epochs=6, eval_last=1, out=Path(folder), tensorboard=False, quiet=True, batch_size=64)
        aw.train(config)
        model = trained(Path(folder)).model.eval()
    source = aw.open_source("digits", "test")
    images = torch.stack([source[i][0] for i in range(200)])
    labels = torch.from_numpy(np.asarray(source.labels[:200]))
    with torch.no_grad():
        sure = model(images.float() / 255).log_softmax(1).gather(1, labels[:, None])[:, 0]
    rows = torch.tensor([int(torch.where(labels == d, sure, -torch.inf).argmax()) for d in SHOWN])
    images, labels = images[rows], labels[rows]
    return Digits(
        images, labels, [source.class_names[i] for i in labels], estimated(FINE, images, labels, model), model
    )


def estimated(method: aw.Estimator, images: Tensor, labels: Tensor, model: nn.Module) -> Tensor:
    """(N, H, W) maps of uint8 images."""
    return method.estimate(model, images.float() / 255, labels, list(range(len(images)))).importance


def one_pass() -> aw.OnePass:
    """A one-pass network of seconds, trained on the base model's images."""
    with tempfile.TemporaryDirectory() as folder:
        settings = aw.OnePassSettings(epochs=10, windows=16)
        path = Path(folder) / "digits.safetensors"
        return aw.train_one_pass(digits().model, aw.open_source("digits", limit=500), path, settings, progress=False)
