"""StyleMix and StyleCutMix on a network small enough to follow by hand: AdaIN, pictures, labels by their formulas."""

from __future__ import annotations

import pickle

import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torchvision import tv_tensors

import augwise as aw
from augwise import models
from augwise.mixing import style_distances
from augwise.mixing.style import Stylist, adain
from augwise.models.style import mirrored_decoder, vgg_encoder
from reference.joined import restyled
from reference.mixing import paste

HEIGHT, WIDTH = 8, 12
METHODS = [aw.StyleMix, aw.StyleCutMix]
each = pytest.mark.parametrize("method", METHODS)


def network(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """A quarter of the size and six channels, and back."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
        decoder = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(6, 3, 3, padding=1), nn.Sigmoid())
    return encoder, decoder


def made(method, **options):
    return method(*network(), **{"size": None, **options})


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some(n: int, dtype: torch.dtype = torch.float32, channels: int = 3) -> aw.Batch:
    images = torch.rand(n, channels, HEIGHT, WIDTH, generator=seeded(n))
    images = (images * 255).round().to(dtype) if dtype == torch.uint8 else images.to(dtype)
    maps = torch.rand(n, HEIGHT, WIDTH, generator=seeded(1)) * (torch.rand(n, HEIGHT, WIDTH, generator=seeded(2)) < 0.4)
    return aw.Batch.of(images, torch.arange(n), maps, torch.arange(n) + 10)


def run(mixer, batch: aw.Batch, seed: int = 0):
    params = mixer.make_params(batch, seeded(seed))
    return mixer.mix(batch, params), params


def test_adain_equals_the_loop():
    content, style = torch.rand(3, 4, 5, 6, generator=seeded()), 3 * torch.rand(3, 4, 2, 7, generator=seeded(1)) - 1
    found = adain(content, style)
    for i in range(3):
        assert torch.allclose(found[i], restyled(content[i], style[i]), atol=1e-5)
    assert torch.allclose(found.mean((2, 3)), style.mean((2, 3)), atol=1e-5)
    assert torch.isfinite(adain(torch.ones(1, 2, 1, 1), style[:1, :2])).all()  # a deviation of 0


# StyleMix ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per_batch", [False, True])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_a_blend_of_content_and_style_equals_the_formula(per_batch, p):
    n = 7
    batch, (encoder, decoder) = some(n), network()
    mixer = made(aw.StyleMix, alpha=0.8, per_batch=per_batch, p=p, content=0.6)
    mixed, params = run(mixer, batch)
    features = encoder(batch.images.as_subclass(Tensor))
    for i in range(n):
        j = int(params["rows"][i, 1])
        if not params["mixed"][i]:
            assert torch.equal(mixed.images[i], batch.images[i])
            assert mixed.labels.weights[i].tolist() == [1, 0]
            continue
        rc, rs, t = (float(params[name][i]) for name in ("content", "style", "both"))
        assert max(0, rc + rs - 1) - 1e-9 <= t <= min(rc, rs) + 1e-9
        a, b = features[i], features[j]
        blended = t * a + (1 - rc - rs + t) * b + (rc - t) * restyled(a, b) + (rs - t) * restyled(b, a)
        assert torch.allclose(mixed.images[i].as_subclass(Tensor), decoder(blended[None])[0].clamp(0, 1), atol=1e-5)
        weight = 0.6 * (1 - rc) + 0.4 * (1 - rs)
        assert mixed.labels.weights[i].tolist() == pytest.approx([1 - weight, weight], abs=1e-6)
        maps = rc * batch.importance[i] + (1 - rc) * batch.importance[j]
        assert torch.allclose(mixed.importance[i].as_subclass(Tensor), maps.as_subclass(Tensor), atol=1e-6)
        brought = float(batch.evidence[i]) + (1 - rc) * float(batch.importance[j].sum())
        assert float(mixed.evidence[i]) == pytest.approx(brought, rel=1e-5)
    assert bool(params["mixed"].all()) == (p == 1)
    assert (len(params["content"].unique()) <= 2) == per_batch


def test_of_t_all_values_between_the_bounds_are_drawn():
    batch = aw.Batch.of(torch.zeros(4000, 3, 1, 1), torch.zeros(4000, dtype=torch.long))
    params = made(aw.StyleMix, alpha=2.0).make_params(batch, seeded())
    rc, rs, t = (params[name] for name in ("content", "style", "both"))
    least, most = (rc + rs - 1).clamp_min(0), torch.minimum(rc, rs)
    place = ((t - least) / (most - least)).sort().values
    assert (place - torch.linspace(0, 1, 4000)).abs().max() < 0.04
    assert (rc - rs).abs().mean() > 0.1  # two draws, not one
    assert float(rc.var()) == pytest.approx(1 / (4 * (2 * 2.0 + 1)), rel=0.1)


# StyleCutMix ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_a_cut_with_style_equals_the_formula(adaptive, p):
    n = 7
    batch, (encoder, decoder) = some(n), network()
    apart = torch.rand(n, n, generator=seeded(5)) * 4
    apart.fill_diagonal_(0)
    mixer = made(aw.StyleCutMix, p=p, content=0.6, delta=1.5, distances=apart if adaptive else None)
    mixed, params = run(mixer, batch)
    features = encoder(batch.images.as_subclass(Tensor))

    def drawn(f: Tensor) -> Tensor:
        return decoder(f[None])[0].clamp(0, 1)

    boxes_seen = 0
    for i in range(n):
        j, box = int(params["rows"][i, 1]), tuple(params["boxes"][i, 0].tolist())
        if not params["mixed"][i]:
            assert torch.equal(mixed.images[i], batch.images[i])
            assert mixed.labels.weights[i].tolist() == [1, 0]
            continue
        rs, gamma = float(params["style"][i]), float(params["gamma"][i])
        if adaptive:
            assert gamma == pytest.approx(float(torch.tanh((apart[i, j] + 2 * (i == j)) / 1.5)), abs=1e-6)
        a, b = (batch.images[k].as_subclass(Tensor) for k in (i, j))
        a_b = gamma * a + (1 - gamma) * drawn(restyled(features[i], features[j]))
        b_a = gamma * b + (1 - gamma) * drawn(restyled(features[j], features[i]))
        expected = paste(rs * a + (1 - rs) * a_b, (1 - rs) * b + rs * b_a, box)
        assert torch.allclose(mixed.images[i].as_subclass(Tensor), expected, atol=1e-5)
        area = (box[2] - box[0]) * (box[3] - box[1]) / (HEIGHT * WIDTH)
        by_style = gamma * (1 - area) + (1 - gamma) * rs
        weight = 0.6 * (1 - area) + 0.4 * by_style
        assert mixed.labels.weights[i].tolist() == pytest.approx([weight, 1 - weight], abs=1e-6)
        assert torch.equal(mixed.importance[i], paste(batch.importance[i], batch.importance[j], box))
        boxes_seen += 0 < area < 1
    assert boxes_seen > 2 or p < 1
    plain = aw.CutMix(alpha=1.0).mix(batch, {"partner": params["rows"][:, 1], "boxes": params["boxes"][:, 0]})
    assert torch.equal(mixed.evidence, plain.evidence)


def test_style_and_how_little_of_it_are_drawn_from_their_own_distributions():
    batch = aw.Batch.of(torch.zeros(3000, 3, 1, 1), torch.zeros(3000, dtype=torch.long))
    params = made(aw.StyleCutMix, alpha=2.0, alpha_style=0.3, p=0.5).make_params(batch, seeded())
    for name, alpha in (("style", 2.0), ("gamma", 0.3)):
        assert stats.kstest(params[name].numpy(), stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    assert abs(stats.spearmanr(params["style"].numpy(), params["gamma"].numpy()).statistic) < 0.06


def test_the_label_of_style_is_the_style_that_the_picture_has():
    """Counted per pixel: outside the box r_s + (1 - r_s) γ of a's style, inside r_s (1 - γ)."""
    n = 30
    _, params = run(made(aw.StyleCutMix), some(n))
    whole = made(aw.StyleCutMix, content=0.0)
    weights = whole.mix(some(n), params).labels.weights
    for i in range(n):
        top, left, bottom, right = params["boxes"][i, 0].tolist()
        rs, gamma, total = float(params["style"][i]), float(params["gamma"][i]), 0.0
        for y in range(HEIGHT):
            for x in range(WIDTH):
                total += rs * (1 - gamma) if top <= y < bottom and left <= x < right else rs + (1 - rs) * gamma
        assert float(weights[i, 0]) == pytest.approx(total / (HEIGHT * WIDTH), abs=1e-6)


def test_boxes_are_clipped_and_reach_all_of_the_picture():
    batch = aw.Batch.of(torch.zeros(6000, 3, HEIGHT, WIDTH), torch.zeros(6000, dtype=torch.long))
    boxes = made(aw.StyleCutMix).make_params(batch, seeded())["boxes"][:, 0]
    covered = torch.zeros(HEIGHT, WIDTH)
    for top, left, bottom, right in boxes.tolist():
        assert 0 <= top <= bottom <= HEIGHT
        assert 0 <= left <= right <= WIDTH
        covered[top:bottom, left:right] += 1
    turned = covered.flip(0, 1)
    assert (covered > 0).all()
    assert ((covered - turned).abs() / 6000 < 0.05).all()  # but for even sizes the border counts alike on all sides


def test_distances_of_styles_by_hand():
    mixer = made(aw.StyleCutMix)
    images, labels = some(9).images, torch.tensor([0, 1, 2, 0, 0, 1, 2, 2, 1])
    encoder, _ = network()
    vectors = [[], [], []]
    for image, label in zip(images, labels.tolist(), strict=True):
        features = encoder(image[None].as_subclass(Tensor))[0].detach().flatten(1)
        spread = (features.var(1, correction=0) + 1e-5).sqrt()
        vectors[label].append(torch.cat([features.mean(1), spread]))
    means = [torch.stack(v).mean(0) for v in vectors]
    found = style_distances(mixer, images, labels, 3)
    for a in range(3):
        for b in range(3):
            assert float(found[a, b]) == pytest.approx(float((means[a] - means[b]).square().mean()), abs=1e-6)
    assert aw.StyleCutMix(*network(), distances=found).distances is not None


# Both ----------------------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("n", [0, 1, 5])
def test_types_stay_and_the_input_too(method, dtype, n):
    batch = some(n, dtype)
    before = batch.images.clone()
    mixed = made(method)(batch, generator=seeded())
    assert type(mixed.images) is tv_tensors.Image
    assert type(mixed.importance) is aw.ImportanceMap
    assert mixed.images.dtype == dtype
    assert torch.equal(batch.images, before)
    assert torch.equal(mixed.indices, batch.indices)
    assert torch.equal(mixed.labels.classes[:, 0], batch.labels)
    assert torch.allclose(mixed.labels.weights.sum(1), torch.ones(n))
    wide = made(method)(
        batch._replace(images=batch.images.float() / (255 if dtype == torch.uint8 else 1)), None, seeded()
    )
    scale = 255 if dtype == torch.uint8 else 1
    apart = (mixed.images.as_subclass(Tensor).float() / scale - wide.images.as_subclass(Tensor)).abs()
    assert n == 0 or apart.max() < (0.6 / 255 if dtype == torch.uint8 else 0.005)


@each
def test_grey_images_are_seen_in_three_channels(method):
    grey, mixer = some(5, channels=1), made(method)
    coloured = grey._replace(images=tv_tensors.Image(grey.images.expand(-1, 3, -1, -1)))
    mixed, wide = mixer(grey, generator=seeded()), mixer(coloured, generator=seeded())
    assert mixed.images.shape == (5, 1, HEIGHT, WIDTH)
    assert torch.allclose(mixed.images, wide.images.mean(1, keepdim=True), atol=1e-6)


@each
def test_another_size_is_the_networks_own_affair(method):
    mixed = made(method, size=20)(some(5), generator=seeded())
    usual = made(method)(some(5), generator=seeded())
    assert mixed.images.shape == usual.images.shape
    assert not torch.allclose(mixed.images, usual.images, atol=1e-3)
    assert torch.equal(mixed.labels.weights, usual.labels.weights)
    stylist = Stylist(*network(), 20)
    assert stylist.encode(some(2).images.as_subclass(Tensor)).shape == (2, 6, 10, 15)


@each
def test_labels_by_importance_change_the_part_of_the_content(method):
    batch = some(12)
    area, params = run(made(method, content=1.0), batch)
    by = made(method, content=1.0, labels="importance").mix(batch, params)
    for i in range(12):
        j = int(params["rows"][i, 1])
        if method is aw.StyleMix:
            rc = float(params["content"][i])
            parts = rc * float(batch.importance[i].sum()), (1 - rc) * float(batch.importance[j].sum())
        else:
            box = params["boxes"][i, 0].tolist()
            alone = paste(torch.zeros(HEIGHT, WIDTH), batch.importance[j].as_subclass(Tensor), box)
            parts = float(by.importance[i].sum() - alone.sum()), float(alone.sum())
        assert float(by.labels.weights[i, 1]) == pytest.approx(parts[1] / sum(parts), abs=1e-4)
    assert not torch.allclose(area.labels.weights, by.labels.weights, atol=1e-2)
    assert made(method, labels="half").guarded


@each
def test_weights_are_of_the_user_and_stay_as_they_are(method):
    with pytest.raises(aw.UserError, match=r"encoder is missing.*style_network\('vgg_normalised.pth'"):
        method()
    with pytest.raises(aw.UserError, match="decoder is missing"):
        method(network()[0])
    with pytest.raises(aw.UserError, match=r"got a str as encoder.*style_network"):
        method("vgg.pth", "decoder.pth")
    mixer = made(method).train()
    assert not any(m.training for m in (mixer.stylist.encoder, mixer.stylist.decoder))
    assert not any(q.requires_grad for q in mixer.parameters())
    other = method(*network(1), size=None)
    assert len({repr(m) for m in (made(method), other, made(method, size=16), made(method, content=0.2))}) == 4
    again = pickle.loads(pickle.dumps(mixer))
    assert torch.equal(again(some(4), generator=seeded()).images, mixer(some(4), generator=seeded()).images)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: made(aw.StyleMix, content=1.5), "content=1.5"),
        (lambda: made(aw.StyleMix, alpha=0), "alpha=0"),
        (lambda: made(aw.StyleMix, size=0), "size=0"),
        (lambda: made(aw.StyleCutMix, alpha_style=-1), "alpha=-1"),
        (lambda: made(aw.StyleCutMix, delta=0), "delta=0"),
        (lambda: made(aw.StyleCutMix, distances=torch.zeros(2, 3)), r"\(2, 3\).*square"),
        (lambda: made(aw.StyleCutMix, distances=torch.full((2, 2), -1.0)), "from 0 on"),
        (lambda: made(aw.StyleCutMix, distances=torch.zeros(2, 2))(some(4)), "label is 3.*2 classes"),
        (
            lambda: made(aw.StyleCutMix, distances=torch.zeros(9, 9))(aw.CutMix(length=4)(some(4))),
            "one class per image",
        ),
        (lambda: style_distances(made(aw.StyleMix), some(4).images, torch.arange(4), 5), r"\[1, 1, 1, 1, 0\]"),
        (lambda: style_distances(nn.Identity(), some(4).images, torch.arange(4), 4), "Identity"),
        (lambda: made(aw.StyleMix)(some(2), masks=torch.zeros(2, HEIGHT, WIDTH, dtype=torch.uint8)), "one that cuts"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(aw.UserError, match=words):
        make()


def test_the_usual_network_comes_from_files_of_the_user(tmp_path):
    """Names as in the files in circulation; deeper layers of an encoder are passed over, anything else is refused."""
    from safetensors.torch import save_file

    torch.manual_seed(0)
    encoder, decoder = vgg_encoder(), mirrored_decoder()
    shapes = {k: tuple(v.shape) for k, v in encoder.state_dict().items() if k.endswith("weight")}
    assert list(shapes.items())[:3] == [
        ("0.weight", (3, 3, 1, 1)),
        ("2.weight", (64, 3, 3, 3)),
        ("5.weight", (64, 64, 3, 3)),
    ]
    assert shapes["29.weight"] == (512, 256, 3, 3)
    assert list(shapes) == [f"{i}.weight" for i in (0, 2, 5, 9, 12, 16, 19, 22, 25, 29)]
    back = {k: tuple(v.shape) for k, v in decoder.state_dict().items() if k.endswith("weight")}
    assert list(back) == [f"{i}.weight" for i in (1, 5, 8, 11, 14, 18, 21, 25, 28)]
    assert (back["1.weight"], back["28.weight"]) == ((256, 512, 3, 3), (3, 64, 3, 3))
    torch.save({**encoder.state_dict(), "32.weight": torch.zeros(1)}, tmp_path / "vgg.pth")
    save_file(decoder.state_dict(), tmp_path / "decoder.safetensors")
    loaded = models.style_network(tmp_path / "vgg.pth", tmp_path / "decoder.safetensors")
    image = torch.rand(1, 3, 20, 33)
    with torch.no_grad():
        features = loaded[0](image)
        assert torch.equal(features, encoder.eval()(image))
        assert features.shape == (1, 512, 3, 5)
        assert torch.equal(loaded[1](features), decoder(features))
    mixed = aw.StyleMix(*loaded, size=20)(some(2), generator=seeded())
    assert mixed.images.shape == (2, 3, HEIGHT, WIDTH)  # through three by four features and back
    with pytest.raises(aw.UserError, match=r"8×12.*larger size"):
        aw.StyleMix(*loaded, size=None)(some(2), generator=seeded())
    levels = aw.StyleMix(*loaded, size=None).stylist.styles(torch.rand(2, 3, 16, 16))
    assert levels.shape == (2, 2 * (64 + 128 + 256 + 512))
    for wrong, words in (
        ((tmp_path / "none.pth", tmp_path / "decoder.safetensors"), "none.pth is not there"),
        ((tmp_path / "decoder.safetensors", tmp_path / "decoder.safetensors"), "another network.*0.weight"),
        ((tmp_path / "vgg.pth", tmp_path / "vgg.pth"), "another network.*mirror image"),
    ):
        with pytest.raises(aw.UserError, match=words):
            models.style_network(*wrong)
