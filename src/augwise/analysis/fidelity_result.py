"""From drops and scores to what a fidelity run found: correlations per image, intervals over images, JSON, table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError
from ..importance.fidelity import fidelity, window_scores
from ..report.text import counted, interval, seconds
from .bootstrap import bootstrap
from .fidelity_config import FidelityConfig
from .fidelity_drops import Table
from .fidelity_maps import CENTRE, RANDOM, Judged
from .fidelity_networks import Network

if TYPE_CHECKING:
    from ..importance.attached import AttachedMaps

_BLOCK = 128  # maps scored at a time


@dataclass(frozen=True)
class Values:
    """Numbers per image. M maps, R networks, N images, K windows.

    own, other, partial: (M, R, N) float64 correlations with the image's own map, with another image's map of the same
    kind, and at equal area of the windows (None where all have one area); NaN where every window costs the same.
    scores: (M, N, K) of the own maps; totals: (M, N) their sums over the whole image.
    """

    own: np.ndarray
    other: np.ndarray
    partial: np.ndarray | None
    scores: np.ndarray
    totals: np.ndarray

    @property
    def constant(self) -> np.ndarray:
        """(M, N) bool: the map scores all windows of the image alike."""
        return np.asarray(np.ptp(self.scores, 2) == 0)


def values(
    config: FidelityConfig, maps: Sequence[Judged], tables: Sequence[Table], boxes: Tensor, size: tuple[int, int]
) -> Values:
    """Correlations of all maps on all networks; the control of each map is one derangement, drawn by the seed."""
    areas = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).double()
    drops = [torch.from_numpy(table.drops) for table in tables]
    own, other, partial, scores, totals = [], [], [], [], []
    for entry in maps:
        found, total = scored(entry.maps, boxes, size)
        foreign, _ = scored(entry.maps.deranged(config.seed), boxes, size)
        own.append(torch.stack([fidelity(found, drop) for drop in drops]))
        other.append(torch.stack([fidelity(foreign, drop) for drop in drops]))
        partial.append(torch.stack([fidelity(found, drop, areas) for drop in drops]))
        scores.append(found)
        totals.append(total)
    arrays = [torch.stack(parts).numpy() for parts in (own, other, partial, scores, totals)]
    return Values(arrays[0], arrays[1], arrays[2] if config.window == "clipped" else None, arrays[3], arrays[4])


def scored(maps: AttachedMaps, boxes: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Scores (N, K) of the windows and sums (N,) of the maps, float64."""
    scores, totals = [], []
    for start in range(0, len(boxes), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(boxes)))
        importance = maps.read(rows)
        scores.append(window_scores(importance, boxes[start : start + _BLOCK], size))
        totals.append(importance.sum((1, 2), dtype=torch.float64))
    return torch.cat(scores), torch.cat(totals)


def judge(
    config: FidelityConfig,
    networks: Sequence[Network],
    tables: Sequence[Table],
    maps: Sequence[Judged],
    values: Values,
) -> dict[str, Any]:
    """The networks and the maps with their means and intervals, as ``results.json`` holds them."""
    told, on = [], []
    for r, (network, table) in enumerate(zip(networks, tables, strict=True)):
        told.append(_network(config, network, table, values.own[:, r]))
        on.append(_on(config, network.name, r, _used(config, table, values.own[:, r]), maps, values))
    entries = [
        {"name": entry.name, **entry.about, "constant": int(values.constant[m].sum()), "on": [row[m] for row in on]}
        for m, entry in enumerate(maps)
    ]
    return {"networks": told, "maps": entries}


def _used(config: FidelityConfig, table: Table, own: np.ndarray) -> np.ndarray:
    """(N,) bool: images that count on a network, the same ones for all maps."""
    known = np.isfinite(own.sum(0))  # a NaN in one map's column is one in all
    return np.logical_and(known, table.right) if config.only_right else known


def _network(config: FidelityConfig, network: Network, table: Table, own: np.ndarray) -> dict[str, Any]:
    used = _used(config, table, own)
    if not used.any():
        raise UserError(
            f"no image is left to judge by on {network.name}: it is right on {int(table.right.sum())} of "
            f"{len(used)}, and erasing changes nothing on {int(np.isnan(own).any(0).sum())}"
        )
    spread = table.drops[used].std(1)
    return {
        "name": network.name,
        **network.about,
        "images": len(used),
        "right": int(table.right.sum()),
        "used": int(used.sum()),
        "constant": int(np.isnan(own).any(0).sum()),
        "mean_drop": float(table.drops[used].mean()),
        "mean_spread": float(spread.mean()),
        "seconds_per_image": table.seconds / table.computed if table.computed else None,
    }


