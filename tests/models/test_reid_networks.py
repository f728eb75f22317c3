"""Networks for re-identification: the shapes that their papers give, attention and pyramid against plain loops."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch.nn import functional as F

from augwise.errors import UserError
from augwise.models import build, data_config
from augwise.models.reid import REID, Attention, FeaturePyramidBranch, last_stride_1


def test_the_last_stage_keeps_the_resolution_and_imagenets_weights_fit():
    with torch.device("meta"):
        plain, kept = (torchvision.models.resnet50(weights=None).eval() for _ in range(2))
        last_stride_1(kept)
        x = plain.maxpool(plain.relu(plain.bn1(plain.conv1(torch.zeros(1, 3, 256, 128)))))
        for stage in ("layer1", "layer2", "layer3"):
            x = getattr(plain, stage)(x)
        assert plain.layer4(x).shape[2:] == (8, 4)
        assert kept.layer4(x).shape[2:] == (16, 8)  # Luo et al. 2019, Section III-D
    assert {k: v.shape for k, v in plain.state_dict().items()} == {k: v.shape for k, v in kept.state_dict().items()}
    others = torchvision.models.resnet18(weights=None)
    before = [m.stride for m in others.layer3.modules() if hasattr(m, "stride")]
    last_stride_1(others)
    assert [m.stride for m in others.layer3.modules() if hasattr(m, "stride")] == before


@pytest.mark.parametrize(("name", "embedding"), [("reid_resnet50", 2048), ("reid_fpb", 2048 + 3 * 1024)])
@pytest.mark.parametrize("size", [(256, 128), (384, 128)])
def test_networks_on_resnet50(name, embedding, size):
    with torch.device("meta"):
        model = REID[name](751, 3, False).eval()
        found = model(torch.zeros(2, 3, *size), everything=True)
        assert model(torch.zeros(2, 3, *size)).shape == (2, 751)
    assert found.embedding.shape == (2, embedding)
    assert len(found.logits) == (1 if name == "reid_resnet50" else 4)


def test_logits_are_the_mean_of_the_heads_and_every_head_learns():
    model = build("reid_small", 5, seed=0).train()
    images = torch.rand(6, 3, 24, 14, generator=torch.Generator().manual_seed(1))  # odd maps inside
    found = model(images, everything=True)
    model.zero_grad()
    torch.stack(found.logits).mean(0).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters() if p.requires_grad)
    assert model.whole.norm.bias.grad is None  # the neck shifts nothing
    model.eval()
    with torch.no_grad():
        found, logits = model(images, everything=True), model(images)
        assert (torch.stack(found.logits).mean(0) - logits).abs().max() < 1e-6
        # every unit vector counts alike: of the whole image and of three stripes
        assert found.features.square().sum(1) == pytest.approx(4.0, abs=1e-4)
        assert found.embedding[:, :64].norm(dim=1) == pytest.approx(1.0, abs=1e-4)
        one = model(images[:1], everything=True)
        assert (one.embedding - found.embedding[:1]).abs().max() < 1e-5


def test_stripes_are_of_their_own_part_of_the_image():
    """With the pyramid taken out, what changes below changes the lowest stripe alone."""
    model = build("reid_small", 4, seed=0).eval()
    assert isinstance(model, FeaturePyramidBranch)
    model.branch = lambda _second, third: third  # pyright: ignore[reportAttributeAccessIssue]
    above = torch.rand(1, 3, 96, 16)
    below = above.clone()
    below[:, :, 80:] = 0
    with torch.no_grad():
        a, b = (model(x, everything=True).embedding[0, 64:].view(64, 3) for x in (above, below))
    assert a[:, 0].tolist() == b[:, 0].tolist()
    assert (a[:, 2] - b[:, 2]).abs().max() > 1e-4


def test_attention_is_its_formula_place_by_place():
    generator = torch.Generator().manual_seed(3)
    layer, x = Attention(8), torch.randn(2, 8, 3, 2, generator=generator)
    assert (layer(x) - x).abs().max() == 0  # both γ begin at 0
    with torch.no_grad():
        layer.places.fill_(0.7)
        layer.channels.fill_(-0.4)
        found = layer(x)
        for n in range(2):
            query, key, value = (m(x[n : n + 1])[0].flatten(1) for m in (layer.query, layer.key, layer.value))
            flat = x[n].flatten(1)
            mixed = torch.stack([value @ F.softmax(key.T @ query[:, i], 0) for i in range(6)], 1)
            flat = flat + 0.7 * mixed
            rows = []
            for c in range(8):
                energy = flat @ flat[c]
                rows.append(F.softmax(energy.max() - energy, 0) @ flat)
            assert (found[n].flatten(1) - (flat - 0.4 * torch.stack(rows))).abs().max() < 1e-5


def test_other_channels_and_where_weights_come_from():
    assert build("reid_small", 3, in_channels=1, seed=0).eval()(torch.rand(2, 1, 16, 8)).shape == (2, 3)
    with pytest.raises(UserError, match="reid_small has no pretrained weights"):
        build("reid_small", 3, pretrained=True)
    with pytest.raises(UserError, match="did you mean reid_resnet50"):
        build("reid_resnet5", 3)
    known = data_config("reid_fpb")
    assert known is not None
    assert known.mean == data_config("torchvision:resnet50").mean  # pyright: ignore[reportOptionalMemberAccess]
    assert data_config("reid_small") is None
