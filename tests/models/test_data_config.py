"""What published weights want, against what the libraries themselves make of an image."""

from __future__ import annotations

import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms.v2 import functional as vision

from augwise import UserError
from augwise.data import ArraySource, Resized
from augwise.models import DataConfig, data_config


@pytest.fixture
def photograph() -> Image.Image:
    ramp = torch.linspace(0, 255, 500)[None, :] * torch.linspace(0.2, 1, 380)[:, None]
    return vision.to_pil_image(torch.stack([ramp, 255 - ramp, ramp / 2]).to(torch.uint8))


def ours(found: DataConfig, photograph: Image.Image) -> torch.Tensor:
    """Image 0 as our evaluation sees it, normalised."""
    source = ArraySource(vision.pil_to_tensor(photograph)[None], torch.zeros(1, dtype=torch.int64).numpy(), ["a"], "x")
    view = Resized(source, found.size, found.crop_share, found.interpolation)[0][0]
    mean, std = (torch.tensor(v)[:, None, None] for v in (found.mean, found.std))
    return (view / 255 - mean) / std


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0", "inception_v3", "convnext_tiny"])
def test_torchvisions_weights(name, photograph):
    found = data_config(f"torchvision:{name}")
    assert found is not None
    theirs = torchvision.models.get_model_weights(name).DEFAULT.transforms()(photograph)
    seen = ours(found, photograph)
    assert seen.shape == theirs.shape
    assert (seen - theirs).abs().max() < 3 / 255 / 0.22  # rounding, and a side that is off by a pixel at most


@pytest.mark.parametrize("name", ["resnet50", "test_vit", "resnet10t", "vit_base_patch16_clip_224.openai"])
def test_timms_weights(name, photograph):
    timm = pytest.importorskip("timm")
    found = data_config(f"timm:{name}")
    assert found is not None
    published = timm.get_pretrained_cfg(name)
    assert (found.mean, found.std) == (published.mean, published.std)
    assert (found.crop_share, found.interpolation) == (published.crop_pct, published.interpolation)
    theirs = timm.data.create_transform(
        (3, found.size, found.size),
        interpolation=published.interpolation,
        mean=published.mean,
        std=published.std,
        crop_pct=published.crop_pct,
    )(photograph)
    seen = ours(found, photograph)
    assert seen.shape == theirs.shape
    assert (seen - theirs).abs().max() < 3 / 255 / 0.22


def test_models_without_published_weights_and_unknown_ones():
    assert data_config("small_cnn") is None
    with pytest.raises(UserError, match="nonsense"):
        data_config("torchvision:nonsense")
    with pytest.raises(UserError, match="nonsense"):
        data_config("timm:nonsense")
