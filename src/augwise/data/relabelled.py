"""Label noise: the same images under other labels, drawn once and for good. Draws keyed random numbers of its own."""

from __future__ import annotations

from typing import Literal, final

import numpy as np
import torch
from torch import Tensor

from .. import randomness
from ..errors import UserError
from .arrays import check_labels
from .sources import Source, image_size

Noise = Literal["symmetric", "asymmetric"]

_CIFAR10 = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}


def noisy_labels(labels: np.ndarray, class_names: list[str], rate: float, kind: Noise, seed: int) -> np.ndarray:
    """Labels of which the share ``rate`` was drawn anew, (N,) int64; exactly round(rate · N) of them.

    symmetric: any class with the same probability, the true one too, as in the field's tables (at rate 0.5 and ten
    classes 45 % are wrong). asymmetric: the class that it is mistaken for: of CIFAR-10's names truck → automobile, bird
    → airplane, deer → horse, cat ↔ dog, the others stay (Patrini et al. 2017); of any others the next one. The share is
    then taken of each class.
    labels: (N,) in [0, classes); seed: who is drawn, whatever else is drawn; a higher rate keeps who a lower one drew.
    """
    if not 0 <= rate <= 1:
        raise UserError(f"noise={rate} is no share of the labels: give a number from 0 to 1")
    n, classes = len(labels), len(class_names)
    order = torch.randperm(n, generator=randomness.generator(seed, "noise")).numpy()
    drawn = torch.randint(classes, (n,), generator=randomness.generator(seed, "noise", "labels")).numpy()
    if kind == "symmetric":
        hit = order[: round(rate * n)]
        return _changed(labels, hit, drawn)
    if kind != "asymmetric":
        raise UserError(f"noise_kind={kind!r} is unknown: use symmetric or asymmetric")
    confused = _confused(class_names)
    groups = [order[labels[order] == c] for c in range(classes)]
    hit = np.concatenate([group[: round(rate * len(group))] for group in groups])
    return _changed(labels, hit, confused[labels])


def _changed(labels: np.ndarray, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    result = np.asarray(labels, dtype=np.int64).copy()
    result[rows] = others[rows]
    return result


def _confused(names: list[str]) -> np.ndarray:
    """For each class the one that it is mistaken for."""
    if set(_CIFAR10) | set(_CIFAR10.values()) <= set(names):
        return np.array([names.index(_CIFAR10.get(name, name)) for name in names])
    return (np.arange(len(names)) + 1) % len(names)


@final
class Relabelled:
    """A source under other labels. Fingerprints are the images', so maps made of them still belong to them."""

    def __init__(self, source: Source, labels: np.ndarray) -> None:
        self.source = source
        self.class_names, self.name, self.flip = source.class_names, source.name, source.flip
        self.labels = check_labels(labels, len(self.class_names), self.name)
        if len(self.labels) != len(source):
            raise UserError(f"{len(self.labels)} labels for the {len(source)} images of {self.name}: give one for each")

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.source[index][0], int(self.labels[index])

    def fingerprint(self, index: int) -> int:
        """The image's own."""
        return self.source.fingerprint(index)

    def image_size(self, index: int) -> tuple[int, int] | None:
        """Height and width where the source knows them without decoding, else None."""
        return image_size(self.source, index)
