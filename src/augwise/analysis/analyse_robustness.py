"""``analyse robustness``: accuracy under ℓ∞ attacks that see the network itself, its twin, or a stranger."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .. import randomness
from ..errors import UserError
from .analyse_config import AnalyseRobustness
from .analyse_kept import Kept
from .analyse_runs import Images, Subject, bar_of, check_answers, described, images_of, opened
from .attack_table import fraction
from .bootstrap import bootstrap
from .hessian import exact
from .linf_attacks import Attacked, fgsm, pgd

Access = Literal["white", "grey", "black"]


class Attacker(NamedTuple):
    """Whose gradients are followed, and who is then asked about the images."""

    access: Access
    subject: Subject
    targets: list[Subject]


def robustness(config: AnalyseRobustness, out: Path) -> dict[str, Any]:
    """Share of images that are right after an attack, for every run, attack, epsilon and attacker.

    white: the run's own gradients. grey, black: those of a substitute; all runs are asked about the same images. An
    image counts as right or wrong after the attack, whatever it was before. Intervals are by bootstrap over images,
    ``over_first`` is the difference to the first run, paired by image. Random starts depend on the image's bytes and
    the seed alone.
    """
    epsilons = {text: fraction(text) for text in config.epsilons}
    subjects = opened(config.on, [*config.grey, *config.black])
    count, greys = len(config.on.runs), len(config.grey)
    runs, substitutes = subjects[:count], subjects[count:]
    _check_substitutes(runs, substitutes[:greys], substitutes[greys:])
    images = images_of(config.on, runs[0], config.limit)
    check_answers(subjects, images)
    attackers = [Attacker("white", run, [run]) for run in runs]
    attackers += [Attacker("grey" if i < greys else "black", s, runs) for i, s in enumerate(substitutes)]
    kept = Kept(out, {"images": images.fingerprint, "seed": config.on.seed, "batch": config.on.batch_size})
    clean = _clean(config, runs, images, kept)
    rows: list[dict[str, Any]] = []
    for attacker in attackers:
        for attack in dict.fromkeys(config.attacks):
            for text, epsilon in epsilons.items():
                cell = _cell(config, attacker, attack, epsilon, images, kept)
                rows += _rows(attacker, attack, text, epsilon, cell)
    return {
        "data": described(config.on, images),
        "runs": [
            _with_clean(run, right, config.resamples, config.on.seed) for run, right in zip(runs, clean, strict=True)
        ],
        "substitutes": [s.about() | {"access": "grey" if i < greys else "black"} for i, s in enumerate(substitutes)],
        "rows": _with_intervals(rows, runs, config.resamples, config.on.seed),
    }


def _check_substitutes(runs: Sequence[Subject], greys: Sequence[Subject], blacks: Sequence[Subject]) -> None:
    for run in runs:
        for other in greys:
            if other.settings["model"] != run.settings["model"]:
                raise UserError(
                    f"--grey {other.folder} is a {other.settings['model']}, {run.folder} a {run.settings['model']}: a "
                    "grey-box attack knows the architecture; give a run of the same one, or give this one as --black"
                )
        for other in blacks:
            if other.settings["model"] == run.settings["model"]:
                raise UserError(
                    f"--black {other.folder} is a {other.settings['model']} as {run.folder} is: a black-box attack "
                    "does not know the architecture; give a run of another one, or give this one as --grey"
                )
        same = [other for other in [*greys, *blacks] if other.fingerprint == run.fingerprint]
        if same:
            raise UserError(f"{same[0].folder} has the very weights of {run.folder}: give a run of another seed")


def _clean(config: AnalyseRobustness, runs: list[Subject], images: Images, kept: Kept) -> list[np.ndarray]:
    def right(run: Subject) -> dict[str, np.ndarray]:
        with exact():
            found = [_right(run.model, pixels, labels)[0] for pixels, labels in images.batches(config.on.batch_size)]
        return {"right": np.concatenate(found)}

    return [kept.cell(f"{run.name}-clean", {"model": run.fingerprint}, partial(right, run))["right"] for run in runs]


def _cell(
    config: AnalyseRobustness, attacker: Attacker, attack: str, epsilon: float, images: Images, kept: Kept
) -> dict[str, np.ndarray]:
    options = {"steps": config.steps, "alpha": config.step, "start": config.random_start} if attack == "pgd" else {}
    key = {
        "attacker": attacker.subject.fingerprint,
        "targets": [target.fingerprint for target in attacker.targets],
        "attack": attack,
        "epsilon": epsilon,
        **options,
    }
    name = f"{attacker.access}-{attacker.subject.name}-{attack}-{epsilon:.6f}"
    return kept.cell(name, key, partial(_attack, config, attacker, attack, epsilon, images))


def _attack(
    config: AnalyseRobustness, attacker: Attacker, attack: str, epsilon: float, images: Images
) -> dict[str, np.ndarray]:
    """right: (targets, N) bool; loss: (targets,) mean; blind: (N,) bool, see `Attacked`."""
    what = f"{attacker.access}-box {attack} by {attacker.subject.name}, epsilon {255 * epsilon:g}/255"
    hashes = images.hashes if attack == "pgd" and config.random_start else []
    rights, losses, blind, begin = [], [], [], 0
    with exact(), bar_of(len(images), what, config.on.quiet) as bar:
        for pixels, labels in images.batches(config.on.batch_size):
            start = random_start(config.on.seed, pixels, hashes[begin : begin + len(pixels)])
            found = _attacked(config, attacker.subject.model, attack, pixels, labels, epsilon, start)
            answers = [_right(target.model, found.images, labels) for target in attacker.targets]
            rights.append(np.stack([right for right, _ in answers]))
            losses.append([loss for _, loss in answers])
            blind.append(found.blind.cpu().numpy())
            begin += len(pixels)
            bar.update(len(pixels))
    mean = np.sum(losses, axis=0) / len(images)
    return {"right": np.concatenate(rights, axis=1), "loss": mean, "blind": np.concatenate(blind)}


def _attacked(
    config: AnalyseRobustness,
    model: nn.Module,
    attack: str,
    pixels: Tensor,
    labels: Tensor,
    epsilon: float,
    start: Tensor,
) -> Attacked:
    if attack == "fgsm":
        return fgsm(model, pixels, labels, epsilon)
    return pgd(model, pixels, labels, epsilon, start, config.steps, config.step * epsilon)


def random_start(seed: int, pixels: Tensor, hashes: list[int]) -> Tensor:
    """Uniform in [−1, 1], each image's own by its hash; zeros where none is wanted, that is without hashes."""
    if not hashes:
        return torch.zeros_like(pixels)
    drawn = [torch.rand(pixels.shape[1:], generator=randomness.generator(seed, "pgd", key)) for key in hashes]
    return (2 * torch.stack(drawn) - 1).to(pixels.device)


