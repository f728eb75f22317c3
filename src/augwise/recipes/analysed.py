"""Jobs that ask something of trained networks: attacks, images of other things, curvature. The networks are trained
once for all jobs that ask about them, below ``HOME/prepared``; the answers lie in the job's own folder, with their
page.
"""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .prepared import measured_here
from .recipe import Outcome, Where
from .training import Training

OTHER_SEED = 10_000
"""Added to a run's seed for the network that a grey-box attack knows instead."""


@dataclass(frozen=True)
class Analysed:
    """One question about one network.

    network: that one; ask: which question, by the names of the functions below; settings: the question's own;
    other: the network whose gradients an attack follows instead (grey-box: the same training with another seed).
    """

    network: Training
    ask: str
    settings: tuple[tuple[str, Any], ...] = ()
    other: Training | None = None

    def identity(self) -> dict[str, Any]:
        other = {} if self.other is None else {"other": self.other.identity()}
        return {
            "name": f"{self.ask}-{self.network.identity()['name']}",
            "network": self.network.identity(),
            "ask": self.ask,
            "settings": dict(self.settings),
            **other,
        }

    def check(self, where: Where) -> None:
        self.network.check(where)
        given = dict(self.settings)
        if "foreign" in given:
            _check_foreign(where, given["foreign"])
        if "known" in given:
            _check_known(where, given["known"])

    def run(self, seed: int, folder: Path, where: Where) -> Outcome:
        began = time.monotonic()
        runs = [self.network.kept(seed, where)]
        if self.other is not None:
            runs.append(self.other.kept(seed + OTHER_SEED, where))
        with contextlib.redirect_stdout(io.StringIO()):
            measured = _ASKED[self.ask](runs, dict(self.settings), folder, where)
        return measured_here(measured, time.monotonic() - began, where)


def _check_foreign(where: Where, spec: str) -> None:
    """`UserError` where images of other things are not there."""
    from ..data.sources import open_source

    given = where.source(spec)
    kind, _, rest = given.partition(":")
    if given == "noise" or (kind == "images" and Path(rest).is_dir()):
        return
    if spec not in where.sources:
        raise _needed(spec, "folder:DIR, or images:DIR for files without class folders")
    open_source(given, "test", limit=1, progress=False)


def _check_known(where: Where, spec: str) -> None:
    """`UserError` where the folder of images of known classes, or the file that names their classes, is not there."""
    if not Path(where.source(spec)).is_dir():
        raise _needed(spec, "DIR, a folder of images for each class (WNID), as its publishers lay it out")
    mapping = where.sources.get("imagenet-classes")
    if mapping is not None and not Path(mapping).exists():
        raise UserError(f"--data imagenet-classes {mapping} is not there: give a JSON file of {{WNID: class name}}")


def _needed(spec: str, what: str) -> UserError:
    return UserError(f"{spec} is needed: give --data {spec} {what}")


def _on(runs: list[Path], folder: Path, where: Where) -> Any:
    from ..analysis.analyse_config import AnalyseRuns

    return AnalyseRuns(tuple(runs[:1]), device=where.device, out=folder / "analysis", quiet=True)


