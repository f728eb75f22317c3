"""SaliencyMix, FMix and ResizeMix against plain loops: which pixels, whose importance, and how the draws lie."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

import augwise as aw
from augwise.mixing.fmix import largest, low_pass
from augwise.mixing.resize_mix import paste_nearest, paste_resized
from augwise.mixing.saliency_dcutmix import peaks
from augwise.mixing.saliency_mix import clipped_boxes
from augwise.mixing.visual_saliency import fine_grained, spectral_residual
from reference.joined import low_frequencies, shrunk
from reference.mixing import paste, score

HEIGHT, WIDTH = 9, 14
ALL = [aw.SaliencyMix, aw.FMix, aw.ResizeMix]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(n: int, channels: int = 3, blank: bool = True) -> aw.Batch:
    images = torch.randint(0, 256, (n, channels, HEIGHT, WIDTH), dtype=torch.uint8, generator=seeded(n))
    maps = torch.rand(n, HEIGHT, WIDTH, generator=seeded(n)) * (torch.rand(n, HEIGHT, WIDTH, generator=seeded(1)) < 0.3)
    if blank and n > 2:
        maps[2] = 0
    return aw.Batch.of(images, torch.arange(n), maps)


def run(mixer: aw.mixing.Mixer, batch: aw.Batch, seed: int = 0):
    params = mixer.make_params(batch, seeded(seed))
    return mixer.mix(batch, params), params


# Importance, for all three -------------------------------------------------------------------------------------------


def inside(params: dict, i: int) -> Tensor:
    """(H, W) bool: where picture i shows its partner."""
    if "mask" in params:
        return params["mask"][i]
    top, left, bottom, right = params["boxes"].view(-1, 4)[i].tolist()
    result = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    result[top:bottom, left:right] = True
    return result


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("normalize", [False, True])
def test_weights_by_importance_are_measured_in_the_mixed_map(method, normalize):
    n = 20
    batch = some(n)
    area, params = run(method(), batch)
    by, _ = run(method(labels="importance", normalize=normalize), batch)
    half, _ = run(method(labels="half", normalize=normalize), batch)
    whole = batch.importance.double().sum((1, 2))
    for i in range(n):
        j, theirs = int(params["rows"][i, 1]), inside(params, i)
        seen = by.importance[i].double()
        parts = [float(seen[~theirs].sum()), float(seen[theirs].sum())]
        if normalize:
            parts = [part / max(float(w), 1e-300) for part, w in zip(parts, whole[[i, j]], strict=True)]
        share = float(theirs.double().mean())
        judged = (whole[i] > 0 or share == 1) and (whole[j] > 0 or share == 0) and sum(parts) > 0
        expected = parts[1] / sum(parts) if judged else share
        assert float(area.labels.weights[i, 1]) == pytest.approx(share, abs=1e-6)
        assert float(by.labels.weights[i, 1]) == pytest.approx(expected, abs=1e-5)
        assert float(half.labels.weights[i, 1]) == pytest.approx((expected + share) / 2, abs=1e-5)
        assert float(by.evidence[i]) == pytest.approx(float(batch.evidence[i]) + float(seen[theirs].sum()), rel=1e-5)


@pytest.mark.parametrize("method", ALL)
def test_p_and_one_draw_per_batch(method):
    batch = some(200)
    mixed, _ = run(method(p=0.3), batch)
    touched = (mixed.images != batch.images).flatten(1).any(1)
    assert 0.18 < float(touched.float().mean()) < 0.4
    assert torch.equal(mixed.labels.weights[~touched, 0], torch.ones(int((~touched).sum())))
    _, once = run(method(per_batch=True), batch)
    _, each = run(method(), batch)
    if method is aw.SaliencyMix:  # clipped, so of one size where the peak lies well inside
        sides = [p["boxes"][:, 0, 2:] - p["boxes"][:, 0, :2] for p in (once, each)]
        assert len(sides[0].unique(dim=0)) < len(sides[1].unique(dim=0))
    else:
        kind = "mask" if method is aw.FMix else "boxes"
        assert len(once[kind].flatten(1).unique(dim=0)) == 1
        assert len(each[kind].flatten(1).unique(dim=0)) > 100
    assert len(once["rows"][:, 1].unique()) == 200


# SaliencyMix ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saliency", ["map", "fine", "spectral"])
def test_a_box_lies_around_the_peak_of_the_partner(saliency):
    n = 40
    batch = some(n, blank=False)
    found = {"map": lambda x: x.importance, "fine": lambda x: fine_grained(x.images)}
    maps = found.get(saliency, lambda x: spectral_residual(x.images))(batch)
    mixed, params = run(aw.SaliencyMix(saliency=saliency), batch)
    drawn = aw.SaliencyMix(saliency=saliency).draw
    generator = seeded()
    drawn.mixed(n, generator)
    share = drawn.shares(n, generator)[:, 1].sqrt()
    for i in range(n):
        j = int(params["rows"][i, 1])
        y, x = peaks(maps)[j].tolist()
        h, w = round(HEIGHT * float(share[i])), round(WIDTH * float(share[i]))
        box = (max(y - h // 2, 0), max(x - w // 2, 0), min(y - h // 2 + h, HEIGHT), min(x - w // 2 + w, WIDTH))
        assert tuple(params["boxes"][i, 0].tolist()) == box
        assert torch.equal(mixed.images[i], paste(batch.images[i], batch.images[j], box))
        assert torch.equal(mixed.importance[i], paste(batch.importance[i], batch.importance[j], box))
        if h and w:
            assert box[0] <= y < box[2]
            assert box[1] <= x < box[3]


def test_clipped_boxes_of_every_place():
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for h, w in ((0, 0), (1, 1), (4, 5), (HEIGHT, WIDTH)):
                (box,) = clipped_boxes(torch.tensor([[y, x]]), torch.tensor([[h, w]]), HEIGHT, WIDTH).tolist()
                rows = [r for r in range(y - h // 2, y - h // 2 + h) if 0 <= r < HEIGHT]
                columns = [c for c in range(x - w // 2, x - w // 2 + w) if 0 <= c < WIDTH]
                assert list(range(box[0], box[2])) == rows
                assert list(range(box[1], box[3])) == columns


def test_where_nothing_is_salient_any_place_may_be_shown():
    flat = aw.Batch.of(torch.full((3000, 1, HEIGHT, WIDTH), 0.5), torch.arange(3000))
    _, params = run(aw.SaliencyMix(alpha=0.05), flat)  # every other box is empty, and begins at its centre
    boxes = params["boxes"][:, 0]
    begin = boxes[(boxes[:, 2:] - boxes[:, :2]).prod(1) == 0, :2]
    assert {tuple(b) for b in begin.tolist()} == {(y, x) for y in range(HEIGHT) for x in range(WIDTH)}


# FMix ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 1.5, 3.0])
def test_a_field_equals_the_sums_of_the_transform(decay):
    noise = torch.randn(2, 5, 8, generator=seeded())
    field = low_pass(noise, decay).double()
    for i in range(2):
        expected = low_frequencies(noise[i], decay)
        assert torch.allclose(field[i], expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    if decay == 0:
        assert torch.allclose(field.float(), noise, atol=1e-5)


def test_just_so_many_pixels_are_the_largest():
    field = torch.randn(40, 5, 8, generator=seeded())
    counts = torch.arange(40) + (torch.arange(40) > 30)  # 0 ... 40, all but one
    mask = largest(field, counts)
    assert torch.equal(mask.sum((1, 2)), counts)
    for i in range(40):
        chosen = sorted(field[i].flatten().tolist(), reverse=True)[: int(counts[i])]
        assert sorted(field[i][mask[i]].tolist(), reverse=True) == chosen
    level = largest(torch.zeros(1, 2, 3), torch.tensor([1]))
    assert level.all()  # equal values cannot be told apart


def test_a_picture_is_the_partner_where_the_field_is_high():
    n = 30
    batch = some(n)
    mixed, params = run(aw.FMix(), batch)
    generator = seeded()
    draw = aw.FMix().draw
    draw.mixed(n, generator)
    shares = draw.shares(n, generator)[:, 1]
    noise = torch.randn(n, HEIGHT, WIDTH, generator=generator)
    for i in range(n):
        count = round(float(shares[i]) * HEIGHT * WIDTH)
        field = low_pass(noise, 3.0)[i].flatten().tolist()
        high = sorted(range(len(field)), key=lambda place: -field[place])[:count]
        j = int(params["rows"][i, 1])
        expected, maps = batch.images[i].clone(), batch.importance[i].clone()
        for place in high:
            y, x = divmod(place, WIDTH)
            expected[:, y, x] = batch.images[j, :, y, x]
            maps[y, x] = batch.importance[j, y, x]
        assert torch.equal(mixed.images[i], expected)
        assert torch.equal(mixed.importance[i], maps)
        assert float(mixed.labels.weights[i, 1]) == pytest.approx(count / (HEIGHT * WIDTH))


def test_shares_follow_alpha_and_blobs_the_decay():
    batch = aw.Batch.of(torch.zeros(2000, 1, HEIGHT, WIDTH), torch.zeros(2000, dtype=torch.long))
    for alpha in (0.4, 3.0):
        _, params = run(aw.FMix(alpha), batch)
        drawn = params["mask"].double().mean((1, 2)).numpy()
        drawn = drawn + (torch.rand(2000, generator=seeded(3)).double().numpy() - 0.5) / (HEIGHT * WIDTH)  # rounding
        assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    borders = []
    for decay in (0.0, 1.0, 3.0):
        mask = run(aw.FMix(decay=decay), batch)[1]["mask"]
        borders.append(float((mask[:, :, 1:] ^ mask[:, :, :-1]).double().mean()))
    assert borders[0] == pytest.approx(1 / 3, abs=0.02)  # single pixels: the mean of 2 λ (1 - λ)
    assert borders[0] > 1.3 * borders[1]
    assert borders[1] > 1.3 * borders[2]


def test_no_place_is_preferred():
    """Every pixel is the partner's as often: the field knows no border."""
    batch = aw.Batch.of(torch.zeros(4000, 1, HEIGHT, WIDTH), torch.zeros(4000, dtype=torch.long))
    share = run(aw.FMix(), batch)[1]["mask"].double().mean(0)
    assert (share - 0.5).abs().max() < 5 * (1 / 12 / 4000 + 0.25 / 4000) ** 0.5


