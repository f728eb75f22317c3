"""Mixers of K images: labels weigh what the picture shows, counted in marked pixels; boxes lie in one another; shares
follow the Dirichlet distribution; all of it against plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

import augwise as aw
from augwise import randomness
from augwise.mixing import dmixup, visual_saliency
from augwise.mixing.base import label_sets
from augwise.mixing.dmixup import blend
from augwise.mixing.saliency_dcutmix import around, peaks
from augwise.mixing.shares import partner_share
from augwise.mixing.stick_breaking import layers, stick_breaking_boxes, visible_areas
from augwise.mixing.visual_saliency import fine_grained, spectral_residual
from reference.joined import unusual
from reference.nested import nested_boxes, shown, two_images

HEIGHT, WIDTH = 9, 14
NESTED = [
    partial
    for k, alpha in ((1, 1.0), (2, 1.0), (3, 1 / 3), (4, (0.5, 2.0, 1.0, 3.0)), (5, 0.2))
    for partial in (
        (aw.DCutMix, {"k": k, "alpha": alpha}),
        (aw.DCutMix, {"k": k, "alpha": alpha, "per_batch": True, "p": 0.7}),
        (aw.SaliencyDCutMix, {"k": k, "alpha": alpha, "place": "uniform"}),
        (aw.SaliencyDCutMix, {"k": k, "alpha": alpha, "place": "nearest", "saliency": "fine", "p": 0.7}),
    )
]
BLENDED = [(aw.DMixup, {"k": 3, "alpha": (0.5, 1.0, 2.0)}), (aw.DMixup, {"k": 5, "per_batch": True, "p": 0.6})]
each = pytest.mark.parametrize(("method", "options"), NESTED, ids=str)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def marked(n: int, dtype: torch.dtype = torch.uint8) -> aw.Batch:
    """Every pixel of image i holds the value i, label i is i, and its map is drawn."""
    images = torch.arange(n, dtype=dtype)[:, None, None, None].expand(n, 3, HEIGHT, WIDTH).clone()
    maps = torch.rand(n, HEIGHT, WIDTH, generator=seeded(n)) * (torch.rand(n, HEIGHT, WIDTH, generator=seeded(1)) < 0.3)
    maps[2] = 0
    return aw.Batch.of(images, torch.arange(n), maps)


@each
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_weights_are_the_measured_shares_of_pixels(method, options, dtype):
    n = 30
    mixed = method(**options)(marked(n, dtype), generator=seeded())
    measured = torch.zeros(n, n)
    for i in range(n):
        for value in mixed.images[i, 0].flatten().tolist():
            measured[i, int(value)] += 1 / (HEIGHT * WIDTH)
    assert torch.allclose(mixed.labels.dense(n), measured, atol=1e-5)
    assert torch.equal(mixed.labels.classes[:, 0], torch.arange(n))
    assert mixed.labels.classes.shape[1] == options["k"]
    assert (measured.diagonal() < 1).any() == (options["k"] > 1)


@each
def test_picture_map_and_evidence_equal_the_loop(method, options):
    n = 12
    batch = marked(n)._replace(images=torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8))
    mixer = method(**options)
    params = mixer.make_params(batch, seeded())
    mixed = mixer.mix(batch, params)
    rows, boxes = params["rows"].tolist(), params["boxes"].tolist()
    corners = params.get("corners", params["boxes"][..., :2]).tolist()
    for i in range(n):
        which, brought = shown(boxes[i], HEIGHT, WIDTH), 0.0
        for y in range(HEIGHT):
            for x in range(WIDTH):
                k = int(which[y, x])
                dy, dx = (c - b for c, b in zip(corners[i][k - 1], boxes[i][k - 1][:2], strict=True)) if k else (0, 0)
                source = rows[i][k]
                assert torch.equal(mixed.images[i, :, y, x], batch.images[source, :, y + dy, x + dx])
                assert mixed.importance[i, y, x] == batch.importance[source, y + dy, x + dx]
                brought += float(batch.importance[source, y + dy, x + dx]) if k else 0
        assert mixed.evidence[i] == pytest.approx(float(batch.evidence[i]) + brought, rel=1e-5)


@each
def test_boxes_lie_in_one_another(method, options):
    batch = marked(60)
    boxes = method(**options).make_params(batch, seeded())["boxes"]
    parent = torch.tensor([0, 0, HEIGHT, WIDTH]).expand(60, 4)
    for k in range(boxes.shape[1]):
        box = boxes[:, k]
        drawn = (boxes != 0).flatten(1).any(1) if "p" in options else torch.ones(60, dtype=torch.bool)
        assert (box[:, :2] <= box[:, 2:]).all()
        assert (box[drawn, :2] >= parent[drawn, :2]).all()
        assert (box[:, 2:] <= parent[:, 2:]).all()
        parent = box


@pytest.mark.parametrize("k", [2, 3, 5])
def test_boxes_equal_the_pseudo_code(k):
    n, generator = 200, seeded(k)
    shares = randomness.dirichlet([0.4, 1.0, 2.0, 0.2, 1.0][:k], n, generator)
    u = randomness.uniform(n, k - 1, 2, generator=generator)
    found = stick_breaking_boxes(shares, HEIGHT, WIDTH, u)
    areas = visible_areas(found, HEIGHT, WIDTH)
    for i in range(n):
        expected = nested_boxes(shares[i].tolist(), HEIGHT, WIDTH, [tuple(pair) for pair in u[i].tolist()])
        assert [tuple(b) for b in found[i].tolist()] == expected
        which = shown(expected, HEIGHT, WIDTH)
        assert np.array_equal(layers(found, HEIGHT, WIDTH)[i].numpy(), which)
        counted = [(which == j).mean() for j in range(k)]
        assert areas[i].tolist() == pytest.approx(counted)
    assert (areas - shares).abs().mean() < 0.05  # rounding to pixels of so small a picture


def test_two_images_equal_the_pseudo_code():
    """All of it for K = 2: from the draws to picture and label, of which the paper's own text loses the second part."""
    n = 40
    mixer = aw.DCutMix(k=2, alpha=(0.6, 1.7))
    images = torch.randint(0, 256, (n, 1, HEIGHT, WIDTH), dtype=torch.uint8, generator=seeded(3))
    mixed = mixer(aw.Batch.of(images, torch.arange(n)), generator=seeded())
    generator = seeded()
    mixer.draw.mixed(n, generator)
    shares = mixer.draw.shares(n, generator).tolist()
    u = randomness.uniform(n, 1, 2, generator=generator)[:, 0].tolist()
    partner = randomness.permutation(n, generator=generator).tolist()
    for i in range(n):
        base, other = images[i, 0].tolist(), images[partner[i], 0].tolist()
        picture, weights = two_images(base, other, shares[i][0], u[i])
        assert mixed.images[i, 0].tolist() == picture
        assert mixed.labels.classes[i].tolist() == [i, partner[i]]
        assert mixed.labels.weights[i].tolist() == pytest.approx(weights, abs=1e-6)


