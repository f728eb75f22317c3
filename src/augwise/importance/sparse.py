"""The sparse adversarial attack behind the papers' importance maps: few pixels that decide the class.

A perturbation delta is multiplied by a mask m = sigmoid(alpha * F(delta)), F a small network per image (the encoder),
and both are trained so that x + delta * m changes the class with few open pixels; alpha grows until the mask is
binary. CDIEA (IPF-RDA) and AdvMask's attack are this one loop with two recipes: what is minimised, where the
perturbation starts and how alpha moves. The loop knows no recipe by name.

All images of a batch are attacked at once. Losses are summed and every norm, weight, alpha and stopping rule is kept
per image, so an image's result does not depend on its neighbours. The loop's state is in `descent`, images that come
and go in `continuous`. Touches nothing but tensors and the frozen model.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ..errors import UserError
from . import encoder_free, encoder_unet, encoders
from .classifier import check_eval, check_pixels
from .descent import Descent, check_epsilon
from .estimator import Estimated, Estimator

LINEAR_LIMIT = 64
"""Longest side in pixels of images for which the fully connected encoder is offered. Its matrix grows with the fourth
power of the side: 0.2 GB at 64 px with three channels, 3 GB at 128, 30 GB at 224."""

UNET_PIXELS = 1 << 20
"""Pixels of all images that are attacked together with U-Nets: 20 images of 224 px."""

Kind = Literal["linear", "unet", "shared_unet", "none"]
"""What lies between perturbation and mask."""


class Start(NamedTuple):
    """Where the attack on a batch begins, as a recipe decides.

    delta: (B, C, H, W) first perturbation; it is clipped to what is allowed.
    targets: (B,) int64, the class the recipe's loss speaks of (the one to reach, or the one to leave).
    scale: (B,) or (B, n) numbers per image that the recipe's loss may be measured by.
    possible: (B,) bool, images worth attacking; the others count as failed at once.
    """

    delta: Tensor
    targets: Tensor
    scale: Tensor
    possible: Tensor

    def rows(self, index: Tensor) -> Start:
        """The start of some of the images."""
        return Start(*(value[index] for value in self))


class SparseAttack(NamedTuple):
    """What the attack found, per image.

    delta: (B, C, H, W), |delta| <= epsilon and image + delta in [0, 1]; dense, the sparse one is ``delta * mask``.
    mask: (B, H, W) bool, the key points: where F(delta) > 0, which is m > 0.5, and delta is not zero.
    success: (B,) bool: argmax f(image + delta * mask) differs from the label.
    wrong_before: (B,) bool: the clean image was not recognised either.
    targets: (B,) int64, as in `Start`.
    """

    delta: Tensor
    mask: Tensor
    success: Tensor
    wrong_before: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Recipe(Estimator):
    """A sparse attack as an estimator of importance: the constants the loop needs, and four decisions left open.

    A concrete recipe says where to start (`start`), what to minimise (`class_loss`, `sparsity_weight`) and how alpha
    moves (`next_alpha`); it may ask for another attempt on the images that failed (`retry`).
    """

    needs_model: ClassVar[bool] = True
    sparse: ClassVar[bool] = True
    bf16: ClassVar[bool] = True

    epsilon: float = 8 / 255
    """Largest perturbation of a channel of a pixel, in pixel values of [0, 1]."""
    steps: int = 100
    """Steps of the attack, each one forward and one backward pass of the classifier. The papers give no number, the
    released code takes 360. Fewer fool the model as often but settle less on the points: 20, 50 and 100 steps share 46,
    58 and 63 % of them with 400 steps from other encoder weights (intersection over union; small CNN, 48 images)."""
    beta: float = 2 / 255
    """Step of the perturbation (Eq. 9), in pixel values."""
    momentum: float = 0.9
    """Decay sigma of the accumulated gradient of the perturbation (Eq. 9)."""
    gradient: Literal["full", "direct"] = "full"
    """Gradient of the perturbation: of the whole loss, or without the path through the encoder."""
    encoder_lr: float = 0.01
    """Learning rate of the encoder's SGD."""
    encoder_momentum: float = 0.9
    """Momentum of the encoder's SGD."""
    encoder_weight_decay: float = 5e-4
    """Weight decay of the encoder's SGD, on weights and bias."""
    encoder_seed: int = 0
    """Seed of the encoder's initial weights, which all images share."""
    alpha_start: float = 0.1
    """Sharpness of the mask at the first step."""
    alpha_end: float = 100.0
    """Sharpness of the mask at the last step, for a linear encoder and for none."""
    reduce: Literal["mean", "max"] = "mean"
    """How |delta| of the channels becomes one number per pixel in the importance (Eq. 10)."""
    floor: float | None = None
    """Smallest |delta| in the importance, so that a pixel held at 0 or 1 cannot dominate; by default epsilon / 4."""
    # Fields that came later are left out of a store's arguments where they have their default: old stores go on.
    encoder_kind: Literal["auto"] | Kind = field(default="auto", metadata={"later": True})
    """The network from perturbation to mask: one linear layer per image, a small U-Net per image, one U-Net for the
    whole batch (then images depend on their neighbours: for comparison only) or none, the mask's logits being the
    parameters (ablation). auto: linear up to 64 px, where its matrix still fits, a U-Net per image above."""
    unet_alpha_end: float = field(default=10.0, metadata={"later": True})
    """Sharpness of the mask at the last step for a U-Net, whose output is much larger than a linear layer's. The papers
    take 10 (IPF-RDA) and 5 (AdvMask)."""
    mistaken: Literal["attack", "fail"] = field(default="attack", metadata={"later": True})
    """Images that the model does not recognise even as they are: attacked like the others (they succeed with few
    points, which say little about their label), or counted as failed at once, with a map of zeros."""
    history: encoders.Kept = field(default="full", metadata={"later": True})
    """How a linear encoder keeps what it has learnt. full: exact; compact: in a third of the memory, with its output
    off by up to 0.3 % (see `encoders.LowRankLinear`), for many steps of images near 64 px where memory is short."""

    def __post_init__(self) -> None:
        check_epsilon(self.name, self.epsilon)
        positive = ("steps", "beta", "encoder_lr", "alpha_start", "alpha_end", "unet_alpha_end")
        for name in positive + (("floor",) if self.floor is not None else ()):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"{self.name}: {name} must be above 0 and finite, not {getattr(self, name)}")
        for name in ("momentum", "encoder_momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{self.name}: {name} must lie in [0, 1), not {getattr(self, name)}")
        if not 0 <= self.encoder_weight_decay < math.inf:
            raise UserError(
                f"{self.name}: encoder_weight_decay must be finite and not negative, not {self.encoder_weight_decay}"
            )
        for name in ("alpha_end", "unet_alpha_end"):
            if getattr(self, name) < self.alpha_start:
                raise UserError(
                    f"{self.name}: {name}={getattr(self, name)} lies below alpha_start={self.alpha_start}, but the "
                    "mask has to become sharper; the papers go from 0.1 to 100, with a U-Net to 5 or 10"
                )
        for name, choices in (
            ("gradient", ("full", "direct")),
            ("reduce", ("mean", "max")),
            ("encoder_kind", ("auto", *get_args(Kind))),
            ("mistaken", ("attack", "fail")),
            ("history", ("full", "compact")),
        ):
            one_of(self.name, name, getattr(self, name), choices)

    @abstractmethod
    def start(self, model: nn.Module, images: Tensor, labels: Tensor, logits: Tensor, seeds: list[int]) -> Start:
        """First perturbation and target; logits: (B, K) of the clean images."""

    @abstractmethod
    def class_loss(self, logits: Tensor, start: Start) -> Tensor:
        """(B, K) logits of the perturbed images -> (B,) the part of the loss that asks for another class."""

    @abstractmethod
    def sparsity_weight(self, share: Tensor) -> Tensor:
        """(B,) share of the mask above 0.5 -> (B,) weight of the mask's mean in the loss."""

    @abstractmethod
    def next_alpha(self, step: int | Tensor, alpha: Tensor, mask: Tensor) -> Tensor:
        """alpha after step ``step`` (from 0; one for all or (B,) of them): (B,) and the mask (B, H, W) that it made ->
        (B,)."""

    def retry(self) -> Recipe | None:
        """The recipe for another attempt, from the same start, on the images that failed; None: no other attempt."""
        return None

    def worth(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(B, K) clean logits, (B,) labels -> (B,) bool, which images ``mistaken`` lets be attacked at all."""
        right = logits.argmax(1) == labels
        return right if self.mistaken == "fail" else torch.ones_like(right)

    def kind(self, height: int, width: int) -> Kind:
        """The encoder for images of this size."""
        if self.encoder_kind != "auto":
            return self.encoder_kind
        return "linear" if max(height, width) <= LINEAR_LIMIT else "unet"

    def last_alpha(self, height: int, width: int) -> float:
        """alpha at the last step for images of this size."""
        return self.unet_alpha_end if "unet" in self.kind(height, width) else self.alpha_end

    def encoder(self, images: Tensor) -> encoders.Encoder:
        """Fresh encoders for a batch."""
        sgd = {"lr": self.encoder_lr, "momentum": self.encoder_momentum, "weight_decay": self.encoder_weight_decay}
        where = {"dtype": images.dtype, "device": images.device}
        match self.kind(*images.shape[2:]):
            case "linear":
                kept = {"history": self.history, "limit": self.epsilon}
                return encoders.LowRankLinear(images.shape, self.steps, **sgd, seed=self.encoder_seed, **where, **kept)
            case "unet":
                return encoder_unet.UNet(images.shape, **sgd, seed=self.encoder_seed, **where)
            case "shared_unet":
                return encoder_unet.SharedUNet(images.shape, **sgd, seed=self.encoder_seed, **where)
            case "none":
                return encoder_free.FreeLogits(images.shape, **sgd, **where)

    def at_once(self, height: int, width: int) -> int:
        """Bounds the memory of the U-Nets, each of which takes about as much as a small classifier (0.1 GB for an image
        of 224 px, both together)."""
        unet = "unet" in self.kind(height, width)
        return max(1, UNET_PIXELS // (height * width)) if unet else super().at_once(height, width)

    def memory(self, channels: int, height: int, width: int) -> int:
        """Bytes that a linear encoder keeps per image (float32), beside the classifier; 0 of others."""
        if self.kind(height, width) != "linear":
            return 0
        return encoders.LowRankLinear.bytes_per_image(channels, height, width, self.steps, self.history, torch.float32)

    def check(self, height: int, width: int) -> None:
        if self.kind(height, width) == "linear" and max(height, width) > LINEAR_LIMIT:
            gigabytes = 3 * (height * width) ** 2 * 4 / 1e9
            raise UserError(
                f"{self.name}: the linear encoder does not fit images of {height}x{width} (its weights would need "
                f"{gigabytes:.1f} GB); it is meant for sides up to {LINEAR_LIMIT} px. Use encoder_kind='unet'"
            )

    def cost(self, height: int, width: int) -> str:
        unet = ", each with one of a small U-Net" if "unet" in self.kind(height, width) else ""
        return f"{self.passes()} forward and backward passes per image{unet}"

    def passes(self) -> str:
        """How often the classifier is run on an image, in words."""
        return str(self.steps)

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:
        assert model is not None
        n = self.at_once(*images.shape[2:])
        parts = [
            attack(model, images[i : i + n], labels[i : i + n], self, seeds[i : i + n])
            for i in range(0, max(len(images), 1), n)
        ]
        return self.maps(SparseAttack(*(torch.cat(values) for values in zip(*parts, strict=True))))

    def maps(self, found: SparseAttack) -> Estimated:
        """What the attack found, as importance (Eq. 10); all zero where it failed."""
        floor = self.epsilon / 4 if self.floor is None else self.floor
        eta = importance(found.delta, found.mask & found.success[:, None, None], self.reduce, floor)
        return Estimated(eta.float(), ~found.success)


def one_of(owner: str, name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise `UserError` unless the value is one of the choices."""
    if value not in choices:
        raise UserError(f"{owner}: {name} must be one of {', '.join(choices)}, not {value!r}")


def importance(delta: Tensor, mask: Tensor, reduce: Literal["mean", "max"], floor: float) -> Tensor:
    """eta = 1 / max(reduce_c |delta_c|, floor) on the mask, 0 elsewhere (IPF-RDA, Eq. 10).

    A pixel that needs little perturbation is important. The paper prints a signed delta and one number per pixel; here
    it is the magnitude, reduced over the channels. delta: (B, C, H, W); mask: (B, H, W) bool -> (B, H, W).
    """
    size = delta.abs().mean(1) if reduce == "mean" else delta.abs().amax(1)
    return mask / size.clamp_min(floor)


@torch.no_grad()
def attack(
    model: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe, seeds: list[int] | None = None
) -> SparseAttack:
    """Sparse perturbations that change the class, for a batch of images.

        minimise over delta and the encoder F:  L_class(f(x + delta * m)) + mu * mean(m),   m = sigmoid(alpha F(delta))
        subject to |delta| <= epsilon and x + delta in [0, 1]

    by ``recipe.steps`` steps of sign descent with momentum on delta (IPF-RDA, Eq. 9; AdvMask, Eq. 5) and SGD on F; the
    recipe gives L_class, mu, the start and the course of alpha. Finally m is cut at 0.5.

    model: in eval mode, takes pixels in [0, 1], returns (B, K) logits; freeze its parameters to save memory.
    images: (B, C, H, W) floats in [0, 1] of any floating dtype (all arithmetic follows it); labels: (B,) int64.
    seeds: one per image, for recipes that draw; default zeros.
    Raises `UserError` for a model in training mode, one that returns NaN, pixels outside [0, 1] and labels outside the
    model's classes.
    """
    logits = clean_logits(model, images, labels)
    start = recipe.start(model, images, labels, logits, seeds if seeds is not None else [0] * len(images))
    delta = torch.zeros_like(images)
    mask = torch.zeros_like(images[:, 0], dtype=torch.bool)
    success = torch.zeros_like(labels, dtype=torch.bool)
    rows, attempt = start.possible.nonzero()[:, 0], recipe
    while attempt is not None and len(rows):
        descent = Descent(model, images[rows], labels[rows], start.rows(rows), attempt)
        for _ in range(attempt.steps):
            descent.step()
        delta[rows], mask[rows] = descent.hard()
        perturbed = images[rows] + delta[rows] * mask[rows, None]
        success[rows] = fooled(model(perturbed), labels[rows])
        rows, attempt = rows[~success[rows]], attempt.retry()
    return SparseAttack(delta, mask, success, logits.argmax(1) != labels, start.targets)


def clean_logits(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The logits of the images as they are; `UserError` where model, images or labels are of no use to an attack."""
    check_eval(model)
    check_pixels(images)
    logits = model(images)
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise UserError(
            f"labels {int(labels.min())} to {int(labels.max())}, but the model has {logits.shape[1]} classes"
        )
    if not bool(logits.isfinite().all()):
        raise UserError("the model returns NaN or infinite logits: check its weights")
    return logits


def fooled(logits: Tensor, labels: Tensor) -> Tensor:
    """(B, K), (B,) -> (B,) bool: taken for another class. Logits that are not finite say nothing."""
    return (logits.argmax(1) != labels) & logits.isfinite().all(1)
