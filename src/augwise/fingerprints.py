"""What an image and a model are recognised by: hashes of their content, the same on every machine and device.

Stores of importance maps find an image's row by its hash, and refuse to go on with another model. Touches no files
and draws no numbers.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .errors import UserError


def hash_bytes(data: bytes) -> int:
    """64-bit hash of an encoded image, such as the bytes of its file: an int in [0, 2⁶⁴), by blake2b."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def hash_pixels(image: Tensor) -> int:
    """64-bit hash of an image's pixels and shape: an int in [0, 2⁶⁴), by blake2b.

    image: (C, H, W) uint8, see `pixels`.
    """
    if image.dtype != torch.uint8 or image.ndim != 3:
        raise UserError(f"image has shape {tuple(image.shape)} and type {image.dtype}: give (C, H, W) uint8 pixels")
    digest = hashlib.blake2b(repr(tuple(image.shape)).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(image.as_subclass(Tensor).cpu().numpy()).data)
    return int.from_bytes(digest.digest(), "little")


def pixels(image: object) -> Tensor:
    """Any usual form of one image as a (C, H, W) uint8 tensor: the form in which it is hashed and stored.

    image: a (C, H, W) tensor, uint8 or float in [0, 1] (rounded to 8 bits); or a PIL image or uint8 array
    (H, W) or (H, W, C). Of PIL images, grey ones have one channel, all others become RGB; 16 bits are scaled to 8 (not
    cut off), transparent pixels lie on white. What they say of their orientation is not applied: a loader that wants
    it has done so.
    Raises `UserError` for NaN, values outside [0, 1] and every other form.
    """
    if isinstance(image, Tensor):
        return _tensor_pixels(image.as_subclass(Tensor).detach())
    array = _pil_pixels(image) if hasattr(image, "convert") and hasattr(image, "mode") else np.asarray(image)
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise UserError(
            f"an image is a {type(image).__name__} of type {array.dtype} and shape {array.shape}: "
            "give a (C, H, W) tensor, a PIL image or a uint8 array (H, W, C)"
        )
    array = array[:, :, None] if array.ndim == 2 else array
    return torch.from_numpy(np.array(array.transpose(2, 0, 1), order="C"))


def _pil_pixels(image: Any) -> np.ndarray:
    """(H, W) or (H, W, 3) uint8 of a PIL image of any mode with a known range."""
    try:
        # Pillow reads a PGM file of 16 bits into 32, scaled to the range of 16.
        if image.mode.startswith("I;16") or (image.mode == "I" and getattr(image, "format", None) == "PPM"):
            return ((np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        if image.mode in ("I", "F"):  # Pillow's own conversion would cut these off at 255
            raise UserError(
                f"an image has 32 bits per channel (mode {image.mode}), whose range nobody knows: save it with 8 or 16"
            )
        if image.mode.endswith(("A", "a")) or "transparency" in image.info:
            return np.asarray(_on_white(image))
        return np.asarray(image if image.mode in ("RGB", "L") else image.convert("RGB"))
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"an image cannot be decoded ({error}): repair or remove it") from error


def _on_white(image: Any) -> Any:
    """A transparent PIL image as it looks on paper: what colour its clear pixels hide is chance, often black."""
    from PIL import Image  # comes with torchvision

    colour = image.convert("RGBA")
    paper = Image.new("RGBA", colour.size, "white")
    return Image.alpha_composite(paper, colour).convert("L" if image.mode in ("L", "LA") else "RGB")


def _tensor_pixels(image: Tensor) -> Tensor:
    if image.ndim != 3:
        raise UserError(f"an image has shape {tuple(image.shape)}: give (C, H, W)")
    if image.dtype == torch.uint8:
        return image
    if not image.is_floating_point():
        raise UserError(f"an image has type {image.dtype}: give uint8, or float in [0, 1]")
    low, high = image.min().item(), image.max().item()
    if not (low >= 0 and high <= 1):  # also False for NaN
        raise UserError(
            f"an image has pixels from {low:g} to {high:g}: give float pixels in [0, 1] or uint8, before any "
            "normalisation (put that around the model: aw.Normalized(model, mean, std))"
        )
    return (image * 255).round().to(torch.uint8)


def model_fingerprint(model: nn.Module) -> str:
    """32 hexadecimal digits that stand for a model's architecture and weights.

    Hash of every module's class and settings (its ``extra_repr``) and of every entry of the state dict. Independent
    of device, memory layout, training mode and ``torch.compile``.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, module in model.named_modules():
        text = f"{_plain(name)} {type(module).__qualname__} {module.extra_repr()}"
        if type(module).__name__ != "OptimizedModule":
            digest.update(re.sub(r"0x[0-9a-f]+", "", text).encode())
    for name, value in model.state_dict().items():
        digest.update(_plain(name).encode())
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        else:
            digest.update(repr(value).encode())
    return digest.hexdigest()


def _plain(name: str) -> str:
    return ".".join(part for part in name.split(".") if part != "_orig_mod")