def test_inner_boxes_reach_every_place_of_their_parent():
    n = 60_000
    shares = torch.tensor([[0.3, 0.4, 0.3]]).expand(n, 3)
    boxes = stick_breaking_boxes(shares, HEIGHT, WIDTH, randomness.uniform(n, 2, 2, generator=seeded()))
    (height, width), (h, w) = (boxes[0, :, 2:] - boxes[0, :, :2]).tolist()
    assert height > h > 1
    assert width > w > 1
    place = boxes[:, 1, :2] - boxes[:, 0, :2]
    counts = torch.bincount(place[:, 0] * (width - w + 1) + place[:, 1], minlength=(height - h + 1) * (width - w + 1))
    assert len(counts) == (height - h + 1) * (width - w + 1)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("per_batch", [False, True])
def test_what_a_mixer_blends_with_follows_the_dirichlet_distribution(per_batch):
    alpha = (0.5, 1.5, 3.0)
    mixer, generator = aw.DMixup(k=3, alpha=alpha, per_batch=per_batch), seeded()
    calls, n = (1200, 2) if per_batch else (1, 2400)
    batch = aw.Batch.of(torch.zeros(n, 1, 2, 2), torch.arange(n))
    drawn = torch.cat([mixer.make_params(batch, generator)["shares"][: 1 if per_batch else n] for _ in range(calls)])
    for k, a in enumerate(alpha):
        assert stats.kstest(drawn[:, k].numpy(), stats.beta(a, sum(alpha) - a).cdf).pvalue > 1e-3


