"""A second set of batch-norm layers: used inside, not a byte of the first one changed, and the other way round."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import augwise as aw
from augwise.adversarial import held


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5), nn.BatchNorm1d(5)
    )


def test_inside_the_model_is_one_with_other_norms():
    model = net()
    model(torch.randn(9, 3, 8, 8) + 1)  # statistics and weights unlike the second set's
    nn.init.normal_(model[1].weight)
    auxiliary = aw.AuxiliaryBatchNorm(model, momentum=0.01)
    twin = copy.deepcopy(model)
    for norm in (twin[1], twin[5]):
        norm.reset_parameters()
        norm.momentum = 0.01
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(6, 3, 8, 8)
    with auxiliary.active():
        assert torch.equal(model(x), twin(x))
        assert torch.equal(model(x * 2), twin(x * 2))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert model[1].momentum == 0.1
    assert torch.equal(auxiliary.layers[0].running_var, twin[1].running_var)
    assert int(auxiliary.layers[1].num_batches_tracked) == 2
    inner = copy.deepcopy(auxiliary.state_dict())
    model(x)  # outside: the model's own
    assert not torch.equal(model[1].running_mean, before["1.running_mean"])
    assert all(torch.equal(value, inner[name]) for name, value in auxiliary.state_dict().items())
    assert list(model.state_dict()) == list(before)


def test_gradients_reach_the_set_that_was_used():
    model = net()
    auxiliary = aw.AuxiliaryBatchNorm(model)
    parameters = list(auxiliary.parameters())
    with auxiliary.active():
        model(torch.randn(4, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None for p in parameters)
    assert [id(p) for p in auxiliary.parameters()] == [id(p) for p in parameters]
    assert model[1].weight.grad is None
    assert model[0].weight.grad is not None


def test_the_norms_come_back_when_the_inside_fails():
    model = net()
    own = model[1].weight
    auxiliary = aw.AuxiliaryBatchNorm(model)

    def fail() -> None:
        with auxiliary.active():
            assert model[1].weight is auxiliary_weight
            raise RuntimeError

    auxiliary_weight = auxiliary.layers[0].weight
    with pytest.raises(RuntimeError):
        fail()
    assert model[1].weight is own
    assert auxiliary.layers[0].weight is auxiliary_weight


def test_lpa3_sees_the_second_set_inside():
    model = net().eval()
    model[1].running_mean.fill_(0.5)
    auxiliary = aw.AuxiliaryBatchNorm(model)
    x, y = torch.rand(8, 3, 8, 8), torch.arange(8) % 5
    attack = aw.LPA3(model, ["0"])
    own = attack(x, y, torch.Generator().manual_seed(0))
    before = copy.deepcopy(auxiliary.state_dict())
    with auxiliary.active():
        other = attack(x, y, torch.Generator().manual_seed(0))
    assert not torch.equal(own, other)
    assert all(torch.equal(value, before[name]) for name, value in auxiliary.state_dict().items())


def test_begins_with_the_present_ones_if_asked():
    model = net()
    nn.init.normal_(model[1].weight)
    now = aw.AuxiliaryBatchNorm(model, momentum=None, copy_now=True)
    assert torch.equal(now.layers[0].weight, model[1].weight)
    assert now.layers[0].momentum == 0.1
    assert bool((aw.AuxiliaryBatchNorm(model).layers[0].weight == 1).all())


def test_held_uses_the_batch_without_touching_statistics():
    model = net().eval()
    model[0].train()
    x = torch.randn(6, 3, 8, 8) * 3 + 2
    twin = copy.deepcopy(model).train()
    before = copy.deepcopy(model.state_dict())
    with held(model, "batch"):
        assert torch.equal(model(x), twin(x))
    with held(model, "fixed"):
        assert torch.equal(model(x), twin.eval().requires_grad_(False) and copy.deepcopy(model).eval()(x))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model] == [True, *[False] * 5]


def test_models_without_norms_are_refused():
    with pytest.raises(aw.UserError, match="no batch-norm layers"):
        aw.AuxiliaryBatchNorm(nn.Linear(2, 2))
    with pytest.raises(aw.UserError, match="momentum=2"):
        aw.AuxiliaryBatchNorm(net(), momentum=2)
