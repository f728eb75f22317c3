"""Audit numbers against cases worked out by hand: boxes, flips, crops, mixtures, a model that looks left and right."""

from __future__ import annotations

import csv
import json
import math
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

import augwise as aw
from augwise import randomness
from augwise.analysis.audit_look import Pipeline
from augwise.analysis.audit_result import distribution
from augwise.analysis.statistics import wilson
from augwise.analysis.touched import touched
from augwise.data import ArraySource, Resized
from augwise.importance.estimator import Estimated, Estimator
from augwise.labels import MixedLabels
from augwise.mixing import Mixer

N, HEIGHT, WIDTH = 40, 16, 24
LEFT, RIGHT = 0, 1


def source(n: int = N) -> ArraySource:
    """A bright 4 x 4 object on noise, left (class 0) or right (class 1)."""
    torch.manual_seed(3)
    images = torch.randint(0, 60, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    labels = torch.arange(n) % 2
    for image, label, where in zip(images, labels, torch.rand(n, 2), strict=True):
        top, left = int(where[0] * 12), int(where[1] * 8) + 12 * int(label)
        image[:, top : top + 4, left : left + 4] = 250
    return ArraySource(images, labels.numpy(), ["left", "right"], "objects")


class Maps:
    """The object itself, as maps in the order of the source."""

    def __init__(self, n: int = N) -> None:
        self.maps = (source(n).images[:, 0] == 250).float()

    def __len__(self) -> int:
        return len(self.maps)

    def read(self, index):
        return self.maps[index]


class Looks(nn.Module):
    """Logits (brightness of the left half, of the right half) times 8: the class is where it is brighter."""

    def forward(self, images: Tensor) -> Tensor:
        half = images.shape[-1] // 2
        return 8 * torch.stack([images[..., :half].mean((1, 2, 3)), images[..., half:].mean((1, 2, 3))], 1)


class SaysLeft(Looks):
    """Sure of the left whatever it sees, and surer where that is brighter."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.tensor([5.0, 0.0])


MODEL = Looks().eval()


class Box(v2.Transform):
    """Erases rows 2 to 12 and columns 5 to 20 of image and map."""

    def transform(self, inpt, params):  # noqa: ARG002
        return self._call_kernel(F.erase, inpt, i=2, j=5, h=10, w=15, v=torch.zeros(1, 1, 1))


def look(transform, **options) -> aw.Audit:
    return aw.audit(source(), transform, **({"importance": Maps(), "progress": False, "cases": 2} | options))


def one(transform, **options):
    return look(transform, **options).transforms[0]


def test_a_known_box_takes_its_share_of_area_and_importance():
    found = one(Box())
    gone = Maps().maps[:, 2:12, 5:20].sum((1, 2)) / 16
    assert found.area_lost.tolist() == pytest.approx([150 / (HEIGHT * WIDTH)] * N)
    assert found.importance_lost.tolist() == pytest.approx(gone.tolist(), abs=1e-6)
    assert 0 < gone.mean() < 1
    assert found.labels.tolist() == [i % 2 for i in range(N)]


@pytest.mark.parametrize("flip", [v2.RandomHorizontalFlip(1.0), v1.RandomVerticalFlip(1.0), v2.ColorJitter(0.5)])
def test_flips_and_colours_destroy_nothing(flip):
    found = one(flip)
    assert found.importance_lost.max() < 1e-6
    assert found.area_lost.max() < 1e-6


@pytest.mark.parametrize("crop", [v1.CenterCrop((10, 18)), [v2.CenterCrop((10, 18)), v2.Resize((32, 30))]])
def test_a_crop_loses_what_lies_outside(crop):
    found = one(crop)
    outside = 1 - Maps().maps[:, 3:13, 3:21].sum((1, 2)) / 16
    assert found.area_lost.tolist() == pytest.approx([1 - 180 / (HEIGHT * WIDTH)] * N, abs=1e-5)
    assert found.importance_lost.tolist() == pytest.approx(outside.tolist(), abs=1e-5)


def test_shares_stay_between_none_and_all():
    """Where a resize, or coordinates, make a sum a little larger, nothing is lost, not less than nothing."""
    for step in (v2.Resize((37, 29)), v2.Resize((7, 11)), v1.RandomRotation(20), v2.RandomErasing(1.0)):
        found = one(step)
        for shares in (found.importance_lost, found.area_lost):
            assert shares.min() >= 0
            assert shares.max() <= 1


def test_padding_is_neither_evidence_nor_area():
    found = one([v2.Pad(5, padding_mode="reflect")])
    assert found.area_lost.max() < 1e-6
    assert found.importance_lost.max() < 1e-6


def test_recognition_by_a_model_that_looks_where_it_is_brighter():
    flipped = one(v2.RandomHorizontalFlip(1.0), model=MODEL)
    assert flipped.before.tolist() == [1.0] * N
    assert flipped.unrecognised.tolist() == [1.0] * N
    logits = MODEL(source().images.float() / 255)
    right = logits[torch.arange(N), torch.arange(N) % 2] - logits[torch.arange(N), 1 - torch.arange(N) % 2]
    # log p(before) - log p(after) = log sigmoid(r) - log sigmoid(-r) = r
    assert flipped.log_prob_drop.tolist() == pytest.approx(right.tolist(), rel=1e-4)
    same = one(v2.RandomVerticalFlip(1.0), model=MODEL)
    assert np.nansum(same.unrecognised) == 0
    assert np.abs(same.log_prob_drop).max() < 1e-5
    assert look(v2.Identity(), model=MODEL).recognises == 1.0


def test_only_what_was_recognised_can_be_lost():
    class AlwaysLeft(nn.Module):
        def forward(self, images):
            return torch.tensor([3.0, 0.0]).expand(len(images), 2)

    found = look(v2.RandomHorizontalFlip(1.0), model=AlwaysLeft().eval())
    assert found.recognises == 0.5
    assert np.isnan(found.transforms[0].unrecognised).tolist() == [i % 2 == 1 for i in range(N)]
    summary = found.transforms[0].summary(found.class_names)
    assert summary["unrecognised"] == 0.0
    assert summary["unrecognised_interval"] == wilson(0, N // 2)
    assert [c["unrecognised"] for c in summary["per_class"]] == [0.0, None]


def test_cases_are_the_worst_of_all_and_of_what_was_recognised():
    found = one(v2.RandomErasing(1.0, (0.2, 0.3)), model=SaysLeft().eval(), cases=7)
    lost = [case.importance_lost for case in found.cases["Most evidence lost"]]
    assert lost == sorted(found.importance_lost.tolist(), reverse=True)[:7]
    assert lost[-1] > found.importance_lost.min()
    recognised = found.cases["Largest drop among recognised images"]
    assert {case.label for case in recognised} == {"left"}
    drops = found.log_prob_drop[found.labels == LEFT].tolist()
    assert [case.log_prob_drop for case in recognised] == sorted(drops, reverse=True)[:7]
    for case in [*recognised, *found.cases["Drawn at random"]]:
        assert np.array_equal(case.image, source().images[case.index].permute(1, 2, 0).numpy())
        assert np.array_equal(case.importance, Maps().maps[case.index].numpy())
        assert case.log_prob_drop == found.log_prob_drop[case.index]


@pytest.mark.parametrize(("change", "outside"), [((1.5, 0.0), True), ((1.0, -0.3), True), ((0.9, 0.0), False)])
def test_pixels_below_none_or_above_all_are_counted(change, outside):
    def contrast(image):
        return image.float() / 255 * change[0] + change[1]

    found = look(contrast)
    assert found.transforms[0].outside == float(outside)
    assert ("100.0 % of its pictures have pixels below 0 or above 1" in str(found)) == outside


def test_images_per_second_are_those_of_the_pipeline():
    def slow(image):
        time.sleep(0.02)
        return image

    assert 1 < one(slow, count=20).images_per_second <= 50


def test_a_resized_picture_is_seen_at_the_images_own_size():
    class Exact(Looks):
        def forward(self, images):
            assert images.shape[-2:] == (HEIGHT, WIDTH)
            return super().forward(images)

    found = one(v2.Resize((40, 50)), model=Exact().eval())
    assert np.nanmax(np.abs(found.log_prob_drop)) < 0.2


def test_normalisation_is_taken_back_for_the_model_and_for_the_page():
    steps = [v1.ToTensor(), v1.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.1]), v2.RandomVerticalFlip(1.0)]
    found = one(steps, model=MODEL)
    assert np.abs(found.log_prob_drop).max() < 1e-5
    case = found.cases["Drawn at random"][0]
    assert np.array_equal(case.augmented, case.image[::-1])


def test_mixup_takes_one_minus_lambda_of_everything_from_everybody():
    found = one(v2.MixUp(num_classes=2), count=32)
    # Row by row; `limited` took 32 of the 40 images, which meet in pairs.
    order, expected = randomness.permutation(32, randomness.generator(0, "audit groups")), torch.zeros(32)
    for number in range(16):
        with randomness.stream(0, "audit mixing", number, foreign=True):
            _, labels = v2.MixUp(num_classes=2)(torch.zeros(2, 3, 2, 2), torch.arange(2))
        assert 0 < float(labels[0, 0]) < 1
        expected[order[2 * number : 2 * number + 2]] = 1 - float(labels[0, 0])
    assert found.area_lost.tolist() == pytest.approx(expected.tolist(), abs=1e-5)
    assert found.importance_lost.tolist() == pytest.approx(expected.tolist(), abs=1e-5)


MIXERS = {
    "ours": lambda _: aw.CutMix(alpha=1.0),
    "ours, guarded": lambda _: aw.CutMix(length=9, quantile=0.5),
    "ours, chained": lambda _: [v2.RandomHorizontalFlip(), aw.CutMix(length=9)],
    "torchvision": lambda k: v2.CutMix(num_classes=k),
    "torchvision choice": lambda k: v2.RandomChoice([v2.CutMix(num_classes=k), v2.MixUp(num_classes=k)]),
    "timm batch": lambda k: pytest.importorskip("timm.data.mixup").Mixup(0.8, 1.0, label_smoothing=0.0, num_classes=k),
    "timm pair": lambda k: pytest.importorskip("timm.data.mixup").Mixup(
        0.8, 1.0, mode="pair", label_smoothing=0.0, num_classes=k
    ),
    "timm elem": lambda k: pytest.importorskip("timm.data.mixup").Mixup(
        0.8, 1.0, mode="elem", label_smoothing=0.0, num_classes=k
    ),
}


@pytest.mark.parametrize("name", MIXERS)
def test_area_lost_to_a_mixer_is_what_its_label_gives_away(name):
    """Every image a class of its own, so the label says what is left of it."""
    images = torch.randint(0, 256, (50, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    every = ArraySource(images, np.arange(50), [str(i) for i in range(50)], "each its own")

    class OwnClass(nn.Module):
        def forward(self, pictures):
            return torch.zeros(len(pictures), 50)

    found = aw.audit(every, MIXERS[name](50), model=OwnClass().eval(), progress=False).transforms[0]
    assert len(found.rows) == 50  # a group of 32, and one filled up
    # p is 1/50 before and after, so the drop is log w, and w the larger share of two.
    weight = np.exp(found.log_prob_drop)
    own = np.minimum(found.area_lost, 1 - found.area_lost)
    assert weight.tolist() == pytest.approx((1 - own).tolist(), abs=1e-3)
    assert found.area_lost.std() > 0


def test_the_last_group_is_filled_with_images_that_were_not_mixed_before():
    images, order = source(33).images, randomness.permutation(33, randomness.generator(0, "audit groups"))
    pipeline, blank = Pipeline("mix", v2.MixUp(num_classes=2)), torch.zeros(HEIGHT, WIDTH)
    looked = pipeline.look_mixed(list(images), [blank] * 33, [0] * 33, list(range(33)), 0)
    group = images[order[[32, 0]]].float() / 255
    with randomness.stream(0, "audit mixing", 16, foreign=True):
        wanted, _ = v2.MixUp(num_classes=2)(group, torch.zeros(2, dtype=torch.int64))
    torch.testing.assert_close(looked.pictures[int(order[32])], wanted[0])
    with randomness.stream(0, "audit mixing", 0, foreign=True):
        first, _ = v2.MixUp(num_classes=2)(images[order[:2]].float() / 255, torch.zeros(2, dtype=torch.int64))
    for place, picture in zip(order[:2].tolist(), first, strict=True):
        torch.testing.assert_close(looked.pictures[place], picture)  # who fills the last group is not mixed again
    assert looked.area.isnan().sum() == 0
    assert looked.importance.isnan().all()


class Counts(Mixer):
    """Leaves a batch as it is and notes how large it was."""

    def make_params(self, batch, generator):  # noqa: ARG002
        self.met = [*getattr(self, "met", []), len(batch.images)]
        return {}

    def mix(self, batch, params):  # noqa: ARG002
        return batch._replace(labels=MixedLabels.of(batch.labels))


def test_large_pictures_are_mixed_in_groups_of_sixteen():
    for height, groups in ((128, [32]), (129, [16, 16])):
        mixer, images = Counts(), [torch.zeros(3, height, 128, dtype=torch.uint8)] * 20
        Pipeline("mix", mixer).look_mixed(images, [torch.zeros(height, 128)] * 20, [0] * 20, list(range(20)), 0)
        assert sorted(set(mixer.met)) == sorted(set(groups))
        assert len(mixer.met) % len(groups) == 0


def test_a_mixed_picture_is_judged_by_the_larger_weight_of_its_label():
    class Takes(aw.CutMix):
        """The right three quarters of the partner, always."""

        def make_params(self, batch, generator):  # noqa: ARG002
            n = len(batch.images)
            boxes = torch.tensor([0, WIDTH // 4, HEIGHT, WIDTH]).expand(n, 4)
            return {"partner": torch.arange(n).roll(1), "boxes": boxes}

    found = one(Takes(length=4), model=MODEL, count=32)
    assert found.area_lost.tolist() == pytest.approx([0.75] * 32)
    order = randomness.permutation(32, randomness.generator(0, "audit groups"))
    partner = dict(zip(order.tolist(), order.roll(1).tolist(), strict=True))
    rows, pictures = found.rows, source().images.float() / 255
    for place in range(32):
        mixed = pictures[rows[place]].clone()
        other = int(rows[partner[place]])
        mixed[:, :, WIDTH // 4 :] = pictures[other][:, :, WIDTH // 4 :]
        same = rows[place] % 2 == other % 2
        before, after = (MODEL(p[None]).log_softmax(1)[0, other % 2] for p in (pictures[other], mixed))
        own = MODEL(pictures[int(rows[place])][None]).log_softmax(1)[0, other % 2]
        promised = math.log(1.0 if same else 0.75)
        assert found.log_prob_drop[place] == pytest.approx(float(promised + before - after), abs=1e-4), float(own)
        assert found.after[place] == float(MODEL(mixed[None]).argmax() == other % 2)


def test_a_label_by_importance_says_what_a_mixed_picture_is_of():
    """A quarter of the picture, with nearly all of its importance, comes from the partner: that is what has to be
    recognised, and only partners that were recognised alone can be lost."""

    class Takes(aw.CutMix):
        def make_params(self, batch, generator):  # noqa: ARG002
            n = len(batch.images)
            boxes = torch.tensor([0, 3 * WIDTH // 4, HEIGHT, WIDTH]).expand(n, 4)
            return {"partner": torch.arange(n).roll(1), "boxes": boxes}

    maps = Maps()
    maps.maps = torch.full((N, HEIGHT, WIDTH), 0.01)
    maps.maps[:, :, 3 * WIDTH // 4 :] = 1.0
    weight = 6 / (6 + 0.01 * 18)
    model = SaysLeft().eval()
    found = one(Takes(length=4, labels="importance"), importance=maps, model=model, count=32)
    order = randomness.permutation(32, randomness.generator(0, "audit groups"))
    partner = dict(zip(order.tolist(), order.roll(1).tolist(), strict=True))
    rows, pictures = found.rows, source().images.float() / 255
    judged = 0
    for place in range(32):
        own, other = int(rows[place]), int(rows[partner[place]])
        if own % 2 == other % 2:
            continue
        judged += 1
        mixed = pictures[own].clone()
        mixed[:, :, 3 * WIDTH // 4 :] = pictures[other][:, :, 3 * WIDTH // 4 :]
        before, after = (model(p[None]).log_softmax(1)[0, other % 2] for p in (pictures[other], mixed))
        assert found.log_prob_drop[place] == pytest.approx(float(math.log(weight) + before - after), abs=1e-4)
        assert found.before[place] == found.after[place] == float(other % 2 == LEFT)
    assert judged > 5


@pytest.mark.parametrize("step", [aw.Cutout(7), aw.Cutout(7, quantile=0.5), aw.CutMix(length=7)])
def test_agrees_with_what_a_comparison_measures(step):
    """The comparison's markers and the audit's maps are two ways to see what deletion and mixing overwrite."""
    many = aw.audit(source(400), step, importance=Maps(400), count=400, progress=False).transforms[0]
    other = touched(step, Maps(400).maps)
    assert many.area_lost.mean() == pytest.approx(float(other.area.mean()), abs=0.01)
    assert many.importance_lost.mean() == pytest.approx(float(other.importance.mean()), abs=0.04)


def test_guards_see_the_true_map_when_they_decide():
    arms = {"plain": aw.Cutout(6, window="inside"), "guarded": aw.Cutout(6, quantile=0.5, window="inside")}
    plain, guarded = look(arms).transforms
    assert guarded.area_lost.tolist() == pytest.approx(plain.area_lost.tolist())
    assert guarded.importance_lost.max() == 0  # half of the windows do not touch the object
    assert plain.importance_lost.mean() > 0.05
    mixers = {
        "plain": aw.CutMix(length=6, window="inside"),
        "guarded": aw.CutMix(length=6, quantile=0.5, window="inside"),
    }
    plain, guarded = look(mixers).transforms
    assert guarded.importance_lost.max() == 0
    assert plain.importance_lost.mean() > 0.05
    settings = {"plain": {"length": 8}, "kept": {"length": 8, "quantile": 0.9}}  # the same draws
    plain, kept = look({k: aw.follow(v2.RandAugment(3, 20), preserve=v) for k, v in settings.items()}).transforms
    assert plain.importance_lost.mean() > 0.05
    assert kept.importance_lost.mean() < 0.5 * plain.importance_lost.mean()


def test_a_guard_sees_the_map_behind_a_step_that_cannot_be_followed():
    """What is lost is not known, but what it makes is: the object, which the guard spares, stays."""

    def same(image):
        return image.clone()

    images, maps = list(source().images), list(Maps().maps)
    for step, spared in ((aw.Cutout(6, quantile=0.5, window="inside"), True), (aw.Cutout(6, window="inside"), False)):
        looked = Pipeline("opaque", [same, step]).look(images, maps, range(N), 0)
        whole = [bool((p[:, m > 0] == 250).all()) for p, m in zip(looked.pictures, maps, strict=True)]
        assert all(whole) == spared
        assert looked.area.isnan().all()


def test_what_cannot_be_followed_is_not_known_and_named():
    def darker(image):
        return image // 8

    found = look([v2.RandomHorizontalFlip(), darker], model=MODEL)
    only = found.transforms[0]
    assert only.opaque == ("darker",)
    assert np.isnan(only.area_lost).all()
    assert np.isnan(only.importance_lost).all()
    assert not np.isnan(only.log_prob_drop).any()
    assert "cannot follow darker" in str(found)
    assert only.summary(found.class_names)["importance_lost"] is None
    assert only.summary(found.class_names)["lose_more_than_half"] is None
    smaller = one([lambda image: image[:, ::2, ::2]])
    assert smaller.failed == {}


def test_the_same_seed_gives_the_same_numbers_whatever_else_is_asked():
    steps = lambda: [v1.RandomResizedCrop(14), v2.TrivialAugmentWide(), v2.RandomErasing()]  # noqa: E731
    first = look(steps(), model=MODEL, batch_size=7).transforms[0]
    second = look({"other": v2.ColorJitter(1.0), "this": steps()}, model=MODEL, batch_size=40).transforms[1]
    assert first.area_lost.tolist() == second.area_lost.tolist()
    assert first.importance_lost.tolist() == second.importance_lost.tolist()
    assert first.log_prob_drop.tolist() == pytest.approx(second.log_prob_drop.tolist(), abs=1e-5)
    assert look(steps(), seed=1).transforms[0].area_lost.tolist() != first.area_lost.tolist()
    few = look(steps(), count=9)
    assert np.bincount(few.transforms[0].labels).tolist() in ([5, 4], [4, 5])
    places = few.transforms[0].rows
    assert few.transforms[0].area_lost.tolist() == [first.area_lost[row] for row in places]


def test_nobody_elses_random_numbers_are_taken():
    data, maps, mixing = source(), Maps(), [v2.RandomErasing(), aw.CutMix(alpha=1.0)]
    torch.manual_seed(8)
    aw.audit(data, mixing, importance=maps, progress=False)
    after = torch.rand(1)
    torch.manual_seed(8)
    assert torch.equal(after, torch.rand(1))


def test_images_on_which_a_transform_fails_are_named():
    means = source().images.float().mean((1, 2, 3))
    limit = float(means.quantile(0.7))

    def picky(image):
        if float(image.float().mean()) > limit:
            raise ValueError("too bright")
        return image

    found = look([v2.RandomVerticalFlip(), picky], model=MODEL)
    bright = [i for i in range(N) if float(means[i]) > limit]
    only = found.transforms[0]
    assert 0 < len(bright) < N
    assert sorted(only.failed) == bright
    assert all(text == "picky failed: ValueError: too bright" for text in only.failed.values())
    assert np.isnan(only.log_prob_drop).tolist() == [i in bright for i in range(N)]
    assert only.summary(found.class_names)["images"] == N - len(bright)
    assert f"failed on {len(bright)} images, first on image {bright[0]}: picky failed" in str(found)
    mixed = look([picky, aw.CutMix(alpha=1.0)], model=MODEL)
    assert np.isnan(mixed.transforms[0].log_prob_drop).tolist() == [i in bright for i in range(N)]


class Halves:
    def __call__(self, images, labels):
        return images[::2], labels[::2]


@pytest.mark.parametrize(
    ("transform", "says"),
    [
        (lambda image: [image, image], r"image 0: <lambda>: returned 2 of them as list"),
        (lambda image: image[None].repeat(2, 1, 1, 1), "returned shape"),
        (lambda _: "picture", "as str"),
        (lambda image: image.float() / 255 * float("nan"), "NaN"),
        (lambda image: image.float(), "from 0 to 250: float images are in .0, 1."),
        (lambda image: image.int(), "torch.int32"),
        (v2.CutMix(), "num_classes must be passed"),
        ([], None),
        ({}, "name at least one"),
    ],
)
def test_transforms_that_make_no_images_say_so_with_the_first_image(transform, says):
    if says is None:
        assert one(transform).area_lost.max() == 0
        return
    with pytest.raises(aw.UserError, match=says):
        look(transform)


def test_a_mixer_must_keep_the_batch():
    class Short(aw.CutMix):
        def mix(self, batch, params):
            batch = super().mix(batch, params)
            return batch._replace(images=batch.images[::2])

    with pytest.raises(aw.UserError, match=r"Short made shape .16, 3"):
        look(Short(alpha=1.0))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"importance": 5}, "importance=5"),
        ({"importance": aw.Occlusion()}, "needs a classifier"),
        ({"importance": aw.Occlusion}, "give a store"),
        ({"model": Looks().train()}, "training mode"),
        ({"count": 0}, "count=0"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, says):
    with pytest.raises(aw.UserError, match=says):
        look(v2.RandomHorizontalFlip(), **options)


def test_every_pair_gets_a_draw_of_a_mixer_that_draws_once_per_batch():
    lost = one(v2.MixUp(num_classes=2)).area_lost
    assert len(np.unique(lost.round(9))) >= N // 2 - 1  # both of a pair lose 1 - λ


def test_a_store_of_whole_images_serves_their_centre_squares(tmp_path):
    whole = source()
    store = aw.ImportanceStore.from_maps(whole, Maps().maps.numpy(), tmp_path / "objects.maps")
    squares = Resized(whole, HEIGHT)  # 16 x 24 -> 16 x 16: columns 4 to 20
    flipped = aw.audit(squares, v2.CenterCrop(8), importance=store, progress=False, cases=0).transforms[0]
    maps = Maps().maps[:, :, 4:20].double()
    shown = maps.sum((1, 2))
    kept = maps[:, 4:12, 4:12].sum((1, 2)) / shown
    expected = torch.where(shown > 0, 1 - kept, torch.nan)
    np.testing.assert_allclose(flipped.importance_lost, expected.numpy(), atol=1e-6)
    other = aw.ImportanceStore.from_maps(source(6), Maps(6).maps.numpy() * 0 + 1, tmp_path / "few.maps")
    with pytest.raises(aw.UserError, match="belongs to other data"):
        aw.audit(squares, v2.CenterCrop(8), importance=other, progress=False)


def test_maps_are_made_as_it_goes_and_the_output_says_which(tmp_path):
    without = look(v2.CenterCrop(8), importance=None)
    assert "centre" in without.maps
    assert "give --run" in str(without)
    assert without.recognises is None
    assert np.isnan(without.transforms[0].before).all()
    middle = without.transforms[0]
    assert middle.importance_lost.mean() < middle.area_lost.mean() - 0.1  # the prior's centre is kept
    # Looks sees brightness alone: covering the object is what costs.
    seen = look(v2.CenterCrop(8), importance=None, model=MODEL)
    assert "occlusion" in seen.maps
    store = aw.ImportanceStore.from_maps(source(), Maps().maps.numpy(), tmp_path / "objects.maps")
    by_store = one(Box(), importance=store)
    assert by_store.importance_lost.tolist() == pytest.approx(one(Box()).importance_lost.tolist(), abs=1e-6)
    assert (
        one(Box(), importance=tmp_path / "objects.maps").importance_lost.tolist() == by_store.importance_lost.tolist()
    )
    blank = Maps()
    blank.maps[3] = 0
    assert np.isnan(one(Box(), importance=blank).importance_lost).tolist() == [i == 3 for i in range(N)]


@dataclass(frozen=True)
class Chance(Estimator):
    """Maps of random numbers."""

    name: ClassVar[str] = "chance"
    needs_model: ClassVar[bool] = False

    def map_size(self, height: int, width: int) -> tuple[int, int]:
        return height, width

    def compute(self, model, images, labels, seeds):  # noqa: ARG002
        maps = [torch.rand(images.shape[-2:], generator=torch.Generator().manual_seed(seed)) ** 9 for seed in seeds]
        return Estimated(torch.stack(maps), torch.zeros(len(images), dtype=torch.bool))


def test_a_map_does_not_depend_on_which_other_images_are_looked_at():
    whole, few = one(Box(), importance=Chance()), one(Box(), importance=Chance(), count=9)
    assert few.importance_lost.tolist() == [whole.importance_lost[row] for row in few.rows]
    assert one(Box(), importance=Chance(), seed=1).importance_lost.tolist() != whole.importance_lost.tolist()


def test_maps_made_as_it_goes_are_those_of_a_store(tmp_path):
    store = aw.estimate(MODEL, source(), tmp_path / "o.maps", aw.Occlusion(stride=0.25), progress=False)
    made = one(Box(), importance=None, model=MODEL).importance_lost
    assert made.tolist() == pytest.approx(one(Box(), importance=store).importance_lost.tolist(), abs=0.01)
    assert made.std() > 0.05


def test_images_of_mixed_sizes():
    class Mixed:
        def __len__(self):
            return 6

        def __getitem__(self, index):
            torch.manual_seed(index)
            return torch.randint(0, 256, (3, 20 + index // 2, 30 - index), dtype=torch.uint8), index % 2

    class AnySize(nn.Module):
        def forward(self, images):
            return torch.stack([images.mean((1, 2, 3)), 1 - images.mean((1, 2, 3))], 1)

    steps = [v2.RandomResizedCrop(12), v2.RandomHorizontalFlip()]
    found = aw.audit(Mixed(), steps, model=AnySize().eval(), progress=False).transforms[0]
    assert not np.isnan(found.area_lost).any()
    assert not np.isnan(found.log_prob_drop).any()
    mixed = aw.audit(Mixed(), [*steps, v2.MixUp(num_classes=2)], progress=False).transforms[0]
    assert (mixed.area_lost > 0).all()
    with pytest.raises(aw.UserError, match="one batch"):
        aw.audit(Mixed(), v2.MixUp(num_classes=2), progress=False)


def test_distribution():
    found = distribution(np.array([0.0, 0.1, 0.1, 0.9, 1.0, np.nan]), True)
    assert found["n"] == 5
    assert found["mean"] == pytest.approx(0.42)
    assert found["quantiles"]["0.5"] == pytest.approx(0.1)
    assert sum(found["counts"]) == 5
    assert (found["counts"][0], found["counts"][2], found["counts"][19]) == (1, 2, 1)
    assert found["counts"][18] == 1
    assert distribution(np.array([np.nan]), True) is None
    assert np.flatnonzero(distribution(np.array([0.41, 0.43, 0.62]), True)["counts"]).tolist() == [8, 12]


def test_files_and_page(tmp_path):
    found = look(
        {"box": Box(), "mix": v2.MixUp(num_classes=2), "grey": lambda x: x}, model=MODEL, about={"box": "a box"}
    )
    page = found.write(tmp_path / "out", title="Objects <here>", command="augwise audit")
    report = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [t["name"] for t in report["transforms"]] == ["box", "mix", "grey"]
    assert report["transforms"][0]["area_lost"]["mean"] == pytest.approx(150 / 384)
    assert report["transforms"][2]["not_followed"] == ["<lambda>"]
    per_class = report["transforms"][0]["per_class"]
    assert [(c["class"], c["images"]) for c in per_class] == [("left", 20), ("right", 20)]
    assert (tmp_path / "out" / "table.txt").read_text() == f"{found}\n"
    rows = list(csv.DictReader((tmp_path / "out" / "images.csv").read_text().splitlines()))
    assert len(rows) == 3 * N
    assert float(rows[1]["area_lost"]) == pytest.approx(150 / 384, rel=1e-4)
    text = page.read_text()
    assert "Objects &lt;here&gt;" in text
    assert "nan" not in text.split("What was run")[0].replace("image/png", "").split("base64")[0]
    for heading in ("What is lost", "box", "Most evidence lost", "Largest drop among recognised images", "By class"):
        assert heading in text
    assert "cannot follow &lt;lambda&gt;" in text
    assert "http" not in text.replace("http://www.w3.org", "")
    bare = look(Box()).write(tmp_path / "bare").read_text()
    assert "No reference model was given" in bare
    assert "no longer recognised" not in bare.split("<main")[1].split("<tbody>")[0]


class _Covered(aw.transforms.Augmentation):
    """A picture moved by four columns: what is put back at its old place covers what was moved there."""

    def make_params(self, images, importance, generator):  # noqa: ARG002
        return {}

    def transform(self, images, importance, params):  # noqa: ARG002
        return images.roll(4, -1), importance.roll(4, -1)

    move = transform


def test_a_guard_that_costs_evidence_is_named(tmp_path):
    arms = {"moved, plain": aw.Preserve(_Covered()), "moved, guarded": aw.Preserve(_Covered(), 12, 0.6)}
    kept = {"kept, plain": arms["moved, plain"], "kept, guarded": aw.Preserve(_Covered(), 12, 0.6, follow="map")}
    found = aw.audit(aw.open_source("digits", limit=30), {**arms, **kept}, progress=False, cases=1)
    (told,) = [line for line in str(found).splitlines() if "guarded loses more than plain" in line]
    assert told.startswith("moved: ")
    page = found.write(tmp_path).read_text()
    assert page.count("guarded loses more than plain") == 1
