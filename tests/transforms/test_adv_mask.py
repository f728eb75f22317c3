"""AdvMask: squares on points that obey l, p and o, exactly as a slow loop over the same draws puts them."""

from __future__ import annotations

import math

import pytest
import torch

import augwise as aw
from augwise import randomness
from augwise.transforms.square_masks import VISITS, _next_square, _start, square_masks, visit_points
from reference import masks as slow

HEIGHT, WIDTH = 13, 18


def some_points(n: int, count: int, height: int = HEIGHT, width: int = WIDTH) -> torch.Tensor:
    return torch.stack(
        [(torch.randperm(height * width) < count).view(height, width).float() * (1 + i) for i in range(n)]
    )


def apply(method, images, maps, seed=0):
    params = method.make_params(images, maps, torch.Generator().manual_seed(seed))
    return params["mask"], *method.transform(images, maps, params)


def visits(points: torch.Tensor, u: torch.Tensor) -> list[list[tuple[int, int]]]:
    """The points in the order in which they are tried; those that come again are left out."""
    places, valid = visit_points(points, u)
    return [list(dict.fromkeys(map(tuple, where[kept].tolist()))) for where, kept in zip(places, valid, strict=True)]


@pytest.mark.parametrize(
    ("count", "lengths", "most", "overlap", "tried"),
    [
        (40, (2, 6), 0.4, 0.1, VISITS),
        (40, (3, 8), 0.5, 0.5, VISITS),  # squares over squares over squares
        (234, (4, 6), 0.5, 0.7, VISITS),  # three deep, so that a square may be too much and its neighbour not
        (6, (2, 5), 0.4, 0.2, VISITS),  # points run out
        (234, (2, 3), 0.3, 0.2, VISITS),  # every pixel is a point, many squares
        (234, (2, 3), 0.4, 0.2, 50),  # more points than are tried: some come again
        (40, (9, 10), 0.45, 0.05, VISITS),  # most squares would be too much
        (40, (4, 4), 0.3, 1.0, VISITS),
        (1, (5, 5), 0.4, 0.0, VISITS),
    ],
)
def test_masks_are_those_of_the_slow_loop(count, lengths, most, overlap, tried):
    n = 60
    points = some_points(n, count) > 0
    u = randomness.uniform(n, tried)
    length = lengths[0] + randomness.integers(lengths[1] - lengths[0] + 1, n)
    least = 0.99 if overlap == 0.7 else 0.5
    share, goal = overlap * randomness.uniform(n), most * (least + (1 - least) * randomness.uniform(n))
    goal[::7] = 0  # these are to stay as they are
    masks = square_masks(visit_points(points, u), HEIGHT, WIDTH, length, share, goal, most)
    seen = set()
    for i, order in enumerate(visits(points, u)):
        squares = slow.adv_mask(order, HEIGHT, WIDTH, int(length[i]), float(share[i]), float(goal[i]), most)
        assert torch.equal(masks[i], slow.mask_of(squares, HEIGHT, WIDTH))
        hidden = float(masks[i].double().mean())
        assert hidden <= most + 1e-9
        seen.add("stays" if not squares else "reached" if hidden >= float(goal[i]) else "ran out")
        limit = math.floor(float(share[i]) * int(length[i]) ** 2)
        for a, first in enumerate(squares):
            for other in squares[a + 1 :]:
                assert len(slow.pixels_of(first) & slow.pixels_of(other)) <= limit
    assert "stays" in seen
    assert len(seen) > 1


def test_without_a_look_at_who_is_finished_the_masks_are_the_same():
    """As on a GPU: every point has its turn in every image, in torch's arithmetic in place of NumPy's."""
    points, u = some_points(40, 60) > 0, randomness.uniform(40, 80)
    drawn = 2 + randomness.integers(5, 40), 0.3 * randomness.uniform(40), 0.2 + 0.2 * randomness.uniform(40)
    state = _start(visit_points(points, u), HEIGHT, WIDTH, *drawn, most=0.4)
    for _ in range(80):
        state = _next_square(state, torch)
    assert state.mask.any()
    assert torch.equal(state.mask, square_masks(visit_points(points, u), HEIGHT, WIDTH, *drawn, most=0.4))


