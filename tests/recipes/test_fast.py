"""The fast setting: what it says it is, and that it learns."""

from __future__ import annotations

import pytest

import augwise as aw
from augwise.errors import UserError
from augwise.recipes.fast import SETTINGS, fast
from augwise.training.learn_config import LearnConfig


def test_it_is_one_setting_for_every_method_and_can_be_changed():
    for network in SETTINGS:
        config = fast("cifar10", network, seed=4)
        config.check()
        assert (config.model, config.seed, config.compile, config.loader) == (network, 4, True, "resident")
        assert config.out is None
    assert fast(epochs=3).epochs == 3


def test_it_learns_digits_on_a_processor():
    small = {"size": 16, "limit": 200, "eval_limit": 100, "epochs": 5, "warmup_epochs": 1, "batch_size": 20, "lr": 0.05}
    results = aw.train(fast("digits", compile=False, ema=0.9, **small))
    assert results["test"]["last_accuracy"] > 0.7


def test_compiled_networks_cannot_be_looked_into():
    with pytest.raises(UserError, match="compile does not go with lpa3"):
        fast(learn=LearnConfig(lpa3=True)).check()