def _right(model: nn.Module, pixels: Tensor, labels: Tensor) -> tuple[np.ndarray, float]:
    with torch.no_grad():
        logits = model(pixels)
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
    return (logits.argmax(1) == labels).cpu().numpy(), float(loss)


def _rows(
    attacker: Attacker, attack: str, text: str, epsilon: float, cell: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    by = None if attacker.access == "white" else attacker.subject.name
    return [
        {
            "run": target.name,
            "access": attacker.access,
            "by": by,
            "attack": attack,
            "epsilon": epsilon,
            "text": text,
            "right": cell["right"][t],
            "loss": float(cell["loss"][t]),
            "blind": float(cell["blind"].mean()),
        }
        for t, target in enumerate(attacker.targets)
    ]


def _with_clean(run: Subject, right: np.ndarray, resamples: int, seed: int) -> dict[str, Any]:
    return run.about() | {"clean": bootstrap(right[:, None].astype(np.float64), resamples, seed)[0]}


def _with_intervals(rows: list[dict[str, Any]], runs: list[Subject], resamples: int, seed: int) -> list[dict[str, Any]]:
    """Every row's mean with its interval, and its paired difference to the first run's."""
    key = ("access", "by", "attack", "epsilon")
    firsts = {tuple(row[k] for k in key): row["right"] for row in rows if row["run"] == runs[0].name}
    right = np.stack([row["right"] for row in rows], axis=1).astype(np.float64)
    base = np.stack([firsts[tuple(row[k] for k in key)] for row in rows], axis=1).astype(np.float64)
    own, apart = bootstrap(right, resamples, seed), bootstrap(right - base, resamples, seed)
    made = []
    for row, accuracy, over in zip(rows, own, apart, strict=True):
        told = {k: v for k, v in row.items() if k != "right"}
        made.append(told | {"accuracy": accuracy, "over_first": None if row["run"] == runs[0].name else over})
    return made
