"""A method's arguments as flags of the command line."""

import dataclasses
from typing import get_args

from augwise.catalogue import find, methods
from augwise.options import options_of
from augwise.schedule import Ramp


def test_a_probability_that_rises_is_left_to_python():
    """No single flag says a `Ramp`, so none is offered; the number itself stays."""
    for name in ("cutout", "randomerasing"):
        (field,) = (f for f in dataclasses.fields(options_of(find(name, methods()))) if f.name == "p")
        kind, *_ = get_args(field.type)
        assert kind is float
        assert Ramp not in get_args(kind)
