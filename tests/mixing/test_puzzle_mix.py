"""PuzzleMix: its objective against plain loops, its solvers against trying everything, graph cuts and an assignment;
labels weigh what the picture shows; moved blocks are a permutation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

import augwise as aw
from augwise.mixing import blocks, levels
from augwise.mixing.puzzle_mix import mask_costs
from augwise.mixing.transport import transport, transport_cost
from reference import puzzles

HEIGHT, WIDTH = 12, 16
SETTINGS = [
    {"blocks": (4,)},
    {"blocks": (2, 4)},
    {"blocks": (5, 3), "t_size": 3},
    {"blocks": (16, 1)},
    {"n_labels": 2, "p": 0.6, "t_cost": 0.05},
    {"n_labels": 4, "transport": False, "alpha": 0.3},
    {"per_batch": True, "blocks": (4, 2), "t_size": 2, "t_cost": 0.0},
]
each = pytest.mark.parametrize("options", SETTINGS, ids=str)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int, channels: int = 3, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> aw.Batch:
    """Float images and peaked maps."""
    images = torch.rand(n, channels, height, width, generator=seeded(seed))
    maps = torch.rand(n, height, width, generator=seeded(seed + 1)) ** 6
    return aw.Batch.of(images, torch.arange(n), maps)


def problem(steps: int, n: int, height: int, width: int, coupling: float = 0.5) -> tuple[Tensor, Tensor, Tensor]:
    """Slopes that ascend, and couplings some of which are 0."""
    slopes = torch.randn(steps, n, height, width, generator=seeded(height)).sort(0).values
    down = (torch.rand(n, height - 1, width, generator=seeded(1)) - 0.1).clamp_min(0) * coupling * steps
    right = (torch.rand(n, height, width - 1, generator=seeded(2)) - 0.1).clamp_min(0) * coupling * steps
    return slopes, down, right


def one(parts: tuple[Tensor, Tensor, Tensor], i: int) -> list[np.ndarray]:
    slopes, down, right = parts
    return [slopes[:, i].double().numpy(), down[i].double().numpy(), right[i].double().numpy()]


# --- the objective


@pytest.mark.parametrize("n_labels", [2, 3, 4])
@pytest.mark.parametrize(("count", "border", "channels"), [(4, 4, 3), (2, 3, 1), (4, 1, 3)])
def test_costs_of_masks_are_the_published_objective(n_labels: int, count: int, border: int, channels: int):
    batch, steps = drawn(2, channels), n_labels - 1
    share = torch.tensor([0.3, 0.3])
    images, maps = batch.images.as_subclass(Tensor), batch.importance.as_subclass(Tensor)
    weights = {"beta": 0.9, "gamma": 0.7, "eta": 0.4, "n_labels": n_labels, "border": border}
    pair = slice(0, 1), slice(1, 2)
    costs = mask_costs(*(images[s] for s in pair), *(maps[s] for s in pair), share[:1], count, **weights)

    def loops(k: Tensor) -> float:
        arrays = [t.double().numpy() for t in (images[0], images[1], maps[0], maps[1])]
        return puzzles.puzzle_cost(*arrays, 0.3, k.numpy() / steps, **weights)

    masks = torch.randint(0, n_labels, (6, count, count), generator=seeded())
    nothing = loops(torch.zeros(count, count))
    for k in masks:
        found = levels.energy(k[None], *costs)
        assert float(found) == pytest.approx(loops(k) - nothing, abs=1e-6)


def test_integer_images_cost_what_floats_do():
    batch = drawn(3)
    maps = batch.importance.as_subclass(Tensor)
    whole = (batch.images * 255).round().to(torch.uint8).as_subclass(Tensor)
    for a, b in zip(
        mask_costs(whole, whole.flip(0), maps, maps.flip(0), torch.full((3,), 0.4), 4),
        mask_costs(whole / 255, whole.flip(0) / 255, maps, maps.flip(0), torch.full((3,), 0.4), 4),
        strict=True,
    ):
        assert torch.allclose(a, b, atol=1e-7)


@pytest.mark.parametrize(("height", "width", "rows", "columns"), [(12, 16, 4, 2), (9, 14, 4, 5), (7, 3, 7, 3)])
def test_blocks_part_the_pixels(height: int, width: int, rows: int, columns: int):
    values = torch.rand(2, height, width, generator=seeded())
    y, x = (torch.arange(n) * k // n for n, k in ((height, rows), (width, columns)))
    sums = torch.zeros(2, rows, columns)
    counts = torch.zeros(rows, columns)
    for i, j in itertools.product(range(height), range(width)):
        sums[:, y[i], x[j]] += values[:, i, j]
        counts[y[i], x[j]] += 1
    assert torch.allclose(blocks.block_sums(values, rows, columns), sums, atol=1e-5)
    assert torch.allclose(blocks.block_means(values, rows, columns), sums / counts, atol=1e-6)
    assert torch.allclose(blocks.block_areas((height, width), rows, columns).float(), counts / (height * width))
    assert torch.equal(blocks.to_pixels(sums, height, width), sums[:, y][:, :, x])
    assert torch.equal(blocks.shares(values * 0, rows, columns), torch.full_like(sums, 1 / (rows * columns)))


# --- the solver of masks


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 3), (3, 3), (1, 4), (1, 1)])
def test_masks_of_tiny_grids_are_the_best_of_all(steps: int, height: int, width: int):
    parts = problem(steps, 6, height, width)
    found = levels.minimise(*parts)
    for i in range(6 if steps == 1 or height * width < 9 else 2):
        best = puzzles.levels_cost(puzzles.every_mask(*one(parts, i)), *one(parts, i))
        assert puzzles.levels_cost(found[i].numpy(), *one(parts, i)) == pytest.approx(best, abs=1e-5)
        cut = puzzles.cut_levels(*one(parts, i))
        assert puzzles.levels_cost(cut, *one(parts, i)) == pytest.approx(best, abs=1e-5)  # the reference itself


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize(("coupling", "iterations"), [(0.1, None), (0.5, None), (1.0, None), (2.0, 100), (4.0, 100)])
def test_masks_are_within_a_hundredth_of_the_graph_cut(steps: int, coupling: float, iterations: int | None):
    """Couplings beyond what the method uses, to noise, take longer to settle."""
    parts = problem(steps, 8, 6, 7, coupling)
    found = levels.energy(levels.minimise(*parts, iterations=iterations), *parts)
    exact = levels.energy(torch.from_numpy(np.stack([puzzles.cut_levels(*one(parts, i)) for i in range(8)])), *parts)
    single = parts[0].double().sum((0, 2, 3)).clamp(max=0)  # the better of the two masks of one level
    assert (found >= exact - 1e-5).all()
    assert (found <= single + 1e-6).all()
    assert float((found - exact).sum() / (single - exact).sum()) < 0.01


def test_energy_equals_the_loop():
    parts = problem(3, 2, 4, 3)
    k = torch.randint(0, 4, (2, 4, 3), generator=seeded())
    for i in range(2):
        assert float(levels.energy(k, *parts)[i]) == pytest.approx(
            puzzles.levels_cost(k[i].numpy(), *one(parts, i)), abs=1e-6
        )


def test_without_coupling_every_block_decides_alone():
    slopes, down, right = problem(2, 5, 4, 6)
    assert torch.equal(levels.minimise(slopes, down * 0, right * 0), (slopes < 0).sum(0))
    batch = drawn(4)
    images, maps = batch.images.as_subclass(Tensor), batch.importance.as_subclass(Tensor)
    costs = mask_costs(images, images.flip(0), maps, maps.flip(0), torch.full((4,), 0.5), 4, beta=0, eta=0, n_labels=2)
    theirs = blocks.shares(maps.flip(0), 4, 4) > blocks.shares(maps, 4, 4)
    assert torch.equal(levels.minimise(*costs), theirs.long())


def test_many_masks_are_solved_in_parts(monkeypatch):
    parts = problem(2, 7, 5, 4)
    found = levels.minimise(*parts)
    monkeypatch.setattr(levels, "_CACHED", 2 * parts[0][:, 0].numel())  # two at once
    assert torch.equal(levels.minimise(*parts), found)


def test_masks_follow_mirrored_and_reordered_problems():
    slopes, down, right = problem(2, 6, 5, 4)
    found = levels.minimise(slopes, down, right)
    assert torch.equal(levels.minimise(slopes.flip(3), down.flip(2), right.flip(2)), found.flip(2))
    assert torch.equal(levels.minimise(slopes.mT.contiguous(), right.mT, down.mT), found.mT)
    order = torch.tensor([3, 0, 5, 1, 2, 4])
    assert torch.equal(levels.minimise(slopes[:, order], down[order], right[order]), found[order])
    assert torch.equal(levels.minimise(slopes[:, 2:3], down[2:3], right[2:3]), found[2:3])
    assert levels.minimise(slopes[:, :0], down[:0], right[:0]).shape == (0, 5, 4)


def test_more_share_of_the_base_image_never_shows_more_of_its_partner():
    batch = drawn(2)
    images, maps = batch.images.as_subclass(Tensor), batch.importance.as_subclass(Tensor)
    shown = []
    for share in (0.0, 0.2, 0.5, 0.8, 1.0):
        costs = mask_costs(images[:1], images[1:], maps[:1], maps[1:], torch.tensor([share]), 4)
        shown.append(float(levels.minimise(*costs).sum()))
    assert shown == sorted(shown, reverse=True)
    assert shown[0] == 32
    assert shown[-1] == 0


# --- transport


def peaked(n: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    saliency = torch.rand(n, height, width, generator=seeded()) ** 6
    seen = (torch.rand(n, height, width, generator=seeded(1)) < 0.5).float()
    return saliency / saliency.sum((1, 2), keepdim=True), seen


@pytest.mark.parametrize("cost", [0.0, 0.1, 0.8, 100.0])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (2, 2), (3, 4), (8, 8)])
def test_plans_move_every_block_once_and_never_for_the_worse(cost: float, height: int, width: int):
    saliency, seen = peaked(9, height, width)
    plan = transport(saliency, seen, cost)
    place = torch.arange(height * width)
    assert torch.equal(plan.flatten(1).sort(1).values, place.expand(9, -1))
    stay = place.view(height, width).expand(9, -1, -1)
    found, before = (transport_cost(p, saliency, seen, cost) for p in (plan, stay))
    assert (found <= before + 1e-6).all()
    if cost == 100:
        assert torch.equal(plan, stay)
    for i in range(9):
        arrays = saliency[i].double().numpy(), seen[i].double().numpy(), cost
        assert float(found[i]) == pytest.approx(puzzles.plan_cost(plan[i].numpy(), *arrays), abs=1e-6)
        assert float(found[i]) >= puzzles.plan_cost(puzzles.best_plan(*arrays), *arrays) - 1e-6


def test_plans_gain_most_of_what_an_assignment_gains():
    saliency, seen = peaked(40, 8, 8)
    stay = torch.arange(64).view(8, 8).expand(40, -1, -1)
    found, before = (transport_cost(p, saliency, seen).sum() for p in (transport(saliency, seen), stay))
    exact = sum(
        puzzles.plan_cost(puzzles.best_plan(*a), *a)
        for a in ((s.double().numpy(), v.double().numpy(), 0.8) for s, v in zip(saliency, seen, strict=True))
    )
    assert 0.75 < float((before - found) / (before - exact)) <= 1


def test_a_plan_of_two_blocks():
    """A salient block that is hidden changes places with a dull one that is seen, if it is worth the way."""
    saliency, seen = torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[0.0, 1.0]]])
    assert transport(saliency, seen, 0.7).tolist() == [[[1, 0]]]
    assert transport(saliency, seen, 0.85).tolist() == [[[0, 1]]]


# --- the mixer


def marked(n: int) -> aw.Batch:
    """Every pixel of image i holds the value i."""
    images = torch.arange(n, dtype=torch.float32)[:, None, None, None].expand(n, 3, HEIGHT, WIDTH).clone() / n
    return drawn(n)._replace(images=aw.Batch.of(images, torch.arange(n)).images)


@each
def test_weights_are_the_measured_shares_of_pixels(options: dict):
    n = 16
    mixer = aw.PuzzleMix(**options)
    batch = marked(n)
    params = mixer.make_params(batch, seeded(4))
    mixed = mixer.mix(batch, params)
    partner, own = params["partner"], torch.arange(n)
    span = (partner - own).float() / n
    shown = (mixed.images.as_subclass(Tensor).mean((1, 2, 3)) - own / n) / torch.where(span == 0, 1.0, span)
    weights = mixed.labels.weights
    apart = partner != own
    assert torch.allclose(weights[apart, 1], shown[apart], atol=1e-5)
    assert torch.allclose(weights.sum(1), torch.ones(n))
    assert torch.equal(mixed.labels.classes, torch.stack([own, partner], 1))
    assert torch.equal(weights[~params["mixed"]], torch.tensor([1.0, 0.0]).expand(int((~params["mixed"]).sum()), 2))
    assert (weights[:, 1] > 0).any()
    assert (weights[:, 1] < 1).any()


@each
def test_picture_and_map_are_pixels_of_both_images_moved_together(options: dict):
    """Every image's pixels carry their own number as colour and as importance, so both must tell the same story."""
    n = 6
    mixer = aw.PuzzleMix(**{**options, "n_labels": 2})
    numbers = torch.arange(n * HEIGHT * WIDTH, dtype=torch.float32).view(n, HEIGHT, WIDTH) + 1
    numbers = numbers.flatten()[torch.randperm(numbers.numel(), generator=seeded())].view_as(numbers)
    batch = aw.Batch.of(numbers[:, None].double() / numbers.max(), torch.arange(n), numbers)
    params = mixer.make_params(batch, seeded(5))
    mixed = mixer.mix(batch, params)
    assert torch.allclose(
        mixed.images[:, 0].as_subclass(Tensor) * numbers.max(), mixed.importance.as_subclass(Tensor).double()
    )
    for i in range(n):
        own = set(numbers[i].flatten().tolist())
        theirs = set(numbers[params["partner"][i]].flatten().tolist())
        shown = mixed.importance[i].flatten().tolist()
        ours = [v for v in shown if v in own]
        assert len(set(shown)) == len(shown)  # no pixel twice, but perhaps where an image is its own partner
        assert set(shown) <= own | theirs
        assert (
            float(mixed.labels.weights[i, 0])
            == pytest.approx(
                1.0 if own == theirs and not float(mixed.labels.weights[i, 1]) else len(ours) / len(shown), abs=1e-6
            )
            or own == theirs
        )
        brought = sum(v for v in shown if v not in own)
        if own != theirs:
            assert float(mixed.evidence[i]) == pytest.approx(float(batch.evidence[i]) + brought, rel=1e-5)


