"""The sample path: a data set that gives every image its importance map and augments both.

Reads its source and its store.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as V

from ..errors import UserError
from ..importance.store import ImportanceStore
from ..importance_map import ImportanceMap
from ..sample import Sample
from ..schedule import check_epochs, progress_of
from .pipeline import check_guards, draws_elsewhere, flatten_steps, gives_importance, run_steps
from .sources import as_source


@final
class WithImportance(Dataset):
    """Images with their importance maps, augmented together.

    source: a `Source`, its name for `open_source` ("folder:photos"), or any map-style torch data set. store: an
    `ImportanceStore` or its path (attached here), or attached maps; None for images without maps. transform: a
    transform, a ``v2.Compose``, or None; it gets the whole `Sample`.

    ``self[epoch, index]`` keys every draw by (seed, epoch, index, position in the pipeline), so a sample does not
    depend on workers, on order or on other steps; use `EpochSampler`. ``self[index]``, as foreign loaders ask,
    draws from torch's own stream. A map of another size than its image is stretched over it with its mass kept;
    ``evidence`` is its sum before the transform.

    as_tuple: give ``(image tensor, label)`` instead of a `Sample`, for training loops of one's own.
    epochs: how many epochs training has, so that a `Ramp` knows from the key how much of it is done, in every worker;
        left out, or without a key, what ``aw.progress`` says counts.
    """

    def __init__(
        self,
        source: Any,
        store: Any = None,
        transform: Any = None,
        seed: int = 0,
        as_tuple: bool = False,
        epochs: int | None = None,
    ) -> None:
        self.source = as_source(source)
        self.maps = attach(store, self.source)
        self.transform = transform
        self.steps = flatten_steps(transform)
        self.foreign = any(map(draws_elsewhere, self.steps))
        self.seed = seed
        self.as_tuple = as_tuple
        self.epochs = check_epochs(epochs)
        live = next((s for s in self.steps if gives_importance(s)), None)
        if live is not None:
            raise UserError(
                f"{type(live).__name__} asks the model in training, which the workers of a loader do not have: put it "
                "and what it guards on the batch path (steps of aw.train, or aw.BatchPipeline)"
            )
        check_guards(
            self.steps,
            self.maps is not None,
            "give WithImportance a store",
        )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, at: int | tuple[int, int]) -> Sample | tuple[Tensor, int]:
        epoch, index = at if isinstance(at, tuple | list) else (None, at)
        index = int(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} images")
        sample = self.read(index % len(self))
        key = () if epoch is None else (self.seed, int(epoch), sample.index)
        with nullcontext() if epoch is None else progress_of(int(epoch), self.epochs):
            sample = run_steps(self.steps, sample, *key, foreign=self.foreign)
        return (sample.image.as_subclass(Tensor), sample.label) if self.as_tuple else sample

    def read(self, index: int) -> Sample:
        """Image and map of one row as they are, before any transform."""
        image, label = self.source[index]
        wrapped = tv_tensors.Image(image)
        if self.maps is None:
            return Sample(wrapped, None, int(label), index)
        importance = fit(torch.as_tensor(self.maps.read(index)), *image.shape[-2:])
        return Sample(wrapped, ImportanceMap(importance), int(label), index, total(importance).item())


def attach(store: Any, source: Any) -> Any:
    """Maps that answer by the source's row: a store or its path is attached, attached maps checked for their length."""
    if store is None:
        return None
    if isinstance(store, str | Path):
        store = ImportanceStore(store)
    if hasattr(store, "attach"):
        return store.attach(source)
    if not hasattr(store, "read"):
        raise UserError(f"store is a {type(store).__name__}: give an ImportanceStore, or store.attach(source)")
    if hasattr(store, "__len__") and len(store) != len(source):
        raise UserError(
            f"the attached maps are for {len(store)} images, the source has {len(source)}: attach the store"
        )
    return store


def fit(importance: Tensor, height: int, width: int) -> Tensor:
    """Maps (H, W) or (N, H, W) float32 stretched over images of another size; every map's sum stays."""
    if tuple(importance.shape[-2:]) == (height, width):
        return importance
    return V.resize(ImportanceMap(importance), [height, width], antialias=True).as_subclass(Tensor)


def total(importance: Tensor) -> Tensor:
    """Sum of each map, (...) float32; summed in float64 so that one map and a batch of maps agree."""
    return importance.sum((-2, -1), dtype=torch.float64).float()
