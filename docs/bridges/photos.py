"""A folder of small images, handwritten digits, and a store of their maps."""

from pathlib import Path

from torchvision.transforms.v2 import functional as V

import augwise as aw

for split in ("train", "test"):
    for row, (image, label) in enumerate(aw.open_source("digits", split, limit=50)):
        folder = Path("photos", split, str(label))
        folder.mkdir(parents=True, exist_ok=True)
        V.to_pil_image(image).save(folder / f"{row}.png")

aw.estimate(None, aw.open_source("folder:photos"), "photos.maps", aw.HarrisCorners())
