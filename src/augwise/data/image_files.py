"""One image file: its pixels as they are to be seen, its size from the header, and whether it can be decoded at all.

Reads the files it is asked for, and keeps in augwise's own cache folder which of them were found sound.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor
from tqdm import tqdm

from ..errors import UserError
from ..files import write_atomically
from ..fingerprints import pixels
from .torchvision_sets import data_folder

Broken = Literal["stop", "skip"]
"""What becomes of image files that cannot be decoded: an error that names the first, or they are left out."""

CURE = "repair or remove it, or leave out all such files: --broken skip, open_source(..., broken='skip')"
_ORIENTATION = 0x0112  # EXIF's number for how the camera was held
_ON_ITS_SIDE = (5, 6, 7, 8)


class LeftOut(NamedTuple):
    """A file that ``broken="skip"`` left out, and why."""

    file: str
    reason: str


def decode(path: Path) -> Tensor:
    """The image in a file as (3, H, W) uint8 RGB.

    Turned as EXIF says; 16 bits are scaled to 8; CMYK and palettes become RGB (without colour profiles); transparent
    pixels lie on white; of an animation, the first picture. `UserError` names a file that cannot be decoded.
    """
    image = _read(path, _loaded)
    try:
        return pixels(image).expand(3, -1, -1).contiguous()
    except UserError as error:
        raise UserError(f"image file {path} cannot be used: {error}") from error


def header_size(path: Path) -> tuple[int, int]:
    """Height and width from a file's header, as `decode` will see it; `UserError` where it has none.

    Decodes nothing, so it notices what is no image, but not a file that ends too early. Of a PNG whose EXIF block
    stands behind the pixels the orientation is not known.
    """
    return _read(path, _size)


def check(path: Path) -> str | None:
    """Why a file cannot be decoded, or None. Goes through all its bytes, in a JPEG at an eighth of the size."""
    try:
        image = _read(path, _glanced_at)
        pixels(image)
    except UserError as error:
        return str(error) if error.__cause__ is None else _reason(error.__cause__, path)
    return None


def unusable(files: Sequence[Path], progress: bool = True) -> list[LeftOut]:
    """Those of the files that cannot be decoded, in their order.

    Every file is decoded once, on all cores; the next time only those are that changed since (by size and time of
    change) or were unusable. What is known to be sound stands below `data_folder`, where that can be written.
    """
    known = _Known(files)
    asked = [path for path in files if path not in known]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:  # Pillow's decoders let other threads run
        verdicts = pool.map(check, asked)
        bar = tqdm(verdicts, "checking image files", len(asked), False, delay=2, disable=not progress)
        reasons = dict(zip(asked, bar, strict=True))
    known.add([path for path, reason in reasons.items() if reason is None])
    return [LeftOut(str(path), reason) for path in files if (reason := reasons.get(path)) is not None]


def describe_left_out(files: Iterable[Sequence[Any]]) -> str:
    """Lines for the end of a run that name each (file, reason) that was left out; empty if there is none."""
    lines = [f"  {file}: {reason}\n" for file, reason in files]
    return f"left out, as they cannot be decoded ({len(lines)}):\n{''.join(lines)}" if lines else ""


def _read(path: Path, work: Callable[[Any], Any]) -> Any:
    from PIL import Image  # comes with torchvision

    try:
        with Image.open(path) as image:
            return work(image)
    except MemoryError:
        raise
    except Exception as error:  # whatever a damaged file makes Pillow raise
        raise UserError(f"image file {path} cannot be decoded ({_reason(error, path)}): {CURE}") from error


def _reason(error: BaseException, path: Path) -> str:
    """What Pillow says, without the path, which stands beside it."""
    return str(error).replace(f" {str(path)!r}", "").replace(f": {str(path)!r}", "") or repr(error)


def _loaded(image: Any) -> Any:
    image.load()
    return _upright(image)


def _upright(image: Any) -> Any:
    from PIL import ImageOps

    with contextlib.suppress(Exception):  # a damaged EXIF block says nothing of the pixels, which are there
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _glanced_at(image: Any) -> Any:
    image.draft(image.mode, (1, 1))
    image.load()
    return image


def _size(image: Any) -> tuple[int, int]:
    width, height = image.size
    if image.format == "TIFF":  # of these Pillow itself applies the orientation
        return height, width
    orientation = 1
    if image.format != "PNG" or "exif" in image.info:  # else Pillow would decode all of a PNG to look for it
        with contextlib.suppress(Exception):  # as in `_upright`
            orientation = image.getexif().get(_ORIENTATION, 1)
    return (width, height) if orientation in _ON_ITS_SIDE else (height, width)


class _Known:
    """Files that were found sound before, recognised by path, size and time of change."""

    def __init__(self, files: Sequence[Path]) -> None:
        from PIL import __version__ as pillow

        folder = os.path.commonpath([path.absolute() for path in files]) if files else ""
        name = hashlib.blake2b(folder.encode(), digest_size=8).hexdigest()
        self.path = data_folder() / "checked" / f"{name}.json"
        self.head = {"folder": folder, "pillow": pillow}
        self.states = {path: _state(path) for path in files}
        self.sound = self._load()

    def __contains__(self, path: Path) -> bool:
        state = self.states[path]
        return state is not None and self.sound.get(str(path.absolute())) == state

    def _load(self) -> dict[str, list[int]]:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return dict(content["sound"]) if all(content[k] == v for k, v in self.head.items()) else {}
        except (OSError, ValueError, KeyError, TypeError):  # not there, or damaged: then all are looked at again
            return {}

    def add(self, files: Sequence[Path]) -> None:
        if not files:
            return
        self.sound |= {str(path.absolute()): state for path in files if (state := self.states[path]) is not None}
        text = json.dumps({**self.head, "sound": self.sound}).encode()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, lambda file: file.write(text))
        except (OSError, UserError):  # it is only looked at again next time
            return


def _state(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
