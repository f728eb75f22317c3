"""The low-rank encoder is SGD on a layer of its own per image, exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from augwise.importance.encoders import LowRankLinear, initial_linear, sgd_response
from augwise.importance.history import quantum

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


def drive(encoder: LowRankLinear, inputs: Tensor) -> list[Tensor]:
    """Outputs and gradients of one step after the other; inputs: (steps, B, 2, 3, 4)."""
    seen = []
    for delta in inputs:
        out = encoder.forward(delta)
        seen += [out, encoder.backward(torch.cos(3 * out))]
        encoder.step()
    return seen


def test_networks_that_begin_anew_in_a_ring_equal_fresh_ones():
    # 7 steps per image; rows begin anew after 3, 7, 10 and 19 steps of the batch, so the ring turns twice
    steps, inputs = 7, torch.randn(21, 3, 2, 3, 4, dtype=torch.float64)
    encoder, begun = make(3, steps), [0, 0, 0]
    outputs: list[tuple[int, int, int, Tensor]] = []
    for now in range(21):
        anew = [row for row in range(3) if now in ((3, 10), (7, 14, 19), (7, 14))[row]]
        if anew:
            encoder.restart(torch.tensor(anew))
            for row in anew:
                begun[row] = now
        out, through = drive(encoder, inputs[now : now + 1])
        for row in range(3):
            if now - begun[row] < steps:
                outputs.append((now, row, begun[row], torch.cat([out[row].flatten(), through[row].flatten()])))
    assert len(outputs) > 55
    for now, row, begin, found in outputs:
        out, through = drive(make(1, steps), inputs[begin : now + 1, row : row + 1])[-2:]
        torch.testing.assert_close(found, torch.cat([out.flatten(), through.flatten()]), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("history", ["full", "compact"])
def test_rows_that_are_kept_go_on_as_they_were(history):
    inputs = torch.rand(9, 5, 2, 3, 4, dtype=torch.float64) / 2
    whole, some = (make(5, 6, history=history, limit=0.5) for _ in range(2))
    drive(whole, inputs[:4])
    drive(some, inputs[:4])
    rows = torch.tensor([3, 0, 4])
    some.keep(rows)
    for mine, all_of_them in zip(drive(some, inputs[4:6, rows]), drive(whole, inputs[4:6]), strict=True):
        torch.testing.assert_close(mine, all_of_them[rows], rtol=1e-12, atol=1e-13)
    pull = torch.tensor([0.0, torch.nan, 0.0], dtype=torch.float64)[:, None, None]
    some.backward(some.forward(inputs[5, rows] + pull[:, None]) + pull)  # what a broken model leaves of one image
    some.step()
    some.restart(torch.tensor([1]))
    fresh = drive(make(1, 6, history=history, limit=0.5), inputs[6:9, :1])
    for mine, alone in zip(drive(some, inputs[6:9, rows]), fresh, strict=True):
        torch.testing.assert_close(mine[1], alone[0], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("on_grid", "bound"), [(True, 1e-3), (False, 1e-2)])
def test_a_compact_history_is_off_by_no_more_than_it_says(on_grid, bound):
    limit = 8 / 255
    inputs = (torch.rand(60, 4, 2, 3, 4, dtype=torch.float64) * 2 - 1) * limit
    inputs = (inputs * 255).round() / 255 if on_grid else inputs
    sgd = {"lr": 0.3, "momentum": 0.9, "weight_decay": 5e-4}
    full, compact = (make(4, 60, history=kind, limit=limit, **sgd) for kind in ("full", "compact"))
    assert compact.history.deltas.dtype == torch.int8
    off = 0.0
    for delta in inputs:
        grad = torch.randn(4, 3, 4, dtype=torch.float64) * 1e-6
        pairs = []
        for encoder in (full, compact):
            pairs.append((encoder.forward(delta), encoder.backward(grad)))
            encoder.step()
        for exact, rounded in zip(*pairs, strict=True):
            off = max(off, ((exact - rounded).abs().max() / exact.abs().max()).item())
    assert 0 < off < bound


def test_the_unit_of_a_compact_history_divides_a_grey_level():
    for limit in (2 / 255, 8 / 255, 16 / 255, 127 / 255):
        levels = 1 / (255 * quantum(limit))
        assert levels == pytest.approx(round(levels))
        assert 63 < limit / quantum(limit) < 127.001
    assert quantum(0.9) == 0.9 / 127


def test_bytes_per_image_are_those_that_are_taken():
    for history in ("full", "compact"):
        kept = make(3, 11, history=history).history
        taken = sum(v.untyped_storage().nbytes() for v in vars(kept).values() if isinstance(v, Tensor))
        assert LowRankLinear.bytes_per_image(2, 3, 4, 11, history, torch.float64) == taken / 3
