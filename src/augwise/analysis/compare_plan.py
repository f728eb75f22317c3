"""What a comparison runs: its cells, its arms, and which of them coincide. Imports no torch until methods are asked.

An *arm* is one way to train: the baseline (crop and flip alone), or a method plain, guarded by the image's own map, or
guarded by another image's map (control). What the control also gains over plain is not evidence-keeping. Where one
centre for all images is among the maps, its guard stands beside every other map's as a further arm ("centre"): what it
gains as well needs no map of the image. Under the rule "soften" the method is plain in every arm and "guarded" names
labels that are softened by the image's own map, "control" by another image's, "smoothing" all labels alike by the own
map's mean doubt; under the rule "labels" labels of a mixture that are weighed by the images' own maps, or other
images'.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import Any, Literal

from ..catalogue import Entry, estimators, find, methods
from .compare_config import LENGTH, LIVE, CompareConfig, takes

Arm = Literal["baseline", "plain", "guarded", "control", "smoothing", "centre"]
TOP = 0.15
"""Share of a dense map's pixels that stand for its key points: as many as CDIEA finds on CIFAR-10 (145 of 1 024)."""
CENTRE = "centre"
PRIORS = (CENTRE, "area")  # one map for all images: another image's map is its own, so control and guarded coincide


@dataclass(frozen=True)
class Cell:
    """One place of the table: a method at a strength, and the map that its guard or its label uses, and how.

    What does not matter to a method is left empty, so that it does not make two cells of one: strength is None where
    the method's own default counts, window, estimator and labels "", quantile None. option: which of the method's
    options the strength is a value of; "" for the one that makes it stronger.
    """

    method: str
    strength: float | None
    window: str
    estimator: str
    quantile: float | None = 0.6
    shape: str = "rectangle"
    rule: str = "guard"
    follow: str = "image"
    labels: str = ""
    option: str = ""


@dataclass(frozen=True)
class Run:
    """One training run. ``options`` are the method's arguments; the same options and seed are the same run.

    soften: (s, k) of labels that are softened (or, in the arm "smoothing", smoothed by the mean of that); else None.
    """

    arm: Arm
    seed: int
    method: str | None = None
    options: tuple[tuple[str, Any], ...] = ()
    estimator: str | None = None
    soften: tuple[float, float] | None = None

    @property
    def shape(self) -> str:
        """What is pasted back."""
        return dict(self.options).get("shape", "rectangle")

    def key(self, train: dict[str, Any], maps: dict[str, str]) -> str:
        """A name for the run's folder that changes with everything that could change its result.

        train: the training settings that count; maps: identity of every estimator's store.
        """
        identity = {
            "train": train,
            "seed": self.seed,
            "method": self.method,
            "options": dict(self.options),
            "maps": maps[self.estimator] if self.estimator else None,
            "control": self.arm == "control",
        }
        # Only where there is something to say: the names of runs that knew no softening must stay.
        if self.soften is not None:
            identity |= {"soften": self.soften, "smoothing": self.arm == "smoothing"}
        text = json.dumps(identity, sort_keys=True, default=str)
        digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
        return "-".join(filter(None, [self.method, self.estimator, self.arm, f"s{self.seed}", digest]))


def cells(config: CompareConfig) -> list[Cell]:
    """Every row of the table, in the order in which it is shown."""
    found: dict[Cell, None] = {}
    for method in config.methods:
        entry = find(method, methods())
        for rule, (option, strength), shape, follow, labels, window, quantile, estimator in product(
            config.rules, _strengths(config, entry), config.shapes, config.follows, config.labels,
            _windows(config, entry), config.quantiles, _estimators(config, method),
        ):  # fmt: skip
            cell = Cell(method, strength, window, estimator, quantile, shape, rule, follow, labels, option)
            found[_relevant(config, entry, cell)] = None
    return list(found)


def arms_of(config: CompareConfig, cell: Cell) -> list[Arm]:
    """The arms that there are of a cell, in the order asked for."""
    there: set[str] = {"plain"}
    if _consulted(find(cell.method, methods()), cell.rule):
        there |= {"guarded", "control"}
    # What the mean doubt of maps that do not exist yet will be, nobody knows beforehand.
    if cell.rule == "soften" and cell.estimator != LIVE:
        there.add("smoothing")
    return [arm for arm in config.arms if arm in there]


def beside_centre(config: CompareConfig, cell: Cell) -> Cell | None:
    """The cell that differs in its map alone, one centre for all images; None where there is none, and of a prior."""
    other = replace(cell, estimator=CENTRE)
    return other if cell.estimator not in ("", *PRIORS) and other in cells(config) else None


def run_of(config: CompareConfig, cell: Cell, arm: Arm, seed: int) -> Run:
    """The run behind one arm of a cell. Arms that coincide come out equal and are run once."""
    if arm == "centre":
        cell, arm = replace(cell, estimator=CENTRE), "guarded"
    entry = find(cell.method, methods())
    if arm == "control" and cell.estimator in PRIORS:
        arm = "guarded"
    options = _plain(entry, cell) | _points(entry, cell)
    asked = arm != "plain" or entry.needs_map
    soften = (config.soften_strength, config.soften_power) if cell.rule == "soften" and arm != "plain" else None
    if cell.rule == "guard" and arm != "plain":
        options |= _guarded(config, entry, cell)
    if cell.labels and arm != "plain":
        options |= _labelled(entry, cell)
    estimator = cell.estimator if asked and cell.estimator else None
    return Run(arm, seed, cell.method, tuple(sorted(options.items())), estimator, soften)