def test_boxes_reach_every_place_alike():
    n = 60_000
    shares = torch.tensor([[0.6, 0.4]]).expand(n, 2)
    u = randomness.uniform(n, 1, 2, generator=seeded())
    boxes = stick_breaking_boxes(shares, HEIGHT, WIDTH, u)[:, 0]
    h, w = (boxes[0, 2:] - boxes[0, :2]).tolist()
    assert (h, w) == (round(HEIGHT * 0.4**0.5), round(WIDTH * 0.4**0.5))
    places = (HEIGHT - h + 1) * (WIDTH - w + 1)
    counts = torch.bincount(boxes[:, 0] * (WIDTH - w + 1) + boxes[:, 1], minlength=places)
    assert len(counts) == places
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize("alpha", [(0.2, 1.0, 3.0), (1 / 3, 1 / 3, 1 / 3), (0.5, 0.4)])
def test_shares_follow_the_dirichlet_distribution(alpha):
    drawn = randomness.dirichlet(alpha, 4_000, seeded())
    assert torch.allclose(drawn.sum(1), torch.ones(4_000, dtype=torch.float64))
    for k, a in enumerate(alpha):
        assert stats.kstest(drawn[:, k].numpy(), stats.beta(a, sum(alpha) - a).cdf).pvalue > 1e-3
    if len(alpha) == 3:  # and together: the ratio of two components says nothing of the third
        rest = (drawn[:, 0] / (drawn[:, 0] + drawn[:, 1]).clamp_min(1e-300)).numpy()
        assert abs(stats.spearmanr(rest, drawn[:, 2].numpy()).statistic) < 0.06


def test_tiny_alpha_gives_whole_pictures():
    drawn = randomness.dirichlet((1e-3, 1e-3, 2e-3), 4_000, seeded())
    assert torch.allclose(drawn.sum(1), torch.ones(4_000, dtype=torch.float64))
    assert (drawn.amax(1) > 0.99).float().mean() > 0.95
    whole = torch.bincount(drawn.argmax(1), minlength=3) / 4_000
    assert whole.tolist() == pytest.approx([0.25, 0.25, 0.5], abs=0.04)  # the mean of φ


def test_two_components_are_the_beta_distribution():
    assert torch.allclose(randomness.dirichlet((0.3, 0.3), 50, seeded())[:, 0], randomness.beta(0.3, 50, seeded()))


@pytest.mark.parametrize(("method", "options"), BLENDED, ids=str)
def test_blends_equal_the_loop(method, options):
    n = 9
    batch = marked(n)._replace(images=torch.rand(n, 3, HEIGHT, WIDTH, dtype=torch.float64))
    mixer = method(**options)
    params = mixer.make_params(batch, seeded())
    mixed = mixer.mix(batch, params)
    for i in range(n):
        rows, shares = params["rows"][i].tolist(), params["shares"][i].tolist()
        expected = sum(s * batch.images[r] for s, r in zip(shares, rows, strict=True))
        assert torch.allclose(mixed.images[i], expected)
        maps = sum(s * batch.importance[r].double() for s, r in zip(shares, rows, strict=True))
        assert torch.allclose(mixed.importance[i].double(), maps, atol=1e-6)
        dense = torch.zeros(n)
        for s, r in zip(shares, rows, strict=True):
            dense[r] += s
        assert torch.allclose(mixed.labels.dense(n)[i], dense, atol=1e-6)


