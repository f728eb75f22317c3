"""How the images of a run are seen: cut at random while it trains, at their centre when it is measured.

With ``crop="pad"`` sources are opened at one size and seen as they are. With ``crop="resized"`` they keep their own
sizes: a random resized crop makes the training images, and what is measured is the centre crop of a resized image.
Reads nothing but results of earlier runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from .. import models, randomness
from ..data import Resized, Source
from ..data.sources import centre_square
from ..errors import UserError
from ..sample import Batch, Sample
from ..transforms import RandomResizedCrop
from ..transforms.resized_crop import DRAWS, crop_boxes
from .config import TrainConfig
from .evaluate import read_run
from .results import RESULTS

CROP_SHARE = 0.875
"""Share of the shorter side that is measured where neither the user nor published weights say."""


def resolved(config: TrainConfig) -> TrainConfig:
    """The configuration with all that ``crop="resized"`` leaves open filled in; any other as it is.

    Size, crop share and interpolation are those of the model's published weights where the run starts from weights.
    """
    if config.crop != "resized":
        return config
    known = _published(config)
    size = config.size if isinstance(config.size, int) else known.size if known else None
    if size is None:
        raise UserError("crop=resized needs size: the side in pixels of the images that the model sees, such as 224")
    share = config.crop_share or (known.crop_share if known else CROP_SHARE)
    interpolation = config.interpolation or (known.interpolation if known else "bilinear")
    resident = config.resident_size
    if config.loader == "resident" and resident is None:
        resident = round(size / CROP_SHARE)
    return replace(config, size=size, crop_share=share, interpolation=interpolation, resident_size=resident)


def statistics(config: TrainConfig, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and standard deviation of each channel that are given or known; None where they are to be measured.

    In this order: what the configuration says; where a timm or torchvision model starts from weights, of a checkpoint
    that one of our runs left the run's, else what the published weights want. Our own models have none published.
    """
    if config.mean is not None and config.std is not None:
        return config.mean, config.std
    known = _published(config)
    if known is None:
        return None
    mean, std = _run_before(config) or (known.mean, known.std)
    return (mean, std) if len(mean) == channels else None


def _published(config: TrainConfig) -> models.DataConfig | None:
    starts_from_weights = config.pretrained or config.checkpoint is not None
    return models.data_config(config.model) if starts_from_weights else None


def _run_before(config: TrainConfig) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """What the run of ours that left the checkpoint normalised with; None if it comes from elsewhere."""
    beside = None if config.checkpoint is None else Path(config.checkpoint).parent / RESULTS
    if beside is None or not beside.is_file():
        return None
    data = read_run(beside)["data"]
    return tuple(data["mean"]), tuple(data["std"])


def evaluation_view(source: Source, settings: Mapping[str, Any]) -> Source:
    """``source`` as it is measured. settings: of a run, `resolved`; those of an older run may lack what came later."""
    if settings.get("crop", "pad") != "resized":
        return source
    return Resized(source, settings["size"], settings["crop_share"], settings["interpolation"])


def seen(sample: Sample, config: TrainConfig) -> Sample:
    """One image with its map, both as images are measured; config: of a run, `resolved`."""
    if config.crop != "resized":
        return sample
    assert isinstance(config.size, int)
    view = config.size, config.crop_share or CROP_SHARE, config.interpolation or "bilinear"
    importance = None if sample.importance is None else centre_square(sample.importance, *view)
    return sample._replace(image=centre_square(sample.image, *view), importance=importance)


def training_crop(config: TrainConfig) -> RandomResizedCrop:
    """The random resized crop of a run, for images as they are."""
    assert isinstance(config.size, int)
    return RandomResizedCrop(config.size, config.crop_scale, config.crop_ratio, config.interpolation or "bilinear")


@final
class CropStretched(nn.Module):
    """The batch path's random resized crop: from whole images that were stretched to squares, crops with the shape and
    the area that they have in the images as they were.

    crop: what is drawn; stretch: (N,) of every row of the data set, see `Resident`. Takes a `Batch`.
    """

    def __init__(self, crop: RandomResizedCrop, stretch: Tensor) -> None:
        super().__init__()
        self.crop, self.stretch = crop, stretch

    def forward(self, batch: Batch) -> Batch:
        u = randomness.uniform(len(batch.images), DRAWS).to(self.stretch.device, non_blocking=True)
        height, width = batch.images.shape[-2:]
        stretch = self.stretch[batch.indices]
        boxes = crop_boxes(u, height, width, self.crop.scale, self.crop.ratio, stretch)
        images, importance = self.crop.transform(
            batch.images.as_subclass(Tensor),
            None if batch.importance is None else batch.importance.as_subclass(Tensor),
            {"boxes": boxes},
        )
        return Batch.of(images, batch.labels, importance, batch.indices, batch.evidence)
