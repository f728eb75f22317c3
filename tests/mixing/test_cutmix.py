"""CutMix: a label weighs what the picture shows, counted in marked pixels or summed over the mixed map."""

from __future__ import annotations

import pytest
import torch

import augwise as aw
from augwise.mixing.cutmix import cutmix
from reference.mixing import half_weight, importance_weight, paste, score, threshold, whole_map, windows

HEIGHT, WIDTH = 9, 14

EVERY = [
    {"alpha": 1.0},
    {"alpha": 0.3, "window": "inside"},
    {"alpha": 1.0, "quantile": 0.6},
    {"alpha": 1.0, "quantile": 0.5, "window": "inside", "partner": "other", "p": 0.7},
    {"alpha": 2.0, "quantile": 0.6, "reduce": "mean"},
    {"length": 5},
    {"length": 0.5, "partner": "other"},
    {"length": 5, "quantile": 0.6, "window": "inside"},
    {"length": 6, "quantile": 0.6, "partner": "other", "p": 0.5},
    {"length": 20, "quantile": 0.9},
]
each = pytest.mark.parametrize("options", EVERY, ids=str)


def marked(n: int, dtype: torch.dtype = torch.uint8, points: int = 30) -> aw.Batch:
    """Every pixel of image i holds the value i, and label i is i."""
    images = torch.arange(n, dtype=dtype)[:, None, None, None].expand(n, 3, HEIGHT, WIDTH).clone()
    maps = torch.stack([whole_map(HEIGHT, WIDTH, points) for _ in range(n)])
    return aw.Batch.of(images, torch.arange(n), maps)


def mixed_with_params(mixer: aw.CutMix, batch: aw.Batch, seed: int = 0):
    params = mixer.make_params(batch, torch.Generator().manual_seed(seed))
    return mixer.mix(batch, params), params


def boxes_of(params: dict) -> list[tuple[int, ...]]:
    return [tuple(b) for b in params["boxes"].tolist()]


def corners_of(params: dict) -> list[tuple[int, int]]:
    return [tuple(c) for c in params.get("source_corner", params["boxes"][:, :2]).tolist()]


@each
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_weight_is_the_measured_share_of_pixels(options, dtype):
    n = 40
    batch = marked(n, dtype)
    mixed, _ = mixed_with_params(aw.CutMix(**options), batch)
    measured = torch.zeros(n, n)
    for i in range(n):
        for value in mixed.images[i, 0].flatten().tolist():
            measured[i, int(value)] += 1 / (HEIGHT * WIDTH)
    assert torch.allclose(mixed.labels.dense(n), measured, atol=1e-5)
    assert torch.equal(mixed.labels.classes[:, 0], torch.arange(n))
    assert (measured.diagonal() < 1).any()


@each
def test_pixels_and_map_equal_the_loop(options):
    n = 12
    batch = marked(n)._replace(images=torch.randint(0, 256, (n, 3, HEIGHT, WIDTH), dtype=torch.uint8))
    mixed, params = mixed_with_params(aw.CutMix(**options), batch)
    partner = params["partner"].tolist()
    for i, (box, corner) in enumerate(zip(boxes_of(params), corners_of(params), strict=True)):
        j = partner[i]
        assert torch.equal(mixed.images[i], paste(batch.images[i], batch.images[j], box, corner))
        assert torch.equal(mixed.importance[i], paste(batch.importance[i], batch.importance[j], box, corner))
        if "other" not in str(options):
            assert corner == box[:2]


@each
@pytest.mark.parametrize("labels", ["importance", "half"])
def test_weight_by_importance_is_measured_from_the_mixed_map(options, labels):
    n = 30
    batch = marked(n)
    mixer = aw.CutMix(labels=labels, **options)
    assert mixer.guarded
    mixed, params = mixed_with_params(mixer, batch)
    for i, (box, corner) in enumerate(zip(boxes_of(params), corners_of(params), strict=True)):
        j = int(params["partner"][i])
        # Which pixel came from whom is read from the picture; a partner that is the image itself needs the box.
        theirs = mixed.images[i, 0] != i
        shown = mixed.importance[i]
        expected = float(shown[theirs].sum() / shown.sum())
        if labels == "half":
            expected = (expected + float(theirs.double().mean())) / 2
        reference = half_weight if labels == "half" else importance_weight
        by_hand = reference(batch.importance[i], batch.importance[j], box, corner)
        assert by_hand is not None
        if j != i:
            assert by_hand == pytest.approx(expected, abs=1e-6)
        assert float(mixed.labels.weights[i, 1]) == pytest.approx(by_hand, abs=1e-6)


