"""One-pass maps: a small network, trained once on a data set, gives an image's map in a single forward pass.

The estimator, and the one file in which such a network travels: safetensors with its metadata, so reading one can
never run code. How it is trained is in `training.one_pass`, what for in `one_pass_losses`.
"""

from __future__ import annotations

import json
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..files import write_atomically
from ..fingerprints import model_fingerprint
from ..labels import MixedLabels
from .classifier import check_eval
from .estimator import Estimated, Estimator
from .grid import Grid, check_grid, map_size, pool
from .one_pass_features import features_of
from .one_pass_network import SMALLEST, OnePassNetwork
from .speed import Quick

Objective = Literal["erasing", "attack"]
FORMAT = 1
_KEY, _KIND = "augwise", "one_pass"
_NEEDED = ("format", "architecture", "layer", "objective", "sharpness", "classes", "classifier", "image", "data")


class Saved(NamedTuple):
    """A network and what is known of it.

    about: plain data: ``architecture`` (arguments of `OnePassNetwork`), ``layer`` (name of the classifier's module
    whose output it looks at, None for the image alone), ``objective``, ``sharpness`` (see `read_out`),
    ``classes`` (names), ``classifier`` (fingerprint of the one that it was trained on), ``image`` [C, H, W] and
    ``data`` (name) of the training images, ``settings`` of the training, ``augwise`` (version).
    """

    network: OnePassNetwork
    about: dict[str, Any]


def check_size(height: int, width: int) -> None:
    """Refuse images that no one-pass network can look at."""
    if min(height, width) < SMALLEST:
        raise UserError(f"one_pass: images of {height}x{width} are too small: {SMALLEST} pixels a side at least")


def read_out(raw: Tensor, objective: Objective, sharpness: float) -> Tensor:
    """From the network's numbers to importance ≥ 0, element by element.

    erasing: softplus(raw) = log(1 + exp(raw)), in a unit of its own for every image; trained as it is used, so nothing
    that the training told is cut off afterwards. attack: the mask m = sigmoid(sharpness · raw), in [0, 1].
    """
    return F.softplus(raw) if objective == "erasing" else torch.sigmoid(sharpness * raw)


