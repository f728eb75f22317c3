"""What every estimator of importance is: images in, one map per image out.

An estimator knows nothing of files, progress, processes or devices; `augwise.estimate` runs it. Add one by writing a
frozen dataclass (every constant a field with a docstring line) with `compute` in a file of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from ..errors import UserError
from .classifier import check_batch, check_eval


class Estimated(NamedTuple):
    """The maps of one batch.

    importance: (B, *map_size) float32, ≥ 0 and finite, in any unit (one scale per image is kept).
    failed: (B,) bool, True where an attack did not reach its goal, so that the map says less; all False for
        estimators without a goal.
    """

    importance: Tensor
    failed: Tensor


class Estimator(ABC):
    """A method that says how much each pixel decides the class. Concrete ones are frozen dataclasses.

    An image's map may depend on the image, its label, its seed and the model, never on its neighbours in the batch
    (in float32: as far as the convolution library allows).
    """

    name: ClassVar[str]
    """Short lower-case name, as on the command line and in a store's meta.json."""
    needs_model: ClassVar[bool] = True
    """Whether `estimate` must be given a classifier."""
    sparse: ClassVar[bool] = False
    """Whether maps consist of few key points and an attack may fail: then both are reported."""
    bf16: ClassVar[bool] = False
    """Whether the gradients it asks a classifier for may come in bfloat16: so where only their signs count."""
    chunk: ClassVar[int] = 128
    """Images per call unless the caller chooses."""

    def check(self, height: int, width: int) -> None:  # noqa: B027  (most methods fit every size)
        """Raise `UserError` where the method does not fit images of this size, naming what to use instead."""

    def check_model(self, model: nn.Module | None, images: Tensor) -> None:  # noqa: B027  (most methods take any model)
        """Raise `UserError` where the method does not fit the model, before any work is kept.

        model, images: as in `estimate`, some images of the data.
        """

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the maps of images of this size: the image's own, unless the method uses a grid."""
        return height, width

    def at_once(self, height: int, width: int) -> int:  # noqa: ARG002
        """Most images of this size that are worked on together, however many there are: what memory allows. No bound
        (a large number) unless a method knows one."""
        return 1 << 30

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        """Rough work per image of this size in words, such as "100 forward and backward passes per image"."""
        return "not stated by this method"

    def estimate(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:
        """The maps of a batch. Not to be overridden: write `compute`.

        model: frozen, in eval mode, on the device of the images; takes pixels in [0, 1] and returns (B, K) logits.
            None for methods that need none.
        images: (B, C, H, W) floats in [0, 1]; labels: (B,) int64 on the same device.
        seeds: one 32-bit seed per image, a function of (seed, the image's own bytes) alone; all numbers an image needs
            are drawn from it.
        Raises `UserError` for anything else.
        """
        check_batch(images, labels, seeds)
        if self.needs_model:
            if not isinstance(model, nn.Module):
                raise UserError(f"{self.name} needs a classifier, but model is {model!r}: give a trained one")
            check_eval(model)
        return self.compute(model, images, labels, seeds)

    @abstractmethod
    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:
        """What `estimate` returns, from arguments that it has checked."""
