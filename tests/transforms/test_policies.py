"""Policies: what each image draws, how often, and that everything else is torchvision's."""

from __future__ import annotations

import importlib.resources
import json
import math
from collections import Counter

import pytest
import torch
from scipy import stats
from torchvision.transforms import v2

import augwise as aw
from augwise import randomness
from augwise.transforms import operation_spaces, policies
from augwise.transforms.fast_auto_augment import magnitude_of
from augwise.transforms.operations import OPERATIONS
from augwise.transforms.sub_policies import published

SIGNED = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness")
N = 40_000
every_policy = pytest.mark.parametrize(
    "make", [aw.TrivialAugment, aw.RandAugment, aw.AutoAugment, aw.FastAutoAugment], ids=lambda c: c.__name__
)


def drawn(policy, n: int = N, size: tuple[int, int] = (40, 28), seed: int = 0) -> dict[str, torch.Tensor]:
    """What a policy draws for n images, which it need not see."""
    images = torch.empty(1, 3, *size, dtype=torch.uint8).expand(n, -1, -1, -1)
    return policy.make_params(images, None, torch.Generator().manual_seed(seed))


def names_of(operations: torch.Tensor) -> list[str]:
    return [OPERATIONS[op] for op in operations.flatten().tolist()]


def fits(counts: list[int], expected: list[float] | None = None) -> bool:
    """Whether counts may come from a distribution (uniform, unless given): chi-square, p > 0.001."""
    return stats.chisquare(counts, expected).pvalue > 1e-3


def pictures(n: int = 40, size: tuple[int, int] = (40, 28)) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8)


# The numbers are torchvision's ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("bins", [2, 10, 31])
@pytest.mark.parametrize("theirs", [v2.TrivialAugmentWide, v2.RandAugment, v2.AutoAugment])
def test_spaces_are_torchvisions(theirs, bins):
    height, width = 40, 28
    space = operation_spaces.wide(bins) if theirs is v2.TrivialAugmentWide else operation_spaces.standard(
        bins, height, width
    )  # fmt: skip
    for name, (values, signed) in theirs._AUGMENTATION_SPACE.items():
        row = int(space.rows[OPERATIONS.index(name)])
        assert OPERATIONS[space.operations[row]] == name
        given = values(bins, height, width)
        wanted = [0.0] * bins if given is None else [float(v) for v in given]
        assert space.magnitudes[row].tolist() == wanted
        assert space.signs[row] == signed
    if theirs is not v2.AutoAugment:
        assert list(theirs._AUGMENTATION_SPACE) == list(operation_spaces.NAMES)


@pytest.mark.parametrize("name", ["imagenet", "cifar10", "svhn"])
def test_autoaugment_has_torchvisions_policies(name):
    theirs = v2.AutoAugment(v2.AutoAugmentPolicy(name))._policies
    assert [[tuple(step) for step in sub] for sub in published("autoaugment", name)] == [list(sub) for sub in theirs]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (aw.TrivialAugment(), v2.TrivialAugmentWide()),
        (aw.RandAugment(3, 20), v2.RandAugment(3, 20)),
        (aw.AutoAugment("cifar10"), v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
        (
            aw.AutoAugment("svhn", "bilinear", 0.5),
            v2.AutoAugment(interpolation=v2.InterpolationMode.BILINEAR, fill=128),
        ),
    ],
    ids=["trivialaugment", "randaugment", "autoaugment", "bilinear-fill"],
)
def test_what_is_drawn_is_what_torchvision_makes_of_it(ours, theirs):
    images, interpolation = pictures(60), v2.InterpolationMode(ours.interpolation)
    params = ours.make_params(images, None, torch.Generator().manual_seed(3))
    got, _ = ours.transform(images, None, params)
    for image, operations, magnitudes, result in zip(images, *params.values(), got, strict=True):
        for name, magnitude in zip(names_of(operations), magnitudes.tolist(), strict=True):
            image = theirs._apply_image_or_video_transform(image, name, magnitude, interpolation, theirs._fill)
        assert torch.equal(result, image)
    assert not torch.equal(got, images)


# How often -----------------------------------------------------------------------------------------------------------