@dataclass(frozen=True)
class OnePass(Estimator):
    """η of an image's class by one forward pass of a small network that was trained once on a data set.

    The network gives a map for every class and the label picks one. Trained for "erasing", window sums of its map
    follow the drop of log p_y that erasing the window costs a classifier; trained for "attack", its map is CDIEA's
    mask, learned for all images at once (IPF-RDA, Eq. 7 and 8; named as future work there). `train_one_pass` and the
    verb ``distil`` make one. A network that looks at the image alone needs the classifier no more; one that looks at
    the classifier's features beside it needs that very classifier, and one forward pass of it. Returns maps (B, H, W)
    ≥ 0, or means over the cells of a grid; images of another size than those it was trained on are taken as they are.
    """

    path: Path | str | None = field(default=None, metadata={"where": True})
    """the network's file, NAME.safetensors, that augwise distil wrote"""
    fingerprint: str | None = None
    """of the network, 32 hexadecimal digits: another one is refused; left out: whatever the file holds"""
    grid: Grid = None
    """rows and columns of the map; by default one number per pixel up to 64 px, 56 x 56 cells above"""
    objective: str | None = field(default=None, init=False)
    classifier: str | None = field(default=None, init=False)

    name: ClassVar[str] = "one_pass"
    needs_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_grid(self.grid)
        object.__setattr__(self, "_saved", None)
        object.__setattr__(self, "_known", weakref.WeakSet())
        if self.path is None:
            return
        saved = load_one_pass(self.path)
        found = model_fingerprint(saved.network)
        if self.fingerprint not in (None, found):
            raise UserError(f"{self.path} holds the network {found}, not {self.fingerprint}: give the file of that one")
        named = {"fingerprint": found, "objective": saved.about["objective"], "classifier": saved.about["classifier"]}
        needs = {"needs_model": saved.about["layer"] is not None}  # of this network, over the class's
        for name, value in {"_saved": saved, **named, **needs}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def load(cls, path: str | Path) -> OnePass:
        """The estimator in a file; `UserError` for one that is damaged or holds something else."""
        return cls(path=path)

    @property
    def about(self) -> dict[str, Any]:
        """What the file says of the network, see `Saved`."""
        return self._file().about

    def check(self, height: int, width: int) -> None:
        self._file()
        check_size(height, width)

    def check_model(self, model: nn.Module | None, images: Tensor) -> None:
        self.maps(images[:1], torch.zeros(len(images[:1]), dtype=torch.int64, device=images.device), model)

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return map_size(self.grid, height, width)

    def cost(self, height: int, width: int) -> str:  # noqa: ARG002
        return "1 forward pass of a small network per image"

    def compute(self, model: nn.Module | None, images: Tensor, labels: Tensor, seeds: list[int]) -> Estimated:  # noqa: ARG002
        maps = pool(self.maps(images, labels, model), *self.map_size(*images.shape[-2:]))
        return Estimated(maps, torch.zeros(len(images), dtype=torch.bool, device=images.device))

    @torch.no_grad()
    def maps(self, images: Tensor, labels: Tensor | MixedLabels, model: nn.Module | None = None) -> Tensor:
        """The maps of a batch at the images' own size: (B, C, H, W) float in [0, 1] -> (B, H, W) float32 ≥ 0.

        labels: (B,) int64, or mixed ones, whose classes count by their weights. model: the classifier, in eval mode,
        for a network that looks at its features, else not asked. Waits for no device.
        """
        network, about = self._file()
        network.check(images)
        mixed = MixedLabels.of(labels)
        if mixed.classes.device.type == "cpu" and mixed.classes.numel():
            low, high = int(mixed.classes.min()), int(mixed.classes.max())
            if low < 0 or high >= network.classes:
                raise UserError(
                    f"labels {low} to {high}, but the network in {self.path} knows {network.classes} classes "
                    f"({about['data']}): train one on these classes (augwise distil)"
                )
        seen = None if about["layer"] is None else features_of(self.looked_into(model), about["layer"], images)
        raw = network.to(images.device).of(images.float(), mixed, seen)
        return read_out(raw, about["objective"], about["sharpness"]).float()

    def looked_into(self, model: nn.Module | None) -> nn.Module:
        """The classifier, once it is known to be the one whose features the network learned to read."""
        if not isinstance(model, nn.Module):
            raise UserError(
                f"the network in {self.path} looks at features of the classifier that it was trained with: give that "
                "model (--run; LiveOnePass(..., classifier=model)), or train a network that looks at the image alone "
                "(look='image')"
            )
        check_eval(model)
        if isinstance(model, Quick):  # for gradients, which are not asked for
            model = model.model
        known: weakref.WeakSet[nn.Module] = self.__dict__["_known"]
        if model not in known:
            found = model_fingerprint(model)
            if found != self.classifier:
                raise UserError(
                    f"the network in {self.path} reads the features of the classifier {self.classifier}, not of "
                    f"{found}: give the model that it was trained with"
                )
            known.add(model)
        return model

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_known"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {**state, "_known": weakref.WeakSet()}.items():
            object.__setattr__(self, name, value)

    def _file(self) -> Saved:
        saved: Saved | None = getattr(self, "_saved", None)
        if saved is None:
            raise UserError(
                "one_pass needs the file of a trained network: give path (--path FILE.safetensors); augwise distil, or "
                "aw.train_one_pass, makes one"
            )
        return saved


def save_one_pass(network: OnePassNetwork, about: dict[str, Any], path: str | Path) -> None:
    """Write a network and what is known of it, see `Saved`, as safetensors: whole or not at all."""
    from safetensors.torch import save

    missing = [name for name in _NEEDED if name not in about and name != "format"]
    if missing:
        raise ValueError(f"nothing is said of {', '.join(missing)}")
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    content = save(tensors, {_KEY: json.dumps({"kind": _KIND, "format": FORMAT} | about, sort_keys=True)})
    write_atomically(Path(path), lambda file: file.write(content))


def load_one_pass(path: str | Path) -> Saved:
    """The network in a file, on the CPU, frozen and in eval mode; `UserError` for every other kind of file."""
    from safetensors import SafetensorError, safe_open

    path, cure = Path(path), "give the file that augwise distil (or aw.train_one_pass) wrote"
    if not path.is_file():
        raise UserError(f"{path} is {'a folder' if path.is_dir() else 'not there'}: {cure}")
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): it is damaged, or no safetensors file; {cure}") from error
    if not isinstance(about, dict) or about.get("kind") != _KIND:
        raise UserError(f"{path} holds no one-pass network, but other weights: {cure}")
    if about.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {about.get('format')}, this version of augwise reads {FORMAT}: train the network again"
        )
    try:
        lacking = [name for name in _NEEDED if name not in about]
        if lacking or about["objective"] not in ("erasing", "attack"):
            raise ValueError(f"its description lacks {', '.join(lacking) or 'a known objective'}")
        network = OnePassNetwork(**about["architecture"])
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError, UserError) as error:
        raise UserError(f"{path} is damaged ({str(error).splitlines()[0]}): {cure}") from error
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise UserError(f"{path} holds NaN or infinity: its training diverged; train it again with a smaller lr")
    return Saved(network.eval().requires_grad_(False), about)
