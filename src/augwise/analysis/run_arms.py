"""Finished training runs sorted by what they are about (problems), and by how they go about it (arms).

A problem is the data, its labels and the network; within it, runs that differ in their seeds alone are one arm, which
is named by what sets it apart from the others. Reads ``results.json`` of each run, no weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..training.config import TrainConfig, size_in_words
from ..training.learn_config import USUAL, LearnConfig
from ..training.results import CHECKPOINT, RESULTS

_PROBLEM = (
    "data", "split", "eval_split", "val_share", "subset", "limit", "eval_limit", "size", "model", "labelled", "noise",
    "noise_kind",
)  # fmt: skip
"""Settings that say what is to be learned."""
_NEVER = {
    "seed", "data_seed", "out", "quiet", "tensorboard", "checkpoint_steps", "checkpoint_seconds", "device", "threads",
    "loader", "num_workers", "resident_size", "eval_last", "broken",
}  # fmt: skip
"""Settings that change no result, or that runs of one arm differ in."""
LPA3 = "lpa3"
_USUAL: dict[str, Any] = {k: v for k, v in asdict(TrainConfig()).items() if k != "learn"} | asdict(LearnConfig())


@dataclass
class Arm:
    """settings: all that decides its results but the seed, and its steps; runs: by seed."""

    settings: dict[str, Any]
    name: str = ""
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)

    def curve(self, name: str) -> dict[int, list[float]]:
        """Epoch -> what each seed measured in it, where it did."""
        found: dict[int, list[float]] = {}
        for run in self.runs.values():
            for row in run["curve"]:
                if row.get(name) is not None:
                    found.setdefault(int(row["epoch"]), []).append(row[name])
        return found

    @property
    def accuracy(self) -> dict[int, float]:
        """Of the last epoch, by seed."""
        return {seed: run["test"]["last_accuracy"] for seed, run in self.runs.items()}

    @property
    def seconds(self) -> list[float]:
        """Of each run."""
        return [run["seconds"] for run in self.runs.values()]


@dataclass
class Problem:
    """settings: what all its runs share; data: what its first run says of its images; arms: the plainest first, which
    has the fewest unusual settings (else as given) and is what the others are compared with."""

    settings: dict[str, Any]
    data: dict[str, Any]
    arms: list[Arm]

    @property
    def name(self) -> str:
        """Such as ``digits, 40 labels``."""
        s = self.settings
        parts = [data_name(s["data"])]
        if s["size"] is not None:
            parts.append(size_in_words(s["size"]))
        if s["limit"] is not None:
            parts.append(f"{s['limit']} images")
        if s["labelled"] is not None:
            parts.append(f"{s['labelled']} labels")
        if s["noise"]:
            parts.append(f"{100 * s['noise']:g} % of the labels drawn anew")
        return ", ".join(parts)

    def twin(self, arm: Arm) -> Arm | None:
        """The arm that does the same without LP-A3, if there is one."""
        wanted = _without_lpa3(arm.settings)
        if wanted == arm.settings:
            return None
        return next((other for other in self.arms if other.settings == wanted), None)

    def dials(self) -> list[tuple[str, list[Arm]]]:
        """Numbers that at least three arms differ in, and in nothing else: each with its arms, the lowest first."""
        found = []
        for name, usual in _USUAL.items():
            if name in _PROBLEM or isinstance(usual, bool | str):
                continue
            groups: dict[str, list[Arm]] = {}
            for arm in self.arms:
                if _is_number(arm.settings.get(name)):
                    rest = {k: v for k, v in arm.settings.items() if k != name}
                    groups.setdefault(json.dumps(rest, sort_keys=True), []).append(arm)
            found += [
                (name, sorted(group, key=lambda arm: arm.settings[name]))
                for group in groups.values()
                if len(group) >= 3
            ]
        return found


def read_problems(folders: Sequence[Path]) -> list[Problem]:
    """The problems of some runs.

    Raises `UserError` for what is no finished run, and for a seed that an arm has twice.
    """
    problems: dict[str, Problem] = {}
    for folder in folders:
        run = _read(folder)
        settings = _settings(run)
        about = {name: settings[name] for name in _PROBLEM}
        problem = problems.setdefault(json.dumps(about), Problem(about, run["data"], []))
        own = {k: v for k, v in settings.items() if k not in _PROBLEM}
        arm = next((a for a in problem.arms if a.settings == own), None)
        if arm is None:
            arm = Arm(own)
            problem.arms.append(arm)
        seed = int(run["config"]["seed"])
        if seed in arm.runs:
            raise UserError(
                f"{folder} and {arm.runs[seed]['folder']} are the same run, seed and all: give one of them to --runs"
            )
        arm.runs[seed] = run | {"folder": str(folder)}
    for problem in problems.values():
        problem.arms.sort(key=lambda arm: len(unusual(arm.settings)))
        _name(problem.arms)
        alike = set.intersection(*({json.dumps([k, v]) for k, v in arm.settings.items()} for arm in problem.arms))
        problem.settings |= dict(json.loads(pair) for pair in sorted(alike))
    return list(problems.values())


def _read(folder: Path) -> dict[str, Any]:
    try:
        run = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        if (folder / CHECKPOINT).exists():
            raise UserError(
                f"the run in {folder} is not finished: give the command that trained it again, it goes on"
            ) from None
        raise UserError(f"{folder} holds no training run: give folders that augwise train wrote") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / RESULTS} cannot be read ({error}): train this run again") from None
    if not isinstance(run, dict) or run.get("kind") != "train":
        raise UserError(f"{folder} holds the results of {run.get('kind')!r}: give folders that augwise train wrote")
    if not any(row.get("test_accuracy") is not None for row in run["curve"]):
        raise UserError(f"the run in {folder} measured nothing: train it with eval_last of 1 or more")
    return run


def _settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides a run's results but its seeds, flat: settings, objective and steps, and what maps it had."""
    given = {k: v for k, v in run["config"].items() if k != "learn"}
    learn = asdict(LearnConfig.of(run["config"].get("learn") or {}))
    flat = {k: v for k, v in (_USUAL | given | learn).items() if k not in _NEVER}
    for name, usual in USUAL.items():  # said or left to the objective, or of no use to it
        if flat["objective"] not in usual or flat[name] == usual[flat["objective"]]:
            flat[name] = None
    flat |= {"steps": run["steps"], "maps": (run.get("identity") or {}).get("maps")}
    return json.loads(json.dumps(flat, default=str))


