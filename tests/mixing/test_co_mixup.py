"""Co-Mixup: its objective against plain loops, its solver against trying everything and against the published
alternation with graph cuts; labels weigh what the picture shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

import augwise as aw
from augwise.mixing import joint_masks as solver
from augwise.mixing.blocks import block_sums, to_pixels
from augwise.mixing.co_mixup import _pairs
from augwise.mixing.joint_masks import Weights, joint_cost, joint_masks, own_pictures
from reference import puzzles

HEIGHT, WIDTH = 12, 16
SETTINGS = [
    {"part": 4},
    {"part": 5, "blocks": 3, "p": 0.6},
    {"part": 7, "blend": False, "omega": 0.5},
    {"part": 20, "blocks": 2, "iterations": 1, "alpha": 0.2},
    {"part": 1},
]
each = pytest.mark.parametrize("options", SETTINGS, ids=str)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(n: int, channels: int = 3, height: int = HEIGHT, width: int = WIDTH, seed: int = 0) -> aw.Batch:
    """Float images, and maps with a few salient places of about a block."""
    images = torch.rand(n, channels, height, width, generator=seeded(seed))
    maps = torch.rand(n, height, width, generator=seeded(seed + 1))
    maps = maps * to_pixels(
        torch.rand(n, min(4, height), min(4, width), generator=seeded(seed + 2)) ** 6, height, width
    )
    return aw.Batch.of(images, torch.arange(n), maps)


def problem(groups: int, images: int, size: tuple[int, int], peak: float = 2.0) -> tuple[Tensor, Tensor, Tensor]:
    """Costs of smooth saliency, pairs, and masks to start with."""
    n = size[0] * size[1]
    saliency = torch.rand(groups, images, n, generator=seeded(images)) ** peak
    cost = -(saliency / saliency.sum(2, keepdim=True)).mT.contiguous()
    pairs = 0.9 * torch.eye(images) + 0.1 * torch.rand(groups, images, images, generator=seeded(1))
    start = F.one_hot(torch.randint(0, images, (groups, images, n), generator=seeded(2)), images).float()
    return cost, pairs, start


def arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [t.double().numpy() for t in tensors]


# --- the objective and its solver


def test_cost_equals_the_loop():
    size, weights = (3, 2), Weights(0.5, 0.7, 0.4)
    cost, pairs, start = problem(2, 4, size)
    soft = (start + start.flip(1)) / 2
    for masks in (start, soft):
        found = joint_cost(masks, cost, pairs, size, weights)
        for g in range(2):
            assert float(found[g]) == pytest.approx(
                puzzles.joint_cost(*arrays(masks[g], cost[g], pairs[g]), size, *weights), abs=1e-4
            )


@pytest.mark.parametrize(("images", "size"), [(2, (2, 2)), (3, (1, 3)), (2, (2, 3))])
def test_masks_of_tiny_problems_are_as_near_to_the_best_as_graph_cuts_come(images: int, size: tuple[int, int]):
    """Alternation ends in local minima, whatever solves its steps."""
    weights, groups = Weights(), 10
    cost, _, start = problem(groups, images, size, peak=4)
    pairs = torch.eye(images).expand(groups, -1, -1)
    masks = joint_masks(cost, pairs, start, size, weights, blend=False, distinct=False)
    found = joint_cost(masks, cost, pairs, size, weights)
    every = torch.from_numpy(puzzles.every_joint(images, images, size[0] * size[1])).float()
    exact = torch.stack(
        [
            joint_cost(every, *(t[g : g + 1].expand(len(every), -1, -1) for t in (cost, pairs)), size, weights).min()
            for g in range(groups)
        ]
    )
    cuts = joint_cost(_cut(cost, pairs, start, size, weights), cost, pairs, size, weights)
    apart = torch.eye(images)[None, :, None].expand(groups, -1, len(start[0, 0]), -1)  # every image its own picture
    assert (found >= exact - 1e-5).all()
    assert (found <= joint_cost(apart, cost, pairs, size, weights) + 1e-5).all()
    assert float(((found - exact) / exact.abs()).mean()) < 0.2
    assert float(found.mean()) <= float(cuts.mean()) + 0.03 * abs(float(cuts.mean()))


def test_masks_are_as_good_as_those_of_the_alternation_with_graph_cuts():
    """On average: which of many local minima either ends in is chance."""
    size, weights, groups = (3, 4), Weights(), 3
    cost, _, start = problem(groups, 5, size, peak=4)
    pairs = torch.eye(5).expand(groups, -1, -1)
    masks = joint_masks(cost, pairs, start, size, weights, blend=False, distinct=False)
    found = joint_cost(masks, cost, pairs, size, weights)
    cuts = joint_cost(_cut(cost, pairs, start, size, weights), cost, pairs, size, weights)
    assert float(found.mean()) <= float(cuts.mean()) + 0.1 * abs(float(cuts.mean()))
    shared = joint_masks(cost, pairs, start, size, weights)
    assert float(joint_cost(shared, cost, pairs, size, weights).mean()) < float(
        joint_cost(start, cost, pairs, size, weights).mean()
    )


def _cut(cost: Tensor, pairs: Tensor, start: Tensor, size: tuple[int, int], weights: Weights) -> Tensor:
    """The published alternation, four times over the pictures, a graph cut for each."""
    found = [
        puzzles.cut_joint(*arrays(c, a, z), size, *weights, iterations=4)
        for c, a, z in zip(cost, pairs, start, strict=True)
    ]
    return torch.from_numpy(np.stack(found)).float()


def test_without_smoothness_and_diversity_every_block_shows_the_most_salient_image():
    cost, pairs, start = problem(3, 5, (3, 4))
    masks = joint_masks(cost, pairs, start, (3, 4), Weights(0, 0, 0), blend=False)
    expected = F.one_hot(cost.argmin(2), 5).float()
    assert torch.equal(masks, expected[:, None].expand_as(masks))


def test_every_block_shows_one_image_or_two_half_and_half():
    cost, pairs, start = problem(4, 6, (4, 4), peak=4)
    for blend, values in ((True, {0, 0.5, 1}), (False, {0, 1})):
        masks = joint_masks(cost, pairs, start, (4, 4), Weights(), blend=blend)
        assert torch.equal(masks.sum(3), torch.ones(4, 6, 16))
        assert set(masks.unique().tolist()) <= values


def test_a_block_between_two_images_shows_both():
    """Its saliency is the same in either, and half and half differs less from what is beside it."""
    cost = -torch.tensor([[[0.7, 0.1], [0.2, 0.2], [0.1, 0.7]]])
    start = torch.eye(2)[None, :, None].expand(1, 2, 3, 2)
    options = {"size": (1, 3), "weights": Weights(threshold=1.0), "distinct": False}
    masks = joint_masks(cost, torch.eye(2)[None], start, **options)
    assert torch.equal(masks, torch.tensor([[1.0, 0], [0.5, 0.5], [0, 1]]).expand(1, 2, 3, 2))
    assert (joint_masks(cost, torch.eye(2)[None], start, **options, blend=False) != 0.5).all()


def test_a_picture_that_is_not_there_stays_so_and_groups_are_apart():
    cost, pairs, start = problem(3, 5, (2, 4))
    start[1, 4] = 0
    cost[1, :, 4] = 1e3
    masks = joint_masks(cost, pairs, start, (2, 4), Weights())
    assert not masks[1, 4].any()
    assert not masks[1, :, :, 4].any()
    for g in range(3):
        alone = joint_masks(cost[g : g + 1], pairs[g : g + 1], start[g : g + 1], (2, 4), Weights())
        assert torch.equal(alone[0], masks[g])


def test_masks_follow_a_mirrored_grid():
    cost, pairs, start = problem(2, 4, (3, 5))
    masks = joint_masks(cost, pairs, start, (3, 5), Weights()).unflatten(2, (3, 5))
    mirrored = [t.unflatten(-2, (3, 5)).flip(-2).flatten(-3, -2) for t in (cost, start)]
    again = joint_masks(mirrored[0], pairs, mirrored[1], (3, 5), Weights()).unflatten(2, (3, 5))
    assert torch.equal(again.flip(3), masks)


def test_pictures_of_the_same_images_are_told_to_part():
    counts = torch.tensor([[[2.0, 2, 0], [3, 1, 0], [0, 4, 0], [0, 4, 0], [1, 0, 3]]])
    expected = torch.tensor([[[1.0, 0, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]]])
    assert torch.equal(solver._parted(counts), expected)


def test_pictures_go_to_the_images_they_show_most_of():
    counts = torch.tensor([[[1.0, 9, 0], [0, 8, 2], [7, 3, 0]], [[5, 0, 0], [6, 1, 0], [0, 0, 0]]])
    present = torch.tensor([[True, True, True], [True, True, False]])
    assert own_pictures(counts, present).tolist() == [[2, 0, 1], [1, 0, 2]]


# --- the mixer


@each
def test_weights_are_the_measured_shares_of_pixels(options: dict):
    """Image i is white in channel i and black in the others, so the mean of a channel is the image's share."""
    n = 11
    images = torch.eye(n)[:, :, None, None].expand(n, n, HEIGHT, WIDTH).clone()
    batch = drawn(n)._replace(images=aw.Batch.of(images, torch.arange(n)).images)
    mixed = aw.CoMixup(**options)(batch, generator=seeded())
    assert torch.allclose(mixed.labels.dense(n), mixed.images.as_subclass(Tensor).mean((2, 3)), atol=1e-6)
    assert torch.equal(mixed.labels.classes[:, 0], torch.arange(n))
    if options["part"] > 1:
        assert ((mixed.labels.weights > 0).sum(1) > 1).any()


