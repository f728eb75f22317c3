"""The perceptual distance against its formula, on every kind of layer, and what stands in its way."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

import augwise as aw
from augwise import models
from augwise.adversarial import stages
from augwise.adversarial.perceptual import distance


def slow(features: list[Tensor], others: list[Tensor]) -> list[float]:
    """Eq. 3, place by place; features (N, C, h, w)."""
    result = []
    for i in range(len(features[0])):
        total = 0.0
        for a, b in zip(features, others, strict=True):
            _, _, h, w = a.shape
            for r in range(h):
                for c in range(w):
                    u, v = a[i, :, r, c], b[i, :, r, c]
                    u = u / (u.norm() + 1e-10) / (h * w) ** 0.5
                    v = v / (v.norm() + 1e-10) / (h * w) ** 0.5
                    total += float((u - v).square().sum())
        result.append(total**0.5)
    return result


def outputs(model: nn.Sequential, images: Tensor, at: list[int]) -> list[Tensor]:
    found = []
    for i, module in enumerate(model):
        images = module(images)
        if i in at:
            found.append(images.clone())
    return found


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    ).eval()


def test_distance_is_the_formula():
    model = net().double()
    x, y = (torch.rand(4, 3, 6, 10, dtype=torch.float64) for _ in range(2))
    with torch.no_grad():
        for at in ([1], [1, 4], [3], [0, 1, 4]):
            if 3 in at:
                model[4] = nn.ReLU()
            see = aw.PerceptualDistance(model, [str(i) for i in at])
            expected = slow(outputs(model, x, at), outputs(model, y, at))
            torch.testing.assert_close(see(x, y), torch.tensor(expected, dtype=torch.float64))
            assert float(see(x, x).max()) <= 1e-10


def test_its_gradient_is_its_derivative():
    model = net().double()
    see = aw.PerceptualDistance(model, ["1", "4"])
    other = torch.rand(2, 3, 4, 4, dtype=torch.float64)
    x = torch.rand(2, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: see(z, other), (x,))
    (at_zero,) = torch.autograd.grad(see(x, x.detach()).sum(), x)
    assert bool(at_zero.isfinite().all())


@pytest.mark.parametrize("layers", [["1", "4"], ["6", "7"]])
def test_few_steps_give_the_same_distance_and_gradient(layers):
    model = net().double()
    model[0].bias.data[0] = 5.0  # so that no place is dead; those are looked at below
    x, other = torch.rand(3, 3, 6, 4, dtype=torch.float64, requires_grad=True), torch.rand(3, 3, 6, 4).double()
    see = aw.PerceptualDistance(model, layers)
    with torch.no_grad():
        there = see.look(other)
    slow = distance(see.look(x).features, there.features)
    away = see.away(x, there)
    torch.testing.assert_close(away.distance, slow, rtol=1e-7, atol=1e-9)
    assert torch.equal(away.logits, see.look(x).logits)
    weights = torch.tensor([1.0, -2.0, 0.5]).double()
    (expected,) = torch.autograd.grad((slow * weights).sum(), x)
    (got,) = torch.autograd.grad((away.distance * weights).sum(), x)
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-6)  # norms have 1e-10 added
    assert float(see.away(other, there).distance.detach().max()) < 1e-5


def test_places_where_nothing_is_seen():
    class Dark(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.see, self.head = nn.ReLU(), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.see(x).mean((2, 3)))

    model = Dark().double()
    see = aw.PerceptualDistance(model, ["see"])
    x, other = torch.randn(4, 3, 3, 2).double(), torch.randn(4, 3, 3, 2).double()
    x[0, :, 0, 0] = other[0, :, 0, 1] = x[1, :, 1, 1] = other[1, :, 1, 1] = -1
    x.requires_grad_()
    there = see.look(other)
    slow, away = distance(see.look(x).features, there.features), see.away(x, there).distance
    torch.testing.assert_close(away, slow, rtol=1e-7, atol=1e-9)
    for found in (slow, away):
        (gradient,) = torch.autograd.grad(found.sum(), x)
        assert bool(gradient.isfinite().all())
        assert not bool(gradient[0, :, 0, 0].any())


def test_tokens_and_features_without_places():
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Linear(3, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embed(x.flatten(2).transpose(1, 2)).mean(1))

    model = Tokens().eval()
    x, y = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5)
    tokens = [model.embed(z.flatten(2).transpose(1, 2)).transpose(1, 2)[..., None] for z in (x, y)]
    heads = [z.mean((2, 3)) @ model.head.weight.T + model.head.bias for z in tokens]
    with torch.no_grad():
        see = aw.PerceptualDistance(model, ["embed", "head"])
        got = see(x, y)
        torch.testing.assert_close(see.away(x, see.look(y)).distance, got, rtol=1e-5, atol=1e-5)
        expected = slow([tokens[0], heads[0][..., None, None]], [tokens[1], heads[1][..., None, None]])
    torch.testing.assert_close(got, torch.tensor(expected))


def test_a_traced_graph_gives_the_same_and_knows_more_names():
    model = models.Normalized(models.build("resnet18", 10, 3), [0.4] * 3, [0.2] * 3).eval()
    x, y = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        watched = aw.PerceptualDistance(model, ["layer1.0", "layer2"])
        followed = aw.PerceptualDistance(model, ["layer1.0.relu_1", "layer2"])  # a node: the second use of a module
        torch.testing.assert_close(followed(x, y), watched(x, y), rtol=0, atol=0)
    model.train()
    aw.PerceptualDistance(model, ["layer1.0.relu_1"])
    assert all(m.training for m in model.modules())


@pytest.mark.slow
def test_a_compiled_model():
    model = models.build("small_cnn", 10, 3).eval()
    x, y = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        compiled = aw.PerceptualDistance(torch.compile(model))(x, y)  # pyright: ignore[reportArgumentType]
        torch.testing.assert_close(compiled, aw.PerceptualDistance(model)(x, y), rtol=1e-4, atol=1e-5)


def test_where_stages_end():
    small, large = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 224, 224)
    four = ("layer1", "layer2", "layer3", "layer4")
    assert stages(models.build("small_cnn", 10, 3), small) == ("features.2", "features.9", "features")
    assert stages(models.build("resnet18", 10, 3), small) == four
    assert stages(models.build("resnet50", 10, 3), small) == four  # not the ReLU that layer2 begins with
    assert stages(torchvision.models.resnet18(), large) == ("relu", *four)
    vit = torchvision.models.VisionTransformer(224, 32, 8, 2, 16, 32)
    assert stages(vit, large) == tuple(f"encoder.layers.encoder_layer_{i}" for i in (1, 3, 5, 7))
    scaled = nn.Sequential(nn.BatchNorm2d(3), torchvision.models.resnet18())
    assert stages(scaled, large)[:2] == ("1.relu", "1.layer1")  # the scaled image is no stage
    dense = torchvision.models.DenseNet(4, (1, 1), 8)
    assert stages(dense, large)[:2] == ("features.relu0", "features.denseblock1")  # not its transition's


def test_stages_of_a_network_within_a_module():
    """What spans several sizes is no block that begins the next stage, so its own stages count."""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.rows = nn.ModuleList(nn.Conv2d(4 << i, 8 << i, 3, 1 + (i > 0), 1) for i in range(3))

        def forward(self, x):
            for row in self.rows:
                x = row(x)
            return x

    model = nn.Sequential(nn.Conv2d(3, 4, 1), Encoder(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))
    assert stages(model, torch.rand(1, 3, 32, 32)) == ("1.rows.0", "1.rows.1", "1")


def test_default_layers_of_timm():
    timm = pytest.importorskip("timm")
    large = torch.rand(1, 3, 224, 224)
    swin = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24, num_heads=(4, 4, 4, 4))
    assert stages(swin, large) == ("layers.0", "layers.1", "layers.2", "norm")  # no map of attention among them
    vit = timm.create_model("vit_tiny_patch16_224", depth=4, embed_dim=24)
    assert stages(vit, large) == ("blocks.0", "blocks.1", "blocks.2", "blocks.3")
    x, y = torch.rand(2, 3, 224, 224), torch.rand(2, 3, 224, 224)
    with torch.no_grad():
        assert bool((aw.PerceptualDistance(swin.eval())(x, y) > 0.01).all())


def test_what_cannot_be_compared():
    x = torch.rand(2, 3, 8, 8)
    with pytest.raises(aw.UserError, match=r"layer 'feature' is no part of the SmallCNN: near it are features"):
        aw.PerceptualDistance(models.build("small_cnn", 10, 3), ["feature"])
    with pytest.raises(aw.UserError, match="written over by the module behind it"):
        aw.PerceptualDistance(net(), ["3"]).look(x)
    idle = models.build("small_cnn", 10, 3)
    idle.extra = nn.Linear(2, 2)
    with pytest.raises(aw.UserError, match="'extra' did not run"):
        aw.PerceptualDistance(idle, ["extra"]).look(x)
    with pytest.raises(aw.UserError, match="gives no logits"):
        aw.PerceptualDistance(net()[:5], ["1"]).look(x)
    with pytest.raises(aw.UserError, match="has no feature maps to compare images by"):
        aw.PerceptualDistance(nn.Sequential(nn.Flatten(), nn.Linear(192, 3))).look(x)
    with pytest.raises(aw.UserError, match="pairs of the same shape"):
        aw.PerceptualDistance(net(), ["1"])(x, x[:1])
