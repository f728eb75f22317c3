"""The wrapper through which everything outside sees pixels in [0, 1]."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from augwise.errors import UserError
from augwise.models import Normalized

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.1)


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 5, 6, dtype=torch.float64))

    def forward(self, images):
        return torch.einsum("nchw,kchw->nk", images.double().sin(), self.weight)


def test_equals_normalising_by_hand_values_and_gradient():
    model, images = Mixing(), torch.rand(2, 3, 5, 6)
    inside = images.clone().requires_grad_()
    outside = images.clone()
    for c in range(3):
        outside[:, c] = (outside[:, c] - MEAN[c]) / STD[c]
    outside.requires_grad_()
    wrapped, by_hand = Normalized(model, MEAN, STD)(inside), model(outside)
    torch.testing.assert_close(wrapped, by_hand, rtol=1e-5, atol=1e-6)
    (a,) = torch.autograd.grad(wrapped[:, 1].sum(), inside)
    (b,) = torch.autograd.grad(by_hand[:, 1].sum(), outside)
    for c in range(3):
        torch.testing.assert_close(a[:, c], b[:, c] / STD[c], rtol=1e-4, atol=1e-5)


def test_mean_and_std_are_buffers_of_the_state_dict():
    wrapped = Normalized(nn.Flatten(), MEAN, STD)
    assert {"mean", "std"} <= wrapped.state_dict().keys()
    assert not list(wrapped.parameters())
    other = Normalized(nn.Flatten(), (0.1, 0.1, 0.1), (1, 1, 1))
    other.load_state_dict(wrapped.state_dict())
    images = torch.rand(1, 3, 2, 2)
    assert torch.equal(other(images), wrapped(images))
    assert wrapped(images.bfloat16()).dtype == torch.bfloat16
    assert "0.5" in repr(wrapped)


def test_takes_the_mode_of_the_model():
    assert not Normalized(Mixing().eval(), MEAN, STD).training
    assert Normalized(Mixing(), MEAN, STD).training
    assert Normalized(Mixing().eval(), MEAN, STD).train().model.training


def test_input_is_not_modified():
    images = torch.rand(2, 3, 4, 5)
    before = images.clone()
    Normalized(nn.Identity(), MEAN, STD)(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5, 0.5), (0.2, 0.2, 0.2), "2 numbers and std 3"),
        ((), (), "one of each"),
        ((0.5,), (0.0,), "above 0"),
        ((0.5, 0.5), (0.2, -0.1), "above 0"),
        ((0.5,), (float("nan"),), "above 0"),
        ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7), "divide by 255"),
        ((float("nan"),), (1.0,), "mean"),
    ],
)
def test_wrong_numbers_are_refused(mean, std, message):
    with pytest.raises(UserError, match=message):
        Normalized(nn.Identity(), mean, std)


def test_wrong_images_are_refused():
    wrapped = Normalized(nn.Identity(), MEAN, STD)
    with pytest.raises(UserError, match="255"):
        wrapped(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(UserError, match="as many channels"):
        wrapped(torch.rand(2, 1, 4, 4))
    with pytest.raises(UserError, match="as many channels"):
        wrapped(torch.rand(3, 4, 4))
