"""Superpixels of a data set's images: computed once, stored beside the importance maps, read as maps of segments.

A superpixel map is an importance map that is constant over each segment, so it goes everywhere a map goes, and
`Preserve(shape="superpixel")` reads the segments back from it. Reads a store and its images; writes segments.npy and
segments.json into the store's folder. scikit-image, which finds the segments, is imported only to compute them.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any, BinaryIO, final

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision
from tqdm import tqdm

from ..errors import UserError
from ..files import write_atomically
from . import store_files as files
from .attached import AttachedMaps, attach, match, same_order
from .rows import Rows
from .store import ImportanceStore

ARRAY, MADE = "segments.npy", "segments.json"
_FORMAT, _VERSION = "augwise superpixels", 1
_TYPE = np.dtype("<i2")
_BLOCK = 256  # images between two writes
_GAP = 2**-14  # least relative distance between the values of two segments, eight times what counts as equal


def superpixel_maps(importance: Tensor, segments: Tensor) -> Tensor:
    """Importance averaged over the segments of each image: (N, H, W) float32.

    importance: (N, H, W) ≥ 0; segments: (N, H, W) whole numbers ≥ 0, any numbering, from any source. Segments of equal
    mean are set apart by relative steps of 6e-5, so every segment with importance has a value of its own; those
    without stay 0. The sum of each map stays.
    """
    maps, ids = importance.as_subclass(Tensor).flatten(1).double(), segments.flatten(1).long()
    if not len(maps):
        return importance.as_subclass(Tensor).float()
    empty = torch.zeros(len(maps), int(ids.max()) + 1, dtype=torch.float64)
    counts = empty.scatter_add(1, ids, torch.ones_like(maps))
    means = empty.scatter_add(1, ids, maps) / counts.clamp_min(1)
    values = _apart(means)
    values *= (means * counts).sum(1, keepdim=True) / (values * counts).sum(1, keepdim=True).clamp_min(1e-300)
    return values.gather(1, ids).float().view(importance.shape)


def _apart(means: Tensor) -> Tensor:
    """The same values, each at least a step above the one below it; zeros stay."""
    ordered, order = means.sort(1)
    climb = torch.arange(means.shape[1], dtype=torch.float64) * math.log1p(_GAP)
    apart = ((ordered.log() - climb).cummax(1).values + climb).exp()
    return torch.zeros_like(means).scatter_(1, order, apart)


@final
class Superpixels:
    """The segments of a store's images. Made by `superpixels`.

    store: the store they belong to; segments: (N, H, W) int16, the segment of every cell of row n's map, from 0;
    made: what segments.json says.
    """

    def __init__(self, store: ImportanceStore, segments: np.ndarray, made: dict[str, Any]) -> None:
        self.store, self.segments, self.made = store, segments, made

    def __len__(self) -> int:
        return len(self.segments)

    def __repr__(self) -> str:
        how = f"about {self.made['segments']} per image, compactness {self.made['compactness']}"
        return f"Superpixels({self.store.name}: {len(self)} images, {how})"

    def attach(self, source: Any, verify: bool = False) -> AttachedMaps:
        """Superpixel maps in the order of a data set, found as `ImportanceStore.attach` finds maps.

        They serve wherever attached maps do: `WithImportance`, `Resident.load`, training, the control (`deranged`).
        """
        return AttachedMaps(self.store, attach(self.store, source, verify).rows, self)

    def level(self, importance: Tensor, rows: np.ndarray) -> Tensor:
        """Maps (n, H, W) of these rows of the store, each averaged over its segments; see `superpixel_maps`."""
        return superpixel_maps(importance, torch.from_numpy(self.segments[rows]))

    def __getstate__(self) -> dict[str, Any]:
        """Workers of a loader open the files themselves."""
        return self.__dict__ if self.store.path is None else {"store": self.store, "made": self.made}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "segments" not in state:
            found = _open(self.store)
            if found is None or found.made != self.made:
                raise UserError(f"{self.store.name}: its superpixels were replaced while they were in use")
            self.segments = found.segments


def superpixels(
    store: ImportanceStore | str | Path,
    source: Any = None,
    segments: int = 50,
    compactness: float = 10.0,
    progress: bool = True,
) -> Superpixels:
    """Cut every image of a store into superpixels (SLIC, Achanta et al. 2012), once; later calls read what is stored.

        parts = aw.superpixels(store, source)
        train = aw.WithImportance(source, parts, aw.Preserve(policy, quantile=0.6, shape="superpixel"))

    store: importance maps, or their folder. source: the data set they were computed on, all of its images; not needed
        where the segments are stored already.
    segments: about how many per image; SLIC starts from a regular grid, so counts differ (35 of 50 at 32 px). At most
        a quarter of the cells of a map.
    compactness: weight of nearness against likeness of colour: higher is squarer.

    The segments lie on the grid of the maps: a photograph whose map is 56×56 is shrunk to 56×56 for it. Images of one
    channel are cut by their brightness, images of other than one or three channels by the mean of their channels. They
    are stored in the store's folder (segments.npy, segments.json), those of a store in memory are not. Other settings
    replace what is stored; for a store that has grown only its new rows are computed. The same images give the same
    segments.

    Raises `UserError` without scikit-image (``pip install augwise[superpixels]``), where the source lacks images of
    the store, or for settings out of range.
    """
    store = store if isinstance(store, ImportanceStore) else ImportanceStore(store)
    most = store.height * store.width // 4
    if isinstance(segments, bool) or not isinstance(segments, int) or not 2 <= segments <= min(most, 8192):
        raise UserError(
            f"segments={segments!r} cannot be cut from maps of {store.height}×{store.width}: give a whole number from "
            f"2 to {min(most, 8192)}, at least four cells to a segment"
        )
    if not (math.isfinite(compactness) and compactness > 0):
        raise UserError(f"compactness={compactness} is out of range: give a number above 0, such as 10.0")
    found = _open(store)
    made = {"method": "slic", "segments": segments, "compactness": float(compactness)}
    same = found is not None and made.items() <= found.made.items()
    if found is not None and same and len(found) == len(store):
        return found
    if source is None:
        stored = "none" if found is None else f"{len(found)} rows with {found.made['segments']} segments"
        raise UserError(
            f"{store.name} has no superpixels of {segments} segments, compactness {compactness}, for its {len(store)} "
            f"rows (stored: {stored}): give the data set that the maps were computed on, superpixels(store, source)"
        )
    known = found.segments if found is not None and same else np.zeros((0, store.height, store.width), _TYPE)
    return _compute(store, Rows(source), made, known, progress)


def slic(image: Tensor, height: int, width: int, segments: int, compactness: float) -> np.ndarray:
    """The superpixels of one image (C, H, W) uint8 on a grid: (height, width) int16, numbered from 0."""
    cut = _scikit_image()
    if image.shape[-2:] != (height, width):
        image = vision.resize(image, [height, width], antialias=True)
    if len(image) != 3:  # one scale of compactness for all: the lightness of Lab
        image = image.float().mean(0, keepdim=True).round().to(torch.uint8).expand(3, -1, -1)
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    found = cut(pixels, n_segments=segments, compactness=compactness, start_label=0, channel_axis=-1)
    return found.astype(_TYPE)


def _scikit_image() -> Any:
    try:
        from skimage.segmentation import slic as cut
    except ImportError:
        raise UserError("superpixels need scikit-image: pip install augwise[superpixels]") from None
    return cut


def _compute(
    store: ImportanceStore, rows: Rows, made: dict[str, Any], known: np.ndarray, progress: bool
) -> Superpixels:
    """Segments of every row of the store that is not among the first, known ones; all written before they are used."""
    _scikit_image()
    rows.check_repeatable()
    places = _places(store, rows)
    grid = (store.height, store.width)
    bar = tqdm(total=len(store), initial=len(known), desc="superpixels", delay=2, leave=False, disable=not progress)

    def blocks() -> Any:
        for start in range(0, len(known), _BLOCK):
            yield known[start : start + _BLOCK]
        for start in range(len(known), len(store), _BLOCK):
            part = places[start : start + _BLOCK]
            yield np.stack([slic(rows[int(i)][0], *grid, made["segments"], made["compactness"]) for i in part])
            bar.update(len(part))

    with bar:
        if store.path is None:
            return Superpixels(store, np.concatenate(list(blocks())), made)
        return _write(store, store.path, blocks(), made)


def _write(store: ImportanceStore, folder: Path, blocks: Any, made: dict[str, Any]) -> Superpixels:
    shape = (len(store), store.height, store.width)
    needed = math.prod(shape) * _TYPE.itemsize
    if shutil.disk_usage(folder).free < needed:
        raise UserError(f"{folder} has too little space for superpixels: {needed} bytes are needed. Make room there")

    def fill(file: BinaryIO) -> None:
        np.lib.format.write_array_header_1_0(
            file, {"descr": np.lib.format.dtype_to_descr(_TYPE), "fortran_order": False, "shape": shape}
        )
        for block in blocks:
            file.write(np.ascontiguousarray(block, _TYPE).data)
        (folder / MADE).unlink(missing_ok=True)  # it describes the array that is replaced next

    content = {"format": _FORMAT, "version": _VERSION, **made, "rows": len(store), "images": _digest(store, len(store))}
    with files.Lock(folder, files.read_meta(folder)):
        write_atomically(folder / ARRAY, fill)
        write_atomically(folder / MADE, lambda file: file.write((json.dumps(content, indent=1) + "\n").encode()))
    found = _open(store)
    assert found is not None
    return found


def _open(store: ImportanceStore) -> Superpixels | None:
    """What is stored beside the maps and belongs to them, or None; `UserError` where it is damaged."""
    if store.path is None or not (store.path / MADE).is_file():
        return None
    try:
        made = json.loads((store.path / MADE).read_text(encoding="utf-8"))
        if (made["format"], made["version"]) != (_FORMAT, _VERSION):
            raise ValueError(f"format {made['format']!r} {made['version']!r}")
        shape, images = (int(made["rows"]), store.height, store.width), made["images"]
        if not {"segments", "compactness"} <= made.keys():
            raise ValueError(f"it says only {', '.join(made)}")
        array = np.load(store.path / ARRAY, mmap_mode="r", allow_pickle=False)
        if array.shape[0] != shape[0] or array.dtype != _TYPE:
            raise ValueError(f"{array.dtype} {array.shape} instead of {_TYPE} {shape}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the superpixels of {store.path} cannot be read ({type(error).__name__}: {error}): delete {ARRAY} and "
            f"{MADE} there and compute them again"
        ) from None
    if array.shape != shape or len(array) > len(store) or images != _digest(store, len(array)):
        return None  # the store was made anew since
    return Superpixels(store, np.asarray(array), made)


def _digest(store: ImportanceStore, rows: int) -> str:
    """Which images the first rows of a store are."""
    return hashlib.blake2b(np.ascontiguousarray(store.hashes[:rows]).tobytes(), digest_size=16).hexdigest()


def _places(store: ImportanceStore, rows: Rows) -> np.ndarray:
    """The data set's row for each row of the store, (N,) int64."""
    if same_order(store, rows):
        return np.arange(len(store))
    found = match(rows.hashes(progress=True), rows.labels(progress=True), store.hashes, store.labels)
    missing = int((found < 0).sum())
    if missing:
        raise UserError(
            f"{rows.name} lacks {missing} of the {len(store)} images of {store.name} ({store.meta['data']}): give the "
            "whole data set that the maps were computed on; the superpixels can be attached to a part of it afterwards"
        )
    return found
