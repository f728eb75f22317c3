"""The reference of the public face: every name that ``import augwise as aw`` offers, from signatures and docstrings."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import re
from typing import Any

import augwise as aw

from .docstrings import arguments, escaped, markdown, summary

GROUPS = {
    "words": ("Samples, maps and labels", ("sample", "importance_map", "labels", "schedule", "errors")),
    "importance": ("Importance", ("importance",)),
    "transforms": ("Transforms", ("transforms",)),
    "mixing": ("Mixing", ("mixing",)),
    "adversarial": ("Made by the model in training", ("adversarial",)),
    "selection": ("Selection", ("selection", "subset_file")),
    "losses": ("Losses", ("losses", "criteria")),
    "reid": ("Re-identification", ("reid",)),
    "models": ("Models", ("models",)),
    "data": ("Data", ("data",)),
    "classifiers": ("Trained classifiers", ()),
    "verbs": ("Verbs as functions", ("analysis", "training", "recipes", "report")),
}
"""One page each: title, and the packages whose public names stand on it."""

FUNCTIONS = {
    "regions": "words",
    "randomness": "words",
    "importance.fidelity": "importance",
    "importance.saliency": "importance",
    "importance.superpixels": "importance",
    "losses": "losses",
    "models": "models",
    "transforms.cutout": "transforms",
    "transforms.erasing": "transforms",
    "transforms.random_erasing": "transforms",
    "transforms.hide_and_seek": "transforms",
    "transforms.grid_mask": "transforms",
    "transforms.square_masks": "transforms",
    "transforms.crop_flip": "transforms",
    "transforms.operations": "transforms",
    "transforms.kept": "transforms",
    "adversarial.norms": "adversarial",
    "adversarial.perceptual": "adversarial",
    "mixing.cutmix": "mixing",
    "mixing.dmixup": "mixing",
    "mixing.fmix": "mixing",
    "mixing.manifold_mixup": "mixing",
    "mixing.joint_masks": "mixing",
    "mixing.levels": "mixing",
    "mixing.mixup": "mixing",
    "mixing.puzzle_mix": "mixing",
    "mixing.resize_mix": "mixing",
    "mixing.shares": "mixing",
    "mixing.soften": "mixing",
    "mixing.stick_breaking": "mixing",
    "mixing.style": "mixing",
    "mixing.style_cutmix": "mixing",
    "mixing.style_mix": "mixing",
    "mixing.transport": "mixing",
    "mixing.visual_saliency": "mixing",
    "transforms.resized_crop": "transforms",
    "selection": "selection",
    "reid": "reid",
    "analysis.activation_maps": "classifiers",
    "analysis.calibration_errors": "classifiers",
    "analysis.clusters": "classifiers",
    "analysis.detection": "classifiers",
    "analysis.directions": "classifiers",
    "analysis.hessian": "classifiers",
    "analysis.input_curvature": "classifiers",
    "analysis.lanczos": "classifiers",
    "analysis.linf_attacks": "classifiers",
}
"""Modules whose functions are documented too, and the page they stand on."""

BASES = (
    ("transforms", "Augmentation"),
    ("mixing", "Mixer"),
    ("data", "Source"),
    ("data", "Subset"),
    ("data", "PeopleSource"),
    ("reid", "Ranking"),
    ("reid", "Rerank"),
)
"""Classes to build on that are not in the package itself."""


@functools.cache
def names() -> dict[str, tuple[str, str, Any]]:
    """Every documented name as Sphinx knows it -> (page, name for readers, object)."""
    found: dict[str, tuple[str, str, Any]] = {}
    # `aw.report` is a package that can be called; every other name is an object of its own.
    for name, home in {**aw._HOME, "report": "report.build"}.items():
        group = next(g for g, (_, homes) in GROUPS.items() if home.split(".")[0] in homes)
        value = getattr(importlib.import_module(f"augwise.{home}"), name)
        found[f"augwise.{name}"] = group, f"aw.{name}", value
    for module, name in BASES:
        group = next(g for g, (_, homes) in GROUPS.items() if module in homes)
        found[f"augwise.{module}.{name}"] = (
            group,
            f"{module}.{name}",
            getattr(importlib.import_module(f"augwise.{module}"), name),
        )
    for module, group in FUNCTIONS.items():
        here = importlib.import_module(f"augwise.{module}")
        for name in getattr(here, "__all__", vars(here)):
            value = getattr(here, name)
            ours = hasattr(here, "__all__") or getattr(value, "__module__", "") == here.__name__
            shown = inspect.isfunction(value) and not name.startswith("_") and value.__doc__
            if ours and shown and getattr(aw, name, None) is not value:
                found[f"augwise.{module}.{name}"] = group, f"{module}.{name}", value
    return found


def public(text: str) -> str | None:
    """The documented name that a piece of code means, such as ``Cutout``, ``aw.Cutout`` or ``regions.sample``."""
    text = text.removeprefix("aw.").removeprefix("augwise.").removesuffix("()")
    return f"augwise.{text}" if f"augwise.{text}" in names() else None


def pages() -> dict[str, str]:
    """One page per group, and their index."""
    index = [
        "# API reference",
        "",
        "`import augwise as aw` gives every name here; nothing is imported before it is used.",
        "",
    ]
    result = {}
    for group, (title, _) in GROUPS.items():
        mine = {full: (shown, value) for full, (g, shown, value) in names().items() if g == group}
        result[f"api/{group}.md"] = _page(title, mine)
        index += [f"## [{title}]({group}.md)", ""]
        index += [f"- {{py:obj}}`{shown} <{full}>`: {escaped(_first(value))}" for full, (shown, value) in mine.items()]
        index.append("")
    index += ["```{toctree}", ":hidden:", "", *GROUPS, "```", ""]
    return {**result, "api/index.md": "\n".join(index)}


def _first(value: Any) -> str:
    text = summary(inspect.getdoc(value) or "")
    return re.split(r"(?<!Eq)(?<!Alg)\.\s+(?=[A-Z`(])", text)[0].rstrip(".:") + "."


def _page(title: str, mine: dict[str, tuple[str, Any]]) -> str:
    parts = [f"# {title}", ""]
    for full, (shown, value) in sorted(
        mine.items(), key=lambda item: (item[1][0].count("."), inspect.isroutine(item[1][1]), item[0])
    ):
        parts += [f"## {shown.removeprefix('aw.')}", "", described(full, value), ""]
    return "\n".join(parts)


def described(full: str, value: Any) -> str:
    """One directive of Sphinx's Python domain."""
    kind = (
        "exception"
        if isinstance(value, type) and issubclass(value, Exception)
        else "class"
        if isinstance(value, type)
        else "function"
    )
    body = [_doc(value)]
    if isinstance(value, type):
        body += [_member(name, member) for name, member in _members(value)]
    return _directive(f"py:{kind}", f"{full}{_signature(value)}", "\n\n".join(body), 4)


