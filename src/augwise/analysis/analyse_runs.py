"""The trained classifiers that are analysed side by side, checked to be comparable, and the images they are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import UserError
from ..fingerprints import model_fingerprint
from ..training.config import ImageSize, as_image_size, size_in_words
from .analyse_config import AnalyseRuns
from .analyse_kept import Kept

if TYPE_CHECKING:
    from ..data import Source
    from ..models.normalized import Normalized
    from ..training.batches import Reader


class View(NamedTuple):
    """How a run's images are seen: side in pixels, or height and width (None: as they are), share of the shorter side
    (None: all of it), and how they are resized."""

    size: ImageSize | None
    share: float | None
    interpolation: str


@dataclass(frozen=True)
class Subject:
    """One run: name, unique among those shown; model: frozen, in eval mode, pixels in [0, 1] in, logits out; settings:
    how it was trained; data: what it was trained on; fingerprint: of architecture and weights."""

    name: str
    folder: Path
    model: Normalized
    settings: dict[str, Any]
    data: dict[str, Any]
    fingerprint: str

    @property
    def view(self) -> View:
        """How this run measured its images."""
        s = self.settings
        return View(as_image_size(s["size"]), s.get("crop_share"), s.get("interpolation") or "bilinear")

    @property
    def weights(self) -> int:
        """How many numbers there are to walk among."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def about(self) -> dict[str, Any]:
        """What results say of it."""
        told = {name: self.settings.get(name) for name in ("model", "epochs", "seed")}
        return {"name": self.name, "run": str(self.folder), **told, "fingerprint": self.fingerprint}


@dataclass(frozen=True)
class Images:
    """Images of one size, batch by batch on the device, as often as wanted. fingerprint: of all of them in order, and
    of how they are seen."""

    source: Source
    reader: Reader
    fingerprint: dict[str, Any]

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def labels(self) -> np.ndarray:
        """(N,) int64."""
        return np.asarray(self.source.labels)

    @cached_property
    def hashes(self) -> list[int]:
        """A number for each image that stands for its bytes."""
        return [self.source.fingerprint(i) for i in range(len(self.source))]

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """(images (n, C, H, W) float32 in [0, 1], labels (n,)) in order."""
        rows = np.arange(len(self))
        for batch in self.reader.read(0, [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]):
            assert isinstance(batch.labels, Tensor)
            yield batch.images.as_subclass(Tensor).float() / 255, batch.labels


def opened(config: AnalyseRuns, others: Sequence[Path] = ()) -> list[Subject]:
    """The runs of a configuration on its device, and then ``others`` (substitutes), all checked against the first.

    Raises `UserError` for a run that is not finished, or of other data, classes or image size.
    """
    from ..training.devices import device_name

    device, folders = device_name(config.device), [*config.runs, *others]
    found = [_subject(folder, name, device) for folder, name in zip(folders, names_of(folders), strict=True)]
    first = found[0]
    for other in found[1:]:
        _check_alike(first, other, config.data)
    return found


def names_of(folders: Sequence[Path]) -> list[str]:
    """The folders' own names; where two are the same, with as many folders above them as tell them apart."""
    parts = [folder.resolve().parts for folder in folders]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        counts = Counter(names)
        if all(count == 1 for count in counts.values()):
            shortest = [p[-1] for p in parts]
            alone = Counter(shortest)
            return [s if alone[s] == 1 else n for s, n in zip(shortest, names, strict=True)]
    return [str(folder) for folder in folders]


def _subject(folder: Path, name: str, device: str) -> Subject:
    from ..training.results import CHECKPOINT, RESULTS
    from ..training.trained import trained

    if not (folder / RESULTS).exists() and (folder / CHECKPOINT).exists():
        raise UserError(f"the run in {folder} is not finished: give the command that trained it again, it goes on")
    model, _, run = trained(folder)
    return Subject(name, folder, model.to(device), run["config"], run["data"], model_fingerprint(model))


def _check_alike(first: Subject, other: Subject, data: str | None) -> None:
    ours, theirs = first.data["classes"], other.data["classes"]
    if len(ours) != len(theirs):
        raise UserError(
            f"{first.folder} knows {len(ours)} classes and {other.folder} {len(theirs)}: analyse runs of the same "
            "classes together, others in a call of their own"
        )
    if ours != theirs:
        at = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
        raise UserError(
            f"class {at} is {ours[at]!r} for {first.folder} and {theirs[at]!r} for {other.folder}: analyse runs of the "
            "same classes in the same order together"
        )
    if data is None and first.data["name"] != other.data["name"]:
        raise UserError(
            f"{first.folder} was trained on {first.data['name']} and {other.folder} on {other.data['name']}: name the "
            "images that both are to be shown with --data, or analyse them in two calls"
        )
    if len(first.data["mean"]) != len(other.data["mean"]) or first.view != other.view:
        raise UserError(
            f"{first.folder} and {other.folder} see images differently ({_seen(first)}; {_seen(other)}): analyse them "
            "in two calls"
        )


