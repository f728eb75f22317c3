"""The low-rank encoder is SGD on a layer of its own per image, exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from augwise.importance.encoders import LowRankLinear, initial_linear, sgd_response

SGD = {"lr": 0.03, "momentum": 0.8, "weight_decay": 0.02}


def make(batch: int, steps: int, seed: int = 5, **changed) -> LowRankLinear:
    return LowRankLinear(
        torch.Size((batch, 2, 3, 4)), steps, seed=seed, dtype=torch.float64, device=torch.device("cpu"), **SGD | changed
    )


def test_fifty_steps_equal_sgd_on_an_explicit_layer_per_image():
    steps, batch = 50, 3
    encoder = make(batch, steps)
    weight, bias = initial_linear(2, 3, 4, 5, torch.float64, torch.device("cpu"))
    layers = [nn.Linear(24, 12, dtype=torch.float64) for _ in range(batch)]
    for layer in layers:
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    optimizers = [torch.optim.SGD(layer.parameters(), **SGD) for layer in layers]
    for _ in range(steps):
        delta, pull = torch.randn(batch, 2, 3, 4, dtype=torch.float64), torch.randn(batch, 12, dtype=torch.float64)
        out = encoder.forward(delta)
        # the loss is not linear in the output, so an error in the weights would grow
        through = encoder.backward(torch.cos(out + pull.view_as(out)))
        encoder.step()
        for i, (layer, optimizer) in enumerate(zip(layers, optimizers, strict=True)):
            seen = delta[i].flatten().requires_grad_()
            expected = layer(seen)
            torch.testing.assert_close(out[i].flatten(), expected.detach(), rtol=1e-11, atol=1e-12)
            optimizer.zero_grad()
            torch.sin(expected + pull[i]).sum().backward()
            torch.testing.assert_close(through[i].flatten(), seen.grad, rtol=1e-11, atol=1e-12)
            optimizer.step()
    last = torch.randn(batch, 2, 3, 4, dtype=torch.float64)
    expected = torch.stack([layer(last[i].flatten()) for i, layer in enumerate(layers)]).detach()
    torch.testing.assert_close(encoder.forward(last).flatten(1), expected, rtol=1e-11, atol=1e-12)
    moved = (layers[0].weight - weight).abs().max()
    assert moved > 0.1, "the layers hardly moved, so nothing was tested"


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_response_is_that_of_sgd_on_one_number(momentum):
    steps = 20
    decay, response = sgd_response(steps, 0.1, momentum, 0.3)
    gradients = torch.randn(steps, dtype=torch.float64)
    w = torch.full((1,), 2.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.1, momentum=momentum, weight_decay=0.3)
    for t in range(steps + 1):
        expected = decay[t] * 2 + sum(response[t - s] * gradients[s] for s in range(t))
        torch.testing.assert_close(w.detach()[0], expected)
        if t < steps:
            w.grad = gradients[t : t + 1]
            optimizer.step()


def test_first_weights_are_pytorchs_and_the_same_for_every_dtype():
    cpu = torch.device("cpu")
    weight, bias = initial_linear(3, 8, 6, 1, torch.float64, cpu)
    limit = 1 / math.sqrt(3 * 8 * 6)
    assert weight.shape == (48, 144)
    assert bias.shape == (48,)
    assert 0.99 * limit < weight.abs().max() <= limit
    assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert bias.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.2)
    assert torch.equal(initial_linear(3, 8, 6, 1, torch.float32, cpu)[0], weight.float())
    assert not torch.equal(initial_linear(3, 8, 6, 2, torch.float64, cpu)[0], weight)


def test_an_empty_batch_passes():
    encoder = make(0, 3)
    out = encoder.forward(torch.zeros(0, 2, 3, 4, dtype=torch.float64))
    assert encoder.backward(out).shape == (0, 2, 3, 4)
    encoder.step()
    assert encoder.forward(torch.zeros(0, 2, 3, 4, dtype=torch.float64)).shape == (0, 3, 4)
