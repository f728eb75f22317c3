"""The importance map as a tensor type that torchvision's transforms move together with the image.

Whatever moves, crops or stretches the picture must do the same to the map, and the map's sum must stay the account of
the evidence that is still visible. torchvision's own kernels for masks break that: they take the nearest pixel (which
loses key points: one in eight in a rotation by 30°, three in four in a resize by a half) and paint `fill` into the
map, so that padding becomes evidence. The kernels below take their place for `ImportanceMap`; importing this module
registers them, once, and touches nothing else.

**The law.** A transform shows at pixel u of its output what was at T(u) in its input. The map follows as a density:

    out(u) = in(T(u)) · |det DT(u)|

with bilinear interpolation on the image's own grid, whatever interpolation the image has, and antialiased where the
picture shrinks. So a resize counts times the area ratio, `affine` times 1/scale², a rotation times one, `perspective`
and `elastic` times the local Jacobian of their grid. `fill` and `padding_mode` are ignored: padding is zero, also where
the image is reflected. Erasing sets the map to zero.

- Flips, crops, padding, erasing: exact.
- Resizing, rotating, `affine`, `perspective`: one factor per map takes out what the grid rounds (below 0.1 % for a
  smooth map, up to 20 % for a lone key point that falls between pixels), so that the sum is exactly that of the input
  pixels that are still in the picture. Only how much of a pixel astride the border is in it is approximate.
- `elastic` has no inverse to tell what is still visible: the sum is the law's. With torchvision's default strength it
  stays within 1 % for whole maps, for a lone key point within 5 %. Where it folds the picture over itself, evidence
  that is shown twice counts twice.

**What is refused.** `TrivialAugmentWide`, `AutoAugment`, `RandAugment`, `AugMix`, `CutMix` and `MixUp` of torchvision
raise on any mask, `FiveCrop` and `TenCrop` on a type without a kernel of theirs. That is good: they would change the
picture and leave the map behind, or have no one map to return. Image policies go through `augwise.Preserve` (or are
this library's own, which move the map), mixing through this library's mixers. Colour operations leave the map alone.

`v2.RandomErasing` erases the map too, but still warns that it passes masks through: that warning is not true here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from .errors import UserError

MAX_SUPERSAMPLING = 8
"""Most samples per output pixel and direction where a warp shrinks the picture."""

_BILINEAR = InterpolationMode.BILINEAR


class ImportanceMap(tv_tensors.Mask):
    """(H, W) or (N, H, W) float32, one non-negative number per pixel: how much the pixel decides the class.

    Made of anything `torch.as_tensor` takes: boxes, a segmentation, a class activation map. Integers and booleans
    become float32, other floats keep their type. Geometric transforms of torchvision v2 move it with the image and
    keep its sum the account of the evidence still visible: see the head of this module.
    """

    def __new__(
        cls,
        data: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | int | None = None,
        requires_grad: bool | None = None,
    ) -> ImportanceMap:
        tensor = cls._to_tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)
        if tensor.ndim < 2:
            raise UserError(
                f"an importance map of shape {tuple(tensor.shape)} has no height and width: give (H, W), or (N, H, W)"
            )
        if tensor.is_complex():
            raise UserError("an importance map of complex numbers has no order: give real, non-negative numbers")
        if dtype is None and not tensor.is_floating_point():
            tensor = tensor.float()
        return tensor.as_subclass(cls)

    def points(self, top: float | None = None) -> Tensor:
        """Key points: (..., H, W) bool.

        top=None: the pixels above zero (of a sparse map). top in (0, 1]: of each map the ⌈top · H · W⌉ pixels of
        highest importance (of a dense map); among equals the one that comes first row by row; never a pixel of zero.
        """
        values = self.as_subclass(Tensor)
        if top is None:
            return values > 0
        if not 0 < top <= 1:
            raise UserError(f"top={top} is not a share of the pixels: give a number above 0 and up to 1, such as 0.05")
        flat = values.flatten(-2)
        count = math.ceil(top * flat.shape[-1])
        least = flat.topk(count, sorted=False).values.amin(-1, keepdim=True)
        above, equal = flat > least, flat == least
        room = count - above.sum(-1, keepdim=True)
        chosen = above | (equal & (equal.cumsum(-1, dtype=torch.int32) <= room))
        return (chosen & (flat > 0)).unflatten(-1, values.shape[-2:])


def _register(functional: Callable[..., Any]) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Registers a kernel that works on plain (..., 1, H, W) floats, one channel, as torchvision moves an image."""

    def decorate(kernel: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def move(inpt: ImportanceMap, *args: Any, **kwargs: Any) -> Tensor:
            plain = inpt.as_subclass(Tensor)
            wide = plain if plain.dtype in (torch.float32, torch.float64) else plain.float()
            moved = kernel(wide.unsqueeze(-3), *args, **kwargs).squeeze(-3)
            moved = moved.to(plain.dtype) if plain.is_floating_point() else moved
            return tv_tensors.wrap(moved, like=inpt)  # pyright: ignore[reportCallIssue]

        F.register_kernel(functional, ImportanceMap)(move)
        return kernel

    return decorate


# Moves of whole pixels -----------------------------------------------------------------------------------------------


@_register(F.horizontal_flip)
def _horizontal_flip(image: Tensor) -> Tensor:
    return F.horizontal_flip(image)


@_register(F.vertical_flip)
def _vertical_flip(image: Tensor) -> Tensor:
    return F.vertical_flip(image)


@_register(F.crop)
def _crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    return F.crop(image, top, left, height, width)


@_register(F.center_crop)
def _center_crop(image: Tensor, output_size: list[int]) -> Tensor:
    return F.center_crop(image, output_size)


@_register(F.pad)
def _pad(image: Tensor, padding: list[int], **_: Any) -> Tensor:
    # Padding is never evidence, not even a mirror image of it: it would count the same evidence twice.
    return F.pad(image, padding, fill=0, padding_mode="constant")


@_register(F.erase)
def _erase(image: Tensor, i: int, j: int, h: int, w: int, inplace: bool = False, **_: Any) -> Tensor:
    return F.erase(image, i, j, h, w, torch.zeros((), dtype=image.dtype, device=image.device), inplace=inplace)


# Resizing: everything stays visible -----------------------------------------------------------------------------------


@_register(F.resize)
def _resize(image: Tensor, size: list[int] | None, max_size: int | None = None, **_: Any) -> Tensor:
    resized = F.resize(image, cast("list[int]", size), _BILINEAR, max_size, antialias=True)
    return resized if resized.shape == image.shape else _keep_sum(image, resized)


@_register(F.resized_crop)
def _resized_crop(
    image: Tensor,
    top: int,
    left: int,
    height: int,
    width: int,
    size: list[int],
    **_: Any,
) -> Tensor:
    return _resize(F.crop(image, top, left, height, width), size)


def _keep_sum(before: Tensor, after: Tensor) -> Tensor:
    """``after`` times one factor per map, so that its sum is that of ``before``: the area ratio, and what the grid
    rounded."""
    wanted, found = before.sum((-2, -1), keepdim=True), after.sum((-2, -1), keepdim=True)
    return after * torch.where(found > 0, wanted / torch.where(found > 0, found, 1), 0)


# Warps: the local area ratio of the grid ------------------------------------------------------------------------------


@_register(F.rotate)
def _rotate(
    image: Tensor,
    angle: float,
    expand: bool = False,
    center: list[float] | None = None,
    **_: Any,
) -> Tensor:
    rotated = F.rotate(image, angle, _BILINEAR, expand=expand, center=center, fill=None)
    forward = _affine_matrix(image.shape, rotated.shape, -angle, (0, 0), 1, (0, 0), center)
    return _keep_sum(image * _visible(forward, image, rotated), rotated)


@_register(F.affine)
def _affine(
    image: Tensor,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    center: list[float] | None = None,
    **_: Any,
) -> Tensor:
    shears = (shear, 0.0) if isinstance(shear, (int, float)) else (shear[0], shear[-1])
    forward = _affine_matrix(image.shape, image.shape, angle, translate, scale, shears, center)

    def warped(dx: float, dy: float) -> Tensor:
        moved = [translate[0] - dx, translate[1] - dy]  # T(u + d) is the transform that shifts by d less
        return F.affine(image, angle, moved, scale, list(shears), _BILINEAR, fill=None, center=center)

    step = float(_stretch(*forward.inverse()[:2, :2].flatten()))
    # The determinant is the same everywhere: keeping the sum of what is visible is the factor 1/scale².
    return _keep_sum(image * _visible(forward, image, image), _supersampled(warped, step))


@_register(F.perspective)
def _perspective(
    image: Tensor,
    startpoints: list[list[int]] | None,
    endpoints: list[list[int]] | None,
    coefficients: list[float] | None = None,
    **_: Any,
) -> Tensor:
    if coefficients is None:
        coefficients = _homography(cast("list[list[int]]", startpoints), cast("list[list[int]]", endpoints))
    backward = torch.tensor([*coefficients, 1.0], dtype=torch.float64).view(3, 3)

    def warped(dx: float, dy: float) -> Tensor:
        shifted = backward @ _translation(dx, dy)
        eight = (shifted / shifted[2, 2]).flatten()[:8].tolist()
        return F.perspective(image, None, None, _BILINEAR, fill=None, coefficients=eight)

    u, v, steps, area = _project(backward, image.shape)
    height, width = image.shape[-2:]
    seen = steps.expand_as(u)[(u > 0) & (u < width) & (v > 0) & (v < height)]
    moved = _supersampled(warped, float(seen.max()) if seen.numel() else 1.0) * area.to(image)
    return _keep_sum(image * _visible(backward.inverse(), image, image), moved)


@_register(F.elastic)
def _elastic(image: Tensor, displacement: Tensor, **_: Any) -> Tensor:
    height, width = image.shape[-2:]
    half = torch.tensor([width / 2, height / 2]).to(image)  # torchvision counts in halves of a side, x first
    displacement = displacement.to(image)
    along_x, along_y = _slope(displacement * half, 2), _slope(displacement * half, 1)
    a, c = along_x[..., 0] + 1, along_x[..., 1]
    b, d = along_y[..., 0], along_y[..., 1] + 1

    def warped(dx: float, dy: float) -> Tensor:
        within = torch.stack([a * dx + b * dy, c * dx + d * dy], -1) / half  # T(u + d) - T(u), to first order
        return F.elastic(image, displacement + within, _BILINEAR, fill=None)

    steps = _stretch(a, b, c, d)
    return _supersampled(warped, float(steps.max()) if steps.numel() else 1.0) * (a * d - b * c).abs()


def _supersampled(warped: Callable[[float, float], Tensor], step: float) -> Tensor:
    """Mean of the warp over k² places within each output pixel, so that a warp which steps over ``step`` input pixels
    at once steps over no evidence. k = 1 where nothing shrinks by more than a fifth: the very grid of the image."""
    k = min(max(math.ceil(step / 1.25), 1), MAX_SUPERSAMPLING)
    places = [(i + 0.5) / k - 0.5 for i in range(k)]
    total = warped(places[0], places[0])
    for index in range(1, k * k):
        total = total + warped(places[index % k], places[index // k])
    return total / (k * k)


# Projective maps: 3×3 matrices, float64, on the CPU; (x, y) in pixels from the corner, pixel centres at 1/2 -----------


def _affine_matrix(
    shape: Sequence[int],
    out_shape: Sequence[int],
    angle: float,
    translate: Sequence[float],
    scale: float,
    shears: Sequence[float],
    center: Sequence[float] | None,
) -> Tensor:
    """Where an input pixel goes: R(angle) · scale · Y(shear y) · X(shear x) about the centre, then the translation."""
    (height, width), (out_height, out_width) = shape[-2:], out_shape[-2:]
    cx, cy = (width / 2, height / 2) if center is None else center
    rad, (tan_x, tan_y) = math.radians(angle), (math.tan(math.radians(s)) for s in shears)
    turn = torch.tensor(
        [[math.cos(rad), -math.sin(rad), 0], [math.sin(rad), math.cos(rad), 0], [0, 0, 1]], dtype=torch.float64
    )
    shear_y = torch.tensor([[1, 0, 0], [-tan_y, 1, 0], [0, 0, 1]], dtype=torch.float64)
    shear_x = torch.tensor([[1, -tan_x, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    zoom = torch.diag(torch.tensor([scale, scale, 1], dtype=torch.float64))
    # An expanded canvas grows about its middle.
    back = _translation(cx + translate[0] + (out_width - width) / 2, cy + translate[1] + (out_height - height) / 2)
    return back @ turn @ zoom @ shear_y @ shear_x @ _translation(-cx, -cy)


def _translation(dx: float, dy: float) -> Tensor:
    return torch.tensor([[1, 0, dx], [0, 1, dy], [0, 0, 1]], dtype=torch.float64)


def _homography(startpoints: list[list[int]], endpoints: list[list[int]]) -> list[float]:
    """The eight coefficients of T with T(endpoints) = startpoints, as torchvision's `perspective` wants them."""
    rows, values = [], []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    matrix = torch.tensor(rows, dtype=torch.float64)
    return torch.linalg.solve(matrix, torch.tensor(values, dtype=torch.float64)).tolist()


def _project(matrix: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of every pixel centre of a picture: where the matrix sends it (u, v), the longest step it takes there when the
    picture takes one (the largest singular value of the Jacobian), and the Jacobian's |determinant|. All (H, W); the
    last two () where they are the same everywhere."""
    x = torch.arange(shape[-1], dtype=torch.float64) + 0.5
    y = torch.arange(shape[-2], dtype=torch.float64)[:, None] + 0.5
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    if g == h == 0:
        area = matrix[:2, :2].det().abs() / i**2
        return (a * x + (b * y + c)) / i, (d * x + (e * y + f)) / i, _stretch(*(matrix[:2, :2] / i).flatten()), area
    below = g * x + h * y + i
    below = torch.where(below.abs() < 1e-9, 1e-9, below)  # on the horizon: sent so far away that nothing shows it
    u, v = (a * x + b * y + c) / below, (d * x + e * y + f) / below
    steps = _stretch((a - g * u) / below, (b - h * u) / below, (d - g * v) / below, (e - h * v) / below)
    return u, v, steps, (matrix.det() / below**3).abs()


def _stretch(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Largest singular value of [[a, b], [c, d]]."""
    squares, det = a**2 + b**2 + c**2 + d**2, a * d - b * c
    return ((squares + (squares**2 - 4 * det**2).clamp_min(0).sqrt()) / 2).sqrt()


def _visible(forward: Tensor, image: Tensor, moved: Tensor) -> Tensor:
    """(H, W): how much of each input pixel lands on the canvas of ``moved``: one inside, zero outside, and a ramp as
    wide as the pixel has become across the border (what bilinear interpolation shows of a pixel beyond the edge)."""
    u, v, _, area = _project(forward, image.shape)
    side = area.sqrt()
    height, width = moved.shape[-2:]
    across, down = (
        ((length - place) / side + 0.5).clamp(0, 1) - (-place / side + 0.5).clamp(0, 1)
        for place, length in ((u, width), (v, height))
    )
    return (across * down).to(image)


def _slope(values: Tensor, dim: int) -> Tensor:
    """Central differences along ``dim``, one-sided at the ends; zero along a side of one pixel."""
    return torch.gradient(values, dim=dim)[0] if values.shape[dim] > 1 else torch.zeros_like(values)
