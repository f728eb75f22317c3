"""One contract for every transform and mixer: what holds for all of them, whatever they do to a picture.

The methods come from the catalogue, plain and guarded; the few that are not in it are listed beside it.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torchvision import tv_tensors

import augwise as aw
from augwise import catalogue, randomness
from augwise.mixing import Mixer
from augwise.transforms import Augmentation

HEIGHT, WIDTH = 9, 14
LENGTH = 5


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], Any]
    mixing: bool = False
    size: tuple[int, int] = (HEIGHT, WIDTH)


def from_catalogue() -> list[Case]:
    cases = []
    for entry in catalogue.methods().values():
        make = entry.load()
        options = inspect.signature(make).parameters
        given = {"length": LENGTH} if "length" in options else {}
        cases.append(Case(entry.name, partial(make, **given), entry.kind == "mixing"))
        if "quantile" in options:
            guarded = partial(make, **given, quantile=0.6)
            cases.append(Case(f"{entry.name}-guarded", guarded, entry.kind == "mixing"))
    return cases


CASES = [
    *from_catalogue(),
    Case("crop-size", partial(aw.RandomCrop, (7, 16), padding=(3, 2)), size=(7, 16)),
    Case("crop-reflect", partial(aw.RandomCrop, (HEIGHT, WIDTH), padding=2, padding_mode="reflect")),
    Case("resized-crop", partial(aw.RandomResizedCrop, (7, 12)), size=(7, 12)),
    Case("resized-crop-bicubic", partial(aw.RandomResizedCrop, 16, interpolation="bicubic"), size=(16, 16)),
    Case("flip", aw.RandomHorizontalFlip),
    Case("trivialaugment-own", partial(aw.TrivialAugment, interpolation="bilinear", fill=(0.1, 0.5, 0.9))),
    Case("fastautoaugment-own", partial(aw.FastAutoAugment, "svhn", fill=0.5)),
    Case("erasing", aw.RandomErasing),
    Case("erasing-guarded", partial(aw.RandomErasing, quantile=0.6)),
    Case("hide-and-seek-random-p", partial(aw.HideAndSeek, (0, 2, 5), fill="random", p=0.7)),
    Case("grid-mask-upright-p", partial(aw.GridMask, (3, 8), rotation=0.0, fill=(0.1, 0.2, 0.3), p=0.7)),
    Case("adv-mask", partial(aw.AdvMask, (1, 4), fill="random")),
    Case("cutout-random-p", partial(aw.Cutout, LENGTH, fill="random", p=0.7)),
    Case("cutout-threshold", partial(aw.Cutout, LENGTH, threshold=1.5)),
    Case("cutmix-threshold", partial(aw.CutMix, length=LENGTH, threshold=0.9, reduce="max"), mixing=True),
    Case("cutmix-alpha-max", partial(aw.CutMix, alpha=1.0, quantile=0.5, reduce="max"), mixing=True),
    Case("preserve-threshold", lambda: aw.Preserve(aw.Cutout(LENGTH), length=4, threshold=0.3, reduce="mean")),
    Case("preserve-own", lambda: aw.Preserve(aw.Cutout(LENGTH), length=4, quantile=0.6)),
    Case("preserve-regions", lambda: aw.Preserve(aw.RandomHorizontalFlip(), 4, 0.6, regions=3)),
    Case("preserve-points", lambda: aw.Preserve(aw.RandomHorizontalFlip(), quantile=0.9, shape="points")),
    Case("preserve-moved", lambda: aw.Preserve(aw.RandomHorizontalFlip(), 4, 0.6, regions=2, follow="map")),
    Case("cutmix-alpha", partial(aw.CutMix, alpha=1.0, p=0.7), mixing=True),
    Case(
        "dcutmix-all",
        partial(aw.DCutMix, k=4, alpha=(0.5, 1, 2, 1), labels="importance", p=0.7, per_batch=True),
        mixing=True,
    ),
    Case("dmixup-all", partial(aw.DMixup, k=4, alpha=0.3, labels="half", p=0.7, per_batch=True), mixing=True),
    Case("saliency-dcutmix", partial(aw.SaliencyDCutMix, saliency="map", place="uniform", p=0.7), mixing=True),
    Case("saliencymix-map", partial(aw.SaliencyMix, saliency="map", labels="half", p=0.7), mixing=True),
    Case("fmix-all", partial(aw.FMix, 0.6, 1.5, labels="importance", p=0.7, per_batch=True), mixing=True),
    Case("resizemix-all", partial(aw.ResizeMix, 0.3, 1.0, labels="half", p=0.7, per_batch=True), mixing=True),
    Case(
        "cutmix-all",
        partial(aw.CutMix, alpha=0.7, quantile=0.6, labels="importance", partner="other", window="inside"),
        mixing=True,
    ),
]
SEES_COLOURS = {"puzzlemix", "saliencymix"}
"""Cases that look at colours: along their seams, or for what is salient."""
TRANSFORMS = [c for c in CASES if not c.mixing]
MIXERS = [c for c in CASES if c.mixing]
every = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
each_transform = pytest.mark.parametrize("case", TRANSFORMS, ids=lambda c: c.name)
each_mixer = pytest.mark.parametrize("case", MIXERS, ids=lambda c: c.name)
both_types = pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=["uint8", "float32"])


def some_batch(n: int, dtype: torch.dtype = torch.uint8) -> aw.Batch:
    images = torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    if dtype != torch.uint8:
        images = images.to(dtype) / 255
    maps = torch.rand(n, HEIGHT, WIDTH) * (torch.rand(n, HEIGHT, WIDTH) < 0.3)
    return aw.Batch.of(images, torch.arange(n) % 4, maps, torch.arange(n) + 10)


def seeded(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def same(a: Any, b: Any) -> bool:
    left, right = tensors(a), tensors(b)
    return len(left) == len(right) and all(torch.equal(x, y) for x, y in zip(left, right, strict=True))


def row(params: Any, i: int) -> Any:
    """The parameters of image i, as a batch of one."""
    return pytree.tree_map(lambda leaf: leaf[i : i + 1] if isinstance(leaf, Tensor) else leaf, params)


def test_every_case_is_what_it_says():
    assert {e.name for e in catalogue.methods().values()} <= {c.name for c in CASES}
    for case in CASES:
        assert isinstance(case.make(), Mixer if case.mixing else Augmentation)


@every
@both_types
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_input_untouched_shape_dtype_types(case: Case, dtype: torch.dtype, n: int):
    batch = some_batch(n, dtype)
    before = pytree.tree_map(lambda t: t.clone() if isinstance(t, Tensor) else t, batch)
    versions = [t._version for t in tensors(batch)]
    result = case.make()(batch, generator=seeded())
    assert [t._version for t in tensors(batch)] == versions
    assert same(batch, before)
    assert isinstance(result, aw.Batch)
    assert type(result.images) is tv_tensors.Image
    assert type(result.importance) is aw.ImportanceMap
    assert result.images.shape == (n, 3, *case.size)
    assert result.images.dtype == dtype
    assert result.importance.shape == (n, *case.size)
    assert result.importance.dtype == torch.float32
    assert torch.equal(result.indices, batch.indices)
    assert (result.importance >= 0).all()
    assert (result.importance.sum((1, 2)) <= result.evidence * (1 + 1e-5) + 1e-6).all()


@every
def test_generator_decides_everything(case: Case):
    batch, method = some_batch(5), case.make()
    default = torch.default_generator.get_state()
    first = method(batch, generator=seeded(1))
    assert torch.equal(torch.default_generator.get_state(), default)
    assert same(first, method(batch, generator=seeded(1)))
    assert not all(same(first, method(batch, generator=seeded(seed))) for seed in range(2, 8))
    torch.manual_seed(7)
    drawn = method(batch)
    torch.manual_seed(7)
    assert same(drawn, method(batch))
    assert same(first, pickle.loads(pickle.dumps(method))(batch, generator=seeded(1)))
    assert repr(method)


@pytest.mark.parametrize(
    "case", [c for c in CASES if f"{c.name}-guarded" in {d.name for d in CASES}], ids=lambda c: c.name
)
def test_plain_and_guarded_draw_the_same_numbers(case: Case):
    guarded = next(c for c in CASES if c.name == f"{case.name}-guarded")
    batch, states = some_batch(5), []
    for method in (case.make(), guarded.make()):
        generator = seeded()
        method(batch, generator=generator)
        states.append(generator.get_state())
    assert torch.equal(*states)


@every
def test_guarded_without_map_refuses(case: Case):
    method, batch = case.make(), some_batch(3)
    bare = batch._replace(importance=None, evidence=torch.zeros(3))
    if method.guarded:
        with pytest.raises(aw.UserError, match="map"):
            method(bare)
    else:
        result = method(bare, generator=seeded())
        assert result.importance is None
        assert torch.equal(result.images, method(batch, generator=seeded()).images)  # the map changes no draw


@every
def test_integer_images_refused(case: Case):
    batch = some_batch(2)
    with pytest.raises(aw.UserError, match="int64"):
        case.make()(batch._replace(images=batch.images.long()))


@each_transform
@both_types
def test_single_is_a_batch_of_one(case: Case, dtype: torch.dtype):
    batch, method = some_batch(1, dtype), case.make()
    sample = aw.Sample(
        tv_tensors.Image(batch.images[0]), aw.ImportanceMap(batch.importance[0]), 3, 8, float(batch.evidence[0])
    )
    of_batch = method(batch, generator=seeded())
    result = method(sample, generator=seeded())
    assert isinstance(result, aw.Sample)
    assert type(result.image) is tv_tensors.Image
    assert type(result.importance) is aw.ImportanceMap
    assert torch.equal(result.image, of_batch.images[0])
    assert torch.equal(result.importance, of_batch.importance[0])
    assert result[2:] == sample[2:]


@each_transform
def test_call_forms_agree(case: Case):
    batch, method = some_batch(3), case.make()
    expected = method(batch, generator=seeded())
    plain, importance = batch.images.as_subclass(Tensor), batch.importance
    pair = method(batch.images, importance, generator=seeded())
    labelled = method((plain, importance, batch.labels), generator=seeded())
    nested = method({"a": {"image": plain}, "map": importance, "name": "x"}, generator=seeded())
    assert type(pair[0]) is tv_tensors.Image
    assert type(labelled[0]) is Tensor
    assert all(type(m) is aw.ImportanceMap for m in (pair[1], labelled[1], nested["map"]))
    for images, maps in (pair, labelled[:2], (nested["a"]["image"], nested["map"])):
        assert torch.equal(images, expected.images)
        assert torch.equal(maps, expected.importance)
    assert labelled[2] is batch.labels
    assert nested["name"] == "x"
    if not method.guarded:
        assert torch.equal(method(plain, generator=seeded()), expected.images)


@each_transform
@both_types
def test_batch_is_loop(case: Case, dtype: torch.dtype):
    batch, method = some_batch(5, dtype), case.make()
    images, maps = batch.images.as_subclass(Tensor), batch.importance.as_subclass(Tensor)
    params = method.make_params(images, maps, seeded())
    together = method.transform(images, maps, params)
    for i in range(5):
        alone = method.transform(images[i : i + 1], maps[i : i + 1], row(params, i))
        assert torch.equal(alone[0][0], together[0][i])
        assert torch.equal(alone[1][0], together[1][i])


@each_transform
def test_shards_together_are_the_batch(case: Case):
    batch, method = some_batch(5), case.make()
    whole = method(batch, generator=seeded())
    part = aw.Batch(*(t[2:4] for t in batch))
    with randomness.shard(2, 5):
        cut = method(part, generator=seeded())
    assert torch.equal(cut.images, whole.images[2:4])
    assert torch.equal(cut.importance, whole.importance[2:4])


@each_transform
def test_wrong_map_refused(case: Case):
    batch = some_batch(2)
    turned = aw.ImportanceMap(batch.importance.mT.contiguous())
    with pytest.raises(aw.UserError, match="shape"):
        case.make()(batch._replace(importance=turned))


@each_mixer
@both_types
@pytest.mark.parametrize("n", [0, 1, 5])
def test_mixed_labels_are_whole(case: Case, dtype: torch.dtype, n: int):
    batch, mixer = some_batch(n, dtype), case.make()
    once = mixer(batch, generator=seeded())
    twice = mixer(once, generator=seeded(2))
    for mixed in (once, twice):
        assert isinstance(mixed.labels, aw.MixedLabels)
        assert mixed.labels.weights.dtype == torch.float32
        assert torch.equal(mixed.labels.classes[:, 0], batch.labels)
        assert (mixed.labels.weights >= 0).all()
        assert torch.allclose(mixed.labels.weights.sum(1), torch.ones(n))
        assert torch.allclose(mixed.labels.dense(4).sum(1), torch.ones(n))
    assert twice.labels.classes.shape[1] == once.labels.classes.shape[1] ** 2


@each_mixer
def test_mixer_short_form(case: Case):
    batch, mixer = some_batch(5), case.make()
    if mixer.guarded:
        return
    plain = batch.images.as_subclass(Tensor)
    images, labels = mixer(plain, batch.labels, generator=seeded())
    expected = mixer(batch, generator=seeded())
    assert type(images) is Tensor
    assert type(mixer(batch.images, batch.labels)[0]) is tv_tensors.Image
    assert torch.equal(images, expected.images)
    assert same(labels, expected.labels)
    with pytest.raises(aw.UserError, match="labels"):
        mixer(plain)
    with pytest.raises(aw.UserError, match="5 images and 4 labels"):
        mixer(plain, batch.labels[:4])


@every
@both_types
def test_layout_in_memory_changes_nothing(case: Case, dtype: torch.dtype):
    batch, method = some_batch(5, dtype), case.make()
    images = batch.images.as_subclass(Tensor).contiguous(memory_format=torch.channels_last)
    other = batch._replace(images=tv_tensors.Image(images))
    usual, result = method(batch, generator=seeded()), method(other, generator=seeded())
    if dtype == torch.uint8:
        assert same(usual, result)
    assert same(usual._replace(images=None), result._replace(images=None))
    torch.testing.assert_close(usual.images, result.images, atol=1e-6, rtol=0)  # sums of colours, in another order


@every
def test_grey_images_are_treated_like_coloured_ones(case: Case):
    batch, method = some_batch(5), case.make()
    grey = batch._replace(images=tv_tensors.Image(batch.images.as_subclass(Tensor)[:, :1]))
    coloured = method(batch, generator=seeded())
    try:
        result = method(grey, generator=seeded())
    except aw.UserError as error:
        assert "has 3 numbers, the images have 1 channels" in str(error)  # noqa: PT017 - of some cases
        assert "fill=(" in repr(method)
        return
    assert result.images.shape == (5, 1, *case.size)
    if case.name in SEES_COLOURS:
        grey = grey._replace(images=tv_tensors.Image(grey.images.as_subclass(Tensor).expand(-1, 3, -1, -1)))
        coloured = method(grey, generator=seeded())  # of no colour, but three times
        assert torch.equal(coloured.images[:, :1], result.images)
    assert same(coloured._replace(images=None), result._replace(images=None))  # maps and labels do not see colours


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_float_types_give_what_float32_gives(case: Case, dtype: torch.dtype):
    batch, method = some_batch(5, dtype), case.make()
    wide = batch._replace(images=tv_tensors.Image(batch.images.as_subclass(Tensor).float()))
    result, expected = method(batch, generator=seeded()), method(wide, generator=seeded())
    assert result.images.dtype == dtype
    apart = (result.images.as_subclass(Tensor).double() - expected.images.as_subclass(Tensor).double()).abs()
    # A level of a table of 256 more where two operations follow one another: the image between them is rounded.
    assert apart.max() <= 1 / 255 + 2 * torch.finfo(dtype).eps
    assert same(result._replace(images=None), expected._replace(images=None))
