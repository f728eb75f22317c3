"""Images of people, or of whatever has an identity and was seen by several cameras: what re-identification reads.

Reads folders, and with ``broken="skip"`` every file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from torch import Tensor

from ..errors import UserError
from .folder import FolderSource
from .image_files import Broken, LeftOut
from .listed import listed
from .published import Layout

SPLITS = ("train", "query", "gallery", "test")
"""Of test the first images are the queries, the others the gallery."""
JUNK, DISTRACTOR = -1, 0
"""Identities that are nobody's: detections of no use, which count for nothing, and people nobody asks about."""


class Seen(NamedTuple):
    """An image file, whose it is, and by which camera it was taken."""

    file: Path
    identity: int
    camera: int


class Who(NamedTuple):
    """Of every image: identity as its publishers number it, camera, both (N,) int64, and whether it is a query,
    (N,) bool."""

    identities: np.ndarray
    cameras: np.ndarray
    asked: np.ndarray


@final
class PeopleSource:
    """Image files of people; a class for each identity.

    identities, cameras: (N,) int64, as the publishers number them; asked: (N,) bool, which images are queries. Labels
    count the identities that occur, and class names are their numbers; another split has other people, so its labels
    are no classes of a network trained on this one.
    """

    def __init__(self, files: FolderSource, who: Who, flip: bool = True) -> None:
        self.files, self.flip = files, flip
        self.identities, self.cameras, self.asked = who
        self.labels, self.class_names, self.name = files.labels, files.class_names, files.name

    @property
    def left_out(self) -> list[LeftOut]:
        """Files that cannot be decoded, and so are not among these."""
        return self.files.left_out

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.files[index]

    def fingerprint(self, index: int) -> int:
        """Hash of the bytes of file ``index``, an int in [0, 2⁶⁴)."""
        return self.files.fingerprint(index)

    def image_size(self, index: int) -> tuple[int, int]:
        """Height and width of image ``index`` from its file's header, without decoding it."""
        return self.files.image_size(index)


def people(
    queries: Sequence[Seen],
    others: Sequence[Seen],
    layout: Layout,
    by: str,
    broken: Broken,
    progress: bool,
    flip: bool = True,
) -> PeopleSource:
    """A source of these images, the queries first. by: what names them, for messages."""
    seen = [*queries, *others]
    numbers = sorted({one.identity for one in seen})
    label = {number: i for i, number in enumerate(numbers)}
    names = [str(number) if number < 0 else f"{number:04d}" for number in numbers]
    found = listed([(one.file, label[one.identity]) for one in seen], names, layout, by, broken, progress)
    kept = set(found.files) if len(found) < len(seen) else None
    rows = [i for i, one in enumerate(seen) if kept is None or one.file in kept]
    who = Who(
        np.array([seen[i].identity for i in rows], dtype=np.int64),
        np.array([seen[i].camera for i in rows], dtype=np.int64),
        np.array([i < len(queries) for i in rows], dtype=bool),
    )
    return PeopleSource(found, who, flip)


def who_is_who(source: Any) -> Who:
    """Identities, cameras and queries of a source of people, also behind subsets, resizing and new labels.

    `UserError` for a source that knows no cameras.
    """
    found, rows = source, None
    while not isinstance(found, PeopleSource):
        inner = getattr(found, "source", None)
        if inner is None:
            raise UserError(
                f"{getattr(found, 'name', type(found).__name__)} does not say which camera took an image: "
                "re-identification needs a source such as market1501, cuhk03 or digit-people"
            )
        own = getattr(found, "rows", None)
        if own is not None:
            rows = own if rows is None else own[rows]
        found = inner
    who = Who(found.identities, found.cameras, found.asked)
    return who if rows is None else Who(*(part[rows] for part in who))


def is_of_people(source: Any) -> bool:
    """Whether `who_is_who` can tell."""
    while source is not None and not isinstance(source, PeopleSource):
        source = getattr(source, "source", None)
    return source is not None


def named(file: Path, pattern: re.Pattern[str], example: str) -> Seen:
    """A file whose name says identity and camera, the two groups of the pattern."""
    match = pattern.match(file.name)
    if match is None:
        raise UserError(
            f"{file} says neither whose image it is nor which camera took it: expected a name such as {example}; "
            "rename or remove it"
        )
    return Seen(file, int(match[1]), int(match[2]))


def check_split(name: str, split: str) -> None:
    """`UserError` for a split that sets of people do not have."""
    if split not in SPLITS:
        raise UserError(
            f"{name} has no split {split!r}: use {', '.join(SPLITS)} (test is the queries, then the gallery); people "
            "to choose settings by have to be set aside as a data set of their own"
        )
