"""Items of any map-style data set, checked as they are read: ``dataset[i] -> (image, label, ...)``.

What estimators, stores and sources alike ask of data that is not ours. Knows no particular data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .errors import UserError
from .fingerprints import pixels


def check_map_style(dataset: Any) -> None:
    """`UserError` unless the data set has a length above zero and items by index."""
    name = type(dataset).__name__
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
        raise UserError(
            f"{name} has no length or no items: give a map-style data set (len(dataset), dataset[i] -> image, label)"
        )
    if not len(dataset):
        raise UserError(f"{name} is empty: give a data set with at least one image")


def read_item(dataset: Any, index: int, what: str) -> tuple[Tensor, int]:
    """(C, H, W) uint8 pixels (see `pixels`) and the class of one item; errors call it ``what``."""
    try:
        image, label = image_and_label(dataset[index])
        return pixels(image), class_index(label)
    except UserError as error:
        raise UserError(f"{what}: {error}") from error


def image_and_label(item: Any) -> tuple[Any, Any]:
    """The image and the label of one item of a data set: (image, label, ...), or a mapping that names them "image"
    (or "img") and "label" (or "labels"), as Hugging Face's data sets do. `UserError` for anything else.
    """
    if isinstance(item, Mapping):
        found = [next((key for key in keys if key in item), None) for keys in (("image", "img"), ("label", "labels"))]
        if None in found:
            raise UserError(f"an item with the keys {', '.join(map(str, item))}: give it an image and a label")
        return item[found[0]], item[found[1]]
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise UserError(f"an item is a {type(item).__name__}: give (image, label) pairs")
    return item[0], item[1]


def class_index(label: Any) -> int:
    """A label as an int from 0; numbers of NumPy and torch with one element count as such."""
    try:
        value = label.item() if hasattr(label, "item") else label
    except (RuntimeError, ValueError):  # more than one element
        value = None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UserError(f"the label is {label!r}: give one class index, an integer from 0")
    return value
