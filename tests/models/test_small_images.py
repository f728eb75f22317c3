"""The networks for small images: sizes that papers print, and blocks against slow second implementations."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from math import floor
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from augwise.adversarial import PerceptualDistance, stages
from augwise.importance.grad_cam import last_feature_map
from augwise.models import build, find_head
from augwise.models.build import OWN
from augwise.models.preact_resnet import PreActBlock
from augwise.models.pyramidnet import PyramidBlock, PyramidNet, ShakeDrop, widths
from augwise.models.shake_shake import ShakeShakeBlock
from augwise.models.small_images import SMALL
from augwise.models.small_resnet import SmallResNet, SmallResNeXt
from augwise.models.wide_resnet import FixMatchNet, WideResNet

CHEAP = ("resnet44", "preact_resnet18", "wrn28_2", "fixmatch_wrn37_2", "resnext29_4x24d", "shake26_2x32d")
FOUR_STAGES = ("resnet18", "resnet50", "resnet152", "preact", "dividemix", "wrn50", "wrn37", "resnext50", "resnext101")


@cache
def shell(make, *arguments):
    """The network without storage, and so without time."""
    with torch.device("meta"):
        return make(*arguments).eval()


def size(make, *arguments):
    return sum(p.numel() for p in shell(make, *arguments).parameters())


def millions(make, *arguments):
    return size(make, *arguments) / 1e6


# Sizes


@pytest.mark.parametrize(
    ("depth", "published"),  # He et al. 2016, Table 6
    [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)],
)
def test_residual_networks_for_cifar(depth, published):
    assert millions(SmallResNet, depth, 10) == pytest.approx(published, abs=0.051 if depth == 110 else 0.005)


@pytest.mark.parametrize(
    ("depth", "width", "published"),  # Zagoruyko and Komodakis 2016, Tables 4 and 5
    [(40, 1, 0.6), (40, 4, 8.9), (16, 8, 11.0), (28, 10, 36.5), (22, 8, 17.2)],
)
def test_wide_networks(depth, width, published):
    assert millions(WideResNet, depth, width, 10) == pytest.approx(published, abs=0.051)


def test_resnet9():
    """6.57 M (Page 2018): its convolutions, batch-norms and head counted one by one, and a slow second pass."""
    widths = [(3, 64), (64, 128), (128, 128), (128, 128), (128, 256), (256, 512), (512, 512), (512, 512)]
    counted = sum(9 * a * b + 2 * b for a, b in widths) + 512 * 10 + 10
    assert size(build, "resnet9", 10) == counted
    assert counted / 1e6 == pytest.approx(6.57, abs=0.005)
    model = build("resnet9", 4, seed=0).eval()
    images = torch.rand(2, 3, 16, 16)
    weights = [m for m in model.modules() if isinstance(m, nn.Conv2d)]

    def step(x, i):
        x = functional.conv2d(x, weights[i].weight, padding=1) / (1 + 1e-5) ** 0.5  # batch-norm as it begins
        return torch.where(x > 0, x, 0.075 * torch.expm1(x / 0.075))

    x = functional.max_pool2d(step(step(images, 0), 1), 2)
    x = functional.max_pool2d(step(x + step(step(x, 2), 3), 4), 2)
    x = functional.max_pool2d(step(x, 5), 2)
    x = (x + step(step(x, 6), 7)).flatten(2).max(2).values
    torch.testing.assert_close(model(images), model.head(x) / 8, rtol=1e-4, atol=1e-5)


def test_semi_supervised_wide_networks():
    """WRN-28-2: 1.5 M (Oliver et al. 2018, FixMatch). WRN-37-2, FixMatch's for STL-10: 5.9 M, by one more stage of 8
    convolutions and a 1×1; the name counts all 37, Zagoruyko's not the 1×1."""
    assert millions(build, "wrn28_2", 10) == pytest.approx(1.5, abs=0.05)
    assert size(FixMatchNet, 2, 3, 10) == size(build, "wrn28_2", 10)
    assert millions(build, "fixmatch_wrn37_2", 10) == pytest.approx(5.9, abs=0.05)
    names = [n for n, m in FixMatchNet(2, 4, 10).named_modules() if isinstance(m, nn.Conv2d)]
    assert len(names) == 37
    more = 128 * 256 * 9 + 7 * 256 * 256 * 9 + 128 * 256 + 2 * (128 + 7 * 256) + 2 * (256 - 128) + 10 * (256 - 128)
    assert size(FixMatchNet, 2, 4, 10) == size(FixMatchNet, 2, 3, 10) + more


