"""The two-dimensional sets of MedMNIST v2, ``medmnist:NAME``: read from their npz files, which the package `medmnist`
downloads where it is installed and the network allows.

Reads those files alone; the package writes into the data folder.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .arrays import ArraySource
from .npz import open_npz
from .torchvision_sets import data_folder


class Known(NamedTuple):
    """classes: names by label; flip: whether a mirrored picture is still one, which it is not where left and right of
    the body differ."""

    classes: tuple[str, ...]
    flip: bool


_ORGANS = (
    *("bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left"),
    *("lung-right", "pancreas", "spleen"),
)
SETS = {
    "pathmnist": Known(
        (
            *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa"),
            *("cancer-associated stroma", "colorectal adenocarcinoma epithelium"),
        ),
        True,
    ),
    "dermamnist": Known(
        (
            *("actinic keratoses", "basal cell carcinoma", "benign keratosis-like lesions", "dermatofibroma"),
            *("melanoma", "melanocytic nevi", "vascular lesions"),
        ),
        True,
    ),
    "octmnist": Known(("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"), True),
    "pneumoniamnist": Known(("normal", "pneumonia"), False),
    "retinamnist": Known(("0", "1", "2", "3", "4"), True),
    "breastmnist": Known(("malignant", "normal, benign"), True),
    "bloodmnist": Known(
        (
            *("basophil", "eosinophil", "erythroblast", "immature granulocytes", "lymphocyte", "monocyte"),
            *("neutrophil", "platelet"),
        ),
        True,
    ),
    "tissuemnist": Known(
        (
            *("collecting duct, connecting tubule", "distal convoluted tubule", "glomerular endothelial cells"),
            *("interstitial endothelial cells", "leukocytes", "podocytes", "proximal tubule segments"),
            "thick ascending limb",
        ),
        True,
    ),
    "organamnist": Known(_ORGANS, False),
    "organcmnist": Known(_ORGANS, False),
    "organsmnist": Known(_ORGANS, False),
}
"""Every set with one label per image (Yang et al. 2023, Table 1); ChestMNIST has several."""


def open_medmnist(name: str, split: str) -> ArraySource:
    """One split of a MedMNIST set, images (1 or 3, side, side).

    name: as "pathmnist", 28 px, or "pathmnist_64" for the versions of 64, 128 and 224 px, as the publishers' files are
    called. They are looked for in the data folder (AUGWISE_DATA) and in ~/.medmnist.
    """
    stem, _, side = name.partition("_")
    known = SETS.get(stem)
    if known is None:
        why = "has several labels per image" if stem == "chestmnist" else "is unknown"
        near = difflib.get_close_matches(stem, SETS, n=3, cutoff=0.4) or list(SETS)
        raise UserError(f"medmnist:{name} {why}: use medmnist:NAME with one of {', '.join(near)}")
    if side not in ("", "64", "128", "224"):
        raise UserError(f"medmnist:{name} names no size: use {stem} (28 px), {stem}_64, {stem}_128 or {stem}_224")
    path = _find(f"{name}.npz") or _download(stem, int(side or 28), split)
    source = open_npz(path, split)
    if len(source.class_names) > len(known.classes):  # as many as the largest label of any split asks for
        raise UserError(
            f"{path} has {len(source.class_names)} classes, but {stem} has {len(known.classes)}: it is another set's "
            "file"
        )
    return ArraySource(source.images, source.labels, list(known.classes), name, flip=known.flip)


def _folders() -> tuple[Path, ...]:
    return data_folder(), Path("~/.medmnist").expanduser()


def _find(file: str) -> Path | None:
    return next((folder / file for folder in _folders() if (folder / file).is_file()), None)


def _download(stem: str, side: int, split: str) -> Path:
    """The file, fetched by the package; `UserError` with what to do where it cannot be."""
    file = f"{stem}.npz" if side == 28 else f"{stem}_{side}.npz"
    folder, other = _folders()
    cure = (
        f"put {file}, which zenodo.org has among MedMNIST v2's files (train_images, train_labels, val_images, ..., "
        f"test_labels), into {folder} (the environment variable AUGWISE_DATA names another folder) or {other}"
    )
    try:
        import medmnist  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            f"medmnist:{file[:-4]} is not here: {cure}; or pip install medmnist, which downloads it"
        ) from None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        kind = getattr(medmnist, medmnist.INFO[stem]["python_class"])
        kind(split=split, download=True, root=str(folder), size=side)
    except Exception as error:  # whatever a download can raise
        raise UserError(f"the medmnist package could not fetch {file} ({error}): {cure}") from error
    found = _find(file)
    if found is None:
        raise UserError(f"the medmnist package left no {file} in {folder}: {cure}")
    return found