@pytest.mark.parametrize("method", [aw.DMixup, aw.DCutMix, aw.SaliencyDCutMix])
@pytest.mark.parametrize("labels", ["importance", "half"])
@pytest.mark.parametrize("normalize", [False, True])
def test_weights_by_importance_are_measured_in_the_picture(method, labels, normalize):
    n, k = 20, 3
    batch = marked(n)
    mixer = method(k=k, labels=labels, normalize=normalize)
    params = mixer.make_params(batch, seeded())
    area = type(mixer)(k=k).mix(batch, params).labels.weights
    weights = mixer.mix(batch, params).labels.weights
    whole = batch.importance.double().sum((1, 2))
    for i in range(n):
        rows = params["rows"][i].tolist()
        if method is aw.DMixup:
            seen = [s * float(whole[r]) for s, r in zip(params["shares"][i].tolist(), rows, strict=True)]
        else:  # the map of one image at a time, all others blank
            seen = []
            for k_ in range(k):
                maps = torch.zeros(n * k, HEIGHT, WIDTH)
                maps[k_] = batch.importance[rows[k_]]
                alone = aw.Batch.of(torch.zeros(n * k, 1, HEIGHT, WIDTH), torch.arange(n * k), maps)
                one = {name: value[i : i + 1].expand(n * k, *value.shape[1:]) for name, value in params.items()}
                one["rows"] = torch.tensor([[0, 1, 2]]).expand(n * k, k).clone()
                picture = mixer_picture(alone, one)
                seen.append(float(picture.double().sum()))
        if normalize:
            seen = [s / max(float(whole[r]), 1e-300) for s, r in zip(seen, rows, strict=True)]
        judged = all(float(whole[r]) > 0 or float(area[i, j]) == 0 for j, r in enumerate(rows))
        expected = area[i].double() if not judged or sum(seen) == 0 else torch.tensor(seen).double() / sum(seen)
        if labels == "half":
            expected = (expected + area[i].double()) / 2
        assert torch.allclose(weights[i].double(), expected, atol=1e-5)


