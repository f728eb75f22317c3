"""Every recipe by name, each in a file of its own that is read when it is asked for. One explicit list."""

from __future__ import annotations

import difflib
import importlib

from ..errors import UserError
from .recipe import SCALES, Recipe

RECIPES = {
    "ipf-rda/table-1": "ipf_rda_table_1",
    "ipf-rda/table-2": "ipf_rda_table_2",
    "ipf-rda/table-3": "ipf_rda_table_3",
    "ipf-rda/table-4": "ipf_rda_table_4",
    "ipf-rda/table-5": "ipf_rda_table_5",
    "ipf-rda/table-6": "ipf_rda_table_6",
    "ipf-rda/table-7": "ipf_rda_table_7",
    "ipf-rda/table-8": "ipf_rda_table_8",
    "ipf-rda/table-9": "ipf_rda_table_9",
    "ipf-rda/table-10": "ipf_rda_table_10",
    "ipf-rda/table-11": "ipf_rda_table_11",
    "ipf-rda/table-12": "ipf_rda_table_12",
    "ipf-rda/table-13": "ipf_rda_table_13",
    "ipf-rda/figure-3": "ipf_rda_figure_3",
    "ipf-rda/figure-4": "ipf_rda_figure_4",
    "ipf-rda/figure-5": "ipf_rda_figure_5",
    "ipf-rda/figure-6": "ipf_rda_figure_6",
    "ipf-rda/figure-7": "ipf_rda_figure_7",
    "ipf-rda/figure-8": "ipf_rda_figure_8",
    "ipf-rda/label-noise": "ipf_rda_label_noise",
    "advmask/table-1": "advmask_table_1",
    "advmask/table-2": "advmask_table_2",
    "advmask/table-3": "advmask_table_3",
    "advmask/table-4": "advmask_table_4",
    "advmask/table-5": "advmask_table_5",
    "advmask/table-6": "advmask_table_6",
    "advmask/table-7": "advmask_table_7",
    "advmask/table-8": "advmask_table_8",
    "advmask/figure-2": "advmask_figure_2",
    "advmask/figure-5": "advmask_figure_5",
    "advmask/figure-6": "advmask_figure_6",
    "advmask/figure-7": "advmask_figure_7",
    "advmask/figure-8": "advmask_figure_8",
    "dcutmix/table-1": "dcutmix_table_1",
    "dcutmix/table-2": "dcutmix_table_2",
    "dcutmix/table-3": "dcutmix_table_3",
    "dcutmix/table-4": "dcutmix_table_4",
    "dcutmix/table-5": "dcutmix_table_5",
    "dcutmix/table-6": "dcutmix_table_6",
    "dcutmix/figure-2": "dcutmix_figure_2",
    "dcutmix/figure-3": "dcutmix_figure_3",
    "dcutmix/figure-4": "dcutmix_figure_4",
    "dcutmix/figure-5a": "dcutmix_figure_5a",
    "dcutmix/figure-5b": "dcutmix_figure_5b",
    "lp-a3/table-1": "lp_a3_table_1",
    "lp-a3/table-2": "lp_a3_table_2",
    "lp-a3/table-3": "lp_a3_table_3",
    "lp-a3/figure-3": "lp_a3_figure_3",
    "lp-a3/figure-4": "lp_a3_figure_4",
    "lp-a3/figure-5": "lp_a3_figure_5",
}
"""Name -> the module here that has it as ``RECIPE``."""

WITHIN = {
    "advmask/figure-3": "advmask/table-4",
    "advmask/figure-4": "advmask/table-4",
    "ipf-rda/section-4f-gpu-hours": "ipf-rda/table-7",
    "ipf-rda/section-5-label-noise": "ipf-rda/label-noise",
}
"""What is a part of another recipe -> that one."""


def find_recipe(name: str) -> Recipe:
    """The recipe of this name, or that it is a part of; `UserError` lists what there is."""
    name = WITHIN.get(name, name)
    if name not in RECIPES:
        known = [*RECIPES, *WITHIN]
        paper, _, part = name.rpartition("/")
        own = [k for k in known if k.partition("/")[0] == paper]
        near = [] if own else [k for k in known if k.rpartition("/")[2] == part]
        near = near or difflib.get_close_matches(name, own or known, n=3, cutoff=0.0 if own else 0.6)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UserError(f"recipe {name!r} is unknown: {hint}augwise reproduce --list shows all")
    return importlib.import_module(f".{RECIPES[name]}", __package__).RECIPE


def listing() -> str:
    """Every recipe with its scales, for a terminal."""
    lines = []
    for name in RECIPES:
        recipe = find_recipe(name)
        lines.append(f"{name}: {recipe.title} ({recipe.source})")
        lines += [
            f"  {scale:5}  {recipe.scales[scale].about}; {recipe.scales[scale].hours}"
            for scale in SCALES
            if scale in recipe.scales
        ]
    lines += ["", *(f"{name}: a part of {where}" for name, where in WITHIN.items())]
    return "\n".join(lines)
