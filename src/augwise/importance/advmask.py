"""AdvMask's attack: the few pixels that a sparse attack away from the label needs, from a dense attack's start.

AdvMask, Section 3.1, Eq. 1 to 6; what the paper leaves open as in the code released with IPF-RDA. This file says from
where the attack starts, what is minimised and how alpha rises; the loop, the encoders and the constants that every
sparse attack has are in `sparse`. Touches nothing but tensors and the frozen model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import randomness
from ..errors import UserError
from .cdiea import Target, binary_share, wrong_class
from .class_score import log_probability
from .descent import bounds, unit_l1
from .sparse import Recipe, Start, one_of


@dataclass(frozen=True)
class AdvMaskAttack(Recipe):
    """Key points by a sparse attack away from the label (AdvMask, Section 3.1), or towards another class.

        L = max(l, leak * l) + lambda * mean(m),    l = 1 - CE(f(x + delta * m), y) / CE_init          (Eq. 3)
        lambda = constant + gamma * share of m above 0.5                                               (Eq. 4)
        m = sigmoid(alpha * F(delta)),  alpha from alpha_start to alpha_end                            (Eq. 2)

    delta starts where ``dense_steps`` of momentum PGD from U(-epsilon, epsilon) have led, and CE_init is the loss
    there: l is 1 where nothing is gained and 0 where the sparse attack is as good as the dense one; beyond that it
    counts little, and sparsity takes over. **Towards a class y*** the same measure is read the other way, and the loss
    descends CE to y*:

        l = (CE(f(x + delta * m), y*) - CE_init) / (CE_clean - CE_init),    CE_init of a dense attack towards y*

    (the denominator at least log 2, for an image that is taken for y* already). alpha rises linearly until the last
    phase, then only for images whose mask is not yet binary, and faster. Images that end as they began, taken for their
    label, are attacked once more from the same start with a tenth of gamma.

    Success means, in every form, that the image with the sparse perturbation is not taken for its label. An image that
    even the dense attack cannot fool, as with a model that has no gradient, counts as failed at once: its map is all
    zero. An image that the model mistakes already is attacked like any other unless ``mistaken`` says otherwise.

    The paper prints delta_0 = 0 in its algorithm and a random start in its text, and no leak, gamma, constant, steps,
    beta or momentum; those here are the released code's (which takes 360 steps and an epsilon of 4/255).
    """

    name: ClassVar[str] = "advmask_attack"

    target: Literal["untargeted"] | Target = "untargeted"
    """Away from the label, or towards the clean image's most or least likely wrong class or a random one."""
    gamma: float = 10.0
    """Weight of sparsity (Eq. 4): more gives fewer points and more failed attacks. The released code takes 10 for
    CIFAR, the paper 100 on other data."""
    constant: float = 1.0
    """Least weight of sparsity, the C of Eq. 4."""
    leak: float = 0.05
    """How much of the class loss still counts once the sparse attack is better than the dense one (eta of Eq. 3)."""
    dense_steps: int = 80
    """Steps of the dense attack at the start, with the same beta and momentum."""
    attempts: int = 2
    """How often an image is tried, each time with a tenth of the gamma before."""
    last_phase: float = 1 / 6
    """Share of the steps in which alpha rises only while the mask is not binary."""
    last_phase_factor: float = 10.0
    """How much faster alpha then rises."""
    binary_share: float = 0.99
    """Share of the mask below 0.01 or above 0.99 from which it counts as binary."""
    unet_alpha_end: float = field(default=5.0, metadata={"later": True})
    """Sharpness of the mask at the last step for a U-Net (Section 4.1, on images of 64 px and more)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self.name, "target", self.target, ("untargeted", "most_likely", "random", "least_likely"))
        for name in ("gamma", "constant", "last_phase_factor"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{self.name}: {name} must be finite and not negative, not {getattr(self, name)}")
        for name in ("leak", "last_phase", "binary_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{self.name}: {name} is a share and must lie in [0, 1], not {getattr(self, name)}")
        for name in ("dense_steps", "attempts"):
            if getattr(self, name) < 1:
                raise UserError(f"{self.name}: {name} must be at least 1, not {getattr(self, name)}")

    def start(self, model: nn.Module, images: Tensor, labels: Tensor, logits: Tensor, seeds: list[int]) -> Start:
        worth, towards = self.worth(logits, labels), self.target != "untargeted"
        classes = labels if self.target == "untargeted" else wrong_class(logits, labels, self.target, seeds)
        delta = momentum_pgd(
            model,
            images,
            uniform_start(images, self.epsilon, seeds),
            classes,
            towards=towards,
            epsilon=self.epsilon,
            steps=self.dense_steps,
            beta=self.beta,
            momentum=self.momentum,
        )
        attacked = model(images + delta)
        if not bool(attacked.isfinite().all()):
            raise UserError(f"{self.name}: the model returns NaN or infinite logits for perturbed images")
        reached = -log_probability(attacked, classes)
        gained = -log_probability(logits, classes) - reached if towards else reached
        span = gained.clamp_min(math.log(2)) * (1 if towards else -1)
        return Start(delta, classes, torch.stack([reached, span], 1), worth & (attacked.argmax(1) != labels))

    def class_loss(self, logits: Tensor, start: Start) -> Tensor:
        reached, span = start.scale.unbind(1)
        return F.leaky_relu((-log_probability(logits, start.targets) - reached) / span, self.leak)

    def sparsity_weight(self, share: Tensor) -> Tensor:
        return self.constant + self.gamma * share

    def next_alpha(self, step: int | Tensor, alpha: Tensor, mask: Tensor) -> Tensor:
        rise = (self.last_alpha(*mask.shape[1:]) - self.alpha_start) / self.steps
        last, binary = step >= round(self.steps * (1 - self.last_phase)), binary_share(mask) >= self.binary_share
        faster = torch.where(last & ~binary, alpha + self.last_phase_factor * rise, alpha + rise)
        return torch.where(last & binary, alpha, faster)

    def retry(self) -> AdvMaskAttack | None:
        return replace(self, gamma=self.gamma / 10, attempts=self.attempts - 1) if self.attempts > 1 else None

    def passes(self) -> str:
        again = f" to {self.attempts * self.steps}" if self.attempts > 1 else ""
        return f"{self.dense_steps} + {self.steps}{again}"


def uniform_start(images: Tensor, epsilon: float, seeds: list[int]) -> Tensor:
    """U(-epsilon, epsilon) for every channel of every pixel, by its image's seed. (B, C, H, W) -> the same."""
    draws = [randomness.uniform(*images.shape[1:], generator=randomness.generator(s, "dense start")) for s in seeds]
    noise = torch.stack(draws) if draws else torch.zeros(images.shape, dtype=torch.float64)
    return ((2 * noise - 1) * epsilon).to(images)


