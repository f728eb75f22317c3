"""Gradient saliency against gradients one can write down."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from augwise.errors import UserError
from augwise.importance.job import arguments
from augwise.importance.saliency import GradientSaliency


class Linear(nn.Module):
    """Logits that are weighted sums of the pixels, so that dz_k/dx is the weight itself."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2, 5, 7), requires_grad=False)

    def forward(self, images):
        return torch.einsum("nchw,kchw->nk", images, self.weight)


def test_gradient_of_the_log_probability_by_hand():
    model, images, labels = Linear().eval(), torch.rand(4, 2, 5, 7), torch.tensor([2, 0, 1, 1])
    found = GradientSaliency().estimate(model, images, labels, [0] * 4)
    p = model(images).softmax(1)
    # d log p_y / dx = w_y - Σ_k p_k w_k
    expected = model.weight[labels] - torch.einsum("nk,kchw->nchw", p, model.weight)
    torch.testing.assert_close(found.importance, expected.abs().amax(1), rtol=1e-4, atol=1e-6)
    assert not found.failed.any()
    mean = GradientSaliency(reduce="mean").estimate(model, images, labels, [0] * 4).importance
    torch.testing.assert_close(mean, expected.abs().mean(1), rtol=1e-4, atol=1e-6)


def test_gradient_of_the_logit_is_the_weight():
    model, images, labels = Linear().eval(), torch.rand(2, 2, 5, 7), torch.tensor([2, 0])
    found = GradientSaliency(of="logit").estimate(model, images, labels, [0, 0])
    torch.testing.assert_close(found.importance, model.weight[labels].abs().amax(1))


def test_a_sure_model_still_gives_the_shape_of_its_gradient():
    """With p_y = 1 - 1e-26 the naive gradient is rounding noise; here it is tiny but exact."""
    model, images, labels = Linear().eval(), torch.rand(1, 2, 5, 7), torch.tensor([1])
    model.weight[1] += 60 / images.sum()
    found = GradientSaliency().estimate(model, images, labels, [0]).importance[0]
    z = model(images)[0].double()
    q = torch.stack([(z[0] - z[1]).exp(), (z[2] - z[1]).exp()])
    expected = sum(q[i] * (model.weight[1] - model.weight[k]).double() for i, k in enumerate((0, 2)))
    torch.testing.assert_close(found.double(), expected.abs().amax(0), rtol=1e-3, atol=0)


def test_batch_equals_one_at_a_time_and_runs_inside_no_grad():
    model, images, labels = Linear().eval(), torch.rand(3, 2, 5, 7), torch.tensor([2, 0, 1])
    before = images.clone()
    with torch.no_grad():
        whole = GradientSaliency().estimate(model, images, labels, [0] * 3).importance
    for i in range(3):
        one = GradientSaliency().estimate(model, images[i : i + 1], labels[i : i + 1], [0]).importance[0]
        torch.testing.assert_close(one, whole[i])
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert not whole.requires_grad


def test_wrong_arguments_are_refused():
    with pytest.raises(UserError, match="gradient"):
        GradientSaliency(of="gradient")  # pyright: ignore
    with pytest.raises(UserError, match="median"):
        GradientSaliency(reduce="median")  # pyright: ignore
    with pytest.raises(UserError, match="needs a classifier"):
        GradientSaliency().estimate(None, torch.rand(1, 1, 4, 4), torch.tensor([0]), [0])


def test_a_store_from_before_there_was_an_option_is_gone_on_with():
    assert arguments(GradientSaliency()) == {"of": "log_probability", "reduce": "max", "grid": None}
    assert arguments(GradientSaliency(normalize="minmax"))["normalize"] == "minmax"
