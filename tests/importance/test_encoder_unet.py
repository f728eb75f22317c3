"""U-Nets and free logits as encoders: SGD on a network per image, exactly; chosen by size; old stores go on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from augwise.errors import UserError
from augwise.importance import sparse
from augwise.importance.advmask import AdvMaskAttack
from augwise.importance.cdiea import CDIEA
from augwise.importance.encoder_free import FreeLogits
from augwise.importance.encoder_unet import WIDTH, SharedUNet, UNet, initial_unet
from augwise.importance.encoders import Encoder
from augwise.importance.job import arguments
from reference.attacked import pictures

SGD = {"lr": 0.03, "momentum": 0.8, "weight_decay": 0.02}
CPU = {"dtype": torch.float64, "device": torch.device("cpu")}


class Plain(nn.Module):
    """The same network of PyTorch's own layers, for a batch of images."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        w = WIDTH
        widths = {"fine": (channels, w), "half": (w, 2 * w), "quarter": (2 * w, 4 * w)}
        widths |= {"half_up": (6 * w, 2 * w), "fine_up": (3 * w, w)}
        # a key "half" would hide nn.Module.half
        self.convs = nn.ModuleDict({f"{k}_": nn.Conv2d(*v, 3, padding=1, bias=False) for k, v in widths.items()})
        self.norms = nn.ModuleDict({f"{k}_": nn.InstanceNorm2d(v[1], affine=True) for k, v in widths.items()})
        self.head = nn.Conv2d(w, 1, 1)
        self.double()
        first = initial_unet(channels, seed, **CPU)
        names = {"weight": self.convs, "scale": self.norms, "shift": self.norms}
        with torch.no_grad():
            for name, value in first.items():
                block, kind = name.split(".")
                layer = self.head if block == "head" else names[kind][f"{block}_"]
                getattr(layer, {"scale": "weight", "shift": "bias"}.get(kind, kind)).copy_(value)

    def forward(self, x: Tensor) -> Tensor:
        def block(name: str, x: Tensor) -> Tensor:
            return self.norms[f"{name}_"](self.convs[f"{name}_"](x)).relu()

        def up(x: Tensor, like: Tensor) -> Tensor:
            return nn.Upsample(like.shape[-2:])(x)

        pool = nn.MaxPool2d(2, ceil_mode=True)
        fine = block("fine", x)
        half = block("half", pool(fine))
        quarter = block("quarter", pool(half))
        half = block("half_up", torch.cat([half, up(quarter, half)], 1))
        return self.head(block("fine_up", torch.cat([fine, up(half, fine)], 1)))[:, 0]


def step(encoder: Encoder, delta: Tensor, pull: Tensor) -> tuple[Tensor, Tensor]:
    out = encoder.forward(delta)
    through = encoder.backward(torch.cos(out + pull) / 10)
    encoder.step()
    return out, through


@pytest.mark.parametrize("size", [(9, 14), (13, 7)])
def test_twenty_steps_equal_sgd_on_a_network_per_image(size):
    encoder = UNet(torch.Size((3, 2, *size)), seed=5, **SGD, **CPU)
    networks = [Plain(2, 5) for _ in range(3)]
    optimizers = [torch.optim.SGD(network.parameters(), **SGD) for network in networks]
    first = networks[0].head.weight.clone()
    for _ in range(20):
        delta, pull = torch.randn(3, 2, *size, dtype=torch.float64), torch.randn(3, *size, dtype=torch.float64)
        out, through = step(encoder, delta, pull)
        for i, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
            seen = delta[i : i + 1].clone().requires_grad_()
            expected = network(seen)
            torch.testing.assert_close(out[i : i + 1], expected.detach(), rtol=1e-10, atol=1e-11)
            optimizer.zero_grad()
            (torch.sin(expected + pull[i]) / 10).sum().backward()
            torch.testing.assert_close(through[i : i + 1], seen.grad, rtol=1e-9, atol=1e-10)
            optimizer.step()
    assert (networks[0].head.weight - first).abs().max() > 0.1, "hardly moved, so nothing was tested"


def test_shared_network_is_one_for_all_on_the_mean():
    encoder, network = SharedUNet(torch.Size((3, 2, 9, 6)), seed=5, **SGD, **CPU), Plain(2, 5)
    optimizer = torch.optim.SGD(network.parameters(), **SGD)
    for _ in range(5):
        delta, pull = torch.randn(3, 2, 9, 6, dtype=torch.float64), torch.randn(3, 9, 6, dtype=torch.float64)
        out, through = step(encoder, delta, pull)
        seen = delta.clone().requires_grad_()
        expected = network(seen)
        torch.testing.assert_close(out, expected.detach())
        optimizer.zero_grad()
        losses = (torch.sin(expected + pull) / 10).sum((1, 2))
        torch.testing.assert_close(through, torch.autograd.grad(losses.sum(), seen, retain_graph=True)[0])
        losses.mean().backward()
        optimizer.step()
    with pytest.raises(UserError, match="encoder_kind='unet'"):
        encoder.restart(torch.tensor([0]))


def test_free_logits_are_parameters_of_sgd():
    encoder = FreeLogits(torch.Size((2, 3, 4, 5)), **SGD, **CPU)
    theta = torch.zeros(2, 4, 5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], **SGD)
    for _ in range(10):
        pull = torch.randn(2, 4, 5, dtype=torch.float64)
        out, through = step(encoder, torch.randn(2, 3, 4, 5, dtype=torch.float64), pull)
        torch.testing.assert_close(out, theta.detach())
        assert through.shape == (2, 3, 4, 5)
        assert through.eq(0).all()
        optimizer.zero_grad()
        (torch.sin(theta + pull) / 10).sum().backward()
        optimizer.step()


