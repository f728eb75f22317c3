"""A model's layers: their names, and what they give in a forward pass. Holds hooks only while that pass runs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from .errors import UserError


@contextmanager
def hooked(hooks: Sequence[tuple[nn.Module, Callable[..., Any]]]) -> Iterator[None]:
    """Inside, each hook gets (module, inputs, output) of its module's forward passes, and may return another output."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def full_name(model: nn.Module, layer: str) -> str:
    """The layer's name in ``model.named_modules()``; inside wrappers, such as `aw.Normalized` or torch's data-parallel
    ones, the wrapped model's own name will do. `UserError` where there is none."""
    names = [name for name, _ in model.named_modules() if name]
    for wrapped in ("", "module.", "model.", "model.model."):
        if wrapped + layer in names:
            return wrapped + layer
    near = difflib.get_close_matches(layer, names, n=5, cutoff=0.3) or names[-5:]
    raise UserError(f"layer {layer!r} is no part of the {type(model).__name__}: near it are {', '.join(near)}")


def is_map(output: Any, size: tuple[int, int]) -> bool:
    """Whether this is (N, C, h, w) or, as Swin has it, (N, h, w, C): more than one place, in the proportions of images
    of ``size``, height and width."""
    return isinstance(output, Tensor) and output.ndim == 4 and (_fits(output, 2, size) or _fits(output, 1, size))


def channels_first(output: Tensor, size: tuple[int, int]) -> Tensor:
    """A feature map as (N, C, h, w), whichever of the two it was."""
    return output if _fits(output, 2, size) else output.permute(0, 3, 1, 2)


def _fits(output: Tensor, first: int, size: tuple[int, int]) -> bool:
    """Whether dimensions ``first`` and the next are places of the image: more than one, with its proportions."""
    (h, w), (height, width) = output.shape[first : first + 2], size
    # Strides round each side by less than one cell, which moves h · width by width and w · height by height.
    return h * w > 1 and h <= height and w <= width and abs(h * width - w * height) <= height + width
