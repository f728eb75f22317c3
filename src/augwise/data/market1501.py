"""Market-1501, ``market1501``: people by six cameras, in the folders of its publishers. Reads them alone."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import UserError
from .image_files import Broken
from .listed import images_in
from .people import DISTRACTOR, JUNK, PeopleSource, Seen, check_split, named, people
from .published import Layout, home_of

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"(-1|[0-9]{1,9})_c([0-9]{1,4})(?=[^0-9])")
EXAMPLE = "0002_c1s1_000451_03.jpg (person 2, camera 1)"
LAYOUT = Layout(
    "market1501",
    "Market-1501-v15.09.15",
    f"{', '.join(FOLDERS.values())}, each with files such as {EXAMPLE}",
    "Its authors give it out at https://zheng-lab-anu.github.io/Project/project_reid.html",
)


def open_market1501(
    root: str | Path,
    split: str,
    broken: Broken = "stop",
    progress: bool = True,
    layout: Layout = LAYOUT,
    flip: bool = True,
) -> PeopleSource:
    """Market-1501 (Zheng et al. 2015): 12 936 images of 751 people to train with, 3 368 queries of 750 others, and a
    gallery of 19 732, each 128 × 64.

    root: the folder that holds ``bounding_box_train``, ``query`` and ``bounding_box_test``, or the one around it
    (empty: ``Market-1501-v15.09.15`` in the data folder). split: "train", "query", "gallery", or "test", which is the
    queries and then the gallery. In the gallery identity -1 is junk and 0 distractors. layout, flip: of another set
    that is laid out alike.
    """
    check_split(layout.name, split)
    home = home_of(layout, root, lambda home: any((home / folder).is_dir() for folder in FOLDERS.values()))
    asked = [] if split in ("train", "gallery") else _folder(home, "query", layout)
    others = [] if split == "query" else _folder(home, "gallery" if split == "test" else split, layout)
    if split == "train":
        nobody = next((one for one in others if one.identity in (JUNK, DISTRACTOR)), None)
        if nobody is not None:
            raise UserError(
                f"{nobody.file} is nobody's image (identity {nobody.identity}), which only the gallery may have: "
                "remove it"
            )
    for one in asked:
        if one.identity in (JUNK, DISTRACTOR):
            raise UserError(f"{one.file} is nobody's (identity {one.identity}), so nobody can ask for it: remove it")
    return people(asked, others, layout, str(home), broken, progress, flip)


def _folder(home: Path, split: str, layout: Layout) -> list[Seen]:
    files = images_in(home / FOLDERS[split])
    if not files:
        raise layout.lacks(f"images in {FOLDERS[split]}", home)
    return [named(file, NAME, EXAMPLE) for file in files]