@pytest.mark.parametrize(
    ("groups", "base", "published"),  # Xie et al. 2017, Table 7
    [(8, 64, 34.4), (16, 64, 68.1)],
)
def test_resnext_29(groups, base, published):
    assert millions(SmallResNeXt, 29, groups, base, 10) == pytest.approx(published, abs=0.1)


def test_resnext_29_4x24d_by_hand():
    """Co-Mixup's and Puzzle Mix's: 4 paths of 24, 48, 96 channels inside."""
    expected, inputs = 27 * 64 + 2 * 64, 64
    for inside, outputs in ((96, 256), (192, 512), (384, 1024)):
        for first in (True, False, False):
            expected += inputs * inside + 9 * inside * inside // 4 + inside * outputs + 4 * inside + 2 * outputs
            expected += (inputs * outputs + 2 * outputs) if first else 0
            inputs = outputs
    assert size(build, "resnext29_4x24d", 100) == expected + 1024 * 100 + 100


@pytest.mark.parametrize(("name", "published"), [("shake26_2x32d", 2.9), ("shake26_2x96d", 26.2)])
def test_shake_shake_sizes(name, published):
    """Gastaldi 2017: 26.2 M of 2x96d, 2.9 M of 2x32d; and by hand."""
    assert millions(build, name, 10) == pytest.approx(published, abs=0.05)
    first = int(name[-3:-1])
    total, inputs = 27 * 16 + 32, 16
    for width in (first, 2 * first, 4 * first):
        total += 2 * 9 * inputs * width + (8 * 2 - 2) * 9 * width * width  # two branches, four blocks of two
        total += 8 * 2 * 2 * width + inputs * width + 2 * width  # batch-norms; the skip's two halves and its norm
        inputs = width
    assert size(build, name, 10) == total + 10 * inputs + 10


def pyramid_by_hand(inside, classes):
    outside = [16, *(4 * w for w in inside)]
    total = 27 * 16 + 32 + 2 * outside[-1] + outside[-1] * classes + classes
    for inputs, w in zip(outside, inside, strict=False):
        total += 2 * inputs + inputs * w + 2 * w + 9 * w * w + 2 * w + w * 4 * w + 8 * w
    return total


