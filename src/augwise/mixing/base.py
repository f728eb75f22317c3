"""What every mixer is: from a batch of images to a batch of mixed images, with labels that say what is shown.

A method writes `make_params` (all random numbers) and `mix` (pure). The mixed map joins the maps as the images are
joined, so mixers chain and their labels can be checked from the picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from ..errors import UserError
from ..integral_images import check_values
from ..labels import MixedLabels, check_plain
from ..sample import Batch, Sample
from .targets import check_masks, refuse_coordinates


class Mixer(nn.Module, ABC):
    """Mixes the images of a batch with one another. Every image draws its own numbers.

    ``mixer(batch)`` takes and returns a `Batch`; ``mixer(images, labels)``, or of the pair, is the short form without
    maps and returns ``(images, MixedLabels)``. The input is never modified: what is pasted or blended are the original
    images, so a form in place would have to set every partner's pixels aside first, which costs what it saves. Measured
    on a CPU it gains nothing at 32 px and with three images, and at 224 px less than 0.1 ms an image by CutMix alone.

    generator: where the numbers come from; default is torch's own CPU stream.
    masks: segmentation masks, (N, H, W) of an integer type or bool, for mixers that cut: they are mixed as the pixels
        are (without interpolation) and come last in the result, ``(batch, masks)`` or ``(images, labels, masks)``.
        Blending mixers refuse them, and all refuse boxes and keypoints.

    As a ``collate_fn``: `collate_with`.
    """

    without_maps: ClassVar[str] = "leave out its quantile and importance labels for the plain form"
    """What can be done where there are no maps, for the message that says so."""

    @property
    def guarded(self) -> bool:
        """True if this mixer consults the importance maps, and so refuses to run without them."""
        return False

    @abstractmethod
    def make_params(self, batch: Batch, generator: torch.Generator | None) -> dict[str, Any]:
        """Draw every random number for the batch."""

    @abstractmethod
    def mix(self, batch: Batch, params: dict[str, Any]) -> Batch:
        """Apply what `make_params` drew. Pure; the labels of the result are `MixedLabels`."""

    def mix_masks(self, masks: Tensor, params: dict[str, Any]) -> Tensor:  # noqa: ARG002
        """The segmentation masks (N, H, W) of the mixed pictures. Pure; to be written where a pixel shows one image."""
        raise UserError(
            f"{type(self).__name__} blends images, and the classes of blended pixels cannot be told in one mask: mix "
            "images with masks by one that cuts, such as CutMix, DCutMix, SaliencyMix, FMix or ResizeMix"
        )

    def forward(
        self,
        batch: Batch | Tensor | Sequence[Tensor],
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
        masks: Tensor | None = None,
    ) -> Any:
        """Not to be overridden: write `make_params` and `mix`."""
        short = not isinstance(batch, Batch)
        if not isinstance(batch, Batch) and labels is None and isinstance(batch, tuple | list) and len(batch) == 2:
            batch, labels = batch  # what a loader of (image, label) pairs gives
        given = batch
        if not isinstance(batch, Batch):
            refuse_coordinates(type(self).__name__, batch, labels)
            if isinstance(batch, Sample):
                raise UserError(
                    f"{type(self).__name__} got a Sample: it mixes the images of a Batch, so it stands after collation"
                )
            if labels is None or not isinstance(batch, Tensor):
                raise UserError(
                    f"{type(self).__name__} got a {type(batch).__name__} and labels of {type(labels).__name__}: give a "
                    "Batch, or images (N, C, H, W) and labels (N,)"
                )
            batch = Batch.of(batch, labels)
        if self.guarded and batch.importance is None:
            raise UserError(
                f"{type(self).__name__} got no importance maps to look at: read the data through "
                f"aw.WithImportance, let aw.LiveSaliency make them in the step before, or {self.without_maps}"
            )
        # Collation and indexing drop the tensor types; Batch.of puts them back.
        batch = Batch.of(batch.images, batch.labels, batch.importance, batch.indices, batch.evidence)
        self._check(batch)
        if masks is not None:
            plain = check_masks(type(self).__name__, masks, batch.images)
            if type(self).mix_masks is Mixer.mix_masks:
                self.mix_masks(plain, {})  # refuses, before a number is drawn
        params = self.make_params(batch, generator)
        mixed = self.mix(batch, params)
        result: tuple[Any, ...] = (mixed,)
        if short:
            images = mixed.images if isinstance(given, tv_tensors.Image) else mixed.images.as_subclass(Tensor)
            result = (images, MixedLabels.of(mixed.labels))
        if masks is not None:
            joined = self.mix_masks(masks.as_subclass(Tensor), params)
            result = (*result, tv_tensors.Mask(joined) if isinstance(masks, tv_tensors.Mask) else joined)
        return result if len(result) > 1 else mixed

    def _check(self, batch: Batch) -> None:
        name, images, labels = type(self).__name__, batch.images, batch.labels
        classes = labels.classes if isinstance(labels, MixedLabels) else check_plain(labels)
        if images.dtype != torch.uint8 and not images.is_floating_point():
            raise UserError(f"{name} got images of type {images.dtype}: give uint8, or float in [0, 1]")
        if len(classes) != len(images):
            raise UserError(f"{name} got {len(images)} images and {len(classes)} labels: give one for each")
        if self.guarded and batch.importance is not None:
            check_values(batch.importance)
        # Elsewhere looking would wait for the device.
        if classes.device.type == "cpu" and classes.numel() and int(classes.min()) < 0:
            raise UserError(
                f"{name} got the label {int(classes.min())}: classes count from 0, so leave images without a "
                "label out of the batch"
            )


def label_pairs(labels: Tensor | MixedLabels, partner: Tensor, weight: Tensor) -> MixedLabels:
    """Labels of pictures made of two images each: the base image's with 1 - weight, its partner's with weight.

    labels: of the batch; partner: (N,) int64, row of the other image; weight: (N,) in [0, 1]. What is mixed already may
    be mixed again, see `MixedLabels.mix`.
    """
    own = torch.arange(len(partner), device=partner.device)
    return label_sets(labels, torch.stack([own, partner], 1), torch.stack([1 - weight, weight], 1))


def label_sets(labels: Tensor | MixedLabels, rows: Tensor, weights: Tensor) -> MixedLabels:
    """Labels of pictures made of K images each.

    labels: of the batch; rows: (N, K) int64, which images a picture is made of, the base image first; weights: (N, K),
    rows sum to 1. What is mixed already may be mixed again, see `MixedLabels.mix`.
    """
    device = (labels.classes if isinstance(labels, MixedLabels) else labels).device
    rows, weights = (t.to(device, non_blocking=True) for t in (rows, weights))
    return MixedLabels.joined(labels, rows, weights)
