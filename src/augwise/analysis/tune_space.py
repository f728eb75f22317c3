"""What a search may try: ranges and choices in the places of a method's options. Imports no torch, draws nothing.

A *template* is the method's options with a `Between` or a `OneOf` wherever something is searched, alone or inside a
pair: ``{"share": Between(0.1, 0.5), "lengths": (Between(0.06, 0.16), 0.5)}``. Its *parameters* are those places by
name (``share``, ``lengths[0]``), a *setting* is one value for each.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..catalogue import Entry
from ..errors import UserError

Setting = dict[str, Any]
_DIGITS = 3  # of a number that is tried: more would only be longer to type


@dataclass(frozen=True)
class Between:
    """Every number from ``low`` to ``high``, both included; whole ones alone where both bounds are ints.

    log: look at orders of magnitude alike, such as at 0.01 to 0.1 as much as at 0.1 to 1.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (self.low, self.high))
        if not numbers or not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise UserError(f"{self.low} to {self.high} is no range: give a number, then a larger one")
        if self.log and not self.low > 0:
            raise UserError(f"a logarithmic range begins above 0, not at {self.low}")

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Any) -> bool:
        """Whether ``value`` can be tried."""
        number = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high

    def short(self, value: float) -> float:
        """The number with as few digits as matter, inside the range."""
        return value if self.whole else min(max(float(f"{value:.{_DIGITS}g}"), float(self.low)), float(self.high))

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}" + (" by order of magnitude" if self.log else "")


@dataclass(frozen=True)
class OneOf:
    """One of some values, in no order: words, booleans, numbers that are no range, None."""

    choices: tuple[str | int | float | bool | None, ...]

    def __post_init__(self) -> None:
        if len(self.choices) < 2 or len(set(self.choices)) < len(self.choices):
            raise UserError(f"{self.choices} leaves nothing to choose: give two different values or more")

    def holds(self, value: Any) -> bool:
        """Whether ``value`` can be tried."""
        return value in self.choices

    def short(self, value: Any) -> Any:
        """The value itself."""
        return value

    def __str__(self) -> str:
        return ", ".join(map(str, self.choices))


Range = Between | OneOf
Template = Mapping[str, Any]

# What is searched where nobody says. Lengths are shares of the image's side, so they fit images of any size.
BUILT_IN: dict[str, Template] = {
    # Yang et al. (2023), section 5.4: l_min from 2 to 5 of 32 pixels, l_max up to 65 % of the side, p up to 50 %; both
    # published settings (CIFAR-10: 2 to 15, 0.2 to 0.4, 0.1; CIFAR-100: 5 to 20, 0.06 to 0.5, 0.2) lie inside.
    "advmask": {
        "lengths": (Between(2 / 32, 5 / 32), Between(5 / 32, 0.65)),
        "share": Between(0.1, 0.5),
        "least": Between(0.1, 1.0),
        "overlap": Between(0.0, 0.3),
    },
}


def built_in(name: str) -> dict[str, str]:
    """What is searched of each option of a method where nobody says, in words."""
    template = BUILT_IN.get(name, {})
    return {option: " and ".join(map(str, parameters({option: template[option]}).values())) for option in template}


def template_of(entry: Entry, options: Template) -> dict[str, Any]:
    """``options`` completed to what a search of the method needs: without a range among them, the built-in ones.

    A value that is given stays fixed; ranges that are given are all that is searched. `UserError` for options that the
    method does not have, and where there is nothing to search.
    """
    known = inspect.signature(entry.load()).parameters
    for name in options:
        if name not in known:
            raise UserError(f"{entry.name} has no option {name!r}: it takes {', '.join(known)}")
    if parameters(options):
        return dict(options)
    found = {**BUILT_IN.get(entry.name, {}), **options}
    if not parameters(found):
        named = entry.strength or next(iter(known), None)
        if named is None:
            raise UserError(f"{entry.name} has no options, so there is nothing to tune: choose another --method")
        flag = f"--{named.replace('_', '-')}"
        why = "all of its ranges are fixed" if entry.name in BUILT_IN else f"{entry.name} has no ranges built in"
        raise UserError(f"there is nothing to tune, {why}: give two values to search between, such as {flag} LOW HIGH")
    return found


