"""One-pass maps of the images as they are in this very step, after crop and flip: maps without a store.

A step of the batch path, before the guarded ones. Reads the network's file once; touches no other files and no model
in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from ..importance_map import ImportanceMap
from ..sample import Batch
from .one_pass import OnePass


@final
class LiveOnePass(nn.Module):
    """Replace the maps of a batch by those of a one-pass network (see `OnePass`), one forward pass of it per batch.

    What guards by it is any guarded method behind it: ``[aw.LiveOnePass("maps.safetensors"), aw.Cutout(16,
    quantile=0.6)]``. The network sees what the classifier will see, so a map fits a crop that shows a part of an image,
    which a stored map only follows. No store is needed, and one that is there is not looked at.

    network: a `OnePass`, or the path of its file. control: give each image the map of another one of its batch, which
    is as good a map of the wrong image. classifier: for a network that looks at features, the one that it was trained
    with, frozen and in eval mode, pixels in [0, 1].

    Takes a `Batch` of uint8 images or floats in [0, 1], before `Normalize`; ``evidence`` becomes the sum of the new
    map. Takes no place in the count of steps that key random numbers, so the steps behind it draw what they would draw
    without it. Network and classifier are no part of this module: neither trained nor saved with it.
    """

    gives_importance = True
    """For whoever builds pipelines: behind this step there are maps."""
    model: None = None
    """No model in training is asked."""

    def __init__(
        self, network: OnePass | str | Path, control: bool = False, classifier: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.network = network if isinstance(network, OnePass) else OnePass.load(network)
        self.network.check(64, 64)  # that there is a file behind it
        self.control = control
        # In a tuple, so that it is not registered as a part of this module.
        self._classifier = (self.network.looked_into(classifier),) if self.network.needs_model else (None,)

    def watch(
        self, model: nn.Module | None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> LiveOnePass:
        """Nothing: this step asks its own network, not the model in training that `aw.train` offers. Returns itself."""
        del model, mean, std
        return self

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Batch:
        """The batch with new maps; generator: where the control's derangement comes from."""
        if not isinstance(batch, Batch):
            raise UserError(
                f"LiveOnePass got a {type(batch).__name__}: it stands on the batch path (steps of aw.train, "
                "aw.BatchPipeline, or behind aw.collate)"
            )
        images = batch.images.as_subclass(Tensor)
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise UserError(f"LiveOnePass got images of type {images.dtype}: give uint8, or float in [0, 1]")
        pixels = images if images.is_floating_point() else images.float() / 255
        if not len(pixels):
            maps = torch.zeros(0, *images.shape[-2:], device=images.device)
        else:
            classifier = self._classifier[0]
            if classifier is not None:
                classifier.to(pixels.device)
            maps = self.network.maps(pixels, batch.labels, classifier)
        if self.control and len(maps):
            if len(maps) < 2:
                raise UserError("LiveOnePass(control=True) got a batch of one image: there is no other to take")
            maps = maps[randomness.derangement(len(maps), generator).to(maps.device, non_blocking=True)]
        evidence = maps.sum((1, 2), dtype=torch.float64).float()
        return batch._replace(importance=ImportanceMap(maps), evidence=evidence)

    def extra_repr(self) -> str:
        return f"network={self.network.fingerprint!r}, control={self.control}"
