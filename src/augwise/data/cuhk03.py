"""CUHK03, ``cuhk03`` and ``cuhk03-labeled``, split as Zhong et al. 2017 do: 767 people to train with, 700 others.

Reads its publishers' files; where only their archive of all images is there, unpacks it once beside itself.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ..errors import UserError
from .image_files import Broken
from .people import PeopleSource, Seen, check_split, people
from .published import Layout, home_of, matlab

ARCHIVE = "cuhk-03.mat"
NAME = re.compile(r"([0-9]+)_([0-9]+)_([12])_([0-9]+)\.png")
KEYS = ("filelist", "labels", "train_idx", "query_idx", "gallery_idx")
_PLACES = ("", "cuhk03_release", "archive", "CUHK03-NP")


def _layout(name: str, kind: str) -> Layout:
    return Layout(
        name,
        "cuhk03",
        f"cuhk03_new_protocol_config_{kind}.mat, and images_{kind} with files such as 1_001_1_01.png (pair of cameras, "
        f"person, camera, number), or cuhk03_release/{ARCHIVE}, out of which they come",
        f"{ARCHIVE} is to be had from its authors at https://www.ee.cuhk.edu.hk/~xgwang/CUHK_identification.html, the "
        "lists are at https://github.com/zhunzhong07/person-re-ranking",
    )


def open_cuhk03(
    name: str, root: str | Path, split: str, broken: Broken = "stop", progress: bool = True
) -> PeopleSource:
    """CUHK03 (Li et al. 2014) by the new protocol: of detected people 7 365 images to train with, 1 400 queries and a
    gallery of 5 332; of labelled ones 7 368, 1 400 and 5 328.

    name: "cuhk03", whose boxes a detector drew, or "cuhk03-labeled", where people did. root: the folder that holds the
    list and the images (empty: ``cuhk03`` in the data folder). split: "train", "query", "gallery", or "test", which is
    the queries and then the gallery. A camera is the first or second of its pair, as the protocol counts.
    """
    kind = "labeled" if name.endswith("-labeled") else "detected"
    layout, config = _layout(name, kind), f"cuhk03_new_protocol_config_{kind}.mat"
    check_split(name, split)
    home = home_of(layout, root, lambda home: _find(home, config) is not None or (home / f"images_{kind}").is_dir())
    path = _find(home, config)
    if path is None:
        raise layout.lacks(config, home)
    lists = matlab(path, KEYS, layout)
    images = home / f"images_{kind}"
    if not images.is_dir():
        _unpack(home, kind, layout, progress)
    files = [str(file) for file in np.atleast_1d(lists["filelist"]).ravel()]
    labels = np.atleast_1d(lists["labels"]).ravel().astype(np.int64)
    if len(files) != len(labels):
        raise UserError(f"{path} names {len(files)} files and {len(labels)} labels: fetch it again. {layout.get}")

    def seen(which: str) -> list[Seen]:
        rows = np.atleast_1d(lists[f"{which}_idx"]).ravel().astype(np.int64) - 1
        if not len(rows) or rows.min() < 0 or rows.max() >= len(files):
            raise UserError(
                f"{path} numbers images of {which} that are not among its {len(files)} files: fetch it again. "
                f"{layout.get}"
            )
        return [Seen(images / files[row], int(labels[row]), _camera(files[row], path)) for row in rows]

    asked = seen("query") if split in ("query", "test") else []
    others = [] if split == "query" else seen("gallery" if split == "test" else split)
    return people(asked, others, layout, str(path), broken, progress)


def _find(home: Path, file: str) -> Path | None:
    return next((path for place in _PLACES if (path := home / place / file).is_file()), None)


def _camera(file: str, path: Path) -> int:
    match = NAME.fullmatch(file)
    if match is None:
        raise UserError(
            f"{path} names {file!r}, which says no camera: expected a name such as 1_001_1_01.png (pair of cameras, "
            "person, camera, number)"
        )
    return int(match[3])


def _unpack(home: Path, kind: str, layout: Layout, progress: bool) -> None:
    """``images_detected`` or ``images_labeled`` out of the archive, under the names that the protocol's lists have."""
    archive = _find(home, ARCHIVE)
    if archive is None:
        raise layout.lacks(f"images_{kind} (and {ARCHIVE}, out of which it would come)", home)
    try:
        import h5py  # pyright: ignore[reportMissingTypeStubs, reportMissingImports]
    except ImportError:
        raise UserError(
            f"{archive} is a MATLAB file of version 7.3, which h5py reads: pip install augwise[reid], or unpack it "
            f"yourself into {home / f'images_{kind}'}"
        ) from None
    part = home / f"images_{kind}.{os.getpid()}.part"
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        with h5py.File(archive, "r") as file:
            _write_images(file, kind, part, progress)
        part.replace(home / f"images_{kind}")
    except (OSError, KeyError, ValueError) as error:
        if (home / f"images_{kind}").is_dir():  # another process was faster
            return
        raise UserError(
            f"{archive} cannot be unpacked into {home / f'images_{kind}'} ({error}): make room or give leave to write "
            f"there, or fetch the archive again. {layout.get}"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_images(file: Any, kind: str, folder: Path, progress: bool) -> None:
    """A cell for each pair of cameras, in it one of persons × 10 images, the first five by the first camera; there are
    empty ones."""
    from PIL import Image

    pairs = [file[pair][()] for pair in file[kind][0]]  # HDF5 has MATLAB's axes the other way round
    count = sum(pair.shape[1] for pair in pairs)
    bar = tqdm(total=count, desc=f"unpacking {kind} people", delay=2, disable=not progress)
    for number, pair in enumerate(pairs, 1):
        for person in range(pair.shape[1]):
            for place in range(pair.shape[0]):
                pixels = file[pair[place, person]][()]
                if pixels.ndim != 3:
                    continue
                name = f"{number}_{person + 1:03d}_{1 if place < 5 else 2}_{place + 1:02d}.png"
                Image.fromarray(np.ascontiguousarray(pixels.transpose(2, 1, 0))).save(folder / name)
            bar.update()
    bar.close()
