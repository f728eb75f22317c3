"""A guard for those labels alone that are to be believed: a map made for a wrong label guards the wrong thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from ..importance_map import ImportanceMap
from ..sample import Batch, Sample


@final
class TrustedGuard(nn.Module):
    """``guarded`` with the probability that an image's label is right, ``plain`` otherwise (this project's; IPF-RDA,
    Section V, names the need).

        step = aw.TrustedGuard(aw.Cutout(16, quantile=0.6), aw.Cutout(16), trust)
        aw.train(config, maps=maps, steps=[step])

    guarded, plain: two forms of one augmentation; both draw from the same numbers, so where they draw the same way an
    image differs by its guard alone.
    trust: (N,) in [0, 1] by row of the data set, such as `aw.label_trust` finds; 1 everywhere is ``guarded``, 0 is
        ``plain``.

    Takes and returns a `Batch` or a `Sample`; needs their maps wherever ``guarded`` does. Draws one number per image
    after the augmentation's own.
    """

    trust: Tensor

    def __init__(self, guarded: Callable[[Any], Any], plain: Callable[[Any], Any], trust: Tensor | np.ndarray) -> None:
        super().__init__()
        trust = torch.as_tensor(trust).detach().float()
        if trust.ndim != 1 or not bool(((trust >= 0) & (trust <= 1)).all()):
            raise UserError("trust is to be a probability for each image of the data set: give (N,) numbers in [0, 1]")
        self.strict: Any = guarded
        self.plain: Any = plain
        self.register_buffer("trust", trust)

    @property
    def guarded(self) -> bool:
        """Whether maps are needed."""
        return bool(getattr(self.strict, "guarded", True))

    def forward(self, item: Batch | Sample) -> Any:
        """The augmented batch or sample."""
        if isinstance(item, Sample):
            batch = Batch.of(
                item.image.as_subclass(Tensor)[None],
                torch.tensor([item.label]),
                None if item.importance is None else item.importance.as_subclass(Tensor)[None],
                torch.tensor([item.index]),
                torch.tensor([item.evidence]),
            )
            result = self.forward(batch)
            importance = None if result.importance is None else ImportanceMap(result.importance[0])
            return item._replace(image=result.images[0], importance=importance)
        trust = self._of(item.indices)
        seed = int(torch.randint(2**31, ()))
        with randomness.stream(seed):
            guarded = self.strict(item)
        with randomness.stream(seed):
            plain = self.plain(item)
        chosen = (torch.rand(len(trust)) < trust.cpu()).to(item.images.device)
        images = torch.where(chosen[:, None, None, None], _plain(guarded.images), _plain(plain.images))
        importance = None
        if guarded.importance is not None and plain.importance is not None:
            importance = torch.where(chosen[:, None, None], _plain(guarded.importance), _plain(plain.importance))
        return Batch.of(images, item.labels, importance, item.indices, item.evidence)

    def _of(self, indices: Tensor) -> Tensor:
        trust = self.trust
        if indices.device.type == "cpu" and len(indices):
            first, last = (int(end) for end in indices.aminmax())
            if first < 0 or last >= len(trust):
                raise UserError(
                    f"images are rows {first} to {last} of their data set, trust is of {len(trust)} images: give one "
                    "number for each image that is trained on, in their order"
                )
        return trust.to(indices.device)[indices]

    def __repr__(self) -> str:
        return f"TrustedGuard({self.strict!r}, {self.plain!r}, trust of {float(self.trust.mean()):.6g} on average)"


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor)
