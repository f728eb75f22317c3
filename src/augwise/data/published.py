"""Where a published data set lies, what to say where it does not, and the forms of file that several of them share.

Reads the folders and files that it is asked about; torchvision writes what it downloads into the data folder.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from .torchvision_sets import data_folder


class Layout(NamedTuple):
    """How a set's publishers lay it out. inner: the folder that their archive holds, in which all paths begin; files:
    what it should hold, in words; get: where it comes from, in words."""

    name: str
    inner: str
    files: str
    get: str

    def lacks(self, what: str, home: Path) -> UserError:
        """The error for something that is not where it belongs."""
        return UserError(
            f"{self.name} lacks {what} in {home}: the folder should hold {self.files}. {self.get}; {self.name}:DIR "
            "names another folder, and the environment variable AUGWISE_DATA one for all data sets"
        )


def home_of(layout: Layout, given: str | Path, ready: Callable[[Path], bool]) -> Path:
    """The folder in which the set's paths begin: ``given`` (empty: the data folder) or the one inside it that its
    archive makes, whichever is ``ready``."""
    root = _root(layout, given)
    inner = root / layout.inner
    if ready(inner) or ready(root):
        return inner if ready(inner) else root
    return inner if inner.is_dir() or not given else root


def obtain(
    layout: Layout,
    given: str | Path,
    needed: Sequence[str],
    fetch: Callable[[Path], object],
    endings: Sequence[str] = ("",),
) -> list[Path]:
    """Paths of the files that are needed, looked for as `home_of` does; where one is missing, ``fetch`` is asked to put
    all into a folder. endings: what may follow their names."""

    def find(home: Path, file: str) -> Path | None:
        return next((path for end in endings if (path := home / f"{file}{end}").is_file()), None)

    def begun(home: Path) -> bool:
        return any(find(home, file) is not None for file in needed)

    home, inner = home_of(layout, given, begun), _root(layout, given) / layout.inner
    absent, why = [file for file in needed if find(home, file) is None], ""
    if absent and (home == inner or not begun(home)):
        try:
            fetch(_root(layout, given))
        except ImportError:  # SciPy is missing: torchvision fetches first, and then reads
            pass
        except Exception as error:  # whatever a download can raise
            why = f" (torchvision could not fetch it: {' '.join(str(error).split())})"
        home = inner if begun(inner) else home
        absent = [file for file in needed if find(home, file) is None]
    if absent:
        raise layout.lacks(f"{absent[0]}{why}", home)
    return [path for file in needed if (path := find(home, file)) is not None]


def _root(layout: Layout, given: str | Path) -> Path:
    root = Path(given).expanduser() if given else data_folder()
    if given and not root.is_dir():
        raise UserError(
            f"{layout.name}:{given} names no folder: give the one that holds {layout.files}, or the one around "
            f"{layout.inner}"
        )
    return root


def matlab(path: Path, keys: Sequence[str], layout: Layout) -> Mapping[str, Any]:
    """A MATLAB file's variables, which are all there."""
    try:
        from scipy.io import loadmat  # pyright: ignore[reportMissingTypeStubs]
    except ImportError:
        raise UserError(
            f"{path} is a MATLAB file, which SciPy reads, for torchvision as for us: pip install scipy"
        ) from None
    if not path.is_file():
        raise layout.lacks(path.name, path.parent)
    try:
        found = loadmat(path, squeeze_me=True)
    except Exception as error:  # whatever a damaged file makes SciPy raise
        raise UserError(f"{path} cannot be read as a MATLAB file ({error}): fetch it again. {layout.get}") from error
    missing = [key for key in keys if key not in found]
    if missing:
        there = ", ".join(key for key in found if not key.startswith("__")) or "nothing"
        raise UserError(f"{path} holds {there}, but no {missing[0]}: it is another file. {layout.get}")
    return found


def contents(path: Path) -> bytes:
    """The bytes of a file, unpacked if its name ends in .gz."""
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch it again") from error


def lines(path: Path, layout: Layout) -> list[str]:
    """The lines of a text file that are not empty."""
    if not path.is_file():
        raise layout.lacks(path.name, path.parent)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}): fetch it again. {layout.get}") from error
    return [line for line in text.splitlines() if line.strip()]


def labels_from_1(found: np.ndarray, classes: int, path: Path) -> np.ndarray:
    """Labels that their publishers count from 1, counted from 0: (N,) int64."""
    labels = np.atleast_1d(found).ravel().astype(np.int64)
    wrong = np.flatnonzero((labels < 1) | (labels > classes))
    if len(wrong):
        raise UserError(
            f"label {labels[wrong[0]]} of image {wrong[0]} in {path} is out of range: they go from 1 to {classes} there"
        )
    return labels - 1


def train_or_test(name: str, split: str) -> str:
    """The split, if a set without validation images has it."""
    if split not in ("train", "test"):
        raise UserError(
            f"{name} has no split {split!r}: use 'train' or 'test', and cut a validation split from the training "
            "data with split_validation"
        )
    return split
