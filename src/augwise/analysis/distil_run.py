"""The verb ``distil``: train a one-pass network, see how faithful its maps are on images it has not seen, write a page.

What is compared with it are the maps that it has to beat or to live up to: the centre prior and occlusion.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import __version__
from ..errors import UserError
from ..importance.centre import CentrePrior
from ..importance.fidelity import erasure_drops, fidelity, random_windows, window_scores
from ..importance.occlusion import Occlusion
from ..importance.one_pass import OnePass
from ..importance.rows import Rows
from ..importance.speed import wait_for
from ..report.text import interval
from ..training.config import ImageSize
from ..training.one_pass import OnePassSettings, train_one_pass
from .bootstrap import Bootstrapped, bootstrap
from .fidelity_networks import check_fits

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..importance.estimator import Estimator

NETWORK, UNFINISHED = "one_pass.safetensors", "one_pass.checkpoint.pt"
_WINDOWS = 24
_LENGTH = 0.375  # 12 of 32 pixels
_SHOWN = 12
_BLOCK = 32


@dataclass(frozen=True)
class DistilConfig:
    """A small network that gives an image's importance map in one forward pass, trained once on a data set."""

    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102 or imagenet, each also as NAME:DIR."""
    run: Path | None = None
    """Folder of a finished training run: the classifier that is asked."""
    out: Path = Path("one_pass")
    """Folder for one_pass.safetensors, results.json, table.txt and report.html."""
    model: str | None = None
    """Without a run: small_cnn, resnet18, wrn28_10 and more, timm:NAME or torchvision:NAME."""
    checkpoint: Path | None = None
    """Without a run: the file of the model's weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    others: tuple[Path, ...] = ()
    """Folders of other runs on the same classes: how faithful the maps are to those classifiers, too."""
    split: str = "train"
    """Split to train on; it may hold more images than the classifier was trained on, and better does."""
    subset: Path | None = None
    """Only the images that this file of augwise select names."""
    limit: int | None = None
    """Train on this many images only, a seeded subset with balanced classes."""
    held_out: str = "test"
    """Split whose images tell how faithful the maps are."""
    held_out_limit: int = 500
    """How many of them."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width; left out: that of the run."""
    broken: Literal["stop", "skip"] = "stop"
    """Image files that cannot be decoded: stop at the first, or check all files first and leave such out."""
    data_seed: int = 0
    """Seed of limit, as in train."""
    settings: OnePassSettings = field(default_factory=OnePassSettings)
    """What for and how it is trained."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    quiet: bool = False
    """No progress bar."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant."""
        self.settings.check()
        if self.held_out_limit < 2:
            raise UserError(f"--held-out-limit {self.held_out_limit}: give 2 images at least, some hundreds are usual")
        for run in self.others:
            if self.run is not None and run.resolve() == self.run.resolve():
                raise UserError(f"--others {run} is the run that is asked: give another network")
            if not (run / "results.json").is_file():
                raise UserError(f"--others {run} is no finished training run: give the folder of one")


def distil(config: DistilConfig, command: str = "") -> dict[str, Any]:
    """Train (or finish, or find) the network that ``config`` describes, measure it, write results and page.

    Everything lands in ``config.out``; returns the content of ``results.json``. An interrupted call goes on. command
    heads the page.
    """
    from ..data.sources import open_source
    from ..files import require_writable
    from ..training.devices import device_name

    config.check()
    require_writable(config.out)
    size = config.size or _size_of(config.run)
    opening: dict[str, Any] = {"size": size, "broken": config.broken, "progress": not config.quiet}
    chosen: dict[str, Any] = {"subset": config.subset, "limit": config.limit, "seed": config.data_seed}
    source = open_source(config.data, config.split, **chosen, **opening)
    held_out = open_source(config.data, config.held_out, limit=config.held_out_limit, seed=config.data_seed, **opening)
    device = torch.device(device_name(config.device))
    networks = _classifiers(config, source)
    for name, model in networks.items():
        check_fits(model, Rows(held_out), name)
        model.to(device)
    # Of a training that an earlier call began, the time of this one says nothing.
    began, begun = time.monotonic(), any((config.out / name).exists() for name in (NETWORK, UNFINISHED))
    network = train_one_pass(
        next(iter(networks.values())),
        source,
        config.out / NETWORK,
        config.settings,
        device=device,
        progress=not config.quiet,
    )
    seconds = None if begun else time.monotonic() - began
    return _report(config, command, network, source, held_out, networks, device, seconds)


def _size_of(run: Path | None) -> ImageSize | None:
    if run is None:
        return None
    from .reference_model import run_settings

    return run_settings(run)["size"]


def _classifiers(config: DistilConfig, source: Source) -> dict[str, nn.Module]:
    """The classifier that is asked, first, and the others, by what the table calls them."""
    from .reference_model import reference_model

    c = config
    own = reference_model(source, c.run, c.model, c.checkpoint, c.mean, c.std, "distil")
    found: dict[str, nn.Module] = {"the same network": own}
    for i, run in enumerate(c.others, 1):
        name = "another network" if len(c.others) == 1 else f"another network, {i}"
        found[name] = reference_model(source, run, None, None, None, None, "distil")
    return found


