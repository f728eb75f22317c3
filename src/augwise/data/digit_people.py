"""A toy of re-identification, ``digit-people``: who needs neither photographs of people nor a download.

Writes files below the data folder once, in Market-1501's layout, and reads them as Market-1501 is read.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .. import randomness
from ..errors import UserError
from .digits import open_digits
from .image_files import Broken
from .market1501 import FOLDERS, open_market1501
from .people import PeopleSource
from .published import Layout
from .torchvision_sets import data_folder

VERSION = "digit-people-1"
TRAINED, TESTED, PICTURES = 50, 30, 8
"""Identities in the training split, others in the test split, and images of each by each camera there; of those of the
test split one by each camera is a query."""
HEIGHT, WIDTH = 64, 32
CASTS = ((1.0, 0.75, 0.55), (0.55, 0.75, 1.0))
"""What each camera does to red, green and blue."""
LAYOUT = Layout(
    "digit-people",
    VERSION,
    f"{', '.join(FOLDERS.values())}, which augwise writes by itself",
    "Remove the folder, and it is written anew",
)


def open_digit_people(root: str | Path, split: str, broken: Broken = "stop", progress: bool = True) -> PeopleSource:
    """Pairs of handwritten digits, one above the other, as people: an identity is a pair of classes, say 3 over 7.

    Two cameras see them, one in warm and one in cold light, each through crops of its own; an image is 64 × 32. 50
    identities to train with, 30 others to test with; every image is of other handwritten digits, of the training digits
    for the one and the test digits for the other. root: the folder that is to hold them (empty: the data folder).
    """
    if root and not Path(root).expanduser().is_dir():
        raise UserError(f"digit-people:{root} names no folder: create it, or leave it out for {data_folder()}")
    home = (Path(root).expanduser() if root else data_folder()) / VERSION
    if not home.is_dir():
        _write(home)
    return open_market1501(home, split, broken, progress, LAYOUT, flip=False)


def _write(home: Path) -> None:
    part = home.with_name(f"{home.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        write_digit_people(part)
        part.replace(home)
    except OSError as error:
        if not home.is_dir():  # otherwise another process was faster
            raise UserError(
                f"{home} cannot be written ({error}): name another folder, digit-people:DIR, or set AUGWISE_DATA"
            ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_digit_people(folder: Path) -> None:
    """The whole toy as PNG files; always the same. The gallery also has junk (-1) and distractors (0)."""
    for name in FOLDERS.values():
        (folder / name).mkdir(parents=True)
    order = torch.randperm(100, generator=randomness.generator("digit people", "identities")).tolist()
    trained, tested = order[:TRAINED], order[TRAINED : TRAINED + TESTED]
    train, test = _Digits("train"), _Digits("test")
    for i, pair in enumerate(trained):
        for camera in (1, 2):
            for shot in range(PICTURES):
                _save(folder / FOLDERS["train"], 2 * i + 1, camera, shot, train.picture(pair, camera, i, shot))
    for i, pair in enumerate(tested):
        for camera in (1, 2):
            for shot in range(PICTURES):
                where = FOLDERS["query" if shot == 0 else "gallery"]
                _save(folder / where, 2 * i + 2, camera, shot, test.picture(pair, camera, i, shot))
    for shot, pair in enumerate(order[TRAINED + TESTED :]):
        _save(folder / FOLDERS["gallery"], 0, 1 + shot % 2, shot, test.picture(pair, 1 + shot % 2, 1000, shot))
        noise = torch.randint(256, (3, HEIGHT, WIDTH), generator=randomness.generator("digit people", "junk", shot))
        _save(folder / FOLDERS["gallery"], -1, 1 + shot % 2, shot, noise.to(torch.uint8))


def _save(folder: Path, identity: int, camera: int, shot: int, pixels: Tensor) -> None:
    from PIL import Image  # comes with torchvision

    who = str(identity) if identity < 0 else f"{identity:04d}"
    name = f"{who}_c{camera}s1_{shot:06d}_01.png"
    Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())).save(folder / name)


class _Digits:
    """One split of the handwritten digits, by class, as grey values in [0, 1]."""

    def __init__(self, split: str) -> None:
        source = open_digits(split)
        self.split, self.images, self.labels = split, source.images[:, :1].float() / 255, source.labels

    def picture(self, pair: int, camera: int, *key: int) -> Tensor:
        """Digit pair // 10 above digit pair % 10, in a crop and the light of the camera: (3, 64, 32) uint8."""
        generator = randomness.generator("digit people", self.split, pair, camera, *key)
        halves = []
        for digit in divmod(pair, 10):
            rows = np.flatnonzero(self.labels == digit)
            halves.append(self.images[int(rows[int(torch.randint(len(rows), (1,), generator=generator))])])
        whole = torch.cat(halves, 1)
        cut = torch.rand(4, generator=generator) * torch.tensor([8.0, 8.0, 4.0, 4.0])
        top, bottom, left, right = (int(side) for side in cut)
        crop = whole[:, top : HEIGHT - bottom, left : WIDTH - right]
        grey = F.interpolate(crop[None], size=(HEIGHT, WIDTH), mode="bilinear", align_corners=False)[0]
        light = torch.tensor(CASTS[camera - 1])[:, None, None] * (0.7 + 0.3 * torch.rand(1, generator=generator))
        noise = 0.05 * torch.randn(3, HEIGHT, WIDTH, generator=generator)
        return ((0.15 + 0.85 * grey) * light + noise).clamp(0, 1).mul(255).round().to(torch.uint8)
