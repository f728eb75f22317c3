"""From a method's own signature to options of the command line: ``--method cutout --length 16 --quantile 0.6``.

The method is read first, then the rest is parsed against its own arguments, so help shows just them and options of
other methods are refused. A preset is read first, too: it gives the defaults that the other flags change. Imports no
torch by itself; loading the method may.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from .catalogue import Entry, find
from .errors import UserError


def with_method(
    config: type,
    entries: dict[str, Entry],
    default: str | None,
    arguments: list[str],
    verb: str,
    parse: Callable[[type, str, list[str]], Any],
) -> tuple[Any, Any]:
    """The verb's configuration and the object that ``--method`` and its options describe (None without a method)."""
    name, rest = _take(arguments, "--method")
    name = default if name is None else name
    entry = None if name is None else find(name, entries)
    fields: list[Any] = [_part("config", config)]
    if entry is not None:
        fields.append(_part("options", options_of(entry)))
    fields.append(("method", _choice(entries, name), dataclasses.field(default=name)))
    command = dataclasses.make_dataclass("Command", fields, kw_only=True)
    parsed = parse(command, verb, rest)
    if entry is None:
        return parsed.config, None
    options = {f.name: getattr(parsed.options, f.name) for f in dataclasses.fields(parsed.options) if f.init}
    return parsed.config, entry.load()(**options)


def with_ranges(
    config: type,
    entries: dict[str, Entry],
    default: str,
    arguments: list[str],
    verb: str,
    parse: Callable[[type, str, list[str]], Any],
    searched: Callable[[str], Mapping[str, str]],
) -> tuple[Any, str, dict[str, Any], dict[str, int]]:
    """As `with_method`, for a verb that tries several values of the method's options: each takes any number of them.

    searched: of a method, what is tried of each option where nobody says, for the help.
    Returns the configuration, the method's name, the values given of each option as tuples, and how many of them make
    one setting: 2 of a pair, 0 where there is always one alone.
    """
    name, rest = _take(arguments, "--method")
    name = default if name is None else name
    target = options_of(find(name, entries))
    said, about = _notes(target.__doc__ or ""), searched(name)
    several, width = [], {}
    for field in dataclasses.fields(target):
        hint, note = _unwrapped(get_type_hints(target, include_extras=True)[field.name])
        many, count, how = _several(hint)
        usual = "" if field.default in (dataclasses.MISSING, None) else f"Usually {_shown(field.default)}."
        tried = f"Searched where nobody says otherwise: {about[field.name]}." if field.name in about else ""
        text = " ".join(filter(None, (note or said.get(field.name), usual, how, tried)))
        several.append((field.name, Annotated[many, _help(text)], dataclasses.field(default=() if count else None)))
        width[field.name] = count
    options = dataclasses.make_dataclass(name, several)
    fields: list[Any] = [_part("config", config), _part("options", options)]
    fields.append(("method", _choice(entries, name), dataclasses.field(default=name)))
    parsed = parse(dataclasses.make_dataclass("Command", fields, kw_only=True), verb, rest)
    given = {f.name: getattr(parsed.options, f.name) for f in dataclasses.fields(parsed.options)}
    tuples = {k: v if width[k] else (v,) for k, v in given.items() if v not in (None, ())}
    return parsed.config, name, tuples, width


def _unwrapped(hint: Any) -> tuple[Any, str]:
    """A type without its annotations, and the line of help among them."""
    if get_origin(hint) is not Annotated:
        return hint, ""
    inner, *extra = get_args(hint)
    return inner, next((e.help for e in extra if getattr(e, "help", None)), "")


def _help(text: str) -> Any:
    import tyro

    return tyro.conf.arg(help=text)


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _several(hint: Any) -> tuple[Any, int, str]:
    """The type of several values of an option, how many of them make one setting, and what to say of it.

    Numbers and words can be several, pairs of numbers too; what else there is (a colour, a switch) stays single: 0.
    """
    kinds = [k for k in (get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)) if k is not type(None)]
    pairs = [get_args(k) for k in kinds if get_origin(k) is tuple and Ellipsis not in get_args(k)]
    words = [k for k in kinds if get_origin(k) is Literal]
    if all(k in (int, float) for k in kinds):
        return tuple[Union[tuple(kinds)], ...], 1, "Two values: search between them."  # noqa: UP007 - made of a list
    if len(pairs) == len(kinds) == 1:
        return tuple[Union[pairs[0]], ...], len(pairs[0]), "Twice as many: search between every two."  # noqa: UP007
    if len(words) == len(kinds) == 1:
        return tuple[words[0], ...], 1, "Several: try each."
    return hint | None, 0, ""