def plan(config: CompareConfig) -> list[Run]:
    """Every distinct run, seeds outermost: a comparison stopped early has all arms at fewer seeds."""
    runs: dict[Run, None] = {}
    for seed in range(config.seeds):
        runs[Run("baseline", seed)] = None
        for cell in cells(config):
            for arm in arms_of(config, cell):
                runs[run_of(config, cell, arm, seed)] = None
    return list(runs)


def strongest(config: CompareConfig, most: int = 12) -> list[Cell]:
    """For curves and pictures: of every method (and map and shape, if ``most`` allows) the cell at its greatest
    strength, with the last of the windows and quantiles."""
    by_map: dict[tuple[str, ...], Cell] = {}
    for cell in cells(config):
        key = cell.method, cell.rule, cell.estimator, cell.shape
        if (cell.strength or 0) >= (by_map.get(key, cell).strength or 0):
            by_map[key] = cell
    if len(by_map) <= most:
        return list(by_map.values())
    firsts: dict[tuple[str, str], Cell] = {}
    for cell in by_map.values():
        firsts.setdefault((cell.method, cell.rule), cell)
    return list(firsts.values())


def _consulted(entry: Entry, rule: str) -> bool:
    """Whether any arm but the plain one of this method looks at a map."""
    needed = {"guard": "quantile", "labels": "labels"}
    return rule == "soften" or needed[rule] in takes(entry)


@lru_cache(maxsize=256)
def _moves(entry: Entry) -> bool:
    """Whether a whole-image method moves things, so that there are two places to which evidence may return."""
    from ..transforms.base import Augmentation

    wrapped = getattr(entry.load()(), "wrapped", None)
    return isinstance(wrapped, Augmentation) and type(wrapped).move is not Augmentation.move


def _relevant(config: CompareConfig, entry: Entry, cell: Cell) -> Cell:
    """The cell with everything left empty that means nothing to its method under its rule, or to any arm asked for."""
    known, steered = takes(entry), set(config.arms) != {"plain"}
    guard = cell.rule == "guard" and "quantile" in known and steered
    pasted = guard and entry.kind == "image"
    square = not pasted or cell.shape == "rectangle"
    windowed = "window" in known and (entry.kind != "image" or pasted) and square
    consulted = (_consulted(entry, cell.rule) and steered) or entry.needs_map
    return replace(
        cell,
        window=cell.window if windowed else "",
        estimator=cell.estimator if consulted else "",
        quantile=cell.quantile if guard else None,
        shape="rectangle" if square else cell.shape,
        follow=cell.follow if pasted and _moves(entry) else "image",
        labels=cell.labels if "labels" in known and cell.rule in ("guard", "labels") and steered else "",
    )


def _strengths(config: CompareConfig, entry: Entry) -> list[tuple[str, float | None]]:
    """Options and their values, a row each; the option is "" where it is the method's strength."""
    own = [(option, value) for method, option, value in config.values if method == entry.name]
    if own:
        return [("" if option == entry.strength else option, value) for option, value in own]
    if config.strengths and entry.strength:
        return [("", value) for value in config.strengths]
    usual = entry.usual
    if entry.strength == "length":
        usual = LENGTH if usual is None and entry.kind == "image" else usual
        usual = config.length if usual is not None and config.length is not None else usual
    return [("", usual if entry.strength else None)]


def _estimators(config: CompareConfig, method: str) -> tuple[str, ...]:
    """A method's own estimators, or those of all."""
    own = tuple(estimator for name, estimator in config.maps_of if name == method)
    return own or config.estimators or ("",)


def _windows(config: CompareConfig, entry: Entry) -> tuple[str, ...]:
    if config.windows or "window" not in takes(entry):
        return config.windows or ("",)
    return (inspect.signature(entry.load()).parameters["window"].default,)


def _plain(entry: Entry, cell: Cell) -> dict[str, Any]:
    """Options of the plain arm: only what changes the plain method; the guard's own settings must not split it."""
    options: dict[str, Any] = {}
    if cell.option and cell.strength is not None:
        options[cell.option] = _number(cell.strength)
    elif cell.strength is not None and not (entry.kind == "image" and entry.strength == "length"):
        options[entry.strength] = _number(cell.strength)
    if cell.window and entry.kind != "image":
        options["window"] = cell.window
    return options


def _points(entry: Entry, cell: Cell) -> dict[str, Any]:
    """For a method that is made of key points (AdvMask): which of a dense map's pixels count as such."""
    if not entry.needs_map or "top" not in takes(entry) or not cell.estimator:
        return {}
    dense = cell.estimator == LIVE or not find(cell.estimator, estimators()).key_points
    return {"top": TOP} if dense else {}


def _guarded(config: CompareConfig, entry: Entry, cell: Cell) -> dict[str, Any]:
    """What the guard adds to the options of the plain arm."""
    known = takes(entry)
    options: dict[str, Any] = {"quantile": cell.quantile}
    if cell.window:
        options["window"] = cell.window
    if entry.kind == "image" and "length" in known:
        side = cell.strength if entry.strength == "length" else None
        side = side if side is not None else config.length
        options["length"] = _number(LENGTH if side is None else side)
    if cell.shape != "rectangle":
        options["shape"] = cell.shape
    if cell.follow != "image":
        options["follow"] = cell.follow
    return options


def _labelled(entry: Entry, cell: Cell) -> dict[str, Any]:
    """How a mixing method weighs its labels where it has maps."""
    options: dict[str, Any] = {"labels": cell.labels}
    if "normalize" in takes(entry) and not _shared_unit(cell.estimator):
        options["normalize"] = True  # Eq. 12 weighs one image's importance against the other's
    return options


def _shared_unit(estimator: str) -> bool:
    return estimator != LIVE and find(estimator, estimators()).shared_unit


def _number(value: float) -> int | float:
    """16.0 from the command line means 16 pixels; 0.5 stays a share."""
    return int(value) if float(value).is_integer() and value >= 1 else value
