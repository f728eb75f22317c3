"""What Preserve puts back: several regions, points, superpixels; on the original map or on the moved one."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

import augwise as aw
from augwise import randomness
from augwise.transforms import Augmentation
from augwise.transforms.kept import (
    TOLERANCE,
    check_segments,
    clear,
    draw_superpixels,
    important_points,
    levels,
    paste,
)
from reference import kept as slow
from reference.mixing import score, threshold, whole_map

HEIGHT, WIDTH, LENGTH = 12, 17, 5
SHAPES = {
    "rectangle": {"length": LENGTH},
    "rectangles": {"length": LENGTH, "regions": 3},
    "points": {"shape": "points"},
    "superpixel": {"shape": "superpixel"},
    "superpixels": {"shape": "superpixel", "regions": 3},
}
each_shape = pytest.mark.parametrize("shape", SHAPES)
both_ways = pytest.mark.parametrize("follow", ["image", "map"])


class Shifted(Augmentation):
    """Every image moved by its own whole pixels, then its colours inverted. Uncovered is 0 before the inversion."""

    def make_params(self, images, importance, generator):  # noqa: ARG002
        return {"by": randomness.integers(9, len(images), 2, generator=generator) - 4}

    def transform(self, images, importance, params):
        images, importance = self.move(images, importance, params)
        return (255 if images.dtype == torch.uint8 else 1) - images, importance

    def move(self, images, importance, params):
        def moved(batch):
            parts = zip(batch, params["by"].tolist(), strict=True)
            return torch.stack([slow.shifted(x, *by) for x, by in parts]) if len(batch) else batch

        return moved(images), None if importance is None else moved(importance)


class Doubting(Shifted):
    """Consults the map while it transforms: its pixels show how much importance it was given."""

    @property
    def guarded(self):
        return True

    def transform(self, images, importance, params):
        moved, maps = self.move(images, importance, params)
        return moved * 0 + importance.sum((1, 2))[:, None, None, None].to(images.dtype), maps


def some(n: int, dtype: torch.dtype = torch.float32, channels: int = 3) -> tuple[Tensor, Tensor]:
    images = torch.randint(0, 256, (n, channels, HEIGHT, WIDTH), dtype=torch.uint8)
    maps = torch.stack([slow.patches(HEIGHT, WIDTH, (3, 5), zeros=i % 4) for i in range(n)])
    return images if dtype == torch.uint8 else images.to(dtype) / 255, maps


def run(method: aw.Preserve, images: Tensor, maps: Tensor | None, seed: int = 0):
    params = method.make_params(images, maps, torch.Generator().manual_seed(seed))
    return params, *method.transform(images, maps, params)


def where(chosen: Tensor) -> set[tuple[int, int]]:
    return slow.pixels(chosen) if chosen.dtype == torch.bool else slow.in_boxes(chosen)


# Points and superpixels as sets of pixels ----------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0.07, 0.5, 0.9, 1.0])
def test_points_are_those_of_the_loop(quantile):
    maps = torch.stack([whole_map(HEIGHT, WIDTH, n) for n in (1, 25, 150, 204)] + [torch.rand(HEIGHT, WIDTH)])
    found = important_points(maps, quantile)
    for values, mask in zip(maps, found, strict=True):
        assert slow.pixels(mask) == slow.points(values, quantile)
        assert mask.any()
    assert torch.equal(important_points(aw.ImportanceMap(maps.bfloat16()), quantile), important_points(
        maps.bfloat16().float(), quantile))  # fmt: skip


def test_points_above_an_absolute_limit_and_none_of_an_empty_map():
    maps = torch.tensor([[[0.0, 0.2, 0.5], [0.7, 0.5, 0.0]], [[0.0] * 3] * 2])
    assert important_points(maps, None, 0.5).tolist() == [[[0, 0, 1], [1, 1, 0]], [[0] * 3] * 2]
    assert not important_points(maps, 0.6)[1].any()
    assert important_points(maps[:0], 0.6).shape == (0, 2, 3)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("quantile", [0.2, 0.6, 1.0])
def test_drawn_superpixels_are_accepted_ones_of_the_loop(quantile, reduce):
    maps = torch.stack([slow.patches(HEIGHT, WIDTH, (4, 5), zeros=i) for i in range(12)])
    accepted = [slow.accepted_segments(values, quantile, reduce) for values in maps]
    for u in torch.linspace(0, 1 - 1e-9, 23, dtype=torch.float64).tolist():
        masks = draw_superpixels(maps, quantile, torch.full((12, 1), u, dtype=torch.float64), reduce)
        for mask, sets in zip(masks, accepted, strict=True):
            assert slow.pixels(mask) == sets[int(u * len(sets))]
    two = draw_superpixels(maps, quantile, torch.tensor([[0.0, 1 - 1e-9]], dtype=torch.float64).expand(12, 2), reduce)
    for mask, sets in zip(two, accepted, strict=True):
        assert slow.pixels(mask) == sets[0] | sets[-1]


def test_the_order_statistic_means_decimal_numbers():
    """0.07 · 100 is a little more than 7 in binary."""
    values = torch.arange(1, 101.0)[torch.randperm(100)].view(1, 10, 10)
    assert float(values[important_points(values, 0.07)].min()) == 7


def test_superpixels_are_drawn_uniformly():
    values = slow.patches(HEIGHT, WIDTH, (5, 4), zeros=3)
    sets = slow.accepted_segments(values, 0.3)
    assert len(sets) == 13  # of 17 with importance and one without, from the sixth on
    n = 26_000
    u = randomness.uniform(n // 2, 2, generator=torch.Generator().manual_seed(3))
    places = torch.stack([draw_superpixels(values.expand(n // 2, -1, -1), 0.3, u[:, j : j + 1]) for j in range(2)])
    corner = places.flatten(0, 1).flatten(1).int().argmax(1)
    counts = Counter(corner.tolist())
    assert set(counts) == {min(y * WIDTH + x for y, x in pixels) for pixels in sets}
    assert stats.chisquare(list(counts.values())).pvalue > 0.01
    pairs = Counter(zip(*(part.flatten(1).int().argmax(1).tolist() for part in places), strict=True))
    assert stats.chisquare([pairs[a, b] for a in counts for b in counts]).pvalue > 0.01  # the draws of one image


def test_superpixels_of_an_empty_map_and_above_an_absolute_limit():
    maps = torch.stack([torch.zeros(4, 6), torch.tensor([[1.0, 1, 2, 2, 0, 0]] * 4)])
    u = torch.full((2, 1), 0.1, dtype=torch.float64)
    assert draw_superpixels(maps, 0.1, u).flatten(1).sum(1).tolist() == [0, 8]
    assert slow.pixels(draw_superpixels(maps, None, u, threshold=9.0)[1]) == {(y, x) for y in range(4) for x in (2, 3)}
    assert not draw_superpixels(maps, None, u, threshold=17.0).any()
    assert draw_superpixels(maps[:0], 0.6, u[:0]).shape == (0, 4, 6)


def test_what_interpolation_smears_is_no_segment():
    """Stretched fourfold, a map has a hundred values more along the borders; the quantile still counts segments."""
    small = torch.stack([slow.patches(24, 20, (4, 3), zeros=2) for _ in range(4)])
    large = V.resize(aw.ImportanceMap(small), [96, 80]).as_subclass(Tensor)
    assert levels(large)[1] > 100
    check_segments(large)
    for i, values in enumerate(small):
        accepted = slow.accepted_segments(values, 0.6)
        found = set()
        for u in torch.linspace(0, 1 - 1e-9, 40, dtype=torch.float64).tolist():
            mask = draw_superpixels(large[i : i + 1], 0.6, torch.full((1, 1), u, dtype=torch.float64))[0]
            inside = next(k for k, pixels in enumerate(accepted) if slow.pixels(mask[2::4, 2::4]) & pixels)
            assert slow.pixels(mask[2::4, 2::4]) <= accepted[inside]
            assert int(mask.sum()) > 0.4 * 16 * len(accepted[inside])
            found.add(inside)
        assert found == set(range(len(accepted)))


def test_values_within_the_tolerance_are_one_level():
    values = torch.tensor([[[1.0, 1 + TOLERANCE / 2, 1 + 4 * TOLERANCE, 3.0, 0.0, 1e-30]]])
    assert levels(values)[0].tolist() == [[2, 2, 3, 4, 0, 1]]
    assert levels(values)[1] == 5


@pytest.mark.parametrize("kind", ["dense", "sparse", "gradient"])
def test_maps_that_are_no_superpixel_maps_are_refused(kind):
    maps = {
        "dense": torch.rand(4, 16, 16),
        "sparse": torch.stack([whole_map(16, 16, 25) for _ in range(4)]),
        "gradient": torch.arange(16.0).expand(4, 16, 16),
    }[kind]
    method = aw.Preserve(Shifted(), quantile=0.6, shape="superpixel")
    with pytest.raises(aw.UserError, match=r"superpixel map.*aw\.superpixels"):
        method(torch.zeros(4, 3, 16, 16), aw.ImportanceMap(maps))
    method(torch.zeros(4, 3, 16, 16), aw.ImportanceMap(torch.zeros(4, 16, 16)))  # nothing there: nothing to say


def test_off_the_cpu_nothing_waits_for_the_data():
    """Tensors without data refuse whatever would have to look at them."""
    maps, u = torch.rand(3, 8, 9, device="meta"), torch.rand(3, 2, dtype=torch.float64, device="meta")
    check_segments(maps)
    for mask in (important_points(maps, 0.6), draw_superpixels(maps, 0.6, u)):
        assert (mask.shape, mask.dtype, mask.device.type) == (maps.shape, torch.bool, "meta")
        assert paste(maps, maps, mask).shape == clear(maps, mask).shape == maps.shape


# Preserve ------------------------------------------------------------------------------------------------------------


@each_shape
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_what_is_put_back_is_the_original_byte_for_byte(shape, dtype):
    """Around a transform from elsewhere, which leaves the map alone."""
    images, maps = some(12, dtype)
    plain = run(aw.Preserve(v2.RandomInvert(1.0)), images, maps)[1]
    params, found, moved = run(aw.Preserve(v2.RandomInvert(1.0), quantile=0.6, **SHAPES[shape]), images, maps)
    assert found.dtype == dtype
    assert torch.equal(moved, maps)
    for i, chosen in enumerate(params["regions"]):
        pixels = where(chosen)
        assert 0 < len(pixels) < HEIGHT * WIDTH
        assert torch.equal(found[i], slow.put_back(plain[i], images[i], pixels))


@each_shape
@both_ways
@pytest.mark.parametrize(("dtype", "channels"), [(torch.uint8, 3), (torch.float32, 1)])
def test_own_augmentation_is_the_plain_one_but_for_what_is_put_back(shape, follow, dtype, channels):
    images, maps = some(12, dtype, channels)
    _, plain, _ = run(aw.Preserve(Shifted()), images, maps)
    params, found, moved = run(aw.Preserve(Shifted(), quantile=0.6, follow=follow, **SHAPES[shape]), images, maps)
    before = maps.sum((1, 2))
    for i, (chosen, by) in enumerate(zip(params["regions"], params["wrapped"]["by"].tolist(), strict=True)):
        pixels = where(chosen)
        original, own = images[i], maps[i]
        if follow == "map":
            original, own = slow.shifted(original, *by), slow.shifted(own, *by)
            expected = own
        else:
            rest = slow.put_back(own, torch.zeros_like(own), pixels)
            expected = slow.put_back(slow.shifted(rest, *by), own, pixels)
        assert torch.equal(found[i], slow.put_back(plain[i], original, pixels))
        assert torch.equal(moved[i], expected)
        assert moved[i].sum() <= before[i] * (1 + 1e-6)
    assert (plain != found).any()


@both_ways
def test_a_limit_in_units_of_the_map_decides_what_is_put_back(follow):
    images, maps = some(6)
    plain = run(aw.Preserve(Shifted()), images, maps)[1]
    for limit in (0.3, 0.7):
        step = aw.Preserve(Shifted(), shape="points", threshold=limit, follow=follow)
        params = step.make_params(images, maps, torch.Generator().manual_seed(0))
        seen = Shifted().move(images, maps, params["wrapped"]) if follow == "map" else (images, maps)
        kept = seen[1] >= limit
        assert 0 < int(kept.sum()) < int((seen[1] > 0).sum())
        assert torch.equal(params["regions"], kept)
        assert torch.equal(run(step, images, maps)[1], torch.where(kept[:, None], seen[0], plain))


def test_superpixels_are_chosen_by_sum_or_mean_above_the_limit():
    """A large segment of low importance and a small one of high importance: each is first by one of the two."""
    values = torch.zeros(1, 12, 17)
    values[:, :, :12], values[:, :3, 14:] = 0.2, 0.9  # sums 28.8 and 8.1
    images, (large, small) = torch.rand(1, 3, 12, 17), ((values == v) for v in (0.2, 0.9))
    for options, expected in (
        ({"quantile": 1.0}, large),
        ({"quantile": 1.0, "reduce": "mean"}, small),
        ({"threshold": 8.5}, large),
        ({"threshold": 0.5, "reduce": "mean"}, small),
        ({"threshold": 30.0}, large & small),  # nothing
    ):
        step = aw.Preserve(Shifted(), shape="superpixel", **options)
        assert torch.equal(step.make_params(images, values, None)["regions"], expected), options


def test_pasting_and_clearing_leave_what_they_are_given():
    target, source, maps = torch.zeros(2, 1, 6, 7), torch.ones(2, 1, 6, 7), torch.ones(2, 6, 7)
    boxes = torch.tensor([[[0, 0, 2, 3], [1, 1, 4, 4]], [[2, 2, 6, 7], [0, 5, 1, 7]]])
    for chosen in (boxes, boxes[:, :1], maps > 0):
        assert paste(target, source, chosen).any()
        assert not clear(maps, chosen).all()
        assert not target.any()
        assert source.all()
        assert maps.all()


@both_ways
def test_regions_are_important_where_they_are_chosen(follow):
    """Three squares, each by itself; on the moved map where that is followed."""
    images, maps = torch.zeros(30, 3, HEIGHT, WIDTH), torch.stack([whole_map(HEIGHT, WIDTH, 40) for _ in range(30)])
    params = run(aw.Preserve(Shifted(), LENGTH, 0.7, regions=3, follow=follow), images, maps)[0]
    different = 0
    for values, boxes, by in zip(maps, params["regions"], params["wrapped"]["by"].tolist(), strict=True):
        values = slow.shifted(values, *by) if follow == "map" else values
        for box in boxes.tolist():
            assert score(values, box) >= threshold(values, LENGTH, LENGTH, 0.7, "clipped")
        different += len({tuple(box) for box in boxes.tolist()}) == 3
    assert different > 20


def test_each_superpixel_is_drawn_by_itself():
    images, maps = some(20)
    chosen = run(aw.Preserve(Shifted(), quantile=0.3, shape="superpixel", regions=3), images, maps)[0]["regions"]
    shown = [len(slow.segments(values * mask)) - 1 for values, mask in zip(maps, chosen, strict=True)]
    assert max(shown) == 3
    assert sum(shown) > 40


def test_evidence_counts_once_although_it_is_seen_twice():
    """The shifted copy of what was put back is in the picture too, as nothing."""
    maps = torch.zeros(1, HEIGHT, WIDTH)
    maps[0, 5:8, 6:9] = 1.0
    params = {"wrapped": {"by": torch.tensor([[3, 4]])}, "regions": torch.tensor([[[5, 6, 8, 9]]])}
    images = maps[:, None].expand(1, 3, -1, -1)
    found, moved = aw.Preserve(Shifted(), 3, 0.6).transform(images, maps, params)
    assert torch.equal(moved, maps)
    assert (found[0, 0, 8:11, 10:13] == 0).all()  # the copy, inverted
    _, moved = aw.Preserve(Shifted(), 3, 0.6, follow="map").transform(images, maps, params)
    assert torch.equal(moved[0], slow.shifted(maps[0], 3, 4))


@pytest.mark.parametrize("shape", ["rectangles", "superpixel"])
@both_ways
def test_the_geometry_of_preserve(shape, follow):
    images, maps = some(6)
    method = aw.Preserve(Shifted(), quantile=0.6, follow=follow, **SHAPES[shape])
    params, changed, importance = run(method, images, maps)
    shown, moved = method.move(images, maps, params)
    assert torch.equal(moved, importance)
    for i, (chosen, by) in enumerate(zip(params["regions"], params["wrapped"]["by"].tolist(), strict=True)):
        away = slow.shifted(images[i], *by)
        assert torch.equal(shown[i], away if follow == "map" else slow.put_back(away, images[i], where(chosen)))
    colours = aw.Preserve(v2.RandomInvert(1.0), LENGTH, 0.6)
    params, changed, _ = run(colours, images, maps)
    assert not torch.equal(changed, images)
    assert colours.move(images, maps, params)[0] is images


def test_a_transform_that_consults_the_map_sees_all_of_it():
    images, maps = some(5)
    params, found, moved = run(aw.Preserve(Doubting(), quantile=0.6, shape="superpixel"), images, maps)
    for i, chosen in enumerate(params["regions"]):
        seen = torch.full_like(images[i], float(maps[i].sum()))
        assert torch.allclose(found[i], slow.put_back(seen, images[i], where(chosen)))
    assert (moved.sum((1, 2)) <= maps.sum((1, 2)) * (1 + 1e-6)).all()


def test_flips_and_crops_tell_what_they_move():
    images, maps = some(8, torch.uint8)
    for step in (aw.RandomHorizontalFlip(), aw.RandomCrop((9, 9), 2), aw.RandomResizedCrop(10)):
        params = step.make_params(images, maps, None)
        for ours, theirs in zip(step.move(images, maps, params), step.transform(images, maps, params), strict=True):
            assert torch.equal(ours, theirs)


@both_ways
def test_channels_last_and_float64_as_any_other(follow):
    images, maps = some(6, torch.float64)
    for shape in SHAPES.values():
        method = aw.Preserve(Shifted(), quantile=0.6, follow=follow, **shape)
        expected, other = run(method, images, maps), run(method, images.to(memory_format=torch.channels_last), maps)
        assert torch.equal(expected[1], other[1])
        assert torch.equal(expected[2], other[2])


def test_all_forms_draw_the_same_numbers_for_the_transform():
    images, maps = some(6)
    drawn = []
    for given in ({}, *SHAPES.values()):
        quantile = 0.6 if given else None
        drawn.append(run(aw.Preserve(Shifted(), quantile=quantile, **given), images, maps)[0]["wrapped"]["by"])
    assert all(torch.equal(by, drawn[0]) for by in drawn)


def test_the_same_guard_around_another_transform():
    given = {"window": "inside", "reduce": "mean", "regions": 2, "follow": "map"}
    method = aw.Preserve(aw.RandomHorizontalFlip(0.9), 0.5, 0.7, **given)
    twin = method.with_transform(Shifted())
    assert twin.extra_repr() == method.extra_repr()
    assert "regions=2, follow='map'" in repr(twin)
    images, maps = some(9)
    same = run(aw.Preserve(Shifted(), 0.5, 0.7, **given), images, maps)
    assert torch.equal(run(twin, images, maps)[1], same[1])
    points = aw.Preserve(v2.RandomInvert(1.0), quantile=0.9, shape="points", batched=True).with_transform(
        torch.zeros_like
    )
    assert (points.shape, points.batched, points.guard.quantile) == ("points", True, 0.9)


@pytest.mark.parametrize("shape", ["rectangles", "points", "superpixels"])
def test_followed_pipelines_put_back_the_same(shape):
    """aw.follow moves the map of a foreign transform: what is put back counts once there, too."""
    images, maps = some(1, torch.uint8)
    sample = aw.Sample(V.to_image(images[0]), aw.ImportanceMap(maps[0]), 0, 0, float(maps.sum()))
    method = aw.Preserve(v2.RandomHorizontalFlip(1.0), quantile=0.6, **SHAPES[shape])
    with randomness.stream(5):
        found = aw.follow(method)(sample)
    with randomness.stream(5):
        chosen = method.make_params(images, maps, None)["regions"]
    pixels = where(chosen[0])
    rest = slow.put_back(maps[0], torch.zeros_like(maps[0]), pixels)
    assert torch.equal(found.image, slow.put_back(images[0].flip(-1), images[0], pixels))
    assert torch.equal(found.importance, slow.put_back(rest.flip(-1), maps[0], pixels))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"length": 4, "regions": 0}, "regions=0"),
        ({"length": 4, "regions": 1.5}, "regions=1.5"),
        ({"length": 4, "regions": True}, "regions=True"),
        ({"shape": "points", "regions": 2}, "regions=2 .*points"),
        ({"length": 4, "shape": "circle"}, "shape='circle'.*superpixel"),
        ({"length": 4, "follow": "moon"}, "follow='moon'.*image, map"),
        ({"length": 4, "follow": "map"}, r"follow='map'.*Identity.*aw\.TrivialAugment"),
        ({}, "length=8"),
    ],
)
def test_bad_input(given, words):
    with pytest.raises(aw.UserError, match=words):
        aw.Preserve(torch.nn.Identity(), quantile=0.6, **given)


def test_a_moving_transform_that_changes_the_size_is_refused():
    method = aw.Preserve(aw.RandomCrop(6), 3, 0.6, follow="map")
    with pytest.raises(aw.UserError, match="RandomCrop inside Preserve"):
        method(torch.zeros(3, 9, 14), aw.ImportanceMap(torch.ones(9, 14)))
