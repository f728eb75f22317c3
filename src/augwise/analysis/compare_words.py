"""How a comparison's cells, arms and differences are called in tables, on pages and in verdicts. Pure, no torch.

Only what varies is named, beyond the method, its strength, the window and the maps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
ARMS = ("plain", "guarded", "control", "smoothing")
SHOWN = ("guarded-plain", "guarded-control", "guarded-centre", "guarded-smoothing", "plain-baseline")
"""The differences that a comparison is about: one family for Holm's correction, whatever the rule. The last is of rows
that have a plain arm alone."""
DIMENSIONS = ("shape", "follow", "quantile", "labels", "rule")
"""What a cell has besides method, strength, window and maps; a results.json of before lacks them."""
_USUAL = {"shape": "rectangle", "follow": "image", "quantile": None, "labels": "", "rule": "guard"}
_SIGNS = {"quantile": "τ"}
FINEST = ("strength", "quantile", "shape", "follow", "labels", "rule", "estimator", "window")
"""What a chart's rows or its axis go through, the first of these that varies."""
SECOND = {"guard": "guarded", "soften": "softened", "labels": "reweighted"}


def of(row: Row, name: str) -> Any:
    """A row's value of a dimension, that of before where it has none."""
    return row.get(name, _USUAL.get(name))


def varying(rows: Iterable[Row], names: Sequence[str] = DIMENSIONS) -> list[str]:
    """Those of the dimensions in which the rows differ; a row to which one does not apply (None, "") says nothing."""
    listed = list(rows)
    return [name for name in names if len({of(row, name) for row in listed} - {None, ""}) > 1]


def heading(name: str) -> str:
    """A dimension's column."""
    return _SIGNS.get(name, name)


def value(row: Row, name: str) -> str:
    """A dimension's value in a column of its own; a dash where it does not apply."""
    found = of(row, name)
    if name == "strength":
        return " ".join(filter(None, (row.get("option"), strength(found))))
    if name == "quantile":
        return "-" if found is None else f"{found:g}"
    return found or "-"


def strength(given: float | None) -> str:
    """``16``, ``0.5``; ``own`` where the method's own default counts."""
    return "own" if given is None else f"{given:g}"


def method(row: Row) -> str:
    """``cutout 16``, or ``cutmix alpha 1`` where the value is not of the method's strength; the name alone where the
    method's own default counts."""
    given = "" if row["strength"] is None else strength(row["strength"])
    return " ".join(filter(None, (row["method"], row.get("option"), given)))


def where(row: Row, dimensions: Sequence[str]) -> str:
    """``inside, cdiea, τ 0.4``: window, maps and what varies besides."""
    parts = [row["window"], row["estimator"]]
    for name in dimensions:
        found = value(row, name)
        if found != "-":
            parts.append({"quantile": f"τ {found}", "follow": f"follow {found}"}.get(name, found))
    return ", ".join(filter(None, parts))


def rules(rows: Iterable[Row]) -> list[str]:
    """The rules that the rows follow, in their order."""
    return list(dict.fromkeys(of(row, "rule") for row in rows)) or ["guard"]


def arms(rows: Sequence[Row]) -> list[str]:
    """The arms that any of the rows has, as columns."""
    return [name for name in ARMS if any(name in row["arms"] for row in rows)]


def differences(rows: Sequence[Row]) -> list[str]:
    """The differences that any of the rows has and that are shown, as columns."""
    return [name for name in SHOWN if any(row["differences"].get(name) for row in rows)]


def arm(name: str, found: Sequence[str]) -> str:
    """What an arm is called under these rules: the second is "guarded", "softened", "reweighted" or several."""
    if name == "guarded":
        return "/".join(SECOND[rule] for rule in found)
    return "without" if name == "baseline" else name


def difference(name: str, found: Sequence[str], minus: str = "-") -> str:
    """``softened-control`` for the key ``guarded-control``; minus: what stands between the arms."""
    return minus.join(arm(part, found) for part in name.split("-"))


def baseline(train: Row) -> str:
    """What the baseline of a comparison has, from its training settings."""
    flip = "" if train.get("flip") is False else "flip"
    crop = "" if train.get("crop", "pad") == "pad" and train.get("crop_padding", 4) == 0 else "crop"
    shared = " and ".join(filter(None, (crop, flip)))
    return f"the shared {shared} alone" if shared else "no augmentation at all"


def notes(rows: Sequence[Row], needing: Iterable[str] = ()) -> list[str]:
    """What a reader must know to read the rows right. needing: the methods of theirs whose plain form has a map."""
    listed, said = list(rows), []
    counts = sorted({summary["n"] for row in listed for summary in row["arms"].values()})
    if counts:
        span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        said.append(f"n = {span} {'run' if counts == [1] else 'runs'} per arm")
    mapped = [name for name in needing if any(row["method"] == name for row in listed)]
    if mapped:
        control = "; the control is shown another image's map for both, mask and guard"
        plain = f"{', '.join(mapped)}: the plain arm looks at the image's own map, too"
        said.append(plain + (control if "control" in arms(listed) else ""))
    doubts = [row for row in listed if row.get("doubt") is not None]
    if doubts:
        each = "; ".join(f"{method(row)} {where(row, [])} {row['doubt']:.3f}" for row in doubts)
        said.append(f"smoothing: every label gets the mean doubt of the softened arm: {each}")
    return said
