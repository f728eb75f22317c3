"""ImageNet-1k, ``imagenet``: its folders of photographs, the validation images in folders or beside a list of labels.

Reads them alone. Nobody may download it without its publishers' leave.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import UserError
from .folder import FolderSource
from .image_files import Broken
from .listed import folders, in_class_folders, listed
from .published import Layout, home_of, labels_from_1, lines, matlab
from .tiny_imagenet import tiny_imagenet_classes, tiny_imagenet_home

CLASSES = 1000
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
SOLUTION, SYNSETS = "LOC_val_solution.csv", "LOC_synset_mapping.txt"
INSIDE = Path("ILSVRC/Data/CLS-LOC")
"""Where Kaggle's archive has its images; its lists stand beside the first of these folders."""
WNID = re.compile(r"n[0-9]{8}")
LAYOUT = Layout(
    "imagenet",
    "imagenet",
    "train/WNID/*.JPEG, and val/WNID/*.JPEG or val/*.JPEG with ILSVRC2012_devkit_t12 (or of it meta.mat and "
    f"{TRUTH}) or {SOLUTION}; Kaggle's {INSIDE} will do for train and val",
    "ImageNet is to be had at https://image-net.org and https://www.kaggle.com/c/imagenet-object-localization-challenge",
)


def open_imagenet(root: str | Path, split: str, broken: Broken = "stop", progress: bool = True) -> FolderSource:
    """ImageNet-1k: 1 281 167 photographs to train with and 50 000 validation images of any size, 1 000 classes.

    root: the folder that holds ``train`` and ``val`` (empty: ``imagenet`` in the data folder). split: "train"; "val"
    and "test" are both the validation images, since nobody has the labels of the others. Classes are numbered by
    WordNet id, as the published weights number them.
    """
    home = _home(root)
    wnids, images = _wnids(home), _images(home)
    at = images / ("train" if split == "train" else "val")
    if not at.is_dir():
        raise LAYOUT.lacks(at.name, images)
    if split == "train" or folders(at):
        files, by = in_class_folders(at, wnids, LAYOUT, split == "train"), at
    else:
        files, by = _flat(home, at, wnids)
    return listed(files, class_names(), LAYOUT, str(by), broken, progress)


def class_names() -> list[str]:
    """English names of the 1 000 classes in the order of their WordNet ids, all different."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return list(_IMAGENET_CATEGORIES)


def names_by_wnid(root: str | Path) -> dict[str, str]:
    """Name of each class by its WordNet id, from the folder of ImageNet or of Tiny-ImageNet: what the folders of
    ImageNet-A and ImageNet-O, which are called by these ids, stand for."""
    tiny = tiny_imagenet_home(root)
    if (tiny / "wnids.txt").is_file():
        return tiny_imagenet_classes(tiny)
    return dict(zip(_wnids(_home(root)), class_names(), strict=True))


def _home(root: str | Path) -> Path:
    return home_of(LAYOUT, root, lambda home: any((home / part).is_dir() for part in ("train", "val", INSIDE)))


def _images(home: Path) -> Path:
    return home / INSIDE if (home / INSIDE).is_dir() else home


def _wnids(home: Path) -> list[str]:
    """The 1 000 WordNet ids, sorted, by whatever of the set is there."""
    images, devkit = _images(home), _devkit(home)
    found, by = folders(images / "train"), images / "train"
    if not found:
        found, by = folders(images / "val"), images / "val"
    if not found and (home / SYNSETS).is_file():
        found, by = [line.split()[0] for line in lines(home / SYNSETS, LAYOUT)], home / SYNSETS
    if not found and (home / SOLUTION).is_file():
        found, by = sorted(set(_solution(home / SOLUTION).values())), home / SOLUTION
    if not found and (devkit / "meta.mat").is_file():
        found, by = sorted(_ids(devkit / "meta.mat").values()), devkit / "meta.mat"
    if not found:
        raise LAYOUT.lacks("the folders of its classes", images)
    wrong = [wnid for wnid in found if not WNID.fullmatch(wnid)]
    if wrong or len(set(found)) != CLASSES:
        what = f"{wrong[0]!r}, which is no WordNet id such as n01440764" if wrong else f"{len(set(found))} classes"
        raise UserError(
            f"{by} has {what}; ImageNet-1k has {CLASSES} classes, in folders called by their WordNet ids: complete it, "
            "or read a part of it by folder:DIR"
        )
    return sorted(set(found))


def _flat(home: Path, at: Path, wnids: list[str]) -> tuple[list[tuple[Path, int]], Path]:
    """Validation files and labels by the list that there is, and which it was."""
    number, devkit = {wnid: i for i, wnid in enumerate(wnids)}, _devkit(home)
    if (home / SOLUTION).is_file():
        by = home / SOLUTION
        named = _solution(by)
    elif (devkit / TRUTH).is_file():
        by, ids = devkit / TRUTH, _ids(devkit / "meta.mat")
        given = _whole_numbers(by)
        labels = labels_from_1(given, len(ids), by) + 1
        named = {f"ILSVRC2012_val_{i + 1:08d}": ids[int(label)] for i, label in enumerate(labels)}
    else:
        raise LAYOUT.lacks(f"labels of the images in {at.name} ({TRUTH} with meta.mat, or {SOLUTION})", home)
    strange = next((wnid for wnid in named.values() if wnid not in number), None)
    if strange is not None:
        raise UserError(f"{by} names the class {strange}, which is none of the {len(wnids)} of {home}: fetch it again")
    return [(at / f"{file}.JPEG", number[wnid]) for file, wnid in sorted(named.items())], by


def _devkit(home: Path) -> Path:
    places = (home / "ILSVRC2012_devkit_t12" / "data", home / "ILSVRC2012_devkit_t12", home / "devkit" / "data")
    return next((place for place in places if (place / "meta.mat").is_file() or (place / TRUTH).is_file()), home)


def _solution(path: Path) -> dict[str, str]:
    """WordNet id by file name without ending, from Kaggle's ``ImageId,PredictionString``, whose strings have an id and
    four numbers for each object; all objects of an image are of one class."""
    found = {}
    for i, line in enumerate(lines(path, LAYOUT)):
        file, _, rest = line.partition(",")
        if i == 0 and file == "ImageId":
            continue
        wnid = rest.split(" ")[0]
        if not WNID.fullmatch(wnid):
            raise UserError(f"line {i + 1} of {path} is {line!r}, not file,WNID and a box: fetch it again")
        found[file] = wnid
    return found


def _whole_numbers(path: Path) -> np.ndarray:
    try:
        return np.array(lines(path, LAYOUT), dtype=np.int64)
    except ValueError as error:
        raise UserError(f"{path} has a line that is no number ({error}): fetch it again") from error


def _ids(path: Path) -> dict[int, str]:
    """WordNet id by the publishers' own number of a class, which the list of labels uses."""
    synsets = np.atleast_1d(matlab(path, ("synsets",), LAYOUT)["synsets"])
    try:
        found = [(int(s["ILSVRC2012_ID"]), str(s["WNID"])) for s in synsets if int(s["num_children"]) == 0]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not ImageNet's meta.mat ({error!r}): fetch it again. {LAYOUT.get}") from error
    if sorted(number for number, _ in found) != list(range(1, len(found) + 1)):
        raise UserError(f"{path} does not number its {len(found)} classes from 1: fetch it again. {LAYOUT.get}")
    return dict(found)
