"""Laws of boxes: what lies inside changes, every other pixel keeps its bytes; slices and masks agree."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from augwise import boxes as b
from augwise import regions

BOXES = torch.tensor([[0, 0, 2, 3], [1, 2, 5, 7], [4, 6, 5, 7], [0, 0, 5, 7], [3, 1, 3, 4]])  # the last one is empty
N, HEIGHT, WIDTH = len(BOXES), 5, 7
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


def some(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    values = torch.rand(shape) if dtype.is_floating_point else torch.randint(0, 256, shape)
    return values.to(dtype)


@pytest.fixture(params=["slices", "masks"])
def way(request, monkeypatch):
    """Both ways of writing: on a CPU slices are taken, on a GPU masks; here masks on the CPU as well."""
    if request.param == "masks":
        monkeypatch.setattr(b, "_slices", lambda *_: False)


def test_regions_offers_them_too():
    assert regions.fill_boxes is b.fill_boxes
    assert regions.paste_boxes is b.paste_boxes
    assert regions.box_sums is b.box_sums
    assert regions.box_mask is b.box_mask


def test_mask_holds_exactly_the_pixels_of_each_box():
    mask = b.box_mask(BOXES, HEIGHT, WIDTH)
    for i, (top, left, bottom, right) in enumerate(BOXES.tolist()):
        expected = [[top <= y < bottom and left <= x < right for x in range(WIDTH)] for y in range(HEIGHT)]
        assert mask[i].tolist() == expected


@pytest.mark.parametrize("scale", [1, 30])  # the larger maps are summed slice by slice
@pytest.mark.parametrize("dtype", [*DTYPES, torch.bool])
def test_sums_equal_a_loop(scale, dtype):
    values = some(N, HEIGHT * scale, WIDTH * scale, dtype=torch.float32).mul(3).to(dtype)
    sums = b.box_sums(values, BOXES * scale)
    assert sums.dtype == torch.float64
    expected = [values[i, t:d, l:r].double().sum() for i, (t, l, d, r) in enumerate((BOXES * scale).tolist())]  # noqa: E741
    assert torch.allclose(sums, torch.stack(expected), rtol=1e-14)


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("colour", ["number", "per image", "per channel"])
@pytest.mark.usefixtures("way")
def test_fill(dtype, colour, inplace):
    images = some(N, 3, HEIGHT, WIDTH, dtype=dtype)
    before = images.clone()
    if colour == "number":
        value = 7 if dtype == torch.uint8 else 0.3
        wanted = torch.tensor(value, dtype=dtype).expand(N, 3, 1, 1)
    else:
        value = wanted = some(N if colour == "per image" else 1, 3, 1, 1, dtype=dtype)
        wanted = wanted.expand(N, 3, 1, 1)
    result = b.fill_boxes(images, BOXES, value, inplace)
    assert (result.data_ptr() == images.data_ptr()) == inplace
    assert torch.equal(images, before) != inplace
    expected = before.clone()
    for i, (top, left, bottom, right) in enumerate(BOXES.tolist()):
        expected[i, :, top:bottom, left:right] = wanted[i]
    assert result.dtype == dtype
    assert torch.equal(result, expected)


@pytest.mark.usefixtures("way")
def test_colours_of_integer_images_are_rounded():
    images = torch.zeros(1, 1, 5, 7, dtype=torch.uint8)
    assert b.fill_boxes(images, BOXES[3:4], torch.tensor([[[[99.7]]]])).unique().tolist() == [100]
    assert b.fill_boxes(images, BOXES[3:4], 3.6).unique().tolist() == [4]


@pytest.mark.usefixtures("way")
def test_fill_maps_typed_tensors_and_strided_images():
    maps = tv_tensors.Mask(some(N, HEIGHT, WIDTH))
    result = b.fill_boxes(maps, BOXES, 0.0)
    assert type(result) is torch.Tensor
    assert torch.equal(result, maps.as_subclass(torch.Tensor) * ~b.box_mask(BOXES, HEIGHT, WIDTH))
    images = some(N, 3, HEIGHT, WIDTH)
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(b.fill_boxes(last, BOXES, 0.5), b.fill_boxes(images, BOXES, 0.5))
    assert not b.fill_boxes(last, BOXES, 0.5).is_contiguous()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("partner", [False, True])
@pytest.mark.usefixtures("way")
def test_paste(dtype, channels, moved, partner, inplace):
    target = some(N, *channels, HEIGHT, WIDTH, dtype=dtype)
    source = some(N, *channels, *((9, 8) if moved else (HEIGHT, WIDTH)), dtype=dtype)
    corner = torch.tensor([[7, 5], [0, 3], [8, 7], [4, 1], [2, 2]]) if moved else None
    rows = torch.tensor([3, 0, 1, 1, 2]) if partner else None
    before, kept = target.clone(), source.clone()
    result = b.paste_boxes(target, source, BOXES, corner, inplace, rows)
    expected = before.clone()
    for i, (top, left, bottom, right) in enumerate(BOXES.tolist()):
        y, x = (top, left) if corner is None else corner[i].tolist()
        row = i if rows is None else int(rows[i])
        expected[i, ..., top:bottom, left:right] = kept[row, ..., y : y + bottom - top, x : x + right - left]
    assert (result.data_ptr() == target.data_ptr()) == inplace
    assert torch.equal(result, expected)
    assert torch.equal(source, kept)
    assert inplace or torch.equal(target, before)


@pytest.mark.usefixtures("way")
def test_the_target_keeps_its_type():
    target, source = some(N, 3, HEIGHT, WIDTH, dtype=torch.bfloat16), some(N, 3, HEIGHT, WIDTH)
    result = b.paste_boxes(target, source, BOXES)
    assert torch.equal(result, b.paste_boxes(target, source.bfloat16(), BOXES))


def test_gradients_pass_through():
    images, source = some(N, 3, HEIGHT, WIDTH).requires_grad_(), some(N, 3, HEIGHT, WIDTH).requires_grad_()
    inside = b.box_mask(BOXES, HEIGHT, WIDTH)[:, None].expand(N, 3, -1, -1).float()
    (b.fill_boxes(images, BOXES, 0.5).sum() + b.paste_boxes(images, source, BOXES).sum()).backward()
    assert torch.equal(images.grad, 2 - 2 * inside)
    assert torch.equal(source.grad, inside)


@pytest.mark.parametrize("device", DEVICES)
def test_boxes_and_colours_may_lie_on_another_device(device):
    images = some(N, 3, HEIGHT, WIDTH).to(device)
    result = b.fill_boxes(images, BOXES, torch.full((N, 3, 1, 1), 0.5))
    assert result.device == images.device
    assert torch.equal(b.paste_boxes(images, result, BOXES.to(device)), result)


def test_an_empty_batch():
    none, no_boxes = torch.zeros(0, 3, 4, 5), torch.zeros(0, 4, dtype=torch.int64)
    assert b.fill_boxes(none, no_boxes, 0.5).shape == none.shape
    assert b.paste_boxes(none, none, no_boxes).shape == none.shape
    assert b.box_sums(none[:, 0], no_boxes).shape == (0,)
