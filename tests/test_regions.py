"""Laws of regions: exact scores and thresholds, and draws with the distribution of the papers' loop."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
import torch
from scipy import stats
from torchvision import tv_tensors

from augwise import randomness, regions
from augwise.errors import UserError
from reference import regions as slow

HEIGHT, WIDTH = 5, 7
SIZES = [(3, 3), (2, 4), (4, 3), (1, 1), (5, 2)]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]


def levels(kind: str, n: int = 1, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    """(n, height, width) uint8 maps: a wide range of values, only 0 and 1 (ties everywhere), one pixel, nothing."""
    if kind == "dense":
        return torch.randint(0, 256, (n, height, width), dtype=torch.uint8)
    if kind == "sparse":
        return (torch.rand(n, height, width) < 0.15).to(torch.uint8) * torch.randint(1, 9, (n, 1, 1), dtype=torch.uint8)
    maps = torch.zeros(n, height, width, dtype=torch.uint8)
    if kind == "point":
        maps[:, 1, 4] = 255
    return maps


def brute(maps: torch.Tensor, h: int, w: int, window: str, reduce: str) -> list[list[Fraction]]:
    boxes = slow.all_windows(*maps.shape[1:], h, w, window)
    return [[slow.score(m, box, reduce) for box in boxes] for m in maps]


# quantize and integral


def test_quantize_follows_its_formula_and_keeps_small_values():
    maps = torch.rand(4, 6, 5) ** 6 * torch.tensor([1e-30, 1.0, 7.0, 1e30])[:, None, None]
    maps[:, 0, 0] = 0
    maps[1, 2, 3] = 1e-20
    quantized = regions.quantize(maps)
    assert quantized.dtype == torch.uint8
    assert quantized.tolist() == [slow.quantized(m) for m in maps]
    assert (quantized.amax((1, 2)) == 255).all()
    assert ((quantized == 0) == (maps == 0)).all()


def test_quantize_leaves_zeros_and_inverts_a_scale():
    stored = torch.randint(0, 256, (50, 6, 5), dtype=torch.uint8)
    stored[:, 3, 3] = 255
    stored[7] = 0
    scale = torch.rand(50, 1, 1) + 1e-6
    assert torch.equal(regions.quantize(stored * scale), stored)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.bool, torch.int64])
def test_quantize_takes_every_real_type(dtype):
    maps = torch.tensor([[[0, 1, 2], [1, 0, 2]]]).to(dtype)
    assert torch.equal(regions.quantize(maps), regions.quantize(maps.float()))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.25])
def test_bad_values_are_named(value):
    maps = torch.rand(3, 4, 5)
    maps[2, 1, 0] = value
    with pytest.raises(UserError, match=str(value)):
        regions.integral(maps)


@pytest.mark.parametrize("shape", [(5, 7), (130, 1001)])  # the second needs several blocks of a batch
def test_integral_sums_every_corner(shape):
    maps = levels("dense", 3, *shape)
    result = regions.integral(maps)
    assert result.dtype == torch.int32
    assert result.shape == (3, shape[0] + 1, shape[1] + 1)
    assert not result[:, 0].any()
    assert not result[:, :, 0].any()
    assert torch.equal(result[:, 1:, 1:].long(), maps.long().cumsum(1).cumsum(2))


def test_integral_of_floats_is_that_of_the_quantised_maps():
    maps = tv_tensors.Mask(torch.rand(3, 9, 4))
    result = regions.integral(maps)
    assert type(result) is torch.Tensor
    assert torch.equal(result, regions.integral(regions.quantize(maps)))


def test_too_large_a_map_is_refused():
    with pytest.raises(UserError, match="too large"):
        regions.integral(torch.zeros((), dtype=torch.uint8).expand(1, 3000, 3000))


# scores and thresholds


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("window", ["clipped", "inside"])
@pytest.mark.parametrize("size", SIZES)
def test_scores_equal_the_sum_of_every_window(size, window, reduce):
    maps = torch.cat([levels("dense", 2), levels("sparse", 2)])
    result = regions.scores(regions.integral(maps), size, window, reduce)
    assert result.dtype == (torch.float64 if reduce == "mean" else torch.int32)
    expected = brute(maps, *size, window, reduce)
    assert result.flatten(1).tolist() == [[float(v) for v in row] for row in expected]


@pytest.mark.parametrize("length", [9, 10, 14, 15, 40])
def test_a_clipped_window_may_be_larger_than_the_image(length):
    maps = levels("dense", 2)
    for reduce in ("sum", "max"):
        result = regions.scores(regions.integral(maps), length, reduce=reduce)
        assert result.flatten(1).tolist() == brute(maps, length, length, "clipped", reduce)
    sizes = torch.tensor([[length, 2], [3, length]])
    together = regions.scores(regions.integral(maps), sizes, reduce="max")
    for i, (h, w) in enumerate(sizes.tolist()):
        assert together[i].flatten().tolist() == brute(maps, h, w, "clipped", "max")[i]


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("window", ["clipped", "inside"])
def test_sizes_per_sample_equal_one_at_a_time(window, reduce):
    sizes = torch.tensor(SIZES)
    maps = torch.cat([levels("dense", 3), levels("sparse", 2)])
    integral = regions.integral(maps)
    u = randomness.uniform(5, regions.DRAWS)
    for columns in (slice(None), slice(-1, None), slice(0, 3)):
        draw = {"quantile": 0.4, "keep": "high", "window": window, "reduce": reduce, "positive": True}
        boxes = regions.sample(integral, sizes, u[:, columns], **draw)
        plain = regions.sample(integral, sizes, u[:, columns], window=window)
        for i, (h, w) in enumerate(SIZES):
            one = integral[i : i + 1]
            alone = regions.scores(one, (h, w), window, reduce)
            together = regions.scores(integral, sizes, window, reduce)[i : i + 1]
            assert torch.equal(together[:, : alone.shape[1], : alone.shape[2]], alone)
            assert (together >= 0).sum() == alone.numel()
            for tau in (0.03, 0.6, 1.0):
                limit = regions.thresholds(integral, sizes, tau, window, reduce)
                assert limit[i : i + 1].equal(regions.thresholds(one, (h, w), tau, window, reduce))
            assert boxes[i : i + 1].equal(regions.sample(one, (h, w), u[i : i + 1, columns], **draw))
            assert plain[i : i + 1].equal(regions.sample(one, (h, w), u[i : i + 1, columns], window=window))


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("window", ["clipped", "inside"])
@pytest.mark.parametrize("quantile", ["0.001", "0.07", "0.2", "0.6", "0.99", "1"])
def test_threshold_is_the_order_statistic(quantile, window, reduce):
    maps = torch.cat([levels("dense", 2), levels("sparse", 2), levels("empty")])
    result = regions.thresholds(regions.integral(maps), (3, 2), float(quantile), window, reduce)
    expected = [float(slow.threshold(values, quantile)) for values in brute(maps, 3, 2, window, reduce)]
    assert result.tolist() == expected


def test_seven_percent_of_a_hundred_windows_is_seven():
    maps = torch.arange(100, dtype=torch.uint8).reshape(1, 10, 10)
    assert regions.thresholds(regions.integral(maps), 1, 0.07).tolist() == [6]


def test_thresholds_of_many_images_equal_those_of_one():
    maps = levels("dense", 40, 96, 70)  # several blocks
    integral = regions.integral(maps)
    alone = [regions.thresholds(integral[i : i + 1], 20, 0.6) for i in range(40)]
    assert torch.equal(regions.thresholds(integral, 20, 0.6), torch.cat(alone))


# draws


def draw_many(maps: torch.Tensor, size, draws: int, n: int = 6000, **how) -> Counter:
    """Boxes drawn n times for one and the same map."""
    integral = regions.integral(maps).expand(n, -1, -1)
    return Counter(map(tuple, regions.sample(integral, size, randomness.uniform(n, draws), **how).tolist()))


def assert_uniform(counts: Counter, boxes: list[slow.Box]) -> None:
    assert set(counts) <= set(boxes)
    weights = Counter(boxes)
    n, observed = counts.total(), [counts[box] for box in weights]
    expected = [n * weight / len(boxes) for weight in weights.values()]
    assert min(expected) >= 5
    if len(weights) > 1:
        assert stats.chisquare(observed, expected).pvalue > 1e-4


@pytest.mark.parametrize("draws", [1, 2, regions.DRAWS])
@pytest.mark.parametrize("kind", ["dense", "sparse", "point", "empty"])
@pytest.mark.parametrize("keep", ["low", "high"])
@pytest.mark.parametrize(
    ("size", "window", "reduce", "quantile"),
    [
        ((3, 3), "clipped", "sum", "0.6"),
        ((2, 4), "clipped", "mean", "0.3"),
        ((9, 2), "clipped", "sum", "0.5"),
        ((4, 3), "inside", "sum", "0.6"),
        ((2, 2), "inside", "mean", "0.01"),
        ((3, 2), "inside", "sum", "1"),
        ((3, 3), "clipped", "max", "0.6"),
        ((2, 4), "inside", "max", "0.3"),
        ((3, 2), "clipped", "sum", None),
    ],
)
def test_draws_are_uniform_over_the_accepted_windows(draws, kind, keep, size, window, reduce, quantile):
    maps = levels(kind)
    tau = None if quantile is None else float(quantile)
    counts = draw_many(maps, size, draws, quantile=tau, keep=keep, window=window, reduce=reduce)
    assert_uniform(counts, slow.accepted(maps[0], *size, quantile, keep, window, reduce))


@pytest.mark.parametrize("draws", [1, regions.DRAWS])
@pytest.mark.parametrize("kind", ["sparse", "point", "empty"])
@pytest.mark.parametrize("quantile", ["0.2", None])
def test_positive_windows_only_unless_the_map_is_empty(draws, kind, quantile):
    maps = levels(kind)
    tau = None if quantile is None else float(quantile)
    counts = draw_many(maps, (2, 3), draws, quantile=tau, keep="high", positive=True)
    boxes = slow.accepted(maps[0], 2, 3, quantile, "high", "clipped", "sum", positive=True)
    if kind != "empty":
        assert len(boxes) < HEIGHT * WIDTH
    assert_uniform(counts, boxes)


def test_draws_have_the_distribution_of_the_papers_loop():
    maps = levels("sparse", height=6, width=4)
    limit = regions.thresholds(regions.integral(maps), 3, 0.6)
    generator = randomness.generator("loop")
    loop = Counter(slow.rejection_loop(maps[0], 3, float(limit), generator) for _ in range(3000))
    ours = draw_many(maps, 3, regions.DRAWS, n=3000, quantile=0.6)
    boxes = sorted(set(loop) | set(ours))
    table = [[counts[box] for box in boxes] for counts in (loop, ours)]
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_uniform_over_windows_of_sizes_per_sample():
    maps, n = levels("sparse", 2), 8000
    sizes = torch.tensor([[2, 3], [4, 1]])
    for draws in (1, regions.DRAWS):
        for window in ("clipped", "inside"):
            integral = regions.integral(maps).repeat(n, 1, 1)
            u = randomness.uniform(2 * n, draws)
            boxes = regions.sample(integral, sizes.repeat(n, 1), u, quantile=0.5, window=window).tolist()
            for i, (h, w) in enumerate(sizes.tolist()):
                counts = Counter(map(tuple, boxes[i::2]))
                assert_uniform(counts, slow.accepted(maps[i], h, w, "0.5", "low", window, "sum"))


@pytest.mark.parametrize("window", ["clipped", "inside"])
def test_share_accepted_is_at_least_the_quantile(window):
    integral = regions.integral(torch.cat([levels("dense", 9), levels("sparse", 9), levels("empty")]))
    for tau in (0.1, 0.6, 0.85):
        limit = regions.thresholds(integral, 3, tau, window)[:, None]
        values = regions.scores(integral, 3, window).flatten(1)
        n = values.shape[1]
        assert ((values <= limit).sum(1) >= tau * n).all()
        assert ((values >= limit).sum(1) > (1 - tau) * n - 1e-9).all()


def test_given_thresholds_draw_the_same_boxes():
    integral = regions.integral(levels("dense", 30))
    u = randomness.uniform(30, regions.DRAWS)
    for reduce in ("sum", "mean", "max"):
        limit = regions.thresholds(integral, 3, 0.6, reduce=reduce)
        boxes = regions.sample(integral, 3, u, threshold=limit, reduce=reduce)
        assert torch.equal(boxes, regions.sample(integral, 3, u, quantile=0.6, reduce=reduce))
        assert torch.equal(boxes, regions.sample(integral, 3, u, threshold=limit.double() + 1e-6, reduce=reduce))


@pytest.mark.parametrize("draws", [1, regions.DRAWS])
def test_a_threshold_that_nothing_meets_takes_the_nearest_windows(draws):
    maps = (levels("sparse") > 0).to(torch.uint8)
    values = [slow.score(maps[0], box, "sum") for box in slow.all_windows(HEIGHT, WIDTH, 3, 3, "clipped")]
    boxes = slow.all_windows(HEIGHT, WIDTH, 3, 3, "clipped")
    for keep, limit, best in (("low", -1.5, min(values)), ("high", 1e6, max(values))):
        counts = draw_many(maps, 3, draws, n=2000, threshold=torch.tensor([limit]).expand(2000), keep=keep)
        assert_uniform(counts, [box for box, value in zip(boxes, values, strict=True) if value == best])


# absolute thresholds


@pytest.mark.parametrize("draws", [1, regions.DRAWS])
@pytest.mark.parametrize("keep", ["low", "high"])
@pytest.mark.parametrize(
    ("size", "window", "reduce", "limit"),
    [
        ((3, 3), "clipped", "sum", "900"),
        ((2, 4), "clipped", "mean", "128"),
        ((3, 2), "inside", "mean", "120.5"),
        ((2, 3), "inside", "max", "240"),
        ((3, 3), "clipped", "max", "200"),
    ],
)
def test_an_absolute_threshold_accepts_just_the_windows_on_its_side(draws, keep, size, window, reduce, limit):
    maps = levels("dense")
    maps[0, 0, 0] = 255
    unit = 0.037  # what one level is worth in the map
    importance = maps.float() * unit
    given = regions.in_levels(float(Fraction(limit)) * unit, importance, keep)
    how = {"keep": keep, "window": window, "reduce": reduce}
    counts = draw_many(importance, size, draws, threshold=given.expand(6000), nearest=False, **how)
    boxes = slow.accepted(maps[0], *size, None, keep, window, reduce, limit=Fraction(limit))
    assert 0 < len(boxes) < len(slow.all_windows(HEIGHT, WIDTH, *size, window))
    assert_uniform(counts, boxes)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_a_score_equal_to_the_threshold_belongs_to_both_sides(reduce):
    """In float32 the same score is a little more or less; 1 / 3 of a maximum of 0.3 is no binary number."""
    maps = torch.zeros(1, 4, 6)
    maps[0, 1, 1], maps[0, 3, 5] = 0.1, 0.3
    integral = regions.integral(maps)
    reached = {"low": set(), "high": set()}
    for keep, boxes in reached.items():
        limit = regions.in_levels(0.1, maps, keep).expand(500)
        how = {"keep": keep, "reduce": reduce, "window": "inside", "nearest": False}
        u = randomness.uniform(500, regions.DRAWS)
        boxes.update(map(tuple, regions.sample(integral.expand(500, -1, -1), 1, u, threshold=limit, **how).tolist()))
    assert reached["high"] == {(1, 1, 2, 2), (3, 5, 4, 6)}
    assert len(reached["low"]) == 23
    assert (1, 1, 2, 2) in reached["low"]


@pytest.mark.parametrize("draws", [1, regions.DRAWS])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_no_window_on_the_right_side_means_an_empty_box(draws, reduce):
    maps = torch.ones(3, 4, 6)
    maps[1, 2:, 3:] = 0
    u, integral = randomness.uniform(3, draws), regions.integral(maps)
    low = regions.sample(integral, 2, u, threshold=regions.in_levels(0.0, maps), reduce=reduce, nearest=False)
    assert low[[0, 2]].tolist() == [[0] * 4] * 2
    assert maps[1, low[1, 0] : low[1, 2], low[1, 1] : low[1, 3]].sum() == 0
    assert low[1].any()
    above = regions.in_levels(4.1, maps, "high")
    high = regions.sample(integral, 2, u, threshold=above, keep="high", reduce=reduce, nearest=False, positive=True)
    assert not high.any()


def test_thresholds_in_levels():
    maps = torch.stack([torch.tensor([[0.0, 0.5]]), torch.tensor([[0.1, 4.0]]), torch.zeros(1, 2)])
    low, high = regions.in_levels(0.2, maps), regions.in_levels(0.2, maps, "high")
    torch.testing.assert_close(low, torch.tensor([102.0, 12.75, 0.2]).double(), rtol=2e-6, atol=0)
    assert (high < low).all()
    assert regions.in_levels(0, maps).tolist() == [0.0, 0.0, 0.0]
    whole = torch.tensor([[[3, 200]]], dtype=torch.uint8)
    assert regions.in_levels(7, whole).item() == pytest.approx(7)  # taken as they are


def test_largest_values_of_sizes_per_sample_draw_as_alone():
    maps, n = levels("dense", 2), 6000
    sizes = torch.tensor([[2, 3], [4, 1]])
    for window in ("clipped", "inside"):
        u = randomness.uniform(2 * n, regions.DRAWS)
        how = {"quantile": 0.4, "window": window, "reduce": "max"}
        boxes = regions.sample(regions.integral(maps).repeat(n, 1, 1), sizes.repeat(n, 1), u, **how).tolist()
        for i, (h, w) in enumerate(sizes.tolist()):
            counts = Counter(map(tuple, boxes[i::2]))
            assert_uniform(counts, slow.accepted(maps[i], h, w, "0.4", "low", window, "max"))


def test_each_row_depends_on_its_own_numbers_alone():
    integral = regions.integral(levels("dense", 20))
    u = randomness.uniform(20, regions.DRAWS)
    u[3:6, :-1] = 1 - 2**-53  # the last window every time
    for keep in ("low", "high"):
        boxes = regions.sample(integral, 4, u, quantile=0.02, keep=keep)
        alone = [regions.sample(integral[i : i + 1], 4, u[i : i + 1], quantile=0.02, keep=keep) for i in range(20)]
        assert torch.equal(boxes, torch.cat(alone))


def test_the_greatest_uniform_number_stays_inside():
    integral = regions.integral(levels("dense", 2, 3, 1001))
    u = torch.full((2, 2), 1 - 2**-53, dtype=torch.float64)
    for given in (u, u[:, :1]):
        for how in ({}, {"quantile": 1.0}):
            assert regions.sample(integral, 1, given, **how).tolist() == [[2, 1000, 3, 1001]] * 2


def test_an_empty_batch():
    integral = regions.integral(torch.zeros(0, 4, 5))
    assert integral.shape == (0, 5, 6)
    assert regions.sample(integral, 2, torch.rand(0, 5), quantile=0.5, positive=True).shape == (0, 4)
    assert regions.sample(integral, torch.zeros(0, 2, dtype=torch.int64), torch.rand(0, 5)).shape == (0, 4)
    assert regions.thresholds(integral, 2, 0.5).shape == (0,)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", ["clipped", "inside"])
@pytest.mark.parametrize("size", [3, (2, 4), torch.tensor(SIZES * 4)])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
def test_a_gpu_draws_the_same_boxes_without_waiting(size, window, reduce):
    maps, u = torch.rand(20, HEIGHT, WIDTH), randomness.uniform(20, 3)
    how = {"quantile": 0.4, "keep": "high", "window": window, "positive": True, "reduce": reduce}
    expected = regions.sample(regions.integral(maps), size, u, **how)
    on_gpu = maps.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        boxes = regions.sample(regions.integral(on_gpu), size, u, **how)
        filled = regions.fill_boxes(on_gpu, boxes, 0.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.equal(boxes.cpu(), expected)
    assert torch.equal(filled.cpu(), regions.fill_boxes(maps, expected, 0.0))


# bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: regions.thresholds(i, 3, 0.0), "quantile=0.0"),
        (lambda i: regions.thresholds(i, 3, 60), "quantile=60"),
        (lambda i: regions.thresholds(i, 6, 0.5, "inside"), "6×6 does not fit inside an image of 5×7"),
        (lambda i: regions.scores(i, 0), "0×0"),
        (lambda i: regions.scores(i, (2, 2.5)), "2×2.5"),
        (lambda i: regions.scores(i, 3, "within"), "window='within'"),
        (lambda i: regions.scores(i, 3, reduce="median"), "reduce='median'"),
        (lambda i: regions.scores(i, torch.ones(3, 2, dtype=torch.int64)), r"for 2 maps"),
        (lambda i: regions.scores(i, torch.tensor([[2, 2], [2, 8]]), "inside"), "2×8 does not fit"),
        (lambda i: regions.scores(i, torch.tensor([[2, 2], [2, 0]])), "2×0"),
        (lambda i: regions.sample(i, 3, torch.rand(3, 4)), r"\(3, 4\) for 2 maps"),
        (lambda i: regions.sample(i, 3, torch.rand(2, 4), keep="best"), "keep='best'"),
        (lambda i: regions.sample(i, 3, torch.rand(2, 4), threshold=torch.ones(3)), r"threshold has shape \(3,\)"),
        (lambda i: regions.sample(i, 3, torch.rand(2, 4), quantile=0.5, threshold=torch.ones(2)), "both quantile=0.5"),
        (lambda i: regions.sample(i, 3, torch.rand(2, 4), quantile=-0.1, reduce="max"), "quantile=-0.1"),
        (lambda i: regions.in_levels(-1.0, i), "threshold=-1.0"),
        (lambda i: regions.in_levels(float("inf"), i), "threshold=inf"),
        (lambda _: regions.integral(torch.rand(4, 5)), r"\(4, 5\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    integral = regions.integral(levels("dense", 2))
    with pytest.raises(UserError, match=message):
        call(integral)


def test_lengths():
    assert regions.resolve_length(5, 32, 20) == 5
    assert regions.resolve_length(40, 32, 20) == 40
    assert regions.resolve_length(0.5, 32, 21) == 11
    assert regions.resolve_length(1.0, 32, 20) == 20
    assert regions.resolve_length(0.001, 32, 20) == 1
    for bad in (0, -3, 0.0, 1.5, -0.5, True, "8", float("nan")):
        with pytest.raises(UserError, match="length="):
            regions.resolve_length(bad, 32, 20)  # pyright: ignore[reportArgumentType]