def test_trivialaugment_draws_operations_bins_and_signs_uniformly():
    params = drawn(aw.TrivialAugment())
    names, magnitudes = names_of(params["operations"]), params["magnitudes"][:, 0]
    counts = Counter(names)
    assert set(counts) == set(operation_spaces.NAMES)
    assert fits(list(counts.values()))
    space = operation_spaces.wide(31)
    for name in ("ShearX", "Rotate", "Sharpness", "Solarize"):
        mine = magnitudes[torch.tensor([n == name for n in names])]
        row = space.magnitudes[space.rows[OPERATIONS.index(name)]]
        bins = (mine.abs()[:, None] == row).double().argmax(1)
        assert fits(bins.bincount(minlength=31).tolist())
        moved = mine[bins > 0]
        negative = int((moved < 0).sum())
        assert fits([negative, len(moved) - negative]) if name in SIGNED else negative == 0


def test_randaugment_draws_each_of_its_operations_alike_at_one_magnitude():
    params = drawn(aw.RandAugment(3, 9), 20_000)
    assert params["operations"].shape == (20_000, 3)
    for step in range(3):
        names = names_of(params["operations"][:, step])
        assert fits(list(Counter(names).values()))
        for name in ("ShearY", "TranslateX", "TranslateY", "Posterize"):
            mine = params["magnitudes"][torch.tensor([n == name for n in names]), step]
            at = {
                "ShearY": 0.09,
                "TranslateX": 150 / 331 * 28 * 0.3,
                "TranslateY": 150 / 331 * 40 * 0.3,
                "Posterize": 7,
            }
            torch.testing.assert_close(mine.abs(), torch.full_like(mine, at[name]), rtol=1e-6, atol=0)
            negative = int((mine < 0).sum())
            assert fits([negative, len(mine) - negative]) if name in SIGNED else negative == 0
    pairs = Counter(zip(*(names_of(params["operations"][:, s]) for s in (0, 1)), strict=True))
    assert fits(list(pairs.values()))  # 14 x 14: the second does not depend on the first
    assert len(pairs) == 196


@pytest.mark.parametrize(
    "policy", [aw.AutoAugment("imagenet"), aw.AutoAugment("svhn"), aw.FastAutoAugment("cifar10")], ids=repr
)
def test_sub_policies_are_drawn_alike_and_their_operations_by_their_probabilities(policy):
    n = 100_000
    operations, _, negative = policy.sub_policies.draw(n, torch.Generator().manual_seed(1))
    expected = torch.zeros(2, len(OPERATIONS), dtype=torch.float64)
    for step in range(2):
        odds = policy.sub_policies.probabilities[:, step]
        expected[step].index_add_(0, policy.sub_policies.operations[:, step], odds)
        expected[step, 0] += (1 - odds).sum()
    expected *= n / len(policy.sub_policies.operations)
    for step in range(2):
        seen = operations[:, step].bincount(minlength=len(OPERATIONS))
        possible = expected[step] > 0
        assert not seen[~possible].any()
        assert fits(seen[possible].tolist(), expected[step][possible].tolist())
    assert fits([int(negative.sum()), 2 * n - int(negative.sum())])


def test_two_coins_of_one_sub_policy_fall_independently():
    policy = aw.AutoAugment([[("Invert", 0.3, None), ("Rotate", 0.6, 9)], [("Equalize", 1.0, None)]])
    params = drawn(policy)
    pairs = Counter(zip(*(names_of(params["operations"][:, s]) for s in (0, 1)), strict=True))
    expected = {
        ("Invert", "Rotate"): 0.09,
        ("Invert", "Identity"): 0.06,
        ("Identity", "Rotate"): 0.21,
        ("Identity", "Identity"): 0.14,
        ("Equalize", "Identity"): 0.5,
    }
    assert set(pairs) == set(expected)
    assert fits([pairs[k] for k in expected], [N * p for p in expected.values()])
    turned = params["magnitudes"][params["operations"] == OPERATIONS.index("Rotate")]
    assert set(turned.tolist()) == {30.0, -30.0}


# Fast AutoAugment ----------------------------------------------------------------------------------------------------