def _seen(subject: Subject) -> str:
    view, channels = subject.view, len(subject.data["mean"])
    size = "their own size" if view.size is None else size_in_words(view.size)
    return f"{channels} channels, {size}" + (f", {view.share:g} of the side" if view.share else "")


def images_of(config: AnalyseRuns, first: Subject, limit: int | None, resident: bool = True) -> Images:
    """The images that the runs are shown, as the first of them measured its own.

    resident: hold them on the device, where they are gone through many times; else as the run read its own.
    """
    from ..training.config import EvaluateConfig
    from ..training.evaluate import images_of_run

    asked = EvaluateConfig(
        run=first.folder,
        data=config.data,
        split=config.split,
        limit=limit,
        broken=config.broken,
        device=config.device,
        quiet=config.quiet,
    )
    device = next(first.model.parameters()).device
    source, reader = images_of_run(asked, device, "resident" if resident else None)
    if list(source.class_names) != first.data["classes"]:
        raise UserError(
            f"{source.name} has the classes {source.class_names}, the runs know {first.data['classes']}: give images "
            "of the runs' classes in their order"
        )
    return Images(source, reader, fingerprint_of(source, first.view))


def fingerprint_of(source: Source, view: View) -> dict[str, Any]:
    """Enough of the images to notice that they, or how they are seen, changed."""
    from ..training.run_data import source_fingerprint

    return source_fingerprint(source) | {"view": list(view), "shape": list(source[0][0].shape)}


def check_answers(subjects: Iterable[Subject], images: Images) -> None:
    """Raise `UserError` for a classifier that cannot take the images, or whose answer is the same for all of them."""
    from ..training.evaluate import check_output

    pixels = next(images.batches(64))[0]
    for subject in subjects:
        check_output(subject.model, pixels[:1], len(subject.data["classes"]))
        with torch.no_grad():
            logits = subject.model(pixels)
        if not bool(logits.isfinite().all()):
            raise UserError(f"{subject.folder} gives logits that are not finite: the run diverged; train it again")
        if len(pixels) > 1 and bool((pixels != pixels[:1]).any()) and bool((logits == logits[:1]).all()):
            raise UserError(
                f"{subject.folder} answers every image alike: it has learned nothing, so there is nothing to analyse "
                "(look at its curve.csv; a lower lr, or more epochs)"
            )


def check_room(subject: Subject, vectors: int, cure: str) -> None:
    """Raise `UserError` where so many vectors as long as all weights, and some to work with, do not fit the memory."""
    from ..data.resident import free_bytes

    needed = 4 * subject.weights * (min(vectors, subject.weights) + 8)
    free = free_bytes(next(subject.model.parameters()).device)
    if free is not None and needed > 0.9 * free:
        raise UserError(
            f"{vectors} vectors of the {subject.weights} weights of {subject.name} need {needed / 2**30:.1f} GiB, of "
            f"which {free / 2**30:.1f} GiB are free: give {cure}"
        )


def measure(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """(mean cross-entropy in nats, share of images that are right)."""
    losses, hits, count = [], [], 0
    with torch.no_grad():
        for images, labels in batches:
            logits = model(images)
            losses.append(nn.functional.cross_entropy(logits, labels, reduction="sum"))
            hits.append((logits.argmax(1) == labels).sum())
            count += len(labels)
    return float(torch.stack(losses).cpu().double().sum()) / count, int(torch.stack(hits).sum()) / count


def logits_of(subject: Subject, images: Images, batch_size: int, kept: Kept, quiet: bool) -> np.ndarray:
    """(N, classes) float32, kept under the run's and the images' fingerprints."""

    @torch.no_grad()
    def compute() -> dict[str, np.ndarray]:
        total = -(-len(images) // batch_size)
        bar = tqdm(
            images.batches(batch_size), f"{subject.name} on {images.name}", total, delay=2, disable=quiet, leave=False
        )
        return {"logits": torch.cat([subject.model(pixels).float().cpu() for pixels, _ in bar]).numpy()}

    key = {"model": subject.fingerprint, "images": images.fingerprint}
    return kept.cell(f"logits-{subject.name}-{images.name}", key, compute)["logits"]


def described(config: AnalyseRuns, images: Images) -> dict[str, Any]:
    """What results say of the images."""
    from ..data.sources import left_out

    height, width = next(images.batches(1))[0].shape[-2:]
    return {
        "name": images.name,
        "split": config.split,
        "images": len(images),
        "classes": len(images.source.class_names),
        "size": [height, width],
        "left_out": [list(file) for file in left_out(images.source)],
    }


def bar_of(total: int, what: str, quiet: bool) -> Any:
    """A progress bar that shows itself after two seconds."""
    return tqdm(total=total, desc=what, delay=2, disable=quiet, leave=False)
