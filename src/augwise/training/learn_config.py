"""What a run learns from: all labels or few, LP-A3's images beside them. Part of `TrainConfig`; touches no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from ..errors import UserError

Objective = Literal[
    "supervised", "uda", "fixmatch", "flexmatch", "pes", "dividemix", "p_correction", "m_correction", "reid"
]  # fmt: skip

_CONFIDENCE = {"uda": 0.8, "fixmatch": 0.95, "flexmatch": 0.95}
_FEW_LABELS = ("labelled", "unlabelled_ratio", "epoch_steps", "confidence")
_WRONG_LABELS: dict[str, tuple[str, ...]] = {
    "pes": ("early_epochs", "refine_epochs", "refine_lr", "ramp_epochs", "mix_alpha"),
    "dividemix": ("early_epochs", "ramp_epochs", "mix_alpha", "clean", "penalty"),
    "p_correction": ("early_epochs", "correct_epochs", "label_lr", "compatibility", "entropy"),
    "m_correction": ("early_epochs", "mix_alpha", "balance"),
}
_DOUBTFUL = tuple(dict.fromkeys(name for names in _WRONG_LABELS.values() for name in names))
_REID = ("reid_images", "reid_loss", "reid_margin", "reid_weight")
_NOT_NEGATIVE = ("refine_epochs", "ramp_epochs", "penalty", "correct_epochs", "compatibility", "entropy", "balance")
_NOT_NEGATIVE += ("reid_margin", "reid_weight")
USUAL: dict[str, dict[str, float]] = {
    "confidence": _CONFIDENCE,
    "temperature": {"uda": 0.4, "pes": 0.5, "dividemix": 0.5},
    "unlabelled_weight": {**dict.fromkeys(_CONFIDENCE, 1.0), "pes": 15.0, "dividemix": 25.0},
    "mix_alpha": {"pes": 4.0, "dividemix": 4.0, "m_correction": 32.0},
}


@dataclass(frozen=True)
class LearnConfig:
    """Objective, labels and LP-A3 of one training run."""

    objective: Objective = "supervised"
    """supervised learns from all labels; uda, fixmatch and flexmatch from a few (--labelled) and from how the model
    sees the other images, weakly (crop and flip) and strongly (--method) augmented; pes and dividemix from labels of
    which some are wrong, by finding out which: with one network, and with two; p_correction and m_correction from the
    same, by learning what the labels should be, and by blending them with predictions. reid tells identities apart and
    keeps the images of each together, for people it has never seen (market1501, cuhk03, digit-people)."""
    noise: float = 0.0
    """Share of the training labels that are drawn anew before anything else happens, by data_seed."""
    noise_kind: Literal["symmetric", "asymmetric"] = "symmetric"
    """symmetric: any class alike, the true one too; asymmetric: the class that it is mistaken for, the next one or, of
    CIFAR-10, the similar one."""
    labelled: int | None = None
    """How many training images keep their labels, as many of each class as can be, drawn by data_seed; the labels of
    the others are never looked at."""
    unlabelled_ratio: int = 7
    """Images without label per labelled one in a step, of which batch_size counts the labelled."""
    epoch_steps: int | None = None
    """Steps that make an epoch; left out: one pass over the images without labels."""
    confidence: float | None = None
    """How sure the model must be of an image for its prediction to count; left out: 0.95 (0.8 for uda)."""
    temperature: float | None = None
    """Predictions are sharpened by it; left out: 0.4 for uda, 0.5 for pes and dividemix."""
    unlabelled_weight: float | None = None
    """Weight of the loss on images without labels, or whose labels are not trusted; left out: 1 for few labels, 15 for
    pes, 25 for dividemix."""
    early_epochs: int | None = None
    """With wrong labels: epochs of plain training (m_correction: mixup), after which labels are judged; left out: a
    quarter of all, for m_correction a third."""
    refine_epochs: int = 5
    """Of pes: passes in which the last layer alone, begun anew, is trained after them."""
    refine_lr: float = 1e-4
    """Of pes: their learning rate (Adam); a few thousand images take a hundred times that, or more passes."""
    ramp_epochs: int = 16
    """Of pes and dividemix: epochs in which unlabelled_weight is reached."""
    mix_alpha: float | None = None
    """Of pes, dividemix and m_correction: images are mixed by Beta(alpha, alpha); left out: 4, for m_correction 32."""
    clean: float = 0.5
    """Of dividemix: how probable it must be, by its loss, that a label is right for it to be trusted."""
    penalty: float = 0.0
    """Of dividemix: weight of the negative entropy of predictions in the early epochs, 1 for asymmetric noise."""
    correct_epochs: int | None = None
    """Of p_correction: epochs after the early ones in which labels are learned; left out: 13 of 32."""
    label_lr: float | None = None
    """Of p_correction: learning rate of the labels; left out: 600 for 128 images a step and 130 such epochs, more for
    more images and for fewer epochs."""
    compatibility: float | None = None
    """Of p_correction: weight of what keeps learned labels near those given; left out: 1 / classes; with more
    a label at rest never changes its class."""
    entropy: float = 0.4
    """Of p_correction: weight of the entropy of predictions, while labels are learned."""
    balance: float = 1.0
    """Of m_correction: weight of what keeps all classes predicted."""

    reid_images: int = 4
    """Of reid: images of each identity in a step (K), of which batch_size is a multiple (P times K); where an identity
    has fewer, some come twice."""
    reid_loss: Literal["batch_hard", "multi_similarity", "circle"] = "batch_hard"
    """Of reid, beside the cross-entropy: the triplet loss of the hardest examples, or those of pytorch-metric-learning,
    which has to be installed."""
    reid_margin: float = 0.3
    """Of reid: by how much another identity is to be farther away than one's own (batch_hard)."""
    reid_weight: float = 1.0
    """Of reid: weight of that loss."""

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
    lpa3_stride: float = 0.1
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
    lpa3_auxiliary: bool = True
    """Give these images batch-norm layers of their own in training, as the released programs do; shared ones learn
    statistics that images at test time do not have."""
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

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> LearnConfig:
        """The settings that a run's results tell; what an older run does not mention has its usual value."""
        given: dict[str, Any] = {f.name: told[f.name] for f in fields(cls) if f.name in told}
        for name, value in given.items():
            if isinstance(value, list):
                given[name] = tuple(value)
        return cls(**given)

    @property
    def few_labels(self) -> bool:
        """Whether there are images without labels."""
        return self.objective in _CONFIDENCE

    @property
    def of_people(self) -> bool:
        """Whether it is re-identification: measured by ranking images of others."""
        return self.objective == "reid"

    @property
    def wrong_labels(self) -> bool:
        """Whether labels are judged."""
        return self.objective in _WRONG_LABELS

    def chosen(self, name: str) -> Any:
        """A setting, or its usual value for this objective where it was left out."""
        value = getattr(self, name)
        return USUAL[name].get(self.objective) if value is None else value

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        known: dict[str, tuple[str, ...]] = {
            "objective": ("supervised", *_CONFIDENCE, *_WRONG_LABELS, "reid"),
            "reid_loss": ("batch_hard", "multi_similarity", "circle"),
            "noise_kind": ("symmetric", "asymmetric"),
            "lpa3_form": ("lagrangian", "tangent"),
            "lpa3_norms": ("fixed", "batch"),
            "lpa3_among": ("batch", "data"),
        }
        for name, values in known.items():
            if getattr(self, name) not in values:
                raise UserError(f"{name}={getattr(self, name)!r} is unknown: use one of {', '.join(values)}")
        if not 0 <= self.noise <= 1:
            raise UserError(f"noise={self.noise} is no share of the labels: give a number from 0 to 1")
        if not self.noise:
            _unused(self, ("noise_kind",), "noise=0: set noise, say 0.5")
        if not self.few_labels:
            _unused(self, _FEW_LABELS, f"objective={self.objective}: set objective=fixmatch, say")
        elif self.labelled is None:
            raise UserError(f"objective={self.objective} learns from few labels: give labelled, how many, such as 40")
        if not self.wrong_labels:
            _unused(self, _DOUBTFUL, f"objective={self.objective}: set objective=dividemix or pes")
        else:
            others = tuple(name for name in _DOUBTFUL if name not in _WRONG_LABELS[self.objective])
            _unused(self, others, f"objective={self.objective}")
        if self.objective not in USUAL["temperature"]:
            _unused(self, ("temperature",), f"objective={self.objective}: it sharpens nothing")
        if self.objective not in USUAL["unlabelled_weight"]:
            _unused(self, ("unlabelled_weight",), f"objective={self.objective}: all images have labels")
        if self.objective != "reid":
            _unused(self, _REID, f"objective={self.objective}: set objective=reid")
        elif self.lpa3 or self.noise:
            raise UserError("objective=reid takes neither lpa3 nor noise: leave them out")
        if self.reid_loss != "batch_hard":
            _unused(self, ("reid_margin",), f"reid_loss={self.reid_loss}")
        if self.reid_images < 2:
            raise UserError(f"reid_images={self.reid_images}: an identity takes at least 2 images of a step")
        if not self.lpa3:
            _unused(self, tuple(f.name for f in fields(self) if f.name.startswith("lpa3_")), "lpa3 off: set lpa3")
        for name in ("labelled", "unlabelled_ratio", "epoch_steps", "temperature", "lpa3_margin", "lpa3_iterations"):
            _above(self, name)
        for name in ("lpa3_step", "lpa3_stride", "lpa3_cap", "mix_alpha", "early_epochs", "refine_lr", "label_lr"):
            _above(self, name)
        for name in ("unlabelled_weight", "lpa3_weight", "lpa3_warmup_epochs", "lpa3_back_off", *_NOT_NEGATIVE):
            if getattr(self, name) is not None and not getattr(self, name) >= 0:
                raise UserError(f"{name}={getattr(self, name)}: give 0 or more")
        for name in ("confidence", "lpa3_confidence", "clean"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} is no probability to exceed: give 0 or more, below 1")
        if not 0 < self.lpa3_ratio <= 1:
            raise UserError(f"lpa3_ratio={self.lpa3_ratio} is no share of the images: give more than 0, at most 1")
        if self.lpa3 and self.objective in ("p_correction", "m_correction"):
            raise UserError(
                f"objective={self.objective} sets no images apart that lpa3 could move: leave it out, or set "
                "objective=dividemix or pes"
            )
        if self.wrong_labels and self.lpa3:
            names = ("lpa3_ratio", "lpa3_among", "lpa3_weight", "lpa3_warmup_epochs", "lpa3_confidence")
            _unused(self, names, f"objective={self.objective}, which moves all images that are not trusted")


def _unused(config: LearnConfig, names: tuple[str, ...], without: str) -> None:
    given = [name for name in names if getattr(config, name) != getattr(type(config), name)]
    if given:
        raise UserError(f"{', '.join(given)} {'has' if len(given) == 1 else 'have'} no use with {without}")


def _above(config: Any, name: str) -> None:
    value = getattr(config, name)
    if value is not None and not value > 0:
        raise UserError(f"{name}={value} is not positive: give a number above 0")