def test_released_policies_are_whole():
    """Numbers of sub-policies and some of their values, read in the release."""
    counts = {"cifar10": 493, "svhn": 497, "imagenet": 498}
    value = {  # of one sub-policy: probability and magnitude of its first operation, then of its second
        "cifar10": ("Equalize", 0.0002657688243309364, 0.08190798535970034, "Rotate", 0.5215478065240905, 0.5773519995),
        "svhn": ("Contrast", 0.9932891064746089, 0.46930062926732646, "Posterize", 0.9033014136780437, 0.5745902253),
        "imagenet": ("Rotate", 7.870457075154214e-05, 0.8086950025500952, "Solarize", 0.102004845218, 0.123128892230),
    }
    for name, count in counts.items():
        policy = published("fastautoaugment", name)
        assert len(policy) == count == len({str(sub) for sub in policy})
        assert {len(sub) for sub in policy} == {2}
        assert {step[0] for sub in policy for step in sub} == set(aw.transforms.fast_auto_augment.NAMES)
        assert all(0 < number < 1 for sub in policy for step in sub for number in step[1:])
        flat = [[*sub[0], *sub[1]] for sub in policy]
        rounded = [[round(v, 9) if isinstance(v, float) else v for v in row] for row in [*flat, value[name]]]
        assert rounded[-1] in rounded[:-1]


def test_published_policies_name_their_source():
    for method in ("autoaugment", "fastautoaugment"):
        file = importlib.resources.files("augwise.transforms").joinpath("published", f"{method}.json")
        about = json.loads(file.read_text())["about"]
        assert "arXiv" in about["method"]
        assert "torchvision" in about["source"] or "commit" in about["source"]


def test_shares_are_what_the_release_makes_of_them():
    """At 100 x 60 pixels, by hand: the lower end, 0.3, and the upper end of every range."""
    wanted = {
        "ShearX": (-0.3, -0.12, 0.3), "ShearY": (-0.3, -0.12, 0.3), "Rotate": (-30, -12, 30),
        "TranslateX": (-27, -11, 27), "TranslateY": (-45, -18, 45), "Solarize": (0, 0.3 * 256 / 255, 256 / 255),
        "Posterize": (4, 5.2, 8), "Contrast": (-0.9, -0.36, 0.9), "Color": (-0.9, -0.36, 0.9),
        "Brightness": (-0.9, -0.36, 0.9), "Sharpness": (-0.9, -0.36, 0.9), "Cutout": (0, 3.6, 12),
        "AutoContrast": (0, 0, 0), "Invert": (0, 0, 0), "Equalize": (0, 0, 0),
    }  # fmt: skip
    assert set(wanted) == set(aw.transforms.fast_auto_augment.NAMES)
    shares = torch.tensor([0.0, 0.3, 1.0]).double()
    for name, values in wanted.items():
        got = magnitude_of(torch.full((3,), OPERATIONS.index(name)), shares, 100, 60).tolist()
        assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(got, values, strict=True)), name


def test_only_moves_are_mirrored():
    for name in aw.transforms.fast_auto_augment.NAMES:
        params = drawn(aw.FastAutoAugment([[(name, 1.0, 0.9)]]), 2000)
        values, counts = params["magnitudes"].unique(return_counts=True)
        assert len(values) == (2 if name in SIGNED[:5] else 1)
        assert len(values) == 1 or fits(counts.tolist())
        assert params["places"].shape == (2000, 1, 2)


def test_cutout_erases_evidence_and_colours_do_not():
    images, maps = pictures(50), torch.rand(50, 40, 28) + 0.1
    policy = aw.FastAutoAugment([[("Invert", 1.0, 0.0), ("Cutout", 1.0, 1.0)]])
    params = policy.make_params(images, maps, None)
    got, left = policy.transform(images, maps, params)
    erased = left == 0
    assert (erased.sum((1, 2)) > 0).all()
    assert torch.equal(left[~erased], maps[~erased])
    assert torch.equal(got.movedim(1, -1)[~erased], 255 - images.movedim(1, -1)[~erased])
    same, whole = policy.move(images, maps, params)
    assert torch.equal(same, images)
    assert torch.equal(whole, maps)


# What all of them do -------------------------------------------------------------------------------------------------


