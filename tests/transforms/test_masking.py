"""The methods that hide, as the command line offers them: every argument reaches the method, the guard goes around."""

from __future__ import annotations

import inspect

import pytest
import torch

import augwise as aw
from augwise.transforms.masking import advmask, gridmask, hideandseek
from augwise.transforms.policies import autoaugment, colorjitter, fastautoaugment, randaugment, trivialaugment

FACTORIES = (
    hideandseek, gridmask, advmask, trivialaugment, randaugment, autoaugment, fastautoaugment, colorjitter,
)  # fmt: skip
each = pytest.mark.parametrize("make", FACTORIES, ids=lambda make: make.__name__)


@pytest.mark.parametrize(
    ("made", "method"),
    [
        (hideandseek(), aw.HideAndSeek()),
        (hideandseek(0.3, (0, 4), 0.5, 0.7), aw.HideAndSeek((0, 4), 0.3, 0.5, 0.7)),
        (gridmask(), aw.GridMask()),
        (
            gridmask(0.4, (8, 12), 0.0, "random", 0.9, 0.5),
            aw.GridMask((8, 12), 0.4, 0.0, "random", aw.Ramp(0.9, over=0.5)),
        ),
        (gridmask(rotation=90.0, over=0), aw.GridMask(rotation=90.0, p=0.8)),
        (advmask(), aw.AdvMask()),
        (advmask(0.3, (2, 4), 0.2, 0.1, 0.0, 0.6, 0), aw.AdvMask((2, 4), (0.15, 0.3), 0.2, 0.0, 0.6, 0.1)),
        (advmask(0.5, least=0.12), aw.AdvMask(shares=(0.06, 0.5))),
        (advmask(over=0.25), aw.AdvMask(p=aw.Ramp(0.8, over=0.25))),
        (randaugment(5, 3), aw.RandAugment(3, 5)),
        (autoaugment(), aw.AutoAugment("cifar10")),
        (autoaugment("svhn"), aw.AutoAugment("svhn")),
        (fastautoaugment("imagenet"), aw.FastAutoAugment("imagenet")),
        (trivialaugment(), aw.TrivialAugment()),
    ],
    ids=lambda step: type(step).__name__,
)
def test_arguments_are_those_of_the_method(made, method):
    assert isinstance(made, aw.Preserve)
    assert not made.keeps
    assert repr(made.wrapped) == repr(method)


@each
def test_the_guard_goes_around_with_all_of_its_arguments(make):
    plain = make()
    assert (plain.length, plain.guard, plain.regions, plain.shape, plain.follow) == (
        8, aw.Preserve(torch.nn.Identity()).guard, 1, "rectangle", "image",
    )  # fmt: skip
    guarded = make(length=0.25, quantile=0.7, window="inside", reduce="mean", regions=3)
    expected = aw.Preserve(plain.wrapped, 0.25, 0.7, "inside", "mean", regions=3)
    assert guarded.extra_repr() == expected.extra_repr()
    points = make(threshold=0.5, shape="points")
    assert (points.guard.threshold, points.guard.quantile, points.shape) == (0.5, None, "points")
    if isinstance(plain.wrapped, aw.transforms.Augmentation):
        assert make(quantile=0.6, follow="map").follow == "map"


@each
def test_signature_and_help_are_of_the_method_and_then_of_the_guard(make):
    names = list(inspect.signature(make).parameters)
    guard = ["length", "quantile", "window", "reduce", "threshold", "regions", "shape", "follow"]
    assert names[-8:] == guard
    assert not set(names[:-8]) & set(guard)
    documented = [line.split(":")[0] for line in inspect.getdoc(make).splitlines()[1:] if line and line[0] != " "]
    assert [name for line in documented for name in line.split(", ") if name in names] == names
    assert set(make.__annotations__) == {*names, "return"}


def test_colours_change_by_the_strength_asked_for():
    jitter = colorjitter(0.25).wrapped
    assert [tuple(span) for span in (jitter.brightness, jitter.contrast, jitter.saturation)] == [(0.75, 1.25)] * 3
    with pytest.raises(aw.UserError, match=r"strength=1.5"):
        colorjitter(1.5)
