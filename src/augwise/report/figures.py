"""Pictures for a page: pixels as text that stands inside the HTML. Writes no file; charts are in `charts`."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, TypedDict

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

_SMALL = 96  # below this side every pixel counts: PNG, shown with hard edges; above it is a photograph: JPEG
_LARGEST = 320  # no page shows a picture larger


class Picture(TypedDict):
    """What an ``<img>`` needs. src: a data URI; width, height: in pixels of the picture."""

    src: str
    width: int
    height: int


def pixels(image: Tensor) -> np.ndarray:
    """An image (C, H, W) as (H, W, C) uint8. Floats are in [0, 1]; what lies outside is clamped."""
    if image.is_floating_point():
        image = (image.float() * 255).round().clamp(0, 255).byte()
    return image.permute(1, 2, 0).contiguous().numpy()


def picture(pixels: np.ndarray, largest: int = _LARGEST) -> Picture:
    """(H, W, C) or (H, W) uint8 for a page: below 96 pixels a side exactly, others as JPEG of at most ``largest``."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(image.size) < _SMALL:
        return {"src": png(pixels), "width": image.width, "height": image.height}
    image.thumbnail((largest, largest))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=85, optimize=True)
    return {"src": _uri("jpeg", buffer.getvalue()), "width": image.width, "height": image.height}


def image_picture(image: Tensor) -> Picture:
    """An image (C, H, W) of floats in [0, 1], on any device, for a page."""
    return picture(pixels(image.detach().cpu()))


def map_picture(image: Tensor, importance: Tensor) -> Picture:
    """The map (H, W) over the image (C, H, W) for a page, see `overlay`."""
    shown = pixels(image.detach().cpu()).astype(np.float64)
    return picture(overlay(shown, importance.detach().cpu().numpy()))


def png(pixels: np.ndarray, scale: int = 1) -> str:
    """(H, W, C) or (H, W) uint8 as a data URI; every pixel becomes scale × scale, unsmoothed."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    image = Image.fromarray(np.ascontiguousarray(pixels.repeat(scale, 0).repeat(scale, 1)))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return _uri("png", buffer.getvalue())


def overlay(image: np.ndarray, importance: np.ndarray) -> np.ndarray:
    """The map in warm colours over a dimmed grey image, (H, W, 3) uint8; the map's maximum is full colour."""
    from matplotlib import colormaps

    grey = image.mean(2) * 0.5
    top = float(importance.max())
    share = importance / top if top > 0 else np.zeros_like(importance)
    warm = colormaps["inferno"](share)[:, :, :3] * 255
    strength = np.sqrt(share)[:, :, None]
    return (grey[:, :, None] * (1 - strength) + warm * strength).round().astype(np.uint8)


def heat(importance: np.ndarray) -> np.ndarray:
    """A map alone in warm colours, (H, W, 3) uint8; its maximum is the brightest."""
    from matplotlib import colormaps

    top = float(importance.max())
    return (colormaps["inferno"](importance / top if top > 0 else importance)[:, :, :3] * 255).round().astype(np.uint8)


def _uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
