"""Where images come from: one small protocol, and the ways to open, wrap, shorten and split what follows it.

Reads what the opened source reads; draws keyed random numbers of its own for subsets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, final, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as V

from .. import randomness
from ..errors import UserError
from ..fingerprints import hash_bytes
from ..subset_file import SubsetFile
from ..transforms.resized_crop import Interpolation
from .arrays import ArraySource
from .cuhk03 import open_cuhk03
from .digit_people import open_digit_people
from .digits import open_digits
from .flowers import open_flowers
from .folder import open_folder
from .image_files import Broken, LeftOut
from .imagenet import open_imagenet
from .market1501 import open_market1501
from .medmnist import open_medmnist
from .mnist import open_mnist
from .npz import open_npz
from .people import SPLITS as OF_PEOPLE
from .stl10 import open_stl10
from .svhn import open_svhn
from .tiny_imagenet import open_tiny_imagenet
from .torchvision_sets import open_cifar
from .wrapped import WrappedDataset

Split = Literal["train", "val", "test", "query", "gallery"]
ImageSize = int | Sequence[int]
"""Side of a centre square, or height and width that a whole image is stretched to."""

_IN_MEMORY: dict[str, Callable[[str, str], Source]] = {
    "mnist": open_mnist,
    "svhn": open_svhn,
    **{name: partial(open_cifar, name) for name in ("cifar10", "cifar100")},
    **{
        name: partial(open_stl10, name)
        for name in ("stl10", "stl10-unlabelled", *(f"stl10-fold{i}" for i in range(10)))
    },
}
_FILES: dict[str, Callable[[str, str, Broken, bool], Source]] = {
    "tiny-imagenet": open_tiny_imagenet,
    "flowers102": open_flowers,
    "imagenet": open_imagenet,
}
_PEOPLE: dict[str, Callable[[str, str, Broken, bool], Source]] = {
    "market1501": open_market1501,
    **{name: partial(open_cuhk03, name) for name in ("cuhk03", "cuhk03-labeled")},
    "digit-people": open_digit_people,
}
KNOWN = (
    "digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10, tiny-imagenet, "
    "flowers102 or imagenet, or for re-identification market1501, cuhk03, cuhk03-labeled or digit-people, of which "
    "each may name a folder, as mnist:DIR"
)


@runtime_checkable
class Source(Protocol):
    """A labelled image set: ``len(source)``, ``source[i] -> (image (C, H, W) uint8, label)`` and what is known of it.

    class_names: one per class; labels: (N,) int64, without decoding an image, -1 for an image without a label, which
    only training from few labels can use; name: for tables and reports;
    flip: whether a mirrored image is still a sensible picture of its class.
    """

    class_names: list[str]
    labels: np.ndarray
    name: str
    flip: bool

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Tensor, int]: ...

    def fingerprint(self, index: int, /) -> int:
        """64-bit hash of what image ``index`` consists of (its file's bytes or its pixels), independent of where it
        stands: maps find their image by it."""
        ...


def open_source(
    spec: str,
    split: str = "train",
    size: ImageSize | None = None,
    limit: int | None = None,
    seed: int = 0,
    broken: Broken = "stop",
    progress: bool = True,
    subset: str | Path | None = None,
    unlabelled: bool = False,
) -> Source:
    """Open a data set by its name.

    spec: "digits", "npz:FILE", "folder:DIR" or "medmnist:NAME", or "mnist", "svhn", "cifar10", "cifar100", "stl10",
        "tiny-imagenet", "flowers102" or "imagenet", or of people "market1501", "cuhk03", "cuhk03-labeled" or
        "digit-people", of which each may name its folder, as "mnist:DIR".
    split: "train", "val" or "test"; of "tiny-imagenet" and "imagenet" the last two are the same images. Of people
        "train", "query", "gallery" or "test", which is the queries and then the gallery.
    size: a number: resize the shorter side to so many pixels and cut out the centre square. Height and width: stretch
        the whole image to them.
    limit: keep only so many images, the classes as evenly as they allow, drawn by ``seed``; a smaller limit keeps a
        part of what a larger one keeps. The order stays that of the data set.
    broken: of image files that cannot be decoded, "stop" at the first one that is asked for, or "skip": check them all
        now and leave those out; `left_out` tells which. progress: show a bar where that takes long.
    subset: a file of `augwise.select`: the data set is only the rows that it names, before anything else is cut;
        refused with data that it was not chosen from.
    unlabelled: accept images without labels, as of "stl10-unlabelled" and "stl10-fold0" to "stl10-fold9".
    """
    split = {"validation": "val"}.get(split, split)
    if split not in ("train", "val", "test") and not (split in OF_PEOPLE and spec.partition(":")[0] in _PEOPLE):
        raise UserError(f"split {split!r} is unknown: use 'train', 'val' or 'test'")
    source = _open(spec, split, broken, progress)
    if subset is not None:
        source = chosen(source, subset)
    count = int((source.labels < 0).sum())
    if count and not unlabelled:
        raise UserError(
            f"{spec} has {count} images without a label: use stl10, which has those with labels alone, or train from "
            "few labels (--objective fixmatch --labelled 1000); open_source(..., unlabelled=True) accepts them"
        )
    if size is not None:
        source = Resized(source, size)
    return source if limit is None else limited(source, limit, seed)


def _open(spec: str, split: str, broken: Broken, progress: bool) -> Source:
    kind, _, rest = spec.partition(":")
    if kind == "digits" and not rest:
        return open_digits(split)
    if kind in _IN_MEMORY:
        return _IN_MEMORY[kind](rest, split)
    if kind in _FILES or kind in _PEOPLE:
        return (_FILES | _PEOPLE)[kind](rest, split, broken, progress)
    if kind == "medmnist":
        return open_medmnist(rest, split)
    if kind in ("npz", "folder"):
        if not rest:
            raise UserError(f"source {spec!r} names no path: use {'npz:FILE' if kind == 'npz' else 'folder:DIR'}")
        return open_npz(rest, split) if kind == "npz" else open_folder(rest, split, broken, progress)
    hint = f" (did you mean 'npz:{spec}'?)" if spec.endswith(".npz") else ""
    hint = f" (did you mean 'folder:{spec}'?)" if Path(spec).is_dir() else hint
    raise UserError(f"source {spec!r} is unknown: use {KNOWN}{hint}")


def as_source(dataset: Any, progress: bool = True) -> Source:
    """Any labelled image set as a `Source`.

    A `Source` passes through, a string is opened by `open_source`, a torch ``Subset`` of a source becomes ours; what
    reads one (such as `WithImportance`) gives its own; any other map-style torch data set is wrapped, see
    `WrappedDataset`. progress: a bar where labels have to be read image by image.
    """
    if isinstance(dataset, str):
        return open_source(dataset)
    if isinstance(dataset, Source):
        return dataset
    if isinstance(dataset, torch.utils.data.Subset) and isinstance(_whole(dataset), Source):
        return Subset(as_source(dataset.dataset, progress), np.asarray(dataset.indices, dtype=np.int64))
    inner = getattr(dataset, "source", None)
    return inner if isinstance(inner, Source) else WrappedDataset(dataset, progress)


def left_out(*sources: Any) -> list[LeftOut]:
    """The files that ``broken="skip"`` left out of some sources, each once, also behind subsets and resizing."""
    found: dict[LeftOut, None] = {}
    for source in sources:
        while not hasattr(source, "left_out") and hasattr(source, "source"):
            source = source.source
        found |= dict.fromkeys(getattr(source, "left_out", ()))
    return list(found)


def _whole(dataset: Any) -> Any:
    while isinstance(dataset, torch.utils.data.Subset):
        dataset = dataset.dataset
    return dataset


@final
class Subset:
    """Some rows of a source, in the order given. Row ``i`` of the subset is row ``rows[i]`` of the source."""

    def __init__(self, source: Source, rows: Sequence[int] | np.ndarray) -> None:
        self.source = source
        self.rows = np.asarray(rows, dtype=np.int64)
        wrong = np.flatnonzero((self.rows < 0) | (self.rows >= len(source)))
        if len(wrong):
            raise UserError(
                f"row {self.rows[wrong[0]]} is not in {source.name}: its {len(source)} rows go from 0 to "
                f"{len(source) - 1}"
            )
        self.labels = source.labels[self.rows]
        self.class_names, self.name, self.flip = source.class_names, source.name, source.flip

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.source[int(self.rows[index])]

    def fingerprint(self, index: int) -> int:
        """The source's fingerprint of this row."""
        return self.source.fingerprint(int(self.rows[index]))

    def image_size(self, index: int) -> tuple[int, int] | None:
        """Height and width of this row where the source knows them without decoding, else None."""
        return image_size(self.source, int(self.rows[index]))


@final
class Resized:
    """A source whose images are resized (antialiased): shorter side to ⌊size / share⌋, then the centre square; or,
    where size is height and width, each stretched to them whole.

    share: how much of the shorter side the square of ``size`` pixels shows, in (0, 1]; classifiers of photographs are
        measured at 0.875 or more (timm's crop_pct).
    """

    def __init__(
        self,
        source: Source,
        size: ImageSize,
        share: float = 1.0,
        interpolation: Interpolation = "bilinear",
    ) -> None:
        self.size = checked_size(size)
        if not 0 < share <= 1:
            raise UserError(f"share={share} is no part of a side: give a number above 0 and up to 1, such as 0.875")
        if share != 1 and not isinstance(self.size, int):
            raise UserError(f"share={share} is of a centre square, size={self.size} is whole images: give one of both")
        self.source, self.share = source, share
        self.interpolation: Interpolation = interpolation
        self.labels, self.class_names = source.labels, source.class_names
        self.name, self.flip = source.name, source.flip
        # The map of a whole square image is that of its centre square; otherwise the two must not be confused.
        square = isinstance(source, ArraySource) and source.images.shape[2] == source.images.shape[3]
        whole = not isinstance(self.size, int) or (square and share == 1)
        self._mark = "" if whole else "centre square" if share == 1 else f"centre square {share:.6g}"

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.source[index]
        return shown(image, self.size, self.share, self.interpolation), label

    def fingerprint(self, index: int) -> int:
        """The source's fingerprint, marked as "centre square" where that is not the whole image; any size alike."""
        whole = self.source.fingerprint(index)
        return hash_bytes(self._mark.encode() + whole.to_bytes(8, "little")) if self._mark else whole

    def image_size(self, index: int) -> tuple[int, int] | None:
        """The size of all images here; None where the source cannot tell without decoding that there is one."""
        size = (self.size, self.size) if isinstance(self.size, int) else self.size
        return None if image_size(self.source, index) is None else size


def checked_size(size: ImageSize) -> int | tuple[int, int]:
    """One side, or height and width; `UserError` for what is neither."""
    sides = (size,) if isinstance(size, int) else tuple(size)
    if len(sides) not in (1, 2) or any(isinstance(side, bool) or side != int(side) or side < 1 for side in sides):
        raise UserError(f"size={size} is not a picture: give the side in pixels, 1 or more, or height and width")
    return int(sides[0]) if isinstance(size, int) else (int(sides[0]), int(sides[-1]))


def shown(image: Tensor, size: ImageSize, share: float = 1.0, interpolation: Interpolation = "bilinear") -> Tensor:
    """What `Resized` shows of an image or of its map (..., H, W); an `ImportanceMap` keeps the sum of what is shown."""
    if not isinstance(size, int):
        return V.resize(image, list(size), InterpolationMode(interpolation), antialias=True)
    return centre_square(image, size, share, interpolation)


def centre_square(image: Tensor, size: int, share: float = 1.0, interpolation: Interpolation = "bilinear") -> Tensor:
    """The middle of an image or of its map (..., H, W) as (..., size, size), see `Resized`; an `ImportanceMap` keeps
    the sum of what is shown."""
    height, width = image.shape[-2:]
    shorter, wanted = min(height, width), math.floor(size / share + 1e-6)
    if shorter != wanted:
        target = [max(wanted, round(side * wanted / shorter)) for side in (height, width)]
        image = V.resize(image, target, InterpolationMode(interpolation), antialias=True)
    return V.center_crop(image, [size, size])


def image_size(source: Any, index: int) -> tuple[int, int] | None:
    return source.image_size(index) if hasattr(source, "image_size") else None


def limited(source: Source, limit: int, seed: int) -> Source:
    """The source, or a class-balanced subset of ``limit`` images drawn by ``seed``, in the source's order; images
    without labels count as one more class."""
    if limit < 1:
        raise UserError(f"limit={limit} leaves no images: give 1 or more, or leave it out for all {len(source)}")
    if limit >= len(source):
        return source
    rank, order = _rank_in_class(source.labels, "limit", seed)
    chosen = np.lexsort((order, rank))[:limit]  # the first of every class, then the second of every class, ...
    return Subset(source, np.sort(chosen))


def chosen(source: Source, subset: str | Path | SubsetFile) -> Subset:
    """The rows of a source that a file of `augwise.select` names, in the source's order; `UserError` if it is not of
    this source."""
    file = subset if isinstance(subset, SubsetFile) else SubsetFile.load(subset)
    file.check(source.name, source.labels, source.fingerprint, "" if file is subset else str(subset))
    return Subset(source, file.rows)


def split_validation(source: Source, share: float, seed: int) -> tuple[Source, Source]:
    """Cut a validation split from training data: (rest, validation), disjoint, together the whole.

    share: of all images, in (0, 1); exactly round(share · N) images are cut, from each class its proportion (largest
    remainders get the odd ones). seed: who is chosen; both parts keep the source's order.
    """
    n, without = len(source), int((source.labels < 0).sum())
    if without:
        raise UserError(
            f"{without} of the {n} images of {source.name} have no label, so a share of every class cannot be set "
            "aside (val_share): measure on a split of its own"
        )
    count = round(share * n) if 0 < share < 1 else 0
    if not 0 < count < n:
        raise UserError(
            f"a validation share of {share} leaves one part of the {n} images empty: give a share between "
            f"{1 / max(n, 2):.2g} and {1 - 1 / max(n, 2):.2g}"
        )
    rank, _ = _rank_in_class(source.labels, "validation", seed)
    sizes = np.bincount(source.labels)
    ideal = sizes * (count / n)
    quota = np.floor(ideal + 1e-9).astype(np.int64)
    remainders = np.argsort(-(ideal - quota), kind="stable")
    quota[remainders[: count - quota.sum()]] += 1
    chosen = rank < quota[source.labels]
    return Subset(source, np.flatnonzero(~chosen)), Subset(source, np.flatnonzero(chosen))


def _rank_in_class(labels: np.ndarray, purpose: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A random place of every row among the rows of its class, and the random order of all rows behind it."""
    order = torch.randperm(len(labels), generator=randomness.generator(seed, purpose)).numpy()
    rank = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members[np.argsort(order[members])]] = np.arange(len(members))
    return rank, order
