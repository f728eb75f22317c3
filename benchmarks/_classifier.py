"""The trained classifier of the benchmarks whose numbers depend on one, and images that it was not trained on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

from . import _common  # noqa: F401  (sets the thread variables, so before torch)

import torch  # isort: skip
from torch import Tensor, nn  # isort: skip
from torch.nn import functional as F  # isort: skip

from augwise import models


class Classifier(NamedTuple):
    """model: in eval mode, frozen, pixels in [0, 1] to logits; images: (N, C, H, W) of the test split; labels: (N,)."""

    name: str
    model: nn.Module
    images: Tensor
    labels: Tensor


FLAGS = {
    "--run": {"type": Path, "help": "folder of a finished training run: the classifier (else one trained on digits)"},
    "--data": {"default": "cifar10", "help": "with --run: its data source, whose test split is looked at"},
}


def classifier(options: argparse.Namespace, device: torch.device) -> Classifier:
    """That of ``options.run`` on ``options.limit`` images of ``options.data``, or a small CNN after a few seconds of
    training on digits."""
    from augwise.data.sources import open_source

    if options.run is not None:
        from augwise.analysis.reference_model import reference_model

        source = open_source(options.data, "test", limit=options.limit, seed=0)
        model = reference_model(source, options.run, None, None, None, None, "cdiea")
        name = f"{options.run.name} on {source.name}"
    else:
        source, model = open_source("digits", "test", limit=options.limit, seed=0), trained_on_digits()
        name = "small_cnn on digits"
    items = [source[i] for i in range(len(source))]
    images = torch.stack([torch.as_tensor(image) for image, _ in items]).float() / 255
    labels = torch.tensor([label for _, label in items])
    return Classifier(name, model.eval().requires_grad_(False).to(device), images.to(device), labels.to(device))


def trained_on_digits(epochs: int = 6) -> nn.Module:
    """A small CNN after a few epochs of the training split."""
    from augwise.data.sources import open_source

    source = open_source("digits", "train")
    items = [source[i] for i in range(len(source))]
    images, labels = torch.stack([torch.as_tensor(item[0]) for item in items]), torch.tensor([i[1] for i in items])
    torch.manual_seed(0)
    model = models.Normalized(models.build("small_cnn", 10), [0.3] * 3, [0.3] * 3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(64):
            loss = F.cross_entropy(model(images[rows].float() / 255), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model
