"""The batch path: keyed by place, types put back before every step, normalisation last."""

from __future__ import annotations

import functools
import random

import pytest
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from augwise import randomness
from augwise.data import BatchPipeline, Normalize, run_steps
from augwise.data.pipeline import flatten_steps
from augwise.errors import UserError
from augwise.importance_map import ImportanceMap
from augwise.randomness import draws_elsewhere
from augwise.sample import Batch, Sample
from augwise.transforms.base import Augmentation


class Shift(Augmentation):
    """Rolls every image, and its map, by a number of columns of its own."""

    def make_params(self, images, importance, generator):  # noqa: ARG002
        return {"by": randomness.integers(images.shape[-1], len(images), generator=generator)}

    def transform(self, images, importance, params):
        rolled = [None if t is None else torch.stack([x.roll(int(k), -1) for x, k in zip(t, params["by"], strict=True)])
                  for t in (images, importance)]  # fmt: skip
        assert rolled[0] is not None
        return rolled[0], rolled[1]


def batch(n=6, c=3):
    images = torch.randint(0, 256, (n, c, 4, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch.of(images, torch.arange(n) % 2, images[:, 0].float())


def lost_types(item: Batch) -> Batch:
    """A step that forgets the tensor types, as indexing does."""
    return item._replace(images=item.images.as_subclass(Tensor), importance=item.importance.as_subclass(Tensor))  # pyright: ignore


def test_same_place_same_batch_other_place_other_batch():
    pipeline = BatchPipeline([Shift()], seed=1)
    first = pipeline(batch(), 2, 5)
    torch.rand(3)
    assert torch.equal(pipeline(batch(), 2, 5).images, first.images)
    for epoch, step, seed in [(3, 5, 1), (2, 6, 1), (2, 5, 2)]:
        assert not torch.equal(BatchPipeline([Shift()], seed)(batch(), epoch, step).images, first.images)


def test_a_step_draws_by_its_position_alone():
    def greedy(item):
        torch.rand(13)
        return item

    def modest(item):
        return item

    a, b = (BatchPipeline([step, Shift()], 1)(batch(), 0, 0) for step in (greedy, modest))
    assert torch.equal(a.images, b.images)
    c = BatchPipeline(Shift(), 1)(batch(), 0, 0)
    assert not torch.equal(a.images, c.images)


def test_types_are_put_back_so_that_the_map_follows():
    out = BatchPipeline([lost_types, v2.RandomHorizontalFlip(1.0), lost_types], 0)(batch(), 0, 0)
    assert isinstance(out.images, tv_tensors.Image)
    assert isinstance(out.importance, ImportanceMap)
    assert torch.equal(out.importance.as_subclass(Tensor), out.images[:, 0].as_subclass(Tensor).float())
    assert torch.equal(out.images, batch().images.flip(-1))


def test_processes_draw_what_one_would_have_drawn():
    pipeline, whole = BatchPipeline([Shift(), Shift()], 1), batch(7)
    expected = pipeline(whole, 4, 2).images
    for offset, stop in [(0, 3), (3, 7)]:
        part = Batch.of(whole.images[offset:stop], torch.zeros(stop - offset, dtype=torch.int64))
        with randomness.shard(offset, 7):
            assert torch.equal(pipeline(part, 4, 2).images, expected[offset:stop])


def test_steps_flatten():
    a, b, c = v2.RandomHorizontalFlip(), v2.RandomVerticalFlip(), Shift()
    assert flatten_steps(v2.Compose([a, nn.Sequential(b, v2.Compose([c]))])) == [a, b, c]
    assert flatten_steps([None, [a], (b,)]) == [a, b]
    assert flatten_steps(v2.RandomApply([a])) != [a]  # only what runs all its parts is opened
    with pytest.raises(UserError, match="cannot be called"):
        flatten_steps([a, 3])


def test_what_draws_outside_torch_is_found():
    policy = functools.partial(random.choice)
    known = [Normalize([0.5], [0.5]), v2.TrivialAugmentWide(), v2.RandomApply([v2.ColorJitter(0.1)])]
    assert not any(map(draws_elsewhere, known))
    assert all(map(draws_elsewhere, [policy, lambda x: x, v2.Lambda(len), v2.RandomApply([policy]), v2.Compose([len])]))


def test_run_steps_on_a_sample_and_a_wrong_return():
    sample = Sample(tv_tensors.Image(torch.arange(6).reshape(1, 2, 3)), None, 0)
    assert run_steps(v2.RandomHorizontalFlip(1.0), sample, 1).image[0, 0].tolist() == [2, 1, 0]
    assert run_steps(None, sample) is sample
    with pytest.raises(UserError, match="made a int"):
        run_steps([len], sample, 1)


def test_normalize_is_torchvisions():
    mean, std = (0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616)
    images = batch().images
    expected = v2.Normalize(mean, std)(images.as_subclass(Tensor).double() / 255)
    out = Normalize(mean, std)(batch())
    assert isinstance(out.images, tv_tensors.Image)
    assert out.images.dtype == torch.float32
    assert (out.images - expected).abs().max() < 1e-6
    assert (Normalize(mean, std)(images.float() / 255) - expected).abs().max() < 1e-6
    assert torch.equal(out.importance, batch().importance)
    single = Normalize(mean, std)(Sample(images[2], None, 0)).image
    assert torch.equal(single, out.images[2])


def test_normalize_keeps_memory_format_and_says_what_does_not_fit():
    images = batch().images.contiguous(memory_format=torch.channels_last)
    assert Normalize([0.5] * 3, [0.2] * 3)(images).is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(UserError, match="1 channels"):
        Normalize([0.5] * 3, [0.2] * 3)(batch(c=1))
    with pytest.raises(UserError, match="std"):
        Normalize([0.5], [0.0])
    with pytest.raises(UserError, match="2 channels"):
        Normalize([0.5] * 2, [0.1])


def test_a_transform_that_knows_images_alone_is_refused_with_the_cure():
    import torchvision.transforms as v1

    with pytest.raises(UserError, match=r"ToTensor of torchvision.*aw\.follow"):
        BatchPipeline([v1.Compose([v1.ToTensor()])], seed=0)
