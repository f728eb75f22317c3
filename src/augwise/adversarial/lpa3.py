"""LP-A3: the image as far away in the model's eyes as its label allows, made by the model in training itself.

Yang et al., "Adversarial auto-augment with label preservation: a representation learning principle guided approach"
(NeurIPS 2022). Touches no parameter, no parameter's gradient and no statistic of the model. Draws one number from
torch's CPU stream, the seed of the starting noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, final

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..labels import MixedLabels
from ..sample import Batch
from .norms import Norms, held
from .perceptual import PerceptualDistance

Form = Literal["lagrangian", "tangent"]
Slope = Literal["secant", "difference"]

_SAFETY = 0.9  # a trial of the back-off aims at this share of the margin
_PROBE = 0.025  # length of the finite difference: the released code's 0.1 in units of about four pixel values
_FLAT = 1e-4  # added to slopes, as in the released code


class Moved(NamedTuple):
    """What LP-A3 made of N images, and how far it went.

    images: x′, like the images given. distance: LPIPS(x, x′) (Eq. 3). drop: log p_y(x) − log p_y(x′), in nats; at most
    the margin with back-off. kept: whether x′ is predicted as its label says, or x was not either (of mixed labels that
    with the largest weight). Each (N,), of the attack's own forward passes.
    """

    images: Tensor
    distance: Tensor
    drop: Tensor
    kept: Tensor


@final
class LPA3:
    """x′ = argmax LPIPS(x, x′)  such that  log p_y(x′) ≥ log p_y(x) − σ        (LP-A3, Eq. 4, relaxed; p. 6)

    The paper prints a minimum there and in Eq. 5, which x itself would solve; its text, its objective (2) and its code
    maximise. Call it in a training step, before the loss, and train on both:

        augment = aw.LPA3(model)
        farther = augment(images, labels)                # or augment(batch), which keeps maps and indices
        loss = criterion(model(images), labels) + criterion(model(farther), labels)

    model: the classifier in training, in any mode: it is attacked in evaluation mode (see norms) and left as it was.
    layers: where φ looks, see `PerceptualDistance`.
    form: "lagrangian" takes the paper's steps (Eq. 5, by the fast Lagrangian attack): with g the unit gradient of
        −LPIPS + λ_i max(0, drop − σ), δ ← δ − g s_i / slope, where λ_i = multiplier · rise^(i/T − 1) rises,
        s_i = step · decay^(i/T) falls, and slope is how fast log p_y changes with distance. "tangent" is this
        project's: from each point a step of length stride · decay^(i/T) along the gradient of LPIPS without its
        component along ∇ log p_y, and back along that as far as the drop so far asks. It needs two gradients a step,
        but where the Lagrangian's five iterations go, one of these goes as well.
    margin: σ > 0, in nats of log-probability.
    iterations: T; left out, 5, and 1 for "tangent".
    step: of the Lagrangian, the change of log p_y that the first step aims at; left out: the margin, as in the released
        code. multiplier, decay, rise: of the schedules above; the released code's are 1, 0.1 and 10.
    stride: of the tangent form, the root mean square change of the pixels in its first step.
    slope: "secant" between this point and the last one, at no cost; "difference", one more forward pass per step.
    cap: largest root mean square change of the pixels in one step; a saturated image has slope 0 and would jump.
    noise: the start is x + U(−noise, noise) per pixel.
    back_off: trials of shorter steps on the way to the last point, the first being that point itself; the farthest of
        all points that keep the margin is returned, x itself where there is no other. The tangent form, whose stride
        knows nothing of the margin, tries longer steps as well, each at most twice the last. 0: the last point,
        unchecked, as in the released code, which leaves the margin on many images. Left out: 2, and 3 for "tangent".
    norms: "fixed" or "batch", see `held`; for a second set of batch-norm layers call this within
        `AuxiliaryBatchNorm.active`.
    low, high: bounds of the pixels, numbers or one for each channel; (0 − mean) / std and (1 − mean) / std for
        normalised ones. noise, stride and cap are in the same units.

    Labels are (N,) int64 or `MixedLabels`, whose Σ_c t_c log p_c then stands for log p_y; of unlabelled images give the
    classes predicted. Cost in forward passes, a backward pass to the image counting as one: 1 + 2 T + back_off, of the
    tangent form 1 + 3 T + back_off; a training step is three. `last` tells of the latest call: a `Moved` without
    images, for logs. Raises `UserError` for pixels out of bounds, shapes that do not fit, and settings out of range.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str] | None = None,
        *,
        form: Form = "lagrangian",
        margin: float = 0.02,
        iterations: int | None = None,
        step: float | None = None,
        multiplier: float = 1.0,
        decay: float = 0.1,
        rise: float = 10.0,
        stride: float = 0.1,
        slope: Slope = "secant",
        cap: float | None = None,
        noise: float = 0.0025,
        back_off: int | None = None,
        norms: Norms = "fixed",
        low: float | Sequence[float] | Tensor = 0.0,
        high: float | Sequence[float] | Tensor = 1.0,
    ) -> None:
        tangent = form == "tangent"
        for name, value, known in (
            ("form", form, ("lagrangian", "tangent")),
            ("slope", slope, ("secant", "difference")),
            ("norms", norms, ("fixed", "batch")),
        ):
            if value not in known:
                raise UserError(f"{name}={value!r} is unknown: use {' or '.join(map(repr, known))}")
        self.iterations = (1 if tangent else 5) if iterations is None else iterations
        self.back_off = (3 if tangent else 2) if back_off is None else back_off
        self.step = margin if step is None else step
        positive = {"margin": margin, "step": self.step, "iterations": self.iterations, "stride": stride}
        positive |= {"decay": decay, "rise": rise, "noise": noise} | ({} if cap is None else {"cap": cap})
        for name, value in positive.items():
            if not value > 0:
                raise UserError(f"{name}={value}: give a number above 0")
        for name, value in (("multiplier", multiplier), ("back_off", self.back_off)):
            if not value >= 0:
                raise UserError(f"{name}={value}: give 0 or more")
        self.distance = PerceptualDistance(model, layers)
        self.form, self.margin, self.multiplier, self.decay, self.rise = form, margin, multiplier, decay, rise
        self.stride, self.slope, self.cap, self.noise = stride, slope, cap, noise
        self.norms: Norms = norms
        self.low, self.high = _bound(low), _bound(high)
        if not bool((self.low < self.high).all()):
            raise UserError(f"low={low} and high={high} leave no pixels: low must be below high")
        self.last: Moved | None = None

    def __call__(
        self,
        images: Tensor | Batch,
        labels: Tensor | MixedLabels | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor | Batch:
        """x′ of every image, without gradient; a `Batch` with its own labels, maps and indices."""
        if isinstance(images, Batch):
            moved = self.augment(images.images.as_subclass(Tensor), images.labels, generator)
            return images._replace(images=torch.Tensor.as_subclass(moved.images, type(images.images)))
        if labels is None:
            raise UserError("LPA3 got no labels: give (images, labels), for unlabelled images the predicted classes")
        return self.augment(images, labels, generator).images

    def augment(self, images: Tensor, labels: Tensor | MixedLabels, generator: torch.Generator | None = None) -> Moved:
        """x′ and how far it went. images: (N, C, H, W) float within the bounds; labels: N of them."""
        labels = MixedLabels.of(labels)
        self._check(images, labels)
        seed = int(torch.randint(2**62, (), generator=generator))
        if not len(images):
            none = images.new_zeros(0)
            return Moved(images.clone(), none, none, none.bool())
        images = images.detach()
        with held(self.distance.model, self.norms):
            climb = _Climb(self, images, labels)
            delta = climb.start(seed)
            delta = self._tangent(climb, delta) if self.form == "tangent" else self._lagrangian(climb, delta)
            moved = climb.backed_off(delta, self.back_off, 2.0 if self.form == "tangent" else 1.0)
        self.last = moved._replace(images=images.new_zeros(0))
        return moved

    def _lagrangian(self, climb: _Climb, delta: Tensor) -> Tensor:
        """T steps on −LPIPS + λ max(0, drop − σ) (Eq. 5)."""
        before, drop_before = torch.zeros_like(delta), torch.zeros_like(climb.clean)
        for i in range(self.iterations):
            part = i / self.iterations
            seen = climb.gradients(delta, self.multiplier * self.rise ** (part - 1))
            down = _unit(seen.of_objective)
            if self.slope == "secant":
                slope = (seen.drop - drop_before).abs() / (_norm(delta - before) + 1e-12)
            else:
                slope = (climb.drop(delta - _PROBE * down) - seen.drop).abs() / _PROBE
            before, drop_before = delta, seen.drop
            length = self._capped(self.step * self.decay**part / (slope + _FLAT), delta)
            delta = climb.within(delta - _rows(length) * down)
        return delta

    def _tangent(self, climb: _Climb, delta: Tensor) -> Tensor:
        """T steps along what LPIPS gains without changing log p_y to first order, each after a step back to drop 0."""
        for i in range(self.iterations):
            seen = climb.gradients(delta, None)
            steep = seen.of_log_probability
            square = steep.square().flatten(1).sum(1) + 1e-12
            along = (seen.of_objective * steep).flatten(1).sum(1) / square
            sideways = _unit(seen.of_objective - _rows(along) * steep)
            stride = self.stride * delta[0].numel() ** 0.5 * self.decay ** (i / self.iterations)
            length = self._capped(torch.full_like(seen.drop, stride), delta)
            back = torch.minimum(seen.drop.clamp_min(0) / square.sqrt(), length)
            delta = climb.within(delta + _rows(length) * sideways + _rows(back / square.sqrt()) * steep)
        return delta

    def _capped(self, length: Tensor, delta: Tensor) -> Tensor:
        return length if self.cap is None else length.clamp_max(self.cap * delta[0].numel() ** 0.5)

    def _check(self, images: Tensor, labels: MixedLabels) -> None:
        if images.ndim != 4 or not images.is_floating_point():
            raise UserError(f"images are {images.dtype} {tuple(images.shape)}: give a batch (N, C, H, W) of floats")
        if len(labels.classes) != len(images):
            raise UserError(f"LPA3 got {len(images)} images and {len(labels.classes)} labels: give one for each")
        for bound in (self.low, self.high):
            if len(bound) not in (1, images.shape[1]):
                raise UserError(f"low and high are for {len(bound)} channels, the images have {images.shape[1]}")
        if images.device.type == "cpu" and images.numel():  # elsewhere looking would wait for the device
            inside = (images >= self.low.to(images.dtype) - 1e-5) & (images <= self.high.to(images.dtype) + 1e-5)
            if not bool(inside.all()):  # also where they are NaN
                low, high = (float(end) for end in images.aminmax())
                raise UserError(
                    f"pixels lie between {low:g} and {high:g}, outside low={self.low.flatten().tolist()} and "
                    f"high={self.high.flatten().tolist()}: give low and high of normalised images, (0 - mean) / std "
                    "and (1 - mean) / std"
                )

    def __repr__(self) -> str:
        names = ("form", "margin", "iterations", "step", "multiplier", "decay", "rise", "stride", "slope", "cap")
        names += ("noise", "back_off", "norms")
        shown = {"layers": self.distance.layers or None, **{name: getattr(self, name) for name in names}}
        shown |= {"low": self.low.flatten().tolist(), "high": self.high.flatten().tolist()}
        return f"LPA3({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


class _Seen(NamedTuple):
    drop: Tensor
    of_objective: Tensor
    of_log_probability: Tensor


class _Climb:
    """One batch on its way: what the model says of points x + δ, and the farthest that kept the margin."""

    def __init__(self, settings: LPA3, images: Tensor, labels: MixedLabels) -> None:
        self.images, self.labels, self.margin = images, labels, settings.margin
        self.noise = settings.noise
        self.low, self.high = (b.to(images.device, images.dtype) for b in (settings.low, settings.high))
        with torch.no_grad():
            clean = settings.distance.look(images)
        self.look = lambda point: settings.distance.away(point, clean)
        self.clean = self._log_probability(clean.logits)
        self.label = labels.hard()
        self.wrong = clean.logits.argmax(1) != self.label
        self.best = Moved(
            images, torch.zeros_like(self.clean), torch.zeros_like(self.clean), torch.ones_like(self.wrong)
        )

    def start(self, seed: int) -> Tensor:
        """Uniform noise, within the bounds."""
        generator = torch.Generator(self.images.device).manual_seed(seed)
        uniform = torch.rand(self.images.shape, generator=generator, device=self.images.device)
        return self.within((uniform * 2 - 1).to(self.images) * self.noise)

    def within(self, delta: Tensor) -> Tensor:
        """δ such that x + δ keeps the bounds."""
        return (self.images + delta).clamp(self.low, self.high) - self.images

    def gradients(self, delta: Tensor, multiplier: float | None) -> _Seen:
        """Drop at x + δ, and the gradient to δ of the Lagrangian; without a multiplier those of LPIPS and log p_y."""
        with torch.enable_grad():
            delta = delta.detach().requires_grad_()
            gone, logits = self.look(self.images + delta)
            value = self._log_probability(logits)
            drop = self.clean - value
            if multiplier is None:
                (of_distance,) = torch.autograd.grad(gone.sum(), delta, retain_graph=True)
                (of_value,) = torch.autograd.grad(value.sum(), delta)
                result = _Seen(drop.detach(), of_distance, of_value)
            else:
                lagrangian = (drop - self.margin).relu() * multiplier - gone
                (gradient,) = torch.autograd.grad(lagrangian.sum(), delta)
                result = _Seen(drop.detach(), gradient, gradient)
        self._remember(self.images + delta.detach(), logits, gone.detach(), result.drop)
        return result

    @torch.no_grad()
    def drop(self, delta: Tensor) -> Tensor:
        """log p_y(x) − log p_y(x + δ)."""
        return self.clean - self._log_probability(self.look(self.images + delta).logits)

    @torch.no_grad()
    def backed_off(self, delta: Tensor, trials: int, longer: float) -> Moved:
        """The farthest point that keeps the margin, after trials of x + t δ; of none, x + δ itself.

        The first t is 1. The drop grows about as t², so the next t aims at a little less than the margin by that, but
        stays between what kept it and what did not; where nothing broke it yet, up to ``longer`` times the last t.
        """
        t, kept = torch.ones_like(self.clean), torch.zeros_like(self.clean)
        broke = torch.full_like(self.clean, torch.inf)
        last = self.best
        for _ in range(max(trials, 1)):
            point = self.images + self.within(_rows(t) * delta)
            gone, logits = self.look(point)
            drop = self.clean - self._log_probability(logits)
            self._remember(point, logits, gone, drop)
            last = Moved(point, gone, drop, self._kept(logits))
            holds = drop <= self.margin
            kept, broke = torch.where(holds, t.maximum(kept), kept), torch.where(holds, broke, t.minimum(broke))
            aimed = t * (_SAFETY * self.margin / drop.clamp_min(1e-12)).sqrt()
            t = aimed.maximum(kept).minimum(torch.where(broke.isinf(), longer * t, 0.95 * broke))
        return self.best if trials else last

    def _remember(self, point: Tensor, logits: Tensor, gone: Tensor, drop: Tensor) -> None:
        """Keep the points that are the farthest so far within the margin."""
        better = (drop <= self.margin) & (gone > self.best.distance)
        self.best = Moved(
            torch.where(_rows(better), point, self.best.images),
            torch.where(better, gone, self.best.distance),
            torch.where(better, drop, self.best.drop),
            torch.where(better, self._kept(logits), self.best.kept),
        )

    def _kept(self, logits: Tensor) -> Tensor:
        return self.wrong | (logits.detach().argmax(1) == self.label)

    def _log_probability(self, logits: Tensor) -> Tensor:
        """Σ_c t_c log p_c, in float32 at least: (N,)."""
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return -self.labels.cross_entropy(logits, reduction="none")


def _bound(value: float | Sequence[float] | Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64).reshape(-1, 1, 1)


def _norm(delta: Tensor) -> Tensor:
    return torch.linalg.vector_norm(delta.flatten(1), dim=1)


def _unit(gradient: Tensor) -> Tensor:
    return gradient / _rows(_norm(gradient) + 1e-8)


def _rows(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
