"""A page for every method and estimator of the catalogue, and the tables to choose by.

What is said in ``docs/notes/NAME.md`` stands beside what the code knows: summary, pictures, arguments, defaults.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

from augwise import catalogue

from . import NOTES
from .docstrings import arguments, escaped, markdown
from .galleries import STRONG, arms_of, puts_back
from .measured import filled

SECTIONS = ("Formula", "Use", "When", "When not", "Cost", "Source")
"""What every note says, in the order of the page; pictures stand before, arguments after "Use"."""

KINDS = {
    "deletion": "Deletion",
    "image": "Whole image",
    "mixing": "Mixing",
    "geometry": "Geometry",
    "estimator": "Estimator",
}

_MIXERS = (
    "*Every mixer on the same four images, with the same stream of random numbers and its usual settings, from a draw "
    "that mixes much. Every image has a colour; the bar below a picture is its label: whose, and how much.*"
)
_SALIENT = (
    "*The same shares, boxes and partners. DCutMix fills a box from the same place of its image, Saliency-DCutMix "
    "with what lies around that image's most important pixel.*"
)


@dataclass(frozen=True)
class Note:
    """What a person wrote of an entry: its title, a word on when to take it for the overview, and the sections."""

    title: str
    choose: str
    sections: dict[str, str]


def note(name: str) -> Note:
    """``docs/notes/NAME.md``: a title line, a paragraph for the overview, and one section for each of `SECTIONS`."""
    path = NOTES / f"{name}.md"
    if not path.exists():
        raise FileNotFoundError(f"{name} of the catalogue has no page: write {path} (see its neighbours)")
    head, *rest = path.read_text(encoding="utf-8").split("\n## ")
    title, _, choose = head.removeprefix("# ").partition("\n")
    sections = {title.strip(): body.strip() for title, _, body in (part.partition("\n") for part in rest)}
    if tuple(sections) != SECTIONS:
        raise ValueError(f"{path} has the sections {', '.join(sections)}: write {', '.join(SECTIONS)}")
    return Note(title.strip(), " ".join(choose.split()), sections)


def folder(entry: catalogue.Entry) -> str:
    """Where the entry's page stands."""
    return "estimators" if entry.kind == "estimator" else "methods"


def pages() -> dict[str, str]:
    """All pages, and the tables that the overview includes."""
    result = {f"{folder(e)}/{e.name}.md": _page(e, note(e.name)) for e in catalogue.ENTRIES}
    result["tables/toctree.md"] = _toctree()
    result["tables/methods.md"] = _methods_table()
    result["tables/estimators.md"] = _estimators_table()
    return result


def _page(entry: catalogue.Entry, said: Note) -> str:
    target: Any = entry.load()
    parts = [
        f"# {said.title}",
        "",
        f"*{KINDS[entry.kind]}.* {escaped(entry.summary[0].upper() + entry.summary[1:])}.",
        "",
    ]
    doc = inspect.getdoc(target) or ""
    known = {a.name for a in arguments(target)}
    parts += [f"```{{include}} ../strips/{entry.name}.md", "```", "", _caption(entry), ""]
    parts += ["## What it does", "", markdown(doc, known, known), ""]
    for title, body in said.sections.items():
        cost = target().cost(32, 32) if entry.kind == "estimator" else ""
        parts += [f"## {title}", "", filled(body, cost=cost), ""]
        if title == "Use":
            parts += ["## Arguments", "", *_arguments(target), "", *_mixed(entry)]
    return "\n".join(parts)


def _mixed(entry: catalogue.Entry) -> list[str]:
    """Of a mixer its pictures beside those of the others."""
    parts = []
    if entry.name in ("dcutmix", "saliencydcutmix"):
        parts += ["## Boxes of the same place, boxes of what matters", ""]
        parts += ["```{include} ../strips/mixers-salient.md", "```", "", _SALIENT, ""]
    if entry.kind == "mixing":
        parts += ["## Beside the other mixers", "", "```{include} ../strips/mixers.md", "```", "", _MIXERS, ""]
    return parts


def _caption(entry: catalogue.Entry) -> str:
    if entry.kind == "estimator":
        options = ", ".join(f"{k}={v:.3g}" for k, v in STRONG.get(entry.name, {}).items())
        made = f"made with {options}; the" if options else "the"
        return f"*The maps of four digits, {made} brightest pixel of a map is its maximum.*"
    if entry.kind == "geometry":
        return "*It has no guard. Below the picture, the share of the importance that was cut away.*"
    share = "that was overwritten or faded" if entry.kind == "mixing" else "that was overwritten"
    share = "that was put back" if puts_back(entry) else share
    label = " Every image has a colour, and the bar is the label." if entry.kind == "mixing" else ""
    if len(arms_of(entry)) == 1:
        return f"*It has no guard. Below each picture, the share of the first image's importance {share}.{label}*"
    return (
        "*The same draws in all arms, picked so that they differ. Plain: without a map. Guarded: with the image's own "
        f"map. Control: the same guard with another image's map. Below each, the share of the importance {share}."
        f"{label}*"
    )


def _arguments(target: Any) -> list[str]:
    lines = []
    for a in arguments(target):
        default = "required" if a.default is None else f"default `{a.default}`"
        kind = f" {escaped(a.type)}," if a.type else ""
        lines += [f"`{a.name}`", f":{kind} {default}. {escaped(a.text[:1].upper() + a.text[1:])}", ""]
    return lines


def _toctree() -> str:
    """Methods, then estimators, in the catalogue's order."""
    ordered = [*catalogue.methods().values(), *catalogue.estimators().values()]
    pages = [f"reference/{folder(e)}/{e.name}" for e in ordered]
    return "\n".join(["```{toctree}", ":hidden:", "", *pages, "```", ""])


def _methods_table() -> str:
    lines = ["| method | strength | take it |", "|---|---|---|"]
    for e in catalogue.methods().values():
        said = note(e.name)
        strength = f"`{e.strength}`" if e.strength else "–"
        name = f"[{said.title}](reference/methods/{e.name}.md), *{KINDS[e.kind].lower()}*"
        lines.append(f"| {name} | {strength} | {said.choose} |")
    return "\n".join(lines) + "\n"


def _estimators_table() -> str:
    lines = ["| estimator | work | take it |", "|---|---|---|"]
    for e in catalogue.estimators().values():
        cls, said = e.load(), note(e.name)
        needs = "with a model" if cls.needs_model else "no model"
        work = escaped(cls().cost(32, 32))
        lines.append(f"| [{said.title}](reference/estimators/{e.name}.md), *{needs}* | {work} | {said.choose} |")
    return "\n".join(lines) + "\n"
