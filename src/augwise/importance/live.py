"""Importance by the model in training, anew for every batch: KeepAugment's maps, in place of a store.

A step of the batch path, before the guarded ones. It reads the model's weights and leaves all else of it as it was:
modes, statistics of batch-norm, gradients, random numbers. Touches no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import randomness
from ..errors import UserError
from ..importance_map import ImportanceMap
from ..sample import Batch
from .class_score import Of
from .saliency import Channels, check_saliency, minmax, saliency


@final
class LiveSaliency(nn.Module):
    """Replace the maps of a batch by the saliency of the model in training: η = max_c |∂z_y / ∂x_c|.

    KeepAugment (Gong et al., CVPR 2021, arXiv 2011.11778, section 3): the absolute gradient of the true class's logit
    with respect to the image, the largest over channels, computed in every step with the weights of that moment. What
    guards by it is any guarded method behind it: ``[aw.LiveSaliency(), aw.Cutout(16, quantile=0.6)]`` is KeepCutout,
    with ``aw.Preserve(policy, length=16, quantile=0.6)`` it is KeepAutoAugment. No store is needed, and one that is
    there is not looked at. Unit: per unit of pixel value; ``evidence`` becomes the sum of the new map.

    model, mean, std: a classifier of normalised pixels, (N, C, H, W) -> (N, K), and the mean and standard deviation of
        each channel in units of [0, 1]; without the two it is given pixels in [0, 1]. `aw.train` gives the model that
        it trains; in a loop of one's own give them here or to `watch`. The model is no part of this module: not of its
        parameters, and not of a copy or a pickle.
    of: "logit" of the label (the paper), its "log_probability", or the "top_logit", that of the predicted class.
        Of a mixed label every class counts by its weight.
    reduce: over channels, the largest magnitude (the paper) or their mean.
    normalize: "minmax" stretches every map to [0, 1], for a guard with an absolute ``threshold``.
    scale: below 1, ask about the image at this share of its height and width and stretch the map back (bilinear both
        ways; the paper's cheaper form, section 3.3: a quarter of the work at 0.5). The model must take such images.
    control: give each image the map of another one of its batch, which is as good a map of the wrong image.

    The model is asked in eval mode, so that a map depends on its own image alone, and under the mixed precision that it
    is trained with. One forward and one backward pass to the input for each batch. Takes a `Batch` of uint8 images or
    floats in [0, 1], before `Normalize`. It takes no place in the count of steps that keys random numbers, so the steps
    behind it draw what they would draw without it.
    """

    gives_importance = True
    """For whoever builds pipelines: behind this step there are maps."""

    def __init__(
        self,
        model: nn.Module | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        of: Of = "logit",
        reduce: Channels = "max",
        normalize: Literal["minmax"] | None = None,
        scale: float = 1.0,
        control: bool = False,
    ) -> None:
        super().__init__()
        check_saliency(of, reduce, normalize)
        if not 0 < scale <= 1:
            raise UserError(f"scale={scale} is out of range: give the share of height and width to look at, up to 1")
        self.of: Of = of
        self.reduce: Channels = reduce
        self.normalize, self.scale, self.control = normalize, scale, control
        self.watch(model, mean, std)

    def watch(
        self, model: nn.Module | None, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
    ) -> LiveSaliency:
        """Ask this model from now on (None: no model); see the class. Returns itself."""
        if isinstance(model, type) or not (model is None or isinstance(model, nn.Module)):
            raise UserError(f"model is {model!r}: give a torch.nn.Module, the classifier in training")
        _check_colours(mean, std)
        # Held in an object that is no module, so that it is not registered as a part of this one.
        self._watched = None if model is None else _Watched(model, mean, std)
        return self

    @property
    def model(self) -> nn.Module | None:
        """The model that is asked."""
        return None if self._watched is None else self._watched.model

    def forward(self, batch: Batch, generator: torch.Generator | None = None) -> Batch:
        """The batch with new maps; generator: where the control's derangement comes from."""
        if not isinstance(batch, Batch):
            raise UserError(
                f"LiveSaliency got a {type(batch).__name__}: it asks the model in training about a whole Batch, so it "
                "stands on the batch path (steps of aw.train, aw.BatchPipeline, or behind aw.collate), where the "
                "workers of a loader are done"
            )
        if self._watched is None:
            raise UserError(
                "LiveSaliency has no model to ask: give it one, aw.LiveSaliency(model, mean, std) or .watch(model, "
                "mean, std); aw.train does so by itself"
            )
        images = batch.images.as_subclass(Tensor)
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise UserError(f"LiveSaliency got images of type {images.dtype}: give uint8, or float in [0, 1]")
        maps = self._maps(self._watched, images, batch.labels)
        if self.control and len(maps):
            if len(maps) < 2:
                raise UserError("LiveSaliency(control=True) got a batch of one image: there is no other to take")
            maps = maps[randomness.derangement(len(maps), generator).to(maps.device, non_blocking=True)]
        evidence = maps.sum((1, 2), dtype=torch.float64).float()
        return batch._replace(importance=ImportanceMap(maps), evidence=evidence)

    def _maps(self, watched: _Watched, images: Tensor, labels: Any) -> Tensor:
        n, _, height, width = images.shape
        if not n:
            return torch.zeros(0, height, width, device=images.device)
        images = images if images.is_floating_point() else images.float() / 255
        small = [max(1, round(side * self.scale)) for side in (height, width)]
        if small != [height, width]:
            images = F.interpolate(images, small, mode="bilinear", antialias=True)
        with _evaluating(watched.model):
            maps = saliency(watched.logits, images, labels, self.of, self.reduce).float()
        # Of a model that has diverged the loop tells by its loss, and better.
        maps = maps.nan_to_num(0, posinf=0)
        if small != [height, width]:
            maps = F.interpolate(maps[:, None], (height, width), mode="bilinear")[:, 0]
        return maps if self.normalize is None else minmax(maps)

    def extra_repr(self) -> str:
        return (
            f"of={self.of!r}, reduce={self.reduce!r}, normalize={self.normalize!r}, scale={self.scale}, "
            f"control={self.control}"
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_watched": None}


@dataclass(frozen=True)
class _Watched:
    """A model and how its images are normalised."""

    model: nn.Module
    mean: Sequence[float] | None
    std: Sequence[float] | None
    on: dict[tuple[torch.device, torch.dtype], list[Tensor]] = field(default_factory=dict)
    """mean and std per device and type: making them anew would wait for the device at every step"""

    def logits(self, pixels: Tensor) -> Tensor:
        """pixels: (N, C, H, W) in [0, 1]."""
        if self.mean is None or self.std is None:
            return self.model(pixels)
        if len(self.mean) not in (1, pixels.shape[1]):
            raise UserError(
                f"LiveSaliency got images of {pixels.shape[1]} channels, mean and std of {len(self.mean)}: give one "
                "number per channel"
            )
        key = pixels.device, pixels.dtype
        if key not in self.on:
            constants = (torch.tensor(list(v), dtype=torch.float64)[:, None, None] for v in (self.mean, self.std))
            self.on[key] = [v.to(pixels.device, pixels.dtype) for v in constants]
        mean, std = self.on[key]
        return self.model((pixels - mean) / std)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode inside the block, and in its own after it. The flag alone is set: what a model does of
    its own accord in ``train()`` and ``eval()``, such as keeping parts frozen, is none of our business."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training


def _check_colours(mean: Sequence[float] | None, std: Sequence[float] | None) -> None:
    if (mean is None) != (std is None):
        raise UserError("LiveSaliency got one of mean and std: give both, or neither for a model that takes [0, 1]")
    if mean is None or std is None:
        return
    if len(mean) != len(std) or not len(mean):
        raise UserError(f"mean has {len(mean)} channels and std {len(std)}: give one number per channel to each")
    if not min(std) > 0:
        raise UserError(f"std={tuple(std)}: every channel's standard deviation must be above 0")
