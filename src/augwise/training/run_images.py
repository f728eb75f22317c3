"""The images of one training run: how they are read, cropped and seen. Ends what reads in the background."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from ..data import Resident, Source, WithImportance
from ..data.pipeline import flatten_steps
from ..transforms import RandomCrop, RandomHorizontalFlip
from .batches import LoaderReader, Reader, ResidentReader, channel_statistics
from .checkpoint import plain
from .config import TrainConfig
from .run_data import RunData
from .views import CropStretched, evaluation_view, training_crop

if TYPE_CHECKING:
    from accelerate import Accelerator

_LOOKED_AT = 1_000  # photographs whose pixels are measured where nothing else gives mean and deviation


class RunImages:
    """Readers of a run's images, and the steps that all its arms share. transform: of single samples, where workers
    read them."""

    def __init__(self, config: TrainConfig, data: RunData, transform: Any, accelerator: Accelerator) -> None:
        self.config, self.data, self.transform, self.accelerator = config, data, transform, accelerator
        self._open: list[LoaderReader] = []

    def close(self) -> None:
        """End what reads in the background."""
        for reader in self._open:
            reader.close()

    def training(self) -> Reader:
        """Images and maps as they come to the shared steps."""
        config, data = self.config, self.data
        if config.crop == "resized" and config.loader == "workers":
            return self.reader(data.train, data.maps, [training_crop(config), *flatten_steps(self.transform)])
        return self.reader(data.train, data.maps, self.transform, config.resident_size)

    def reader(self, source: Source, maps: Any = None, transform: Any = None, size: int | None = None) -> Reader:
        """Of any images, the run's way. size: side of the squares in which whole images of any size wait."""
        config, device = self.config, self.accelerator.device
        if config.loader == "resident":
            return ResidentReader(Resident.load(source, maps, device, progress=not self._quiet, size=size))
        dataset = WithImportance(source, maps, transform=transform, seed=config.seed, epochs=config.epochs)
        return self._loaded(dataset)

    def _loaded(self, dataset: WithImportance) -> Reader:
        reader = LoaderReader(dataset, self.accelerator.device, self.config.num_workers)
        self._open.append(reader)
        return reader

    @property
    def _quiet(self) -> bool:
        return self.config.quiet or not self.accelerator.is_main_process

    def seen(self, source: Source) -> Source:
        """The images as the run measures them."""
        return evaluation_view(source, plain(asdict(self.config)))

    def shape(self, reader: Reader) -> tuple[int, int, int]:
        """Channels, height and width of what the model sees."""
        channels, height, width = next(reader.read(0, [np.arange(1)])).images.shape[1:]
        if self.config.crop == "resized":
            assert isinstance(self.config.size, int)
            return channels, self.config.size, self.config.size
        return channels, height, width

    def measured(self, reader: Reader) -> tuple[Sequence[float], Sequence[float]]:
        """Mean and deviation of the training images; of random crops they would depend on the seed."""
        if self.config.crop != "resized":
            return channel_statistics(reader)
        dataset = WithImportance(self.seen(self.data.train))
        looked = self._loaded(dataset)
        return channel_statistics(looked, _LOOKED_AT, progress=not self._quiet)

    def shared(self, reader: Reader) -> list[nn.Module]:
        """The crop and the flip that come before a method."""
        config = self.config
        flip = self.data.train.flip if config.flip is None else config.flip
        crop: nn.Module = nn.Identity()
        if config.crop == "resized":
            if isinstance(reader, ResidentReader):
                assert reader.resident.stretch is not None
                crop = CropStretched(training_crop(config), reader.resident.stretch)
        elif config.crop_padding:
            crop = RandomCrop(self.shape(reader)[1:], padding=config.crop_padding)
        # A step that is left out keeps its place, so that the draws of the others stay the same.
        return [crop, RandomHorizontalFlip() if flip else nn.Identity()]
