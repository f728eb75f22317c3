"""Collation keeps values and types, and refuses what does not belong together."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from augwise.data import collate
from augwise.errors import UserError
from augwise.importance_map import ImportanceMap
from augwise.sample import Sample


def sample(i, h=3, w=5, dtype=torch.uint8, mapped=True):
    image = tv_tensors.Image(torch.full((3, h, w), i, dtype=dtype))
    return Sample(image, ImportanceMap(torch.full((h, w), float(i))) if mapped else None, i % 2, 10 + i, i / 7)


def test_rows_are_the_samples():
    batch = collate([sample(3), sample(1)])
    assert isinstance(batch.images, tv_tensors.Image)
    assert isinstance(batch.importance, ImportanceMap)
    assert batch.images[:, 0, 0, 0].tolist() == [3, 1]
    assert batch.importance.sum((1, 2)).tolist() == [45, 15]
    assert isinstance(batch.labels, torch.Tensor)
    assert (batch.labels.tolist(), batch.indices.tolist()) == ([1, 1], [13, 11])
    assert batch.evidence.tolist() == [torch.tensor(3 / 7).item(), torch.tensor(1 / 7).item()]
    assert batch.labels.dtype == batch.indices.dtype == torch.int64


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([sample(1), sample(2, h=4)], r"image 11 .*\(3, 3, 5\).*image 12 .*\(3, 4, 5\).*--size"),
        ([sample(1), sample(2, dtype=torch.float32)], "uint8.*float32"),
        ([sample(1), sample(2, mapped=False)], "11 and 12"),
        ([(torch.zeros(3, 3, 5), 0)], "tuple"),
        ([], "nothing"),
    ],
)
def test_refusals(samples, message):
    with pytest.raises(UserError, match=message):
        collate(samples)
