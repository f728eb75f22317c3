"""A page for every verb of the command line, from the configuration object that its ``--help`` shows too."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from typing import Any, NamedTuple

import tyro

from augwise import cli

from .docstrings import escaped, field_lines


class Flag(NamedTuple):
    """One flag: as typed, what it takes, its default (None: required), and its line of help."""

    name: str
    takes: str
    default: str | None
    text: str


POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
"""What a field is marked with that needs no flag before it."""


class _Found(Exception):
    """Ends a verb as soon as it has said which configuration it reads."""


def configurations(verb: str) -> dict[str, type]:
    """The dataclass that ``augwise VERB`` reads, under ""; of a verb with several words after it, one for each word."""
    found: list[Any] = []

    def stop(config: Any, verb: str, arguments: list[str]) -> Any:  # noqa: ARG001
        found.append(config)
        raise _Found

    parse, cli._parse = cli._parse, stop
    try:
        cli.VERBS[verb].run([])
    except _Found:
        pass
    finally:
        cli._parse = parse
    members = typing.get_args(found[0]) if typing.get_origin(found[0]) in _UNIONS else ()
    parts = [_opened(member) for member in members]
    return {extra[0].name: config for config, extra in parts} or {"": found[0]}


def flags(config: type, made: Any = None) -> list[Flag]:
    """The flags of a configuration, those of the configurations inside it too, as the command line flattens them.

    made: the configuration whose values are the defaults, where the one around it has other ones than the type.
    """
    hints, lines, result = typing.get_type_hints(config, include_extras=True), _lines(config), []
    for field in dataclasses.fields(config):
        hint, extra = _opened(hints[field.name])
        if dataclasses.is_dataclass(hint):
            result += flags(hint, _made(field, made))  # pyright: ignore
            continue
        said = next((e for e in extra if getattr(e, "help", None) or getattr(e, "name", None)), None)
        name = getattr(said, "name", None) or field.name
        text = getattr(said, "help", None) or lines.get(field.name, "")
        dashed = name.replace("_", "-")
        shown = dashed.upper() if POSITIONAL in extra else f"--{dashed}"
        result.append(Flag(shown, "" if POSITIONAL in extra else _takes(hint), _default(field, made), text))
    return sorted(result, key=lambda flag: flag.name != "--method")


_UNIONS = (typing.Union, types.UnionType)


def _lines(config: type) -> dict[str, str]:
    try:
        return field_lines(config)
    except (OSError, TypeError):  # made on the fly, no source
        return {}


def _opened(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is typing.Annotated:
        inner, *extra = typing.get_args(hint)
        return inner, tuple(extra)
    return hint, ()


def _takes(hint: Any) -> str:
    """What stands behind a flag, in words of the help."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool or (typing.get_origin(hint) in _UNIONS and bool in typing.get_args(hint)):
        return ""
    if origin is typing.Literal:
        return "{" + ",".join(map(str, inner)) + "}"
    if origin in _UNIONS:
        return "|".join(_takes(i) for i in inner if i is not type(None))
    if origin in (tuple, list):
        return f"{_takes(inner[0])} ..."
    return {"str": "TEXT", "Path": "PATH"}.get(
        getattr(hint, "__name__", ""), getattr(hint, "__name__", str(hint)).upper()
    )


def _made(field: dataclasses.Field, around: Any) -> Any:
    """The configuration that stands in a field by default."""
    if around is not None:
        return getattr(around, field.name)
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


def _default(field: dataclasses.Field, made: Any = None) -> str | None:
    if made is not None:
        value = getattr(made, field.name)
        return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    if field.default_factory is not dataclasses.MISSING:
        return str(field.default_factory())
    if field.default is dataclasses.MISSING:
        return None
    value = field.default
    if isinstance(value, tuple | list):
        return " ".join(map(str, value))
    return str(value)


def pages() -> dict[str, str]:
    """``cli/VERB.md`` for every verb, and their index."""
    result, index = {}, ["# Command line", ""]
    index += [
        "`augwise VERB --help` says what stands here. Every verb is a Python function of the same settings too.",
        "",
    ]
    index += ["| verb | what it does |", "|---|---|"]
    for name, verb in cli.VERBS.items():
        index.append(f"| [`augwise {name}`]({name}.md) | {escaped(verb.summary)} |")
        result[f"cli/{name}.md"] = _page(name, verb)
    index += ["", "```{toctree}", ":hidden:", "", *cli.VERBS, "```", ""]
    return {**result, "cli/index.md": "\n".join(index)}


def _page(name: str, verb: Any) -> str:
    parts = [f"# augwise {name}", "", escaped(verb.summary[0].upper() + verb.summary[1:] + "."), ""]
    if verb.resumable:
        parts += ["Can be stopped with Ctrl-C at any time and goes on with the same command.", ""]
    for word, config in configurations(name).items():
        parts += _options(word and f"augwise {name} {word}", config)
    return "\n".join(parts)


def _options(title: str, config: type) -> list[str]:
    listed, parts = flags(config), [f"## {title or 'Options'}", ""]
    doc = inspect.getdoc(config) or ""
    if title and config.__module__.startswith("augwise"):
        parts += [escaped(" ".join(doc.split())), ""]
    if any(f.name == "--method" for f in listed):
        parts += ["`--method` brings options of its own: see [the methods](../../choosing.md).", ""]
    for flag in listed:
        shown = f"{flag.name} {flag.takes}" if flag.takes else flag.name
        if not flag.takes and flag.default == "True":
            shown = f"{flag.name}, --no-{flag.name.removeprefix('--')}"
        parts += [f"`{shown}`", f": {escaped(flag.text)}{_said(flag)}", ""]
    return parts


def _said(flag: Flag) -> str:
    """What is taken where a flag is left out, if that needs saying."""
    if flag.default is None:
        return " *Required.*"
    if not flag.takes:
        return " *On by default.*" if flag.default == "True" else ""
    return "" if flag.default in ("None", "") else f" *Default:* `{flag.default}`."
