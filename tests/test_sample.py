"""Samples and batches go through torch's and torchvision's machinery as they are."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.data import default_collate
from torchvision import tv_tensors
from torchvision.transforms import v2

from augwise.errors import UserError
from augwise.importance_map import ImportanceMap
from augwise.labels import MixedLabels
from augwise.sample import Batch, Sample

HEIGHT, WIDTH = 6, 9


def sample(index: int = 3, with_map: bool = True) -> Sample:
    image = tv_tensors.Image(torch.randint(0, 256, (3, HEIGHT, WIDTH), dtype=torch.uint8))
    importance = ImportanceMap(torch.rand(HEIGHT, WIDTH)) if with_map else None
    return Sample(image, importance, index % 10, index, 0.0 if importance is None else float(importance.sum()))


def batch(n: int = 4) -> Batch:
    return Batch.of(torch.rand(n, 3, HEIGHT, WIDTH), torch.arange(n), torch.rand(n, HEIGHT, WIDTH))


def test_sample_is_known_by_name_and_position() -> None:
    one = sample()
    image, importance, label, index, evidence = one
    assert image is one.image
    assert importance is one.importance
    assert (label, index) == (3, 3)
    assert evidence == pytest.approx(float(one.importance.sum()))  # type: ignore[union-attr]
    assert Sample(image, None, 1) == (image, None, 1, -1, 0.0)


def test_pytree_keeps_types() -> None:
    for one in (sample(), sample(with_map=False)):
        leaves, spec = pytree.tree_flatten(one)
        back = pytree.tree_unflatten(leaves, spec)
        assert type(back) is Sample
        assert back.importance is one.importance
        assert type(back.image) is tv_tensors.Image


@pytest.mark.parametrize("with_map", [True, False])
def test_torchvision_moves_image_and_map_and_nothing_else(with_map: bool) -> None:
    one = sample(17, with_map)
    before = one.image.clone()
    flow = v2.Compose([v2.RandomHorizontalFlip(p=1), v2.Pad(2, fill=128), v2.ToDtype(torch.float32, scale=True)])
    moved = flow(one)
    assert type(moved) is Sample
    assert type(moved.image) is tv_tensors.Image
    expected = torch.full((3, HEIGHT + 4, WIDTH + 4), 128 / 255)
    expected[:, 2:-2, 2:-2] = before.flip(-1).float() / 255
    torch.testing.assert_close(moved.image.as_subclass(Tensor), expected)
    assert moved[2:] == one[2:]
    assert torch.equal(one.image, before)
    if with_map:
        assert type(moved.importance) is ImportanceMap
        assert float(moved.importance.sum()) == pytest.approx(moved.evidence, rel=1e-5)
    else:
        assert moved.importance is None


def test_default_collate_stacks_the_fields_and_drops_the_types() -> None:
    """Which is why `Batch.of` puts them back."""
    together = default_collate([sample(1), sample(12)])
    assert type(together) is Sample
    assert together.image.shape == (2, 3, HEIGHT, WIDTH)
    assert type(together.image) is Tensor
    assert type(together.importance) is Tensor
    assert together.label.tolist() == [1, 2]
    assert together.index.tolist() == [1, 12]
    assert together.evidence.dtype == torch.float64
    whole = Batch.of(together.image, together.label, together.importance, together.index, together.evidence)
    assert type(whole.images) is tv_tensors.Image
    assert type(whole.importance) is ImportanceMap


def test_torchvision_moves_a_batch_as_a_whole() -> None:
    whole = batch()
    moved = v2.RandomHorizontalFlip(p=1)(whole)
    assert type(moved) is Batch
    assert torch.equal(moved.images, whole.images.flip(-1))
    assert torch.equal(moved.importance, whole.importance.flip(-1))
    assert type(moved.importance) is ImportanceMap
    assert torch.equal(moved.labels, whole.labels)
    assert torch.equal(moved.evidence, whole.evidence)
    # The silent trap that the types are there for: unwrapped, the map would stay behind.
    left = v2.RandomHorizontalFlip(p=1)(whole._replace(images=whole.images + 0, importance=whole.importance + 0))
    assert torch.equal(left.importance, whole.importance)


def test_batch_of_fills_in_what_is_missing() -> None:
    images, labels = torch.zeros(2, 3, 4, 5), torch.tensor([1, 0])
    bare = Batch.of(images, labels)
    assert bare.importance is None
    assert bare.indices.tolist() == [-1, -1]
    assert bare.evidence.tolist() == [0, 0]
    maps = torch.arange(40, dtype=torch.float32).view(2, 4, 5)
    full = Batch.of(images, labels, maps)
    assert full.evidence.tolist() == [190, 590]
    assert full.evidence.dtype == torch.float32
    kept = Batch.of(images, labels, maps, torch.tensor([7, 8]), torch.tensor([1.0, 2.0]))
    assert kept.indices.tolist() == [7, 8]
    assert kept.evidence.tolist() == [1, 2]
    empty = Batch.of(torch.zeros(0, 3, 4, 5), torch.zeros(0, dtype=torch.int64), torch.zeros(0, 4, 5))
    assert empty.evidence.shape == (0,)


def test_batch_of_refuses_what_does_not_fit() -> None:
    images, labels = torch.zeros(2, 3, 4, 5), torch.tensor([1, 0])
    with pytest.raises(UserError, match=r"\(3, 4, 5\).*\(N, C, H, W\)"):
        Batch.of(images[0], labels)
    for wrong in (torch.zeros(2, 5, 4), torch.zeros(1, 4, 5), torch.zeros(4, 5)):
        with pytest.raises(UserError, match=r"shape \(2, 4, 5\)"):
            Batch.of(images, labels, wrong)
    with pytest.raises(UserError, match="one number for each of 2 images"):
        Batch.of(images, labels, evidence=torch.zeros(3))


def test_to_moves_everything_and_keeps_the_types() -> None:
    for labels in (torch.arange(4), MixedLabels.of(torch.arange(4))):
        moved = batch()._replace(labels=labels).to("meta")
        assert type(moved.images) is tv_tensors.Image
        assert type(moved.importance) is ImportanceMap
        assert {t.device.type for t in pytree.tree_leaves(moved)} == {"meta"}
        assert type(moved.labels) is type(labels)
    assert Batch.of(torch.zeros(1, 3, 4, 5), torch.tensor([0])).to("meta").importance is None


@pytest.mark.parametrize("one", [sample(), batch()])
def test_copies_keep_the_types(one: Sample | Batch) -> None:
    for copied in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert type(copied) is type(one)
        assert type(copied[0]) is tv_tensors.Image
        assert type(copied.importance) is ImportanceMap
        assert torch.equal(copied.importance, one.importance)
