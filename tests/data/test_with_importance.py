"""The sample path: image and map stay together, and a sample depends on its place alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as V

from augwise.data import ArraySource, EpochSampler, Subset, WithImportance, collate, open_source
from augwise.errors import UserError
from augwise.importance.store import ImportanceStore
from augwise.importance_map import ImportanceMap
from augwise.sample import Sample

H, W = 10, 14


def marked(n=12):
    """Images of noise with one white pixel each; the map is 1 + i at that pixel and nowhere else."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (n, 3, H, W), dtype=np.uint8)
    maps = np.zeros((n, H, W), np.float32)
    for i in range(n):
        y, x = rng.integers(2, H - 2), rng.integers(2, W - 2)
        images[i, :, y, x] = 255
        maps[i, y, x] = 1 + i
    source = ArraySource(torch.from_numpy(images), np.arange(n) % 3, list("abc"), "marked")
    return source, ImportanceStore.from_maps(source, maps)


def crop_and_flip():
    return [v2.RandomCrop((H, W), padding=3), v2.RandomHorizontalFlip()]


def same(a: Sample, b: Sample) -> bool:
    assert a.importance is not None
    assert b.importance is not None
    return torch.equal(a.image, b.image) and torch.equal(a.importance, b.importance) and a[2:] == b[2:]


def test_sample_without_transform():
    source, store = marked()
    sample = WithImportance(source, store)[4]
    assert isinstance(sample.image, tv_tensors.Image)
    assert isinstance(sample.importance, ImportanceMap)
    assert sample.importance.dtype == torch.float32
    assert (sample.label, sample.index, sample.evidence) == (1, 4, 5.0)
    assert WithImportance(source, store)[-1].index == 11
    with pytest.raises(IndexError):
        WithImportance(source, store)[12]


def test_map_and_image_move_together_and_evidence_is_from_before():
    source, store = marked()
    data = WithImportance(source, store, v2.Compose(crop_and_flip()), seed=3)
    places = set()
    for epoch in range(6):
        for i in range(len(data)):
            sample = data[epoch, i]
            where = (sample.image == 255).all(0).nonzero().tolist()
            assert sample.importance.as_subclass(Tensor).nonzero().tolist() == where
            assert sample.evidence == i + 1
            assert sample.importance.sum() == (i + 1) * len(where)
            places.add((i, *map(tuple, where)))
    assert len(places) > 3 * len(data)


def test_a_place_has_one_sample_in_any_order_and_the_outer_stream_is_left_alone():
    source, store = marked()
    data = WithImportance(source, store, v2.Compose(crop_and_flip()), seed=3)
    forward = {i: data[2, i] for i in range(12)}
    torch.manual_seed(99)
    before = torch.get_rng_state()
    assert all(same(data[2, i], forward[i]) for i in reversed(range(12)))
    assert torch.equal(torch.get_rng_state(), before)
    assert not all(same(data[3, i], forward[i]) for i in range(12))
    other = WithImportance(source, store, v2.Compose(crop_and_flip()), seed=4)
    assert not all(same(other[2, i], forward[i]) for i in range(12))


def test_a_plain_index_draws_from_torchs_own_stream():
    source, store = marked()
    data = WithImportance(source, store, v2.Compose(crop_and_flip()))
    torch.manual_seed(5)
    first, second = data[0], data[0]
    torch.manual_seed(5)
    assert same(data[0], first)
    assert not same(first, second)


class Recorder(nn.Module):
    """Keeps what passes, changes nothing, draws as many numbers as it is told."""

    def __init__(self, draws: int) -> None:
        super().__init__()
        self.draws = draws

    def forward(self, sample):
        torch.rand(self.draws)
        return sample


def test_steps_draw_by_position_whatever_the_others_draw():
    source, store = marked()
    arms = [
        WithImportance(source, store, v2.Compose([Recorder(k), *crop_and_flip(), Recorder(9 * k)]), seed=3)
        for k in (0, 1, 17)
    ]
    nested = WithImportance(source, store, nn.Sequential(Recorder(2), v2.Compose(crop_and_flip())), seed=3)
    for i in range(12):
        assert all(same(arms[0][1, i], arm[1, i]) for arm in [*arms, nested])


class Foreign:
    """A transform that draws where torch does not."""

    def __call__(self, sample):
        value = random.randrange(256) if torch.rand(()) < 0.5 else int(np.random.randint(256))  # noqa: NPY002
        return sample._replace(image=torch.full_like(sample.image, value))


def test_foreign_random_numbers_are_keyed_and_put_back():
    source, store = marked()
    data = WithImportance(source, store, v2.Compose([v2.RandomHorizontalFlip(), v2.Lambda(lambda s: s), Foreign()]))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    seen = [data[0, i] for i in range(12)]
    assert random.random() == random.Random(1).random()
    assert all(same(data[0, i], seen[i]) for i in range(12))
    assert len({int(s.image[0, 0, 0]) for s in seen}) > 6


