"""Schedules and the moving average against closed forms; optimisers' settings."""

import math

import pytest
import torch

from augwise.errors import UserError
from augwise.training import optimizers
from augwise.training.optimizers import Average, Schedule
from reference.training_toys import network


def test_cosine_with_warm_up():
    s = Schedule(epochs=10, warmup_epochs=2)
    rates = [s.factor(e, i, 5) for e in range(10) for i in range(5)]
    assert rates[0] == pytest.approx(1 / 10)
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10:] == pytest.approx([(1 + math.cos(math.pi * i / 40)) / 2 for i in range(40)])
    assert rates[10] == 1
    assert 0 < rates[-1] < 0.01


def test_warm_up_of_part_of_an_epoch():
    rates = [Schedule(epochs=1, warmup_epochs=0.5).factor(0, i, 4) for i in range(4)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.5])


def test_steps():
    s = Schedule(epochs=9, kind="steps", milestones=(3, 7), gamma=0.2)
    rates = [s.factor(e, i, 2) for e in range(9) for i in range(2)]
    assert rates == pytest.approx([1] * 6 + [0.2] * 8 + [0.04] * 4)


def test_the_rate_depends_on_the_share_of_the_epoch_not_on_its_length():
    s = Schedule(epochs=4, warmup_epochs=0)
    assert s.factor(2, 3, 6) == pytest.approx(s.factor(2, 50, 100))


def test_average_of_buffers_and_counters():
    model = network()
    average = Average(model, 0.25)
    model[1].running_mean.fill_(8.0)
    model[1].num_batches_tracked.fill_(7)
    average.update(model)  # d = min(0.25, 1/10)
    assert average.model[1].running_mean[0] == pytest.approx(0.9 * 8)
    average.update(model)  # d = min(0.25, 2/11)
    assert average.model[1].running_mean[0] == pytest.approx(2 / 11 * 7.2 + 9 / 11 * 8)
    assert average.model[1].num_batches_tracked == 7
    assert not average.model.training
    assert model.training
    assert not any(p.requires_grad for p in average.model.parameters())


def test_optimizers_by_name():
    parameters = list(network().parameters())
    sgd = optimizers.build("sgd", parameters)
    assert isinstance(sgd, torch.optim.SGD)
    group = sgd.param_groups[0]
    assert (group["lr"], group["momentum"], group["weight_decay"], group["nesterov"]) == (0.1, 0.9, 5e-4, True)
    assert optimizers.build("sgd", parameters, momentum=0).param_groups[0]["nesterov"] is False
    adamw = optimizers.build("adamw", parameters, weight_decay=0.0)
    assert isinstance(adamw, torch.optim.AdamW)
    assert (adamw.param_groups[0]["lr"], adamw.param_groups[0]["weight_decay"]) == (1e-3, 0.0)
    with pytest.raises(UserError, match="'lion' is unknown: use one of sgd, adamw"):
        optimizers.build("lion", parameters)
