"""What a classifier must be before it is asked what decides a class: in eval mode, and not the same for all images; and
what its images must be."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import UserError


def check_eval(model: nn.Module) -> None:
    """`UserError` where a part of the model is in training mode (batch-norm and dropout would mix images)."""
    for name, module in model.named_modules():
        if module.training:
            raise UserError(
                f"the model is in training mode ({name or 'the model'}): call model.eval() first, or what it says of "
                "an image depends on the others of its batch"
            )


def check_pixels(images: Tensor) -> None:
    """`UserError` unless these are images (B, C, H, W) of floats in [0, 1]."""
    if images.ndim != 4:
        raise UserError(f"images have shape {tuple(images.shape)}: give a batch (B, C, H, W)")
    if not images.is_floating_point():
        raise UserError(f"images are {images.dtype}: give floats in [0, 1], such as images.float() / 255")
    if images.numel():
        low, high = (float(end) for end in images.aminmax())
        if not (low >= 0 and high <= 1):  # also where they are NaN
            raise UserError(
                f"pixels lie between {low:g} and {high:g}: give them in [0, 1], and put the normalisation into the "
                "model (aw.Normalized)"
            )


def check_batch(images: Tensor, labels: Tensor, seeds: list[int]) -> None:
    """`UserError` unless these are images as `check_pixels` wants them, an int64 class of each, and a seed of each."""
    check_pixels(images)
    check_one_each("labels", labels, len(images))
    if len(seeds) != len(images):
        raise UserError(f"{len(seeds)} seeds for {len(images)} images: give one number for each, such as 0")


def check_one_each(what: str, classes: Tensor, count: int) -> None:
    """`UserError` unless these are ``count`` int64 classes; what: their name in the message."""
    if classes.shape != (count,) or classes.dtype != torch.int64:
        raise UserError(
            f"{what} have shape {tuple(classes.shape)} and type {classes.dtype}: give one int64 class for each of "
            f"{count} images"
        )


def check_varies(images: Tensor, logits: Tensor) -> None:
    """`UserError` where different images (N, C, H, W) all get the same logits (N, K)."""
    if says_the_same(images, logits):
        raise UserError(
            f"the model returns the same logits for all of {len(images)} different images, so nothing in an image "
            "decides its class: check its weights, or train it longer"
        )


def says_the_same(images: Tensor, logits: Tensor) -> bool:
    """Whether different images all get the same logits."""
    return bool((logits == logits[:1]).all()) and bool((images != images[:1]).any())