@pytest.mark.parametrize(("t_size", "number"), [(2, 4), (3, 4), (4, 2), (None, 4)])
def test_pictures_are_what_costs_and_plans_of_its_settings_say(t_size: int | None, number: int):
    """No setting is left out, or stands in for another: none has its default, no two are equal."""
    n, batch = 6, drawn(6)
    images, maps = batch.images.as_subclass(Tensor), batch.importance.as_subclass(Tensor)
    objective = {"beta": 0.6, "eta": 0.1, "n_labels": 4, "border": 2}
    mixer = aw.PuzzleMix(
        blocks=(number,), seams=0.9, transport=t_size is not None, t_size=t_size or 1, t_cost=0.02, **objective
    )
    params = mixer.make_params(batch, seeded(3))
    mixed, partner = mixer.mix(batch, params), params["partner"]
    pair = images, images[partner], maps, maps[partner]
    costs = mask_costs(*pair, params["share"], number, gamma=0.9, **objective)
    mask = blocks.to_pixels(levels.minimise(*costs).float() / 3, HEIGHT, WIDTH)
    assert len(mask.unique()) == 4
    shown, importance = [], []
    for image, own, seen in zip(pair[:2], pair[2:], (mask < 1, mask > 0), strict=True):
        moved = image.clone(), own.clone()
        if t_size is not None:
            down, across = HEIGHT // t_size, WIDTH // t_size
            inner = (..., slice(0, down * t_size), slice(0, across * t_size))
            plan = transport(
                blocks.shares(own[inner], down, across), blocks.block_means(seen[inner].float(), down, across), 0.02
            )
            assert (plan.flatten(1) != torch.arange(down * across)).any()
            for i, y, x in itertools.product(range(n), range(down), range(across)):
                b, a = divmod(int(plan[i, y, x]), across)
                to, come = ((t_size * r, t_size * c) for r, c in ((y, x), (b, a)))
                for result, given in zip(moved, (image, own), strict=True):
                    block = given[i, ..., come[0] : come[0] + t_size, come[1] : come[1] + t_size]
                    result[i, ..., to[0] : to[0] + t_size, to[1] : to[1] + t_size] = block
        shown.append(moved[0])
        importance.append(moved[1])
    expected = (1 - mask[:, None]) * shown[0] + mask[:, None] * shown[1]
    assert torch.allclose(mixed.images.as_subclass(Tensor), expected, atol=1e-6)
    expected = (1 - mask) * importance[0] + mask * importance[1]
    assert torch.allclose(mixed.importance.as_subclass(Tensor), expected, atol=1e-6)


