"""Training of a one-pass network: measure what the objective needs, then epochs over the images; resumable.

Reads the data set once into memory and asks the classifier; writes the network's file, and beside it a checkpoint
while it is unfinished. What is minimised stands in `importance.one_pass_losses`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import __version__, randomness
from ..data import Resident
from ..data.sources import Source, as_source
from ..errors import UserError
from ..files import require_writable
from ..fingerprints import model_fingerprint
from ..importance.cdiea import wrong_class
from ..importance.classifier import check_varies
from ..importance.fidelity import erasure_drops
from ..importance.job import check_model, frozen
from ..importance.one_pass import OnePass, load_one_pass, read_out, save_one_pass
from ..importance.one_pass_features import feature_layer, features_of
from ..importance.one_pass_losses import (
    attack_loss,
    box_scores,
    dense_attack,
    erasing_loss,
    random_boxes,
)
from ..importance.one_pass_network import SMALLEST, OnePassNetwork
from ..windows import resolve_length
from .checkpoint import Checkpoint, plain, refuse_other

_ERASED = 1024  # erased images in memory while drops are measured
_WARM_UP = 0.1  # share of the steps in which the learning rate rises
_MOST_FOR_COLOURS = 10_000
_LOOKED_AT = 16  # images that the classifier is shown before any work


@dataclass(frozen=True)
class OnePassSettings:
    """What a one-pass network is trained for, and how."""

    objective: Literal["erasing", "attack"] = "erasing"
    """erasing: window sums of the map follow what erasing a window costs the classifier, measured beforehand on random
    windows; attack: CDIEA's mask, learned for all images at once."""
    look: Literal["image", "features"] = "image"
    """What the network sees. image: the image alone, so the classifier is not needed afterwards; features: also the
    classifier's last feature maps, which makes it more faithful and costs one forward pass of the classifier."""
    epochs: int = 20
    """Passes over the training images."""
    batch_size: int = 64
    """Images per step."""
    lr: float = 5e-3
    """Highest learning rate of AdamW; it rises over the first tenth of the steps and falls to zero by a cosine."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    width: int = 24
    """Channels of the network's first layer, a multiple of 24; 24 makes about 0.23 million parameters."""
    flip: bool | None = None
    """Mirror half of the images; left out: what the data source says of itself."""
    shift: float = 0.1
    """Move each image by up to this share of its sides at every step, with its windows; 0 for not at all."""
    windows: int = 32
    """For erasing: random windows per image whose cost is measured, once; each is a forward pass of the classifier."""
    shortest: float = 0.2
    """For erasing: least side of a window, as a share of the shorter side."""
    longest: float = 0.5
    """For erasing: greatest side of a window, as a share of the shorter side."""
    epsilon: float = 8 / 255
    """For attack: largest perturbation of a channel of a pixel, in [0, 1]."""
    attack_steps: int = 2
    """For attack: steps of the dense attack whose perturbation the mask cuts down, each a forward and backward pass."""
    nu: float = 10.0
    """For attack: weight of sparsity (IPF-RDA, Eq. 8)."""
    sharpness_start: float = 0.1
    """For attack: alpha in m = sigmoid(alpha F(x)) at the first step."""
    sharpness_end: float = 10.0
    """For attack: alpha at the last step, and in the maps."""
    seed: int = 0
    """Seed of weights, windows and order."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        if self.objective not in ("erasing", "attack"):
            raise UserError(f"objective={self.objective!r} is unknown: use 'erasing' or 'attack'")
        if self.look not in ("image", "features"):
            raise UserError(f"look={self.look!r} is unknown: use 'image' or 'features'")
        for name in ("epochs", "batch_size", "lr", "attack_steps", "sharpness_start", "sharpness_end", "epsilon"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}={getattr(self, name)}: give a number above 0")
        for name in ("weight_decay", "nu"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name}={getattr(self, name)}: give 0 or more")
        if self.windows < 3:
            raise UserError(f"windows={self.windows} tell no order: give 3 at least, 32 is usual")
        if not 0 < self.shortest <= self.longest < 1:
            raise UserError(f"shortest={self.shortest}, longest={self.longest}: give two shares of a side, 0.2 and 0.5")
        if not 0 <= self.shift < 0.5:
            raise UserError(f"shift={self.shift}: give a share of the side, from 0 to below 0.5")
        if self.epsilon > 1:
            raise UserError(f"epsilon is in pixel values of [0, 1]: not {self.epsilon}, but {self.epsilon}/255")


def train_one_pass(
    model: nn.Module,
    dataset: Any,
    path: str | Path,
    settings: OnePassSettings | None = None,
    *,
    size: int | None = None,
    device: torch.device | str | None = None,
    progress: bool = True,
    checkpoint_seconds: float = 20,
) -> OnePass:
    """Train a small network that gives an image's importance map in one forward pass, and write it to ``path``.

    model: the classifier that is asked, in eval mode, pixels in [0, 1] to logits; best one that has not seen all of
        these images, since on those it has, erasing costs less than it will on new ones.
    dataset: a `Source`, the name of one, or a map-style data set; all images of one size unless ``size`` is given,
        which stretches them to a square of so many pixels. Held in memory as uint8.
    path: NAME.safetensors; beside it NAME.checkpoint.pt while unfinished. The same call goes on where it stopped, and
        where it was done returns what is there; files of another training are refused with the difference named.
    device: default where the model is. progress: bars where something takes longer than two seconds.
    checkpoint_seconds: how often the checkpoint is written while windows are measured, and at most after an epoch.

    Before the first epoch "erasing" costs ``windows`` + 1 forward passes of the classifier per image; "attack" costs
    ``attack_steps`` + 1 forward and backward passes per image in every epoch. Same seed, same network (on the CPU with
    the same thread count: byte for byte, however often interrupted).
    """
    settings = settings or OnePassSettings()
    settings.check()
    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(f"{path}: give the network's file a name that ends with .safetensors")
    require_writable(path.parent)
    source = as_source(dataset, progress=progress)
    with frozen(model, device) as where:
        return _Training(model, source, path, settings, size, where, progress, checkpoint_seconds).run()


class _Training:
    """One training, from images to file."""

    def __init__(
        self,
        model: nn.Module,
        source: Source,
        path: Path,
        settings: OnePassSettings,
        size: int | None,
        device: torch.device,
        progress: bool,
        checkpoint_seconds: float,
    ) -> None:
        self.model, self.path, self.settings, self.device, self.progress = model, path, settings, device, progress
        first = source[0][0] if size is None else torch.empty(source[0][0].shape[0], size, size)
        self.shape = tuple(first.shape)
        height, width = self.shape[1:]
        if min(height, width) < SMALLEST:
            raise UserError(f"images of {height}x{width} are too small for a one-pass network: {SMALLEST} at least")
        if len(source) < 2:
            raise UserError(f"{source.name} has {len(source)} images: a network learns from thousands")
        self.flip = source.flip if settings.flip is None else settings.flip
        labels = hashlib.blake2b(source.labels.astype("int64").tobytes(), digest_size=8).hexdigest()
        images = [source.fingerprint(i) for i in {0, len(source) // 2, len(source) - 1}]
        self.identity = plain(
            {
                "settings": asdict(settings),
                "classifier": model_fingerprint(model),
                "data": {"name": source.name, "rows": len(source), "labels": labels, "images": images},
                "image": self.shape,
            }
        )
        self.source, self.size = source, size
        self.checkpoint = Checkpoint(
            path.with_name(f"{path.stem}.checkpoint.pt"), identity=self.identity, every_seconds=checkpoint_seconds
        )

    def run(self) -> OnePass:
        if self.path.exists():
            refuse_other(load_one_pass(self.path).about.get("identity", {}), self.identity, self.path)
            self.checkpoint.remove()
            return OnePass.load(self.path)
        state = self.checkpoint.load() or {"measured": 0, "epoch": 0}
        data = Resident.load(self.source, None, self.device, self.progress, self.size)
        self.images, self.labels = data.images, data.labels
        check_model(self.model, self._pixels(slice(0, 2)), int(self.labels.max()), list(self.source.class_names))
        some = self._pixels(slice(None, None, max(1, len(self.images) // _LOOKED_AT)))
        with torch.no_grad():
            check_varies(some, self.model(some))
        self.layer, self.features = None, 0
        if self.settings.look == "features":
            self.layer, self.features = feature_layer(self.model, self._pixels(slice(0, 2)))
        boxes = drops = None
        if self.settings.objective == "erasing":
            boxes, drops = self._measured(state)
        network = self._fit(state, boxes, drops)
        if not all(bool(p.isfinite().all()) for p in network.parameters()):
            raise UserError(f"the training of {self.path} diverged (lr={self.settings.lr}): give a smaller lr")
        self._save(network)
        self.checkpoint.remove()
        return OnePass.load(self.path)

    def _pixels(self, rows: Any) -> Tensor:
        return self.images[rows].float() / 255

    def _measured(self, state: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Windows of every image, (n, K, 4), and what erasing them costs, (n, K); goes on with those of ``state``."""
        s, n, (height, width) = self.settings, len(self.images), self.shape[1:]
        shortest, longest = (resolve_length(share, height, width) for share in (s.shortest, s.longest))
        boxes = random_boxes(
            n, s.windows, height, width, shortest, longest, randomness.generator("one_pass", s.seed, "windows")
        )
        drops = torch.zeros(n, s.windows)
        done = state["measured"]
        drops[:done] = state.get("drops", drops)[:done]
        step = max(1, _ERASED // s.windows)
        with _bar(n, "erasing", "image", self.progress, done) as bar:
            for start in range(done, n, step):
                rows = slice(start, min(start + step, n))
                erased = erasure_drops(self.model, self._pixels(rows), self.labels[rows], boxes[rows])
                drops[rows] = erased.drops.float().cpu()
                bar.update(rows.stop - start)
                state |= {"measured": rows.stop, "drops": drops}
                if self.checkpoint.due():
                    self.checkpoint.save(state)
        if not bool(drops.isfinite().all()):
            raise UserError("the classifier returns NaN or infinite logits for erased images: check its weights")
        return boxes.to(self.device), drops.to(self.device)

    def _fit(self, state: dict[str, Any], boxes: Tensor | None, drops: Tensor | None) -> OnePassNetwork:
        s, n = self.settings, len(self.images)
        with randomness.stream("one_pass", s.seed, "weights"):
            network = OnePassNetwork(**self._architecture())
        network = network.to(self.device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimizer = torch.optim.AdamW(network.parameters(), lr=s.lr, weight_decay=s.weight_decay)
        if state["epoch"]:
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
        size = min(s.batch_size, n)
        per_epoch = n // size
        with _bar(s.epochs * per_epoch, "training", "step", self.progress, state["epoch"] * per_epoch) as bar:
            for epoch in range(state["epoch"], s.epochs):
                draw = randomness.generator("one_pass", s.seed, "epoch", epoch)
                order = torch.randperm(n, generator=draw).to(self.device)
                total = torch.zeros((), device=self.device)
                for step in range(per_epoch):
                    done = (epoch * per_epoch + step) / (s.epochs * per_epoch)
                    optimizer.param_groups[0]["lr"] = s.lr * _rate(done)
                    rows = order[step * size : (step + 1) * size]
                    loss = self._loss(network, rows, boxes, drops, done, draw)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    total += loss.detach()
                    bar.update()
                bar.set_postfix(loss=f"{total.item() / per_epoch:.3f}")
                state |= {"epoch": epoch + 1, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
                if self.checkpoint.due():
                    self.checkpoint.save(state)
        return network

    def _loss(
        self,
        network: OnePassNetwork,
        rows: Tensor,
        boxes: Tensor | None,
        drops: Tensor | None,
        done: float,
        draw: torch.Generator,
    ) -> Tensor:
        """Of one batch; ``done``: share of the training that lies behind."""
        s, labels = self.settings, self.labels[rows]
        height, width = self.shape[1:]
        mirrored = (torch.rand(len(rows), generator=draw) < 0.5) & self.flip
        most = torch.tensor([round(s.shift * height), round(s.shift * width)])
        moved = (torch.rand(len(rows), 2, generator=draw) * (2 * most + 1)).long() - most
        images = moved_images(self._pixels(rows), mirrored.to(self.device), moved.to(self.device))
        seen = None if self.layer is None else features_of(self.model, self.layer, images)
        raw = network.of(images, labels, seen)
        if boxes is not None and drops is not None:
            windows = moved_boxes(boxes[rows], mirrored.to(self.device), moved.to(self.device), height, width)
            return erasing_loss(box_scores(read_out(raw, "erasing", 1.0), windows), drops[rows])
        sharpness = s.sharpness_start + (s.sharpness_end - s.sharpness_start) * done
        with torch.no_grad():
            targets = wrong_class(self.model(images), labels, "most_likely", [])
        delta = dense_attack(self.model, images, targets, s.epsilon, s.attack_steps)
        return attack_loss(self.model, images, targets, delta, read_out(raw, "attack", sharpness), s.nu)

    def _architecture(self) -> dict[str, Any]:
        n = len(self.images)
        some = self.images[:: max(1, math.ceil(n / _MOST_FOR_COLOURS))].transpose(0, 1).flatten(1).double() / 255
        mean, std = some.mean(1), some.std(1, correction=0)
        std = torch.where(std > 0, std, 1.0)
        return {
            "channels": self.shape[0],
            "classes": len(self.source.class_names),
            "width": self.settings.width,
            "features": self.features,
            "mean": [round(v, 6) for v in mean.tolist()],
            "std": [round(v, 6) for v in std.tolist()],
        }

    def _save(self, network: OnePassNetwork) -> None:
        save_one_pass(
            network,
            {
                "architecture": self._architecture(),
                "layer": self.layer,
                "objective": self.settings.objective,
                "sharpness": self.settings.sharpness_end,
                "classes": list(self.source.class_names),
                "classifier": self.identity["classifier"],
                "image": list(self.shape),
                "data": self.source.name,
                "identity": self.identity,
                "augwise": __version__,
            },
            self.path,
        )


def moved_images(images: Tensor, mirrored: Tensor, moved: Tensor) -> Tensor:
    """Each image mirrored where asked, then moved down and to the right by ``moved`` pixels, what comes in reflected.

    images: (B, C, H, W); mirrored: (B,) bool; moved: (B, 2) int64, less than the sides.
    """
    height, width = images.shape[-2:]
    rows = _reflected(torch.arange(height, device=images.device) - moved[:, :1], height)
    columns = _reflected(torch.arange(width, device=images.device) - moved[:, 1:], width)
    columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    every = torch.arange(len(images), device=images.device)[:, None, None]
    return images.permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None]].permute(0, 3, 1, 2)


def moved_boxes(boxes: Tensor, mirrored: Tensor, moved: Tensor, height: int, width: int) -> Tensor:
    """Where windows (B, K, 4) lie after `moved_images`, cut at the border."""
    top, left, bottom, right = boxes.unbind(2)
    mirror = mirrored[:, None]
    left, right = torch.where(mirror, width - right, left), torch.where(mirror, width - left, right)
    down, across = moved[:, :1], moved[:, 1:]
    top, bottom = ((edge + down).clamp(0, height) for edge in (top, bottom))
    left, right = ((edge + across).clamp(0, width) for edge in (left, right))
    return torch.stack([top, left, bottom, right], 2)


def _reflected(at: Tensor, length: int) -> Tensor:
    at = at.abs()
    return torch.where(at >= length, 2 * (length - 1) - at, at)


def _rate(done: float) -> float:
    """Share of the highest learning rate when this share of the steps is done."""
    if done < _WARM_UP:
        return (done + 0.01) / (_WARM_UP + 0.01)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


@contextmanager
def _bar(total: int, what: str, unit: str, progress: bool, initial: int) -> Iterator[tqdm]:
    bar = tqdm(total=total, desc=what, unit=unit, initial=initial, delay=2, disable=not progress, leave=False)
    try:
        yield bar
    finally:
        bar.close()