# ResizeMix -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
def test_the_partner_stands_in_the_box_made_smaller(channels, dtype):
    n = 6
    batch = some(n, channels)
    if dtype == torch.float64:
        batch = batch._replace(images=batch.images.double() / 255)
    mixed, params = run(aw.ResizeMix(0.2, 1.0), batch)
    for i in range(n):
        j, (top, left, bottom, right) = int(params["rows"][i, 1]), params["boxes"][i].tolist()
        expected = batch.images[i].clone().double()
        small = shrunk(batch.images[j], bottom - top, right - left)
        expected[:, top:bottom, left:right] = small.round() if dtype == torch.uint8 else small
        apart = (mixed.images[i].double() - expected).abs()
        if dtype == torch.uint8:  # a half may be rounded either way
            assert apart.max() <= 1
            assert (apart > 0).double().mean() < 0.01
        else:
            assert apart.max() < 1e-9
        outside = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
        outside[top:bottom, left:right] = False
        assert torch.equal(mixed.images[i][:, outside], batch.images[i][:, outside])


def test_all_of_the_partners_importance_is_to_be_seen():
    n = 30
    batch = some(n)
    mixed, params = run(aw.ResizeMix(), batch)
    for i in range(n):
        j, box = int(params["rows"][i, 1]), tuple(params["boxes"][i].tolist())
        brought = score(mixed.importance[i], box)
        assert brought == pytest.approx(float(batch.importance[j].sum()), rel=1e-5)
        assert float(mixed.importance[i].sum()) == pytest.approx(
            float(batch.importance[i].sum()) - score(batch.importance[i], box) + brought, rel=1e-5, abs=1e-5
        )
    # Where it lies follows the image: one bright pixel, alone in its map, stays where its pixel is.
    maps = torch.zeros(2, HEIGHT, WIDTH)
    maps[1, 6, 3] = 5.0
    moved = paste_resized(maps, torch.tensor([1, 0]), torch.tensor([[1, 2, 5, 9], [0, 0, 0, 0]]), keep_sum=True)[0]
    y, x = peaks(moved[None])[0].tolist()
    assert (y, x) == (1 + int(6.5 * 4 / HEIGHT), 2 + int(3.5 * 7 / WIDTH))
    assert float(moved.sum()) == pytest.approx(5.0)