def test_importance_label_of_one_case_by_hand():
    """Base: 6 outside the box, 2 inside. Partner: 1 inside, 100 outside. Weight of the partner: 1 / (8 - 2 + 1)."""
    maps = torch.zeros(2, 4, 6)
    maps[0, 0, 5], maps[0, 2, 1] = 6, 2
    maps[1, 3, 2], maps[1, 0, 0] = 1, 100
    batch = aw.Batch.of(torch.zeros(2, 1, 4, 6), torch.tensor([0, 1]), maps)
    params = {"partner": torch.tensor([1, 0]), "boxes": torch.tensor([[2, 1, 4, 3], [0, 0, 0, 0]])}
    raw = aw.CutMix(length=2, labels="importance").mix(batch, params)
    assert raw.labels.weights.tolist() == [pytest.approx([6 / 7, 1 / 7]), [1, 0]]
    whole = aw.CutMix(length=2, labels="importance", normalize=True).mix(batch, params)
    brought, kept = 1 / 101, 6 / 8
    assert float(whole.labels.weights[0, 1]) == pytest.approx(brought / (brought + kept))
    assert raw.importance[0].sum() == 7
    assert raw.evidence.tolist() == [9, 101]  # 8 of its own and 1 that came in: 2 of 9 are covered
    half = aw.CutMix(length=2, labels="half").mix(batch, params)
    assert half.labels.weights.tolist() == [pytest.approx([(20 / 24 + 6 / 7) / 2, (4 / 24 + 1 / 7) / 2]), [1, 0]]
    area = aw.CutMix(length=2).mix(batch, params)
    assert area.labels.weights.tolist() == [pytest.approx([20 / 24, 4 / 24]), [1, 0]]


def test_importance_label_falls_back_to_the_area():
    maps = torch.zeros(4, 4, 6)
    maps[0, 2, 1] = 5  # all of it below the box
    maps[1, 0, 0] = 3  # nothing of it in the box
    maps[3, 0, 0] = 3
    batch = aw.Batch.of(torch.zeros(4, 1, 4, 6), torch.arange(4), maps)
    box = [2, 1, 4, 3]
    params = {"partner": torch.tensor([1, 2, 3, 0]), "boxes": torch.tensor([box, box, box, [0, 0, 0, 0]])}
    for labels in ("importance", "half"):
        weights = aw.CutMix(length=2, labels=labels, normalize=labels == "half").mix(batch, params).labels.weights[:, 1]
        nothing_left, partner_without, base_without, unmixed = weights.tolist()
        assert nothing_left == partner_without == base_without == pytest.approx(4 / 24)
        assert unmixed == 0


def test_labels_need_no_guard_and_draw_nothing():
    """Plain CutMix labelled by importance pastes the boxes of plain CutMix."""
    batch = marked(12)
    area, by_area = mixed_with_params(aw.CutMix(alpha=1.0), batch)
    for labels in ("importance", "half"):
        mixed, params = mixed_with_params(aw.CutMix(alpha=1.0, labels=labels), batch)
        assert torch.equal(params["boxes"], by_area["boxes"])
        assert torch.equal(mixed.images, area.images)
        assert not torch.equal(mixed.labels.weights, area.labels.weights)


@pytest.mark.parametrize("options", [o for o in EVERY if "quantile" in o], ids=str)
def test_guard_covers_no_region_above_the_threshold(options):
    n = 30
    batch = marked(n)
    mixer = aw.CutMix(**options)
    params = mixer.make_params(batch, torch.Generator().manual_seed(0))
    reduce, window = options.get("reduce", "sum"), options.get("window", "clipped")
    checked = 0
    for values, box in zip(batch.importance, boxes_of(params), strict=True):
        if box == (0, 0, 0, 0):
            continue
        sizes = windows_that_give(box, window) if "alpha" in options else {(options["length"], options["length"])}
        scored = score(values, box, reduce)
        assert any(scored <= threshold(values, h, w, options["quantile"], window, reduce) for h, w in sizes)
        checked += 1
    assert checked > n / 4