def _without_lpa3(settings: dict[str, Any]) -> dict[str, Any]:
    usual = json.loads(json.dumps({k: v for k, v in _USUAL.items() if k == LPA3 or k.startswith("lpa3_")}))
    return settings | usual


def _name(arms: list[Arm]) -> None:
    """Give every arm a name of its own, of the settings in which arms differ."""
    varying = [key for key in arms[0].settings if len({json.dumps(arm.settings[key]) for arm in arms}) > 1]
    for arm in arms:
        arm.name = _words(arm.settings, [k for k in varying if k == "objective" or _unusual(k, arm.settings[k])])
    for arm in arms:
        if sum(other.name == arm.name for other in arms) > 1:
            arm.name = _words(arm.settings, varying)


def unusual(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those that somebody set otherwise than they come."""
    return {key: value for key, value in settings.items() if _unusual(key, value)}


def _unusual(key: str, value: Any) -> bool:
    return value not in (None, []) and json.dumps(value) != json.dumps(_USUAL.get(key))


def _words(settings: dict[str, Any], keys: Sequence[str]) -> str:
    said = []
    for key in keys:
        value = settings[key]
        if key == "steps":
            said += [step.split("(")[0].rpartition(".")[2] for step in value] or ["no method"]
        elif key == "maps":
            said.append("guarded by maps" if value else "no maps")
        elif key == "objective":
            said.append(value)
        elif isinstance(value, bool):
            said.append(spoken(key) if value else f"no {spoken(key)}")
        else:
            said.append(f"{spoken(key)} {data_name(value) if isinstance(value, str) else value}")
    return ", ".join(said).replace("LP-A3, LP-A3 form", "LP-A3") or settings["objective"]


def spoken(key: str) -> str:
    """A setting's name as a reader says it."""
    return key.replace(LPA3, "LP-A3").replace("_", " ")


def data_name(spec: Any) -> str:
    """What to call a data source: the last part of its path, or its own name."""
    return Path(str(spec).partition(":")[2]).stem or str(spec)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