@each
def test_picture_and_map_are_composed_as_the_masks_say(options: dict):
    batch, mixer = drawn(11), aw.CoMixup(**options)
    maps = batch.importance.as_subclass(Tensor)
    params = mixer.make_params(batch, seeded(1))
    size = mixer._grid(batch.images)
    rows, masks = mixer._masks(maps, size, params)
    mixed = mixer.mix(batch, params)
    pixels = to_pixels(masks.unflatten(1, size).movedim(3, 1), HEIGHT, WIDTH)
    importance = (pixels * maps[rows]).sum(1)
    images = (pixels[:, :, None] * batch.images.as_subclass(Tensor)[rows]).sum(1)
    assert torch.allclose(mixed.importance.as_subclass(Tensor), importance, atol=1e-6)
    assert torch.allclose(mixed.images.as_subclass(Tensor), images, atol=1e-6)
    brought = (pixels[:, 1:] * maps[rows[:, 1:]]).sum((1, 2, 3))
    assert torch.allclose(mixed.evidence, batch.evidence + brought, rtol=1e-5)
    assert torch.equal(rows[:, 0], torch.arange(11))
    alone = ~params["mixed"]
    assert torch.equal(mixed.images[alone], batch.images[alone])
    assert not brought[alone].any()


def test_pairs_weigh_by_how_far_apart_their_salient_places_are():
    maps = drawn(5, height=9, width=14).importance.as_subclass(Tensor)
    table, present = torch.tensor([[3, 0, 4], [1, 2, 0]]), torch.tensor([[True] * 3, [True, True, False]])
    found = _pairs(maps, table, present, 0.3)
    for g in range(2):
        there = int(present[g].sum())
        expected = puzzles.pair_weights(maps[table[g, :there]].double().numpy(), 0.3)
        assert found[g, :there, :there].numpy() == pytest.approx(expected, abs=1e-5)
    alike = maps[:1].expand(5, -1, -1)  # all in one place: nothing to scale
    assert torch.allclose(_pairs(alike, table, present, 0.3), 0.7 * torch.eye(3).expand(2, -1, -1))


