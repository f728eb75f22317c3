"""Grad-CAM: by hand on one convolution, against a slow reference, and the right layer of networks of every make."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import augwise as aw
from augwise.errors import UserError
from augwise.importance.grad_cam import GradCAM, grad_cam, last_feature_map
from reference import attribution as slow

HEIGHT, WIDTH, CLASSES = 12, 20, 4


class Tail(nn.Module):
    """After a feature map: not linear, and every place counts by itself."""

    def __init__(self, channels: int = 5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(CLASSES, channels, HEIGHT // 2, WIDTH // 2), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", features.tanh(), self.weight.to(features))


def network(channels: int = 3, dtype: torch.dtype = torch.float64, inplace: bool = True) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers = nn.Sequential(
            nn.Conv2d(channels, 6, 3, padding=1),
            nn.ReLU(inplace=inplace),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 5, 1),
            Tail().eval(),
        )
    return layers.to(dtype).eval()


def pictures(n: int = 3, channels: int = 3, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    return torch.rand(n, channels, HEIGHT, WIDTH, dtype=dtype), torch.arange(n) % CLASSES


def test_one_convolution_by_hand():
    """A 1 x 1 convolution and a mean over places: a_k = w_k / places, so the map is ReLU(Σ w_k A_k) / places."""

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1, bias=False)
            self.conv.weight.data = torch.tensor([1.0, -2.0]).view(2, 1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            a, b = self.conv(x).mean((2, 3)).unbind(1)
            return torch.stack([3 * a + b, torch.zeros_like(a)], 1)

    image = torch.tensor([[0.2, -0.4, 1.0], [0.0, 0.6, 0.8]])[None, None]
    # 3 · x + 1 · (-2 x) = x at every place, divided by six places
    expected = image[:, 0].clamp_min(0) / 6
    torch.testing.assert_close(grad_cam(One().eval(), image, torch.tensor([0]), of="logit"), expected)
    found = GradCAM(of="logit").compute(One().eval(), image, torch.tensor([0]), [0])
    torch.testing.assert_close(found.importance, expected)
    assert not found.failed.any()
    p = F.softmax(torch.tensor([image.mean().item(), 0.0]), 0)[0]
    torch.testing.assert_close(grad_cam(One().eval(), image, torch.tensor([0])), (1 - p) * expected)  # of log p


@pytest.mark.parametrize("layer", ["0", "1", "2", "3"])
@pytest.mark.parametrize("of", ["logit", "log_probability"])
def test_equals_the_slow_loop(layer, of):
    """Also of a layer that an in-place ReLU writes over."""
    model, (images, labels) = network(), pictures()
    head, tail = model[: int(layer) + 1], network(inplace=False)[int(layer) + 1 :]
    if layer == "0":
        head = network(inplace=False)[:1]
    found = grad_cam(model, images, labels, layer, of)
    for image, label, got in zip(images, labels.tolist(), found, strict=True):

        def score(features, label=label):
            logits = tail(features[None])[0]
            return (logits if of == "logit" else logits.log_softmax(0))[label]

        with torch.no_grad():
            features = head(image[None])[0]
        torch.testing.assert_close(got, slow.grad_cam(score, features))
    assert (found > 0).any()


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_contract(channels, dtype):
    model, (images, labels) = network(channels, dtype), pictures(5, channels, dtype)
    images = images.contiguous(memory_format=torch.channels_last)
    before, weights = images.clone(), [p.clone() for p in model.parameters()]
    with torch.no_grad():
        found = GradCAM().estimate(model, images, labels, [0] * 5).importance
    assert found.dtype == torch.float32
    assert found.shape == (5, HEIGHT, WIDTH)
    assert found.isfinite().all()
    assert (found >= 0).all()
    assert not found.requires_grad
    assert torch.equal(images, before)
    assert all(p.grad is None and torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))
    assert not any(m._forward_hooks for m in model.modules())
    order = torch.tensor([3, 0])
    again = GradCAM().estimate(model, images[order], labels[order], [0, 0]).importance
    tolerance = {torch.float64: 1e-7, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    torch.testing.assert_close(again, found[order], rtol=tolerance, atol=tolerance)
    assert GradCAM().estimate(model, images[:0], labels[:0], []).importance.shape == (0, HEIGHT, WIDTH)


def test_maps_are_drawn_out_from_their_own_grid():
    model, (images, labels) = network(), pictures()
    coarse = grad_cam(model, images, labels)
    assert coarse.shape == (3, HEIGHT // 2, WIDTH // 2)
    large = F.interpolate(coarse[:, None], (HEIGHT, WIDTH), mode="bilinear")[:, 0]
    torch.testing.assert_close(GradCAM().estimate(model, images, labels, [0] * 3).importance, large.float())
    means = coarse.unflatten(1, (3, 2)).unflatten(3, (5, 2)).mean((2, 4))
    gridded = GradCAM(grid=(3, 5)).estimate(model, images, labels, [0] * 3).importance
    torch.testing.assert_close(gridded, means.float())
    assert GradCAM().map_size(224, 160) == (56, 56)


def test_a_layer_may_be_named_inside_wrappers(tmp_path):
    model, (images, labels) = network(), pictures()
    wrapped = aw.Normalized(model, [0.4] * 3, [0.3] * 3).eval()
    inner = grad_cam(model, (images - 0.4) / 0.3, labels, "2")
    for layer in ("2", "model.2"):
        torch.testing.assert_close(grad_cam(wrapped, images, labels, layer), inner, rtol=1e-5, atol=1e-7)
    assert last_feature_map(wrapped, images) == "model.3"
    method, data = GradCAM(layer="2"), list(zip(images.float(), labels.tolist(), strict=True))
    assert len(aw.estimate(wrapped.float(), data, tmp_path / "maps", method, precision="bf16", progress=False)) == 3


def test_the_last_feature_map_of_known_networks():
    """Of a residual network, of the small one, of ConvNeXt and of Swin, whose maps have their channels last."""
    import torchvision

    images = torch.rand(1, 3, 64, 96)
    resnet = torchvision.models.resnet18(weights=None, num_classes=4).eval()
    assert last_feature_map(resnet, images) == "layer4"
    assert grad_cam(resnet, images, torch.tensor([1])).shape == (1, 2, 3)
    small = aw.models.build("small_cnn", num_classes=4, seed=0).eval()
    assert last_feature_map(small, images) == "features"
    swin = torchvision.models.swin_t(weights=None, num_classes=4).eval()
    for layer in (None, "norm"):  # (N, h, w, C)
        assert grad_cam(swin, images, torch.tensor([1]), layer).shape == (1, 2, 3)


def test_networks_of_timm():
    timm = pytest.importorskip("timm")
    images = torch.rand(1, 3, 96, 64)
    made = timm.create_model("convnext_atto", num_classes=4).eval()
    assert grad_cam(made, images, torch.tensor([1])).shape == (1, 3, 2)
    vit = timm.create_model("vit_tiny_patch16_224", num_classes=4, img_size=32, depth=1).eval()
    with pytest.raises(UserError, match=r"no feature map.*rise, occlusion"):
        grad_cam(vit, torch.rand(1, 3, 32, 32), torch.tensor([1]))


def test_transformers_without_maps_are_refused():
    import torchvision

    vit = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=4).eval()
    args = vit, torch.rand(2, 3, 32, 32), torch.tensor([0, 1])
    with pytest.raises(UserError, match=r"no feature map.*name a layer"):
        grad_cam(*args)
    with pytest.raises(UserError, match=r"'encoder' gives \(2, 17, 16\)"):
        grad_cam(*args, layer="encoder")
    assert grad_cam(*args, layer="conv_proj").shape == (2, 4, 4)


def test_wrong_layers_are_refused():
    model, (images, labels) = network(), pictures()
    small = aw.models.build("small_cnn", num_classes=4, seed=0).eval()
    with pytest.raises(UserError, match=r"'feature' is no part of the SmallCNN: near it are features"):
        grad_cam(small, torch.rand(1, 3, 8, 8), torch.tensor([0]), "feature")
    with pytest.raises(UserError, match=r"'4' gives \(3, 4\)"):
        grad_cam(model, images, labels, "4")
    unused = network()
    unused.register_module("spare", nn.Conv2d(3, 3, 1))
    model.spare_parts = nn.ModuleList([nn.Conv2d(3, 3, 1)])
    model.forward = lambda x: nn.Sequential.forward(model[:5], x)
    with pytest.raises(UserError, match=r"'spare_parts\.0' is not used"):
        grad_cam(model, images, labels, "spare_parts.0")
    with pytest.raises(UserError, match="gradient"):
        GradCAM(of="gradient")  # pyright: ignore
    with pytest.raises(UserError, match="needs a classifier"):
        GradCAM().estimate(None, images, labels, [0] * 3)


@pytest.mark.parametrize("layer", ["0", "2", "3"])
def test_equals_captums(layer):
    captum = pytest.importorskip("captum.attr")
    model, (images, labels) = network(inplace=False), pictures()
    theirs = captum.LayerGradCam(model, model.get_submodule(layer)).attribute(
        images, labels.tolist(), relu_attributions=True
    )
    torch.testing.assert_close(grad_cam(model, images, labels, layer, "logit"), theirs[:, 0].detach())


def test_a_wrong_layer_leaves_no_store_behind(tmp_path):
    images, model = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8), aw.models.build("small_cnn", 2).eval()
    data = [(image, i % 2) for i, image in enumerate(images)]
    with pytest.raises(UserError, match="layer 'nowhere'"):
        aw.estimate(model, data, tmp_path / "maps", aw.GradCAM(layer="nowhere"), progress=False)
    assert not (tmp_path / "maps").exists()
    assert len(aw.estimate(model, data, tmp_path / "maps", aw.GradCAM(), progress=False)) == 3
