"""The loop of the sparse attack as a state: images that are attacked together, each at a step of its own.

`sparse.attack` lets all of a batch begin and end together; `continuous.attack_stream` lets images leave and others take
their places. What an image goes through is the same in both. Nothing here waits for the device but where it says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import UserError

if TYPE_CHECKING:
    from .sparse import Recipe, Start

TOUCHED = 1e-3
"""A pixel counts as perturbed where some |delta_c| exceeds this share of epsilon: above rounding, below one step."""


@dataclass(frozen=True)
class Stop:
    """When an image has converged, so that its attack ends before the last step.

    At every ``every``-th of its own steps, an image has converged if

        argmax f(x + delta * m) is not the label,   at least ``binary`` of m is below 0.01 or above 0.99,   and
        the share of m above 0.5 has had no new minimum for ``patience`` steps.

    All of it comes out of the step itself, without another pass of the classifier. Then one forward pass decides with m
    cut at 0.5: if the label has changed, the image ends with this delta and m, else it waits ``patience`` steps more.

    The papers' alpha makes masks binary only in its last phase: at 0.99 an image hardly ever ends early. With the
    default, CDIEA's end after 70 of 100 steps on average, with 82 % of the points that all steps give (intersection
    over union; 69 % is what other first weights of the encoder leave); 0.3, 0.7 and 0.8 give 65, 80 and 89 steps and
    79, 86 and 89 %. As many succeed, with 137 points instead of 141 (small CNN, 128 images of CIFAR-10).
    """

    binary: float = 0.5
    patience: int = 10
    every: int = 5

    def __post_init__(self) -> None:
        if not 0 <= self.binary <= 1:
            raise UserError(f"Stop: binary is a share and must lie in [0, 1], not {self.binary}")
        for name in ("patience", "every"):
            if getattr(self, name) < 1:
                raise UserError(f"Stop: {name} is a number of steps, at least 1, not {getattr(self, name)}")


@dataclass(eq=False)
class Cohort:
    """Images of a batch that began together: at ``step`` (how many they have made) of ``recipe``.

    rows: (n,) int64, their places in the batch; None for the whole batch.
    """

    recipe: Recipe
    rows: Tensor | None = None
    step: int = 0

    def of(self, values: Tensor) -> Tensor:
        return values if self.rows is None else values[self.rows]

    def put(self, values: Tensor, mine: Tensor) -> Tensor:
        return mine if self.rows is None else values.index_copy(0, self.rows, mine)


class Descent:
    """Images (B, C, H, W) with labels (B,) on their way from ``start``, all in the first step of ``recipe``.

    Losses are summed and every norm, weight, alpha and rule is kept per image, so an image's way does not depend on
    its neighbours. Later ones may belong to recipes that differ from the first in what is minimised and in alpha.
    """

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor, start: Start, recipe: Recipe) -> None:
        self.model, self.recipe = model, recipe
        self.images, self.labels, self.start = images, labels, start
        self.low, self.high = bounds(images, recipe.epsilon)
        self.delta = start.delta.clamp(self.low, self.high)
        self.velocity = torch.zeros_like(self.delta)
        self.alpha = images.new_full((len(images), 1, 1), recipe.alpha_start)
        self.fewest = images.new_full((len(images),), 2.0)  # smallest share of open mask so far; 2: none yet
        self.stalled = torch.zeros_like(labels)  # steps since then
        self.encoder = recipe.encoder(images)
        self.cohorts = [Cohort(recipe)]
        self.seen = self.output = self.mask = self.logits = torch.empty(0)  # of the last step

    def step(self) -> None:
        """One step of every image: forward and backward pass of the classifier, sign step on delta, SGD on F."""
        recipe = self.recipe
        self.seen, self.output = self.delta, self.encoder.forward(self.delta)
        self.mask = mask = torch.sigmoid(self.alpha * self.output)
        grad = self._input_gradient(self.images + self.delta * mask[:, None])
        share = (mask > 0.5).to(mask.dtype).mean((1, 2))
        weight = self._by_recipe(lambda recipe, share: recipe.sparsity_weight(share), share)
        # L = L_class(x + delta * m) + mu * mean(m), differentiated by hand: autograd sees the classifier alone
        to_mask = (grad * self.delta).sum(1) + (weight / mask[0].numel())[:, None, None]
        through_encoder = self.encoder.backward(to_mask * self.alpha * mask * (1 - mask))
        grad = grad * mask[:, None]
        if recipe.gradient == "full":
            grad += through_encoder
        self.velocity.mul_(recipe.momentum).add_(unit_l1(grad))
        self.delta = (self.delta - recipe.beta * self.velocity.sign()).clamp_(self.low, self.high)
        self.encoder.step()
        self._watch(share)
        alpha = self.alpha[:, 0, 0]
        for cohort in self.cohorts:
            alpha = cohort.put(alpha, cohort.recipe.next_alpha(cohort.step, cohort.of(alpha), cohort.of(mask)))
            cohort.step += 1
        self.alpha = alpha[:, None, None]

    def _input_gradient(self, inputs: Tensor) -> Tensor:
        with torch.enable_grad():
            inputs = inputs.detach().requires_grad_()
            logits = self.model(inputs)
            parts = [
                recipe.class_loss(logits if rows is None else logits[rows], self._start(rows)).sum()
                for recipe, rows in self._recipes()
            ]
            loss = torch.stack(parts).sum() if len(parts) > 1 else parts[0]
        self.logits = logits.detach()
        return torch.autograd.grad(loss, inputs)[0]

    def _start(self, rows: Tensor | None) -> Start:
        return self.start if rows is None else self.start.rows(rows)

    def _recipes(self) -> list[tuple[Recipe, Tensor | None]]:
        """Every recipe with its rows; None where it is the only one (idle rows are then driven along)."""
        recipes = list({id(cohort.recipe): cohort.recipe for cohort in self.cohorts}.values())
        if len(recipes) == 1:
            return [(recipes[0], None)]
        rows = [[c.rows for c in self.cohorts if c.recipe is recipe and c.rows is not None] for recipe in recipes]
        return [(recipe, torch.cat(each)) for recipe, each in zip(recipes, rows, strict=True)]

    def _by_recipe(self, function: Callable[[Recipe, Tensor], Tensor], values: Tensor) -> Tensor:
        for recipe, rows in self._recipes():
            if rows is None:
                return function(recipe, values)
            values = values.index_copy(0, rows, function(recipe, values[rows]))
        return values

    def _watch(self, share: Tensor) -> None:
        fewer = share < self.fewest
        self.fewest = torch.where(fewer, share, self.fewest)
        self.stalled = torch.where(fewer, 0, self.stalled + 1)

    def hard(self) -> tuple[Tensor, Tensor]:
        """delta after the last step, and the pixels where F(delta) > 0 and delta is not zero, (B, H, W) bool."""
        return self.delta, key_points(self.delta, self.encoder.forward(self.delta), self.recipe.epsilon)

    def converged(self, stop: Stop) -> Tensor:
        """(B,) bool: where ``stop`` says that the last step need not have been made; what it saw is kept in ``seen``
        and ``output``."""
        binary = ((self.mask < 0.01) | (self.mask > 0.99)).to(self.mask.dtype).mean((1, 2)) >= stop.binary
        return (self.logits.argmax(1) != self.labels) & binary & (self.stalled >= stop.patience)

    def enter(self, rows: Tensor, images: Tensor, labels: Tensor, start: Start, recipe: Recipe) -> None:
        """Images take these places of the batch, (n,) int64, and begin."""
        low, high = bounds(images, recipe.epsilon)
        new = {
            "images": images, "labels": labels, "low": low, "high": high, "delta": start.delta.clamp(low, high),
            "velocity": torch.zeros_like(images), "alpha": self.alpha.new_full((len(rows), 1, 1), recipe.alpha_start),
            "fewest": self.fewest.new_full((len(rows),), 2.0), "stalled": torch.zeros_like(labels),
        }  # fmt: skip
        for name, values in new.items():
            setattr(self, name, getattr(self, name).index_copy(0, rows, values))
        pairs = zip(self.start, start, strict=True)
        self.start = type(start)(*(old.index_copy(0, rows, values) for old, values in pairs))
        self.encoder.restart(rows)
        self.cohorts.append(Cohort(recipe, rows))

    def keep(self, rows: Tensor) -> None:
        """Only these rows of the batch go on, in this order. Those of no cohort may be left out, others not."""
        to = torch.empty_like(self.labels).index_copy_(0, rows, torch.arange(len(rows), device=rows.device))
        for cohort in self.cohorts:
            cohort.rows = to if cohort.rows is None else to[cohort.rows]
        for name in ("images", "labels", "low", "high", "delta", "velocity", "alpha", "fewest", "stalled"):
            setattr(self, name, getattr(self, name)[rows])
        self.start = self.start.rows(rows)
        self.encoder.keep(rows)


def check_epsilon(owner: str, epsilon: float) -> None:
    """`UserError` unless this is a bound of pixel values in [0, 1]."""
    if not 0 < epsilon < math.inf:
        raise UserError(f"{owner}: epsilon must be above 0 and finite, not {epsilon}")
    if epsilon > 1:
        raise UserError(f"{owner}: epsilon is in pixel values of [0, 1]: not {epsilon}, but {epsilon}/255")


def bounds(images: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The least and the largest perturbation of every value: |delta| <= epsilon and x + delta in [0, 1]."""
    return (-images).clamp_min(-epsilon), (1 - images).clamp_max(epsilon)


def key_points(delta: Tensor, output: Tensor, epsilon: float) -> Tensor:
    """Where sigmoid(alpha F) > 0.5, for every alpha, and delta (B, C, H, W) is not zero: (B, H, W) bool."""
    return (output > 0) & (delta.abs().amax(1) > TOUCHED * epsilon)


def unit_l1(grad: Tensor) -> Tensor:
    """Each image's gradient divided by its L1 norm; a zero gradient stays zero."""
    norm = grad.abs().sum((1, 2, 3), keepdim=True)
    return grad / norm.clamp_min(torch.finfo(grad.dtype).tiny)
