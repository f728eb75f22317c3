"""One estimation, checked from end to end before the first map is computed: data, model, method and settings.

Reads images and runs the estimator on chunks of them. Knows nothing of files, progress or other processes.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from .. import randomness
from ..errors import UserError
from ..fingerprints import model_fingerprint
from .attached import match
from .classifier import check_eval
from .continuous import estimate_stream
from .descent import Stop
from .estimator import Estimated, Estimator
from .memory import first_line, out_of_memory
from .rows import Rows, check_size
from .sparse import Recipe
from .speed import PLAIN, Speed, quick
from .store_files import Meta, environment

_LOOKED_AT = 256  # images on which the classifier's accuracy is told


class Job:
    """What is to be computed for which images. Made once per call of `augwise.estimate`; raises `UserError`.

    hashes, labels: (n,) of the rows to be done, the data set's own or one part of them; meta: of a store that holds
    them all.
    """

    def __init__(
        self,
        model: nn.Module | None,
        rows: Rows,
        method: Estimator,
        *,
        seed: int,
        chunk_size: int | None,
        device: torch.device,
        part: tuple[int, int] | None,
        progress: bool,
        continuous: Stop | None = None,
        speed: Speed = PLAIN,
    ) -> None:
        if chunk_size is not None and chunk_size < 1:
            raise UserError(f"chunk_size={chunk_size}: give at least 1 image per chunk")
        if continuous is not None and not isinstance(method, Recipe):
            raise UserError(
                f"{method.name}: continuous batching is for attacks, whose images are done at different times: leave "
                "continuous (--continuous) away"
            )
        self.continuous, self.speed = continuous, speed
        self.model = model if method.needs_model else None
        self.fast = None if self.model is None else quick(self.model, device, speed)
        self.method, self.rows, self.seed, self.device = method, rows, seed, device
        self.shape = tuple(rows[0][0].shape)
        method.check(*self.shape[1:])
        rows.check_repeatable()
        rows.check_sizes(self.shape, progress)
        hashes, labels = rows.hashes(progress), rows.labels(progress)
        some = self._images([0, len(rows) - 1])[0]
        if self.model is not None:
            check_model(self.model, some, int(labels.max()), rows.class_names)
        method.check_model(self.model, some)
        chunk = chunk_size or min(method.chunk, method.at_once(*self.shape[1:]))
        self._own = _share(len(rows), chunk, part)
        self.hashes, self.labels = hashes[self._own], labels[self._own]
        self.meta = self._describe(chunk, part)

    def _describe(self, chunk: int, part: tuple[int, int] | None) -> Meta:
        height, width = self.method.map_size(*self.shape[1:])
        return Meta(
            method=self.method.name,
            arguments=arguments(self.method),
            sparse=self.method.sparse,
            model=None if self.model is None else model_fingerprint(self.model),
            seed=self.seed,
            data=self.rows.name,
            image=self.shape,
            height=height,
            width=width,
            chunk=chunk,
            segments=(len(self._own),),
            part=None if part is None else {"index": part[0], "of": part[1], "rows": len(self.rows)},
            environments=({**environment(_device_name(self.device)), **self.speed.described()},),
            continuous=None if self.continuous is None else dataclasses.asdict(self.continuous),
        )

    def find(self, hashes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """The data set's row for each row of a store, (n,) int64, by hash and label."""
        return self._own[match(self.hashes, self.labels, hashes, labels)]

    def compute(self, images: Tensor, labels: Tensor, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Maps (n, H, W) float32 and failures (n,) bool of one chunk of images as `load` gives them."""
        with torch.enable_grad():
            result = self.method.estimate(self.fast, images, labels, self._seeds(hashes))
        return self._checked(result, images.shape[1:], hashes)

    def compute_stream(
        self, loaded: Iterable[tuple[Tensor, Tensor]], hashes: np.ndarray, slots: int, stop: Stop
    ) -> Iterator[tuple[list[int], np.ndarray, np.ndarray]]:
        """The same for images that come and go: places among all that are loaded, maps and failures, as they are done.

        hashes: of all images, in the order in which ``loaded`` gives them. slots: images computed together.
        """
        assert self.fast is not None
        assert isinstance(self.method, Recipe)

        def batches() -> Iterator[tuple[Tensor, Tensor, list[int]]]:
            at = 0
            for images, labels in loaded:
                yield images, labels, self._seeds(hashes[at : at + len(images)])
                at += len(images)

        for places, result in estimate_stream(self.fast, batches(), self.method, slots, stop):
            yield places, *self._checked(result, self.shape, hashes[places])

    def _seeds(self, hashes: np.ndarray) -> list[int]:
        return [randomness.derive(self.seed, fingerprint) for fingerprint in hashes.tolist()]

    def _checked(self, result: Estimated, shape: tuple[int, ...], hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        importance = result.importance.detach().float().cpu().numpy()
        expected = (len(hashes), self.meta.height, self.meta.width)
        if importance.shape != expected:
            raise UserError(
                f"{self.method.name} returned maps of shape {importance.shape} for {len(hashes)} images of "
                f"{tuple(shape)}: an estimator gives one map per image, here {expected}"
            )
        wrong = ~np.isfinite(importance).all((1, 2)) | (importance.min((1, 2)) < 0)
        if wrong.any():
            raise UserError(
                f"{self.method.name} returned a map with values that are negative or not finite (image with hash "
                f"{hashes[int(wrong.argmax())]}): an estimator gives finite values ≥ 0; does the model return NaN?"
            )
        return importance, result.failed.detach().cpu().numpy().astype(bool)

    def accuracy(self) -> tuple[int, int, int, bool]:
        """How many images the model gets right, of how many that are looked at (spread over the data), how many classes
        it knows, and whether it says the same of all of them."""
        rows = np.linspace(0, len(self.rows) - 1, min(_LOOKED_AT, len(self.rows))).astype(int).tolist()
        right, first, same = 0, torch.empty(0, 1), True
        assert self.model is not None
        for start in range(0, len(rows), 32):
            images, labels = self._images(rows[start : start + 32])
            with torch.no_grad():
                logits = self.model(images)
            first = logits[:1] if start == 0 else first
            right, same = right + int((logits.argmax(1) == labels).sum()), same and bool((logits == first).all())
        return right, len(rows), first.shape[1], same

    def load(self, chunks: list[list[int]], num_workers: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (n, C, H, W) float32 in [0, 1] and labels (n,) int64 of lists of rows, on the device."""
        loader = DataLoader(
            self.rows,  # pyright: ignore[reportArgumentType]
            batch_sampler=_Numbered(chunks),
            collate_fn=list,
            num_workers=num_workers,
            generator=torch.Generator(),  # a loader draws a number, which must not come from the user's stream
        )
        for rows, items in zip(chunks, loader, strict=True):
            yield self._stack(rows, items)

    def _images(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        return self._stack(rows, [self.rows[row] for row in rows])

    def _stack(self, rows: list[int], items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        for row, (image, _) in zip(rows, items, strict=True):
            check_size(image, self.shape, row)
        images = torch.stack([image for image, _ in items]).to(self.device)
        return images.float().div_(255), torch.tensor([label for _, label in items], device=self.device)


class _Numbered:
    """A batch sampler that gives lists of rows as they are."""

    def __init__(self, chunks: list[list[int]]) -> None:
        self.chunks = chunks

    def __len__(self) -> int:
        return len(self.chunks)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.chunks)


def _share(n: int, chunk: int, part: tuple[int, int] | None) -> np.ndarray:
    """The rows of one part: every n-th chunk, so that the parts together hold the chunks of one run."""
    index, of = part or (0, 1)
    if not 0 <= index < of:
        raise UserError(f"part={part}: give (index, number of parts) with the index from 0 to the number less one")
    own = [row for start in range(index * chunk, n, of * chunk) for row in range(start, min(start + chunk, n))]
    if not own:
        raise UserError(
            f"part {index} of {of} has nothing to do: {n} images are {-(-n // chunk)} chunks of {chunk}. Use fewer "
            "parts or a smaller chunk_size"
        )
    return np.array(own, np.int64)


def arguments(method: Estimator) -> dict[str, Any]:
    """All constants of an estimator as JSON has them."""
    if not dataclasses.is_dataclass(method):
        raise UserError(
            f"{type(method).__name__} is not a dataclass: make it a frozen one, so that a store can say how"
        )
    # Where something lies on this machine says nothing of what it is.
    fields = [
        f
        for f in dataclasses.fields(method)
        if not f.metadata.get("where") and (not f.metadata.get("later") or getattr(method, f.name) != f.default)
    ]
    values = {f.name: getattr(method, f.name) for f in fields}
    return json.loads(json.dumps(values, default=lambda value: re.sub(r" at 0x[0-9a-f]+", "", repr(value))))


def check_method(method: Any, model: nn.Module | None) -> None:
    """`UserError` unless this is an estimator, with the model that it needs."""
    if not isinstance(method, Estimator):
        hint = ", such as aw.CDIEA(steps=100)" if isinstance(method, str | type) else ""
        raise UserError(f"method is {method!r}: give an estimator{hint}")
    if method.needs_model and not isinstance(model, nn.Module):
        raise UserError(f"{method.name} needs a classifier, but model is {model!r}: give a trained torch.nn.Module")


def check_model(model: nn.Module, images: Tensor, largest: int, names: list[str] | None) -> None:
    """`UserError` unless the model is in eval mode and gives finite logits for the classes of the data."""
    check_eval(model)
    try:
        with torch.no_grad():
            logits = model(images)
    except UserError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:  # what layers say of a size that they do not fit
        if out_of_memory(error):
            raise UserError(
                f"the memory of {images.device} does not suffice for the model and {len(images)} images of "
                f"{tuple(images.shape[1:])} ({first_line(error)}): use a smaller model or smaller images"
            ) from None
        raise UserError(f"the model does not take images of shape {tuple(images.shape[1:])}: {error}") from error
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(images):
        got = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UserError(f"the model returns {got} for {len(images)} images: it must return logits (N, classes)")
    if not bool(torch.isfinite(logits).all()):
        raise UserError("the model returns NaN or infinite logits: check its weights")
    classes = logits.shape[1]
    if largest >= classes:
        raise UserError(f"labels go up to {largest}, but the model knows {classes} classes: give the right model")
    named = names is not None and any(name != str(i) for i, name in enumerate(names))
    if names is not None and named and len(names) != classes:
        raise UserError(
            f"the data has {len(names)} classes, the model {classes}: give a model trained on these classes"
        )


@contextmanager
def frozen(model: nn.Module | None, device: torch.device | str | None) -> Iterator[torch.device]:
    """Inside the block the model's parameters need no gradients and lie on the device, which is given back."""
    if model is None:
        yield torch.device(device or "cpu")
        return
    parameters = list(model.parameters())
    home = parameters[0].device if parameters else torch.device("cpu")
    target = home if device is None else torch.device(device)
    flags = [parameter.requires_grad for parameter in parameters]
    try:
        if target != home:
            model.to(target)
        model.requires_grad_(False)
        yield target
    finally:
        for parameter, flag in zip(model.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)
        if target != home:
            model.to(home)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
