"""From a function that makes a whole-image transform to a factory of `Preserve` around it.

The command line and comparisons offer every whole-image method so: its own arguments first, then those of the guard,
which are the same for all. In Python any transform goes into `Preserve` directly.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from .preserve import Preserve

_GUARD = ("length", "quantile", "window", "reduce", "threshold", "regions", "shape", "follow")
_DEFAULT_LENGTH = 8
_NOTES = """
length: side of the region that the guard restores, pixels or share of the shorter side.
quantile: share of an image's regions that count as unimportant; without it (and a threshold) the plain method.
window: regions clipped at the border, or inside the image.
reduce: score of a region by "sum", by "mean" or by its largest value, "max".
threshold: in place of quantile, the same bound on the score for every image, in units of the map.
regions: how many regions are restored.
shape: of what is restored: rectangle, points (all important pixels), or superpixel (a patch of like colours).
follow: restore the region of the image at its original place, or that of the map where the method moved it."""


def preserved(make: Callable[..., Any]) -> Callable[..., Preserve]:
    """``Preserve(make(...), ...)`` as one function: plain without a quantile, guarded with one (IPF-RDA, Alg. 2 (b)).

    Its signature and its docstring are those of ``make`` followed by the arguments of the guard.
    """
    own, around = inspect.signature(make), inspect.signature(Preserve)
    guard = [
        around.parameters[name].replace(default=_DEFAULT_LENGTH) if name == "length" else around.parameters[name]
        for name in _GUARD
    ]
    signature = own.replace(parameters=[*own.parameters.values(), *guard], return_annotation=Preserve)

    @functools.wraps(make)
    def factory(*args: Any, **kwargs: Any) -> Preserve:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        options = {name: given.arguments.pop(name) for name in _GUARD}
        return Preserve(make(**given.arguments), **options)

    hints = {**get_type_hints(make), **{name: get_type_hints(Preserve.__init__)[name] for name in _GUARD}}
    factory.__annotations__ = hints | {"return": Preserve}
    factory.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
    about = inspect.cleandoc(make.__doc__ or "")
    factory.__doc__ = about + ("" if "\n" in about else "\n") + _NOTES
    return factory