@every_policy
def test_move_is_the_geometry_alone(make):
    """On maps shown as pictures: what has moved shows its own map, in its own colours."""
    images, maps = pictures(60), torch.rand(60, 40, 28)
    policy = make()
    params = policy.make_params(images, maps, torch.Generator().manual_seed(2))
    moved, followed = policy.move(images, maps, params)
    shapes = torch.tensor([name in SIGNED[:5] for name in names_of(params["operations"])]).view(60, -1)
    assert shapes.any()
    alone = torch.where(shapes, params["operations"], 0)
    wanted, same = policy.transform(images, maps, {**params, "operations": alone})
    assert torch.equal(moved, wanted)
    assert torch.equal(followed, same)
    still = ~shapes.any(1)
    assert torch.equal(moved[still], images[still])
    changed = policy.transform(images, maps, params)
    assert not torch.equal(changed[0], moved)
    if make is not aw.FastAutoAugment:
        assert torch.equal(changed[1], followed)


def test_a_flip_moves_and_nothing_else():
    flip = aw.RandomHorizontalFlip(0.5)
    images, maps = pictures(20), torch.rand(20, 40, 28)
    params = flip.make_params(images, maps, None)
    for ours, theirs in zip(flip.move(images, maps, params), flip.transform(images, maps, params), strict=True):
        assert torch.equal(ours, theirs)
    assert not torch.equal(flip.move(images, maps, params)[0], images)


@every_policy
def test_an_image_draws_the_same_alone_and_in_a_batch(make):
    images, maps, policy = pictures(5), torch.rand(5, 40, 28), make()
    whole = policy((images, aw.ImportanceMap(maps)), generator=torch.Generator().manual_seed(4))
    with randomness.shard(3, 5):
        part = policy((images[3:4], aw.ImportanceMap(maps[3:4])), generator=torch.Generator().manual_seed(4))
    assert torch.equal(part[0][0], whole[0][3])
    assert torch.equal(part[1][0], whole[1][3])


@pytest.mark.parametrize("name", ["trivialaugment", "randaugment", "autoaugment", "fastautoaugment"])
def test_factories_wrap_our_policies(name):
    guarded = getattr(policies, name)(length=5, quantile=0.6)
    plain = getattr(policies, name)()
    assert isinstance(guarded, aw.Preserve)
    assert type(guarded.wrapped).__name__.lower() == name
    images, maps = pictures(30), torch.rand(30, 40, 28)
    params = guarded.make_params(images, maps, torch.Generator().manual_seed(0))
    kept, _ = guarded.transform(images, maps, params)
    free, moved = plain.transform(images, maps, plain.make_params(images, maps, torch.Generator().manual_seed(0)))
    for i, (top, left, bottom, right) in enumerate(params["regions"][:, 0].tolist()):
        free[i, :, top:bottom, left:right] = images[i, :, top:bottom, left:right]
    assert torch.equal(kept, free)
    assert not torch.equal(moved, maps)  # the map follows


def test_says_what_it_is():
    assert repr(aw.TrivialAugment()) == "TrivialAugment(num_magnitude_bins=31, interpolation='nearest', fill=None)"
    assert "num_ops=2, magnitude=9, num_magnitude_bins=31" in repr(aw.RandAugment())
    assert "policy='svhn'" in repr(aw.AutoAugment("svhn", fill=0.5))
    assert "policy='own, 1 sub-policies, " in repr(aw.FastAutoAugment([[("Invert", 0.5, None)]]))


@pytest.mark.parametrize("other", [("Rotate", 0.5, 0), ("Rotate", 0.6, 1), ("ShearX", 0.5, 1)])
def test_policies_of_ones_own_are_told_apart(other):
    """A run is known by what its steps print: it must not go on with another policy."""
    for policy in (aw.AutoAugment, aw.FastAutoAugment):
        one = [[("Rotate", 0.5, 1)]]
        assert repr(policy(one)) == repr(policy([tuple(one[0])]))
        assert repr(policy(one)) != repr(policy([[other]]))


