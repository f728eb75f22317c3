"""The bridges' pages, read and run: the program before each diff, the program after it, and that its guard guards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from markdown_code import DOCS, Block, programs, run, undone
from torch import Tensor

import augwise as aw
from augwise import randomness, regions
from augwise.data import run_steps
from augwise.guard import Guard
from augwise.transforms.preserve import Preserve

BRIDGES = DOCS / "bridges"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The folder and the store that every page starts from, made by the code that the pages show."""
    home = tmp_path_factory.mktemp("bridges")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        run((BRIDGES / "photos.py").read_text(), "photos.py")
    return home


@pytest.fixture
def at_photos(photos, monkeypatch):
    monkeypatch.chdir(photos)


def both_ways(page: str) -> list[dict]:
    """Run every program of a page, before its diff and after it; the names that each left behind, after the diff.

    A block without a diff goes on where the last one ended, as it does for a reader.
    """
    names: list[dict] = []
    for program in programs(BRIDGES / page):
        line = program.after.line
        if program.before is None:
            run(program.after.code, f"{page}:{line}", names[-1])
            continue
        torch.manual_seed(0)
        run(_one_epoch(program.before), f"{page}:{line} before the diff")
        names.append(run(_one_epoch(program.after.code), f"{page}:{line}"))
        assert torch.isfinite(torch.as_tensor(names[-1].get("loss", 0.0)))
    return names


def _one_epoch(code: str) -> str:
    """The one thing in which a page and its test differ."""
    shorter = code.replace("range(2)", "range(1)").replace("epochs=2", "epochs=1")
    assert shorter != code
    return shorter


# What the laws are measured on ------------------------------------------------------------------------------------


def watched(steps: Any, item: Any, *key: int) -> Iterator[tuple[Any, Any, Any]]:
    """Every step with what it was given and what it made of it."""
    for position, step in enumerate(aw.data.pipeline.flatten_steps(steps)):
        with randomness.stream(*key, position):
            result = run_steps([step], item)
        yield step, item, result
        item = result


def as_batch(item: Any) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) and maps (N, H, W) of a sample or a batch, plain tensors."""
    if isinstance(item, aw.Sample):
        assert item.importance is not None
        return item.image.as_subclass(Tensor)[None], item.importance.as_subclass(Tensor)[None]
    return item.images.as_subclass(Tensor), item.importance.as_subclass(Tensor)


def guards_hold(steps: Any, items: list[Any]) -> set[str]:
    """Check the law of every guarded step on what really reaches it in the page's pipeline; the steps' names."""
    seen, changed = set(), dict[str, bool]()
    for key, item in enumerate(items):
        for outer, before, after in watched(steps, item, key):
            step = getattr(outer, "step", outer)  # what aw.follow put around it
            guard = getattr(step, "guard", None)
            if guard is None or isinstance(step, aw.CutMix):
                continue
            name = type(step).__name__
            seen.add(name)
            (old, maps), (new, left) = as_batch(before), as_batch(after)
            side = regions.resolve_length(step.length, *old.shape[-2:])
            quantised = regions.quantize(maps)
            summed = regions.integral(quantised)
            limits = regions.thresholds(summed, side, guard.quantile, guard.window)
            if isinstance(step, Preserve):
                kept = regions.scores(regions.integral((old != new).any(1).to(torch.uint8)), side, guard.window) == 0
                best = (regions.scores(summed, side, guard.window) * kept).amax((1, 2))
                assert (best >= limits).all(), "no important region was put back"
            else:
                erased = quantised.int() * ((left == 0) & (maps > 0))
                assert (erased.sum((1, 2)) <= limits).all(), "important pixels were erased"
            changed[name] = changed.get(name, False) or not torch.equal(old, new)
    assert all(changed.values()), changed
    return seen


def raw(count: int = 40) -> list[aw.Sample]:
    """Samples as the pages' pipelines first see them."""
    data = aw.WithImportance("folder:photos", "photos.maps")
    return [data[i] for i in range(count)]  # pyright: ignore[reportReturnType]


def marked(count: int = 10) -> list[aw.Sample]:
    """Images of one grey each, of a class each, with the maps of real ones: whose a pixel is can be told from it."""
    maps = [s.importance for s in raw(count)]
    return [
        aw.Sample(torch.full((3, 32, 32), (i + 1) / 16), m, i, i, float(m.sum()))  # pyright: ignore
        for i, m in enumerate(maps)
    ]


def shares(images: Tensor, classes: int = 10) -> Tensor:
    """(N, classes) share of the pixels of each `marked` image that every class has."""
    owner = (images.as_subclass(Tensor)[:, 0] * 16).round().long() - 1
    return torch.nn.functional.one_hot(owner, classes).float().mean((1, 2))