def mixer_picture(batch: aw.Batch, params: dict) -> Tensor:
    """The first mixed map of a batch."""
    return (
        aw.DCutMix(k=3).mix(batch, params).importance[0]
        if "corners" not in params
        else (aw.SaliencyDCutMix(k=3).mix(batch, params).importance[0])
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_the_share_of_a_partner_by_hand(normalize):
    generator = seeded()
    area, base, pasted = (torch.rand(40, dtype=torch.float64, generator=generator) for _ in range(3))
    base[:5], pasted[3:8] = 0, 0
    whole = (base * 2 + 0.1, pasted * 3)
    expected = []
    for one, still, brought, of, theirs in zip(*(t.tolist() for t in (area, base, pasted, *whole)), strict=True):
        parts = (still / of, brought / max(theirs, 1e-9)) if normalize else (still, brought)
        expected.append(parts[1] / sum(parts) if theirs > 0 and sum(parts) > 0 else one)
    expected = torch.tensor(expected, dtype=torch.float64)
    for labels, share in (("area", area), ("importance", expected), ("half", (area + expected) / 2)):
        torch.testing.assert_close(partner_share(labels, area, base, pasted, whole, normalize), share)


def test_one_draw_per_batch_is_one_box_for_all_and_other_partners():
    params = aw.DCutMix(k=3, per_batch=True).make_params(marked(30), seeded())
    assert len(params["boxes"].unique(dim=0)) == 1
    assert len(params["rows"][:, 1].unique()) == 30
    assert len(aw.DCutMix(k=3).make_params(marked(30), seeded())["boxes"].unique(dim=0)) > 20


@pytest.mark.parametrize(
    ("method", "drawn"),
    [
        (aw.DCutMix, ("boxes",)),
        (aw.DMixup, ("shares",)),
        (aw.FMix, ("mask",)),
        (aw.ResizeMix, ("boxes",)),
        (aw.PuzzleMix, ("share", "blocks")),
    ],
)
@pytest.mark.parametrize("per_batch", [True, False])
def test_processes_together_draw_what_one_would(method, drawn, per_batch):
    """All but partners, who are local; one draw for the batch is the same in every process."""
    whole = method(per_batch=per_batch).make_params(marked(6), seeded())
    with randomness.shard(3, 6):
        part = method(per_batch=per_batch).make_params(marked(3), seeded())
    for name in drawn:
        assert torch.equal(part[name], whole[name][3:])
        assert (len(whole[name].flatten(1 - (whole[name].ndim == 1)).unique(dim=0)) == 1) == per_batch


def test_every_further_image_has_a_permutation_of_its_own():
    rows = aw.DMixup(k=4).make_params(marked(60), seeded())["rows"]
    assert torch.equal(rows[:, 0], torch.arange(60))
    assert torch.equal(rows.sort(0).values, torch.arange(60)[:, None].expand(60, 4))
    for a, b in itertools.combinations(range(4), 2):
        assert (rows[:, a] == rows[:, b]).sum() < 10  # of chance 1


@pytest.mark.parametrize("n", [1, 2])
def test_a_small_batch_meets_itself(n):
    mixed = aw.DCutMix(k=5)(marked(3).images[:n], torch.arange(n))
    assert mixed[1].dense(3).sum(1).tolist() == pytest.approx([1.0] * n)


def test_a_window_stands_around_the_peak():
    maps = torch.zeros(3, HEIGHT, WIDTH)
    maps[0, 4, 7], maps[1, 0, 13], maps[2, 8, 1] = 1, 1, 1
    assert peaks(maps).tolist() == [[4, 7], [0, 13], [8, 1]]
    sizes = torch.tensor([[3, 5]]).expand(3, 2)
    assert around(peaks(maps), sizes, HEIGHT, WIDTH).tolist() == [[3, 5], [0, 9], [6, 0]]


def test_what_is_pasted_shows_its_peak():
    batch = marked(40)
    maps = torch.zeros(40, HEIGHT, WIDTH)
    place = torch.randint(0, HEIGHT * WIDTH, (40,), generator=seeded())
    maps.flatten(1)[torch.arange(40), place] = 1
    batch = aw.Batch.of(batch.images, batch.labels, maps)
    for where in ("nearest", "uniform"):
        params = aw.SaliencyDCutMix(k=2, place=where).make_params(batch, seeded())
        sizes = params["boxes"][:, 0, 2:] - params["boxes"][:, 0, :2]
        corner, peak = params["corners"][:, 0], peaks(maps)[params["rows"][:, 1]]
        inside = ((peak >= corner) & (peak < corner + sizes)).all(1)
        assert inside[sizes.prod(1) > 0].all()
        if where == "nearest":
            assert torch.equal(params["boxes"][:, 0, :2], corner)


def test_an_unknown_image_shows_any_window():
    maps = torch.zeros(2000, HEIGHT, WIDTH)
    batch = aw.Batch.of(torch.zeros(2000, 1, HEIGHT, WIDTH), torch.arange(2000), maps)
    corners = aw.SaliencyDCutMix(k=2).make_params(batch, seeded())["corners"][:, 0]
    assert len(corners.unique(dim=0)) > HEIGHT * WIDTH / 2


@pytest.mark.parametrize("saliency", [spectral_residual, fine_grained])
def test_saliency_finds_what_stands_out(saliency):
    images = torch.full((3, 3, 24, 40), 0.3) + 0.02 * torch.rand(3, 3, 24, 40, generator=seeded())
    images[0, :, 5:9, 30:34], images[1, :, 15:19, 4:8] = 1.0, 0.0
    images[2] = 0.5
    found = saliency(images)
    assert found.shape == (3, 24, 40)
    assert found[:2].amax((1, 2)).tolist() == pytest.approx([1.0, 1.0])
    (y0, x0), (y1, x1) = peaks(found)[:2].tolist()
    assert max(abs(y0 - 6.5), abs(x0 - 31.5), abs(y1 - 16.5), abs(x1 - 5.5)) <= 4
    assert not found[2].any()
    assert torch.allclose(saliency((images[:2] * 255).round().byte()), found[:2], atol=0.1)


@pytest.mark.parametrize("small", [64, 0])
def test_surroundings_are_means_without_the_pixel(small, monkeypatch):
    """By both ways of summing."""
    monkeypatch.setattr(visual_saliency, "_SMALL", small)
    images = torch.rand(1, 1, 5, 6, generator=seeded())
    grey, total = images[0, 0], torch.zeros(5, 6)
    for reach in sorted({max(1, round(s * 5 / 224)) for s in (12, 24, 28, 48, 56, 112)}):
        for y in range(5):
            for x in range(6):
                near = [
                    float(grey[v, u])
                    for v in range(max(0, y - reach), min(5, y + reach + 1))
                    for u in range(max(0, x - reach), min(6, x + reach + 1))
                    if (v, u) != (y, x)
                ]
                total[y, x] += abs(float(grey[y, x]) - sum(near) / len(near))
    assert torch.allclose(fine_grained(images)[0], total / total.max(), atol=1e-5)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 5, 6), (3, 7, 4)])
def test_what_is_unusual_in_a_spectrum_equals_the_sums(channels, height, width):
    images = torch.rand(2, channels, height, width, generator=seeded())
    found = spectral_residual(images).double()
    for i in range(2):
        assert torch.allclose(found[i], unusual(images[i].mean(0)), atol=1e-4)


