"""Batches of P identities with K images each, the order that a triplet loss needs.

Keyed by (seed, epoch) like every order, so that a resumed run goes on where it stopped. Touches nothing but labels.
"""

from __future__ import annotations

from typing import final

import numpy as np
import torch

from .. import randomness
from ..errors import UserError


@final
class IdentityOrder:
    """The rows of an epoch in an order whose batches have P identities of K images, those of an identity together.

    An identity's images are shuffled and cut into groups of K, the last one filled up with others of it, and of an
    identity with fewer than K images with the same again. Every step takes a group each of P identities, drawn as if
    all groups that are left lay in an urn (Efraimidis and Spirakis 2006: the largest u^(1 / groups left), u uniform),
    so nearly every image comes once. Where fewer than P identities have groups left, others come again.

    labels: (N,) int64; people: P; images: K. count: rows of an epoch, the same in every one. few: how many identities
    have fewer than K images.
    """

    def __init__(self, labels: np.ndarray, people: int, images: int, seed: int) -> None:
        self.people, self.images, self.seed = people, images, seed
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if people < 2 or images < 2:
            raise UserError(f"batches of {people} identities with {images} images each: give at least 2 of both")
        if len(self.members) < people:
            raise UserError(
                f"a step takes {people} identities, but there are {len(self.members)}: give a smaller batch_size, or "
                "more reid_images"
            )
        self.few = sum(len(rows) < images for rows in self.members)
        self.groups = np.array([-(-len(rows) // images) for rows in self.members])
        self.count = int(self.groups.sum()) // people * people * images

    def rows(self, epoch: int) -> np.ndarray:
        """(count,) int64, of whole batches."""
        generator = randomness.generator(self.seed, "identities", epoch)
        dealt = [iter(self._groups(rows, generator)) for rows in self.members]
        left, found = self.groups.copy(), []
        for _ in range(self.count // (self.people * self.images)):
            u = torch.rand(len(left), generator=generator, dtype=torch.float64).numpy()
            keys = np.where(left > 0, np.log(u.clip(1e-300)) / left.clip(1), u - 1e9)
            for who in np.argsort(-keys, kind="stable")[: self.people].tolist():
                group = next(dealt[who], None)
                if group is None:
                    dealt[who] = iter(self._groups(self.members[who], generator))
                    group = next(dealt[who])
                left[who] = max(0, left[who] - 1)
                found.append(group)
        return np.concatenate(found)

    def _groups(self, rows: np.ndarray, generator: torch.Generator) -> list[np.ndarray]:
        order = rows[torch.randperm(len(rows), generator=generator).numpy()]
        missing = -len(order) % self.images
        return list(np.concatenate([order, np.resize(order, missing)]).reshape(-1, self.images))