def _on(
    config: FidelityConfig, name: str, r: int, used: np.ndarray, maps: Sequence[Judged], values: Values
) -> list[dict[str, Any]]:
    """Of every map on one network: mean and interval, and the same of paired differences."""
    own, other = values.own[:, r, used], values.other[:, r, used]
    centre = next(m for m, entry in enumerate(maps) if entry.name == CENTRE)
    parts = {"fidelity": own, "over_centre": own - own[centre], "another": other, "over_another": own - other}
    if values.partial is not None:
        # Where area explains the drops of an image wholly, no map can add to it.
        parts["partial"] = np.nan_to_num(values.partial[:, r, used])
    found = bootstrap(np.concatenate(list(parts.values())).T, config.resamples, config.seed)
    rows: list[dict[str, Any]] = [{"network": name} for _ in maps]
    for p, part in enumerate(parts):
        for m, row in enumerate(rows):
            row[part] = found[p * len(maps) + m] if (part, m) != ("over_centre", centre) else None
    return rows


def ranked(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The maps, the best on the network that made them first."""
    return sorted(results["maps"], key=lambda entry: -entry["on"][0]["fidelity"]["mean"])


def as_text(results: dict[str, Any]) -> str:
    """The table for a terminal, best maps first."""
    clipped = results["config"]["window"] == "clipped"
    head = ["maps", "work per image", "s/image"]
    for network in results["networks"]:
        head += [network["name"], "− centre"]
    head += ["− another image's", *(["at equal area"] if clipped else [])]
    lines = [head]
    for entry in ranked(results):
        line = [entry["name"], entry["cost"] or "not computed here", seconds(entry["seconds_per_image"])]
        for on in entry["on"]:
            line += [interval(on["fidelity"]), interval(on["over_centre"], sign=True)]
        first = entry["on"][0]
        line += [interval(first["over_another"], sign=True), *([interval(first["partial"])] if clipped else [])]
        lines.append(line)
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join([*(_line(line, widths) for line in lines), "", *notes(results)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Names to the left, numbers to the right."""
    padded = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return "  ".join(padded).rstrip()


def notes(results: dict[str, Any]) -> list[str]:
    """What a reader of the table must know, a sentence each."""
    networks, config, windows = results["networks"], results["config"], results["windows"]
    told = [
        f"Mean rank correlation over images of IS(S) and the drop of log p_y when S is erased, over {windows['count']} "
        f"windows of {windows['length']} px ({windows['window']}); in brackets the 95 % interval of a bootstrap over "
        f"images ({config['resamples']} resamples). {networks[0]['name']} made the maps."
    ]
    for network in networks:
        wrong, of = network["images"] - network["right"], network["images"]
        dealt = "left out" if config["only_right"] else "kept, --only-right leaves them out"
        said = f"{network['name']}: {network['used']} of {counted(of, 'image')} count; it gets {wrong} wrong ({dealt})"
        if network["constant"]:
            said += f", and erasing costs nothing anywhere on {network['constant']} (left out)"
        if network.get("trained_here"):
            said += "; trained here from another seed" + _without(network)
        told.append(said + ".")
    for entry in results["maps"]:
        said = []
        if entry["failed"]:
            said.append(f"the attack failed on {entry['failed']}")
        if entry["constant"] and entry["name"] != "area":
            said.append(f"scores all windows alike on {counted(entry['constant'], 'image')}, which count as 0")
        if not entry["made_by_run"]:
            said.append(f"made by another network than {networks[0]['name']}")
        if said:
            told.append(f"{entry['name']}: {'; '.join(said)}.")
    for name, reason in results["left_out"].items():
        told.append(f"{name} was left out: {reason.removeprefix(f'{name}: ')}")
    told.append(
        "It favours maps that measure erasing themselves, as occlusion does; what a map is worth in training, training "
        "decides (augwise compare)."
    )
    return told


def _without(network: dict[str, Any]) -> str:
    return f", without {'; '.join(network['without'])}" if network.get("without") else ""


def typical(results: dict[str, Any], values: Values, tables: Sequence[Table]) -> dict[str, Any]:
    """An image whose correlation with the best map (no prior, if there is another) is that map's median, and for every
    map the share of it in each window beside what erasing that window costs the network that made it."""
    names = [entry["name"] for entry in results["maps"]]
    best = next((e["name"] for e in ranked(results) if e["name"] not in (CENTRE, RANDOM)), CENTRE)
    found = values.own[names.index(best), 0]
    known = np.flatnonzero(~np.isnan(found))
    at = int(known[np.argsort(found[known], kind="stable")[(len(known) - 1) // 2]])
    totals = np.where(values.totals[:, at] > 0, values.totals[:, at], 1)
    shares = values.scores[:, at] / totals[:, None]
    points = {name: np.stack([shares[m], tables[0].drops[at]], 1).round(6).tolist() for m, name in enumerate(names)}
    return {
        "image": at,
        "best": best,
        "fidelity": {name: float(values.own[m, 0, at]) for m, name in enumerate(names)},
        "points": points,
    }