def test_importance_labels_are_shares_of_the_importance_that_is_shown():
    batch = drawn(8)
    batch = batch._replace(
        importance=aw.ImportanceMap(batch.importance.as_subclass(Tensor) * (torch.arange(8) != 3)[:, None, None])
    )
    area, importance, half = (
        aw.PuzzleMix(labels=rule)(batch, generator=seeded()) for rule in ("area", "importance", "half")
    )
    assert torch.equal(area.images, importance.images)
    partner = area.labels.classes[:, 1]
    whole = batch.evidence * (torch.arange(8) != 3)
    brought = area.evidence - batch.evidence
    expected = brought / area.importance.sum((1, 2)).as_subclass(Tensor).clamp_min(1e-9)
    known = (whole > 0) & (whole[partner] > 0)
    assert torch.allclose(importance.labels.weights[known, 1], expected[known], atol=1e-4)
    unknown = (torch.arange(8) == 3) & (area.labels.weights[:, 1] > 0) & (area.labels.weights[:, 1] < 1)
    assert torch.equal(importance.labels.weights[unknown], area.labels.weights[unknown])
    assert torch.allclose(half.labels.weights, (area.labels.weights + importance.labels.weights) / 2)


def test_an_image_is_shown_where_it_is_salient():
    """Two images whose evidence lies in opposite halves: each keeps its own half."""
    maps = torch.zeros(2, HEIGHT, WIDTH)
    maps[0, :, : WIDTH // 2], maps[1, :, WIDTH // 2 :] = 1, 1
    images = torch.zeros(2, 3, HEIGHT, WIDTH)
    images[1] = 1
    mixer = aw.PuzzleMix(blocks=(4,), seams=0, eta=0)
    params = {
        "mixed": torch.tensor([True, True]),
        "share": torch.tensor([0.5, 0.5]),
        "blocks": torch.tensor([4, 4]),
        "partner": torch.tensor([1, 0]),
    }
    mixed = mixer.mix(aw.Batch.of(images, torch.arange(2), maps), params)
    left, right = mixed.images[0, 0, :, : WIDTH // 2], mixed.images[0, 0, :, WIDTH // 2 :]
    assert (left == 0).all()
    assert (right == 1).all()
    assert torch.equal(mixed.images[0], mixed.images[1])
    assert mixed.importance.sum() == maps.sum() * 2


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_p_0_changes_nothing(dtype: torch.dtype):
    batch = drawn(5)
    if dtype == torch.uint8:
        batch = batch._replace(images=aw.Batch.of((batch.images * 255).to(dtype), batch.labels).images)
    mixed = aw.PuzzleMix(p=0.0)(batch, generator=seeded())
    assert torch.equal(mixed.images, batch.images)
    assert torch.equal(mixed.importance, batch.importance)
    assert torch.equal(mixed.evidence, batch.evidence)
    assert torch.equal(mixed.labels.weights, torch.tensor([1.0, 0.0]).expand(5, 2))


@pytest.mark.parametrize(("height", "width"), [(9, 14), (7, 7), (1, 3), (33, 20)])
def test_any_size_of_image_and_maps_of_zeros(height: int, width: int):
    batch = drawn(5, 1, height, width)
    batch = batch._replace(
        importance=aw.ImportanceMap(batch.importance.as_subclass(Tensor) * (torch.arange(5) < 3)[:, None, None])
    )
    mixed = aw.PuzzleMix()(batch, generator=seeded())
    assert mixed.images.isfinite().all()
    assert mixed.importance.isfinite().all()
    assert torch.allclose(mixed.labels.weights.sum(1), torch.ones(5))


def test_one_draw_for_the_batch_or_one_for_each_image():
    batch = drawn(12)
    alike, each_own = (
        aw.PuzzleMix(per_batch=True).make_params(batch, seeded()),
        aw.PuzzleMix().make_params(batch, seeded()),
    )
    for name in ("share", "blocks"):
        assert len(set(alike[name].tolist())) == 1
        assert len(set(each_own[name].tolist())) > 2


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alpha": 0}, "alpha=0"),
        ({"alpha": -1.0}, "alpha"),
        ({"blocks": ()}, "blocks"),
        ({"blocks": 4}, "blocks=4"),
        ({"blocks": (0, 4)}, "blocks"),
        ({"n_labels": 5}, "n_labels=5"),
        ({"seams": 1.5}, "seams=1.5"),
        ({"beta": -0.1}, "beta=-0.1"),
        ({"eta": float("inf")}, "eta"),
        ({"t_cost": -1}, "t_cost=-1"),
        ({"t_size": 0}, "t_size=0"),
        ({"border": 1.5}, "border=1.5"),
        ({"labels": "mass"}, "labels"),
        ({"p": 2.0}, "p"),
    ],
)
def test_impossible_settings_are_refused(options: dict, match: str):
    with pytest.raises(aw.UserError, match=match):
        aw.PuzzleMix(**options)


def test_without_maps_it_says_what_to_do():
    batch = drawn(3)._replace(importance=None, evidence=torch.zeros(3))
    with pytest.raises(aw.UserError, match="WithImportance"):
        aw.PuzzleMix()(batch)


def test_the_model_in_training_gives_the_saliency():
    batch = drawn(6)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * HEIGHT * WIDTH, 6))
    live = aw.LiveSaliency(model)(batch._replace(importance=None, evidence=torch.zeros(6)))
    mixed = aw.PuzzleMix()(live, generator=seeded())
    assert (mixed.labels.weights[:, 1] > 0).any()
    assert mixed.importance.sum() > 0