@pytest.mark.parametrize(
    ("depth", "alpha", "published"),  # the authors' page, bottlenecks
    [(164, 48, 1.7), (164, 84, 3.8), (164, 270, 27.0), (200, 240, 26.6), (236, 220, 26.8), (272, 200, 26.0)],
)
def test_pyramids_of_the_paper(depth, alpha, published):
    """The published counts lie up to 1 % off whichever way one rounds, so exactly by hand as well."""
    blocks = 3 * ((depth - 2) // 9)
    nearest = [floor(16 + alpha * k / blocks + 0.5) for k in range(1, blocks + 1)]
    assert widths(alpha, blocks) == nearest
    found = size(PyramidNet, depth, alpha, 10)
    assert found / 1e6 == pytest.approx(published, rel=0.012)
    assert found == pyramid_by_hand(nearest, 10)


def test_pyramids_of_mixing_papers():
    """DCutMix, Table 1, after CutMix, at 100 classes; the last block is 16 + alpha wide, times 4."""
    assert millions(build, "pyramidnet200_a240", 100) == pytest.approx(26.8, abs=0.05)
    assert millions(build, "pyramidnet110_a64", 100) == pytest.approx(1.7, abs=0.05)
    for alpha, blocks in ((64, 36), (240, 66), (200, 90), (7, 3)):
        found = [16, *widths(alpha, blocks)]
        assert found[-1] == 16 + alpha
        steps = {b - a for a, b in pairwise(found)}
        assert steps <= {alpha // blocks, alpha // blocks + 1}  # equal up to rounding


@pytest.mark.parametrize(
    ("name", "published"),  # thousands at 1000 classes, as on torchvision's pages
    [
        ("resnet152", 60_193),
        ("wrn50_2", 68_883),
        ("resnext50_32x4d", 25_029),
        ("resnext101_32x8d", 88_791),
        ("densenet121", 7_979),
        ("densenet201", 20_014),
    ],
)
def test_networks_of_imagenet_lose_their_stem_alone(name, published):
    stem = 3 * 64 * (7 * 7 - 3 * 3)
    assert (size(build, name, 1000) + stem) / 1e3 == pytest.approx(published, abs=0.6)


def test_preact_resnets():
    """Beside ResNet-18: no batch-norm of the stem and of three shortcuts, and every stage's first one is of what the
    stage takes. DivideMix has the stem's."""
    less = 2 * 64 + 2 * (128 + 256 + 512) + 2 * (64 + 128 + 256 + 512)  # stem, shortcuts, norms of each stage's width …
    more = 2 * (64 + 64 + 128 + 256)  # … and of what it takes
    assert size(build, "preact_resnet18", 10) == size(build, "resnet18", 10) - less + more
    assert size(build, "dividemix_preact_resnet18", 10) == size(build, "preact_resnet18", 10) + 128


# Blocks


def normed(x, norm):
    """Batch-norm in training, written out."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
    return (x - mean) / (variance + norm.eps).sqrt() * norm.weight[:, None, None] + norm.bias[:, None, None]


def scattered(block, seed=0):
    """In float64, with batch-norms that are not 1 and 0, so that leaving one out shows."""
    torch.manual_seed(seed)
    for parameter in block.double().parameters():
        nn.init.normal_(parameter, 0.2, 0.4)
    return block.train()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("inputs", "outputs"), [(5, 5), (5, 8)])
@pytest.mark.parametrize("leaky", [False, True])
def test_preactivation_block(stride, inputs, outputs, leaky):
    """Zagoruyko's order, and FixMatch's: there the 1×1 convolution sees x itself."""
    act = nn.LeakyReLU(0.1, inplace=True) if leaky else None
    block = scattered(PreActBlock(inputs, outputs, stride, act, raw_skip=leaky))
    x = torch.randn(3, inputs, 7, 6, dtype=torch.float64)

    def bend(z):
        return torch.where(z > 0, z, 0.1 * z if leaky else 0 * z)

    seen = bend(normed(x, block.norm1))
    inner = functional.conv2d(seen, block.conv1.weight, stride=stride, padding=1)
    expected = functional.conv2d(bend(normed(inner, block.norm2)), block.conv2.weight, padding=1)
    if block.skip is None:
        assert (stride, inputs) == (1, outputs)
        expected = expected + x
    else:
        strided = (x if leaky else seen)[:, :, ::stride, ::stride]
        expected = expected + torch.einsum("nchw,kc->nkhw", strided, block.skip.weight[:, :, 0, 0])
    before = x.clone()
    torch.testing.assert_close(block(x), expected)
    assert torch.equal(x, before)  # activations in place write over nothing of the caller's


def test_which_skips_of_fixmatch_see_activated_features():
    """Official program: the first stage's alone; slope, momentum 1 − 0.999 and ε of TensorFlow everywhere."""
    model = FixMatchNet(2, 4, 10)
    blocks = [m for m in model.modules() if isinstance(m, PreActBlock)]
    assert [i for i, block in enumerate(blocks) if block.skip is not None] == [0, 4, 8, 12]
    assert [block.raw_skip for block in blocks if block.skip is not None] == [False, True, True, True]
    assert {m.negative_slope for m in model.modules() if isinstance(m, nn.LeakyReLU)} == {0.1}
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    assert {(m.momentum, m.eps) for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {(0.001, 0.001)}


def test_where_wide_networks_end():
    """The features behind the last stage go through batch-norm and ReLU before the mean."""
    model = scattered(WideResNet(10, 1, 4, 2))
    images = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    kept = []
    model.layer3.register_forward_hook(lambda _m, _i, out: kept.append(out))
    logits = model(images)
    norm, linear = model.head.activate[0], model.head.linear
    pooled = normed(kept[0], norm).clamp_min(0).mean((2, 3))
    torch.testing.assert_close(logits, pooled @ linear.weight.T + linear.bias)


@pytest.mark.parametrize(("stride", "keep"), [(1, None), (2, 0.6)])
def test_pyramid_block(stride, keep):
    """Four batch-norms, no ReLU behind the first or the last; the skip is averaged 2×2 and filled up with zeros."""
    block = scattered(PyramidBlock(6, 3, stride, keep))
    x = torch.randn(2, 6, 6, 4, dtype=torch.float64)
    norms = [m for m in block.residual if isinstance(m, nn.BatchNorm2d)]
    weights = [m.weight for m in block.residual if isinstance(m, nn.Conv2d)]
    inner = functional.conv2d(normed(x, norms[0]), weights[0])
    inner = functional.conv2d(normed(inner, norms[1]).clamp_min(0), weights[1], stride=stride, padding=1)
    inner = normed(functional.conv2d(normed(inner, norms[2]).clamp_min(0), weights[2]), norms[3])
    skip = x if stride == 1 else x.view(2, 6, 3, 2, 2, 2).mean((3, 5))
    filled = torch.cat([skip, torch.zeros(2, 6, *skip.shape[2:], dtype=x.dtype)], 1)
    torch.manual_seed(5)
    found = block(x)
    if keep is None:
        torch.testing.assert_close(found, inner + filled)
    else:  # one factor for each image
        factor = (found - filled) / inner
        torch.testing.assert_close(factor, factor[:, :1, :1, :1].expand_as(factor))


def test_resnet_shortcuts_have_no_weights():
    """Option A: behind a stage's first block stand every second pixel and zeros, where the residual is nothing."""
    model = SmallResNet(8, 4)
    block = model.layer2[0].eval()
    nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 16, 6, 6)
    with torch.no_grad():
        found = block(x)
    assert torch.equal(found[:, :16], x[:, :, ::2, ::2])
    assert found.shape[1] == 32
    assert not found[:, 16:].any()


# Shaking


def fixed(monkeypatch, module, *given):
    """Coefficients in the order in which they are drawn."""
    left = [torch.tensor(values)[:, None, None, None] for values in given]
    monkeypatch.setattr(module, "uniform", lambda _like, low=0.0: low + (1 - low) * left.pop(0))


ALPHA, BETA = (0.2, 0.9, 0.4), (0.7, 0.1, 0.35)


@pytest.mark.parametrize("stride", [1, 2])
def test_shake_shake_weighs_differently_on_the_way_back(monkeypatch, stride):
    """Values are those of an ordinary network with α, gradients those of an ordinary one with β."""
    import augwise.models.shake_shake as place

    block = scattered(ShakeShakeBlock(4, 4 if stride == 1 else 6, stride))
    x = torch.randn(3, 4, 6, 6, dtype=torch.float64, requires_grad=True)
    fixed(monkeypatch, place, ALPHA, BETA)
    found = block(x)
    probe = torch.randn_like(found)

    def ordinary(share):
        share = torch.tensor(share, dtype=torch.float32).double()[:, None, None, None]
        return block.skip(x) + share * block.a(x) + (1 - share) * block.b(x)

    torch.testing.assert_close(found, ordinary(ALPHA), rtol=1e-6, atol=1e-6)
    wanted = [x, *block.parameters()]
    gradients = torch.autograd.grad(found, wanted, probe)
    for mine, theirs in zip(gradients, torch.autograd.grad(ordinary(BETA), wanted, probe), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


def test_shake_shake_skip_sees_two_sets_of_pixels():
    """At stride 2 the second half looks one pixel up and to the left, at nothing beyond the border."""
    block = ShakeShakeBlock(2, 4, 2).eval()
    for half in (block.skip.here, block.skip.moved):
        nn.init.ones_(half.weight)
    x = torch.arange(1.0, 33).view(1, 2, 4, 4)
    with torch.no_grad():
        found = block.skip(x) * (1 + block.skip.norm.eps) ** 0.5
    both = x.sum(1)[0]
    torch.testing.assert_close(found[0, 0], both[::2, ::2])
    torch.testing.assert_close(found[0, 3], torch.tensor([[0, 0], [0, both[1, 1].item()]]))


def test_shake_shake_is_its_own_mean_in_evaluation():
    block = scattered(ShakeShakeBlock(4, 4, 1)).eval()
    x = torch.randn(1, 4, 3, 3, dtype=torch.float64)
    with torch.no_grad():
        expected = block.skip(x) + 0.5 * block.a(x) + 0.5 * block.b(x)
        torch.testing.assert_close(block(x), expected)
        for part in (block.a, block.b):
            part.eval()
        block.training = True  # shakes, with the statistics of evaluation
        many = block(x.expand(20_000, -1, -1, -1))
    spread = (block.a(x) - block.b(x)).abs().max().item() / 12**0.5
    assert (many.mean(0) - expected[0]).abs().max() < 5 * spread / 20_000**0.5
    assert many.std(0).max() == pytest.approx(spread, rel=0.03)  # of U(0, 1), each image its own


def test_shakedrop_law():
    """With probability keep an image passes as it is, else times U(−1, 1); gradients 1 or U(0, 1), by the same gate."""
    drop, n = ShakeDrop(0.7), 40_000
    x = torch.ones(n, 1, 1, 1, requires_grad=True)
    torch.manual_seed(3)
    found = drop(x)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    forth, back = found.detach().flatten(), gradient.flatten()
    passed = forth == 1
    assert torch.equal(passed, back == 1)  # one gate
    assert passed.float().mean() == pytest.approx(0.7, abs=0.01)
    alpha, beta = forth[~passed], back[~passed]
    assert (alpha.min(), alpha.max()) == (pytest.approx(-1, abs=0.01), pytest.approx(1, abs=0.01))
    assert (beta.min(), beta.max()) == (pytest.approx(0, abs=0.01), pytest.approx(1, abs=0.01))
    assert (alpha.mean(), beta.mean()) == (pytest.approx(0, abs=0.02), pytest.approx(0.5, abs=0.01))
    assert torch.corrcoef(torch.stack([alpha, beta]))[0, 1].abs() < 0.04  # drawn apart
    assert forth.mean() == pytest.approx(drop.eval()(torch.ones(1)).item(), abs=0.01)  # evaluation is the mean


def test_shakedrop_keeps_less_with_depth():
    """1 − l / 2L: the last of 90 blocks half the time, the first nearly always."""
    drops = [m.keep for m in shell(build, "pyramidnet272_a200", 10).modules() if isinstance(m, ShakeDrop)]
    assert not any(isinstance(m, ShakeDrop) for m in shell(build, "pyramidnet200_a240", 10).modules())
    assert drops == pytest.approx([1 - l / 180 for l in range(1, 91)])  # noqa: E741


@pytest.mark.parametrize("block", [ShakeShakeBlock(4, 4, 1), PyramidBlock(16, 4, 1, 0.5)])
def test_shaking_repeats_itself_and_takes_half_precision(block):
    def run(seed, autocast):
        torch.manual_seed(seed)
        x = torch.randn(4, 16 if isinstance(block, PyramidBlock) else 4, 4, 4, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            found = block(x)
        return found.detach(), torch.autograd.grad(found.sum(), x)[0]

    first, again, other = run(1, False), run(1, False), run(2, False)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    half, gradient = run(1, True)
    torch.testing.assert_close(half.float(), first[0], rtol=0.05, atol=0.1)
    assert gradient.isfinite().all()
    assert ShakeDrop(0.5)(half.bfloat16()).dtype == torch.bfloat16  # what follows stays in half precision


# All of them


@pytest.mark.parametrize("name", CHEAP)
def test_one_step_lowers_the_loss(name):
    model = build(name, 7, in_channels=1, seed=0).train()
    torch.manual_seed(0)
    images, labels = torch.randn(2, 1, 32, 32), torch.tensor([2, 6])
    losses = []
    for _ in range(2):
        torch.manual_seed(1)  # the same shaking
        loss = functional.cross_entropy(model(images), labels)
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        losses.append(loss.item())
        with torch.no_grad():
            for parameter, gradient in zip(model.parameters(), gradients, strict=True):
                assert gradient.isfinite().all()
                parameter -= 1e-3 * gradient
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", ["wrn28_2", "shake26_2x32d", "pyramidnet110_a64", "resnet44", "fixmatch_wrn37_2"])
def test_weights_begin_as_in_the_programs(name):
    """N(0, 2 / (k² · outputs)) of convolutions, no bias of the head; FixMatch's head is Glorot normal."""
    model = build(name, 10, seed=0)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    fans = [m.kernel_size[0] ** 2 * m.out_channels for m in convolutions]
    scaled = torch.cat([m.weight.detach().flatten() * (n / 2) ** 0.5 for m, n in zip(convolutions, fans, strict=True)])
    assert scaled.std() == pytest.approx(1, abs=0.01)
    assert (scaled.abs() < 1).float().mean() == pytest.approx(0.6827, abs=0.005)
    linear = model.get_submodule(find_head(model))
    assert not linear.bias.any()
    if name.startswith("fixmatch"):
        assert linear.weight.detach().std() == pytest.approx((2 / (256 + 10)) ** 0.5, rel=0.05)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_where_stages_end(name):
    """The sums of the stages (LP-A3's layers), not what the next block or the head does with them first."""
    model = shell(build, name, 10)
    found = stages(model, torch.rand(1, 3, 32, 32, device="meta"))
    if name == "small_cnn":
        assert found == ("features.2", "features.9", "features")
    elif name == "resnet9":  # its stages begin with the last convolution of the size before
        assert found == ("layer1.0", "layer2.0", "layer3.0", "layer3")
    elif name.startswith("densenet"):
        assert found == (*(f"features.denseblock{i}" for i in (1, 2, 3)), "features")
    else:
        assert found == tuple(f"layer{i}" for i in range(1, 5 if any(part in name for part in FOUR_STAGES) else 4))
    assert model.get_submodule(find_head(model)).out_features == 10


@pytest.mark.parametrize("name", ["resnet50", "resnet44", "wrn28_2", "shake26_2x32d", "densenet121"])
def test_compared_and_looked_at(name):
    """LP-A3's distance by its default layers, a ReLU in place behind none of them; Grad-CAM looks behind the last
    activation."""
    model, x, y = build(name, 10, seed=0).eval(), torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        distance = PerceptualDistance(model)
        assert 0.01 < distance(x, y) < 2 * len(distance.layers) ** 0.5
        assert distance(x, x) == pytest.approx(0, abs=1e-6)
        given = []
        with_hook = model.get_submodule(last_feature_map(model, x))
        with_hook.register_forward_hook(lambda _m, _i, out: given.append(out.clamp_min(0).mean((2, 3))))
        logits = model(x)
        torch.testing.assert_close(model.get_submodule(find_head(model))(given[0]), logits)


def test_the_page_names_all_with_their_sizes():
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    lines = [line for line in page.splitlines() if line.startswith("| `") and not line.startswith("| `darts")]
    rows = [line.split("|")[1:3] for line in lines]  # searched networks have a table of their own
    assert [name.strip().strip("`") for name, _ in rows] == list(OWN)
    for name, printed in rows:
        assert f"{millions(build, name.strip().strip('`'), 10):.2f}" == printed.strip()