@torch.no_grad()
def momentum_pgd(
    model: nn.Module,
    images: Tensor,
    delta: Tensor,
    classes: Tensor,
    *,
    towards: bool,
    epsilon: float,
    steps: int,
    beta: float,
    momentum: float,
) -> Tensor:
    """A dense attack: projected gradient descent with signs and momentum (MI-FGSM, Dong et al. 2018).

        g <- momentum * g + grad / ||grad||_1,   delta <- clip(delta -+ beta * sign(g)),   |delta| <= epsilon

    on the cross-entropy to ``classes`` (B,), which falls where ``towards`` is true and rises otherwise. images, delta:
    (B, C, H, W), pixels in [0, 1], images + delta too. The loss is `log_probability`, whose gradient does not vanish in
    rounding where the model is certain; where there is none at all, delta stays. Returns the last delta.
    """
    low, high = bounds(images, epsilon)
    delta, velocity = delta.clamp(low, high), torch.zeros_like(delta)
    for _ in range(steps):
        with torch.enable_grad():
            inputs = (images + delta).requires_grad_()
            score = log_probability(model(inputs), classes).sum()
        grad = torch.autograd.grad(score, inputs)[0]
        velocity = momentum * velocity + unit_l1(grad if towards else -grad)
        delta = (delta + beta * velocity.sign()).clamp(low, high)
    return delta