def encoders(batch: int) -> list[Encoder]:
    shape = torch.Size((batch, 2, 6, 5))
    return [UNet(shape, seed=1, **SGD, **CPU), FreeLogits(shape, **SGD, **CPU)]


@pytest.mark.parametrize("which", [0, 1], ids=["unet", "none"])
def test_images_leave_and_begin_anew(which):
    deltas = torch.randn(9, 3, 2, 6, 5, dtype=torch.float64)
    pulls = torch.randn(9, 3, 6, 5, dtype=torch.float64)
    encoder, order = encoders(3)[which], torch.tensor([2, 0])
    for t in range(3):
        step(encoder, deltas[t], pulls[t])
    encoder.keep(order)
    for t in range(3, 6):
        step(encoder, deltas[t][order], pulls[t][order])
    encoder.restart(torch.tensor([1]))
    for t in range(6, 9):
        out, _ = step(encoder, deltas[t][order], pulls[t][order])
    whole, fresh = encoders(3)[which], encoders(3)[which]
    for t in range(9):
        old, _ = step(whole, deltas[t], pulls[t])
    for t in range(6, 9):
        new, _ = step(fresh, deltas[t], pulls[t])
    torch.testing.assert_close(out, torch.stack([old[2], new[0]]))


@pytest.mark.parametrize("make", [UNet, SharedUNet])
def test_single_pixels_and_empty_batches_pass(make):
    for shape in ((2, 3, 1, 1), (2, 1, 3, 4), (0, 3, 8, 8)):
        encoder = make(torch.Size(shape), seed=0, **SGD, **CPU)
        out, through = step(encoder, torch.zeros(shape, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
        assert out.shape == (shape[0], *shape[2:])
        assert through.shape == shape
        assert through.isfinite().all()


def test_first_weights_are_the_same_for_every_dtype():
    double, single = initial_unet(3, 1, **CPU), initial_unet(3, 1, torch.float32, torch.device("cpu"))
    assert all(torch.equal(single[name], value.float()) for name, value in double.items())
    assert not torch.equal(initial_unet(3, 2, **CPU)["head.weight"], double["head.weight"])


def test_the_size_of_the_images_chooses_and_an_argument_overrides():
    assert CDIEA().kind(64, 64) == "linear"
    assert CDIEA().kind(65, 8) == "unet"
    assert CDIEA(encoder_kind="unet").kind(8, 8) == "unet"
    assert CDIEA().last_alpha(64, 64) == 100
    assert CDIEA().last_alpha(65, 65) == 10
    assert AdvMaskAttack().last_alpha(224, 224) == 5
    assert "U-Net" in CDIEA().cost(224, 224)
    assert CDIEA(steps=40).cost(32, 32) == "40 forward and backward passes per image"
    assert "80 + 100 to 200" in AdvMaskAttack().cost(32, 32)


def test_memory_is_bounded_by_attacking_fewer_at_once(monkeypatch):
    monkeypatch.setattr(sparse, "UNET_PIXELS", 2 * 7 * 5)
    model, images, labels = pictures(5)
    method, seen = CDIEA(steps=4, encoder_kind="unet"), []
    handle = model.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    estimated = method.estimate(model, images, labels, [0] * 5)
    handle.remove()
    assert max(seen) == 2
    monkeypatch.undo()
    together = method.estimate(model, images, labels, [0] * 5)
    torch.testing.assert_close(estimated.importance, together.importance)


def test_stores_from_before_keep_their_arguments():
    assert set(arguments(CDIEA())) == {
        "epsilon", "steps", "beta", "momentum", "gradient", "encoder_lr", "encoder_momentum", "encoder_weight_decay",
        "encoder_seed", "alpha_start", "alpha_end", "reduce", "floor", "nu", "target", "last_phase",
        "last_phase_factor", "binary_share",
    }  # fmt: skip
    assert arguments(CDIEA())["alpha_end"] == 100.0
    assert arguments(CDIEA(encoder_kind="shared_unet"))["encoder_kind"] == "shared_unet"
    assert arguments(CDIEA(mistaken="fail"))["mistaken"] == "fail"


def test_a_unet_attack_finds_key_points_on_an_image_above_64_px():
    class Corner(nn.Module):  # two classes by the mean of a patch
        def forward(self, x: Tensor) -> Tensor:
            score = x[:, :, 20:28, 40:52].mean((1, 2, 3)) - 0.48
            return torch.stack([score, -score], 1) * 20

    images = torch.rand(2, 3, 40, 66, generator=torch.Generator().manual_seed(0)) * 0.02 + 0.49
    for method in (
        CDIEA(epsilon=0.1, beta=0.025, steps=60),
        AdvMaskAttack(epsilon=0.1, beta=0.025, steps=60, dense_steps=10),
    ):
        estimated = method.estimate(Corner().eval(), images, torch.tensor([0, 0]), [1, 2])
        assert not estimated.failed.any(), method.name
        inside = estimated.importance[:, 20:28, 40:52].sum((1, 2)) / estimated.importance.sum((1, 2))
        assert (inside > 0.25).all(), (method.name, inside)  # 2 % of the area