ROTATE = [[("Rotate", 0.5, 3)]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.TrivialAugment(1), "num_magnitude_bins=1"),
        (lambda: aw.TrivialAugment(interpolation="bicubic"), "interpolation='bicubic'"),
        (lambda: aw.TrivialAugment(fill=128), "fill=128"),
        (lambda: aw.TrivialAugment(fill=(0.1, 0.2))(torch.zeros(50, 3, 8, 8)), "2 numbers"),
        (lambda: aw.TrivialAugment()(torch.zeros(4, 5, 8, 8)), "5 channels"),
        (lambda: aw.RandAugment(0), "num_ops=0"),
        (lambda: aw.RandAugment(magnitude=31), "magnitude=31 is out of range: give a whole number from 0 to 30"),
        (lambda: aw.RandAugment(magnitude=-1), "magnitude=-1"),
        (lambda: aw.RandAugment(magnitude=2.5), "magnitude=2.5"),
        (lambda: policies.randaugment(operations=0), "operations=0"),
        (lambda: aw.AutoAugment("cifar100"), "policy='cifar100' is unknown: use one of imagenet, cifar10, svhn"),
        (lambda: aw.FastAutoAugment("mnist"), "policy='mnist'"),
        (lambda: aw.AutoAugment([]), "empty"),
        (lambda: aw.AutoAugment([[]]), "empty"),
        (lambda: aw.AutoAugment(None), "policy=None is no policy"),
        (lambda: aw.AutoAugment([[("Rotate", 0.5)]]), "each a list of \\(operation, probability, magnitude\\)"),
        (lambda: aw.AutoAugment(["Rotate"]), "sub-policy 0 is 'Rotate'"),
        (lambda: aw.AutoAugment([("Rotate", 0.5, 3)]), r"sub-policy 0 holds 'Rotate': .* as in \[\[\("),
        (lambda: aw.AutoAugment([*ROTATE, [("Blur", 0.5, 3)]]), "operation 'Blur' in sub-policy 1 is unknown"),
        (lambda: aw.AutoAugment([[("Cutout", 0.5, 3)]]), "operation 'Cutout'"),
        (lambda: aw.AutoAugment([[("Rotate", 1.5, 3)]]), "probability 1.5 of Rotate"),
        (lambda: aw.AutoAugment([[("Rotate", None, 3)]]), "probability None"),
        (lambda: aw.AutoAugment([[("Rotate", 0.5, 10)]]), "magnitude 10 of Rotate .* from 0 to 9"),
        (lambda: aw.AutoAugment([[("Rotate", 0.5, 2.5)]]), "magnitude 2.5"),
        (lambda: aw.AutoAugment([[("Rotate", 0.5, None)]]), "magnitude None"),
        (lambda: aw.FastAutoAugment([[("Rotate", 0.5, 3)]]), "magnitude 3 of Rotate .* from 0 to 1"),
        (lambda: aw.FastAutoAugment([[("Rotate", 0.5, None)]]), "magnitude None"),
        (lambda: aw.FastAutoAugment([[("Identity", 0.5, 0.3)]]), "operation 'Identity'"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


def test_released_translations_are_rounded_to_the_nearest_pixel():
    operations = torch.tensor([OPERATIONS.index(name) for name in ("TranslateX", "TranslateX", "TranslateY")])
    shares = torch.tensor([0.6, 0.3, 0.6], dtype=torch.float64)
    # -9 + 0.6 * 18 = 1.8, -9 + 0.3 * 18 = -3.6 of 20 pixels; -4.5 + 0.6 * 9 = 0.9 of 10
    assert magnitude_of(operations, shares, 10, 20).tolist() == [2, -4, 1]


def test_each_square_of_an_image_has_a_place_of_its_own():
    images = torch.ones(1, 1, 8, 20)
    params = {
        "operations": torch.full((1, 2), OPERATIONS.index("Cutout")),
        "magnitudes": torch.full((1, 2), 3.0, dtype=torch.float64),
        "places": torch.tensor([[[0.5, 0.2], [0.5, 0.8]]], dtype=torch.float64),
    }
    erased, maps = aw.FastAutoAugment().transform(images, torch.ones(1, 8, 20), params)
    assert (erased[0, 0, 4, [4, 16]] != 1).all()
    assert maps[0, 4, [4, 10, 16]].tolist() == [0, 1, 0]