def test_spectra_of_large_pictures_are_those_of_their_thumbnails():
    """64 pixels on the longer side."""
    images = torch.rand(2, 3, 70, 128, generator=seeded())
    small = F.interpolate(images, size=(35, 64), mode="bilinear", antialias=True)
    expected = F.interpolate(spectral_residual(small)[:, None], size=(70, 128), mode="bilinear")[:, 0]
    expected = expected / expected.amax((1, 2), keepdim=True)
    assert torch.allclose(spectral_residual(images), expected, atol=1e-4)


@pytest.mark.parametrize("saliency", [spectral_residual, fine_grained])
def test_saliency_of_many_pictures_is_that_of_each(saliency):
    images = torch.rand(60, 1, 20, 30, generator=seeded())
    assert images.numel() > visual_saliency._CACHED  # more than is looked at at once
    alone = torch.cat([saliency(image[None]) for image in images])
    assert torch.allclose(saliency(images), alone, atol=1e-5)


def test_label_sets_of_mixed_labels():
    labels = aw.MixedLabels(torch.tensor([[0, 1], [2, 3]]), torch.tensor([[0.5, 0.5], [0.2, 0.8]]), torch.zeros(2))
    rows = torch.tensor([[0, 1, 1], [1, 0, 1]])
    weights = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]])
    dense = label_sets(labels, rows, weights).dense(4)
    assert torch.allclose(dense, torch.tensor([[0.25, 0.25, 0.1, 0.4], [0.0, 0.0, 0.2, 0.8]]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_blends_of_many_images_equal_the_formula(dtype):
    images = torch.randint(0, 256, (40, 3, 70, 65), generator=seeded()).to(dtype)
    assert images.numel() > dmixup._WHOLE  # more than is blended at once
    rows = torch.stack([torch.randperm(40, generator=seeded(k)) for k in range(3)], 1)
    shares = randomness.dirichlet((1.0, 2.0, 0.5), 40, seeded())
    found = blend(images, rows, shares)
    for i in range(40):
        expected = sum(shares[i, k] * images[rows[i, k]].double() for k in range(3))
        assert (found[i] - expected).abs().max() <= (0.5 if dtype == torch.uint8 else 0) + 1e-3


def test_blend_is_exact_where_one_image_has_all():
    images = torch.rand(4, 3, 5, 6)
    rows = torch.tensor([[0, 1], [1, 2], [2, 3], [3, 0]])
    assert torch.equal(blend(images, rows, torch.tensor([[1.0, 0.0]]).expand(4, 2)), images)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"k": 0}, "k=0"),
        ({"k": 2.5}, "k=2.5"),
        ({"k": 3, "alpha": 0}, "alpha=0"),
        ({"k": 3, "alpha": (1.0, 2.0)}, "2 numbers for k=3"),
        ({"k": 2, "alpha": (1.0, -2.0)}, "above 0"),
        ({"k": 2, "alpha": float("nan")}, "alpha=nan"),
        ({"labels": "half of it"}, "labels="),
        ({"p": 1.5}, "1.5"),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", [aw.DMixup, aw.DCutMix, aw.SaliencyDCutMix])
def test_what_cannot_be_is_refused(method, options, named):
    with pytest.raises(aw.UserError, match=named):
        method(**options)


def test_unknown_saliency_and_place_are_refused():
    with pytest.raises(aw.UserError, match="saliency='eye'"):
        aw.SaliencyDCutMix(saliency="eye")
    with pytest.raises(aw.UserError, match="place='left'"):
        aw.SaliencyDCutMix(place="left")
    with pytest.raises(aw.UserError, match=r"no importance maps.*aw.LiveSaliency.*saliency='fine'"):
        aw.SaliencyDCutMix()(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "mixer",
    [
        *(method(labels="importance") for method in (aw.DMixup, aw.DCutMix, aw.FMix, aw.ResizeMix)),
        *(aw.CutMix(alpha=1.0, labels="importance"), aw.Mixup(alpha=1.0, labels="importance")),
        *(aw.SaliencyDCutMix(), aw.SaliencyMix(saliency="map"), aw.PuzzleMix(), aw.CoMixup()),
    ],
    ids=lambda mixer: type(mixer).__name__,
)
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_maps_that_say_nothing_are_refused(mixer, value):
    maps = torch.rand(4, 16, 16)
    maps[2, 3, 5] = value
    with pytest.raises(aw.UserError, match=f"holds the value {value}"):
        mixer(aw.Batch.of(torch.rand(4, 3, 16, 16), torch.arange(4), maps))
