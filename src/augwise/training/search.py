"""One architecture search from a configuration: data, halves, supernet, loop, genotype, results.

Reads the data, writes into ``config.out``. Everything that can be wrong is found before the first step.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import __version__, models
from ..data import Normalize, Resident, Source, as_source, left_out, limited, open_source
from ..errors import UserError
from ..files import require_writable
from ..fingerprints import hash_bytes
from ..models.genotype import GENOTYPE, Genotype
from ..models.supernet import Mixture, Supernet, strengths
from ..randomness import stream
from ..subset_file import SubsetFile
from ..transforms import RandomCrop, RandomHorizontalFlip
from .batches import ResidentReader, channel_statistics
from .checkpoint import Checkpoint, plain, refuse_other
from .devices import accelerator_for, threads
from .halves import Halves, halves_of
from .loop import fit
from .objectives.search import ArchitectureSearch
from .optimizers import Schedule
from .results import CHECKPOINT, RESULTS, environment, write_results
from .run_data import check_labels, source_fingerprint
from .search_config import SearchConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

# What may differ between two calls of one search: where and how it is watched, and what changes speed alone.
_FREE = ("out", "quiet", "checkpoint_steps", "checkpoint_seconds", "device", "threads", "broken")
_FREE += ("subset",)  # whose images count, not the file's name
_DEFAULTS = {"config": {k: v for k, v in plain(asdict(SearchConfig())).items() if k not in _FREE}}
SHAPES = (("darts", (3, 32, 32), 10), ("darts_imagenet", (3, 224, 224), 1000))
"""Networks whose size a search tells: name, image, classes, as papers count them."""


def search(
    config: SearchConfig,
    *,
    source: Any = None,
    command: str = "",
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> dict[str, Any]:
    """Search an architecture and return what ``results.json`` in ``config.out`` holds; see `SearchConfig`.

    source: data in place of ``config.data`` and ``config.subset``. command heads the page. on_epoch: called with each
    new row of the curve; what it raises ends the search.

    ``config.out`` gets ``genotype.json``, ``curve.csv`` and ``results.json``: the genotype, α and β of both kinds of
    cells, the curve (loss and accuracy of both halves, mean entropies of α's and β's softmax in nats), seconds, sizes
    of networks made of the genotype. Interrupted, the same call goes on where it stopped and ends with the same bytes;
    finished, it returns the results. A folder that holds another search is refused with the difference named.
    """
    config.check()
    require_writable(config.out)
    _refuse_others(config.out)
    with threads(config.threads):
        accelerator = accelerator_for(config.device, config.precision)
        if accelerator.num_processes > 1:
            raise UserError("a search runs in one process: start it without torchrun, on one device")
        run = _Search(config, accelerator, source)
        return run.finished() or run.go(command, on_epoch)


class _Data(NamedTuple):
    images: Source
    rows: tuple[np.ndarray, np.ndarray]
    subset: dict[str, Any] | None


class _Search:
    """The parts of one search, built in the order in which they can fail cheapest."""

    def __init__(self, config: SearchConfig, accelerator: Accelerator, source: Any) -> None:
        self.config, self.accelerator = config, accelerator
        self.data = _open(config, source)
        self.settings = plain(asdict(config))
        self.identity = {
            "config": {k: v for k, v in self.settings.items() if k not in _FREE},
            "data": source_fingerprint(self.data.images),
            "subset": None if self.data.subset is None else self.data.subset["rows"],
        }

    def finished(self) -> dict[str, Any] | None:
        """The results, if this search is complete."""
        try:
            found = json.loads((self.config.out / RESULTS).read_text())
        except FileNotFoundError:
            return None
        refuse_other(found["identity"], self.identity, self.config.out, _DEFAULTS)
        (self.config.out / CHECKPOINT).unlink(missing_ok=True)  # killed between results and this
        return found

    def go(self, command: str, told: Callable[[dict[str, float]], None] | None) -> dict[str, Any]:
        """Search, derive, write."""
        config, checkpoint = self.config, self._checkpoint()
        checkpoint.load()  # refuse a foreign one before the images are read
        resident = Resident.load(self.data.images, None, self.accelerator.device, progress=not config.quiet)
        reader = ResidentReader(resident)
        mean, std = channel_statistics(reader)
        shape = tuple(resident.images.shape[1:])
        network = self._supernet(shape[0])

        def on_epoch(row: dict[str, float]) -> None:
            row.update(entropies(network))
            if told is not None:
                told(row)

        fitted = fit(
            self._objective(network, reader, shape, Normalize(mean, std)),
            self.accelerator,
            Schedule(config.epochs),
            seed=config.seed,
            clip=config.clip,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            compile=config.compile,
            quiet=config.quiet,
        )
        found = Genotype(network.genotype().normal, network.genotype().reduction, self._about())
        results = self._results(network, found, fitted.curve, mean, std, command)
        found.save(config.out / GENOTYPE)
        write_results(results, config.out)
        checkpoint.remove()
        return results

    def _supernet(self, channels: int) -> Supernet:
        c = self.config
        with stream("supernet", c.seed):
            network = Supernet(
                len(self.data.images.class_names),
                channels,
                channels=c.channels,
                layers=c.layers,
                partial=c.partial,
                edge_normalisation=c.edge_normalisation,
                seed=c.seed,
            )
        network = network.to(self.accelerator.device)
        return network.to(memory_format=torch.channels_last) if c.channels_last else network  # pyright: ignore[reportCallIssue]

    def _objective(
        self, network: Supernet, reader: ResidentReader, shape: tuple[int, ...], normalize: Normalize
    ) -> ArchitectureSearch:
        c = self.config
        flip = self.data.images.flip if c.flip is None else c.flip
        crop = RandomCrop((shape[1], shape[2]), padding=c.crop_padding) if c.crop_padding else nn.Identity()
        halves = Halves(
            reader,
            reader,
            self.data.rows,
            [crop, RandomHorizontalFlip() if flip else nn.Identity(), normalize],
            seed=c.seed,
            batch_size=c.batch_size,
            epochs=c.epochs,
            warmup=c.warmup,
            channels_last=c.channels_last,
        )
        weights = torch.optim.SGD(network.weights(), c.lr, momentum=c.momentum, weight_decay=c.weight_decay)
        options = {"betas": (0.5, 0.999), "weight_decay": c.architecture_weight_decay}
        architecture = torch.optim.Adam(network.architecture(), c.architecture_lr, **options)
        return ArchitectureSearch(network, weights, architecture, halves)

    def _checkpoint(self) -> Checkpoint:
        circumstances = {
            "threads": torch.get_num_threads(),
            "device": self.accelerator.device.type,
            "torch": str(torch.__version__),
        }
        steps, seconds = self.config.checkpoint_steps, self.config.checkpoint_seconds
        return Checkpoint(self.config.out / CHECKPOINT, self.identity, circumstances, _DEFAULTS, steps, seconds)

    def _about(self) -> dict[str, Any]:
        """Where the genotype came from, for its file: nothing that differs between two runs of one search."""
        c, data = self.config, self.data
        names = ("epochs", "batch_size", "channels", "layers", "partial", "edge_normalisation", "seed", "data_seed")
        return {
            "method": "PC-DARTS" if c.partial > 1 else "DARTS, first order",
            "augwise": __version__,
            "data": {"name": data.images.name, "split": c.split, "images": len(data.images)},
            "subset": data.subset,
            "warmup_epochs": c.warmup,
            **{name: self.settings[name] for name in names},
        }

    def _results(
        self,
        network: Supernet,
        found: Genotype,
        curve: list[dict[str, float]],
        mean: list[float],
        std: list[float],
        command: str,
    ) -> dict[str, Any]:
        images, (first, second) = self.data.images, self.data.rows
        mixtures = {"normal": network.mixture("normal"), "reduction": network.mixture("reduction")}
        return {
            "kind": "search",
            "augwise": __version__,
            "command": command,
            "config": {**self.settings, "warmup_epochs": self.config.warmup},
            "data": {
                "name": images.name,
                "images": len(images),
                "halves": [len(first), len(second)],
                "subset": self.data.subset,
                "classes": list(images.class_names),
                "flip": images.flip if self.config.flip is None else self.config.flip,
                "mean": mean,
                "std": std,
                "left_out": [list(file) for file in left_out(images)],
            },
            "genotype": found.plain,
            "strengths": {kind: strengths(mixtures[kind], getattr(found, kind)) for kind in mixtures},
            "mixtures": {kind: _listed(mixture) for kind, mixture in mixtures.items()},
            "supernet": {"parameters": sum(p.numel() for p in network.parameters())},
            "networks": [network_size(found, *shape) for shape in SHAPES],
            "environment": environment(self.accelerator.device),
            "precision": self.accelerator.mixed_precision,
            "curve": curve,
            "seconds": sum(row["seconds"] for row in curve),
            "identity": self.identity,
        }


def network_size(found: Genotype, name: str, image: tuple[int, int, int], classes: int) -> dict[str, Any]:
    """How large the network of a shape is that a genotype makes, `models.counted`."""
    shape = models.cell_shape(f"{name}:GENOTYPE")
    assert shape is not None
    sizes: dict[str, Any] = {"channels": shape.channels, "layers": shape.layers}
    size = models.counted(models.CellNetwork(found, classes, image[0], **sizes, large=shape.large), image)
    return {"model": name, **sizes, "image": list(image), "classes": classes, **size._asdict()}


@torch.no_grad()
def entropies(network: Supernet) -> dict[str, float]:
    """How undecided the mixture is, in nats: of each kind of cell, α's mean over the edges, at most ln 8 = 2.08, and
    β's over the nodes, at most (ln 2 + ln 3 + ln 4 + ln 5) / 4 = 1.20."""
    found = {}
    for kind in ("normal", "reduction"):
        operations, edges = network.mixture(kind)
        found[f"alpha_entropy_{kind}"] = float(_entropy(operations).mean(0))
        if network.edge_normalisation:
            nodes = edges.split([2, 3, 4, 5])
            found[f"beta_entropy_{kind}"] = sum(float(_entropy(node)) for node in nodes) / len(nodes)
    return found