def loaded(data, workers, persistent=False, shuffle=True, epochs=3):
    sampler = EpochSampler(len(data), seed=1, shuffle=shuffle)
    loader = DataLoader(
        data, 5, sampler=sampler, num_workers=workers, persistent_workers=persistent, collate_fn=collate
    )
    result = {}
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for batch in loader:
            assert isinstance(batch.images, tv_tensors.Image)
            assert isinstance(batch.importance, ImportanceMap)
            for k, index in enumerate(batch.indices.tolist()):
                result[epoch, index] = (batch.images[k].numpy().tobytes(), batch.importance[k].numpy().tobytes(),
                                        batch.labels[k].item(), batch.evidence[k].item())  # fmt: skip
    return result


def test_workers_order_and_persistence_change_nothing():
    source, store = marked()
    data = WithImportance(source, store, v2.Compose([*crop_and_flip(), v2.ColorJitter(0.5)]), seed=3)
    expected = loaded(data, 0)
    assert len(expected) == 3 * 12
    assert len({v[0] for v in expected.values()}) > 30
    assert loaded(data, 2) == expected
    assert loaded(data, 2, persistent=True) == expected
    assert loaded(data, 0, shuffle=False) == expected


def test_coarse_maps_are_stretched_with_their_mass_kept():
    source, _ = marked()
    coarse = np.zeros((12, 5, 7), np.float32)
    coarse[:, 1, 4] = 2
    sample = WithImportance(source, ImportanceStore.from_maps(source, coarse))[3]
    assert sample.importance.shape == (H, W)
    assert abs(sample.evidence - 2) < 1e-4
    weight = sample.importance.as_subclass(Tensor) / 2
    centre = [(weight.sum(1 - d) * (torch.arange(weight.shape[d]) + 0.5)).sum().item() for d in (0, 1)]
    assert np.allclose(centre, [3, 9], atol=0.05)  # pixel (1, 4) of 5×7 has its centre at (3, 9) of 10×14


def test_subset_and_attached_maps():
    source, store = marked()
    part = Subset(source, [7, 2])
    assert WithImportance(part, store)[0].evidence == 8
    attached = store.attach(part)
    assert WithImportance(part, attached)[1].evidence == 3
    with pytest.raises(UserError, match="2 images"):
        WithImportance(source, attached)


def test_control_arm_gives_another_images_map():
    source, store = marked()
    data = WithImportance(source, store.attach(source).deranged(0))
    evidence = [data[i].evidence for i in range(12)]
    assert sorted(evidence) == list(range(1, 13))
    assert all(e != i + 1 for i, e in enumerate(evidence))


def test_as_tuple_for_loops_of_ones_own():
    source, store = marked()
    data = WithImportance(source, store, v2.ToDtype(torch.float32, scale=True), as_tuple=True)
    image, label = data[0, 5]
    assert type(image) is Tensor
    assert (image.dtype, label) == (torch.float32, 2)
    images, labels = next(iter(DataLoader(data, 4)))
    assert images.shape == (4, 3, H, W)
    assert labels.tolist() == [0, 1, 2, 0]


def test_without_a_store():
    source, _ = marked()
    sample = WithImportance(source, transform=v2.Compose(crop_and_flip()))[0, 2]
    assert sample.importance is None
    assert sample.evidence == 0
    assert collate([sample, sample]).importance is None


def test_what_is_no_store_and_what_returns_no_sample():
    source, store = marked()
    with pytest.raises(UserError, match="list"):
        WithImportance(source, [1, 2])
    data = WithImportance(source, store, lambda sample: sample.image)
    with pytest.raises(UserError, match=r"made a Image of a Sample.*Preserve"):
        data[0]
    with pytest.raises(UserError, match="cannot be called"):
        WithImportance(source, store, "flip")


def test_a_folder_and_a_store_by_name(tmp_path):
    """As on the command line: what `augwise estimate --data folder:...` wrote belongs to the same name in a script."""
    source, _ = marked(3)
    for i in range(3):
        (tmp_path / "train" / "abc"[i]).mkdir(parents=True)
        V.to_pil_image(source[i][0]).save(tmp_path / "train" / "abc"[i] / "0.png")
    maps = np.arange(3 * H * W, dtype=np.float32).reshape(3, H, W)
    ImportanceStore.from_maps(open_source(f"folder:{tmp_path}"), maps, tmp_path / "maps")
    for store in (tmp_path / "maps", str(tmp_path / "maps")):
        data = WithImportance(f"folder:{tmp_path}", store)
        assert torch.equal(data[2].image.as_subclass(Tensor), source[2][0])
        assert data[2].evidence == pytest.approx(float(maps[2].sum()), rel=0.01)


def test_a_guarded_step_without_maps_is_refused_at_once():
    source, _ = marked()

    class Guard(nn.Module):
        guarded = True

    with pytest.raises(UserError, match="Guard is guarded"):
        WithImportance(source, transform=v2.Compose([v2.RandomHorizontalFlip(), Guard()]))
