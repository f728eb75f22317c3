"""Mixup: a label weighs what the picture shows, read off pixels that tell whose they are; the guard decides where."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import augwise as aw
from augwise.mixing import mixup as blending
from augwise.mixing.mixup import LEVELS, evidence_density, guarded_weights, mixup
from reference.mixing import density, mixing_weights, whole_map

HEIGHT, WIDTH = 9, 14

EVERY = [
    {},
    {"alpha": 0.3, "p": 0.6},
    {"alpha": 8.0},
    {"quantile": 0.6},
    {"quantile": 0.9, "sharpness": 20.0, "length": 3, "p": 0.7},
    {"quantile": 0.3, "rescale": False, "length": 0.5},
]
each = pytest.mark.parametrize("options", EVERY, ids=str)


def some(n: int, points: int = 30, dense: bool = False) -> aw.Batch:
    maps = torch.stack([whole_map(HEIGHT, WIDTH, points) for _ in range(n)])
    maps = maps + 60 * torch.rand(n, HEIGHT, WIDTH) if dense else maps
    images = torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    return aw.Batch.of(images, torch.arange(n), maps)


def mixed_with_params(mixer: aw.Mixup, batch: aw.Batch, seed: int = 0):
    params = mixer.make_params(batch, torch.Generator().manual_seed(seed))
    return mixer.mix(batch, params), params


def shown(mixer: aw.Mixup, batch: aw.Batch, params: dict) -> Tensor:
    """(N, N, H, W) float64: how much of image j stands at each pixel of picture i, from one channel for each image."""
    n = len(batch.images)
    markers = torch.eye(n, dtype=torch.float64)[:, :, None, None].expand(n, n, HEIGHT, WIDTH).contiguous()
    return mixer.mix(batch._replace(images=markers), params).images.as_subclass(Tensor)


@each
def test_weight_is_the_measured_share_of_pixels(options):
    n, mixer = 12, aw.Mixup(**options)
    batch = some(n)
    mixed, params = mixed_with_params(mixer, batch)
    whose = shown(mixer, batch, params)
    measured = torch.zeros(n, n)
    for i in range(n):
        for j in range(n):
            for y in range(HEIGHT):
                for x in range(WIDTH):
                    measured[i, j] += float(whose[i, j, y, x]) / (HEIGHT * WIDTH)
    assert torch.allclose(mixed.labels.dense(n), measured, atol=1e-5)
    assert torch.equal(mixed.labels.classes[:, 0], torch.arange(n))
    assert (measured.diagonal() < 0.9).any()


@each
@pytest.mark.parametrize("labels", ["importance", "half"])
@pytest.mark.parametrize("normalize", [False, True])
def test_weight_by_importance_is_measured_from_the_picture(options, labels, normalize):
    n, mixer = 10, aw.Mixup(labels=labels, normalize=normalize, **options)
    batch = some(n)
    mixed, params = mixed_with_params(mixer, batch)
    whose, partner = shown(mixer, batch, params), params["partner"].tolist()
    for i, j in enumerate(partner):
        if i == j:
            continue
        brought = kept = area = 0.0
        for y in range(HEIGHT):
            for x in range(WIDTH):
                unit = (float(batch.importance[i].sum()), float(batch.importance[j].sum())) if normalize else (1, 1)
                kept += float(whose[i, i, y, x] * batch.importance[i, y, x]) / unit[0]
                brought += float(whose[i, j, y, x] * batch.importance[j, y, x]) / unit[1]
                area += float(whose[i, j, y, x]) / (HEIGHT * WIDTH)
        expected = brought / (brought + kept)
        expected = (expected + area) / 2 if labels == "half" else expected
        assert float(mixed.labels.weights[i, 1]) == pytest.approx(expected, abs=1e-6)


@each
def test_pixels_and_map_are_blended_by_the_same_weights(options):
    n, mixer = 8, aw.Mixup(**options)
    batch = some(n)
    mixed, params = mixed_with_params(mixer, batch)
    whose, partner = shown(mixer, batch, params), params["partner"].tolist()
    whole = batch.images.double()
    for i, j in enumerate(partner):
        ours = whose[i, i]
        expected = ours * whole[i] + (1 - ours) * whole[j]
        off = (mixed.images[i].double() - expected).abs()
        assert off.max() <= 0.5 + 1e-4  # rounded, not cut off
        importance = ours * batch.importance[i] + (1 - ours) * batch.importance[j]
        torch.testing.assert_close(mixed.importance[i].as_subclass(Tensor).double(), importance, rtol=1e-5, atol=1e-4)
        brought = ((1 - ours) * batch.importance[j]).sum() if i != j else 0 * ours.sum()
        if i != j:
            assert float(mixed.evidence[i]) == pytest.approx(float(batch.evidence[i] + brought), rel=1e-5)


@pytest.mark.parametrize("rescale", [True, False])
@pytest.mark.parametrize("dense", [True, False])
def test_weights_equal_the_formula_pixel_by_pixel(rescale, dense):
    quantile, length, sharpness, n = 0.7, 4, 5.0, 6
    batch = some(n, dense=dense)
    levels = evidence_density(batch.importance, quantile, length)
    # The library compares maps in 8 bits: of these the reference is given what the library sees.
    seen = aw.regions.quantize(batch.importance)
    mixer = aw.Mixup(quantile=quantile, length=length, sharpness=sharpness, rescale=rescale)
    params = mixer.make_params(batch, torch.Generator().manual_seed(3))
    whose, partner = shown(mixer, batch, params), params["partner"].tolist()
    slow = [density(m, quantile, length) for m in seen]
    for i, j in enumerate(partner):
        torch.testing.assert_close(levels[i] / LEVELS, torch.tensor(slow[i]), rtol=0, atol=0.5 / LEVELS + 1e-6)
        if i == j:
            continue
        rounded = [[[float(v) / LEVELS for v in row] for row in levels[k].tolist()] for k in (i, j)]
        exact = mixing_weights(*rounded, float(params["share"][i]), sharpness, rescale)
        torch.testing.assert_close(whose[i, i], torch.tensor(exact, dtype=torch.float64), rtol=0, atol=1e-6)
        near = mixing_weights(slow[i], slow[j], float(params["share"][i]), sharpness, rescale)
        torch.testing.assert_close(
            whose[i, i], torch.tensor(near, dtype=torch.float64), rtol=0, atol=sharpness / LEVELS / 2
        )


@pytest.mark.parametrize("sharpness", [0.3, 4.0, 20.0])
def test_the_guard_changes_where_and_not_how_much(sharpness):
    n = 300
    levels = [torch.randint(0, LEVELS + 1, (n, HEIGHT, WIDTH)) for _ in range(2)]
    for s in levels:
        s[::3] = torch.where(s[::3] > LEVELS * 0.9, LEVELS, 0)  # few places, all or nothing
    levels[0][1::9], levels[1][2::9] = 0, LEVELS
    share = torch.rand(n, dtype=torch.float64)
    share[:4] = torch.tensor([0.0, 1.0, 1e-7, 1 - 1e-7])
    found = guarded_weights(*levels, share, sharpness)
    torch.testing.assert_close(found.share, share, rtol=0, atol=1e-7)
    torch.testing.assert_close(found.pixels.mean((1, 2)), found.share, rtol=0, atol=1e-12)
    assert (found.pixels[0] == 0).all()
    assert (found.pixels[1] == 1).all()
    ahead = (levels[0] - levels[1]).flatten(1)
    for i in range(4, 40):  # who has more evidence at a place shows more there
        order = ahead[i].argsort()
        assert (found.pixels[i].flatten()[order].diff() >= -1e-12).all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16])
def test_no_sharpness_is_plain_mixup(dtype):
    batch = some(20)
    batch = batch._replace(images=batch.images if dtype == torch.uint8 else (batch.images / 255).to(dtype))
    plain, _ = mixed_with_params(aw.Mixup(alpha=0.4, p=0.8), batch)
    blunt, _ = mixed_with_params(aw.Mixup(alpha=0.4, p=0.8, quantile=0.6, sharpness=0), batch)
    sharp, _ = mixed_with_params(aw.Mixup(alpha=0.4, p=0.8, quantile=0.6), batch)
    assert plain.images.dtype == dtype
    assert torch.equal(plain.images, blunt.images)
    assert torch.equal(plain.importance, blunt.importance)
    torch.testing.assert_close(plain.labels.weights, blunt.labels.weights, rtol=0, atol=1e-7)
    assert not torch.equal(plain.images, sharp.images)


def test_the_guard_keeps_more_of_both_images_evidence():
    """Evidence of even images lies on the left, of odd ones on the right: a pair can keep nearly all of it."""
    n = 200
    maps = torch.zeros(n, HEIGHT, WIDTH)
    maps[::2, :, :5], maps[1::2, :, 9:] = 1, 1
    batch = some(n)._replace(importance=aw.ImportanceMap(maps), evidence=maps.sum((1, 2)))
    kept = {}
    for name, options in {"plain": {}, "guarded": {"quantile": 0.6, "sharpness": 8.0}}.items():
        mixer = aw.Mixup(**options)
        mixed, params = mixed_with_params(mixer, batch)
        apart = (params["partner"] - torch.arange(n)) % 2 == 1
        kept[name] = float((mixed.importance.sum((1, 2)) / batch.evidence)[apart].mean())
        alike = ~apart & (params["partner"] != torch.arange(n))
        # Where both have theirs in the same place there is nothing to choose.
        torch.testing.assert_close(mixed.importance.sum((1, 2))[alike], batch.evidence[alike])
    assert kept["plain"] == pytest.approx(1, abs=0.02)  # λ + 1 - λ of equal amounts
    assert kept["guarded"] > 1.35


def test_flat_maps_and_maps_of_nothing_guard_nothing():
    for value in (0.0, 3.0):
        maps = torch.full((6, HEIGHT, WIDTH), value)
        batch = some(6)._replace(importance=aw.ImportanceMap(maps), evidence=maps.sum((1, 2)))
        plain, _ = mixed_with_params(aw.Mixup(), batch)
        guarded, _ = mixed_with_params(aw.Mixup(quantile=0.6, labels="importance"), batch)
        assert torch.equal(plain.images, guarded.images)
        torch.testing.assert_close(plain.labels.weights, guarded.labels.weights)


def test_importance_label_falls_back_to_the_area():
    maps = torch.zeros(3, 4, 6)
    maps[0, 2, 1], maps[2, 3, 3] = 5, 2
    batch = aw.Batch.of(torch.zeros(3, 1, 4, 6), torch.arange(3), maps)
    params = {"partner": torch.tensor([1, 2, 0]), "share": torch.tensor([0.75, 0.5, 0.6], dtype=torch.float64)}
    for labels, known in (("importance", 2.0 / (2 * 0.6 + 2.0)), ("half", (0.4 + 2.0 / (2 * 0.6 + 2.0)) / 2)):
        weights = aw.Mixup(labels=labels).mix(batch, params).labels.weights[:, 1]
        assert weights.tolist() == pytest.approx([0.25, 0.5, known])  # 5 · 0.4 came in beside 2 · 0.6


def test_evidence_is_the_top_share_of_a_dense_map_and_every_point_of_a_sparse_one():
    values = torch.arange(HEIGHT * WIDTH).float().view(1, HEIGHT, WIDTH) + 1
    # Of 126 pixels ⌈0.75 · 126⌉ = 95 count as unimportant, the 95th itself as both.
    assert torch.equal(evidence_density(values, 0.75, 1) > 0, values >= 95)
    points = torch.zeros(1, HEIGHT, WIDTH)
    points[0, 2, 3], points[0, 7, 12] = 0.01, 9
    found = evidence_density(points, 0.6, 1)
    assert found.nonzero().tolist() == [[0, 2, 3], [0, 7, 12]]
    assert set(found.unique().tolist()) == {0, LEVELS}
    half = torch.zeros(1, HEIGHT, WIDTH)
    half[:, :, 4:] = 0.7  # a mask of most of the image: the threshold lies in it, and all of it counts
    assert torch.equal(evidence_density(half, 0.6, 1) > 0, half > 0)


def test_shares_are_beta_and_p_is_per_image():
    n = 6000
    batch = aw.Batch.of(torch.zeros(n, 1, 2, 2), torch.zeros(n, dtype=torch.int64))
    for alpha in (0.3, 1.0, 4.0):
        share = aw.Mixup(alpha=alpha).make_params(batch, None)["share"]
        assert float(share.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(share.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
    params = aw.Mixup(p=0.3).make_params(batch, None)
    assert float((params["share"] < 1).double().mean()) == pytest.approx(0.3, abs=5 * (0.21 / n) ** 0.5)
    assert torch.equal(params["partner"].sort().values, torch.arange(n))


@pytest.mark.parametrize("sliced", [False, True])
def test_every_picture_is_mixed_as_if_alone(sliced, monkeypatch):
    if sliced:  # two images at once
        monkeypatch.setattr(blending, "_WHOLE", 0)
        monkeypatch.setattr(blending, "_CACHED", 2 * HEIGHT * WIDTH)
    batch, mixer = some(7, dense=True), aw.Mixup(quantile=0.6, labels="half")
    mixed, params = mixed_with_params(mixer, batch)
    for i, j in enumerate(params["partner"].tolist()):
        pair = aw.Batch.of(batch.images[[i, j]], batch.labels[[i, j]], batch.importance[[i, j]])
        own = mixer.mix(pair, {"partner": torch.tensor([1, 0]), "share": params["share"][[i, i]]})
        assert torch.equal(own.images[0], mixed.images[i])
        assert torch.equal(own.importance[0], mixed.importance[i])
        assert torch.equal(own.labels.weights[0], mixed.labels.weights[i])


def test_chained_with_cutmix():
    n = 9
    batch = some(n)
    once = aw.CutMix(length=5, labels="half")(batch)
    twice, params = mixed_with_params(aw.Mixup(), once)
    share = params["share"].float()[:, None]
    expected = share * once.labels.dense(n) + (1 - share) * once.labels.dense(n)[params["partner"]]
    torch.testing.assert_close(twice.labels.dense(n), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_blending_is_exact_at_the_ends_and_in_any_layout(channels):
    images = torch.rand(4, channels, 5, 7).to(memory_format=torch.channels_last)
    partner = torch.tensor([2, 3, 1, 0])
    weights = torch.tensor([1.0, 0.0, 0.25, 0.5])
    before = images.clone()
    result = mixup(images, partner, weights)
    assert torch.equal(images, before)
    assert result.stride() == images.stride()
    assert torch.equal(result[0], images[0])
    assert torch.equal(result[1], images[3])
    torch.testing.assert_close(result[2], 0.25 * images[2] + 0.75 * images[1])
    large = torch.randint(0, 256, (8, 3, 150, 150), dtype=torch.uint8)
    assert large.numel() > blending._WHOLE  # more than is blended at once
    partner, weights = torch.tensor([1, 2, 7, 4, 0, 3, 5, 6]), torch.rand(8, 150, 150)
    together = mixup(large, partner, weights)
    for i in range(8):
        expected = weights[i] * large[i] + (1 - weights[i]) * large[partner[i]]
        assert (together[i] - expected).abs().max() <= 0.5 + 1e-3


@pytest.mark.parametrize(
    "step",
    [
        aw.Mixup(),
        aw.Mixup(quantile=0.6, labels="half", normalize=True),
        aw.CutMix(alpha=1.0, labels="half"),
        aw.SoftenLabels(),
        aw.RandomCrop(padding=2),
    ],
    ids=repr,
)
def test_no_value_is_read_back_from_a_device(step):
    """A meta tensor has no values, so that whoever waits for one fails."""
    result = step(some(5).to("meta"))
    assert result.images.shape == (5, 3, HEIGHT, WIDTH)
    assert result.images.device.type == result.importance.device.type == "meta"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 0}, "alpha=0"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"labels": "both"}, "labels='both' is unknown: use one of area, importance, half"),
        ({"sharpness": -1}, "sharpness=-1"),
        ({"sharpness": 21}, "sharpness=21"),
        ({"length": 0}, "length=0"),
        ({"length": 1.5}, "length=1.5"),
        ({"quantile": 1.2}, "quantile=1.2"),
        ({"p": 2}, "p=2"),
    ],
)
def test_wrong_arguments_are_refused(options, said):
    with pytest.raises(aw.UserError, match=said):
        aw.Mixup(**options)


def test_labels_by_importance_need_maps():
    batch = some(3)._replace(importance=None)
    for labels in ("importance", "half"):
        for mixer in (aw.Mixup(labels=labels), aw.CutMix(alpha=1.0, labels=labels)):
            with pytest.raises(aw.UserError, match="maps"):
                mixer(batch)


@pytest.mark.parametrize(
    "mixer", [aw.Mixup(p=aw.Ramp(1.0)), aw.CutMix(length=4, p=aw.Ramp(1.0))], ids=["mixup", "cutmix"]
)
def test_the_share_of_mixed_images_may_rise_with_training(mixer):
    images = torch.rand(400, 3, 8, 8)
    for share in (0.0, 0.25, 1.0):
        with aw.progress(share):
            mixed, _ = mixer(images, torch.zeros(400, dtype=torch.int64), generator=torch.Generator().manual_seed(1))
        assert float((mixed != images).flatten(1).any(1).float().mean()) == pytest.approx(share, abs=0.06)
