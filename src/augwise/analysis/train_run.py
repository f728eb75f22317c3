"""The verb ``train``: one run with one method, plain, guarded, or guarded by foreign maps, and its page."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError
from ..training.config import TrainConfig
from .training_data import shaped, training_images, whole_split

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class TrainRun:
    """One training run."""

    train: TrainConfig = field(default_factory=TrainConfig)
    """How it is trained."""
    maps: Literal["live"] | Path | None = None
    """Folder of the importance store of the training images, which a guarded method needs. Or without a store, anew for
    every batch: live, the saliency of the model in training (KeepAugment), which costs a forward and a backward pass a
    step; or FILE.safetensors, the one-pass network that augwise distil wrote, which costs a forward pass of it."""
    maps_run: Path | None = None
    """With --maps FILE.safetensors of a network that looks at features: folder of the run that it was trained with."""
    control: bool = False
    """Give each image the map of another one: what a guard gains with that is not evidence-keeping."""
    live_of: Literal["logit", "log_probability", "top_logit"] = "logit"
    """With --maps live: the gradient of the label's logit (the paper) or log-probability, or of the largest logit."""
    live_normalize: Literal["minmax"] | None = None
    """With --maps live: minmax stretches every map to [0, 1], which --threshold needs."""
    live_scale: float = 1.0
    """With --maps live: below 1, ask about smaller images; 0.5 takes a quarter of the work."""
    soften: float = 0.0
    """Let labels doubt what was lost: the doubt (0 to 1) of a picture whose evidence is all gone, cropped away or
    erased; needs --maps, whatever the method (maps of --method area count the visible area). 0: labels as they are."""
    soften_power: float = 2.0
    """How late that doubt sets in: a picture that lost the share x of its evidence doubts soften times x to this."""

    def check(self) -> None:
        """Raise `UserError` for what cannot be meant, before anything is read."""
        if not 0 <= self.soften <= 1:
            raise UserError(f"--soften {self.soften} is out of range: give the largest doubt, from 0 to 1")
        if not self.soften_power > 0:
            raise UserError(f"--soften-power {self.soften_power} is not above 0: 2 is usual, 1 is linear")
        if not self.soften and self.soften_power != type(self).soften_power:
            raise UserError(f"--soften-power {self.soften_power} has no use without --soften: give --soften 1, say")
        if self.soften and self.maps is None:
            raise UserError(
                f"--soften {self.soften} looks at how much evidence is left, but there are no importance maps: give "
                "--maps (augwise estimate makes them; with --method area it takes seconds and counts the visible area)"
            )
        given = [f.name for f in fields(self) if f.name.startswith("live_") and getattr(self, f.name) != f.default]
        if given and self.maps != "live":
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise UserError(f"{flags} without live maps: give --maps live")
        if self.maps_run is not None and not _is_network(self.maps):
            raise UserError(f"--maps-run {self.maps_run} has no use without --maps FILE.safetensors: leave it out")
        if self.control and self.maps is None:
            raise UserError("--control deranges importance maps, but there are none: give --maps")


def _is_network(maps: Path | str | None) -> bool:
    """Whether the maps come from a one-pass network's file."""
    return isinstance(maps, Path) and maps.suffix == ".safetensors"


def train_run(run: TrainRun, step: nn.Module | None) -> dict[str, Any]:
    """Train as ``run`` says with ``step`` (an augmentation or mixer, None for crop and flip alone) and the labels
    softened after it, print the result and return it; see `augwise.train`. Writes ``report.html`` beside the
    results."""
    from accelerate import PartialState

    from ..data.image_files import describe_left_out
    from ..mixing import SoftenLabels
    from ..report.build import report
    from ..training.train import train

    run.check()
    maps, steps = _maps(run, superpixel=getattr(step, "shape", None) == "superpixel" and getattr(step, "keeps", False))
    if step is not None:
        steps.append(step)
    if run.soften:
        steps.append(SoftenLabels(run.soften, run.soften_power))
    if run.maps is not None and not any(getattr(s, "guarded", False) for s in steps):
        how = ("--method NAME --quantile 0.6" if step is None else "--quantile 0.6") + ", or --soften 1"
        print(f"the maps are only measured on (column importance_erased), nothing is guarded by them: give {how}")
    result = train(run.train, maps=maps, steps=steps)
    test = result["test"]
    if "retrieval" in result:
        _tell_ranking(result, run)
        return result
    measured = sum("test_accuracy" in row for row in result["curve"][-10:])
    print(
        f"test accuracy {100 * test['last_accuracy']:.2f} % at the last epoch"
        + (f", {100 * test['median_last_ten']:.2f} % median of the last {measured}" if measured > 1 else "")
        + (f"; written to {run.train.out}" if run.train.out else "")
    )
    print(describe_left_out(result["data"].get("left_out", ())), end="")
    if run.train.out is not None and PartialState().is_main_process:
        print(report(run.train.out))
    return result


def _tell_ranking(result: dict[str, Any], run: TrainRun) -> None:
    """What a re-identification came to."""
    from accelerate import PartialState

    from ..data.image_files import describe_left_out
    from ..report.build import report
    from ..training.rank_people import measures_in_words, queries_in_words

    found = result["retrieval"]
    written = f"; written to {run.train.out}" if run.train.out else ""
    print(f"{queries_in_words(found)}: {measures_in_words(found)} at the last epoch{written}")
    few = result["data"].get("identities_with_few_images")
    if few:
        print(
            f"{few} identities have fewer than {run.train.learn.reid_images} training images, so some of theirs come "
            "twice in a step"
        )
    print(describe_left_out(result["data"].get("left_out", ())), end="")
    if run.train.out is not None and PartialState().is_main_process:
        print(report(run.train.out))


def _one_pass(run: TrainRun) -> nn.Module:
    """The step that makes maps with the network in ``--maps``."""
    from ..importance.live_one_pass import LiveOnePass
    from ..importance.one_pass import OnePass
    from ..training.trained import trained

    assert isinstance(run.maps, Path)
    network = OnePass.load(run.maps)
    model = None if run.maps_run is None else trained(run.maps_run).model
    if network.needs_model and model is None:
        raise UserError(f"{run.maps} looks at features of its classifier: give --maps-run, the folder of that run")
    return LiveOnePass(network, control=run.control, classifier=model)


def _maps(run: TrainRun, superpixel: bool = False) -> tuple[Any, list[nn.Module]]:
    """Maps that are read, and the steps that make them where none are; superpixel: averaged over segments, which are
    found once and kept beside the store."""
    from ..importance.live import LiveSaliency
    from ..importance.store import ImportanceStore

    if superpixel and (run.maps == "live" or _is_network(run.maps)):
        raise UserError(f"--shape superpixel needs maps that are stored: give --maps FOLDER in place of {run.maps}")
    if _is_network(run.maps):
        return None, [_one_pass(run)]
    if run.maps == "live":
        options: dict[str, Any] = {"of": run.live_of, "normalize": run.live_normalize, "scale": run.live_scale}
        return None, [LiveSaliency(**options, control=run.control)]
    if run.maps is None or not (run.control or superpixel):
        return run.maps, []
    store, s = ImportanceStore(run.maps), run.train
    shape, whole = ("superpixel", whole_split(s)) if superpixel else ("rectangle", None)
    attached = shaped(store, shape, training_images(s)[0], whole, progress=not s.quiet)
    return attached.deranged(s.seed) if run.control else attached, []
