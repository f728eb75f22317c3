"""Mixup of what a layer inside the model gives (Manifold Mixup), by a hook that lives for one forward pass.

No `Mixer`: those make pictures whose labels can be checked by looking at them, and here nothing is to be seen but at
the input. It reads and changes nothing of the model; its draws are few and come from torch's CPU generator.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..labels import MixedLabels
from ..sample import Batch
from ..schedule import Probability
from .base import label_sets
from .mixup import mixup
from .several import Draw, check_pair

INPUT = "input"
"""The name of the layer before the first: the images themselves."""


def mix_features(features: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    """λ h_i + (1 - λ) h_partner for every row i of features (N, ...), with gradient to both; share: λ, (N,).

    Half precision is mixed in float32 and rounded once, so that the features have the shares that the labels tell.
    """
    exact = torch.promote_types(features.dtype, torch.float32)
    partner = partner.to(features.device, non_blocking=True)
    share = share.to(exact).to(features.device, non_blocking=True).view(-1, *[1] * (features.ndim - 1))
    return (features * share + features[partner] * (1 - share)).to(features.dtype)


@final
class ManifoldMixup:
    """Mix a batch at a random layer of the model: one layer of several in each step, the input included, then

        h~ = λ h + (1 - λ) h_partner,   y~ = λ y + (1 - λ) y_partner,   λ ~ Beta(alpha, alpha)

    with h what that layer gives (Verma et al., ICML 2019, section 2), and the rest of the model runs on h~.

    ``logits, labels = manifold(model, images, labels)``, or ``manifold(model, batch)``, is one forward pass; the loss
    is ``labels.cross_entropy(logits)``. It stands in place of ``model(images)`` in a loop of one's own, or as
    ``forward=`` of `aw.train`. The model is not changed: the hook stands for this one call and is taken away also where
    the call raises. A model in eval mode is not mixed, its labels neither.

    layers: names as in ``model.named_modules()`` whose output is one tensor (N, ...), and "input" for the images; each
        is drawn as often. The paper's for a residual network: the input and its first two stages.
    alpha: of the beta distribution; the paper's is 2.
    per_batch: one λ for the whole batch (the paper) rather than one for each image.
    p: probability that an image is mixed at all, in Python a `Ramp` too.

    Maps of a `Batch` are not looked at: there is no picture whose importance they could tell. Partners come from one
    permutation of the batch. Raises `UserError` for a layer that does not exist, does not run, or gives no such tensor.
    """

    def __init__(
        self,
        layers: Sequence[str],
        alpha: float = 2.0,
        per_batch: bool = False,
        p: Probability = 1.0,
    ) -> None:
        if isinstance(layers, str) or not len(layers):
            raise UserError(f"layers={layers!r}: give the names of one layer or more, ('input', 'layer1', 'layer2')")
        self.layers = tuple(layers)
        self.draw = Draw(check_pair(alpha), p, per_batch)

    def make_params(self, n: int, generator: torch.Generator | None = None) -> dict[str, Any]:
        """Draw for a batch of n: layer, its name; rows, (N, 2) int64; share, λ of each, (N,) float64."""
        which = torch.rand((), dtype=torch.float64, generator=generator) * len(self.layers)
        mixed = self.draw.mixed(n, generator)
        share = self.draw.shares(n, generator)[:, 0]
        rows = self.draw.rows(n, generator)
        return {"layer": self.layers[int(which)], "rows": rows, "share": torch.where(mixed, share, 1.0)}

    def __call__(
        self,
        model: nn.Module,
        batch: Batch | Tensor,
        labels: Tensor | MixedLabels | None = None,
        generator: torch.Generator | None = None,
    ) -> tuple[Any, MixedLabels]:
        """One forward pass of the model: what it gives, and the labels of what it saw."""
        if isinstance(batch, Batch):
            images, labels = batch.images.as_subclass(Tensor), batch.labels
        else:
            images = batch
        if labels is None:
            raise UserError("ManifoldMixup got no labels: give (model, images, labels), or (model, batch)")
        labels = MixedLabels.of(labels)
        if len(labels.classes) != len(images):
            raise UserError(f"ManifoldMixup got {len(images)} images and {len(labels.classes)} labels")
        modules = self._modules(model)  # all of them, so that a wrong name shows in the first step
        if not model.training:
            return model(images), labels
        drawn = self.make_params(len(images), generator)
        rows, share = drawn["rows"], drawn["share"]
        if drawn["layer"] == INPUT:
            output = model(mixup(images, rows[:, 1], share))
        else:
            with _mixed_after(modules[drawn["layer"]], drawn["layer"], rows[:, 1], share) as reached:
                output = model(images)
            if not reached:
                raise UserError(
                    f"the layer {drawn['layer']!r} did not run in the model's forward pass, so nothing was mixed: "
                    "name layers that always run, of a model that is not compiled"
                )
        return output, label_sets(labels, rows, torch.stack([share, 1 - share], 1))

    def _modules(self, model: nn.Module) -> dict[str, nn.Module]:
        within = dict(model.named_modules())
        inner = getattr(model, "module", None)  # of a model in several processes
        if isinstance(inner, nn.Module):
            within = {**dict(inner.named_modules()), **within}
        for name in self.layers:
            if name != INPUT and (not name or name not in within):
                close = difflib.get_close_matches(name, [n for n in within if n], n=3) or [n for n in within if n][:5]
                raise UserError(
                    f"the model has no layer {name!r}: name some of model.named_modules(), such as "
                    f"{', '.join(map(repr, [INPUT, *close]))}"
                )
        return within

    def __repr__(self) -> str:
        drawn = f"alpha={self.draw.alpha[0]}, per_batch={self.draw.per_batch}, p={self.draw.p}"
        return f"ManifoldMixup(layers={self.layers}, {drawn})"


@contextmanager
def _mixed_after(module: nn.Module, name: str, partner: Tensor, share: Tensor):
    """Inside, the first output of the module is mixed; gives a list that then holds it."""
    reached: list[bool] = []

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        if reached:
            return output  # a layer that a model uses more than once
        if not isinstance(output, Tensor) or not output.ndim or len(output) != len(partner):
            got = f"shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
            raise UserError(
                f"the layer {name!r} gives {got}: name one that gives a tensor with a row for each of "
                f"{len(partner)} images"
            )
        reached.append(True)
        return mix_features(output, partner, share)

    handle = module.register_forward_hook(hook)
    try:
        yield reached
    finally:
        handle.remove()