def _ood(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """foreign: a data source of other things; limit. AUPR of the highest softmax probability, as a share."""
    from ..analysis.analyse import analyse
    from ..analysis.analyse_config import AnalyseOod

    foreign = (where.source(settings["foreign"]),)
    limit = settings.get("limit")
    found = analyse(AnalyseOod(_on(runs, folder, where), foreign, foreign_limit=limit, limit=limit))
    (row,) = _chosen(found["rows"], score="max_softmax")
    return {"aupr": row["aupr"]["mean"]}


def _natural(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """known: the folder of ImageNet-A. Accuracy among the mapped classes. Which class a folder is of says the JSON file
    ``imagenet-classes``, or else the folder of ImageNet that the network was trained on, or else the folder's name."""
    from ..analysis.analyse import analyse
    from ..analysis.analyse_config import AnalyseNatural
    from ..analysis.reference_model import run_settings

    kind, _, rest = run_settings(runs[0])["data"].partition(":")
    mapping = where.sources.get("imagenet-classes", rest if kind in ("imagenet", "tiny-imagenet") else "")
    known = Path(where.source(settings["known"]))
    asked = AnalyseNatural(_on(runs, folder, where), known=known, mapping=Path(mapping) if mapping else None)
    (row,) = analyse(asked)["known"]["rows"]
    return {"accuracy": row["accuracy"]["mean"]}


def _robustness(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """attack: fgsm or pgd; epsilon; limit; model: of the other network, which says whether it is grey- or black-box."""
    from ..analysis.analyse import analyse
    from ..analysis.analyse_config import AnalyseRobustness

    others = tuple(runs[1:])
    role = settings.get("access", "white")
    substitutes: dict[str, Any] = {} if role == "white" else {role: others}
    asked = AnalyseRobustness(
        _on(runs, folder, where),
        attacks=(settings["attack"],),
        epsilons=(settings["epsilon"],),
        limit=settings.get("limit", 1000),
        **substitutes,
    )
    (row,) = _chosen(analyse(asked)["rows"], access=role)
    return {"accuracy": row["accuracy"]["mean"]}


def _attacks(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """attacks, epsilons, target, limit, steps. For each attack and epsilon, ``ATTACK EPSILON WHAT``: asr as a share;
    l0, l2 and linf as means over the images on which it succeeded, values in [0, 1]."""
    from ..analysis.attack_table import AttackTableConfig, attack_table, fraction

    asked = AttackTableConfig(
        data=where.source(settings["data"]),
        run=runs[0],
        attacks=tuple(settings["attacks"]),
        epsilons=tuple(settings["epsilons"]),
        targets=(settings["target"],),
        limit=settings.get("limit"),
        steps=settings.get("steps", 100),
        cases=0,
        device=where.device,
        out=folder / "analysis",
        quiet=True,
    )
    measured: dict[str, float | None] = {}
    groups = attack_table(asked)["groups"]
    for text in asked.epsilons:
        for group in groups:
            # What has no bound of its own is judged beside every one.
            if group["epsilon"] is None or abs(group["epsilon"] - fraction(text)) < 1e-9:
                for row in group["rows"]:
                    measured[f"{row['attack']} {text} asr"] = row["success"]["rate"]
                    for name, norm in (("l0", "pixels"), ("l2", "l2"), ("linf", "linf")):
                        measured[f"{row['attack']} {text} {name}"] = None if row[norm] is None else row[norm]["mean"]
    return measured


def _farther(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """limit. ``RandAugment kept`` and ``LP-A3 kept`` at the middle margin: shares of the right answers that are kept.
    The pictures are the job's."""
    from ..analysis.analyse import analyse
    from ..analysis.analyse_config import AnalyseFarther
    from ..report.gallery import read_gallery, write_gallery

    asked = AnalyseFarther(_on(runs, folder, where), limit=settings["limit"])
    rows = analyse(asked)["rows"]
    (plain,) = _chosen(rows, method="randaugment")
    (ours,) = _chosen(rows, method="lpa3", margin=asked.margins[len(asked.margins) // 2])
    (group,) = read_gallery(folder / "analysis")["groups"]
    write_gallery(folder, [group | {"title": "Images, and what is made of them"}])
    return {"RandAugment kept": plain["kept"], "LP-A3 kept": ours["kept"]}


def _embedding(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """limit. Dunn index of the features and of their t-SNE (`clusters.Spread.dunn`), and accuracy on these images."""
    from ..analysis.analyse import analyse
    from ..analysis.analyse_config import AnalyseEmbedding

    asked = AnalyseEmbedding(_on(runs, folder, where), limit=settings["limit"])
    (run,) = analyse(asked)["runs"]
    return {"accuracy": run["accuracy"], "dunn": run["features"]["dunn"], "dunn_plane": run["plane"]["dunn"]}


def _gradients(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """epsilon, limit. Share of training images whose gradient changes by less than 1 % under PGD."""
    from dataclasses import replace

    from ..analysis.analyse import analyse
    from ..analysis.analyse_config import AnalyseGradients

    on = replace(_on(runs, folder, where), split="train")
    asked = AnalyseGradients(on, epsilons=(settings["epsilon"],), bound=False, limit=settings["limit"])
    (row,) = analyse(asked)["rows"]
    return {"share": row["all"]["below"]}


def _curvature(runs: list[Path], settings: dict[str, Any], folder: Path, where: Where) -> dict[str, float | None]:
    """limit, sigma. Largest eigenvalue of the loss's Hessian, and accuracy with noise of sigma on all weights."""
    from dataclasses import replace

    from ..analysis.analyse import analyse
    from ..analysis.analyse_config import AnalyseHessian, AnalyseNoise

    on = _on(runs, folder, where)
    hessian = analyse(AnalyseHessian(on, top=1, probes=0, limit=settings["limit"]))
    shaken = replace(on, out=folder / "noise")
    noise = analyse(AnalyseNoise(shaken, sigmas=(settings["sigma"],), limit=settings["limit"]))
    (shaken_run,) = noise["runs"]
    (point,) = _chosen(shaken_run["points"], sigma=settings["sigma"])
    return {"eigenvalue": hessian["runs"][0]["eigenvalues"][0]["value"], "accuracy": point["accuracy"]["mean"]}


def _chosen(rows: Iterable[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in rows if all(row.get(name) == value for name, value in wanted.items())]


_ASKED: dict[str, Callable[[list[Path], dict[str, Any], Path, Where], dict[str, float | None]]] = {
    "ood": _ood,
    "natural": _natural,
    "robustness": _robustness,
    "attacks": _attacks,
    "farther": _farther,
    "embedding": _embedding,
    "gradients": _gradients,
    "curvature": _curvature,
}
