"""Mixing where a loader joins samples to batches, for training loops that cannot be touched.

Draws from torch's own stream, or keyed by the seed and the rows of the batch; touches nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.utils.data import default_collate, get_worker_info

from .. import randomness
from ..errors import UserError
from ..mixing import Mixer
from ..sample import Batch, Sample
from ..schedule import Ramp
from .collate import collate


def collate_with(
    mixer: Mixer, seed: int | None = None, num_classes: int | None = None
) -> Callable[[Sequence[Any]], Any]:
    """A ``collate_fn`` that joins samples to a batch and mixes it: ``DataLoader(..., collate_fn=collate_with(mixer))``.

    `Sample`s (of `WithImportance`) become a mixed `Batch`; ``(image, label)`` pairs of any data set, images of one
    size, become ``(images, MixedLabels)``. The mixer runs in the loader's workers, on the CPU; on the device itself,
    ``mixer(batch)`` in the loop, it is faster there and draws by (epoch, step) in a `BatchPipeline`.

    mixer: any `Mixer`; guarded ones need `Sample`s with maps.
    seed: key all draws by (seed, the batch's rows in their order), so that a batch is mixed alike with any number of
        workers; needs `Sample`s, whose rows are known, and an order that is shuffled anew in every epoch
        (`EpochSampler`), since the same rows in the same order are mixed alike. None: torch's own stream, which
        ``torch.manual_seed`` and the number of workers decide, as everywhere in torchvision.
    num_classes: give soft targets (N, num_classes) float32 in place of `MixedLabels`, for losses that take them.

    Raises `UserError` for a mixer whose probability is a `Ramp` in a worker process, which does not know how far
    training is.
    """
    if not isinstance(mixer, Mixer):
        raise UserError(f"collate_with got a {type(mixer).__name__}: give a mixer, such as aw.CutMix(alpha=1.0)")
    if num_classes is not None and num_classes < 1:
        raise UserError(f"num_classes={num_classes}: give how many classes there are, 1 or more")
    return partial(_collate, mixer, seed, num_classes)


def _collate(mixer: Mixer, seed: int | None, num_classes: int | None, samples: Sequence[Any]) -> Any:
    if get_worker_info() is not None and _ramps(mixer):
        raise UserError(
            f"the probability of {type(mixer).__name__} is a Ramp, and a worker of a loader does not know how far "
            "training is: call the mixer in the training loop, use num_workers=0, or give p a number"
        )
    if len(samples) and isinstance(samples[0], Sample):
        batch = collate(samples)
        rows = [sample.index for sample in samples]
        with _stream(seed, rows):
            mixed = mixer(batch)
        return mixed if num_classes is None else mixed._replace(labels=mixed.labels.dense(num_classes))
    if seed is not None:
        raise UserError(
            f"seed={seed} needs to know which images a batch is made of: read the data through aw.WithImportance "
            "(store=None for images without maps), or leave seed out"
        )
    pair = default_collate(list(samples))
    if isinstance(pair, Batch) or not isinstance(pair, list | tuple) or len(pair) != 2:
        raise UserError("collate_with got samples of another form: give aw.Samples, or (image, label) pairs")
    images, labels = mixer(*pair)
    return images, labels if num_classes is None else labels.dense(num_classes)


def _stream(seed: int | None, rows: list[int]) -> Any:
    if seed is None:
        return nullcontext()
    if min(rows) < 0:
        raise UserError(f"seed={seed} needs the rows of the samples, which have the index {min(rows)}: leave seed out")
    return randomness.stream(seed, "collate", *rows)


def _ramps(mixer: nn.Module) -> bool:
    return any(isinstance(getattr(part, "p", None), Ramp) for part in (mixer, getattr(mixer, "draw", None)))
