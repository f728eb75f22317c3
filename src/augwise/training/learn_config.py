"""What a run learns from: all labels or few, LP-A3's images beside them. Part of `TrainConfig`; touches no torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import UserError

Objective = Literal["supervised", "uda", "fixmatch", "flexmatch"]

_CONFIDENCE = {"uda": 0.8, "fixmatch": 0.95, "flexmatch": 0.95}
_FEW_LABELS = ("labelled", "unlabelled_ratio", "epoch_steps", "confidence", "temperature", "unlabelled_weight")


@dataclass(frozen=True)
class LearnConfig:
    """Objective, labels and LP-A3 of one training run."""

    objective: Objective = "supervised"
    """supervised learns from all labels; uda, fixmatch and flexmatch from a few (--labelled) and from how the model
    sees the other images, weakly (crop and flip) and strongly (--method) augmented."""
    labelled: int | None = None
    """How many training images keep their labels, as many of each class as can be, drawn by data_seed; the labels of
    the others are never looked at."""
    unlabelled_ratio: int = 7
    """Images without label per labelled one in a step, of which batch_size counts the labelled."""
    epoch_steps: int | None = None
    """Steps that make an epoch; left out: one pass over the images without labels."""
    confidence: float | None = None
    """How sure the model must be of an image for its prediction to count; left out: 0.95 (0.8 for uda)."""
    temperature: float = 0.4
    """Of uda: predictions are sharpened by it."""
    unlabelled_weight: float = 1.0
    """Weight of the loss on images without labels."""

    lpa3: bool = False
    """Also train on what LP-A3 makes of the images: as far away as their label allows, in the eyes of the model in
    training."""
    lpa3_form: Literal["lagrangian", "tangent"] = "lagrangian"
    """The paper's steps, or this project's, which go as far in half the time."""
    lpa3_margin: float = 0.02
    """By how much (nats) the log-probability of the label may fall."""
    lpa3_iterations: int | None = None
    """Steps; left out: 5, and 1 for tangent."""
    lpa3_step: float | None = None
    """Change of log-probability that the first step aims at (lagrangian); left out: the margin."""
    lpa3_stride: float = 0.025
    """Root mean square change of the pixels, in [0, 1], in the first step (tangent)."""
    lpa3_cap: float | None = None
    """Largest root mean square change of the pixels in one step."""
    lpa3_back_off: int | None = None
    """Trials of shorter steps at the end, after which the margin holds; 0 as in the released programs, left out: 2, and
    3 for tangent."""
    lpa3_norms: Literal["fixed", "batch"] = "fixed"
    """Batch normalisation during the attack: with its running statistics, or the batch's."""
    lpa3_layers: tuple[str, ...] = ()
    """Layers whose features are compared; left out: where the network's stages end."""
    lpa3_auxiliary: bool = False
    """Give these images batch-norm layers of their own in training, as the released programs do."""
    lpa3_ratio: float = 1.0
    """Share of the images that it is done for: those whose predictions change the most from visit to visit."""
    lpa3_among: Literal["batch", "data"] = "batch"
    """That share of each batch, or of the whole data set."""
    lpa3_weight: float = 1.0
    """Weight of the loss on what it makes."""
    lpa3_warmup_epochs: int = 0
    """Epochs without it at the beginning."""
    lpa3_confidence: float = 0.9
    """With few labels: how sure the model must be of an image for its LP-A3 to count."""

    @property
    def few_labels(self) -> bool:
        """Whether there are images without labels."""
        return self.objective != "supervised"

    @property
    def sure(self) -> float:
        """The confidence asked for."""
        return _CONFIDENCE[self.objective] if self.confidence is None else self.confidence

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        known: dict[str, tuple[str, ...]] = {
            "objective": ("supervised", *_CONFIDENCE),
            "lpa3_form": ("lagrangian", "tangent"),
            "lpa3_norms": ("fixed", "batch"),
            "lpa3_among": ("batch", "data"),
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise UserError(f"{name}={getattr(self, name)!r} is unknown: use one of {', '.join(values)}")
        if not self.few_labels:
            _unused(self, _FEW_LABELS, "objective=supervised: set objective=fixmatch, say")
        elif self.labelled is None:
            raise UserError(f"objective={self.objective} learns from few labels: give labelled, how many, such as 40")
        if not self.lpa3:
            _unused(self, tuple(f.name for f in fields(self) if f.name.startswith("lpa3_")), "lpa3 off: set lpa3")
        for name in ("labelled", "unlabelled_ratio", "epoch_steps", "temperature", "lpa3_margin", "lpa3_iterations"):
            _above(self, name)
        for name in ("lpa3_step", "lpa3_stride", "lpa3_cap"):
            _above(self, name)
        for name in ("unlabelled_weight", "lpa3_weight", "lpa3_warmup_epochs", "lpa3_back_off"):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise UserError(f"{name}={getattr(self, name)}: give 0 or more")
        for name in ("confidence", "lpa3_confidence"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} is no probability to exceed: give 0 or more, below 1")
        if not 0 < self.lpa3_ratio <= 1:
            raise UserError(f"lpa3_ratio={self.lpa3_ratio} is no share of the images: give more than 0, at most 1")


def _unused(config: LearnConfig, names: tuple[str, ...], without: str) -> None:
    given = [name for name in names if getattr(config, name) != getattr(type(config), name)]
    if given:
        raise UserError(f"{', '.join(given)} {'has' if len(given) == 1 else 'have'} no use with {without}")


def _above(config: Any, name: str) -> None:
    value = getattr(config, name)
    if value is not None and not value > 0:
        raise UserError(f"{name}={value} is not positive: give a number above 0")
