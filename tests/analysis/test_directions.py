"""Directions among weights: filter normalisation's law, draws by name, and weights that come back bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from augwise.analysis.directions import filter_normalised, flat, gaussian, moving, shaped
from reference.training_toys import network


def test_every_filter_of_a_direction_has_the_norm_of_the_networks_own():
    model = network()
    drawn = gaussian(model, 0, "test")
    for d, scaled, weight in zip(
        drawn, filter_normalised(drawn, list(model.parameters())), model.parameters(), strict=True
    ):
        if weight.ndim == 1:
            assert not scaled.any()
            continue
        for i in range(len(weight)):
            assert scaled[i].norm().item() == pytest.approx(weight[i].norm().item(), rel=1e-5)
            cosine = nn.functional.cosine_similarity(scaled[i].flatten(), d[i].flatten(), dim=0)
            assert cosine.item() == pytest.approx(1, abs=1e-5)


def test_a_network_whose_filters_are_scaled_has_the_same_landscape():
    """What normalisation undoes: the filters of the first layer times ten."""
    model, images = network(dropout=0.0).eval(), torch.rand(4, 3, 6, 5)
    scaled = network(dropout=0.0).eval()
    with torch.no_grad():
        scaled[0].weight *= 10  # pyright: ignore
        for name in ("running_mean", "running_var"):
            getattr(scaled[1], name).copy_(getattr(model[1], name))
        scaled[1].running_mean *= 10  # pyright: ignore
        scaled[1].running_var *= 100  # pyright: ignore
        scaled[1].eps *= 100  # pyright: ignore
    for step in (0.0, 0.3, -0.7):
        answers = []
        for each in (model, scaled):
            direction = filter_normalised(gaussian(each, 4), list(each.parameters()))
            with moving(each) as place, torch.no_grad():
                place([direction], [step])
                answers.append(each(images))
        torch.testing.assert_close(*answers, atol=1e-4, rtol=1e-4)


def test_a_filter_of_zeros_does_not_move():
    weight = torch.randn(3, 2, 2, 2)
    weight[1] = 0
    direction = torch.randn(3, 2, 2, 2)
    direction[2] = 0
    (found,) = filter_normalised([direction], [weight])
    assert not found[1].any()
    assert not found[2].any()
    assert found[0].norm().item() == pytest.approx(weight[0].norm().item())


def test_draws_depend_on_key_and_name_alone():
    one, other = network(seed=0), network(seed=9)
    assert all(torch.equal(a, b) for a, b in zip(gaussian(one, 3, "x"), gaussian(other, 3, "x"), strict=True))
    assert not torch.equal(gaussian(one, 3, "x")[0], gaussian(one, 4, "x")[0])
    torch.manual_seed(7)
    before = torch.get_rng_state()
    gaussian(one, 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_come_back_bit_for_bit():
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    a, b = gaussian(model, 1), gaussian(model, 2)
    with moving(model) as place:
        place([a, b], [0.1, -0.2])
        expected = [before[n] + 0.1 * d + -0.2 * e for (n, _), d, e in zip(model.named_parameters(), a, b, strict=True)]
        for parameter, wanted in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.detach(), wanted)
        place([a, b], [0.0, 0.0])
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
        place([a], [1e6])
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    def stopped():
        with moving(model) as place:
            place([a], [1e6])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_vector_and_its_shapes():
    weights = list(network().parameters())
    vector = torch.arange(sum(w.numel() for w in weights), dtype=torch.float32)
    parts = shaped(vector, weights)
    assert [p.shape for p in parts] == [w.shape for w in weights]
    assert torch.equal(flat(parts), vector)