def from_values(entry: Entry, given: Mapping[str, tuple[Any, ...]], width: Mapping[str, int]) -> dict[str, Any]:
    """A template from the values of a command line: as many as the option takes fix it, twice as many numbers are
    ranges from the first to the second of every two, several words are choices.

    width: how many values an option takes, 1 where it is not named; 0: one that cannot be searched.
    """
    found: dict[str, Any] = {}
    for name, values in given.items():
        count = width.get(name, 1)
        flag = f"--{name.replace('_', '-')}"
        if len(values) == max(count, 1):
            found[name] = tuple(values) if count > 1 else values[0]
        elif all(isinstance(v, str) for v in values):
            found[name] = OneOf(tuple(values))
        elif len(values) == 2 * count:
            pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
            ranges = tuple(low if low == high else _between(flag, low, high) for low, high in pairs)
            found[name] = ranges[0] if count == 1 else ranges
        else:
            raise UserError(
                f"{flag} {' '.join(map(str, values))}: {entry.name} takes {_counted(count)} for {name}, to keep "
                f"as given, or {2 * count} to search between: the least and the greatest of each"
            )
    return found


def _between(flag: str, low: float, high: float) -> Between:
    said = f"{flag} {low} {high}"
    if isinstance(low, int) != isinstance(high, int):
        whole, share = (low, high) if isinstance(low, int) else (high, low)
        if share < 1 <= whole and whole > 1:
            raise UserError(f"{said}: {whole} is in pixels, {share} a share of the side; give both alike")
        low, high = float(low), float(high)
    try:
        return Between(low, high)
    except UserError as error:
        raise UserError(f"{said}: {error}") from None


def _counted(count: int) -> str:
    return "one value" if count == 1 else f"{count} values"


def parameters(template: Template) -> dict[str, Range]:
    """What is searched, by name, in the order of the template."""
    return dict(_places(template))


def settled(template: Template, setting: Setting) -> dict[str, Any]:
    """The method's options under a setting."""
    return {
        name: tuple(_settle(v, f"{name}[{i}]", setting) for i, v in enumerate(value))
        if isinstance(value, tuple | list)
        else _settle(value, name, setting)
        for name, value in template.items()
    }


def default_options(entry: Entry, template: Template) -> dict[str, Any]:
    """The method's own setting: what the template fixes, and of everything else what the method does by itself.

    Where it does nothing by itself (a Cutout without a length), the strength that comparisons use.
    """
    fixed = {name: value for name, value in template.items() if not parameters({name: value})}
    try:
        entry.load()(**fixed)
    except (UserError, TypeError):
        if entry.usual is not None and entry.strength not in fixed:
            return fixed | {entry.strength: int(entry.usual) if float(entry.usual).is_integer() else entry.usual}
    return fixed


def default_setting(entry: Entry, template: Template) -> Setting:
    """The values that `default_options` has in the places that are searched, of those that are known."""
    known, options = inspect.signature(entry.load()).parameters, default_options(entry, template)
    own = {name: options.get(name, known[name].default) for name in template}
    found = {}
    for name, value in own.items():
        if isinstance(value, tuple | list):
            found |= {f"{name}[{i}]": v for i, v in enumerate(value)}
        elif value is not inspect.Parameter.empty:
            found[name] = value
    return {name: found[name] for name in parameters(template) if found.get(name) is not None}


def within(template: Template, setting: Setting) -> bool:
    """Whether a setting has a value in every range of the template."""
    ranges = parameters(template)
    return ranges.keys() == setting.keys() and all(r.holds(setting[name]) for name, r in ranges.items())


def _places(template: Template) -> Iterator[tuple[str, Range]]:
    for name, value in template.items():
        inner = enumerate(value) if isinstance(value, tuple | list) else ()
        for place, part in [(name, value), *((f"{name}[{i}]", v) for i, v in inner)]:
            if isinstance(part, Between | OneOf):
                yield place, part


def _settle(value: Any, place: str, setting: Setting) -> Any:
    return setting[place] if isinstance(value, Between | OneOf) else value
