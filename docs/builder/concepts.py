"""The pictures of the page on concepts: every number below a picture is measured on that picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

import augwise as aw
from augwise import randomness, regions
from augwise.report.figures import overlay
from augwise.transforms.cutout import cutout

from .digits import digits
from .pictures import Strips, Tile, grown, outlined

SCALE, LENGTH, QUANTILE = 4, 12, 0.6
BLUE, ORANGE = (60, 150, 230), (255, 130, 50)
_ROW = 2  # the digit 4: its evidence is not in one place


def all_strips() -> Strips:
    """Every strip of the page."""
    makers: dict[str, Callable[[], list[list[Tile]]]] = {
        "map": the_map, "regions": the_regions, "guard": the_guard, "preserve": the_preserve, "mixing": the_mixing,
        "account": the_account, "softening": the_softening,
    }  # fmt: skip
    return {f"concept-{name}": make() for name, make in makers.items()}


def _one() -> tuple[Tensor, Tensor, np.ndarray, str]:
    """Image (1, 3, 32, 32), map (1, 32, 32), picture (32, 32, 3) and name."""
    d = digits()
    image, importance = d.images[_ROW : _ROW + 1], d.maps[_ROW : _ROW + 1]
    return image, importance, _pixels(image[0]), d.names[_ROW]


def _pixels(image: Tensor) -> np.ndarray:
    return image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()


def _heat(values: Tensor) -> np.ndarray:
    """(H, W) numbers as a picture of their own, dark to bright."""
    from matplotlib import colormaps

    share = (values.double() / max(float(values.max()), 1e-12)).numpy()
    return (colormaps["inferno"](share)[:, :, :3] * 255).round().astype(np.uint8)


def the_map() -> list[list[Tile]]:
    """What a map is."""
    _, importance, picture, name = _one()
    points = aw.ImportanceMap(importance[0]).points(top=0.1)
    marked = picture // 3
    marked[points.numpy()] = ORANGE
    return [[
        Tile(picture, "the image", f"handwritten digit {name}"),
        Tile(_heat(importance[0]), "its importance map", "bright where covering the pixel costs the classifier most"),
        Tile(overlay(picture, importance[0].numpy()), "both", "the map laid over the digit"),
        Tile(marked, "key points: the top tenth", "the tenth of the pixels with the highest importance, marked"),
    ]]  # fmt: skip


def the_regions() -> list[list[Tile]]:
    """Scores of regions and the threshold between them."""
    _, importance, picture, _ = _one()
    summed = regions.integral(importance)
    scores = regions.scores(summed, LENGTH, "inside")[0]
    limit = regions.thresholds(summed, LENGTH, QUANTILE, "inside")[0]
    low, high = scores <= limit, scores >= limit
    grown_picture = grown(overlay(picture, importance[0].numpy()), SCALE)
    flat = scores.flatten()
    places = (int(flat.argmax()), int((flat - limit).abs().argmin()), int(flat.argmin()))
    colours = (BLUE, (200, 200, 200), ORANGE)
    total = float(regions.quantize(importance).sum())
    for place, colour in zip(places, colours, strict=True):
        top, left = divmod(place, scores.shape[1])
        grown_picture = outlined(grown_picture, (top, left, top + LENGTH, left + LENGTH), colour, SCALE, 3)
    shares = [100 * float(flat[p]) / total for p in places]
    two = np.full((*low.shape, 3), 60, np.uint8)
    two[low.numpy()], two[high.numpy() & ~low.numpy()] = ORANGE, BLUE
    side = [(32 - s) // 2 for s in low.shape]
    frame = np.zeros((32, 32, 3), np.uint8)
    frame[side[0] : side[0] + low.shape[0], side[1] : side[1] + low.shape[1]] = two
    heat = np.zeros((32, 32, 3), np.uint8)
    heat[side[0] : side[0] + low.shape[0], side[1] : side[1] + low.shape[1]] = _heat(scores)
    words, lower = " / ".join(f"{s:.0f} %" for s in shares), f"orange: the lower {100 * QUANTILE:.0f} %"
    return [[
        Tile(grown_picture, f"three squares: {words}", f"three squares that hold {words} of the importance"),
        Tile(heat, "score of the square around each place", "bright where a square would hold much importance"),
        Tile(frame, lower, "places whose square may be erased in orange, others blue"),
    ]]  # fmt: skip


def the_guard() -> list[list[Tile]]:
    """Where many draws of Cutout fall, plain, guarded and control."""
    image, importance, picture, name = _one()
    n = 2000
    own, other = importance.expand(n, -1, -1), digits().maps[_ROW - 1 : _ROW].expand(n, -1, -1)
    tiles = [
        Tile(overlay(picture, importance[0].numpy()), "importance", f"importance of the pixels of the digit {name}")
    ]
    for arm, quantile, guide in (("plain", None, own), ("guarded", QUANTILE, own), ("control", QUANTILE, other)):
        with randomness.stream("docs", "guard"):
            left = aw.Cutout(LENGTH, quantile=quantile, window="inside").make_params(
                image.expand(n, -1, -1, -1), guide, None
            )
        covered = regions.box_mask(left["boxes"], 32, 32).double().mean(0)
        share = 100 * float((covered * importance[0]).sum() / importance[0].sum())
        tiles.append(
            Tile(
                _heat(covered),
                f"{arm}: {share:.0f} % lost",
                f"{arm}: how often each pixel is erased, {share:.0f} % of the importance on average",
            )
        )
    return [tiles]


def the_preserve() -> list[list[Tile]]:
    """A policy without and with the important region put back."""
    image, importance, picture, name = _one()
    rows = []
    for operation, transform in (("solarize", v2.RandomSolarize(100, p=1.0)), ("posterize, turn", _turned)):
        step = aw.Preserve(transform, length=LENGTH, quantile=0.9, window="inside")
        with randomness.stream("docs", "preserve"):
            params = step.make_params(image, importance, None)
        box = params["regions"][0, 0].tolist()
        guarded = step.transform(image, importance, params)[0][0]
        plain = aw.Preserve(transform).transform(image, importance, params | {"regions": None})[0][0]
        framed = outlined(grown(_pixels(guarded), SCALE), box, ORANGE, SCALE)
        rows.append([
            Tile(picture, "the image", f"handwritten digit {name}"),
            Tile(overlay(picture, importance[0].numpy()), "importance", "its importance map"),
            Tile(_pixels(plain), operation, f"the digit after {operation}"),
            Tile(framed, "one important region put back", "the same, with an important square of the original, framed"),
        ])  # fmt: skip
    return rows


def _turned(image: Tensor) -> Tensor:
    return V.posterize(V.rotate(image, 35, fill=[90.0]), 2)


def the_mixing() -> list[list[Tile]]:
    """CutMix and its labels, by area and by importance."""
    d, i = digits(), 3
    batch = aw.Batch.of(d.images, d.labels, d.maps)
    said = {}
    for labels in ("area", "importance"):
        mixer = aw.CutMix(length=16, quantile=QUANTILE, labels=labels, window="inside")
        with randomness.stream("docs", "mixing", 3):
            mixed = mixer(batch)
        first, second = mixed.labels.classes[i].tolist()
        mine, theirs = mixed.labels.weights[i].tolist()
        said[labels] = f"by {labels}: {first} {100 * mine:.0f} %, {second} {100 * theirs:.0f} %"
    j = int(torch.where(d.labels == second)[0][0])
    picture, joined = _pixels(mixed.images[i]), mixed.importance[i].as_subclass(Tensor).numpy()
    base, pasted = (overlay(_pixels(d.images[k]), d.maps[k].numpy()) for k in (i, j))
    return [[
        Tile(base, f"{first} and its map", f"handwritten digit {first}, its map laid over it"),
        Tile(pasted, f"{second} and its map", f"handwritten digit {second}, its map laid over it"),
        Tile(picture, said["area"], f"the mixed picture; label {said['area']}"),
        Tile(overlay(picture, joined), said["importance"], f"the mixed picture and map; label {said['importance']}"),
    ]]  # fmt: skip


def the_softening() -> list[list[Tile]]:
    """The same square of Cutout at four places, and the label that goes with what it took."""
    image, importance, _, name = _one()
    classes = 10
    batch = aw.Batch.of(image, torch.tensor([int(name)]), importance)
    soften = aw.SoftenLabels()
    tiles = [Tile(overlay(_pixels(image[0]), importance[0].numpy()), "importance", f"the map of the digit {name}")]
    for corner in ((0, 0), (19, 4), (6, 2), (9, 10)):
        box = torch.tensor([[*corner, corner[0] + LENGTH, corner[1] + LENGTH]])
        erased, left = cutout(image, importance, box, fill=0.5)
        softened = soften(batch._replace(images=erased, importance=left)).labels
        share = 100 * float(left.sum() / importance.sum())
        sure = 100 * float(softened.dense(classes)[0, int(name)])
        words = f"{share:.0f} % left: label {sure:.0f} %"
        tiles.append(Tile(_pixels(erased[0]), words, f"a square of the digit erased, {words} {name}"))
    return [tiles]


def the_account() -> list[list[Tile]]:
    """What the sum of the map says after a flip, a crop, a turn, an erasure."""
    image, importance, _, name = _one()
    sample = aw.Sample(V.to_image(image[0]), aw.ImportanceMap(importance[0]), int(name), 0, float(importance.sum()))
    moves: dict[str, Callable[[aw.Sample], aw.Sample]] = {
        "as it is": lambda s: s,
        "flipped": v2.RandomHorizontalFlip(1.0),
        "turned by 30°": v2.RandomRotation((30, 30)),
        "shifted, cut off": lambda s: s._replace(
            image=V.crop(s.image, 0, 13, 32, 32), importance=V.crop(s.importance, 0, 13, 32, 32)
        ),
        "a quarter erased": aw.Cutout(16, fill=0.5, window="inside"),
    }
    tiles = []
    for words, move in moves.items():
        with randomness.stream("docs", "account", 5):
            moved = move(sample)
        share = 100 * float(moved.importance.sum()) / sample.evidence
        shown = overlay(_pixels(moved.image), moved.importance.as_subclass(Tensor).numpy())
        tiles.append(Tile(shown, f"{words}: {share:.0f} %", f"digit {words}, {share:.0f} % of the evidence in sight"))
    return [tiles]
