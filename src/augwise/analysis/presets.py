"""Comparisons that have a name: the tables of the papers that this project repeats, as settings. Imports no torch.

One explicit list. A preset fixes what its question is about; all else (data, model, epochs, seeds, maps) is the
user's, who may change every setting of it too.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UserError

TEN = (
    "cutout", "randomerasing", "hideandseek", "gridmask", "advmask", "autoaugment", "fastautoaugment", "randaugment",
    "trivialaugment", "cutmix",
)  # fmt: skip
"""The methods that IPF-RDA guards (Tables I and II), in the order of this project's tables."""


@dataclass(frozen=True)
class Preset:
    """name: as on the command line; question: what the table answers, in one line, with the papers' table where there
    is one; changes: fields of `CompareConfig`; train: fields of its `TrainConfig`."""

    name: str
    question: str
    changes: Mapping[str, Any]
    train: Mapping[str, Any] = field(default_factory=dict)


def preset(name: str) -> Preset:
    """The preset called ``name``; `UserError` lists what there is."""
    if name in PRESETS:
        return PRESETS[name]
    close = difflib.get_close_matches(name, PRESETS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(f"preset {name!r} is unknown: {hint}choose one of {', '.join(PRESETS)}")


_ALL = (
    Preset(
        "ten-methods",
        "does a guard help each method at its usual strength? (IPF-RDA, Tables I and II; there 3 seeds, no control)",
        {"methods": TEN, "windows": (), "estimators": ("cdiea",), "seeds": 5},
    ),
    Preset(
        "estimators",
        "whose map should guide? (IPF-RDA, Table XIII, and the maps that cost nothing)",
        {
            "methods": ("trivialaugment", "cutout"),
            "windows": ("inside",),
            "estimators": ("cdiea", "occlusion", "saliency", "corners", "uniform", "centre"),
        },
    ),
    Preset(
        "beyond-centre",
        "does an image's own map beat both its control and one centre for all? two strengths (this project's own)",
        {
            "methods": ("cutout", "trivialaugment"),
            "strengths": (8, 16),
            "windows": ("inside",),
            "estimators": ("one_pass", "cdiea", "occlusion", "centre"),
            "seeds": 5,
        },
    ),
    Preset(
        "lengths",
        "how large may the region be? l from 8 to 24, windows of equal area (IPF-RDA, Table V and Fig. 8 c)",
        {
            "methods": ("cutout", "trivialaugment"),
            "strengths": (8, 16, 24),
            "windows": ("inside",),
            "estimators": ("cdiea",),
        },
    ),
    Preset(
        "quantiles",
        "how strict should the guard be? τ from 20 to 80 %, windows of equal area (IPF-RDA, Fig. 8 d)",
        {
            "methods": ("cutout", "trivialaugment"),
            "quantiles": (0.2, 0.4, 0.6, 0.8),
            "windows": ("inside",),
            "estimators": ("cdiea",),
        },
    ),
    Preset(
        "shapes",
        "what should be pasted back? rectangle, points or superpixel (IPF-RDA, Table X)",
        {
            "methods": ("trivialaugment",),
            "shapes": ("rectangle", "points", "superpixel"),
            "windows": ("inside",),
            "estimators": ("cdiea", "occlusion"),
        },
    ),
    Preset(
        "follow",
        "should evidence return to its old place, or to where the method moved it? (this project's own)",
        {
            "methods": ("trivialaugment", "randaugment", "autoaugment"),
            "follows": ("image", "map"),
            "estimators": ("cdiea", "occlusion"),
        },
    ),
    Preset(
        "windows",
        "does the guard keep evidence, or erase less? windows clipped at the border or inside (this project's own)",
        {
            "methods": ("cutout",),
            "strengths": (8, 12, 16),
            "windows": ("clipped", "inside"),
            "estimators": ("cdiea", "occlusion", "centre"),
        },
    ),
    Preset(
        "points",
        "where should AdvMask's squares lie? random, corners, salient, attacked points (AdvMask, Table 7)",
        {
            "methods": ("advmask",),
            "estimators": ("uniform", "corners", "saliency", "cdiea"),
            "arms": ("plain",),
        },
    ),
    Preset(
        "softened",
        "does it help that the label knows what Cutout took? three lengths (this project's own)",
        {
            "methods": ("cutout",),
            "strengths": (8, 12, 16),
            "rules": ("soften",),
            "estimators": ("area", "cdiea", "occlusion"),
        },
    ),
    Preset(
        "softened-crops",
        "does it help that the label knows what a random crop took? three paddings (this project's own)",
        {
            "methods": ("crop",),
            "strengths": (4, 8, 12),
            "rules": ("soften",),
            "estimators": ("area", "cdiea", "occlusion"),
        },
        {"crop_padding": 0},  # the crop is the method's, not every arm's
    ),
    Preset(
        "mixed-labels",
        "should the labels of a mixture go by area, importance (IPF-RDA, Eq. 12), or half of each? plain mixing",
        {
            "methods": ("cutmix", "mixup"),
            "rules": ("labels",),
            "labels": ("importance", "half"),
            "estimators": ("cdiea", "occlusion"),
        },
    ),
    Preset(
        "guarded-mixup",
        "does it help Mixup to blend pixel by pixel, for each image's own evidence? (this project's own)",
        {"methods": ("mixup",), "windows": (), "estimators": ("cdiea", "occlusion", "centre"), "seeds": 8},
    ),
    Preset(
        "mixup-strengths",
        "does guarded Mixup hold up where little is mixed? α 0.3 and 1 (this project's own)",
        {"methods": ("mixup",), "strengths": (0.3, 1.0), "windows": (), "estimators": ("occlusion", "centre")},
    ),
    Preset(
        "mixing",
        "how should images be mixed? blended or cut, two to five, by draw, stored maps or the model in training",
        {
            "methods": ("mixup", "dmixup", "cutmix", "dcutmix", "saliencydcutmix", "puzzlemix", "comixup"),
            # Beta and Dirichlet with α = 1, as the others have: methods differ in what they do, not in how much of it.
            "values": (("cutmix", "alpha", 1.0), ("dcutmix", "k", 3), ("dcutmix", "k", 5)),
            "windows": (),
            "estimators": (),
            "maps_of": (
                ("saliencydcutmix", "saliency"),
                ("saliencydcutmix", "cdiea"),
                ("puzzlemix", "live"),
                ("comixup", "live"),
            ),
            "arms": ("plain",),
            "seeds": 5,
        },
    ),
    Preset(
        "keep",
        "must the saliency be that of the model in training? live against stored (IPF-RDA, Tables V and VI)",
        {"methods": ("cutout", "autoaugment"), "estimators": ("live", "saliency")},
    ),
)
PRESETS = {entry.name: entry for entry in _ALL}
"""Every preset by name."""