def windows_that_give(box: tuple[int, ...], window: str) -> set[tuple[int, int]]:
    """Sizes round(H s), round(W s) of one s whose windows can be this box; clipping hides the size."""
    sizes = {(round(HEIGHT * s / 500), round(WIDTH * s / 500)) for s in range(501)}
    return {(h, w) for h, w in sizes if h and w and box in set(windows(HEIGHT, WIDTH, h, w, window))}


def test_inside_windows_of_alpha_have_the_drawn_size():
    """h / H = w / W = the root of the drawn share, up to rounding: transposed sides would show."""
    n = 3000
    batch = aw.Batch.of(torch.zeros(n, 1, 20, 60, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64))
    _, params = mixed_with_params(aw.CutMix(alpha=1.0, window="inside"), batch)
    sides = (params["boxes"][:, 2:] - params["boxes"][:, :2]).double()
    share = sides / torch.tensor([20, 60])
    assert ((share[:, 0] - share[:, 1]).abs() <= 0.5 / 20 + 0.5 / 60 + 1e-9).all()
    area = share.prod(1).sort().values  # 1 - λ is uniform for alpha = 1
    assert (area - torch.linspace(0, 1, n)).abs().max() < 0.05


def test_share_that_rounds_to_nothing_pastes_nothing():
    """2 rows: round(2 √(1 - λ)) is 0 for 1 - λ < 1/16, which is uniform for alpha = 1."""
    n = 4000
    batch = aw.Batch.of(torch.arange(n).float()[:, None, None, None].expand(n, 1, 2, 3), torch.arange(n))
    mixed, params = mixed_with_params(aw.CutMix(alpha=1.0), batch)
    whole = (mixed.images == batch.images).flatten(1).all(1) & (params["partner"] != torch.arange(n))
    assert abs(float(whole.double().mean()) - 1 / 16) < 5 * (1 / 16 * 15 / 16 / n) ** 0.5
    assert torch.equal(mixed.labels.weights[whole, 1], torch.zeros(int(whole.sum())))


def test_alpha_shapes_the_share():
    n = 4000
    batch = aw.Batch.of(torch.zeros(n, 1, 64, 96, dtype=torch.uint8), torch.zeros(n, dtype=torch.int64))
    for alpha in (0.3, 4.0):
        _, params = mixed_with_params(aw.CutMix(alpha=alpha, window="inside"), batch)
        area = (params["boxes"][:, 2:] - params["boxes"][:, :2]).prod(1) / (64 * 96)
        assert float(area.mean()) == pytest.approx(0.5, abs=0.03)
        assert float(area.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.12)


def test_evidence_on_the_right_is_never_covered():
    maps = torch.zeros(100, HEIGHT, WIDTH)
    maps[:, :, 9:] = 255.0
    batch = marked(100)._replace(importance=aw.ImportanceMap(maps), evidence=maps.sum((1, 2)))
    mixed, params = mixed_with_params(aw.CutMix(length=4, quantile=0.3, window="inside"), batch)
    own = torch.arange(100, dtype=torch.uint8)[:, None, None]
    assert (mixed.images[:, 0, :, 9:] == own).all()
    assert {b[1] for b in boxes_of(params)} == set(range(6))


def test_partners_are_a_permutation_and_p_is_per_image():
    n = 2000
    batch = marked(n, torch.float32)
    mixed, params = mixed_with_params(aw.CutMix(length=5, p=0.3), batch)
    assert torch.equal(params["partner"].sort().values, torch.arange(n))
    touched = (mixed.images != batch.images).flatten(1).any(1)
    assert abs(float(touched.double().mean()) - 0.3) < 5 * (0.21 / n) ** 0.5
    weights = mixed.labels.weights[~touched & (params["partner"] != torch.arange(n))]
    assert torch.equal(weights, torch.tensor([[1.0, 0.0]]).expand(len(weights), 2))


def test_other_region_covers_the_whole_partner():
    batch = aw.Batch.of(torch.zeros(3000, 1, 5, 7), torch.zeros(3000, dtype=torch.int64))
    _, params = mixed_with_params(aw.CutMix(length=3, window="inside", partner="other"), batch)
    corners = torch.tensor(corners_of(params))
    counts = torch.bincount(corners[:, 0] * 5 + corners[:, 1], minlength=15)
    assert len(counts) == 15  # 3 rows by 5 columns
    assert ((counts - 200).abs() < 5 * 200**0.5).all()
    assert not torch.equal(corners, params["boxes"][:, :2])