def _entropy(shares: Tensor) -> Tensor:
    return -(shares * shares.log()).sum(-1)


def _listed(mixture: Mixture) -> dict[str, list[Any]]:
    return {"operations": mixture.operations.tolist(), "edges": mixture.edges.tolist()}


def _open(config: SearchConfig, source: Any) -> _Data:
    """The images, cut into halves; `UserError` where they cannot be."""
    subset, named = None, "the data"
    if source is None:
        source = open_source(config.data, config.split, **config.opening)
        if config.subset is not None:
            file, named = SubsetFile.load(config.subset), str(config.subset)
            subset = {"images": len(file), "rows": f"{hash_bytes(file.rows.tobytes()):016x}", "about": file.about}
    else:
        source = as_source(source)
    if config.limit is not None:
        source, named = limited(source, config.limit, config.data_seed), f"limit={config.limit}"
    check_labels(source)
    return _Data(source, halves_of(source, config.data_seed, config.batch_size, named), subset)


def _refuse_others(out: Path) -> None:
    """`UserError` where the folder holds what is no search and would be lost."""
    if (out / "maps.npy").exists():
        raise UserError(f"{out} is an importance store: give the search a folder of its own (--out)")
    try:
        kind = json.loads((out / RESULTS).read_text()).get("kind")
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{out / RESULTS} cannot be read ({error}): delete it, or give another out folder") from None
    if kind != "search":
        raise UserError(f"{out / RESULTS} holds the results of {kind!r}, which would be lost: give another out folder")