def test_pictures_are_what_the_solver_says_of_saliency_and_prior():
    """No setting is left out, or stands in for another: none has its default, no two are equal."""
    n, size, batch = 6, (3, 3), drawn(6)
    maps = batch.importance.as_subclass(Tensor)
    settings = {"beta": 0.5, "diversity": 0.02, "threshold": 0.3, "eta": 0.15, "omega": 0.2}
    mixer = aw.CoMixup(alpha=0.7, blocks=3, part=n, iterations=2, blend=False, **settings)
    params = mixer.make_params(batch, seeded(2))
    rows, masks = mixer._masks(maps, size, params)
    assert (masks.sum(1) > 0).sum(1).max() > 2  # pictures of several images
    order, prior = params["order"].tolist(), params["prior"][0].tolist()
    sums, cost = block_sums(maps, *size).flatten(1), torch.zeros(1, 9, n)
    first = torch.zeros(1, n, 9, n)
    for k, image in enumerate(order):
        for s in range(9):
            cost[0, s, k] = -float(sums[image, s]) / float(sums[image].sum()) - 0.15 / 9 * np.log(prior[k])
            first[0, k, s, int(params["start"][image, s] * n)] = 1
    pairs = torch.from_numpy(puzzles.pair_weights(maps[order].double().numpy(), 0.2)).float()[None]
    found = joint_masks(cost, pairs, first, size, Weights(0.5, 0.02, 0.3), 2, blend=False)
    picture = own_pictures(found.sum(2), torch.ones(1, n, dtype=torch.bool))[0]
    for k, image in enumerate(order):
        expected = torch.zeros(9, n).index_add_(1, torch.tensor(order), found[0, picture[k]])
        assert torch.equal(torch.zeros(9, n).index_add_(1, rows[image], masks[image]), expected)


