"""Several classifiers that decide together. Touches nothing but what they say."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

PREFIX = "members."
"""What the names of an ensemble's weights begin with, by which a file of them is known."""


class Ensemble(nn.Module):
    """The mean of the members' logits. members: by name; each takes the same images and gives as many logits."""

    def __init__(self, members: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleDict(members)

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([member(images) for member in self.members.values()]).mean(0)