def with_preset(
    config: type,
    make: Callable[[str], Any],
    about: Mapping[str, str],
    arguments: list[str],
    verb: str,
    parse: Callable[[type, str, list[str]], Any],
) -> tuple[Any, str | None]:
    """The verb's configuration, whose defaults are those of ``--preset`` where one is given, and the preset's name.

    make: the configuration of a preset; about: every preset's line of help by name.
    """
    import tyro

    name, rest = _take(arguments, "--preset")
    own = dataclasses.field(default_factory=config if name is None else lambda: make(name))
    text = ";\n".join(f"{preset}: {line}" for preset, line in about.items())
    shown = (
        "give it first to see its settings as defaults"
        if name is None
        else f"its settings are the defaults here: {name}"
    )
    said = tyro.conf.arg(name="preset", help=f"A comparison that has a name:\n{text}.\n{shown[0].upper()}{shown[1:]}.")
    kind = Literal[tuple(about)]  # pyright: ignore[reportInvalidTypeForm]
    fields: list[Any] = [
        ("preset", Annotated[kind | None, said], dataclasses.field(default=name)),
        ("config", _flat(config), own),
    ]
    return parse(dataclasses.make_dataclass("Command", fields, kw_only=True), verb, rest).config, name


def _take(arguments: list[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of a flag, and the other arguments."""
    rest, name = [], None
    at = iter(arguments)
    for word in at:
        if word == flag:
            name = next(at, None)
            if name is None or name.startswith("-"):
                raise UserError(f"{flag} needs a name after it")
        elif word.startswith(f"{flag}="):
            name = word.removeprefix(f"{flag}=")
        else:
            rest.append(word)
    return name, rest


def _flat(config: type) -> Any:
    import tyro

    return Annotated[config, tyro.conf.arg(name="")]


def _choice(entries: dict[str, Entry], chosen: str | None) -> Any:
    import tyro

    text = "; ".join(f"{e.name}: {e.summary}" for e in entries.values())
    shown = "give it first to see its own options" if chosen is None else f"the options of {chosen} are listed here"
    kind = Literal[tuple(entries)]  # pyright: ignore[reportInvalidTypeForm]
    return Annotated[kind | None, tyro.conf.arg(name="method", help=f"{text}. {shown[0].upper()}{shown[1:]}.")]


def _part(name: str, config: type) -> tuple[str, Any, Any]:
    """A field that holds ``config`` without a prefix of its own, with a default where all its fields have one."""
    optional = all(
        f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
        for f in dataclasses.fields(config)
    )
    return name, _flat(config), dataclasses.field(default_factory=config) if optional else dataclasses.field()


def options_of(entry: Entry) -> type:
    """A dataclass of the method's arguments; a dataclass method serves as it is."""
    import tyro

    target: Any = entry.load()
    if isinstance(target, type) and dataclasses.is_dataclass(target):
        return target
    function = target.__init__ if isinstance(target, type) else target
    hints, notes = get_type_hints(function), _notes(target.__doc__ or "")
    fields = []
    for name, parameter in inspect.signature(target).parameters.items():
        note = tyro.conf.arg(help=notes.get(name, ""))
        default = (
            dataclasses.field()
            if parameter.default is parameter.empty
            else dataclasses.field(default=parameter.default)
        )
        fields.append((name, Annotated[_one_flag(hints[name]), note], default))
    return dataclasses.make_dataclass(entry.name, fields)


def _one_flag(hint: Any) -> Any:
    """The type without what no single flag can say, such as the `Ramp` of a probability: that is left to Python."""
    if get_origin(hint) not in (Union, UnionType):
        return hint
    kinds = [kind for kind in get_args(hint) if not dataclasses.is_dataclass(kind)]
    return Union[tuple(kinds)]  # noqa: UP007 - made of a list


def _notes(docstring: str) -> dict[str, str]:
    """What a docstring says of each argument: paragraphs that begin ``name: ...`` or ``name, other: ...``."""
    notes: dict[str, str] = {}
    entry = re.compile(r"^(\w+(?:, \w+)*): (.*(?:\n(?![ ]*\w+(?:, \w+)*: |\s*\n).+)*)", re.MULTILINE)
    for names, text in entry.findall(inspect.cleandoc(docstring)):
        for name in names.split(", "):
            notes[name] = " ".join(text.split())
    return notes
