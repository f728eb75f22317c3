"""Data on the device: the same batches as the sample path gives without transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as V

from augwise.data import ArraySource, Resident, Subset, WithImportance, as_source, collate
from augwise.data.resident import check_memory
from augwise.errors import UserError
from augwise.importance.store import ImportanceStore
from augwise.importance_map import ImportanceMap


def data(h, w, n=9):
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (n, 3, 8, 12), dtype=np.uint8))
    source = ArraySource(images, np.arange(n) % 4, list("abcd"), "small")
    return source, ImportanceStore.from_maps(source, rng.random((n, h, w), dtype=np.float32))


@pytest.mark.parametrize("grid", [(8, 12), (4, 3)])
@pytest.mark.parametrize("rows", [[5, 0, 5, 8], []])
def test_batches_are_those_of_the_sample_path(grid, rows):
    source, store = data(*grid)
    source = Subset(source, [8, 7, 6, 5, 4, 3, 2, 1, 0])
    batch = Resident.load(source, store, progress=False).batch(torch.tensor(rows, dtype=torch.int64))
    assert isinstance(batch.images, tv_tensors.Image)
    assert isinstance(batch.importance, ImportanceMap)
    assert batch.images.shape == (len(rows), 3, 8, 12)
    if rows:
        expected = collate([WithImportance(source, store)[i] for i in rows])
        for name, ours, theirs in zip(batch._fields, batch, expected, strict=True):
            assert ours.dtype == theirs.dtype, name
            assert torch.allclose(ours, theirs, rtol=1e-6, atol=0), name
        assert batch.indices.tolist() == rows


def test_a_batch_is_a_copy():
    resident = Resident.load(*data(8, 12), progress=False)
    batch = resident.batch(torch.arange(9))
    batch.images.zero_()
    assert resident.batch(torch.arange(9)).images.any()


def test_without_a_store():
    resident = Resident.load(data(8, 12)[0], progress=False)
    batch = resident.batch(torch.tensor([2]))
    assert len(resident) == 9
    assert batch.importance is None
    assert batch.evidence.tolist() == [0]
    assert resident.class_names == list("abcd")


def test_whole_images_are_stretched_to_squares_and_their_shapes_kept():
    images = [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in [(40, 30), (20, 50), (16, 16), (9, 12)]]
    resident = Resident.load([(image, i) for i, image in enumerate(images)], progress=False, size=16)
    assert resident.stretch.tolist() == pytest.approx([30 / 40, 50 / 20, 1, 12 / 9])
    for image, found in zip(images, resident.images, strict=True):
        assert torch.equal(found, V.resize(image, [16, 16], antialias=True))


def test_too_little_memory_is_said_before_reading():
    check_memory(2**20, torch.device("cpu"))
    with pytest.raises(UserError, match=r"1048576\.0 GiB on cpu"):
        check_memory(2**50, torch.device("cpu"))


def test_a_source_of_floats_is_refused_not_cut_to_zeros():
    source = as_source(TensorDataset(torch.zeros(3, 3, 4, 4, dtype=torch.uint8), torch.tensor([0, 1, 0])))

    class Floats:
        labels, class_names, name, flip = source.labels, source.class_names, "floats", True
        fingerprint = source.fingerprint

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return source[index][0] / 255, source[index][1]

    with pytest.raises(UserError, match=r"image 0 of floats has type torch\.float32"):
        Resident.load(Floats(), progress=False)