def _report(
    config: DistilConfig,
    command: str,
    network: OnePass,
    source: Source,
    held_out: Source,
    networks: dict[str, nn.Module],
    device: torch.device,
    seconds: float | None,
) -> dict[str, Any]:
    from ..data.resident import Resident
    from ..files import write_atomically
    from ..report.build import report
    from ..report.gallery import group, write_gallery
    from ..training.checkpoint import plain
    from ..training.results import RESULTS, environment, write_json

    progress = not config.quiet
    data = Resident.load(held_out, None, device, progress)
    images, labels = data.images.float() / 255, data.labels
    rows = measured(network, networks, images, labels, progress)
    about, model = network.about, next(iter(networks.values()))
    results = {
        "kind": "distil",
        "augwise": __version__,
        "command": command,
        "config": plain(asdict(config)),
        "data": {"name": source.name, "train": len(source), "held_out": len(held_out), "classes": about["classes"]},
        "network": {"file": NETWORK, "fingerprint": network.fingerprint, "parameters": _parameters(network)}
        | {k: about[k] for k in ("architecture", "objective", "classifier", "image")},
        "classifier": {"right": _right(model, images, labels)},
        "fidelity": {"windows": _WINDOWS, "length": _LENGTH, "images": len(images), "rows": rows},
        "seconds": seconds if seconds is not None else _before(config.out),
        "environment": environment(device),
    }
    write_json(config.out / RESULTS, results)
    table = as_text(results)
    write_atomically(config.out / "table.txt", lambda file: file.write((table + "\n").encode()))
    write_gallery(config.out, [group("Held-out images", _examples(network, model, images, labels, about["classes"]))])
    page = report(config.out)
    print(table)
    print(f"{config.out / NETWORK}  {page}")
    return results


def measured(
    network: OnePass, networks: dict[str, nn.Module], images: Tensor, labels: Tensor, progress: bool = False
) -> list[dict[str, Any]]:
    """Erasure fidelity of the one-pass maps, of the centre prior and of occlusion, on each classifier, as plain rows.

    images: (N, C, H, W) float in [0, 1], held out; labels: (N,) int64. Occlusion asks the first of the classifiers.
    """
    first = next(iter(networks.values()))
    height, width = images.shape[-2:]
    occlusion = Occlusion(grid=(height, width))
    methods: dict[str, tuple[Estimator, str]] = {
        "one_pass": (
            network,
            "1 × forward of a small network" + (" and of the classifier" if network.needs_model else ""),
        ),
        "centre": (CentrePrior(grid=(height, width)), "none"),
        "occlusion": (occlusion, f"{occlusion.forwards(height, width)} × forward"),
    }
    boxes = random_windows(range(len(images)), height, width, _LENGTH, _WINDOWS).to(images.device)
    drops = {}
    for name, model in networks.items():

        def erased(part: slice, model: nn.Module = model) -> Tensor:
            return erasure_drops(model, images[part], labels[part], boxes[part]).drops

        drops[name] = _in_blocks(erased, len(images), f"erasing, {name}", progress)
    rows = []
    for name, (method, cost) in methods.items():
        wait_for(images.device)
        began = time.perf_counter()

        def maps(part: slice, method: Estimator = method) -> Tensor:
            return method.estimate(first, images[part], labels[part], [0] * len(images[part])).importance

        found = _in_blocks(maps, len(images), name, progress)
        wait_for(images.device)
        taken = (time.perf_counter() - began) / len(images)
        scores = window_scores(found, boxes, (height, width))
        on = {other: _summary(fidelity(scores, drop), other) for other, drop in drops.items()}
        rows.append({"estimator": name, "cost": cost, "seconds_per_image": taken, "on": on})
    return rows


def as_text(results: dict[str, Any]) -> str:
    """The table of fidelities as plain text."""
    rows, f = results["fidelity"]["rows"], results["fidelity"]
    names = list(rows[0]["on"])
    head = ["estimator", *names, "ms per image", "work"]
    body = [
        [
            r["estimator"],
            *(interval(s) for s in r["on"].values()),
            f"{1000 * r['seconds_per_image']:.2f}",
            r["cost"],
        ]
        for r in rows
    ]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in [head, *body]]
    about = (
        f"Erasure fidelity on {f['images']} held-out images, {f['windows']} windows of {f['length']:g} of the shorter "
        "side each; mean and 95 % interval"
    )
    return "\n".join([about, *lines])


def _in_blocks(work: Callable[[slice], Tensor], n: int, what: str, progress: bool) -> Tensor:
    bar = tqdm(range(0, n, _BLOCK), desc=what, delay=2, leave=False, disable=not progress)
    return torch.cat([work(slice(start, min(start + _BLOCK, n))) for start in bar])


def _summary(values: Tensor, name: str) -> Bootstrapped:
    """Mean, deviation and interval over the images whose windows cost something."""
    known = values[~values.isnan()]
    if not len(known):
        raise UserError(f"on {name} erasing costs nothing anywhere on any of {len(values)} images: is it trained?")
    return bootstrap(known[:, None].cpu().numpy())[0]


@torch.no_grad()
def _right(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    hits = [(model(x).argmax(1) == y).sum().item() for x, y in zip(images.split(128), labels.split(128), strict=True)]
    return sum(hits) / len(images)


def _parameters(network: OnePass) -> int:
    from ..importance.one_pass import load_one_pass

    assert network.path is not None
    return sum(p.numel() for p in load_one_pass(network.path).network.parameters())


def _before(folder: Path) -> float | None:
    """How long the training took that an earlier call did; None where it took several."""
    import json

    try:
        return json.loads((folder / "results.json").read_text())["seconds"]
    except (OSError, ValueError, KeyError):
        return None


def _examples(network: OnePass, model: nn.Module, images: Tensor, labels: Tensor, names: list[str]) -> list[Any]:
    from ..report.figures import pixels
    from .gallery import Example

    rows = torch.argsort(labels, stable=True)[:: max(1, len(labels) // _SHOWN)][:_SHOWN]
    maps = network.maps(images[rows], labels[rows], model).cpu()
    return [
        Example(pixels((images[i] * 255).round().to(torch.uint8).cpu()), m.numpy(), names[int(labels[i])], {})
        for i, m in zip(rows.tolist(), maps, strict=True)
    ]
