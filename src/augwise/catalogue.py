"""The one explicit list of methods and estimators.

The command line, the contract tests, the comparison and the documentation read it; nothing registers itself by being
imported. This file imports no torch: an entry names its class, `Entry.load` fetches it.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from .errors import UserError

Kind = Literal["estimator", "deletion", "image", "mixing", "geometry"]


@dataclass(frozen=True)
class Entry:
    """One method or estimator.

    name: as on the command line; kind: what it does to an image ("deletion", "image" for whole-image transforms,
    "mixing", "geometry" for what only moves it and has no guard) or "estimator"; target: ``module:callable`` below
    augwise, whose keyword arguments are its options;
    strength: the option that a comparison turns up, usual: its value where a comparison names none (None: the
        method's own default); summary: one line for help and report.
    needs_map: of a method, whether its plain form consults the importance map as well.
    key_points: of an estimator, whether its maps are single points and zero elsewhere; others are dense.
    shared_unit: of an estimator, whether values of two images' maps may be compared as they are. Key points of one
        attack may (each counts 1/ε); drops of log-probability may not: they differ a thousandfold with confidence.
    """

    name: str
    kind: Kind
    target: str
    summary: str
    strength: str = ""
    usual: float | None = None
    needs_map: bool = False
    key_points: bool = False
    shared_unit: bool = False

    def load(self) -> Callable[..., Any]:
        """The class, or the factory function, that makes it."""
        module, name = self.target.split(":")
        return getattr(importlib.import_module(f"augwise.{module}"), name)


ENTRIES = (
    Entry(
        "cdiea",
        "estimator",
        "importance.cdiea:CDIEA",
        "sparse adversarial key points (IPF-RDA, Eq. 5-10)",
        key_points=True,
        shared_unit=True,
    ),
    Entry(
        "graded",
        "estimator",
        "importance.graded:Graded",
        "sparse attack that erases: what each place cost the true class on the way",
    ),
    Entry(
        "advmask_attack",
        "estimator",
        "importance.advmask:AdvMaskAttack",
        "sparse adversarial key points away from the label, from a dense start (AdvMask, Eq. 1-6)",
        key_points=True,
        shared_unit=True,
    ),
    Entry(
        "occlusion",
        "estimator",
        "importance.occlusion:Occlusion",
        "mean drop of the true class's log-probability when a window over the pixel is covered",
    ),
    Entry("saliency", "estimator", "importance.saliency:GradientSaliency", "absolute input gradient"),
    Entry(
        "smoothgrad",
        "estimator",
        "importance.smoothgrad:SmoothGrad",
        "absolute input gradient averaged over noisy copies (Smilkov et al. 2017)",
    ),
    Entry(
        "rise",
        "estimator",
        "importance.rise:RISE",
        "what the true class's score gains where random masks let a pixel be seen (Petsiuk et al. 2018)",
    ),
    Entry(
        "gradcam",
        "estimator",
        "importance.grad_cam:GradCAM",
        "last feature map, weighted by its gradient (Selvaraju et al. 2017)",
    ),
    Entry(
        "intensity",
        "estimator",
        "importance.intensity:PixelIntensity",
        "distance of a pixel's colour from the background, needs no model",
        shared_unit=True,
    ),
    Entry(
        "one_pass",
        "estimator",
        "importance.one_pass:OnePass",
        "a small network that distil trained on the data set: one forward pass per map",
    ),
    Entry("corners", "estimator", "importance.corners:HarrisCorners", "Harris corner response, needs no model"),
    Entry(
        "centre",
        "estimator",
        "importance.centre:CentrePrior",
        "one fixed Gaussian at the centre: the lower bar",
        shared_unit=True,
    ),
    Entry(
        "area",
        "estimator",
        "importance.area:FlatPrior",
        "every pixel alike: the share of the area that is visible",
        shared_unit=True,
    ),
    Entry(
        "uniform",
        "estimator",
        "importance.uniform:UniformRandom",
        "random key points: no information at all",
        key_points=True,
        shared_unit=True,
    ),
    Entry(
        "cutout",
        "deletion",
        "transforms.cutout:Cutout",
        "erase one square (DeVries and Taylor 2017)",
        "length",
        usual=16,
    ),
    Entry(
        "randomerasing",
        "deletion",
        "transforms.random_erasing:RandomErasing",
        "erase one rectangle of random area and aspect (Zhong et al. 2020)",
        "length",
    ),
    Entry("hideandseek", "image", "transforms.masking:hideandseek", "hide random patches of a grid", "p_hide"),
    Entry("gridmask", "image", "transforms.masking:gridmask", "delete a regular grid of squares", "ratio"),
    Entry(
        "advmask",
        "image",
        "transforms.masking:advmask",
        "hide squares on the key points of the image's map (Yang et al. 2023)",
        "share",
        needs_map=True,
    ),
    Entry("trivialaugment", "image", "transforms.policies:trivialaugment", "one random operation per image", "length"),
    Entry("randaugment", "image", "transforms.policies:randaugment", "a few random operations per image", "magnitude"),
    Entry("autoaugment", "image", "transforms.policies:autoaugment", "published policies of operation pairs", "length"),
    Entry(
        "fastautoaugment",
        "image",
        "transforms.policies:fastautoaugment",
        "hundreds of released operation pairs (Lim et al. 2019)",
        "length",
    ),
    Entry("colorjitter", "image", "transforms.policies:colorjitter", "brightness, contrast, saturation", "strength"),
    Entry(
        "cutmix", "mixing", "mixing.cutmix:CutMix", "paste a box of another image (Yun et al. 2019)", "length", usual=16
    ),
    Entry(
        "mixup",
        "mixing",
        "mixing.mixup:Mixup",
        "blend with another image (Zhang et al. 2018)",
        "alpha",
        usual=1.0,
    ),
    Entry("dmixup", "mixing", "mixing.dmixup:DMixup", "blend K images (Jeong et al. 2023)", "k", usual=3),
    Entry("dcutmix", "mixing", "mixing.dcutmix:DCutMix", "K images in nested boxes (Jeong et al. 2023)", "k", usual=3),
    Entry(
        "saliencydcutmix",
        "mixing",
        "mixing.saliency_dcutmix:SaliencyDCutMix",
        "K images in nested boxes, each showing its evidence",
        "k",
        usual=3,
        needs_map=True,
    ),
    Entry(
        "saliencymix",
        "mixing",
        "mixing.saliency_mix:SaliencyMix",
        "paste the most salient part of another image (Uddin et al. 2021)",
        "alpha",
        usual=1.0,
    ),
    Entry("fmix", "mixing", "mixing.fmix:FMix", "join along random blobs (Harris et al. 2020)", "alpha", usual=1.0),
    Entry(
        "resizemix",
        "mixing",
        "mixing.resize_mix:ResizeMix",
        "paste the whole of another image, made smaller (Qin et al. 2020)",
        "largest",
        usual=0.8,
    ),
    Entry(
        "puzzlemix",
        "mixing",
        "mixing.puzzle_mix:PuzzleMix",
        "two images as a puzzle of their salient blocks (Kim et al. 2020)",
        "alpha",
        usual=1.0,
        needs_map=True,
    ),
    Entry(
        "comixup",
        "mixing",
        "mixing.co_mixup:CoMixup",
        "a batch of puzzles made together, unlike one another (Kim et al. 2021)",
        "alpha",
        usual=2.0,
        needs_map=True,
    ),
    Entry(
        "crop",
        "geometry",
        "transforms.crop_flip:random_crop",
        "pad and cut out at a random place",
        "padding",
        usual=4,
    ),
)


def estimators() -> dict[str, Entry]:
    """Every importance estimator by name."""
    return {e.name: e for e in ENTRIES if e.kind == "estimator"}


def methods() -> dict[str, Entry]:
    """Every augmentation method by name."""
    return {e.name: e for e in ENTRIES if e.kind != "estimator"}


def find(name: str, among: dict[str, Entry], also: tuple[str, ...] = ()) -> Entry:
    """The entry called ``name``; an unknown name is a `UserError` that lists what there is, and what ``also`` may be
    given where it is asked for."""
    if name in among:
        return among[name]
    known = (*among, *also)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(f"{name!r} is unknown: {hint}choose one of {', '.join(known)}")
