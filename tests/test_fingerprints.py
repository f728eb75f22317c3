"""Fingerprints: the same content gives the same hash in every form, other content another one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import tv_tensors

from augwise.errors import UserError
from augwise.fingerprints import hash_bytes, hash_pixels, model_fingerprint, pixels

COLOUR = torch.arange(3 * 4 * 5, dtype=torch.uint8).reshape(3, 4, 5)
ARRAY = COLOUR.permute(1, 2, 0).numpy()


@pytest.mark.parametrize(
    "image",
    [
        COLOUR, COLOUR / 255, COLOUR.double() / 255, (COLOUR / 255).half(), tv_tensors.Image(COLOUR), ARRAY,
        np.asfortranarray(ARRAY), Image.fromarray(ARRAY), COLOUR.flip(2).flip(2),
        Image.fromarray(ARRAY).convert("RGBA"),
    ],
)  # fmt: skip
def test_every_form_of_an_image_is_the_same_pixels(image):
    assert type(pixels(image)) is torch.Tensor
    assert torch.equal(pixels(image), COLOUR)
    assert hash_pixels(pixels(image)) == hash_pixels(COLOUR)


def test_grey_images_have_one_channel():
    for image in (ARRAY[:, :, 0], Image.fromarray(ARRAY[:, :, 0])):
        assert torch.equal(pixels(image), COLOUR[:1])


def test_other_pixels_and_other_shapes_have_other_hashes():
    changed = COLOUR.clone()
    changed[2, 3, 4] ^= 1
    hashes = {hash_pixels(image) for image in (COLOUR, changed, COLOUR.reshape(3, 5, 4), COLOUR.mT, COLOUR[:, :, :4])}
    assert len(hashes) == 5
    assert all(0 <= value < 2**64 for value in hashes)
    assert hash_bytes(b"a") != hash_bytes(b"b")


@pytest.mark.parametrize(
    "image",
    [
        COLOUR / 255 * torch.nan, COLOUR / 255 + 0.8, COLOUR / 255 - 0.1, COLOUR.int(), COLOUR[0], COLOUR[None],
        ARRAY.astype(float), "cat.png", None,
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(image):
    with pytest.raises(UserError):
        pixels(image)


def build(stride=2, width=4) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 3, stride=stride), nn.BatchNorm2d(width), nn.ReLU())


def test_a_model_is_known_by_architecture_and_weights_alone():
    model = build()
    one = model_fingerprint(model)
    same = [
        build(), copy.deepcopy(model).eval(), copy.deepcopy(model).to(memory_format=torch.channels_last),
        copy.deepcopy(model).requires_grad_(False),
    ]  # fmt: skip
    assert {model_fingerprint(m) for m in same} == {one}  # pyright: ignore
    weight, buffer = build(), build()
    with torch.no_grad():
        weight[0].weight[1, 2, 0, 1] += 1e-6  # pyright: ignore
        buffer[1].running_mean[3] += 1e-6  # pyright: ignore
    activation = build()
    activation[2] = nn.GELU()
    others = [weight, buffer, activation, build(stride=1), build(width=5), build().half(), nn.Sequential(build())]
    assert len({one, *map(model_fingerprint, others)}) == 8


@pytest.mark.slow  # the compiler's import alone takes ten seconds
def test_a_compiled_model_is_the_same_model():
    model = nn.Sequential(build(), torch.compile(build()))  # pyright: ignore
    assert model_fingerprint(model) == model_fingerprint(nn.Sequential(build(), build()))
    assert model_fingerprint(torch.compile(build())) == model_fingerprint(build())  # pyright: ignore
