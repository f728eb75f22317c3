"""RISE, SmoothGrad, the graded attack, ink: their definitions written out, and models whose evidence is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise import randomness
from augwise.errors import UserError
from augwise.importance.graded import Graded, erasing_attack
from augwise.importance.grid import square_cells, stretch, tents
from augwise.importance.intensity import PixelIntensity, ink
from augwise.importance.rise import RISE, Masks, draw_masks, rise, upsampled
from augwise.importance.smoothgrad import SmoothGrad, smoothgrad
from reference import attribution as slow

HEIGHT, WIDTH = 9, 13
METHODS = [Graded(steps=4, cells=5), SmoothGrad(copies=3), RISE(masks=20, cells=3), PixelIntensity("border")]
SEEDS = [11, 12, 13, 14]


class Bent(nn.Module):
    """Every pixel counts, not linearly, and some against the class."""

    def __init__(self, channels: int = 3, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.weight = nn.Parameter(torch.randn(4, channels, HEIGHT, WIDTH, dtype=dtype) / 5, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", (2 * images).sin(), self.weight.to(images.dtype))


class Linear(nn.Module):
    """Class 0 by a weighted sum of the pixels, class 1 without an opinion."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images: Tensor) -> Tensor:
        score = (images * self.weight.to(images)).sum((1, 2, 3))
        return torch.stack([score, torch.zeros_like(score)], 1)