def covers_less_evidence(mixer: aw.CutMix, batch: aw.Batch) -> bool:
    """Whether the guard keeps more of the base images' evidence than no guard with the same draws."""

    def left(step: aw.CutMix) -> float:
        alone = torch.eye(len(batch.images))[:, :, None, None].expand(-1, -1, *batch.images.shape[-2:])
        with randomness.stream(0):
            mixed = step(batch._replace(images=alone))
        mine = torch.stack([mixed.images.as_subclass(Tensor)[i, i] for i in range(len(alone))])
        return float((mine * batch.importance).sum() / batch.importance.sum())  # pyright: ignore

    plain = aw.CutMix(mixer.alpha, mixer.length, p=mixer.p)
    assert mixer.guard == Guard(0.6)
    return left(mixer) > left(plain)


# The pages --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("at_photos")
def test_pytorch():
    whole, mixing = both_ways("pytorch.md")
    assert isinstance(whole["train"][3], tuple)
    assert guards_hold(whole["train"].steps, raw()) == {"Preserve", "Cutout"}
    assert guards_hold(mixing["train"].steps, raw()) == {"Preserve"}
    batch = mixing["mixer"](aw.collate(marked()))
    torch.testing.assert_close(batch.labels.dense(10), shares(batch.images))
    assert (batch.labels.weights[:, 1] > 0).any()
    assert covers_less_evidence(mixing["mixer"], aw.collate(raw()))


@pytest.mark.usefixtures("at_photos")
def test_torchvision():
    (names,) = both_ways("torchvision.md")
    assert guards_hold(names["train"].steps, raw(50)) == {"Preserve", "Cutout"}
    pasted = set()
    for seed in range(8):
        torch.manual_seed(seed)
        images, targets = names["collate"](marked())
        unblended = bool(torch.isin(images.as_subclass(Tensor), (torch.arange(10) + 1) / 16).all())
        pasted.add(unblended)
        if unblended:  # CutMix; Mixup blends all pixels alike
            torch.testing.assert_close(targets, shares(images))
        else:
            greys = (torch.arange(10) + 1.0) / 16
            torch.testing.assert_close(images.as_subclass(Tensor).mean((1, 2, 3)), targets @ greys)
    assert pasted == {True, False}
    assert covers_less_evidence(names["cutmix"], aw.collate(raw()))


@pytest.mark.usefixtures("at_photos")
def test_timm():
    (names,) = both_ways("timm.md")
    assert guards_hold(names["train"].steps, raw()) == {"Preserve", "Cutout"}
    batch = names["mixer"](aw.collate(marked()))
    torch.testing.assert_close(batch.labels.dense(10, 0.1), 0.9 * shares(batch.images) + 0.01)
    assert covers_less_evidence(names["mixer"], aw.collate(raw()))
    assert names["target"].shape == (24, 10)


@pytest.mark.usefixtures("at_photos")
@pytest.mark.filterwarnings(
    "ignore:.*does not have many workers", "ignore:.*isinstance.treespec, LeafSpec.*is deprecated:FutureWarning"
)
def test_lightning():
    (names,) = both_ways("lightning.md")
    steps = names["augment"].steps
    assert guards_hold(steps, [aw.collate(raw(25))]) == {"Cutout"}
    mixer = next(step for step in steps if isinstance(step, aw.CutMix))
    batch = mixer(aw.collate(marked()))
    torch.testing.assert_close(batch.labels.dense(10), shares(batch.images))
    assert covers_less_evidence(mixer, aw.collate(raw()))
    assert names["trainer"].global_step == 2
    assert {"accuracy", "train_accuracy"} <= set(names["trainer"].callback_metrics)


@pytest.mark.usefixtures("at_photos")
def test_huggingface():
    (names,) = both_ways("huggingface.md")
    assert guards_hold(names["train"].steps, raw()) == {"Preserve"}
    given = names["collate"](marked())
    torch.testing.assert_close(given["labels"], shares(given["pixel_values"]))
    given = names["collate_mixed"](marked())
    torch.testing.assert_close(aw.MixedLabels(**given["labels"]).dense(10), shares(given["pixel_values"]))
    assert covers_less_evidence(names["mixer"], aw.collate(raw()))
    assert isinstance(names["trainer"].get_train_dataloader().batch_sampler.sampler, aw.EpochSampler)


@pytest.mark.usefixtures("at_photos")
def test_kornia():
    (names,) = both_ways("kornia.md")
    batches = [aw.collate(raw(25)), aw.collate(raw(25))]
    assert guards_hold(names["augment"].steps, batches) == {"Preserve", "Cutout"}


def test_every_page_is_run():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    pages = {page.stem for page in BRIDGES.glob("*.md")} - {"index"}
    assert pages <= tested
    assert len(pages) == 6


def test_a_diff_that_leads_elsewhere_is_seen():
    code = "a = 1\nb = 2\nc = 3\n"
    assert undone(code, [Block("diff", " a = 1\n-b = 0\n+b = 2\n", 1)]) == "a = 1\nb = 0\nc = 3\n"
    for wrong in (" a = 1\n+b = 3\n", "+b = 2\n a = 1\n", "b = 2\n"):
        with pytest.raises(AssertionError):
            undone(code, [Block("diff", wrong, 1)])