def test_order_of_the_points_is_random_and_of_few_points_complete():
    values = torch.zeros(1, HEIGHT, WIDTH)
    places = [(1, 2), (4, 17), (12, 0)]
    for y, x in places:
        values[0, y, x] = 1
    points = values.expand(3000, -1, -1) > 0
    orders = [tuple(o) for o in visits(points, randomness.uniform(3000, 8))]
    assert all(set(o) == set(places) for o in orders)
    assert len(set(orders)) == 6
    for order in set(orders):
        assert abs(orders.count(order) - 500) < 5 * 500**0.5
    everywhere = torch.ones(2000, HEIGHT, WIDTH, dtype=torch.bool)  # more points than are tried
    tried, valid = visit_points(everywhere, randomness.uniform(2000, 8))
    assert valid.all()
    counts = torch.bincount((tried[..., 0] * WIDTH + tried[..., 1]).flatten(), minlength=HEIGHT * WIDTH)
    expected = 16000 / (HEIGHT * WIDTH)
    assert ((counts - expected).abs() < 6 * expected**0.5).all()
    assert not visit_points(everywhere & False, randomness.uniform(2000, 8))[1].any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_pixels_take_the_fill_and_lose_their_importance(dtype, channels):
    images = torch.randint(1, 256, (20, channels, HEIGHT, WIDTH), dtype=torch.uint8)
    images = images if dtype == torch.uint8 else (images / 255).to(dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    maps = some_points(20, 40)
    mask, erased, moved = apply(aw.AdvMask((2, 6), fill=0.0, p=1.0), images, maps)
    assert erased.dtype == dtype
    assert torch.equal(erased == 0, mask[:, None].expand_as(erased))
    kept = ~mask
    for i in range(20):
        assert torch.equal(erased[i][:, kept[i]], images[i][:, kept[i]])
        assert torch.equal(moved[i], maps[i] * kept[i])
    assert float(mask.double().mean()) > 0.15


def test_images_without_points_and_those_the_coin_spares_stay_as_they_are():
    images, maps = torch.rand(900, 1, HEIGHT, WIDTH), some_points(900, 40)
    maps[::3] = 0
    mask, erased, _ = apply(aw.AdvMask((2, 6), p=0.4, fill="random"), images, maps)
    touched = mask.flatten(1).any(1)
    assert not touched[::3].any()
    assert torch.equal(erased[~touched], images[~touched])
    share = float(touched[maps.flatten(1).any(1)].double().mean())
    assert abs(share - 0.4) < 5 * (0.24 / 600) ** 0.5


def test_lengths_targets_and_schedule_are_drawn_as_said():
    images = torch.rand(2000, 1, 32, 32)
    maps = torch.zeros(2000, 32, 32)
    maps[:, 16, 16] = 1  # one point: one whole square, whose side is the length
    mask, _, _ = apply(aw.AdvMask(p=1.0), images, maps)
    sides = mask.any(1).sum(1).tolist()
    assert set(sides) == set(range(2, 16))
    for side in range(2, 16):
        assert abs(sides.count(side) - 2000 / 14) < 5 * (2000 / 14) ** 0.5
    crowded = torch.ones(400, 32, 32)
    mask, _, _ = apply(aw.AdvMask((1, 1), (0.1, 0.2), p=1.0), torch.rand(400, 1, 32, 32), crowded)
    shares = mask.double().mean((1, 2))
    assert 0.1 <= shares.min() < 0.11
    assert 0.19 < shares.max() <= 0.2
    for done, expected in ((0.25, 0.2), (1.0, 0.8)):
        with aw.progress(done):
            mask, _, _ = apply(aw.AdvMask(), images, maps)
        share, deviation = float(mask.flatten(1).any(1).double().mean()), (expected * (1 - expected) / 2000) ** 0.5
        assert abs(share - expected) < 5 * deviation


def test_points_of_a_dense_map_are_its_top_share():
    values = torch.rand(50, HEIGHT, WIDTH)
    values[:, :, 9:] += 1
    mask, _, moved = apply(aw.AdvMask((1, 1), (0.05, 0.1), top=0.3, p=1.0), torch.rand(50, 3, HEIGHT, WIDTH), values)
    chosen = aw.ImportanceMap(values).points(0.3)
    assert not (mask & ~chosen).any()
    assert not mask[..., :9].any()
    assert mask.any((1, 2)).all()
    assert torch.equal(moved == 0, mask)


def test_preserve_gives_one_important_region_back():
    images, maps = torch.rand(60, 1, 32, 32) + 0.01, torch.rand(60, 32, 32)
    method = aw.Preserve(aw.AdvMask(fill=0.0, p=1.0), length=8, quantile=0.6)
    params = method.make_params(images, maps, torch.Generator().manual_seed(1))
    guarded, moved = method.transform(images, maps, params)
    bare, lost = method.wrapped.transform(images, maps, params["wrapped"])
    for i, (top, left, bottom, right) in enumerate(params["regions"][:, 0].tolist()):
        for result, original, hidden in ((guarded[i, 0], images[i, 0], bare[i, 0]), (moved[i], maps[i], lost[i])):
            assert torch.equal(result[top:bottom, left:right], original[top:bottom, left:right])
            result[top:bottom, left:right] = hidden[top:bottom, left:right]
            assert torch.equal(result, hidden)
    assert (guarded != images).any()


def test_it_says_that_it_needs_maps_not_that_a_quantile_is_too_much():
    for method in (aw.AdvMask(), aw.Preserve(aw.AdvMask())):
        with pytest.raises(aw.UserError, match="needs importance maps but got no importance map") as error:
            method(torch.rand(3, 32, 32))
        assert "quantile" not in str(error.value)
    source = [(torch.zeros(3, 8, 8, dtype=torch.uint8), 0), (torch.ones(3, 8, 8, dtype=torch.uint8), 1)]
    with pytest.raises(aw.UserError, match="AdvMask needs importance maps, but there are none") as error:
        aw.WithImportance(source, transform=aw.AdvMask())
    assert "quantile" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.AdvMask((0, 5)), "length=0"),
        (lambda: aw.AdvMask((2,)), r"lengths=\(2,\)"),
        (lambda: aw.AdvMask(shares=(0.4, 0.2)), r"shares=\(0.4, 0.2\)"),
        (lambda: aw.AdvMask(shares=(0.0, 0.2)), r"shares=\(0.0, 0.2\)"),
        (lambda: aw.AdvMask(shares=(0.2, 40)), r"shares=\(0.2, 40\)"),
        (lambda: aw.AdvMask(overlap=20), "overlap=20"),
        (lambda: aw.AdvMask(top=0), "top=0"),
        (lambda: aw.AdvMask(p=1.2), "p=1.2"),
        (lambda: aw.AdvMask(p=aw.Ramp(8)), "Ramp"),
        (lambda: aw.AdvMask(fill="black"), "fill='black'"),
        (lambda: run(aw.AdvMask((9, 5))), "9 to 5 pixels"),
        (lambda: run(aw.AdvMask((2, 14))), "14x14 pixels is more than an image of 13x18 may lose"),
        (lambda: run(aw.AdvMask((2, 10), (0.2, 0.4))), "10x10 pixels"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


def run(method):
    return method(torch.rand(3, HEIGHT, WIDTH), aw.ImportanceMap(torch.rand(HEIGHT, WIDTH)))


def test_shares_are_decimal_numbers():
    """0.29 of 100 pixels are 29, and 0.07 of 100 are 7, though binary numbers say a little less and a little more."""
    points, u, one = torch.ones(2, 10, 10, dtype=torch.bool), randomness.uniform(2, VISITS), torch.ones(2).long()
    target = torch.tensor([0.07, 0.29], dtype=torch.float64)
    assert (0.07 * 100 > 7, 0.29 * 100 < 29) == (True, True)
    masks = square_masks(visit_points(points, u), 10, 10, one, torch.zeros(2).double(), target, 0.29)
    assert masks.sum((1, 2)).tolist() == [7, 29]


@pytest.mark.parametrize("policy", [aw.TrivialAugment(), aw.RandomHorizontalFlip(p=1.0)], ids=["policy", "flip"])
def test_behind_a_policy_squares_lie_where_the_points_have_been_moved(policy):
    n = 60
    images, maps = torch.rand(n, 3, 32, 32), some_points(n, 40, 32, 32)
    batch = aw.Batch.of(images, torch.zeros(n, dtype=torch.int64), maps)
    moved = aw.Preserve(policy)(batch, generator=torch.Generator().manual_seed(3))
    assert not torch.equal(moved.importance, batch.importance)
    mask, _, _ = apply(aw.AdvMask((1, 1), (0.01, 0.02), p=1.0), moved.images, moved.importance)
    assert mask.any((1, 2)).float().mean() > 0.9
    assert not (mask & ~(moved.importance > 0)).any()  # squares of one pixel are points
    assert (mask & (maps == 0)).any()


def test_behind_a_foreign_policy_squares_lie_on_the_map_that_was_carried_past():
    n = 20
    images, maps = torch.rand(n, 3, 32, 32), some_points(n, 40, 32, 32)
    batch = aw.Batch.of(images, torch.zeros(n, dtype=torch.int64), maps)
    steps = torch.nn.Sequential(aw.Preserve(lambda image: 1 - image), aw.AdvMask((1, 1), (0.01, 0.02), fill=0.0, p=1.0))
    result = steps(batch)
    hidden = (result.images != 1 - batch.images).any(1)
    assert hidden.any()
    assert not (hidden & (maps == 0)).any()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_maps_that_are_none_are_refused(value):
    maps = some_points(3, 20)
    maps[1, 4, 5] = value
    with pytest.raises(aw.UserError, match=f"holds the value {value}: maps are finite and nowhere negative"):
        aw.AdvMask()(torch.rand(3, 3, HEIGHT, WIDTH), aw.ImportanceMap(maps))
    with pytest.raises(aw.UserError, match="lengths=5: give the shortest and the longest side"):
        aw.AdvMask(5)  # pyright: ignore[reportArgumentType]
