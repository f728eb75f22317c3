"""Real small pictures for tests that lay out a published data set: the package's digits, of any size and colour."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

import augwise as aw


def digits(n, size=32, split="train"):
    """(N, size, size, 3) uint8, tinted so that channels differ, and (N,) labels."""
    source = aw.open_source("digits", split, size=size, limit=n)
    pictures = np.stack([source[i][0].numpy().transpose(1, 2, 0) for i in range(n)])
    tint = np.array([4, 3, 2], dtype=np.uint16)
    return (pictures * tint // 4).astype(np.uint8), np.asarray(source.labels)


def jpeg(path: Path, picture: np.ndarray) -> np.ndarray:
    """Write a picture (H, W, 3) or grey (H, W) as a JPEG file, and give what it decodes to, (3, H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "jpeg", quality=95)
    path.write_bytes(buffer.getvalue())
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
