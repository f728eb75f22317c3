"""The verb ``attack-table``: sparse attacks on the same images of one classifier, ranked by bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..training.config import ImageSize
from .attack_list import Goal, Settings, default_names, find_attack, is_ours

if TYPE_CHECKING:
    from ..data.sources import Source
    from ..importance.attacks.base import SparsePerturbation, Victims

_GOALS = ("untargeted", "most_likely", "least_likely", "random")


@dataclass(frozen=True)
class AttackTableConfig:
    """Sparse attacks on the same images: success, pixels changed, norms, cost. Goes on where it stopped."""

    data: str = "digits"
    """Data source: digits, npz:FILE, folder:DIR or medmnist:NAME, or mnist, svhn, cifar10, cifar100, stl10,
    tiny-imagenet, flowers102 or imagenet, each also as NAME:DIR."""
    split: str = "test"
    """Split whose images are attacked."""
    subset: Path | None = None
    """Only the images that this file of augwise select names."""
    limit: int | None = 256
    """Only this many images, a seeded subset with balanced classes; those that the model mistakes are left out and
    counted."""
    size: ImageSize | None = None
    """Resize images to this many pixels a side, or stretch them to height and width. Left out: that of the run."""
    run: Path | None = None
    """Folder of a finished training run: the classifier that is attacked."""
    model: str | None = None
    """Without a run: small_cnn, resnet18, wrn28_10 and more, timm:NAME or torchvision:NAME."""
    checkpoint: Path | None = None
    """Without a run: the file of the model's weights."""
    mean: tuple[float, ...] | None = None
    """Without a run: mean of each channel that the model was trained with, in [0, 1]."""
    std: tuple[float, ...] | None = None
    """Without a run: standard deviation of each channel."""
    attacks: tuple[str, ...] = ()
    """Attacks: cdiea and other learned masks of this library, pgd-l0, greedy, jsma, sparsefool, cw-l0, sapf,
    sparse-rs, sigma-zero, foolbox-fmn, torchattacks-sparsefool; NAME-pruned takes back what was not needed,
    NAME-refined (of attacks bounded by epsilon) also moves what stays. Left out: all but those of other libraries."""
    epsilons: tuple[str, ...] = ("8/255", "16/255")
    """Bounds of a channel's change in pixel values of [0, 1], as fractions or decimals."""
    targets: tuple[Goal, ...] = ("untargeted",)
    """What counts as success: untargeted (any wrong class), or one class: most_likely wrong one, least_likely one or
    a random one."""
    steps: int = 100
    """Steps of the learned masks; pgd-l0 takes half for each number of pixels, sigma-zero and foolbox-fmn twice as
    many, sparse-rs three times as many queries."""
    cw_rounds: int = 24
    """Rounds of cw-l0, 40 steps each; its authors take hundreds of rounds."""
    refine_rounds: int = 20
    """Ever smaller supports that NAME-refined tries."""
    cases: int = 6
    """Images shown on the page with each attack's pixels."""
    seed: int = 0
    """Seed of everything random; each image's numbers depend on its bytes and this alone."""
    data_seed: int = 0
    """Seed of limit, as in train."""
    batch_size: int = 128
    """Images attacked together."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    out: Path = Path("attack-table")
    """Folder for results.json, table.txt, report.html and the perturbations."""
    quiet: bool = False
    """No progress bar."""


def attack_table(config: AttackTableConfig, command: str = "") -> dict[str, Any]:
    """Run what ``config`` describes, print the table, write results and page, and return the results."""
    from tqdm import tqdm

    from ..data.sources import open_source
    from ..files import require_writable, write_atomically
    from ..report.build import report
    from ..report.gallery import write_gallery
    from ..training.devices import device_name
    from ..training.results import RESULTS, write_json
    from . import attack_cells
    from .attack_results import Outcome, bound_text, pictures, results_of, text_table
    from .reference_model import reference_model, run_settings

    epsilons = [fraction(text) for text in config.epsilons]
    plan = _plan(config, epsilons)
    require_writable(config.out)
    size = config.size or (None if config.run is None else run_settings(config.run)["size"])
    source = open_source(
        config.data,
        config.split,
        size=size,
        subset=config.subset,
        limit=config.limit,
        seed=config.data_seed,
        progress=not config.quiet,
    )
    c = config
    model = reference_model(source, c.run, c.model, c.checkpoint, c.mean, c.std, "attack-table")
    device = device_name(config.device)
    model.to(device)
    victims, targets, rows = _victims(config, source, model, device)
    shared = _key(config, model, victims)
    found: list[Outcome] = []
    with tqdm(total=len(plan) * len(rows), disable=config.quiet, unit="image", smoothing=0) as bar:
        for cell, attack in plan:
            bar.set_description(f"{cell.attack}, {bound_text(cell.epsilon)}, {cell.goal}")
            key = shared | {"attack": repr(attack), "epsilon": cell.epsilon, "goal": cell.goal}
            done, why = attack_cells.load(config.out, cell, key), _impossible(cell, attack)
            if done is not None or why:
                bar.update(len(rows))
            else:
                wanted = victims._replace(targets=targets.get(cell.goal))
                done, why = _computed(model, attack, cell, wanted, config.batch_size, bar)
                if done is not None:
                    attack_cells.save(config.out, cell, key, done)
            found.append(Outcome(cell, attack, done, why))
    results = results_of(config, source, model, victims, targets, found, command)
    shown = pictures(config.cases, source, rows, victims, found)
    write_json(config.out / RESULTS, results)
    write_gallery(config.out, shown)
    text = text_table(results)
    write_atomically(config.out / "table.txt", lambda file: file.write(text.encode()))
    print(text)
    print(report(config.out))
    return results


def fraction(text: str) -> float:
    """An epsilon: ``"8/255"`` or ``"0.03"``; `UserError` unless it lies in (0, 1]."""
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(top)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if not 0 < value <= 1:
        raise UserError(
            f"epsilon {text!r} is no bound in pixel values of [0, 1]: give a fraction such as 8/255, or 0.03"
        )
    return value


def _plan(config: AttackTableConfig, epsilons: list[float]) -> list[Any]:
    """Every cell with its attack, all names checked before any work."""
    from .attack_cells import Cell

    for name in ("limit", "batch_size", "steps", "cw_rounds"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} {value}: give 1 or more")
    if config.refine_rounds < 0 or config.cases < 0:
        raise UserError(f"--refine-rounds {config.refine_rounds}, --cases {config.cases}: give 0 or more")
    if not epsilons or not config.targets:
        raise UserError("--epsilons and --targets need at least one value each")
    for goal in config.targets:
        if goal not in _GOALS:
            raise UserError(f"target {goal!r} is unknown: choose among {', '.join(_GOALS)}")
    settings = Settings(config.steps, config.cw_rounds, config.refine_rounds)
    plan = []
    for goal in dict.fromkeys(config.targets):
        for name in dict.fromkeys(config.attacks or default_names()):
            attack = find_attack(name, settings, goal)
            plan += [(Cell(name, e, goal), attack) for e in (dict.fromkeys(epsilons) if attack.bounded else [None])]
    return plan


def _victims(config: AttackTableConfig, source: Source, model: Any, device: str) -> tuple[Victims, dict[str, Any], Any]:
    """The images that the model recognises, the targets of each goal, and their rows in the source."""
    import torch

    from .. import randomness
    from ..importance.attacks.base import Victims
    from ..importance.cdiea import wrong_class
    from ..importance.classifier import check_varies

    pictures = [source[i] for i in range(len(source))]
    if len({tuple(image.shape) for image, _ in pictures}) > 1:
        raise UserError("images differ in size: give --size, the side in pixels that the model sees")
    images = torch.stack([image.as_subclass(torch.Tensor) for image, _ in pictures]).to(device)
    images = images.float() / 255
    labels = torch.tensor([label for _, label in pictures], device=device)
    with torch.no_grad():
        logits = torch.cat([model(part) for part in images.split(config.batch_size)])
    if not bool(logits.isfinite().all()):
        raise UserError("the model returns logits that are not finite: nothing can be said of attacks on it")
    check_varies(images, logits)
    rows = (logits.argmax(1) == labels).nonzero()[:, 0]
    if not len(rows):
        raise UserError(f"the model recognises none of the {len(labels)} images: there is nothing to attack")
    seeds = [randomness.derive(config.seed, source.fingerprint(i)) for i in rows.tolist()]
    victims = Victims(images[rows], labels[rows], None, seeds)
    targets = {g: wrong_class(logits[rows], victims.labels, g, seeds) for g in config.targets if g != "untargeted"}
    return victims, targets, rows.cpu()


def _key(config: AttackTableConfig, model: Any, victims: Victims) -> dict[str, Any]:
    """What every cell's perturbations depend on, beside the attack, its bound and its goal."""
    from .. import __version__
    from ..fingerprints import hash_bytes, model_fingerprint

    pictures = victims.images.cpu().numpy().tobytes() + victims.labels.cpu().numpy().tobytes()
    return {
        "augwise": __version__,
        "seed": config.seed,
        "images": hash_bytes(pictures),
        "model": model_fingerprint(model),
    }


def _impossible(cell: Any, attack: SparsePerturbation) -> str:
    if cell.goal != "untargeted" and not attack.targeted:
        return "cannot be told which class to reach"
    return ""


def _computed(
    model: Any, attack: SparsePerturbation, cell: Any, victims: Victims, batch_size: int, bar: Any
) -> tuple[Any, str]:
    """The cell, or why it was left out: the attack's package is missing, or it broke inside."""
    from ..importance.attacks.libraries import package
    from .attack_cells import compute

    before = bar.n
    foreign = attack.package
    try:
        if foreign is not None:
            package(foreign)
        return compute(model, attack, cell, victims, batch_size, bar), ""
    except UserError as error:
        if foreign is None and not is_ours(cell.attack):
            raise
        why = str(error)
    except Exception as error:
        if foreign is None:
            raise
        why = f"{foreign} broke: {type(error).__name__}: {error}"
    bar.update(before + len(victims.labels) - bar.n)
    return None, why