def test_masks_take_the_nearest_pixel():
    masks = torch.randint(0, 50, (2, HEIGHT, WIDTH), generator=seeded())
    joined = paste_nearest(masks, torch.tensor([1, 0]), torch.tensor([[2, 1, 6, 7], [0, 0, HEIGHT, WIDTH]]))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            expected = masks[0, y, x]
            if 2 <= y < 6 and 1 <= x < 7:
                expected = masks[1, int((y - 2 + 0.5) * HEIGHT / 4), int((x - 1 + 0.5) * WIDTH / 6)]
            assert joined[0, y, x] == expected
    assert torch.equal(joined[1], masks[0])  # of its own size: as it is


def test_boxes_reach_the_last_pixel_of_both_sides_alike():
    n = 60_000
    batch = aw.Batch.of(torch.zeros(n, 1, HEIGHT, WIDTH), torch.zeros(n, dtype=torch.long))
    _, params = run(aw.ResizeMix(0.5, 0.5), batch)
    h, w = round(HEIGHT * 0.5), round(WIDTH * 0.5)
    boxes = params["boxes"]
    assert torch.equal(boxes[:, 2:] - boxes[:, :2], torch.tensor([[h, w]]).expand(n, 2))
    places = (HEIGHT - h + 1) * (WIDTH - w + 1)
    counts = torch.bincount(boxes[:, 0] * (WIDTH - w + 1) + boxes[:, 1], minlength=places)
    assert len(counts) == places
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_sizes_are_uniform():
    batch = aw.Batch.of(torch.zeros(3000, 1, 300, 500, dtype=torch.uint8), torch.zeros(3000, dtype=torch.long))
    boxes = aw.ResizeMix().make_params(batch, seeded())["boxes"]
    sides = (boxes[:, 2:] - boxes[:, :2]).double() / torch.tensor([300, 500])
    assert (sides[:, 0] - sides[:, 1]).abs().max() < 1 / 300
    assert stats.kstest(sides[:, 1].numpy(), stats.uniform(0.1, 0.7).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.SaliencyMix(saliency="eye"), "saliency='eye'"),
        (lambda: aw.SaliencyMix(labels="soft"), "labels='soft'"),
        (lambda: aw.SaliencyMix(saliency="map")(torch.zeros(2, 1, 5, 6), torch.arange(2)), "no importance maps"),
        (lambda: aw.FMix(decay=-1), "decay=-1"),
        (lambda: aw.FMix(p=2), "p=2"),
        (lambda: aw.ResizeMix(0.0, 0.5), "smallest=0.0"),
        (lambda: aw.ResizeMix(0.6, 0.5), "largest=0.5"),
        (lambda: aw.ResizeMix(0.6, 1.5), "largest=1.5"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


@pytest.mark.parametrize("method", ALL)
def test_descriptions_tell_every_argument(method):
    """A resumed run is recognised by it."""
    changes = {"labels": "half", "p": 0.5, "per_batch": True, "normalize": True}
    own = {aw.SaliencyMix: {"alpha": 2.0, "saliency": "map"}, aw.FMix: {"alpha": 2.0, "decay": 1.0}}
    changes |= own.get(method, {"smallest": 0.2, "largest": 0.7})
    assert len({repr(method(**{k: v})) for k, v in changes.items()} | {repr(method())}) == len(changes) + 1
