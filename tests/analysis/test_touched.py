"""What an augmentation overwrites, seen from markers, against what the method's own boxes say."""

import pytest
import torch
from torchvision.transforms import v2

from augwise import (
    Batch,
    CutMix,
    Cutout,
    DCutMix,
    DMixup,
    FMix,
    Mixup,
    Preserve,
    RandomCrop,
    RandomHorizontalFlip,
    ResizeMix,
    SaliencyDCutMix,
    SaliencyMix,
    regions,
)
from augwise.analysis.touched import touched
from augwise.randomness import stream, uniform
from augwise.transforms.base import Augmentation
from augwise.transforms.crop_flip import random_crop


def maps(n=5, height=12, width=20):
    values = torch.rand(n, height, width)
    values[:, :, : width // 2] *= 0.1  # evidence lies right of the middle
    return values


@pytest.mark.parametrize("fill", ["mean", 0.0])
def test_cutout_touches_exactly_its_boxes(fill):
    own, step = maps(), Cutout(7, fill=fill)
    found = touched(step, own, key=(3,))
    with stream(3):
        params = step.make_params(torch.zeros(5, 3, 12, 20), own, None)
    mask = regions.box_mask(params["boxes"], 12, 20)
    assert found.area.tolist() == pytest.approx(mask.double().mean((1, 2)).tolist())
    assert found.importance.tolist() == pytest.approx(((own * mask).sum((1, 2)) / own.sum((1, 2))).tolist(), rel=1e-5)


def test_a_guard_touches_less_importance_and_its_control_does_not():
    own = maps(200)
    plain = touched(Cutout(6, window="inside"), own).means()
    guarded = touched(Cutout(6, quantile=0.5, window="inside"), own).means()
    foreign = torch.flip(own, [2])  # a map of somebody whose evidence lies on the left
    control = touched(Cutout(6, quantile=0.5, window="inside"), own, foreign).means()
    assert guarded["area_touched"] == pytest.approx(plain["area_touched"])
    assert guarded["importance_touched"] < 0.8 * plain["importance_touched"]
    assert control["importance_touched"] > plain["importance_touched"]


def test_preserve_touches_all_but_the_region_it_restores():
    own = maps()
    assert touched(Preserve(v2.ColorJitter(0.5)), own).area.tolist() == [1.0] * 5
    found = touched(Preserve(v2.ColorJitter(0.5), length=4, quantile=0.5, window="inside"), own)
    assert found.area.tolist() == pytest.approx([1 - 16 / 240] * 5)
    assert (found.importance < 1 - 16 / 240).all()  # what it restores is worth more than its area


def test_preserve_is_measured_with_all_its_settings():
    own = maps()
    points = touched(Preserve(v2.ColorJitter(0.5), quantile=0.75, shape="points"), own)
    assert points.area.tolist() == pytest.approx([179 / 240] * 5)  # from the 180th smallest of 240 on
    sums = own.flatten(1).sort(1).values[:, 179:].sum(1) / own.sum((1, 2))
    assert points.importance.tolist() == pytest.approx((1 - sums).tolist(), rel=1e-5)
    one, three = (
        touched(Preserve(RandomHorizontalFlip(), 4, 0.5, window="inside", regions=k, follow="map"), own) for k in (1, 3)
    )
    assert one.area.tolist() == pytest.approx([1 - 16 / 240] * 5)
    assert (three.area < one.area).all()


def test_cutmix_touches_what_comes_from_another_image():
    own = maps(6)
    step = CutMix(length=5, window="inside")
    found = touched(step, own, key=(1,))
    assert set(found.area.mul(240).round().tolist()) <= {0.0, 25.0}  # 0: an image that was its own partner
    assert found.area.sum() > 0


def test_mixup_touches_by_the_partners_share():
    own = maps(40)
    found = touched(Mixup(), own, key=(4,))
    with stream(4):
        params = Mixup().make_params(Batch.of(torch.zeros(40, 1, 12, 20), torch.arange(40), own), None)
    alone = params["partner"] == torch.arange(40)
    assert alone.any()  # of an image that is its own partner nothing is gone
    gone = torch.where(alone, 0.0, 1 - params["share"])
    assert found.area.tolist() == pytest.approx(gone.tolist())
    assert found.importance.tolist() == pytest.approx(gone.tolist())
    guarded = touched(Mixup(quantile=0.6, length=3), own, key=(4,))
    assert guarded.area.tolist() == pytest.approx(gone.tolist(), abs=1e-6)
    foreign = torch.flip(own, [0])
    assert guarded.importance.mean() < found.importance.mean()
    assert guarded.importance.mean() < touched(Mixup(quantile=0.6, length=3), own, foreign, key=(4,)).importance.mean()


@pytest.mark.parametrize(
    "mixer",
    [
        DMixup(k=3),
        DCutMix(k=1),
        DCutMix(k=4, alpha=0.5),
        SaliencyDCutMix(k=3, p=0.7),
        CutMix(length=5, labels="importance"),
        FMix(),
        ResizeMix(),
        SaliencyMix(saliency="map"),
    ],
    ids=str,
)
def test_of_several_images_only_ones_own_counts(mixer):
    """Against a channel of its own for every image."""
    own = maps(11)
    own[:, :6] = 0  # what is pasted from here has pixels and no importance
    found = touched(mixer, own, key=(5,))
    alone = torch.eye(11, dtype=torch.float64)[:, :, None, None].expand(11, 11, 12, 20).contiguous()
    with stream(5):
        mixed = mixer(Batch.of(alone, torch.arange(11), own)).images.as_subclass(torch.Tensor)
    mine = torch.stack([mixed[i, i] for i in range(11)])
    assert found.area.tolist() == pytest.approx((1 - mine).mean((1, 2)).tolist(), abs=1e-12)
    lost = (own * (1 - mine)).sum((1, 2)) / own.double().sum((1, 2))
    assert found.importance.tolist() == pytest.approx(lost.tolist())
    assert (found.area.sum() > 0) == (getattr(mixer, "draw", None) is None or mixer.draw.k > 1)


def test_a_crop_touches_what_it_cuts_away():
    own, step = maps(8), random_crop(5)
    found = touched(step, own, key=(2,), moves=True)
    with stream(2):
        corners = step.make_params(torch.zeros(8, 3, 12, 20), None, None)["corners"].tolist()
    for i, (top, left) in enumerate(corners):
        rows, columns = slice(max(top - 5, 0), top + 7), slice(max(left - 5, 0), left + 15)
        kept = own[i, rows, columns]
        assert float(found.area[i]) == pytest.approx(1 - kept.numel() / 240)
        assert float(found.importance[i]) == pytest.approx(1 - float(kept.sum() / own[i].sum()), abs=1e-6)


def test_an_image_without_evidence_does_not_count():
    own = maps(3)
    own[1] = 0
    found = touched(Cutout(5), own)
    assert found.importance.isnan().tolist() == [False, True, False]
    assert found.means()["importance_touched"] == pytest.approx(float(found.importance[[0, 2]].mean()))
    empty = touched(Cutout(5), torch.zeros_like(own)).means()
    assert empty == {"area_touched": pytest.approx(found.means()["area_touched"]), "importance_touched": None}


def test_nothing_is_changed_and_no_numbers_are_taken():
    own = maps()
    before = own.clone()
    torch.manual_seed(0)
    first = uniform(1)
    touched(Cutout(5), own)
    second = uniform(1)
    torch.manual_seed(0)
    assert torch.equal(torch.cat([first, second]), torch.cat([uniform(1), uniform(1)]))
    assert torch.equal(own, before)


class Holes(Augmentation):
    """Erases a column per image to black, moves nothing: what a mask method is inside `Preserve`."""

    def make_params(self, images, _, generator):
        return {"column": (uniform(len(images), generator=generator) * images.shape[-1]).long()}

    def transform(self, images, importance, params):
        there = torch.nn.functional.one_hot(params["column"], images.shape[-1]).bool()[:, None, None]
        kept = None if importance is None else importance.masked_fill(there[:, 0], 0)
        return images.masked_fill(there, 0), kept


class Painted(Holes):
    """A policy: says of itself that it has a geometry, and changes every pixel besides."""

    def move(self, images, importance, _):
        return images, importance


def test_what_preserve_wraps_and_only_erases_is_seen_exactly():
    own = maps(4)
    found = touched(Preserve(Holes()), own, key=(2,))
    assert found.area.tolist() == pytest.approx([1 / 20] * 4)
    with stream(2):
        columns = Holes().make_params(torch.zeros(4, 3, 12, 20), own, None)["column"]
    expected = own[torch.arange(4), :, columns].sum(1) / own.sum((1, 2))
    assert found.importance.tolist() == pytest.approx(expected.tolist(), rel=1e-5)
    guarded = touched(Preserve(Holes(), length=4, quantile=0.5), own.repeat(60, 1, 1))
    assert guarded.importance.mean() < touched(Preserve(Holes()), own.repeat(60, 1, 1)).importance.mean()


def test_a_policy_of_ours_counts_as_changing_everything_and_is_left_as_it_was():
    own, step = maps(), Preserve(Painted(), length=4, quantile=0.5, window="inside")
    found = touched(step, own, key=(2,))
    assert found.area.tolist() == pytest.approx([1 - 16 / 240] * 5)
    assert isinstance(step.wrapped, Painted)
    assert set(step._modules) == {"wrapped"}
    with stream(2):  # what is put back is what the real step puts back under the same key
        boxes = step.make_params(torch.zeros(5, 3, 12, 20), own, None)["regions"][:, 0]
    kept = (own * regions.box_mask(boxes, 12, 20)).sum((1, 2)) / own.sum((1, 2))
    assert found.importance.tolist() == pytest.approx((1 - kept).tolist(), rel=1e-5)


def test_a_crop_loses_what_leaves_the_picture():
    own = torch.zeros(3, 8, 8)
    own[:, 0] = 1  # evidence in the first row alone
    step = RandomCrop(8, padding=4)
    found = touched(step, own, key=(0,), moves=True)
    with stream(0):
        params = step.make_params(torch.zeros(3, 3, 8, 8), own, None)
    ones = step.transform(torch.ones(3, 1, 8, 8), None, params)[0][:, 0]  # padding is 0
    assert found.area.tolist() == pytest.approx((1 - ones.mean((1, 2))).tolist())
    moved = step.transform(own[:, None], own, params)[1]
    assert found.importance.tolist() == pytest.approx((1 - moved.sum((1, 2)) / 8).tolist(), abs=1e-6)


class OneChannel(Holes):
    """Erases its columns in the last channel alone, and returns a little more importance than it was given."""

    def transform(self, images, importance, params):
        changed, _ = super().transform(images, importance, params)
        return torch.cat([images[:, :-1], changed[:, -1:]], 1), importance * 1.001


def test_a_pixel_is_changed_where_any_of_its_channels_is():
    own = maps(4)
    assert touched(OneChannel(), own).area.tolist() == pytest.approx([1 / 20] * 4)


def test_importance_that_resampling_adds_is_no_loss():
    found = touched(OneChannel(), maps(4), moves=True)
    assert found.area.tolist() == found.importance.tolist() == [0.0] * 4


def test_an_absolute_limit_is_measured_too():
    own = maps()
    points = touched(Preserve(v2.ColorJitter(0.5), threshold=0.5, shape="points"), own)
    assert points.area.tolist() == pytest.approx((own < 0.5).double().mean((1, 2)).tolist())
