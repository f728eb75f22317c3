"""Which images a run is trained on, and the maps of just those: shared by single runs, comparisons and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..training.config import TrainConfig

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..importance.attached import AttachedMaps
    from ..importance.store import ImportanceStore


def training_images(settings: TrainConfig) -> tuple[Source, Source | None]:
    """The images that a run is trained on, and those set aside before ``limit`` (None without ``val_share``)."""
    from ..data.sources import limited, open_source, split_validation

    s = settings
    train, validation = open_source(s.data, s.split, subset=s.chosen, **s.opening), None
    if s.val_share:
        train, validation = split_validation(train, s.val_share, s.data_seed)
    return train if s.limit is None else limited(train, s.limit, s.data_seed), validation


def whole_split(settings: TrainConfig) -> Source:
    """All images of the split that is trained on, whatever subset, as ``augwise estimate`` makes maps of them."""
    from ..data.sources import open_source

    return open_source(settings.data, settings.split, **settings.opening)


def shaped(
    store: ImportanceStore, shape: str, source: Source, whole: Source | None = None, progress: bool = True
) -> AttachedMaps:
    """The maps of a source as what is pasted back wants them; superpixels are found once and kept beside the store.

    whole: all images of the store, which are looked at where it has no superpixels yet; default: the source itself.
    """
    if shape != "superpixel":
        return store.attach(source)
    from ..importance.superpixels import superpixels

    return superpixels(store, source if whole is None else whole, progress=progress).attach(source)
