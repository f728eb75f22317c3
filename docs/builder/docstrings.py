"""The library's docstrings as Markdown. They have few rules: paragraphs, ``name: what it is`` for every argument,
indented formulas, bullet lists, backquotes around code.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from typing import Any, NamedTuple

EMPTY = inspect.Parameter.empty


class Argument(NamedTuple):
    """One argument or field: its type as written, its default as code (None: required), and what is said of it."""

    name: str
    type: str
    default: str | None
    text: str


def arguments(target: Any) -> list[Argument]:
    """The arguments of a class or function, with what its docstring, or the line under a dataclass field, says."""
    said = field_lines(target) if dataclasses.is_dataclass(target) else {}
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = {p.name for p in parameters}
    said = entries(inspect.getdoc(target) or "", names) | said
    return [
        Argument(p.name, _type(p.annotation), _default(target, p), said.get(p.name, ""))
        for p in parameters
        if p.name not in ("self", "args", "kwargs", "_")
    ]


def _type(annotation: Any) -> str:
    annotation = getattr(annotation, "__forward_arg__", annotation)
    text = (
        annotation
        if isinstance(annotation, str)
        else ""
        if annotation is EMPTY
        else inspect.formatannotation(annotation)
    )
    return text.replace("collections.abc.", "").replace("typing.", "").replace("pathlib.", "")


def _default(target: Any, parameter: inspect.Parameter) -> str | None:
    if parameter.default is EMPTY:
        return None
    if dataclasses.is_dataclass(target):
        field = next(f for f in dataclasses.fields(target) if f.name == parameter.name)
        if field.default_factory is not dataclasses.MISSING:
            return f"{field.default_factory.__name__}()"  # pyright: ignore
    default = parameter.default
    if isinstance(default, float) and len(repr(default)) > 8:
        for below in (3, 255):
            if abs(below * default - round(below * default)) < 1e-9:
                return f"{round(below * default)} / {below}"
    return f'"{default}"' if isinstance(default, str) else str(default) if isinstance(default, type) else repr(default)


def field_lines(target: Any) -> dict[str, str]:
    """The string under each field of a dataclass and of those it comes from."""
    lines: dict[str, str] = {}
    for cls in reversed(inspect.getmro(target)):
        if not dataclasses.is_dataclass(cls):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # pyright: ignore
        for field, below in itertools.pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                lines[field.target.id] = " ".join(str(below.value.value).split())  # pyright: ignore
    return lines


def entries(doc: str, names: set[str]) -> dict[str, str]:
    """What a docstring says of each name: ``name: ...``, ``name, other: ...`` at the beginning of a line, or after a
    semicolon within one."""
    found: dict[str, str] = {}
    for paragraph in doc.split("\n\n"):
        for heads, text in _split(paragraph, names)[1]:
            found |= dict.fromkeys(heads, text)
    return found


def _split(paragraph: str, names: set[str]) -> tuple[str, list[tuple[list[str], str]]]:
    """The running text of a paragraph, and the entries after it."""
    one = "|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)"
    start = re.compile(rf"(?:^|(?<=; )|(?<=\. ))((?:{one})(?:(?:, | and )(?:{one}))*): ", re.MULTILINE)
    flat = re.sub(r"\n +", " ", paragraph)  # continuation lines are indented
    flat = flat if start.search(flat) else paragraph
    matches = list(start.finditer(flat))
    if not matches:
        return paragraph, []
    result = []
    for match, after in zip(matches, [*matches[1:], None], strict=True):
        text = flat[match.end() : after.start() if after else None]
        result.append((re.split(r", | and ", match[1]), " ".join(text.split()).rstrip(";")))
    return flat[: matches[0].start()].rstrip("; \n"), result


def markdown(doc: str, names: set[str] = frozenset(), skip: set[str] = frozenset()) -> str:  # pyright: ignore
    """A docstring as Markdown, without what it says of the names in ``skip``."""
    result = []
    for paragraph in re.split(r"\n\s*\n", doc.strip("\n")):
        if paragraph.lstrip().startswith("- "):
            paragraph = textwrap.dedent(paragraph)
        lines = paragraph.splitlines()
        if all(line.startswith("    ") for line in lines):
            result.append("```text\n" + textwrap.dedent(paragraph) + "\n```")
        elif lines[0].startswith("- "):
            result.append("\n".join(escaped(line) for line in lines))
        else:
            text, found = _split(paragraph, names)
            if text.strip():
                result.append(escaped(" ".join(text.split())))
            result += [f"`{'`, `'.join(h)}`\n: {escaped(t)}" for h, t in found if not set(h) <= skip]
    return "\n\n".join(result)


def escaped(text: str) -> str:
    """Plain text with backquoted code as Markdown: nothing else in it is markup."""
    parts = re.split(r"(``.+?``|`[^`]+`)", text)
    return "".join(
        code(p.strip("`")) if i % 2 else re.sub(r"([\\*_<>\[\]$~|])", r"\\\1", p) for i, p in enumerate(parts)
    )


def code(text: str) -> str:
    """Code, linked to its page if it is a name of the public face."""
    from .api import public

    name = public(text)
    return f"{{py:obj}}`{text} <{name}>`" if name else f"`{text}`"


def summary(doc: str) -> str:
    """The first sentence or so: the first paragraph on one line."""
    return " ".join(doc.strip().split("\n\n")[0].split())