def pictures(n: int = 4, channels: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return torch.rand(n, channels, HEIGHT, WIDTH, dtype=dtype), torch.arange(n) % 4


def rank_correlation(a: Tensor, b: Tensor) -> float:
    ranks = torch.stack([v.flatten().argsort().argsort().double() for v in (a, b)])
    return float(torch.corrcoef(ranks)[0, 1])


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_contract(method, channels, dtype):
    """A map depends on its own image, label and seed; types and numbers of channels are all one."""
    model, (images, labels) = Bent(channels).eval(), pictures(channels=channels, dtype=dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    before = images.clone()
    torch.manual_seed(1)
    found = method.estimate(model, images, labels, SEEDS)
    torch.manual_seed(2)  # torch's own stream plays no part
    assert found.importance.dtype == torch.float32
    assert found.importance.shape == (4, HEIGHT, WIDTH)
    assert found.importance.isfinite().all()
    assert (found.importance >= 0).all()
    assert (found.importance.amax((1, 2)) > 0).all()
    assert not found.importance.requires_grad
    assert not found.failed.any()
    assert torch.equal(images, before)
    order = torch.tensor([2, 0, 3])
    again = method.estimate(model, images[order], labels[order], [SEEDS[i] for i in order]).importance
    tolerance = {torch.float64: 1e-7, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(again, found.importance[order], rtol=tolerance, atol=tolerance)
    assert method.estimate(model, images[:0], labels[:0], []).importance.shape == (0, HEIGHT, WIDTH)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_large_images_get_a_grid(method):
    assert method.map_size(64, 40) == (64, 40)
    assert method.map_size(30, 65) == (56, 56)
    gridded = type(method)(**{**vars(method), "grid": (3, 5)})
    model, (images, labels) = Bent().eval(), pictures()
    found = gridded.estimate(model, images, labels, SEEDS).importance
    assert found.shape == (4, 3, 5)
    whole = method.estimate(model, images, labels, SEEDS).importance
    if isinstance(method, SmoothGrad | PixelIntensity):  # others clamp after the mean, or begin from cells
        torch.testing.assert_close(found.mean((1, 2)), whole.mean((1, 2)))
    with pytest.raises(UserError, match="no cells"):
        type(method)(grid=(0, 4))


# RISE -------------------------------------------------------------------------------------------------------------


def test_masks_are_the_papers():
    """9 x 13 at 4 cells along the shorter side: 4 x 6 cells of 3 pixels, shifted by 0 to 2."""
    masks = draw_masks(50, HEIGHT, WIDTH, 4, 0.3, randomness.generator(1))
    assert masks.cells.shape == (50, 5, 7)
    assert set(masks.shift.flatten().tolist()) == {0, 1, 2}
    assert 0.2 < masks.cells.mean() < 0.4
    pictures = upsampled(masks)
    for cells, shift, got in zip(masks.cells, masks.shift.tolist(), pictures, strict=True):
        torch.testing.assert_close(got.double(), slow.rise_mask(cells, tuple(shift), HEIGHT, WIDTH))
    assert torch.equal(upsampled(masks.rows(slice(7, 9))), pictures[7:9])


def test_every_pixel_is_as_likely_to_be_seen():
    mean = upsampled(draw_masks(6000, HEIGHT, WIDTH, 4, 0.3, randomness.generator(2))).mean(0)
    assert (mean - 0.3).abs().max() < 0.03


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("score", ["probability", "log_probability"])
@pytest.mark.parametrize("fill", ["mean", 0.25])
def test_rise_equals_the_slow_loop(centred, score, fill):
    if score == "log_probability" and not centred:
        with pytest.raises(UserError, match="centred"):
            RISE(score=score, centred=False)
        return
    model, (images, labels) = Bent().eval(), pictures(2)
    method = RISE(
        masks=30, cells=3, probability=0.4, score=score, centred=centred, fill=fill, mask_seed=6, batch_size=7
    )
    got = method.estimate(model, images, labels, SEEDS[:2]).importance
    drawn = draw_masks(30, HEIGHT, WIDTH, 3, 0.4, randomness.generator(6, "rise"))
    masks = [slow.rise_mask(c, tuple(s), HEIGHT, WIDTH) for c, s in zip(drawn.cells, drawn.shift.tolist(), strict=True)]
    for image, label, found in zip(images, labels.tolist(), got, strict=True):

        def value(x, label=label):
            logs = model(x[None]).log_softmax(1)[0, label]
            return float(logs.exp() if score == "probability" else logs)

        hidden = image.mean((1, 2)) if fill == "mean" else torch.full((3,), fill, dtype=image.dtype)
        expected = slow.rise(value, image, masks, hidden, 0.4, centred)
        assert (expected < 0).any() == centred  # so that the clamp has work to do
        torch.testing.assert_close(found.double(), expected.clamp_min(0), rtol=1e-5, atol=1e-6)


def test_rise_finds_the_pixels_that_count():
    """A score that is linear in the masks: its slopes are the weights, exactly, once masks are as many as unknowns."""
    masks = Masks(torch.eye(12).view(12, 3, 4), torch.zeros(12, 2, dtype=torch.int64), (2, 3))
    weight = torch.tensor([[3.0, -1, 0], [2, 5, 1]], dtype=torch.float64)
    scores = (upsampled(masks, dtype=torch.float64) * weight).sum((1, 2))[None]
    assert upsampled(masks)[0].tolist() == [[1, 0, 0], [0, 0, 0]]  # cells of one pixel
    expected = weight - (weight.sum() - weight) / 11  # every other pixel is seen where this one is not
    torch.testing.assert_close(rise(scores, masks, 0.5)[0], expected)


def test_rise_ranks_a_linear_model():
    weight = torch.zeros(1, 1, 16, 24)
    weight[..., 2:6, 15:21] = 0.1
    weight[..., 9:14, 3:8] = 0.05
    method = RISE(masks=400, cells=6, fill=0.0, score="log_probability")
    found = method.estimate(Linear(weight).eval(), torch.ones(1, 1, 16, 24), torch.tensor([0]), [0]).importance[0]
    first, second = found[2:6, 15:21].mean(), found[9:14, 3:8].mean()
    rest = found[(weight[0, 0] == 0)].mean()
    assert first > 1.3 * second > 2 * rest
    assert divmod(int(found.argmax()), 24)[1] > 14


def test_rise_asks_in_batches_of_bounded_size_and_wastes_none():
    sizes = []

    class Counting(Bent):
        def forward(self, images: Tensor) -> Tensor:
            sizes.append(len(images))
            return super().forward(images)

    RISE(masks=20, cells=3, batch_size=11).estimate(Counting().eval(), *pictures(3), [0] * 3)
    assert max(sizes) <= 11
    assert sum(sizes) == 3 * 20
    assert RISE(masks=20).cost(32, 32) == "20 forward passes per image"


def test_a_pixel_that_no_mask_hides_teaches_nothing():
    masks = Masks(torch.ones(5, 3, 3), torch.zeros(5, 2, dtype=torch.int64), (4, 4))
    assert (rise(torch.rand(2, 5), masks, 0.5) == 0).all()


def test_rise_seed_decides_the_masks():
    model, (images, labels) = Bent().eval(), pictures()
    one, same, other = (
        RISE(masks=20, cells=3, mask_seed=s).estimate(model, images, labels, seeds).importance
        for s, seeds in ((1, [0] * 4), (1, SEEDS), (2, SEEDS))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


# SmoothGrad -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("of", ["logit", "log_probability"])
def test_smoothgrad_equals_the_slow_loop(signed, of):
    model, (images, labels) = Bent().eval(), pictures()
    images[1] = images[1] / 2 + 0.1  # a smaller range, less noise
    method = SmoothGrad(copies=4, noise=0.2, signed=signed, of=of)
    got = method.estimate(model, images, labels, SEEDS).importance
    for image, label, seed, found in zip(images, labels.tolist(), SEEDS, got, strict=True):

        def score(x, label=label):
            logits = model(x[None])[0]
            return (logits if of == "logit" else logits.log_softmax(0))[label]

        expected = slow.smoothgrad(score, image, randomness.generator(seed, "smoothgrad"), 4, 0.2, signed)
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-7)


def test_smoothgrad_of_a_linear_model_is_its_weight():
    weight = torch.randn(1, 3, 5, 7)
    args = Linear(weight).eval(), torch.rand(2, 3, 5, 7), torch.tensor([0, 0]), [1, 2]
    expected = weight.abs().amax(1).expand(2, -1, -1)
    for signed in (True, False):
        found = SmoothGrad(copies=3, of="logit", signed=signed).estimate(*args).importance
        torch.testing.assert_close(found, expected)
    ranked = SmoothGrad(copies=3).estimate(*args).importance  # of the log-probability: the same order
    assert rank_correlation(ranked[0], expected[0]) > 0.999


def test_without_noise_it_is_the_gradient():
    model, (images, labels) = Bent().eval(), pictures()
    plain = aw.GradientSaliency(reduce="mean").estimate(model, images, labels, SEEDS).importance
    found = SmoothGrad(copies=2, noise=0, reduce="mean").estimate(model, images, labels, SEEDS).importance
    torch.testing.assert_close(found, plain)


def test_noise_takes_out_what_flips_with_it():
    """Kinks within the noise's reach cancel with their signs and stay without."""

    class Ripples(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = (200 * x[:, 0, 0]).sin().sum(1) + x[:, 0, 1].sum(1)
            return torch.stack([score, torch.zeros_like(score)], 1)

    image = torch.linspace(0, 1, 60).view(1, 1, 2, 30)
    args = Ripples().eval(), image, torch.tensor([0]), [3]
    signed, unsigned = (
        SmoothGrad(copies=60, of="logit", signed=s).estimate(*args).importance[0] for s in (True, False)
    )
    assert signed[0].mean() < 0.3 * unsigned[0].mean()
    torch.testing.assert_close(signed[1], torch.ones(30))


def test_smoothgrad_wants_a_generator_per_image():
    with pytest.raises(UserError, match="1 generators for 4 images"):
        smoothgrad(Bent().eval(), *pictures(), [torch.Generator()])


# Graded attack ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["mean", 0.25])
def test_graded_equals_the_slow_loop(fill):
    model, (images, labels) = Bent().eval(), pictures()
    got = erasing_attack(model, images, labels, (4, 6), steps=5, nu=0.7, rate=0.9, momentum=0.8, fill=fill)
    for image, label, found in zip(images, labels.tolist(), got, strict=True):

        def score(x, label=label):
            return model(x[None])[0].log_softmax(0)[label]

        hidden = image.mean((1, 2)) if fill == "mean" else torch.full((3,), fill, dtype=image.dtype)
        expected = slow.erasing_attack(score, image, hidden, 4, 6, 5, 0.7, 0.9, 0.8)
        torch.testing.assert_close(found, expected)
    method = Graded(steps=5, cells=4, nu=0.7, rate=0.9, momentum=0.8, fill=fill)
    maps = method.estimate(model, images, labels, SEEDS).importance
    torch.testing.assert_close(maps, stretch(got.clamp_min(0), HEIGHT, WIDTH).float())


def test_graded_on_a_linear_model_is_what_erasing_takes_away():
    """∂ log p / ∂m(p) = -(1 - p) w (x - x̄): one factor per step, the same for all pixels."""
    weight, image = torch.randn(1, 1, 6, 6, dtype=torch.float64), torch.rand(1, 1, 6, 6, dtype=torch.float64)
    found = Graded(cells=6).estimate(Linear(weight).eval(), image, torch.tensor([0]), [0]).importance[0].double()
    expected = (weight * (image - image.mean()))[0, 0].clamp_min(0)
    torch.testing.assert_close(found / found.max(), expected / expected.max(), rtol=1e-5, atol=1e-7)


def test_graded_goes_where_the_class_is_lost_with_few_cells():
    """Two places, each enough by itself: the first gradient is nearly nothing, the attack's path finds both."""

    class Either(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            places = torch.stack([x[:, 0, :3, :3].mean((1, 2)), x[:, 0, -3:, -3:].mean((1, 2))], 1)
            score = 20 * (places.amax(1) - 0.5) + 0.01 * places.sum(1)
            return torch.stack([score, -score], 1)

    image = torch.zeros(1, 1, 9, 9)
    image[..., :3, :3], image[..., -3:, -3:] = 1.0, 0.98
    cost = erasing_attack(Either().eval(), image, torch.tensor([0]), (9, 9), steps=24, fill=0.0)[0]
    assert cost[:3, :3].min() > 0
    assert cost[-3:, -3:].min() > 0.2 * cost[:3, :3].max()
    first = erasing_attack(Either().eval(), image, torch.tensor([0]), (9, 9), steps=1, fill=0.0)[0]
    assert first[-3:, -3:].max() < 0.01 * first[:3, :3].max()


def test_cells_are_about_square_and_stretch_keeps_what_is_even():
    assert square_cells(16, 224, 224) == (16, 16)
    assert square_cells(7, 90, 160) == (7, 12)
    coarse = torch.rand(2, 3, 5, dtype=torch.float64)
    large = torch.nn.functional.interpolate(coarse[:, None], (7, 11), mode="bilinear")[:, 0]
    torch.testing.assert_close(stretch(coarse, 7, 11), large)
    torch.testing.assert_close(tents(11, 4).sum(1), torch.ones(11, dtype=torch.float64))
    torch.testing.assert_close(stretch(torch.ones(1, 4, 9), 8, 3), torch.ones(1, 8, 3))
    torch.testing.assert_close(stretch(coarse, 3, 5), coarse)


# Ink --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_ink_by_hand(channels):
    images, _ = pictures(2, channels)
    image = images[1]
    mean = [float(image[c].mean()) for c in range(channels)]
    ring = [(y, x) for y in range(HEIGHT) for x in range(WIDTH) if y in (0, HEIGHT - 1) or x in (0, WIDTH - 1)]
    border = [sorted(float(image[c, y, x]) for y, x in ring)[(len(ring) - 1) // 2] for c in range(channels)]
    for background, colour in (("mean", mean), ("border", border), (0.25, [0.25] * channels)):
        torch.testing.assert_close(ink(images, background)[1], slow.ink(image, colour))


def test_ink_on_paper():
    images = torch.full((1, 3, 8, 10), 0.9)
    images[0, :, 2:5, 4:10] = 0.1  # touches the border
    found = PixelIntensity("border").estimate(None, images, torch.tensor([0]), [0]).importance[0]
    torch.testing.assert_close(found[2:5, 4:], torch.full((3, 6), 0.8))
    found[2:5, 4:] = 0
    assert (found == 0).all()
    assert ink(torch.rand(1, 2, 1, 1), "border").item() == 0  # a picture that is all border
    assert not PixelIntensity.needs_model


# Wrong arguments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SmoothGrad(copies=0), "copies=0"),
        (lambda: SmoothGrad(noise=-0.1), "noise=-0.1"),
        (lambda: SmoothGrad(noise=float("nan")), "noise=nan"),
        (lambda: SmoothGrad(of="gradient"), "gradient"),
        (lambda: RISE(masks=1), "masks=1"),
        (lambda: RISE(cells=0), "cells=0"),
        (lambda: RISE(batch_size=0), "batch_size=0"),
        (lambda: RISE(probability=0.0), "probability=0.0"),
        (lambda: RISE(probability=1.0), "probability=1.0"),
        (lambda: RISE(score="logit"), "logit"),
        (lambda: RISE(fill=128), "fill=128"),
        (lambda: RISE(cells=40).check(32, 48), "cells=40"),
        (lambda: Graded(steps=0), "steps=0"),
        (lambda: Graded(cells=0), "cells=0"),
        (lambda: Graded(nu=-1), "nu=-1"),
        (lambda: Graded(rate=float("nan")), "rate=nan"),
        (lambda: Graded(momentum=1.0), "momentum=1.0"),
        (lambda: Graded(fill="blue"), "blue"),
        (lambda: Graded().check(9, 48), "cells=12"),
        (lambda: PixelIntensity("white"), "white"),
        (lambda: PixelIntensity(255), "255"),
        (lambda: RISE().estimate(None, *pictures(1), [0]), "needs a classifier"),
        (lambda: Graded().estimate(None, *pictures(1), [0]), "needs a classifier"),
        (lambda: SmoothGrad().estimate(None, *pictures(1), [0]), "needs a classifier"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()
