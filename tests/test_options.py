"""A method's arguments as flags of the command line."""

import dataclasses
from typing import get_args, get_type_hints

import pytest

from augwise.analysis.audit_run import AuditConfig
from augwise.analysis.compare_plan import takes
from augwise.analysis.estimate_maps import EstimateConfig
from augwise.analysis.train_run import TrainRun
from augwise.analysis.tune_config import TuneConfig
from augwise.catalogue import estimators, find, methods
from augwise.options import options_of
from augwise.schedule import Ramp


def test_a_probability_that_rises_is_left_to_python():
    """No single flag says a `Ramp`, so none is offered; the number itself stays."""
    for name in ("cutout", "randomerasing"):
        (field,) = (f for f in dataclasses.fields(options_of(find(name, methods()))) if f.name == "p")
        kind, *_ = get_args(field.type)
        assert kind is float
        assert Ramp not in get_args(kind)


@pytest.mark.parametrize("verb", ["train", "audit", "tune", "estimate"])
def test_no_option_of_a_method_is_called_like_one_of_the_verbs_own(verb):
    """Both would be the same flag."""
    config = {"train": TrainRun, "audit": AuditConfig, "tune": TuneConfig, "estimate": EstimateConfig}[verb]
    taken = flags(config)
    assert {"data", "out"} <= taken
    for entry in (estimators() if verb == "estimate" else methods()).values():
        assert not takes(entry) & taken, entry.name


def flags(config):
    """Names of a configuration's fields, and of those of configurations in it."""
    found = set()
    for name, kind in get_type_hints(config).items():
        found |= flags(kind) if dataclasses.is_dataclass(kind) else {name}
    return found
