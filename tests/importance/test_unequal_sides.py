"""Maps and guards on images higher than wide, 256 × 128, of a classifier whose evidence is known by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import augwise as aw
from augwise.models import build

HEIGHT, WIDTH = 256, 128
TOP, LEFT = 192, 64  # its evidence: the lower right, a quarter of the height and half of the width


class Corner(nn.Module):
    """Two classes, by how bright the lower right corner is."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images[:, :, TOP:, LEFT:].mean((1, 2, 3))
        return 20 * torch.stack([bright, 1 - bright], 1)


@pytest.fixture(scope="module")
def source() -> aw.data.ArraySource:
    images = torch.randint(256, (4, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    images[:, :, TOP:, LEFT:] //= 4
    images[:2, :, TOP:, LEFT:] += 170  # above a half in the first two, far below in the others
    return aw.data.ArraySource(images, torch.tensor([0, 0, 1, 1]).numpy(), ["bright", "dark"], "corners")


@pytest.mark.parametrize(
    ("name", "method", "shape"),
    [
        ("occlusion", aw.Occlusion(), (56, 56)),
        ("occlusion-grid", aw.Occlusion(grid=(64, 32)), (64, 32)),
    ],
)
def test_occlusion_finds_the_corner_on_any_grid(name, method, shape, source, tmp_path):
    store = aw.estimate(Corner().eval(), source, tmp_path / name, method, progress=False)
    assert (store.height, store.width) == shape
    resident = aw.Resident.load(source, store, progress=False)
    shown = resident.batch(torch.arange(4)).importance
    assert shown is not None
    assert shown.shape == (4, HEIGHT, WIDTH)
    inside = shown[:, TOP:, LEFT:].sum((1, 2)) / shown.sum((1, 2))
    assert float(inside.min()) > 0.55
    # windows reach over the edge by no more than their own side
    assert float(shown[:, : TOP - 32].sum()) == 0
    assert float(shown[:, :, : LEFT - 32].sum()) == 0


def test_guards_spare_the_corner_and_controls_do_not(source, tmp_path):
    store = aw.estimate(Corner().eval(), source, tmp_path / "maps", aw.Occlusion(), progress=False)
    resident = aw.Resident.load(source, store, progress=False)
    lost = {}
    for name, step in (("guarded", aw.Cutout(0.5, quantile=0.6)), ("plain", aw.Cutout(0.5))):
        pipeline, parts = aw.BatchPipeline([step], seed=0), []
        for epoch in range(12):
            before = resident.batch(torch.arange(4))
            after = pipeline(before, epoch, 0)
            assert after.images.shape[-2:] == (HEIGHT, WIDTH)
            parts.append(1 - after.importance.sum((1, 2)) / before.importance.sum((1, 2)))
        lost[name] = torch.stack(parts)
    assert float(lost["guarded"].max()) < 0.35 < float(lost["plain"].max())
    assert float(lost["guarded"].mean()) < 0.5 * float(lost["plain"].mean())


def test_preserve_pastes_back_what_shows_evidence(source, tmp_path):
    """The whole image is painted over; what is pasted back lies in the corner, or over its edge."""
    store = aw.estimate(Corner().eval(), source, tmp_path / "maps", aw.Occlusion(), progress=False)
    resident = aw.Resident.load(source, store, progress=False)
    pipeline = aw.BatchPipeline([aw.Preserve(torch.zeros_like, length=0.25, quantile=0.6, batched=True)], seed=1)
    for epoch in range(6):
        kept = pipeline(resident.batch(torch.arange(4)), epoch, 0).images.as_subclass(Tensor).amax(1) > 0
        assert bool(kept.any(2).any(1).all())
        assert not bool(kept[:, : TOP - 64].any())
        assert not bool(kept[:, :, : LEFT - 64].any())


def test_the_attack_on_a_network_of_identities_at_full_size(tmp_path):
    images = torch.randint(256, (3, 3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    people = aw.data.ArraySource(images, torch.arange(3).numpy(), ["a", "b", "c"], "people")
    model = aw.Normalized(build("reid_small", 3, seed=0), [0.5] * 3, [0.3] * 3).eval()
    with torch.no_grad():
        labels = model(images.float() / 255).argmax(1)
    people = aw.data.ArraySource(images, labels.numpy(), ["a", "b", "c"], "people")
    store = aw.estimate(model, people, tmp_path / "maps", aw.CDIEA(steps=3, epsilon=0.5), progress=False)
    assert (store.height, store.width) == (HEIGHT, WIDTH)
    assert store.summary()["done"] == 3