def test_priors_follow_the_dirichlet_distribution():
    batch = aw.Batch.of(torch.zeros(2400, 1, 1, 1), torch.arange(2400), torch.zeros(2400, 1, 1))
    for alpha in (0.4, 3.0):
        prior = aw.CoMixup(alpha=alpha, part=3).make_params(batch, seeded())["prior"]
        assert prior.shape == (800, 3)
        assert stats.kstest(prior[:, 1].numpy(), stats.beta(alpha, 2 * alpha).cdf).pvalue > 1e-3


def test_groups_part_the_batch_and_pictures_stay_within_them():
    batch = drawn(23)
    mixer = aw.CoMixup(part=6)
    params = mixer.make_params(batch, seeded())
    rows, masks = mixer._masks(batch.importance.as_subclass(Tensor), (4, 4), params)
    group = torch.empty(23, dtype=torch.int64)
    group[params["order"]] = torch.tensor([0] * 6 + [1] * 6 + [2] * 6 + [3] * 5)
    used = masks.sum(1) > 0
    assert (group[rows] == group[:, None]).logical_or(~used).all()
    shown = torch.zeros(23).index_put_((rows.flatten(),), masks.sum(1).flatten(), accumulate=True)
    assert shown.sum() == 23 * 16


def test_rows_show_most_of_their_own_image_where_they_can():
    mixed = aw.CoMixup(part=8)(drawn(32), generator=seeded())
    assert (mixed.labels.weights[:, 0] > 0).float().mean() > 0.8


def test_importance_labels_are_shares_of_the_importance_that_is_shown():
    batch = drawn(9)
    area, importance, half = (
        aw.CoMixup(labels=rule)(batch, generator=seeded()) for rule in ("area", "importance", "half")
    )
    own = (
        area.importance.as_subclass(Tensor).sum((1, 2)) - (area.evidence - batch.evidence)
    ) / area.importance.as_subclass(Tensor).sum((1, 2))
    assert torch.allclose(importance.labels.weights[:, 0], own, atol=1e-5)
    assert torch.allclose(half.labels.weights, (area.labels.weights + importance.labels.weights) / 2)
    assert torch.equal(area.images, half.images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_p_0_changes_nothing(dtype: torch.dtype):
    batch = drawn(5)
    if dtype == torch.uint8:
        batch = batch._replace(images=aw.Batch.of((batch.images * 255).to(dtype), batch.labels).images)
    mixed = aw.CoMixup(p=0.0)(batch, generator=seeded())
    assert torch.equal(mixed.images, batch.images)
    assert torch.equal(mixed.importance, batch.importance)
    assert torch.equal(mixed.evidence, batch.evidence)
    assert torch.equal(mixed.labels.dense(5), torch.eye(5))


@pytest.mark.parametrize(("n", "height", "width"), [(5, 9, 14), (1, 7, 7), (2, 1, 3), (21, 33, 20), (0, 8, 8)])
def test_any_batch_and_size_of_image_and_maps_of_zeros(n: int, height: int, width: int):
    batch = drawn(n, 1, height, width)
    batch = batch._replace(
        importance=aw.ImportanceMap(batch.importance.as_subclass(Tensor) * (torch.arange(n) < 3)[:, None, None])
    )
    mixed = aw.CoMixup()(batch, generator=seeded())
    assert mixed.images.isfinite().all()
    assert mixed.importance.isfinite().all()
    assert torch.allclose(mixed.labels.weights.sum(1), torch.ones(n))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alpha": 0}, "alpha=0"),
        ({"blocks": 0}, "blocks=0"),
        ({"part": 2.5}, "part=2.5"),
        ({"iterations": 0}, "iterations=0"),
        ({"beta": -1}, "beta=-1"),
        ({"diversity": float("nan")}, "diversity=nan"),
        ({"omega": 2}, "omega=2"),
        ({"labels": "mass"}, "labels"),
        ({"p": -0.1}, "p"),
    ],
)
def test_impossible_settings_are_refused(options: dict, match: str):
    with pytest.raises(aw.UserError, match=match):
        aw.CoMixup(**options)
