"""How unsure a classifier is of an image when parts of it are left out at random (Monte-Carlo dropout)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from ..importance.job import frozen
from ..models.build import find_head
from .kept import Kept, identity_of
from .pictures import Pictures, check_batch_size

Uncertainty = Literal["entropy", "mutual_information"]
_WHOLE_CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
_BLOCK = 256  # images computed together


def mc_dropout(
    model: nn.Module,
    dataset: Any,
    *,
    of: Uncertainty = "entropy",
    passes: int = 10,
    rate: float | None = None,
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    path: str | Path | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Uncertainty over T passes with dropout, (N,) float64 in nats (Gal and Ghahramani 2016).

    With p_t the output of pass t and p̄ their mean: "entropy" H(p̄), "mutual_information" H(p̄) − 1/T Σ_t H(p_t), which
    leaves out what every pass is unsure of.

    The model's own dropout layers drop at their own rates; ``rate``, in (0, 1), drops features before its last layer
    instead, and is needed where it has none. Masks are keyed by (seed, row, pass), so that an image's score does not
    depend on its batch. model, dataset, path: see `mixed_losses`.
    """
    check_batch_size(batch_size)
    if passes < 2 or of not in ("entropy", "mutual_information"):
        raise UserError(f"passes={passes}, of={of!r}: give at least 2 passes, and entropy or mutual_information")
    with frozen(model, device) as where:
        pictures = Pictures(dataset, where, progress)
        pictures.check(model)
        asked: dict[str, Any] = {"of": of, "passes": passes, "rate": rate, "seed": seed}
        arrays = {"scores": np.full(len(pictures), np.nan)}
        kept = Kept(arrays, None if path is None else Path(path), identity_of(model, pictures, dropout=asked))
        with _dropping(model, rate, seed) as now:

            @torch.no_grad()
            def compute(rows: slice) -> dict[str, np.ndarray]:
                found = []
                for start in range(rows.start, rows.stop, batch_size):
                    batch = torch.arange(start, min(start + batch_size, rows.stop))
                    images, outputs = pictures.batch(batch), []
                    for t in range(passes):
                        now[:] = [(row, t) for row in batch.tolist()]
                        outputs.append(model(images).double().softmax(1).cpu())
                    found.append(_uncertainty(torch.stack(outputs), of))
                return {"scores": torch.cat(found).numpy()}

            return kept.fill(_BLOCK, compute, "dropping", progress)["scores"]


def _uncertainty(outputs: Tensor, of: Uncertainty) -> Tensor:
    """(N,) of (T, N, C)."""
    total = _entropy(outputs.mean(0))
    return total if of == "entropy" else (total - _entropy(outputs).mean(0)).clamp_min(0)


def _entropy(p: Tensor) -> Tensor:
    return -torch.special.xlogy(p, p).sum(-1)


@contextmanager
def _dropping(model: nn.Module, rate: float | None, seed: int) -> Iterator[list[tuple[int, int]]]:
    """Inside the block the model drops; the list that is given back is to hold (row, pass) of every image."""
    now: list[tuple[int, int]] = []

    def dropped(given: Tensor, p: float, layer: int, channels: bool) -> Tensor:
        shape = (given.shape[1], *[1] * (given.ndim - 2)) if channels else given.shape[1:]
        keys = [randomness.generator(seed, "dropout", row, t, layer) for row, t in now]
        kept = torch.stack([torch.rand(shape, generator=key) >= p for key in keys])
        return given * kept.to(given) / (1 - p)

    hooks = []
    if rate is None:
        own = [m for m in model.modules() if isinstance(m, nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d)]
        own = [m for m in own if 0 < m.p < 1]
        if not own:
            raise UserError("the model has no dropout layer: give rate=0.5, to drop features before its last layer")
        for i, layer in enumerate(own):

            def after(m: Any, _: Any, out: Tensor, i: int = i) -> Tensor:
                return dropped(out, m.p, i, isinstance(m, _WHOLE_CHANNELS))

            hooks.append(layer.register_forward_hook(after))
    elif 0 < rate < 1:
        head = model.get_submodule(find_head(model))
        hooks.append(head.register_forward_pre_hook(lambda _, given: (dropped(given[0], rate, 0, given[0].ndim > 2),)))
    else:
        raise UserError(f"rate={rate}: give the share of features to drop, above 0 and below 1")
    try:
        yield now
    finally:
        for hook in hooks:
            hook.remove()