def _directive(name: str, head: str, body: str, fence: int) -> str:
    colons = ":" * fence
    return f"{colons}{{{name}}} {head}\n{body}\n{colons}"


def _doc(value: Any) -> str:
    doc = inspect.getdoc(value) or ""
    listed = arguments(value) if isinstance(value, type) or inspect.isroutine(value) else []
    known = {a.name for a in listed} | (
        set(getattr(value, "__annotations__", {})) if isinstance(value, type) else set()
    )
    text = markdown(doc, known)
    if dataclasses.is_dataclass(value):
        text += "\n\n" + "\n\n".join(f"`{a.name}`\n: {escaped(a.text)}" for a in listed if a.text)
    return text


def _members(cls: type) -> list[tuple[str, Any]]:
    """Public methods and properties with a docstring of their own; what a base class says stands on its page."""
    found = []
    for name, member in vars(cls).items():
        inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if not name.startswith("_") and name != "forward" and inspect.isfunction(inner) and inner.__doc__:
            found.append((name, member))
    return found


def _member(name: str, member: Any) -> str:
    inner = getattr(member, "fget", None) or getattr(member, "__func__", member)
    body = _doc(inner)
    if isinstance(member, property):
        return _directive("py:property", name, body, 3)
    kind = "py:method"
    head = f"{name}{_signature(inner, skip_first=not isinstance(member, staticmethod))}"
    flag = ":classmethod:\n\n" if isinstance(member, classmethod) else ""
    return _directive(kind, head, flag + body, 3)


def _signature(value: Any, skip_first: bool = False) -> str:
    if isinstance(value, type) and issubclass(value, Exception):
        return ""
    listed = arguments(value)
    try:
        first = next(iter(inspect.signature(value).parameters), "")
    except (TypeError, ValueError):
        return "()"
    if skip_first and listed and listed[0].name == first and first in ("cls", "self"):
        listed = listed[1:]
    keyword = {p.name for p in inspect.signature(value).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    parts, starred = [], False
    for a in listed:
        if a.name in keyword and not starred:
            parts, starred = [*parts, "*"], True
        parts.append(f"{a.name}: {a.type}" if a.type else a.name)
        if a.default is not None:
            parts[-1] += f" = {a.default}" if a.type else f"={a.default}"
    returned = None if isinstance(value, type) else inspect.signature(value).return_annotation
    arrow = f" -> {returned}" if isinstance(returned, str) else ""
    return f"({', '.join(parts)}){arrow}"