def test_evidence_counts_what_is_covered():
    batch = marked(30)
    mixed, params = mixed_with_params(aw.CutMix(length=6, quantile=0.6), batch)
    for i, box in enumerate(boxes_of(params)):
        covered = score(batch.importance[i], box)
        assert float(mixed.evidence[i] - mixed.importance[i].sum()) == pytest.approx(covered, abs=0.1)


def test_chained_mixers_blend_what_is_mixed_already():
    """Where in an already mixed picture its classes lie is not known: they count as spread evenly over it."""
    n = 20
    batch = marked(n)
    once, _ = mixed_with_params(aw.CutMix(alpha=1.0), batch, seed=1)
    twice, params = mixed_with_params(aw.CutMix(length=6, quantile=0.6, p=0.8), once, seed=2)
    weight = torch.tensor([(b - t) * (r - s) / (HEIGHT * WIDTH) for t, s, b, r in boxes_of(params)])[:, None]
    expected = (1 - weight) * once.labels.dense(n) + weight * once.labels.dense(n)[params["partner"]]
    assert torch.allclose(twice.labels.dense(n), expected, atol=1e-6)
    assert twice.labels.classes.shape == (n, 4)
    assert torch.equal(twice.labels.classes[:, 0], torch.arange(n))


def test_doubt_survives_mixing():
    batch = marked(4)
    doubtful = aw.MixedLabels(torch.arange(4)[:, None], torch.ones(4, 1), torch.tensor([0.0, 0.2, 0.0, 0.6]))
    mixed, params = mixed_with_params(aw.CutMix(length=6), batch._replace(labels=doubtful))
    weight = torch.tensor([(b - t) * (r - s) / (HEIGHT * WIDTH) for t, s, b, r in boxes_of(params)])[:, None]
    expected = (1 - weight) * doubtful.dense(4) + weight * doubtful.dense(4)[params["partner"]]
    assert torch.allclose(mixed.labels.dense(4), expected, atol=1e-6)


def test_pure_function_leaves_empty_boxes_alone():
    images = torch.rand(3, 2, 4, 5)
    boxes = torch.tensor([[0, 0, 0, 0], [1, 2, 3, 5], [0, 0, 4, 5]])
    result = cutmix(images, torch.tensor([1, 2, 0]), boxes)
    assert torch.equal(result[0], images[0])
    assert torch.equal(result[1], paste(images[1], images[2], (1, 2, 3, 5)))
    assert torch.equal(result[2], images[0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: aw.CutMix(), "exactly one"),
        (lambda: aw.CutMix(alpha=1.0, length=8), "exactly one"),
        (lambda: aw.CutMix(alpha=0.0), "alpha=0.0"),
        (lambda: aw.CutMix(length=0), "length=0"),
        (lambda: aw.CutMix(length=8, quantile=6), "quantile=6"),
        (lambda: aw.CutMix(length=8, labels="soft"), "labels='soft'"),
        (lambda: aw.CutMix(length=8, partner="any"), "partner='any'"),
        (lambda: aw.CutMix(length=8, p=2), "p=2"),
        (lambda: aw.CutMix(length=8)(aw.Sample(torch.zeros(1, 9, 9), None, 3)), "got a Sample.*after collation"),
        (lambda: aw.CutMix(length=8, labels="importance")(torch.zeros(2, 1, 9, 9), torch.arange(2)), "no importance"),
        (lambda: aw.CutMix(length=10, window="inside")(torch.zeros(2, 1, 9, 14), torch.arange(2)), "10×10"),
    ],
)
def test_bad_input(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


def test_its_description_tells_every_argument():
    """A resumed run is recognised by it."""
    plain = repr(aw.CutMix(length=4))
    changes = {
        "length": 5, "quantile": 0.5, "labels": "importance", "partner": "other", "window": "inside",
        "reduce": "mean", "p": 0.5, "normalize": True,
    }  # fmt: skip
    described = {repr(aw.CutMix(**{"length": 4, name: value})) for name, value in changes.items()}
    assert len(described | {plain, repr(aw.CutMix(alpha=1.0))}) == len(changes) + 2


def test_what_a_loader_of_pairs_gives_may_be_handed_over_as_it_is():
    images, labels = torch.rand(6, 3, 9, 8), torch.arange(6)
    mixer = aw.CutMix(length=4)
    torch.manual_seed(0)
    expected = mixer(images, labels)
    torch.manual_seed(0)
    found = mixer([images, labels])
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1].weights, expected[1].weights)
    with pytest.raises(aw.UserError, match="labels"):
        mixer([images])
